"""What could not be read, put aside: bad lines of files that were ingested, and files of which nothing was read.

A row is solved, and no longer listed, when the same bytes could be read after all or the file at its path was ingested
again in another state. It is not deleted: undoing that import brings it back.
"""

from __future__ import annotations

import uuid
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import psycopg

from workbench.data.ingest.ids import NAMESPACE, clean
from workbench.data.ingest.ledger import originals
from workbench.data.ingest.normal import BadLine
from workbench.data.ingest.reading.source import Source
from workbench.data.ingest.report import MAX_BAD_LINES
from workbench.data.store.storable import pack, storable_text
from workbench.errors import IngestError

if TYPE_CHECKING:
    from workbench.data.store.engine import Store

MAX_LINE_BYTES = 1_000_000
_MAX_BYTES = 64 * 1024 * 1024  # of all bad lines of one file, compressed; the rest is in the file's original
_SHOWN_BYTES = 4096  # of a file of which nothing was read


class Quarantine:
    """The bad lines of one file, on their way into the table: the first 1,000, each with up to 1 MB of its bytes."""

    def __init__(self, source: Source, format: str) -> None:
        self._source = source
        self._format = format
        self._bad: list[tuple[BadLine, bytes | None]] = []
        self._room = _MAX_BYTES

    def add(self, bad: BadLine) -> None:
        """Put a line aside."""
        if len(self._bad) >= MAX_BAD_LINES:
            return
        packed = None if bad.data is None or not self._room else pack(bad.data[:MAX_LINE_BYTES])
        self._room = max(self._room - len(packed or b""), 0)
        self._bad.append((BadLine(bad.line, bad.reason), packed))

    def write(self, connection: psycopg.Connection, import_id: uuid.UUID) -> None:
        """Write the rows of an import, in the place of those that an earlier reading of the same bytes left."""
        connection.execute("DELETE FROM workbench.quarantine WHERE import_id = %s", [import_id])
        source = self._source
        about = (self._format, clean(source.stored_path), source.sha256, source.size_bytes)
        rows = [
            (
                uuid.uuid5(import_id, f"bad:{number}"),
                import_id,
                *about,
                bad.line,
                storable_text(bad.reason),
                data,
                [],
                _version(),
            )
            for number, (bad, data) in enumerate(self._bad)
        ]
        if rows:
            connection.cursor().executemany(_INSERT, rows)


def put_aside(store: Store, source: Source, format: str | None, reason: str, *, keep_original: bool = True) -> None:
    """Put a whole file aside of which nothing could be read, with its bytes, once however often it is tried.

    Nothing is done on a connection that may only read, nor with a file that is being rewritten: its next state may be
    a good one.
    """
    if store.read_only:
        return
    try:
        source.check()
        with store.raw() as connection:
            connection.execute("SET LOCAL statement_timeout = 0")
            blocks = originals.keep(connection, source) if keep_original else []
            start = next(source.chunks(_SHOWN_BYTES), b"")
            connection.execute(_INSERT + _AGAIN, [*_of_file(source, format, reason), pack(start), blocks, _version()])
    except IngestError:
        return


def _of_file(source: Source, format: str | None, reason: str) -> tuple[Any, ...]:
    path = clean(source.stored_path)
    own = uuid.uuid5(NAMESPACE, f"quarantine:{source.sha256}:{path}")
    return own, None, format, path, source.sha256, source.size_bytes, None, storable_text(reason)


def _version() -> str:
    return version("agent-workbench")


_INSERT = (
    "INSERT INTO workbench.quarantine "
    "(id, import_id, source, path, sha256, size_bytes, line, reason, data, blocks, version) "
    "VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
)
_AGAIN = """
ON CONFLICT (id) DO UPDATE SET source = excluded.source, reason = excluded.reason, version = excluded.version,
  blocks = CASE WHEN excluded.blocks = '{}' THEN quarantine.blocks ELSE excluded.blocks END
"""
