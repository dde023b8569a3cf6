"""LangGraph's checkpoint tables: in a Postgres, read over a connection, or in a file of SQLite.

A thread is one run, a call of a subgraph another one under it; each checkpoint is a recorded state. See
:mod:`workbench.data.ingest.formats.langgraph_thread` for what becomes of a thread.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing

from workbench.data.ingest.formats.langgraph_tables import Postgres, SQLite
from workbench.data.ingest.formats.langgraph_thread import read_thread
from workbench.data.ingest.normal import BadLine, Run
from workbench.data.ingest.reading.database import Address, Part
from workbench.data.ingest.reading.source import Head, Source
from workbench.errors import IngestError

FORMAT = "langgraph"
TITLE = "LangGraph checkpoint tables (postgresql://… or a .sqlite file)"
HAS_PARENTS = True

_MAGIC = b"SQLite format 3\0"
_DAMAGES = (sqlite3.Error, UnicodeDecodeError)


def detect(head: Head) -> float:
    """How surely the file is one of these: the tables of a file of SQLite are named on its first page."""
    if not head.data.startswith(_MAGIC):
        return 0.0
    return 0.95 if b"checkpoint_ns" in head.data and b"parent_checkpoint_id" in head.data else 0.0


def parts(url: str) -> Iterator[Part]:
    """The threads of a database, each in the place of a file; the connection is closed behind the last.

    Raises
    ------
    ConfigurationError
        The URL cannot be used.
    IngestError
        No answer, no tables of LangGraph, or no such thread.
    """
    address = Address.of(url)
    with address.connect() as connection:
        yield from Postgres(connection, address).parts()


def read(source: Source) -> Iterator[Run | BadLine]:
    """The runs of a thread, or of every thread of a file."""
    if isinstance(source, Part):
        yield from read_thread(source.tables, source.part, source)
        return
    with closing(_opened(source)) as connection:
        try:
            tables = SQLite(connection)
            threads = tables.threads()
        except _DAMAGES as error:
            yield BadLine(None, f"SQLite: {error}")
            return
        for thread in threads:
            try:
                yield from read_thread(tables, thread, source)
            except _DAMAGES as error:
                yield BadLine(None, f"thread {thread!r}: SQLite: {error}")


def _opened(source: Source) -> sqlite3.Connection:
    """The file as it lies there; what it was given as bytes is opened in memory."""
    if source.path is not None and not source.is_gzip:
        connection = sqlite3.connect(f"{source.path.resolve().as_uri()}?mode=ro", uri=True)
    else:
        data = bytearray(source.read_bytes())
        data[18:20] = b"\1\1" if data[18:20] == b"\2\2" else data[18:20]  # a journal cannot lie beside memory
        if not data:
            reason = f"cannot be read: {source.damage.pop().reason}" if source.damage else "is empty"
            raise IngestError(f"{source.name} {reason}.", path=source.name)
        connection = sqlite3.connect(":memory:")
        connection.deserialize(bytes(data))
    connection.text_factory = lambda data: data.decode("utf-8", "replace")
    connection.execute("PRAGMA trusted_schema = OFF")
    return connection
