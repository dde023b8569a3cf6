"""Checkpoints of live graphs, exactly as they were put: what LangGraph's checkpointer keeps in the store.

A checkpoint is a row with its document; the values of its channels lie beside it
(:mod:`workbench.data.store.graph_values`), so a conversation that grows by a turn grows the store by a turn.

Whoever changes a thread holds the lock on its row first: what a checkpoint refers to is there when it is written, and
what nobody refers to can be taken away.
"""

from __future__ import annotations

import threading
import uuid
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import psycopg
from psycopg.types.json import Jsonb

from workbench.data.store import graph_statements as sql
from workbench.data.store.deltas import pack, unpack
from workbench.data.store.graph_values import Encoded, Line, Values

if TYPE_CHECKING:
    from workbench.data.store.engine import Store

_REMEMBERED_POINTS = 500
_PAGE = 50  # checkpoints read together


class Place(NamedTuple):
    """Where a checkpoint is."""

    thread_id: str
    namespace: str
    checkpoint_id: str


class Write(NamedTuple):
    """What a task wrote."""

    task_id: str
    task_path: str
    idx: int
    channel: str
    value: Encoded


@dataclass(slots=True)
class Point:
    """A checkpoint as it was put."""

    place: Place
    parent_id: str | None
    document: Encoded
    values: dict[str, Encoded] = field(default_factory=dict)  # of the channels that the document lacks
    digests: dict[str, bytes | None] = field(default_factory=dict)  # of all its channels; None: in the document
    writes: list[Write] = field(default_factory=list)
    created_at: Any = None


class Kept(NamedTuple):
    """A value that stays as it was in the parent checkpoint."""

    digest: bytes


class Version(NamedTuple):
    """What tells a later state of some checkpoints and their writes from an earlier one."""

    n_checkpoints: int
    n_rows: int
    xmins: int  # sum of the transactions that wrote the rows: a row that is written anew has a higher one

    def plus(self, other: Version) -> Version:
        """That of both."""
        return Version(*(a + b for a, b in zip(self, other, strict=True)))


class _Stale(Exception):  # noqa: N818 (no error: the checkpoint is put again)
    """What this process remembers of a thread is gone from the store."""


