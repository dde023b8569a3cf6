"""Checkpoints of live graphs, exactly as they were put: what LangGraph's checkpointer keeps in the store.

A checkpoint is a row with its document; the values of its channels lie beside it, each content once per thread,
whichever checkpoints and namespaces have it. A new version of a value is a delta on an earlier one (see
:mod:`workbench.data.store.deltas`), so a conversation that grows by a turn grows the store by a turn. Values are found
by a digest of what they are, so what is remembered in this process can never be another process's older content.

Whoever changes a thread holds the lock on its row first: what a checkpoint refers to is there when it is written, and
what nobody refers to can be taken away.
"""

from __future__ import annotations

import hashlib
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
from workbench.data.store.deltas import base_position, delta, pack, unpack
from workbench.errors import StoreError

if TYPE_CHECKING:
    from workbench.data.store.engine import Store

_REMEMBERED_BYTES = 64 * 1024 * 1024
_REMEMBERED_LINES = 10_000
_REMEMBERED_POINTS = 500
_SMALL = 256  # bytes: as a delta a value of this size would save nothing
_PAGE = 50  # checkpoints read together


class Encoded(NamedTuple):
    """A value as the serializer wrote it."""

    kind: str
    data: bytes

    @property
    def digest(self) -> bytes:
        """What tells it from every other value."""
        return hashlib.blake2b(self.kind.encode() + b"\0" + self.data, digest_size=16).digest()


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


class _Line(NamedTuple):
    """How a stored value is rebuilt: its own digest, then those it builds on, down to a whole one."""

    position: int
    chain: tuple[bytes, ...]


class _Stale(Exception):  # noqa: N818 (no error: the checkpoint is put again)
    """What this process remembers of a thread is gone from the store."""


