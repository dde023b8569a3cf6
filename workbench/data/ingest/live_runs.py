"""The runs of a live thread in the store: made equal to what its checkpoints say, in one transaction."""

from __future__ import annotations

import uuid
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import psycopg

from workbench.data.ingest.formats.langgraph_checkpoint import ReadAnew
from workbench.data.ingest.ledger.turns import exclusive
from workbench.data.ingest.live_thread import FORMAT, LiveThread, Told
from workbench.data.ingest.writing.absent import Absent
from workbench.data.ingest.writing.incoming import Incoming, upsert_execution
from workbench.data.ingest.writing.rows import EVENT_COLUMNS, SNAPSHOT_COLUMNS
from workbench.data.secrets.marks import Marks
from workbench.data.store.graphs import Graphs
from workbench.data.store.pruned import gaps
from workbench.data.store.tables import execution_snapshots, observability_events

if TYPE_CHECKING:
    from workbench.data.store.engine import Store

_REMEMBERED_BYTES = 64 * 1024 * 1024
_NO_TIMEOUT = "SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0"


class LiveThreads:
    """The threads of one store that this process mirrored last."""

    def __init__(self) -> None:
        self._threads: OrderedDict[uuid.UUID, LiveThread] = OrderedDict()

    def mirror(self, store: Store, graphs: Graphs, own: uuid.UUID) -> None:
        """Make the runs of a thread say what its checkpoints say now.

        Raises
        ------
        StoreUnavailableError
            No answer from the database; the runs are as they were.
        """
        known = self._threads.pop(own, None)  # what fails is forgotten: the next time reads what is really there
        thread = _mirror(store, graphs, own, known)
        if thread is None:
            return
        self._threads[own] = thread
        while len(self._threads) > 1 and sum(one.size_bytes for one in self._threads.values()) > _REMEMBERED_BYTES:
            self._threads.popitem(last=False)


def _mirror(store: Store, graphs: Graphs, own: uuid.UUID, known: LiveThread | None) -> LiveThread | None:
    """What is to be remembered of the thread; ``None`` where it is gone."""
    with store.raw() as connection, connection.transaction() as transaction:
        connection.execute(_NO_TIMEOUT)
        exclusive(connection, f"graph {own}")
        row = connection.execute(_THREAD, [own]).fetchone()
        if row is None:
            return None
        thread_id, agent_type, changed, mirrored, runs = row
        if changed == mirrored:
            return known
        thread, told = _read(connection, graphs, own, thread_id, agent_type, known)
        if thread.is_new:
            gone = set(runs) - {run.execution for run in thread.runs.values()}
            connection.execute("DELETE FROM workbench.agent_executions WHERE id = ANY(%s)", [[*gone]])
            runs = [run for run in runs if run not in gone]
        _write(connection, thread, told, with_prices=store.settings.prices)
        runs = [*dict.fromkeys([*runs, *(one.execution for one in told)])]
        # A thread that was deleted meanwhile has no row: what was written of it is taken back.
        if connection.execute(_MIRRORED, [changed, runs, own]).rowcount:
            thread.settle(told)
            return thread
        raise psycopg.Rollback(transaction)
    return None


def _read(
    connection: psycopg.Connection,
    graphs: Graphs,
    own: uuid.UUID,
    thread_id: str,
    agent_type: str | None,
    known: LiveThread | None,
) -> tuple[LiveThread, list[Told]]:
    """What has come since the thread was read, or all of it."""
    if known is not None and _is_as_left(connection, known):
        try:
            return known, known.advance(connection, graphs, agent_type)
        except ReadAnew:
            pass  # by what follows
    thread = LiveThread(own, thread_id)
    return thread, thread.advance(connection, graphs, agent_type)


def _is_as_left(connection: psycopg.Connection, thread: LiveThread) -> bool:
    """Whether nobody has deleted the runs meanwhile or pruned their states: it is not known what goes on from those."""
    runs = [run.execution for run in thread.runs.values()]
    row = connection.execute("SELECT count(*) FROM workbench.agent_executions WHERE id = ANY(%s)", [runs]).fetchone()
    return row == (len(runs),) and not gaps(connection, runs)


