"""The rows of LangGraph's checkpointers, in Postgres and in SQLite, thread by thread in the order of their making.

Postgres (``langgraph-checkpoint-postgres``): ``checkpoints`` holds a document with the plainest values,
``checkpoint_blobs`` one value per channel and version, ``checkpoint_writes`` what each task wrote. Tables that older
versions made lack ``task_path``; those of the shallow saver hold one checkpoint per thread, without ids and versions.
SQLite (``langgraph-checkpoint-sqlite``): ``checkpoints`` holds the whole document as one blob, ``writes`` the rest.
"""

from __future__ import annotations

import sqlite3
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Protocol

import psycopg
from psycopg import sql

from workbench.data.ingest.reading.chat import mapping
from workbench.data.ingest.reading.database import Address, Part, snapshot
from workbench.data.ingest.reading.parse import parse
from workbench.errors import IngestError

_CHUNK = 25  # checkpoints fetched together with their values
_CACHED_BYTES = 32 * 1024 * 1024  # values kept for the next checkpoints, which mostly have the same
_BRIEF = 2_000  # bytes: a write up to this size is told from another by its content, a longer one by its size

Encoded = tuple[str | None, bytes | None]


@dataclass(slots=True, frozen=True)
class Write:
    """What a task wrote into a channel."""

    task_id: str
    task_path: str
    index: int
    channel: str
    value: Encoded


@dataclass(slots=True)
class Row:
    """One checkpoint. ``document`` is parsed, or encoded as a whole; ``values`` are channels that lie elsewhere."""

    namespace: str
    id: str
    parent: str | None
    document: Any
    metadata: str | bytes | None
    values: dict[str, tuple[str, Encoded]] = field(default_factory=dict)  # channel → (version, value)
    writes: list[Write] = field(default_factory=list)


class Tables(Protocol):
    """Where checkpoints lie."""

    def rows(self, thread: str) -> Iterator[Row]:
        """The checkpoints of a thread, of all namespaces, in the order of their ids."""
        ...


