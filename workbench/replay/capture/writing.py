"""Records of a spool into rows of the store, a batch in one transaction.

Every id is made of the run's own and of the number of the step, so a batch that is written twice (its process died, or
the connection broke, between the commit and the word of it) is written over itself.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson
import uuid_utils

from workbench.data.ingest.normal import Run, State, Step
from workbench.data.ingest.reading.source import Source
from workbench.data.ingest.writing.rows import EVENT_COLUMNS, EXECUTION_COLUMNS, SNAPSHOT_COLUMNS, RowMaker
from workbench.data.store.copy import copy_rows
from workbench.data.store.pruned import gaps
from workbench.data.store.snapshots import Encoder, SnapshotRow
from workbench.data.store.storable import dumped
from workbench.data.store.tables import execution_snapshots, observability_events
from workbench.errors import PatchError
from workbench.replay.capture.spool import framed, unframed

if TYPE_CHECKING:
    from workbench.data.store.engine import Store

SOURCE = "record"
RUN, EVENT, STATE = b"R", b"E", b"S"  # kinds of record
UNFINISHED = "unfinished"
DERIVED_UP_TO = 2_000  # events of a run without states, whose states are derived from its conversation

_MARK = 10  # the place of the mark in an event's header
_Row = tuple[Any, ...]


@dataclass(slots=True)
class RunRecord:
    """The last that is said of a run in a batch."""

    row: list[Any]  # in the order of EXECUTION_COLUMNS
    task: list[Any] | None
    parent: str | None
    parent_step: int | None
    is_ended: bool
    n_events: int
    n_states: int


@dataclass(slots=True)
class Batch:
    """Rows of some records, ready to be written."""

    size: int  # bytes of the spool
    n_bad: int = 0  # lines that were not what was written
    runs: dict[str, RunRecord] = field(default_factory=dict)
    new_events: dict[tuple[str, int], _Row] = field(default_factory=dict)
    ended_events: dict[tuple[str, int], _Row] = field(default_factory=dict)  # those written before as unfinished
    new_states: list[_Row] = field(default_factory=list)
    changed_states: list[_Row] = field(default_factory=list)
    lines: dict[str, list[bytes]] = field(default_factory=dict)  # of each run, for what is put aside
    first_told: set[str] = field(default_factory=set)  # runs of which nothing was told before

    @property
    def executions(self) -> list[str]:
        """Runs that something is said of."""
        return list(self.lines)

    def of(self, run: str) -> Batch:
        """What of this is about one run."""
        own = Batch(0, lines={run: self.lines[run]})
        own.runs = {run: self.runs[run]} if run in self.runs else {}
        own.first_told = self.first_told & {run}
        for name in ("new_events", "ended_events"):
            setattr(own, name, {key: row for key, row in getattr(self, name).items() if key[0] == run})
        for name in ("new_states", "changed_states"):
            setattr(own, name, [row for row in getattr(self, name) if row[1] == run])
        return own


class Writer:
    """Makes batches of what comes out of one spool, in order, and writes them."""

    def __init__(self) -> None:
        self._states: dict[str, _States] = {}
        self._begun: set[tuple[str, int]] = set()  # events written as unfinished
        self._told: set[str] = set()  # runs that go on

    def batch(self, data: bytes) -> Batch:
        """Make a batch of some lines; each is to be given once."""
        batch = Batch(len(data))
        for fields in unframed(data):
            if fields is None:
                batch.n_bad += 1
                continue
            run = fields[1].decode()
            batch.lines.setdefault(run, []).append(framed(*fields))
            if fields[0] == EVENT:
                self._event(batch, run, fields)
            elif fields[0] == STATE:
                self._states.setdefault(run, _States(run)).add(fields)
            elif fields[0] == RUN:
                batch.runs[run] = RunRecord(*orjson.loads(fields[2]))
        for run in batch.executions:
            if run in self._states:
                self._states[run].take(batch)
        batch.first_told = batch.runs.keys() - self._told
        self._told |= batch.first_told
        for run, told in batch.runs.items():
            if told.is_ended:
                self._told.discard(run)
                self._states.pop(run, None)
                self._begun -= {key for key in self._begun if key[0] == run}
        return batch

    def _event(self, batch: Batch, run: str, fields: list[bytes]) -> None:
        number, header = int(fields[2]), orjson.loads(fields[3])
        key = (run, number)
        raw = fields[5] if len(fields) > 5 else None
        row = (
            _event_id(run, number), run, number, *header[:_MARK], fields[4].decode(),
            None if raw is None else bytes.fromhex(raw.decode()), header[_MARK],
        )  # fmt: skip
        if key in self._begun:
            self._begun.discard(key)
            batch.ended_events[key] = row
        else:
            batch.new_events[key] = row

    def wrote(self, batch: Batch) -> None:
        """The batch is in the store: what it holds unfinished is changed there when it ends."""
        self._begun |= {key for key, row in batch.new_events.items() if row[-1] == UNFINISHED}


def write(store: Store, batch: Batch, *, is_again: bool = False) -> None:
    """Write a batch in one transaction; ``is_again``: it may be there already.

    Raises
    ------
    StoreError, ConflictError
        The database is not there, or refuses a row; nothing was written.
    """
    with store.raw() as connection:
        loose = {run: told for run, told in batch.runs.items() if told.parent is not None and run in batch.first_told}
        keys = {*batch.lines, *(told.parent for told in loose.values())}
        connection.execute(_FAMILIES, [sorted({uuid.UUID(key).int % _N_FAMILIES for key in keys if key})])
        tasks = {told.task[0]: told.task for told in batch.runs.values() if told.task}
        if tasks:
            connection.cursor().executemany(_TASK, list(tasks.values()))
        if batch.runs:
            connection.cursor().executemany(_RUN.encode(), [told.row for told in batch.runs.values()])
        new, changed = batch.new_events.values(), list(batch.ended_events.values())
        conflict = "update" if is_again else None
        # Only a run that has ended is pruned: what comes of it once more was there before that, and stays away.
        pruned = {str(run) for run in gaps(connection, batch.executions)} if is_again else set()
        new_states, changed_states = (
            [row for row in rows if row[1] not in pruned] for rows in (batch.new_states, batch.changed_states)
        )
        copy_rows(connection, observability_events, EVENT_COLUMNS, new, on_conflict=conflict)
        if changed:
            copy_rows(connection, observability_events, EVENT_COLUMNS, changed, on_conflict="update")
        copy_rows(connection, execution_snapshots, SNAPSHOT_COLUMNS, new_states, on_conflict=conflict)
        if changed_states:
            copy_rows(connection, execution_snapshots, SNAPSHOT_COLUMNS, changed_states, on_conflict="update")
        for run, told in batch.runs.items():
            if told.is_ended and run not in pruned and not told.n_states and told.n_events <= DERIVED_UP_TO:
                derive_states(connection, run)
        for run, told in loose.items():
            step = None if told.parent_step is None else _event_id(str(told.parent), told.parent_step)
            connection.execute(_LINK, {"child": run, "parent": told.parent, "event": step})
        connection.execute(_LINK_CHILDREN, [batch.executions])


def derive_states(connection: Any, run: str) -> None:
    """Give a run that recorded no states those of its conversation, as an ingest does.

    A branch that begins with a conversation goes on with it; of one that begins with a state of the agent's own nobody
    knows what became of it.
    """
    found = connection.execute(_EVENTS, [run]).fetchall()
    if not found:
        return
    told = Run(run, "", steps=[_step(*about) for _, *about in found])
    begun = connection.execute(_BEGUN, [run]).fetchone()
    state = State(begun[0], document=orjson.loads(begun[1])) if begun else None
    rows = RunRows(run).derived(told, first=found[0][0], begun=state)
    copy_rows(connection, execution_snapshots, SNAPSHOT_COLUMNS, rows, on_conflict="update")


def _step(kind: str, name: str | None, data: str) -> Step:
    told = orjson.loads(data)
    known = {key: told[key] for key in ("role", "text", "tool", "model", "extra") if key in told}
    return Step(kind, name=name, **known)  # pyright: ignore[reportArgumentType]


class RunRows(RowMaker):
    """Rows of a run that has its own id and comes from no file."""

    def __init__(self, execution: uuid.UUID | str) -> None:
        super().__init__(SOURCE, Source(SOURCE, content=b""), None)
        self._execution = uuid.UUID(str(execution))

    def id_of(self, run: Run) -> uuid.UUID:
        """The recording's id."""
        return self._execution