def _write(connection: psycopg.Connection, thread: LiveThread, told: list[Told], *, with_prices: bool) -> None:
    """Make the stored runs equal to these; only what differs is written."""
    if not told:
        return
    firsts = {one.execution: one.part.first_step for one in told}
    absent = Absent(connection, firsts)
    changed = [one.execution for one in told if upsert_execution(connection, thread.execution(one))]
    events = Incoming(connection, observability_events, EVENT_COLUMNS)
    if _replace(events, firsts, (row for one in told for row in one.events)):
        changed = [*firsts]
    # After the events: what was pruned is known by them.
    states = [row for one in told for row in absent.without(one.execution, one.snapshots)]
    if _replace(Incoming(connection, execution_snapshots, SNAPSHOT_COLUMNS), firsts, states):
        changed = [*firsts]
    absent.write()
    connection.cursor().executemany(_MARK, [mark for one in told for mark in one.marks])
    _link(connection, thread)
    if not changed:
        return
    if with_prices:
        _price(connection, thread, told)
    marks = Marks(connection)
    for execution, first in firsts.items():
        marks.renew([execution], first_step=first)
    marks.write()


def _replace(incoming: Incoming, first_steps: Mapping[uuid.UUID, int], rows: Iterable[Sequence[Any]]) -> bool:
    """Make the stored rows of some runs, from a step on, equal to these; whether any differed."""
    incoming.fill(rows)
    n_gone, n_written = incoming.delete_missing(first_steps), incoming.upsert([*first_steps])
    return bool(n_gone or any(n_written))


def _link(connection: psycopg.Connection, thread: LiveThread) -> None:
    """Hang the calls of subgraphs on the tasks of the graphs around them, which may be written after them."""
    if thread.unlinked:
        rows = connection.execute(_LINK, {"children": [*thread.unlinked], "format": FORMAT})
        thread.unlinked -= {child for child, event in rows if event is not None}


def _price(connection: psycopg.Connection, thread: LiveThread, told: list[Told]) -> None:
    from workbench.data.costs.pricing import calls_of, price_runs

    firsts = {one.execution: one.part.first_step for one in told}
    unused = [one.execution for one in told if one.part.run.usage is None]  # what had used them may have been pruned
    connection.execute(_UNPRICE, [unused])
    calls = calls_of(connection, firsts)
    for one in told:
        run = thread.runs[one.part.namespace]
        run.calls = [call for call in run.calls if call.step_number < one.part.first_step]
        run.calls += calls.get(one.execution, [])
        calls[one.execution] = run.calls
    price_runs(connection, [*firsts], calls=calls)


_THREAD = "SELECT thread_id, agent_type, changed, mirrored, executions FROM workbench.graph_threads WHERE id = %s"
_MIRRORED = "UPDATE workbench.graph_threads SET mirrored = %s, executions = %s WHERE id = %s"
_MARK = "UPDATE workbench.observability_events SET mark = %s, row_version = row_version + 1 WHERE id = %s"

_UNPRICE = """
UPDATE workbench.agent_executions SET cost = NULL, cost_source = NULL, metadata = metadata - 'price_table'
WHERE id = ANY(%s) AND cost_source = 'prices'
"""

_LINK = """
WITH found AS (
  SELECT child.id, above.id AS parent, (
    SELECT event.id FROM workbench.observability_events AS event
    WHERE event.execution_id = above.id AND event.span_id = child.metadata->>'spawned_by'
    ORDER BY event.step_number, event.id LIMIT 1) AS event
  FROM workbench.agent_executions AS child JOIN workbench.agent_executions AS above
    ON above.source = %(format)s AND above.source_id = child.metadata->>'parent_source_id'
  WHERE child.id = ANY(%(children)s)),
moved AS (
  UPDATE workbench.agent_executions AS child SET parent_execution_id = found.parent, parent_event_id = found.event
  FROM found WHERE child.id = found.id
    AND (child.parent_execution_id, child.parent_event_id) IS DISTINCT FROM (found.parent, found.event))
SELECT id, event FROM found
"""