class Postgres:
    """The tables in a Postgres, over one connection.

    Raises
    ------
    IngestError
        There are no such tables.
    """

    def __init__(self, connection: psycopg.Connection, address: Address) -> None:
        self._connection = connection
        self._address = address
        with snapshot(connection, address.name):
            self._columns = self._look()
        self._tables = {
            name: sql.Identifier(*([address.schema] if address.schema else []), name)
            for name in ("checkpoints", "checkpoint_blobs", "checkpoint_writes")
        }
        self._is_shallow = "checkpoint_id" not in self._columns["checkpoints"]
        path = "task_path" if "task_path" in self._columns["checkpoint_writes"] else "''"
        self._parts = {
            **self._tables,
            "id": sql.SQL("checkpoint->>'id'" if self._is_shallow else "checkpoint_id"),
            "parent": sql.SQL("NULL::text" if self._is_shallow else "parent_checkpoint_id"),
            "version": sql.SQL("''" if self._is_shallow else "version"),
            "path": sql.SQL(path),
            "brief": sql.Literal(_BRIEF),
        }
        self._cache: OrderedDict[tuple[str, str, str, str], Encoded] = OrderedDict()
        self._cached_bytes = 0

    def _look(self) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        query = (
            "SELECT c.relname, a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 "
            "JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relname LIKE 'checkpoint%%' AND NOT a.attisdropped "
            "AND CASE WHEN %(schema)s::text IS NULL THEN pg_table_is_visible(c.oid) ELSE n.nspname = %(schema)s END"
        )
        for table, column in self._connection.execute(query, {"schema": self._address.schema}):
            found.setdefault(table, set()).add(column)
        missing = [name for name in ("checkpoints", "checkpoint_blobs", "checkpoint_writes") if name not in found]
        if missing or not {"thread_id", "checkpoint_ns", "checkpoint"} <= found["checkpoints"]:
            where = f"schema {self._address.schema!r}" if self._address.schema else "the connection's search path"
            raise IngestError(
                f"{self._address.name}: no checkpoint tables of LangGraph in {where} "
                f"(missing: {', '.join(missing) or 'columns of checkpoints'}). Name the schema they lie in: "
                "postgresql://…?schema=NAME.",
                path=self._address.name,
            )
        return found

    def parts(self) -> Iterator[Part]:
        """The threads, each with what tells its present state from an older one."""
        known: dict[str, list[Any]] = {}
        sizes: dict[str, int] = {}
        wanted = list(self._address.threads) or None
        with snapshot(self._connection, self._address.name):
            for query in (_OF_CHECKPOINTS, _OF_WRITES, _OF_BLOBS):
                for thread, size, *state in self._execute(query, {"threads": wanted}):
                    known.setdefault(thread, []).append(state)
                    sizes[thread] = sizes.get(thread, 0) + int(size or 0)
        absent = [thread for thread in self._address.threads if thread not in known]
        if absent:
            raise IngestError(
                f"{self._address.name}: no thread {absent[0]!r}. There are {self._n_threads():,} threads.",
                path=self._address.name,
            )
        for thread in sorted(known):
            yield Part(self._address, thread, known[thread], sizes[thread], self)

    def _n_threads(self) -> int:
        with snapshot(self._connection, self._address.name):
            row = self._execute("SELECT count(DISTINCT thread_id) FROM {checkpoints}").fetchone()
        return row[0] if row else 0

    def rows(self, thread: str) -> Iterator[Row]:
        """The checkpoints of a thread, of all namespaces, in the order of their ids; a chunk of them in memory."""
        self._cache.clear()
        self._cached_bytes = 0
        name = f"{self._address.name}#{thread}"
        with snapshot(self._connection, name), self._connection.cursor(name="workbench_checkpoints") as cursor:
            cursor.itersize = _CHUNK
            cursor.execute(sql.SQL(_CHECKPOINTS).format(**self._parts), {"thread": thread})
            while chunk := [self._row(row) for row in islice(cursor, _CHUNK)]:
                self._add_writes(thread, chunk)
                # One by one: the values of a checkpoint are let go before those of the next are fetched.
                for row in chunk:
                    self._add_values(thread, row)
                    yield row

    def _row(self, row: Sequence[Any]) -> Row:
        namespace, checkpoint, parent, document, metadata = row
        return Row(namespace, checkpoint or "", parent, mapping(parse(document.encode()).value), metadata)

    def _add_writes(self, thread: str, chunk: list[Row]) -> None:
        by_key = {(row.namespace, row.id): row for row in chunk}
        keys = {"spaces": [key[0] for key in by_key], "ids": [key[1] for key in by_key]}
        for namespace, checkpoint, task, path, index, channel, kind, data in self._execute(
            _WRITES, {"thread": thread, **keys}
        ):
            by_key[namespace, checkpoint].writes.append(Write(task, path, index, channel, (kind, data)))

    def _add_values(self, thread: str, row: Row) -> None:
        versions = _versions(row)
        keys = {name: ("" if self._is_shallow else version) for name, version in versions.items()}
        found: dict[str, Encoded] = {}
        for name, version in keys.items():
            key = (thread, row.namespace, name, version)
            if key in self._cache:
                self._cache.move_to_end(key)
                found[name] = self._cache[key]
        missing = {name: version for name, version in keys.items() if name not in found}
        if missing:
            asked = {
                "thread": thread,
                "space": row.namespace,
                "names": list(missing),
                "versions": list(missing.values()),
            }
            for name, kind, data in self._execute(_BLOBS, asked):
                found[name] = (kind, data)
                self._keep((thread, row.namespace, name, keys[name]), (kind, data))
        row.values = {name: (versions[name], value) for name, value in found.items()}

    def _keep(self, key: tuple[str, str, str, str], value: Encoded) -> None:
        self._cache[key] = value
        self._cached_bytes += len(value[1] or b"")
        while self._cached_bytes > _CACHED_BYTES and len(self._cache) > 1:
            _, (_, data) = self._cache.popitem(last=False)
            self._cached_bytes -= len(data or b"")

    def _execute(self, query: str, parameters: dict[str, Any] | None = None) -> psycopg.Cursor:
        return self._connection.execute(sql.SQL(query).format(**self._parts), parameters)  # pyright: ignore[reportArgumentType]


