"""What is wrong with a file that should be agent history by its name, told from the name and the first bytes.

A file of which this says nothing is something else: in a folder it is passed over. One of which it says something is
an error wherever it is met, so that a broken copy is not taken for a README.
"""

from __future__ import annotations

from workbench.data.ingest.reading.parse import parse
from workbench.data.ingest.reading.source import Source

_JSON = (".json", ".jsonl", ".ndjson")
_NAMES = (*_JSON, ".eval", ".pb", ".binpb", ".protobuf", ".otlp")


def emptiness(source: Source) -> str | None:
    """Why there is nothing to read in a file; ``None`` where there is something."""
    head = source.head
    if not head.is_whole or head.data.strip():
        return None
    if source.size_bytes and source.is_gzip and not head.data:
        return _of_gzip(source) or "empty: 0 bytes once decompressed"
    return f"empty: {len(head.data):,} bytes" + (", all of them blank" if head.data else "")


def damage(source: Source) -> str | None:
    """What is wrong with a file that no reader recognises; ``None`` where it is just something else."""
    name = source.file_name.lower()
    if source.name.endswith(".gz") and not source.is_gzip and source.size_bytes:
        return f"ends in .gz but is not gzip: {source.head.first_bytes}"
    if not name.endswith(_NAMES):
        return None
    if nothing := emptiness(source):
        return nothing
    return _of_gzip(source) or (_of_json(source) if name.endswith(_JSON) else None)


def _of_gzip(source: Source) -> str | None:
    """Damage of the gzip stream, where it lies in the head: a longer file has given enough to be recognised."""
    if not source.is_gzip or not source.head.is_whole:
        return None
    source.read_bytes()
    return source.damage.pop().reason if source.damage else None


def _of_json(source: Source) -> str | None:
    head = source.head
    if b"\0" in head.data:
        return f"ends in .{source.file_name.rpartition('.')[2]} but is not text: {source.head.first_bytes}"
    if head.is_whole and head.data.lstrip().startswith((b"{", b"[")):
        try:
            parse(head.data)
        except ValueError as error:
            # Anything else that is not JSON is some other notation: JSON lines, JSON with comments.
            return str(error) if str(error).startswith("cut off") else None
    return None