class _States:
    """The snapshots of one run."""

    def __init__(self, run: str) -> None:
        self._run = run
        self._namespace = uuid_utils.UUID(run)
        self._encoder = Encoder(dumps=_dumps)
        self._told: dict[int, tuple[Any, ...]] = {}  # step → timestamp, description, checkpoint, raw
        self._shown: _Row | None = None  # the last row, written while more states of its step may still come

    def add(self, fields: list[bytes]) -> None:
        step, state = int(fields[2]), orjson.Fragment(fields[4])
        try:
            self._encoder.add(step, document=state)
        except PatchError:  # numbers go back in no spool of ours; a state is whole, so it can always stand alone
            self._encoder = Encoder(dumps=_dumps)
            self._encoder.add(step, document=state)
        raw = bytes.fromhex(fields[5].decode()) if len(fields) > 5 else None
        self._told[step] = (*orjson.loads(fields[3]), raw)

    def take(self, batch: Batch) -> None:
        """Put the rows that are new or different into the batch."""
        rows = [self._row(row) for row in self._encoder.take()]
        last = [self._row(row) for row in self._encoder.peek()]
        for row in (*rows, *last):
            if self._shown is None or row[0] != self._shown[0]:
                batch.new_states.append(row)
            elif row != self._shown:
                batch.changed_states.append(row)
        self._shown = (*rows, *last)[-1] if rows or last else self._shown
        self._told = {step: told for step, told in self._told.items() if last and step >= last[0][2]}

    def _row(self, row: SnapshotRow) -> _Row:
        at, description, is_checkpoint, raw = self._told[row.step_number]
        return (
            str(uuid_utils.uuid5(self._namespace, f"state:{row.step_number}")),
            self._run, row.step_number, at, row.state.decode(), row.keyframe_step, description, is_checkpoint, False,
            raw,
        )  # fmt: skip


