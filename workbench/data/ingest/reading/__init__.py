"""What the readers share: bytes, lines and JSON of a source, tables, chats, and the order and nesting of steps."""