class SQLite:
    """The tables in a file of SQLite."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        names = {row[1] for row in connection.execute("PRAGMA table_info(writes)")}
        self._path = "task_path" if "task_path" in names else "''"

    def threads(self) -> list[str]:
        """The ids of the threads."""
        rows = self._connection.execute("SELECT DISTINCT thread_id FROM checkpoints ORDER BY thread_id")
        return [str(thread) for (thread,) in rows]

    def rows(self, thread: str) -> Iterator[Row]:
        """The checkpoints of a thread, of all namespaces, in the order of their ids."""
        query = (
            "SELECT checkpoint_ns, checkpoint_id, parent_checkpoint_id, type, checkpoint, metadata FROM checkpoints "
            "WHERE thread_id = ? ORDER BY checkpoint_id, checkpoint_ns"
        )
        for namespace, checkpoint, parent, kind, data, metadata in self._connection.execute(query, [thread]):
            row = Row(_text(namespace), _text(checkpoint), parent and _text(parent), (kind, _bytes(data)), metadata)
            row.writes = list(self._writes(thread, namespace, checkpoint))
            yield row

    def _writes(self, thread: str, namespace: Any, checkpoint: Any) -> Iterator[Write]:
        query = (
            f"SELECT task_id, {self._path}, idx, channel, type, value FROM writes "
            "WHERE thread_id = ? AND checkpoint_ns = ? AND checkpoint_id = ? ORDER BY 2, task_id, idx"
        )
        for task, path, index, channel, kind, data in self._connection.execute(query, [thread, namespace, checkpoint]):
            number = index if isinstance(index, int) else 0
            yield Write(_text(task), _text(path), number, _text(channel), (kind and _text(kind), _bytes(data)))


def _versions(row: Row) -> dict[str, str]:
    """The version of each channel that a checkpoint refers to."""
    return {str(name): str(version) for name, version in mapping(row.document.get("channel_versions")).items()}


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else "" if value is None else str(value)


def _bytes(value: Any) -> bytes | None:
    return value.encode() if isinstance(value, str) else None if value is None else bytes(value)


_OF_CHECKPOINTS = """
SELECT thread_id, sum(pg_column_size(checkpoint)), count(*),
  md5(string_agg(concat_ws(E'\\x1f', checkpoint_ns, {id}, {parent}), E'\\x1e'
    ORDER BY checkpoint_ns COLLATE "C", ({id}) COLLATE "C"))
FROM {checkpoints} WHERE %(threads)s::text[] IS NULL OR thread_id = ANY(%(threads)s) GROUP BY thread_id
"""

_OF_WRITES = """
SELECT thread_id, sum(octet_length(blob)), count(*),
  md5(string_agg(concat_ws(E'\\x1f', checkpoint_ns, checkpoint_id, task_id, idx, channel, type,
      CASE WHEN octet_length(blob) <= {brief} THEN md5(blob) ELSE octet_length(blob)::text END), E'\\x1e'
    ORDER BY checkpoint_ns COLLATE "C", checkpoint_id COLLATE "C", task_id COLLATE "C", idx))
FROM {checkpoint_writes} WHERE (%(threads)s::text[] IS NULL OR thread_id = ANY(%(threads)s))
  AND thread_id IN (SELECT thread_id FROM {checkpoints}) GROUP BY thread_id
"""

_OF_BLOBS = """
SELECT thread_id, sum(octet_length(blob)), count(*) FROM {checkpoint_blobs}
WHERE (%(threads)s::text[] IS NULL OR thread_id = ANY(%(threads)s))
  AND thread_id IN (SELECT thread_id FROM {checkpoints}) GROUP BY thread_id
"""

_CHECKPOINTS = """
SELECT checkpoint_ns, {id}, {parent}, checkpoint::text, metadata::text
FROM {checkpoints} WHERE thread_id = %(thread)s ORDER BY ({id}) COLLATE "C", checkpoint_ns COLLATE "C"
"""

_WRITES = """
SELECT checkpoint_ns, checkpoint_id, task_id, {path}, idx, channel, type, blob
FROM {checkpoint_writes} WHERE thread_id = %(thread)s AND (checkpoint_ns, checkpoint_id) IN (
  SELECT * FROM unnest(%(spaces)s::text[], %(ids)s::text[]))
ORDER BY {path} COLLATE "C", task_id COLLATE "C", idx
"""

_BLOBS = """
SELECT channel, type, blob FROM {checkpoint_blobs}
WHERE thread_id = %(thread)s AND checkpoint_ns = %(space)s AND (channel, {version}) IN (
  SELECT * FROM unnest(%(names)s::text[], %(versions)s::text[]))
"""