def _event_id(run: str, number: int) -> str:
    return str(uuid_utils.uuid5(uuid_utils.UUID(run), str(number)))


def _dumps(value: Any) -> bytes | str:
    try:
        return orjson.dumps(value)
    except TypeError:
        return dumped(value)  # a patch that is deeper than orjson goes


def abandon(store: Store, runs: Sequence[str]) -> None:
    """Say of runs whose process is gone that they ended there, unless something else is known of their end."""
    with store.raw() as connection:
        found = connection.execute(_ABANDON, {"runs": list(runs)}).fetchall()
        for run, n_events, n_states in found:
            if not n_states and n_events <= DERIVED_UP_TO:
                derive_states(connection, str(run))


def records(runs: Iterable[str], batch: Batch) -> Iterator[bytes]:
    """The records of some runs of a batch, to be kept elsewhere."""
    for run in runs:
        yield from batch.lines[run]


ABANDONED = "abandoned"
ABANDONED_WHY = "The process that recorded this run ended without saying how the run had ended (killed, or lost)."

_TASK = (
    "INSERT INTO workbench.tasks (id, title, source, source_id) VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING"
)  # fmt: skip

# What the agent says while it goes on. Whatever else is changed in the row meanwhile stays.
_SAID = (
    "status", "score", "completed_at", "output", "error", "error_type", "execution_time_ms", "token_usage", "cost",
    "cost_source",
)  # fmt: skip
_RUN = (
    f"INSERT INTO workbench.agent_executions AS old ({', '.join(EXECUTION_COLUMNS)})"
    f" VALUES ({', '.join(['%s'] * len(EXECUTION_COLUMNS))}) ON CONFLICT (id) DO UPDATE SET"
    f" {', '.join(f'{name} = excluded.{name}' for name in _SAID)}, metadata = old.metadata || excluded.metadata,"
    " started_at = coalesce(old.started_at, excluded.started_at), row_version = old.row_version + 1"
    f" WHERE ({', '.join(f'old.{name}' for name in _SAID)}, old.metadata) IS DISTINCT FROM"
    f" ({', '.join(f'excluded.{name}' for name in _SAID)}, old.metadata || excluded.metadata)"
)

