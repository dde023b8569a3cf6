"""Runs that tell of live graphs: made of the checkpoints in the store, by the reader of LangGraph's tables.

The checkpoints are the truth, the runs say what they say: a late write, a fork, a thread that was pruned or deleted
changes the runs with the next mirroring. It happens behind the back of the agent, soon after its thread has changed,
and takes no more than a fifth of the time; whoever reads in the same process sees all that was put before. What a
killed process left behind is made up for by the next one.
"""

from __future__ import annotations

import logging
import os
import threading
import time
import uuid
import weakref
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, cast

import orjson
import psycopg

from workbench.data.ingest.detect import Reader
from workbench.data.ingest.formats.langgraph_tables import Row, Write
from workbench.data.ingest.formats.langgraph_thread import read_thread
from workbench.data.ingest.formats.langgraph_values import TYPE, decode
from workbench.data.ingest.ids import execution_id
from workbench.data.ingest.ledger.turns import Turn, exclusive
from workbench.data.ingest.normal import Run
from workbench.data.ingest.reading.marks import mark
from workbench.data.ingest.reading.source import Source
from workbench.data.ingest.writing.absent import Absent
from workbench.data.ingest.writing.incoming import Incoming, upsert_execution
from workbench.data.ingest.writing.links import Links
from workbench.data.ingest.writing.rows import EVENT_COLUMNS, SNAPSHOT_COLUMNS, RowMaker
from workbench.data.secrets.marks import Marks
from workbench.data.store.graphs import Encoded, Graphs, Point
from workbench.data.store.tables import execution_snapshots, observability_events
from workbench.errors import StoreUnavailableError, WorkbenchError

if TYPE_CHECKING:
    from workbench.data.store.engine import Store

log = logging.getLogger(__name__)

FORMAT = "langgraph-live"
HAS_PARENTS = True
_SHARE = 5  # of the time, one part is for mirroring
_PAUSE_S = 0.05
_READABLE = ("msgpack", "json", "null", "empty", "bytes", "bytearray")
_NO_TIMEOUT = "SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0"


def mirror(store: Store, thread: uuid.UUID) -> list[uuid.UUID]:
    """Make the runs of a thread say what its checkpoints say now; their ids, the graph's own first.

    Raises
    ------
    StoreUnavailableError
        No answer from the database; the runs are as they were.
    """
    with store.raw() as connection, connection.transaction() as transaction:
        connection.execute(_NO_TIMEOUT)
        exclusive(connection, f"graph {thread}")
        row = connection.execute(_THREAD, [thread]).fetchone()
        if row is None:
            return []
        thread_id, agent_type, changed, mirrored, known = row
        if changed == mirrored:
            return known
        source = Source(FORMAT, content=b"")
        names = {"": thread_id}
        found = read_thread(
            _Live(Graphs(store), connection, thread),
            thread_id,
            source,
            names=lambda namespace: names.get(namespace, f"{thread}/{namespace}"),
        )
        runs = [item for item in found if isinstance(item, Run)]
        for run in runs[:1]:
            run.agent_type = agent_type or run.agent_type
        ids = _write(connection, source, runs, known, with_prices=store.settings.prices)
        # A thread that was deleted meanwhile has no row: what was written of it is taken back.
        if not connection.execute(_MIRRORED, [changed, ids, thread]).rowcount:
            raise psycopg.Rollback(transaction)
    return ids


def _write(
    connection: psycopg.Connection, source: Source, runs: list[Run], known: list[uuid.UUID], *, with_prices: bool
) -> list[uuid.UUID]:
    """Make the stored runs equal to these; only what differs is written."""
    maker = RowMaker(FORMAT, source, None)
    ids = [maker.id_of(run) for run in runs]
    gone = [own for own in known if own not in ids]
    connection.execute("DELETE FROM workbench.agent_executions WHERE id = ANY(%s)", [gone])
    links, marks = Links(cast(Reader, _Links)), Marks(connection)
    changed = []
    events = Incoming(connection, observability_events, EVENT_COLUMNS)
    snapshots = Incoming(connection, execution_snapshots, SNAPSHOT_COLUMNS)
    absent = Absent(connection, ids)
    for run, own in zip(runs, ids, strict=True):
        mark(run.steps)
        is_changed = upsert_execution(connection, maker.execution(run))
        for rows, given in ((events, maker.events), (snapshots, maker.snapshots)):
            rows.fill(given(run) if rows is events else absent.without(own, given(run)))
            n_gone, n_written = rows.delete_missing([own]), rows.upsert([own])
            is_changed = bool(n_gone or any(n_written)) or is_changed
        absent.write()
        links.add(run)
        if is_changed:
            changed.append(own)
    links.write(connection, Turn(connection, FORMAT, is_alone=False))
    if changed:
        if with_prices:
            _price(connection, changed)
        marks.renew(changed)
        marks.write()
    return ids


def _price(connection: psycopg.Connection, runs: list[uuid.UUID]) -> None:
    from workbench.data.costs.pricing import price_runs

    price_runs(connection, runs)


class _Links:
    """What the links of runs ask of a reader."""

    FORMAT = FORMAT
    HAS_PARENTS = True


class _Live:
    """The checkpoints of the store as the reader of LangGraph's tables wants them."""

    def __init__(self, graphs: Graphs, connection: psycopg.Connection, thread: uuid.UUID) -> None:
        self._graphs = graphs
        self._connection = connection
        self._id = thread

    def rows(self, thread: str) -> Iterator[Row]:
        """The checkpoints in the order of their ids."""
        for point in self._graphs.history(self._connection, self._id):
            yield _row(point)