class Graphs:
    """The checkpoints of one store. Safe to use from several threads and processes."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._values: OrderedDict[bytes, Encoded] = OrderedDict()
        self._n_bytes = 0
        self._lines: OrderedDict[tuple[str, bytes], _Line] = OrderedDict()
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
    ) -> dict[str, bytes | None]:
        """Store a checkpoint, or put it in the place of the one of this id.

        Parameters
        ----------
        metadata
            JSON, to be searched in.
        values
            Of each channel: what it holds; ``Kept`` where the parent's value stays, ``None`` where the document has it.
        before
            Digests of the channels in the parent checkpoint: new versions build on them.

        Returns
        -------
        dict
            The digest of each channel's value.

        Raises
        ------
        LookupError
            A value that was to be kept is not in the store any more.
        """
        for is_last in (False, True):
            try:
                return self._put(place, parent_id, document, metadata, run_id, values, before, agent_type)
            except _Stale:
                self._forget(place.thread_id)
                if is_last:
                    break
        raise LookupError(place.thread_id)

    def _put(
        self,
        place: Place,
        parent_id: str | None,
        document: Encoded,
        metadata: str,
        run_id: str | None,
        values: Mapping[str, Encoded | Kept | None],
        before: Mapping[str, bytes | None],
        agent_type: str | None,
    ) -> dict[str, bytes | None]:
        digests: dict[str, bytes | None] = {}
        rows: dict[bytes, tuple[bytes, bytes | None, int, str, bytes]] = {}
        lines: dict[bytes, _Line] = {}
        needed: set[bytes] = set()
        for channel, value in values.items():
            if not isinstance(value, Encoded):
                digests[channel] = None if value is None else value.digest
                needed |= set() if value is None else {value.digest}
                continue
            digest = digests[channel] = value.digest
            if digest in rows:
                continue
            packed, line = self._packed(place.thread_id, digest, value, before.get(channel))
            base = line.chain[1] if len(line.chain) > 1 else None
            rows[digest], lines[digest] = (digest, base, line.position, value.kind, packed), line
            needed |= {base} if base is not None else set()
        columns = list(zip(*rows.values(), strict=True)) or [()] * 5
        given = {
            **_named(place),
            "agent_type": agent_type,
            "parent_id": parent_id,
            "run_id": run_id,
            "metadata": metadata,
            "channels": Jsonb({name: own and own.hex() for name, own in digests.items()}),
            "kind": document.kind,
            "document": pack(document.data),
            "needed": list(needed),
            **dict(zip(("digests", "bases", "positions", "kinds", "data"), map(list, columns), strict=True)),
        }
        with self._store.raw() as connection, connection.pipeline():
            connection.execute(sql.TOUCH, given)
            row = connection.execute(sql.PUT, given).fetchone()
            if row is None or row[0] != len(needed):
                raise _Stale(place.thread_id)
        for channel, value in values.items():
            if isinstance(value, Encoded):
                own = digests[channel]
                assert own is not None
                self._remember(own, value)
        with self._lock:
            self._lines |= {(place.thread_id, own): line for own, line in lines.items()}
            self._told[place] = digests, document
            while len(self._lines) > _REMEMBERED_LINES:
                self._lines.popitem(last=False)
            while len(self._told) > _REMEMBERED_POINTS:
                self._told.popitem(last=False)
        return digests

    def _packed(self, thread: str, digest: bytes, value: Encoded, before: bytes | None) -> tuple[bytes, _Line]:
        """A value as it is stored, and how it is rebuilt."""
        line = None
        if before is not None and before != digest and len(value.data) > _SMALL:
            line = self._line(thread, before)
        if line is not None:
            position = line.position + 1
            # Of the version before, the chain holds what the next one builds on.
            chain = line.chain[len(line.chain) - 1 - base_position(position).bit_count() :]
            base = self._value(thread, chain[0])
            packed = None if base is None else delta(value.data, base.data)
            if packed is not None:
                return packed, _Line(position, (digest, *chain))
        return pack(value.data), _Line(0, (digest,))

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

    def history(self, connection: psycopg.Connection, thread: uuid.UUID) -> Iterator[Point]:
        """The checkpoints of a thread, of all namespaces, in the order of their ids; over the caller's connection."""
        given: dict[str, Any] = {"thread": thread, "after": None, "after_namespace": None, "limit": _PAGE}
        while True:
            rows = connection.execute(sql.HISTORY, given, prepare=False, binary=True).fetchall()
            yield from self._points(connection, rows)
            if len(rows) < _PAGE:
                return
            given |= {"after": rows[-1][3], "after_namespace": rows[-1][2]}

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
        found = {thread: self._load(connection, thread, digests) for thread, digests in wanted.items()}
        for thread, point in points:
            point.values = {
                name: found[thread][own]
                for name, own in point.digests.items()
                if own is not None and (only is None or name in only)
            }
        return [point for _, point in points]

    def _load(self, connection: psycopg.Connection, thread: Any, digests: Iterable[bytes]) -> dict[bytes, Encoded]:
        """Values by their digests; what this process remembers is not asked for again."""
        with self._lock:
            known = {own: self._values[own] for own in digests if own in self._values}
        missing = [own for own in digests if own not in known]
        if not missing:
            return known
        rows = connection.execute(sql.CHAINS, {"thread": thread, "digests": missing}, binary=True).fetchall()
        stored = {bytes(own): (base and bytes(base), kind, data) for own, base, _, kind, data in rows}
        for own in missing:
            known[own] = self._rebuilt(own, stored, known)
            self._remember(own, known[own])
        return known

    def _rebuilt(
        self, digest: bytes, stored: Mapping[bytes, tuple[bytes | None, str, bytes]], known: dict[bytes, Encoded]
    ) -> Encoded:
        chain, at = [], digest
        while at not in known:
            if at not in stored:
                raise _damaged(digest, f"{at.hex()}, on which it builds, is not there")
            chain.append(at)
            base = stored[at][0]
            if base is None:
                break
            at = base
        value = known.get(at)
        for own in reversed(chain):
            _, kind, data = stored[own]
            value = known[own] = Encoded(kind, unpack(data, value and value.data))
        assert value is not None
        if value.digest != digest:
            raise _damaged(digest, "its bytes have changed")
        return value

    # -- what is remembered ----------------------------------------------------------------------------------------

    def _remember(self, digest: bytes, value: Encoded) -> None:
        with self._lock:
            if digest in self._values:
                self._values.move_to_end(digest)
                return
            self._values[digest] = value
            self._n_bytes += len(value.data)
            while self._n_bytes > _REMEMBERED_BYTES and len(self._values) > 1:
                _, old = self._values.popitem(last=False)
                self._n_bytes -= len(old.data)

    def _forget(self, thread: str) -> None:
        with self._lock:
            for key in [key for key in self._lines if key[0] == thread]:
                del self._lines[key]
            for place in [place for place in self._told if place.thread_id == thread]:
                del self._told[place]

    def _line(self, thread: str, digest: bytes) -> _Line | None:
        with self._lock:
            found = self._lines.get((thread, digest))
        if found is not None:
            return found
        with self._store.raw() as connection:
            rows = connection.execute(sql.LINE, {"thread_id": thread, "digest": digest}).fetchall()
        if not rows:
            return None
        by_own = {bytes(own): base and bytes(base) for own, base, _ in rows}
        position = next(place for own, _, place in rows if bytes(own) == digest)
        chain, at = [], digest
        while at is not None:
            chain.append(at)
            at = by_own[at]
        return _Line(position, tuple(chain))

    def _value(self, thread: str, digest: bytes) -> Encoded | None:
        with self._lock:
            if digest in self._values:
                return self._values[digest]
        with self._store.raw() as connection:
            row = connection.execute(sql.THREAD, {"thread_id": thread}).fetchone()
            return None if row is None else self._load(connection, row[0], [digest])[digest]

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


def _damaged(digest: bytes, how: str) -> StoreError:
    return StoreError(f"The value {digest.hex()} in the store is damaged: {how}. Restore the database from a backup.")


def _named(place: Place) -> dict[str, str]:
    return dict(zip(("thread_id", "namespace", "checkpoint_id"), place, strict=True))


def _written(row: Sequence[bytes]) -> Write:
    task, path, idx, channel, kind, data = row
    number = int.from_bytes(idx, signed=True)
    return Write(task.decode(), path.decode(), number, channel.decode(), Encoded(kind.decode(), unpack(data)))
