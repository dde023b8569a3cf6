"""Write a run that the store already knows: an unchanged, a grown, an older or another part of the same run.

The rows come into temporary tables first and are compared there, so a second ingest of the same file writes nothing.
What is never done is to take away events: an older copy of a session, read after a newer one, changes nothing.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import chain

import psycopg

from workbench.data.ingest.normal import Run
from workbench.data.ingest.report import Counts
from workbench.data.ingest.writing.absent import Absent
from workbench.data.ingest.writing.derive import derived_states
from workbench.data.ingest.writing.incoming import Incoming, upsert_execution
from workbench.data.ingest.writing.joined import Joiner
from workbench.data.ingest.writing.rows import EVENT_COLUMNS, SNAPSHOT_COLUMNS, RowMaker, event_ids, n_states
from workbench.data.ingest.writing.stored import step_of, step_rows
from workbench.data.ingest.writing.union import Union
from workbench.data.store.tables import execution_snapshots, observability_events


@dataclass(slots=True, frozen=True)
class Merged:
    """What merging some runs did; ``unions`` were put together from the parts of several files."""

    new: Counts
    updated: int
    unions: int = 0

    def __add__(self, other: Merged) -> Merged:
        """What both did."""
        return Merged(self.new + other.new, self.updated + other.updated, self.unions + other.unions)


class Merger:
    """Merges runs over one connection, inside its transaction.

    Parameters
    ----------
    is_reread
        The very bytes of this file were ingested before: a run that is there with all its events is left as it is.
        Two files that tell one run a little differently (a log and its copy in another layout) would otherwise
        overwrite each other at every ingest.
    damage
        How much of this file was found damaged so far.
    """

    def __init__(
        self,
        connection: psycopg.Connection,
        maker: RowMaker,
        joiner: Joiner,
        *,
        is_reread: bool,
        damage: Callable[[], int],
    ) -> None:
        self._joiner = joiner
        self._damage = damage
        self._is_reread = is_reread
        self._connection = connection
        self._maker = maker
        self._events = Incoming(connection, observability_events, EVENT_COLUMNS)
        self._snapshots = Incoming(connection, execution_snapshots, SNAPSHOT_COLUMNS)
        self._union = Union(connection, maker, events=self._events, snapshots=self._snapshots)
        self._absent = Absent(connection, ())

    def merge(self, runs: Mapping[uuid.UUID, Run]) -> Merged:
        """Bring the stored runs up to what this file says of them."""
        if self._is_reread:
            runs = {execution: runs[execution] for execution in self._incomplete(runs)}
        if not runs:
            return Merged(Counts(), 0)
        self._absent = Absent(self._connection, runs)
        self._events.fill(chain.from_iterable(map(self._maker.events, runs.values())))
        seen = self._events.compare(list(runs))
        grown, parts, copies, poorer = [], [], [], self._poorer(runs)
        alike = [execution for execution in runs if not any(seen.get(execution, ()))]
        poorer |= self._less_sound(alike)
        for execution in runs:
            unknown, missing, older, newer = seen.get(execution, (0, 0, 0, 0))
            if not missing and not older and not unknown and not newer and execution in poorer:
                continue  # the same steps, and some of what they say is gone: a damaged copy takes nothing away
            if not missing and not older:
                grown.append(execution)
            elif unknown or newer:
                parts.append(execution)
            else:  # an older copy: everything in it is there, and more
                copies.append(execution)
        done = self._write({execution: runs[execution] for execution in grown}, self._maker)
        if self._joiner.can_join:
            # Lines that are all there may still tell in which order others stand.
            joined = {execution: self._join(execution, runs[execution]) for execution in chain(parts, copies)}
            done = sum((one for one in joined.values() if one is not None), done)
            parts = [execution for execution in parts if joined[execution] is None]
            self._events.fill(chain.from_iterable(self._maker.events(runs[execution]) for execution in parts))
        new = self._union.write({execution: runs[execution] for execution in parts}, self._absent)
        return done + Merged(new, len(parts), len(parts))

    def _write(self, runs: Mapping[uuid.UUID, Run], maker: RowMaker) -> Merged:
        """Let the store hold what these runs say, whose events are in the incoming table."""
        events_new, events_updated = self._events.upsert(list(runs))
        states = [self._absent.without(execution, maker.snapshots(run)) for execution, run in runs.items()]
        self._snapshots.fill(chain.from_iterable(states))
        self._absent.write()
        for execution, run in runs.items():
            self._absent.add(execution, run.gaps)
        stale = self._snapshots.delete_stale(list(runs))
        snapshots_new, snapshots_updated = self._snapshots.upsert(list(runs))
        # Of a file by lines that has all stored steps, or is made of all files, nothing is told elsewhere.
        executions_updated = sum(
            upsert_execution(self._connection, maker.execution(run), is_whole=self._joiner.can_join)
            for run in runs.values()
        )
        if n := sum(map(self._absent.n_states, runs)):
            maker.source.kept("state", "pruned here: not brought back", n)
        updated = events_updated + snapshots_updated + stale + executions_updated
        return Merged(Counts(0, events_new, snapshots_new), updated)

    def _join(self, execution: uuid.UUID, part: Run) -> Merged | None:
        """Write the run of all files that hold parts of it; ``None`` where they do not tell all that is stored."""
        with self._joiner.whole(execution, part) as whole:
            if whole is None:
                return None
            maker = RowMaker(self._maker.format, whole.source, self._maker.import_id)
            self._events.fill(maker.events(whole.run))
            _, missing, *_ = self._events.compare([execution])[execution]
            if missing > self._events.n_torn(execution) or missing > whole.n_mended:
                return None  # added by hand, or by a file of which the store no longer knows that it holds the run
            if missing:  # what was read of lines that are known whole now
                self._events.delete_missing({execution: 0})
            done = self._write({execution: whole.run}, maker)
            is_other = bool(done.updated) or done.new != Counts()
            return done + Merged(Counts(), 0, int(is_other))

    def _incomplete(self, runs: Mapping[uuid.UUID, Run]) -> list[uuid.UUID]:
        """The runs of which some event or state is not stored."""
        fetch = self._connection.execute
        events = {run: set(ids) for run, ids in fetch(_STORED_EVENTS, [list(runs)])}
        states = dict(fetch(_STORED_STATES, {"runs": list(runs)}).fetchall())
        return [
            execution
            for execution, run in runs.items()
            if self._lacks_states(execution, run, states.get(execution, 0))
            or not events.get(execution, set()).issuperset(event_ids(execution, run)[0])
        ]

    def _poorer(self, runs: Mapping[uuid.UUID, Run]) -> set[uuid.UUID]:
        """The runs of which the store holds more recorded states than this file."""
        recorded = {execution: n_states(run) for execution, run in runs.items() if run.states}
        stored = self._connection.execute(_STORED_STATES, {"runs": list(recorded)}) if recorded else ()
        return {execution for execution, n in stored if n > recorded[execution]}

    def _less_sound(self, executions: Iterable[uuid.UUID]) -> set[uuid.UUID]:
        """The runs that another file holds too, of which less is damaged than of this one."""
        executions, own = list(executions), self._damage()
        if not own or not executions:
            return set()
        about = {"runs": executions, "own": self._maker.import_id, "n_damaged": own}
        return {execution for (execution,) in self._connection.execute(_SOUNDER, about)}

    def _lacks_states(self, execution: uuid.UUID, run: Run, n_stored: int) -> bool:
        """Whether states of a run are gone from the store.

        Derived ones follow from the stored events. Those may be another version's of the same session, with a state
        less; then this file lacks nothing, and reading it once more must not win the run back.
        """
        if n_stored >= n_states(run) or run.states:
            return n_stored < n_states(run)
        stored = map(step_of, step_rows(self._connection, execution))
        return n_stored < sum(1 for _ in derived_states(stored))


_STORED_EVENTS = """
SELECT execution_id, array_agg(id::text) FROM workbench.observability_events WHERE execution_id = ANY(%s) GROUP BY 1
"""

# What is damaged is told by the report: lines that are none, and JSON that had to be mended to be read.
_SOUNDER = """
SELECT held.execution_id FROM workbench.import_runs AS held
JOIN workbench.imports AS import ON import.id = held.import_id
WHERE held.execution_id = ANY(%(runs)s) AND import.id IS DISTINCT FROM %(own)s AND import.report ? 'n_bad'
  AND (import.report->>'n_bad')::bigint + (SELECT coalesce(sum((item->>'count')::bigint), 0)
    FROM jsonb_array_elements(import.report->'changed') AS item WHERE item->>'what' = 'JSON') < %(n_damaged)s
"""

# Those that were pruned are not missing.
_STORED_STATES = """
SELECT execution_id, sum(n)::bigint FROM (
  SELECT execution_id, count(*) AS n FROM workbench.execution_snapshots WHERE execution_id = ANY(%(runs)s) GROUP BY 1
  UNION ALL
  SELECT execution_id, n_states FROM workbench.pruned_states WHERE execution_id = ANY(%(runs)s)) AS known
GROUP BY 1
"""
