"""What an import leaves beside its runs: the file itself, what could not be read, and whose turn it is."""