# A run and its parent may be in the spools of two processes, and come in any order, also at the same moment: whoever
# comes second makes the link. So that one of two is the second, both hold a lock of the parent's until they have
# committed, taken before any row; there are few such locks, for a batch may hold thousands of runs.
_N_FAMILIES = 256
_FAMILIES = "SELECT pg_advisory_xact_lock(1466040320, family) FROM unnest(%s::int[]) AS family"

_LINK = """
UPDATE workbench.agent_executions AS child SET parent_execution_id = parent.id,
  parent_event_id = (SELECT id FROM workbench.observability_events WHERE id = %(event)s)
FROM workbench.agent_executions AS parent
WHERE child.id = %(child)s AND parent.id = %(parent)s
  AND (child.parent_execution_id IS NULL OR child.parent_event_id IS NULL)
"""

# Children that came before their parent, or before the step that they hang on.
_LINK_CHILDREN = """
UPDATE workbench.agent_executions AS child SET parent_execution_id = parent.id, parent_event_id = (
  SELECT event.id FROM workbench.observability_events AS event WHERE event.execution_id = parent.id
  AND event.step_number = CASE WHEN child.metadata->>'spawned_by' ~ '^[0-9]{1,9}$'
    THEN (child.metadata->>'spawned_by')::int END ORDER BY event.id LIMIT 1)
FROM workbench.agent_executions AS parent
WHERE parent.id = ANY(%s::uuid[]) AND child.metadata ? 'parent_source_id'
  AND child.metadata->>'parent_source_id' = parent.id::text AND child.source = 'record' AND child.id <> parent.id
  AND (child.parent_execution_id IS NULL OR child.parent_event_id IS NULL AND child.metadata ? 'spawned_by')
"""

_EVENTS = """
SELECT step_number, event_type, name, data::text
FROM workbench.observability_events WHERE execution_id = %s ORDER BY step_number, id
"""

# The state that a branch was given when it was forked.
_BEGUN = """
SELECT s.step_number, s.state::text FROM workbench.execution_snapshots s
JOIN workbench.agent_executions x ON x.id = s.execution_id AND x.forked_at_step = s.step_number
WHERE s.execution_id = %s
"""

_ABANDON = f"""
UPDATE workbench.agent_executions AS run SET status = 'failed', error_type = '{ABANDONED}', error = '{ABANDONED_WHY}',
  completed_at = greatest(run.started_at, last.at), row_version = run.row_version + 1,
  execution_time_ms = extract(epoch FROM greatest(run.started_at, last.at) - run.started_at) * 1000,
  token_usage = last.usage, cost = last.cost, cost_source = CASE WHEN last.cost IS NOT NULL THEN 'source' END
FROM (
  SELECT told.id, count(event.id) AS n_events, sum((event.data->>'cost_usd')::numeric) AS cost,
    (SELECT count(*) FROM workbench.execution_snapshots AS own JOIN workbench.agent_executions AS of
       ON of.id = own.execution_id
     WHERE own.execution_id = told.id AND own.step_number > coalesce(of.forked_at_step, -1)) AS n_states,
    greatest(max(event.timestamp),
      (SELECT max(timestamp) FROM workbench.execution_snapshots WHERE execution_id = told.id)) AS at,
    (SELECT jsonb_object_agg(key, n) FROM (
      SELECT key, sum(value::numeric) AS n
      FROM workbench.observability_events AS counted, jsonb_each_text(counted.data->'usage')
      WHERE counted.execution_id = told.id AND counted.data ? 'usage' GROUP BY key) AS classes) AS usage
  FROM unnest(%(runs)s::uuid[]) AS told(id)
  LEFT JOIN workbench.observability_events AS event ON event.execution_id = told.id
  GROUP BY told.id) AS last
WHERE run.id = last.id AND run.status = 'running'
RETURNING run.id, last.n_events, last.n_states
"""

__all__ = ["ABANDONED", "EVENT", "RUN", "STATE", "Batch", "RunRows", "Writer", "abandon", "records", "write"]