def _row(point: Point) -> Row:
    document, metadata = _document(point)
    return Row(
        point.place.namespace,
        point.place.checkpoint_id,
        point.parent_id,
        document,
        metadata,
        {name: ((point.digests[name] or b"").hex(), _shown(value)) for name, value in point.values.items()},
        [Write(w.task_id, w.task_path, w.idx, w.channel, _shown(w.value)) for w in point.writes],
    )


def _document(point: Point) -> tuple[dict[str, Any], bytes | None]:
    """Checkpoint and metadata; where they cannot be read (they are encrypted), when it was put."""
    unread: dict[str, Any] = {"ts": point.created_at.isoformat()}
    if point.document.kind not in _READABLE:
        return unread, None
    try:
        both = decode(*point.document, lambda _: None)
        return {**both["checkpoint"]}, orjson.dumps(both["metadata"], default=str)
    except (ValueError, TypeError, KeyError):
        return unread, None


def _shown(value: Encoded) -> tuple[str, bytes]:
    """A value that people may read; of an encrypted one that it is there, and how large."""
    if value.kind in _READABLE:
        return value
    return "json", orjson.dumps({TYPE: value.kind, "size_bytes": len(value.data)})


class Mirror:
    """Mirrors the threads of one store that have changed, in the background. One for each store: :func:`mirror_of`."""

    def __init__(self, store: Store) -> None:
        self._store = weakref.ref(store)
        self._waiting: dict[str, None] = {}
        self._wake = threading.Condition()
        self._busy = threading.Lock()
        self._thread: threading.Thread | None = None
        self._is_closed = False
        store.before_read(self.flush)
        store.on_close(self.close)

    def note(self, thread_id: str) -> None:
        """A thread has changed."""
        with self._wake:
            self._waiting[thread_id] = None
            if self._is_closed:
                return
            if self._thread is None or not self._thread.is_alive():  # or this is a forked child
                self._thread = threading.Thread(target=self._run, name="workbench-mirror", daemon=True)
                self._thread.start()
            self._wake.notify()

    def flush(self) -> None:
        """Mirror now whatever has changed.

        Raises
        ------
        StoreUnavailableError
            No answer from the database.
        """
        with self._busy:
            while thread := self._next():
                self._do(thread)

    def close(self) -> None:
        """Mirror what has changed, and end; what a dead database does not take is made up for later."""
        with self._wake:
            self._is_closed = True
            self._wake.notify()
        try:
            self.flush()
        except WorkbenchError as error:
            log.warning("the last checkpoints are not shown as runs yet: %s", error)

    def _next(self) -> str | None:
        with self._wake:
            thread = next(iter(self._waiting), None)
            if thread is not None:
                del self._waiting[thread]
            return thread

    def _do(self, thread_id: str) -> None:
        store = self._store()
        if store is None:
            return
        try:
            with store.raw() as connection:
                row = connection.execute(_BY_NAME, [thread_id]).fetchone()
            if row is not None:
                mirror(store, row[0])
        except StoreUnavailableError:
            with self._wake:
                self._waiting[thread_id] = None
            raise

    def _run(self) -> None:
        pause = _PAUSE_S
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._waiting or self._is_closed)
                self._wake.wait_for(lambda: self._is_closed, timeout=pause)
                if self._is_closed or self._store() is None:
                    return
            began = time.monotonic()
            try:
                with self._busy:
                    thread = self._next()
                    if thread is not None:
                        self._do(thread)
            except Exception as error:  # the agent goes on; its checkpoints are stored
                log.warning(
                    "checkpoints are stored, but not shown as runs yet: %s",
                    error,
                    exc_info=not isinstance(error, WorkbenchError),
                )
                pause = min(max(pause, _PAUSE_S) * 2, 30.0)
            else:
                pause = max(_PAUSE_S, (_SHARE - 1) * (time.monotonic() - began))


_mirrors: weakref.WeakKeyDictionary[Store, Mirror] = weakref.WeakKeyDictionary()
_making = threading.Lock()
if hasattr(os, "register_at_fork"):  # a child has no thread of its parent's, and its locks may be held by one
    os.register_at_fork(after_in_child=_mirrors.clear)


def mirror_of(store: Store) -> Mirror:
    """The mirror of a store."""
    with _making:
        found = _mirrors.get(store)
        if found is None:
            found = _mirrors[store] = Mirror(store)
        return found


def left_behind(store: Store, *, since_s: float = 0) -> list[str]:
    """Threads of which the runs do not tell all, and that nobody has changed for so long."""
    with store.raw() as connection:
        return [thread for (thread,) in connection.execute(_BEHIND, [since_s])]


def run_id_of(thread_id: str) -> uuid.UUID:
    """The id of the run that a thread becomes."""
    return execution_id(FORMAT, thread_id)


_BY_NAME = "SELECT id FROM workbench.graph_threads WHERE thread_id = %s"
_THREAD = "SELECT thread_id, agent_type, changed, mirrored, executions FROM workbench.graph_threads WHERE id = %s"
_MIRRORED = "UPDATE workbench.graph_threads SET mirrored = %s, executions = %s WHERE id = %s"
_BEHIND = """
SELECT thread_id FROM workbench.graph_threads
WHERE mirrored < changed AND changed_at < clock_timestamp() - %s * interval '1 s' ORDER BY changed_at
"""