class Graphs:
    """The checkpoints of one store. Safe to use from several threads and processes.

    Parameters
    ----------
    values
        What this process remembers of them, to be shared by all that read the same store.
    """

    def __init__(self, store: Store, values: Values | None = None) -> None:
        self._store = store
        self._values = values or Values()
        self._lock = threading.Lock()
        self._told: OrderedDict[Place, tuple[dict[str, bytes | None], Encoded]] = OrderedDict()

    # -- writing ---------------------------------------------------------------------------------------------------

    def put(
        self,
        place: Place,
        *,
        parent_id: str | None,
        document: Encoded,
        metadata: str,
        run_id: str | None,
        values: Mapping[str, Encoded | Kept | None],
        before: Mapping[str, bytes | None],
        agent_type: str | None,
    ) -> None:
        """Store a checkpoint, or put it in the place of the one of this id.

        Parameters
        ----------
        metadata
            JSON, to be searched in.
        values
            Of each channel: what it holds; ``Kept`` where the parent's value stays, ``None`` where the document has it.
        before
            Digests of the channels in the parent checkpoint: new versions build on them.

        Raises
        ------
        LookupError
            A value that was to be kept is not in the store any more.
        """
        digests = {name: None if value is None else value.digest for name, value in values.items()}
        given = {
            **_named(place),
            "agent_type": agent_type,
            "parent_id": parent_id,
            "run_id": run_id,
            "metadata": metadata,
            "channels": Jsonb({name: own and own.hex() for name, own in digests.items()}),
            "kind": document.kind,
            "document": pack(document.data),
        }
        try:
            self._put(place, given, values, before)
        except _Stale:
            self._forget(place.thread_id)
            try:
                self._put(place, given, values, before)
            except _Stale:
                raise LookupError(place.thread_id) from None
        with self._lock:
            self._told[place] = digests, document
            while len(self._told) > _REMEMBERED_POINTS:
                self._told.popitem(last=False)

    def _put(
        self,
        place: Place,
        given: Mapping[str, Any],
        values: Mapping[str, Encoded | Kept | None],
        before: Mapping[str, bytes | None],
    ) -> None:
        new = {value.digest: (value, before.get(name)) for name, value in values.items() if isinstance(value, Encoded)}
        needed = {value.digest for value in values.values() if isinstance(value, Kept)}
        rows: list[tuple[Any, ...]] = []
        lines: dict[bytes, Line] = {}
        with self._store.raw() as connection:
            for digest, (value, old) in new.items():
                packed, line = self._values.packed(connection, place.thread_id, digest, value, old)
                rows.append((digest, line.base, line.position, value.kind, packed))
                lines[digest] = line
            needed |= {line.base for line in lines.values() if line.base is not None}
            columns = zip(*rows, strict=True) if rows else [()] * 5
            named = dict(zip(("digests", "bases", "positions", "kinds", "data"), map(list, columns), strict=True))
            with connection.pipeline():
                connection.execute(sql.TOUCH, given)
                row = connection.execute(sql.PUT, {**given, **named, "needed": [*needed]}).fetchone()
                if row is None or row[0] != len(needed):
                    raise _Stale(place.thread_id)
        for digest, (value, _) in new.items():
            self._values.remember(digest, value)
        self._values.are_stored(place.thread_id, lines)

    def put_writes(self, place: Place, writes: Sequence[Write], *, agent_type: str | None) -> None:
        """Store what a task wrote. A write that is there already stays; special ones (below 0) are replaced."""
        rows: dict[int, Write] = {}
        for write in writes:
            if write.idx < 0 or write.idx not in rows:
                rows[write.idx] = write
        given = {
            **_named(place),
            "agent_type": agent_type,
            "tasks": [write.task_id for write in rows.values()],
            "paths": [write.task_path for write in rows.values()],
            "numbers": list(rows),
            "names": [write.channel for write in rows.values()],
            "kinds": [write.value.kind for write in rows.values()],
            "data": [pack(write.value.data) for write in rows.values()],
        }
        with self._store.raw() as connection, connection.pipeline():
            connection.execute(sql.TOUCH, given)
            connection.execute(sql.PUT_WRITES, given)

    def told(
        self, thread_id: str, namespace: str, checkpoint_id: str
    ) -> tuple[dict[str, bytes | None], Encoded] | None:
        """The digests of a checkpoint's values, and its document."""
        place = Place(thread_id, namespace, checkpoint_id)
        with self._lock:
            if place in self._told:
                self._told.move_to_end(place)
                return self._told[place]
        with self._store.raw() as connection:
            row = connection.execute(sql.TOLD, _named(place), binary=True).fetchone()
        if row is None:
            return None
        channels, kind, document = row
        digests = {name: own and bytes.fromhex(own) for name, own in channels.items()}
        return digests, Encoded(kind, unpack(document))

    def newest(self, thread_id: str) -> dict[str, str]:
        """The newest checkpoint of each namespace of a thread."""
        with self._store.raw() as connection:
            return dict(connection.execute(sql.HEADS, {"thread_id": thread_id}).fetchall())

    # -- reading ---------------------------------------------------------------------------------------------------

    def get(self, thread_id: str, namespace: str, checkpoint_id: str | None) -> Point | None:
        """A checkpoint with all it holds; the newest of the namespace where none is named."""
        given = {"thread_id": thread_id, "namespace": namespace, "checkpoint_id": checkpoint_id}
        with self._store.raw() as connection:
            rows = connection.execute(sql.ONE if checkpoint_id else sql.NEWEST, given, binary=True).fetchall()
            return next(iter(self._points(connection, rows)), None)

    def list(
        self,
        *,
        thread_id: str | None = None,
        namespace: str | None = None,
        checkpoint_id: str | None = None,
        before: str | None = None,
        metadata: str | None = None,
        limit: int | None = None,
    ) -> Iterator[list[Point]]:
        """Checkpoints, the newest first, page by page; ``metadata`` is JSON that theirs has to contain."""
        given: dict[str, Any] = {
            "thread_id": thread_id, "namespace": namespace, "checkpoint_id": checkpoint_id, "before": before,
            "metadata": metadata, "after": None, "after_thread": None, "after_namespace": None,
        }  # fmt: skip
        while limit is None or limit > 0:
            given["limit"] = _PAGE if limit is None else min(limit, _PAGE)
            with self._store.raw() as connection:
                rows = connection.execute(sql.LIST, given, prepare=False, binary=True).fetchall()
                page = self._points(connection, rows)
            if page:
                yield page
            if len(page) < given["limit"]:
                return
            limit = None if limit is None else limit - len(page)
            given |= {"after_thread": rows[-1][0], "after_namespace": rows[-1][2], "after": rows[-1][3]}

    def ancestry(self, place: Place, channels: Sequence[str]) -> list[Point]:
        """The checkpoints before one, the nearest first, up to where each channel has had a value; without documents.

        Of their writes and values those of these channels only.
        """
        with self._store.raw() as connection:
            given = {**_named(place), "channels": list(channels)}
            rows = connection.execute(sql.ANCESTRY, given, binary=True).fetchall()
            return self._points(connection, rows, only=set(channels))

    def versions(
        self, connection: psycopg.Connection, thread: uuid.UUID, firsts: Mapping[str, str]
    ) -> tuple[Version, dict[str, dict[str, Version]]]:
        """What tells the present state of a thread's checkpoints, without reading any.

        Parameters
        ----------
        firsts
            By namespace: those before this one are told of together.

        Returns
        -------
        tuple
            Of those that come before, in sum; of all others, by namespace and id.
        """
        given = {"thread": thread, "spaces": [*firsts], "firsts": [*firsts.values()]}
        before = Version(0, 0, 0)
        found: dict[str, dict[str, Version]] = {}
        for namespace, checkpoint, *version in connection.execute(sql.VERSIONS, given):
            if namespace is None:
                before = Version(*version)
            else:
                found.setdefault(namespace, {})[checkpoint] = Version(*version)
        return before, found

    def history(
        self, connection: psycopg.Connection, thread: uuid.UUID, places: Sequence[tuple[str, str]]
    ) -> Iterator[Point]:
        """The checkpoints of these namespaces and ids, in the order of their ids; over the caller's connection."""
        for start in range(0, len(places), _PAGE):
            spaces, ids = zip(*places[start : start + _PAGE], strict=True)
            given = {"thread": thread, "spaces": [*spaces], "ids": [*ids]}
            yield from self._points(connection, connection.execute(sql.HISTORY, given, binary=True).fetchall())

    def _points(
        self, connection: psycopg.Connection, rows: Iterable[Sequence[Any]], only: set[str] | None = None
    ) -> list[Point]:
        points: list[tuple[Any, Point]] = []
        for thread, thread_id, namespace, checkpoint, parent, channels, kind, document, at, writes in rows:
            point = Point(
                Place(thread_id, namespace, checkpoint),
                parent,
                Encoded(kind, unpack(document)),
                digests={name: own and bytes.fromhex(own) for name, own in channels.items()},
                writes=[_written(row) for row in writes or () if only is None or bytes(row[3]).decode() in only],
                created_at=at,
            )
            points.append((thread, point))
        wanted: dict[Any, set[bytes]] = {}
        for thread, point in points:
            wanted.setdefault(thread, set()).update(
                own for name, own in point.digests.items() if own is not None and (only is None or name in only)
            )
        found = {thread: self._values.load(connection, thread, digests) for thread, digests in wanted.items()}
        for thread, point in points:
            point.values = {
                name: found[thread][own]
                for name, own in point.digests.items()
                if own is not None and (only is None or name in only)
            }
        return [point for _, point in points]

    def _forget(self, thread: str) -> None:
        self._values.forget(thread)
        with self._lock:
            for place in [place for place in self._told if place.thread_id == thread]:
                del self._told[place]

    # -- whole threads ---------------------------------------------------------------------------------------------

    def delete_threads(self, thread_ids: Sequence[str]) -> None:
        """Take threads away with all they hold, and the runs that tell of them."""
        with self._store.raw() as connection:
            rows = connection.execute(sql.DELETE_THREADS, {"threads": list(thread_ids)}).fetchall()
            runs = [run for (executions,) in rows for run in executions]
            connection.execute("DELETE FROM workbench.agent_executions WHERE id = ANY(%s)", [runs])
        for thread in thread_ids:
            self._forget(thread)

    def copy_thread(self, source: str, target: str, *, agent_type: str | None) -> None:
        """Give another thread all that this one holds."""
        given = {"source": source, "thread_id": target, "agent_type": agent_type}
        with self._store.raw() as connection:
            if connection.execute(sql.THREAD, {"thread_id": source}).fetchone() is None:
                return
            connection.execute(sql.TOUCH, given)
            for statement in (sql.COPY_VALUES, sql.COPY_CHECKPOINTS, sql.COPY_WRITES):
                connection.execute(statement, given)

    def delete_for_runs(self, run_ids: Sequence[str]) -> list[str]:
        """Take away the checkpoints that some runs of the graph made, in all threads; which threads."""
        with self._store.raw() as connection:
            rows = connection.execute(sql.THREADS_OF_RUNS, [list(run_ids)]).fetchall()
        threads = [thread for (thread,) in rows]
        for thread in threads:
            with self._changing(thread) as (connection, own):
                gone = connection.execute(sql.DELETE_OF_RUNS, {"thread": own, "runs": list(run_ids)}).fetchall()
                self._clear(connection, own, gone)
        return threads

    def keep(self, thread_id: str, kept: Mapping[str, Sequence[str]]) -> None:
        """Take away all checkpoints of a thread but some, by namespace; those of other namespaces stay.

        What came after the newest of those that are kept stays too: a graph may be running.
        """
        with self._changing(thread_id) as (connection, own):
            for namespace, ids in kept.items():
                given = {"thread": own, "namespace": namespace, "kept": list(ids), "newest": max(ids)}
                gone = connection.execute(sql.DELETE_OTHERS, given).fetchall()
                self._clear(connection, own, gone)
                connection.execute(sql.CUT_PARENTS, given)

    @contextmanager
    def _changing(self, thread_id: str) -> Iterator[tuple[psycopg.Connection, Any]]:
        with self._store.raw() as connection:
            row = connection.execute(sql.LOCK, {"thread_id": thread_id}).fetchone()
            if row is not None:
                yield connection, row[0]
            else:
                yield connection, uuid.UUID(int=0)  # no thread has it
        self._forget(thread_id)

    def _clear(self, connection: psycopg.Connection, thread: Any, gone: Iterable[Sequence[Any]]) -> None:
        """Take away the writes of checkpoints that are gone, and the values that no other refers to."""
        spaces, ids = [row[0] for row in gone], [row[1] for row in gone]
        connection.execute(sql.CLEAR_WRITES, {"thread": thread, "spaces": spaces, "ids": ids})
        connection.execute(sql.CLEAR_VALUES, {"thread": thread})


def _named(place: Place) -> dict[str, str]:
    return dict(zip(("thread_id", "namespace", "checkpoint_id"), place, strict=True))


def _written(row: Sequence[bytes]) -> Write:
    task, path, idx, channel, kind, data = row
    number = int.from_bytes(idx, signed=True)
    return Write(task.decode(), path.decode(), number, channel.decode(), Encoded(kind.decode(), unpack(data)))
