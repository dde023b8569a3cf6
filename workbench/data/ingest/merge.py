"""Write a run that the store already knows: an unchanged, a grown, an older or another part of the same run.

The rows come into temporary tables first and are compared there, so a second ingest of the same file writes nothing.
What is never done is to take away events: an older copy of a session, read after a newer one, changes nothing.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from typing import Any, cast

import orjson
import psycopg
import sqlalchemy as sa
from psycopg import sql

from workbench.data.ingest.derive import derived_states
from workbench.data.ingest.detect import reader
from workbench.data.ingest.marks import mark
from workbench.data.ingest.normal import Run, Step, Usage
from workbench.data.ingest.report import Counts
from workbench.data.ingest.rows import EVENT_COLUMNS, EXECUTION_COLUMNS, SNAPSHOT_COLUMNS, RowMaker, event_ids, n_states
from workbench.data.store.copy import copy_rows
from workbench.data.store.tables import agent_executions, execution_snapshots, observability_events

# Never rewritten: what the row is.
_IDENTITY = {"id", "execution_id", "source", "source_id", "import_id"}
# What a file does not say is not taken away: a price that was worked out here, a total that another part reported.
_IS_PRICED_HERE = "excluded.cost_source IS NULL AND old.cost_source = 'prices'"
_KEPT = {
    "cost": f"CASE WHEN {_IS_PRICED_HERE} THEN old.cost ELSE excluded.cost END",
    "cost_source": f"CASE WHEN {_IS_PRICED_HERE} THEN old.cost_source ELSE excluded.cost_source END",
    "metadata": f"CASE WHEN {_IS_PRICED_HERE} AND old.metadata ? 'price_table' THEN excluded.metadata || "
    "jsonb_build_object('price_table', old.metadata->'price_table') ELSE excluded.metadata END",
    "reported": "coalesce(excluded.reported, old.reported)",
}


@dataclass(slots=True, frozen=True)
class Merged:
    """What merging some runs did; ``unions`` were put together from the parts of several files."""

    new: Counts
    updated: int
    unions: int = 0


class Merger:
    """Merges runs over one connection, inside its transaction.

    Parameters
    ----------
    is_reread
        The very bytes of this file were ingested before: a run that is there with all its events is left as it is.
        Two files that tell one run a little differently (a log and its copy in another layout) would otherwise
        overwrite each other at every ingest.
    """

    def __init__(self, connection: psycopg.Connection, maker: RowMaker, *, is_reread: bool) -> None:
        self._is_reread = is_reread
        # A reader may say what the parts of a run make together: rejoin(source_id, steps) -> Run.
        self._rejoin: Callable[[str, list[Step]], Run] | None = getattr(reader(maker.format), "rejoin", None)
        # Where the source says more of a run than its steps do: rejoin_trace(source_id, steps, stored, part) -> Run.
        self._rejoin_trace: Callable[[str, list[Step], Run, Run], Run] | None = getattr(
            reader(maker.format), "rejoin_trace", None
        )
        # What the parts make together, where the rest of the row is that of the first and the last: settle(run).
        self._settle: Callable[[Run], None] | None = getattr(reader(maker.format), "settle", None)
        self._is_open = getattr(reader(maker.format), "is_open", None)
        self._connection = connection
        self._maker = maker
        self._events = _Incoming(connection, observability_events, EVENT_COLUMNS)
        self._snapshots = _Incoming(connection, execution_snapshots, SNAPSHOT_COLUMNS)

    def merge(self, runs: Mapping[uuid.UUID, Run]) -> Merged:
        """Bring the stored runs up to what this file says of them."""
        if self._is_reread:
            runs = {execution: runs[execution] for execution in self._incomplete(runs)}
        if not runs:
            return Merged(Counts(), 0)
        self._events.fill(chain.from_iterable(map(self._maker.events, runs.values())))
        seen = self._events.compare(list(runs))
        grown, parts = [], []
        for execution in runs:
            unknown, missing, older, newer = seen.get(execution, (0, 0, 0, 0))
            if not missing and not older:
                grown.append(execution)
            elif unknown or newer:
                parts.append(execution)
            # else an older copy: everything in it is there, and more
        events_new, events_updated = self._events.upsert(grown)
        self._snapshots.fill(chain.from_iterable(self._maker.snapshots(runs[execution]) for execution in grown))
        stale = self._snapshots.delete_stale(grown)
        snapshots_new, snapshots_updated = self._snapshots.upsert(grown)
        executions_updated = sum(self._execution(runs[execution]) for execution in grown)
        merged = Merged(
            Counts(0, events_new, snapshots_new), events_updated + snapshots_updated + stale + executions_updated
        )
        if parts:
            merged = self._unite({execution: runs[execution] for execution in parts}, merged)
        return merged

    def _incomplete(self, runs: Mapping[uuid.UUID, Run]) -> list[uuid.UUID]:
        """The runs of which some event or state is not stored."""
        fetch = self._connection.execute
        events = {run: set(ids) for run, ids in fetch(_STORED_EVENTS, [list(runs)])}
        states = dict(fetch(_STORED_STATES, [list(runs)]).fetchall())
        return [
            execution
            for execution, run in runs.items()
            if self._lacks_states(execution, run, states.get(execution, 0))
            or not events.get(execution, set()).issuperset(event_ids(execution, run)[0])
        ]

    def _lacks_states(self, execution: uuid.UUID, run: Run, n_stored: int) -> bool:
        """Whether states of a run are gone from the store.

        Derived ones follow from the stored events. Those may be another version's of the same session, with a state
        less; then this file lacks nothing, and reading it once more must not win the run back.
        """
        if n_stored >= n_states(run) or run.states:
            return n_stored < n_states(run)
        stored = [_step(row) for row in self._connection.execute(_STEPS, {"run": execution})]
        return n_stored < sum(1 for _ in derived_states(stored))

    def _execution(self, run: Run) -> bool:
        """Update the run's row where it differs; whether it did."""
        table = agent_executions
        row = self._maker.execution(run)
        query = sql.SQL(
            "INSERT INTO {table} AS old ({columns}) VALUES ({values}) ON CONFLICT (id) DO UPDATE SET {assign}, "
            "row_version = old.row_version + 1 WHERE ({old}) IS DISTINCT FROM ({new})"
        ).format(
            table=_name(table),
            columns=_columns(EXECUTION_COLUMNS),
            values=sql.SQL(", ").join(
                sql.SQL("%s::jsonb") if isinstance(table.c[name].type, sa.JSON) else sql.SQL("%s")
                for name in EXECUTION_COLUMNS
            ),
            **_assignments(EXECUTION_COLUMNS),
        )
        return self._connection.execute(query, row).rowcount > 0

    def _unite(self, runs: Mapping[uuid.UUID, Run], merged: Merged) -> Merged:
        """Two files hold different parts of a run: keep all events, in the order of time."""
        fresh = self._events.unknown(list(runs))
        events_new = self._events.insert(list(runs))
        self._events.finish_begun(list(runs))
        snapshots_new = 0
        for execution, run in runs.items():
            parameters = {"run": execution, "start": run.started_at, "end": run.completed_at}
            self._connection.execute(_REPORTED, {"run": execution, "reported": self._maker.reported(run)})
            recorded = self._connection.execute(_HAS_RECORDED, parameters).fetchone()
            has_recorded = bool(run.states or (recorded and recorded[0]))
            whole = self._whole(execution, run, is_renumbered=not has_recorded)
            if has_recorded:
                self._snapshots.fill(self._maker.snapshots(run) if run.states else [])
                snapshots_new += self._snapshots.insert([execution])
            else:
                before = self._connection.execute(_DROP_DERIVED, parameters).rowcount
                self._snapshots.fill(self._maker.snapshots(whole))
                snapshots_new += max(self._snapshots.insert([execution]) - before, 0)
                if self._rejoin is not None or self._rejoin_trace is not None:
                    self._execution(whole)
                    continue
            self._unite_row(execution, run, whole, fresh.get(execution, set()))
            self._connection.execute(_TIMES, parameters)
            if self._settle is None:
                self._connection.execute(_TOTALS, parameters)
        return Merged(merged.new + Counts(0, events_new, snapshots_new), merged.updated + len(runs), unions=len(runs))

    def _unite_row(self, execution: uuid.UUID, part: Run, whole: Run, fresh: set[str]) -> None:
        """The part that began first says what the run is, the one that ended last how it ended; read in any order."""
        row = dict(zip(EXECUTION_COLUMNS, self._maker.execution(part), strict=True))
        names = ("started_at", "completed_at", *_OF_THE_FIRST, *_OF_THE_LAST)
        query = sql.SQL("SELECT {}, metadata::text AS about FROM workbench.agent_executions WHERE id = %s")
        stored = self._connection.execute(query.format(_columns(names)), [execution]).fetchone()
        if stored is None:
            return
        *values, about = stored
        old = dict(zip(names, values, strict=True))
        begins, ends = _ends(whole, set(event_ids(execution, part)[0]), fresh)
        started, completed = part.started_at, part.completed_at
        is_first = begins if started == old["started_at"] else _before(started, old["started_at"])
        is_last = ends if completed == old["completed_at"] else _before(old["completed_at"], completed)
        taken = {
            name: row[name]
            for name in _OF_THE_FIRST
            if _says(row[name], part) and (is_first or not _says(old[name], part))
        }
        if is_last:
            taken |= {name: row[name] for name in _OF_THE_LAST if row[name] is not None or name not in _STAYING}
        told, known = orjson.loads(row["metadata"]), orjson.loads(about)
        later, first = (known, told) if is_first else (told, known)
        metadata = {**later, **first, **_gathered(later, first)}
        last = told if is_last else known
        metadata |= {name: last[name] for name in _ABOUT_THE_END & last.keys()}
        if self._settle is not None:
            settled = dict(zip(EXECUTION_COLUMNS, self._maker.execution(whole), strict=True))
            taken |= {name: settled[name] for name in ("token_usage", "cost", "cost_source")}
            taken |= {name: settled[name] for name in _SETTLED if settled[name] is not None}
            metadata |= whole.metadata
            if "parent_source_id" not in metadata and "spawned_by" not in first:  # it goes on from a part of itself
                metadata = {name: value for name, value in metadata.items() if name not in ("spawned_by", "link")}
        taken["metadata"] = self._maker.json(metadata)
        assign = sql.SQL(", ").join(
            sql.SQL("{} = %s::jsonb" if isinstance(agent_executions.c[name].type, sa.JSON) else "{} = %s").format(
                sql.Identifier(name)
            )
            for name in taken
        )
        query = sql.SQL("UPDATE workbench.agent_executions SET {} WHERE id = %s").format(assign)
        self._connection.execute(query, [*taken.values(), execution])

    def _whole(self, execution: uuid.UUID, part: Run, *, is_renumbered: bool) -> Run:
        """The run of all stored events: as its reader judges the whole of it, where the reader can."""
        rows = {str(row[0]): row for row in self._connection.execute(_STEPS, {"run": execution})}
        steps = [_step(row) for row in rows.values()]
        if self._rejoin_trace is not None:
            whole = self._rejoin_trace(part.source_id, steps, self._told(execution, part), part)
        elif self._rejoin is None:
            whole = Run(part.source_id, part.agent_type, steps=steps)
        else:
            whole = self._rejoin(part.source_id, steps)
        mark(whole.steps, self._is_open)
        if self._settle is not None:
            self._settle(whole)
        self._correct(execution, rows, whole, is_renumbered=is_renumbered)
        return whole

    def _told(self, execution: uuid.UUID, part: Run) -> Run:
        """What is stored of a run beside its steps."""
        row = self._connection.execute(_TOLD, {"run": execution}).fetchone()
        if row is None:
            return part
        *fields, given, answered, about = row
        names = ("agent_type", "name", "trace_id")
        told = Run(part.source_id, **dict(zip(names, fields, strict=True)), metadata=orjson.loads(about))
        told.input, told.output = (value and orjson.loads(value) for value in (given, answered))
        return told

    def _correct(self, execution: uuid.UUID, rows: dict[str, Any], whole: Run, *, is_renumbered: bool) -> None:
        """Only with all steps at hand is it known where each belongs, and which repeats the tokens inside it."""
        new = []
        for number, step in enumerate(whole.steps):
            _, old_number, kind, name, agent, *_, lasted, _, _, above, old_mark, text = rows.pop(step.source_id or "")
            place = number if is_renumbered else old_number
            data = orjson.loads(text)
            told = _counted_in(data)
            counted = {"usage": step.usage.as_dict()} if step.usage is not None else {}
            counted |= {"cost_usd": step.cost_usd} if step.cost_usd is not None else {}
            before = [kind, name, lasted, above]
            after = (
                before if self._settle is None else [step.event_type, step.name, step.duration_ms, step.parent_span_id]
            )
            if self._settle is not None:
                said = {"tool": step.tool, "tool_calls": step.tool_calls, "model": step.model}
                counted |= {key: value for key, value in said.items() if value != data.get(key) and value is not None}
            lane = self._maker.lane(whole, step)
            if (place, lane, step.mark, counted, after) != (old_number, agent, old_mark, told, before):
                changed = None if counted == told else orjson.dumps(counted).decode()
                new.append((step.source_id, place, lane, step.mark, changed, *after))
        if new:
            self._connection.execute(_CORRECT, [list(column) for column in zip(*new, strict=True)])
        if rows:  # begun only, and another event tells the same with its end
            self._connection.execute(_DROP, [execution, list(rows)])


def _before(a: datetime | None, b: datetime | None) -> bool:
    return a is not None and (b is None or a < b)


def _says(value: Any, part: Run) -> bool:
    """Whether a field of a run tells anything: a run without a name is called by its id."""
    return value is not None and value not in (part.source_id, part.metadata.get("run"))


def _gathered(later: Mapping[str, Any], first: Mapping[str, Any]) -> dict[str, Any]:
    both = [name for name in _GATHERED if isinstance(later.get(name), dict) and isinstance(first.get(name), dict)]
    return {name: {**later[name], **first[name]} for name in both}


def _ends(whole: Run, part: set[str], fresh: set[str]) -> tuple[bool, bool]:
    """Whether the file holds the first, and the last, of the events that are not in both it and the store."""
    alone = [own in fresh for step in whole.steps if (own := step.source_id) in fresh or own not in part]
    return bool(alone) and alone[0], bool(alone) and alone[-1]


def _counted_in(data: Mapping[str, Any]) -> dict[str, Any]:
    return {name: data[name] for name in ("usage", "cost_usd") if name in data}


def _step(row: Sequence[Any]) -> Step:
    """A stored event as the step it was made of; its ``source_id`` is the id of the event."""
    own, _, *columns, text = row
    data = orjson.loads(text)
    fields = {
        key: data.get(key) for key in ("role", "text", "tool", "tool_calls", "model", "cost_usd", "error", "extra")
    }
    names = ("event_type", "name", "agent", "category", "severity", "timestamp", "duration_ms", "trace_id", "span_id")
    usage = Usage(**data["usage"]) if "usage" in data else None
    columns_by_name = dict(zip((*names, "parent_span_id", "mark"), columns, strict=True))
    return Step(**columns_by_name, source_id=str(own), usage=usage, **fields)


class _Incoming:
    """A temporary table with the rows of one run on their way into a table."""

    def __init__(self, connection: psycopg.Connection, table: sa.Table, columns: Sequence[str]) -> None:
        self._connection = connection
        self._table = table
        self._columns = columns
        self._temporary = table.to_metadata(sa.MetaData(), schema="pg_temp", name=f"incoming_{table.name}")
        self._is_there = False

        self._parts = {
            "table": _name(table),
            "temporary": _name(self._temporary),
            "short": sql.Identifier(self._temporary.name),  # CREATE TEMPORARY TABLE takes no schema
            "columns": _columns(columns),
            **_assignments(columns),
        }

    def fill(self, rows: Iterable[Sequence[Any]]) -> None:
        """Replace what is in it."""
        if self._is_there:
            self._run("TRUNCATE {temporary}")
        else:
            self._run("DROP TABLE IF EXISTS {temporary}")  # of another file in this transaction
            self._run("CREATE TEMPORARY TABLE {short} (LIKE {table} INCLUDING DEFAULTS) ON COMMIT DROP")
            self._run("CREATE INDEX ON {temporary} (id)")
            self._is_there = True
        copy_rows(self._connection, self._temporary, self._columns, rows)
        self._run("ANALYZE {temporary}")

    def compare(self, executions: list[uuid.UUID]) -> dict[uuid.UUID, tuple[int, int, int, int]]:
        """By run: how many incoming rows are unknown, how many stored ones are missing among the incoming.

        And of those on both sides, how many are older in the file, begun only where the stored one has ended, and how
        many are newer there.
        """
        rows = self._run(
            "SELECT coalesce(new.execution_id, old.execution_id), count(*) FILTER (WHERE old.id IS NULL), "
            "count(*) FILTER (WHERE new.id IS NULL), "
            "count(*) FILTER (WHERE new.mark = 'unfinished' AND old.mark IS DISTINCT FROM 'unfinished' "
            "AND old.id = new.id AND old.duration_ms IS NOT NULL AND new.duration_ms IS NULL), "
            "count(*) FILTER (WHERE old.mark = 'unfinished' AND new.mark IS DISTINCT FROM 'unfinished' "
            "AND old.id = new.id AND new.duration_ms IS NOT NULL AND old.duration_ms IS NULL) "
            "FROM {temporary} new FULL JOIN (SELECT id, execution_id, mark, duration_ms FROM {table} "
            "WHERE execution_id = ANY(%s)) old ON old.id = new.id GROUP BY 1",
            executions,
        ).fetchall()
        return {execution: (unknown, missing, older, newer) for execution, unknown, missing, older, newer in rows}

    def upsert(self, executions: list[uuid.UUID]) -> tuple[int, int]:
        """Insert the unknown rows of some runs and update those that differ; how many of each."""
        row = self._run(
            "WITH written AS (INSERT INTO {table} AS old ({columns}) "
            "SELECT {columns} FROM {temporary} WHERE execution_id = ANY(%s) "
            "ON CONFLICT (id) DO UPDATE SET {assign}, row_version = old.row_version + 1 "
            # Not by xmax: an updated row that somebody had locked for a foreign key may have none either.
            "WHERE ({old}) IS DISTINCT FROM ({new}) RETURNING old.row_version = 1 AS is_new) "
            "SELECT count(*) FILTER (WHERE is_new), count(*) FILTER (WHERE NOT is_new) FROM written",
            executions,
        ).fetchone()
        return cast(tuple[int, int], row)

    def unknown(self, executions: list[uuid.UUID]) -> dict[uuid.UUID, set[str]]:
        """By run: the ids of the rows that are not stored."""
        rows = self._run(
            "SELECT execution_id, array_agg(id::text) FROM {temporary} new WHERE execution_id = ANY(%s) "
            "AND NOT EXISTS (SELECT FROM {table} old WHERE old.id = new.id) GROUP BY 1",
            executions,
        ).fetchall()
        return {execution: set(ids) for execution, ids in rows}

    def insert(self, executions: list[uuid.UUID]) -> int:
        """Insert the unknown rows of some runs; how many."""
        return self._run(
            "INSERT INTO {table} ({columns}) SELECT {columns} FROM {temporary} WHERE execution_id = ANY(%s) "
            "ON CONFLICT DO NOTHING",
            executions,
        ).rowcount

    def finish_begun(self, executions: list[uuid.UUID]) -> int:
        """Update the stored rows of some runs that had begun only, where the incoming ones have ended; how many."""
        return self._run(
            "UPDATE {table} AS old SET {assign}, row_version = old.row_version + 1 FROM {temporary} AS excluded "
            "WHERE old.id = excluded.id AND old.execution_id = ANY(%s) AND old.mark = 'unfinished' "
            "AND excluded.mark IS DISTINCT FROM 'unfinished' AND excluded.duration_ms IS NOT NULL",
            executions,
        ).rowcount

    def delete_stale(self, executions: list[uuid.UUID]) -> int:
        """Delete rows of some runs that were derived once, or recorded at another step, and are no longer; how many."""
        return self._run(
            "DELETE FROM {table} old WHERE execution_id = ANY(%s) "
            "AND NOT EXISTS (SELECT FROM {temporary} new WHERE new.id = old.id) AND (is_derived "
            # The steps were numbered anew: what the source recorded stands at other numbers now.
            "OR EXISTS (SELECT FROM {temporary} new WHERE new.execution_id = old.execution_id AND NOT new.is_derived))",
            executions,
        ).rowcount

    def _run(self, text: str, *values: Any) -> psycopg.Cursor:
        return self._connection.execute(sql.SQL(cast(Any, text)).format(**self._parts), values or None)


def _name(table: sa.Table) -> sql.Composable:
    return sql.Identifier(*([table.schema] if table.schema else []), table.name)


def _columns(names: Iterable[str]) -> sql.Composable:
    return sql.SQL(", ").join(map(sql.Identifier, names))


def _assignments(names: Iterable[str]) -> dict[str, sql.Composable]:
    """The parts of an upsert: what is set, and the old and new values that are compared."""
    values = [name for name in names if name not in _IDENTITY]
    comma = sql.SQL(", ")
    return {
        "assign": comma.join(sql.SQL("{} = {}").format(sql.Identifier(name), _new(name)) for name in values),
        "old": comma.join(sql.Identifier("old", name) for name in values),
        "new": comma.join(map(_new, values)),
    }


def _new(name: str) -> sql.Composable:
    return sql.SQL(cast(Any, _KEPT[name])) if name in _KEPT else sql.Identifier("excluded", name)


_STORED_EVENTS = """
SELECT execution_id, array_agg(id::text) FROM workbench.observability_events WHERE execution_id = ANY(%s) GROUP BY 1
"""

_STORED_STATES = """
SELECT execution_id, count(*) FROM workbench.execution_snapshots WHERE execution_id = ANY(%s) GROUP BY 1
"""

_HAS_RECORDED = """
SELECT EXISTS (SELECT FROM workbench.execution_snapshots WHERE execution_id = %(run)s AND NOT is_derived)
"""

_DROP_DERIVED = "DELETE FROM workbench.execution_snapshots WHERE execution_id = %(run)s AND is_derived"

_TOLD = """
SELECT agent_type, name, trace_id, input::text, output::text, metadata::text
FROM workbench.agent_executions WHERE id = %(run)s
"""

_STEPS = """
SELECT id, step_number, event_type, name, agent, category, severity, timestamp, duration_ms, trace_id, span_id,
  parent_span_id, mark, data::text
FROM workbench.observability_events WHERE execution_id = %(run)s ORDER BY timestamp NULLS FIRST, step_number, id
"""

_CORRECT = """
UPDATE workbench.observability_events AS event SET step_number = new.step_number, agent = new.agent, mark = new.mark,
  data = CASE WHEN new.counted IS NULL THEN event.data
    ELSE (event.data - '{usage,cost_usd}'::text[]) || new.counted::jsonb END,
  event_type = new.event_type, name = new.name, duration_ms = new.duration_ms, parent_span_id = new.parent_span_id,
  row_version = row_version + 1
FROM unnest(%s::uuid[], %s::int[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::float8[], %s::text[])
  AS new (id, step_number, agent, mark, counted, event_type, name, duration_ms, parent_span_id)
WHERE event.id = new.id
"""

_DROP = "DELETE FROM workbench.observability_events WHERE execution_id = %s AND id = ANY(%s::uuid[])"

# What a run is, as its first part says; and how it ended, as its last part says.
_OF_THE_FIRST = ("task_id", "agent_type", "name", "model", "input", "trace_id")
_OF_THE_LAST = ("status", "score", "output", "error", "error_type")
_STAYING = {"score", "output"}  # what one part said stays said
_GATHERED = ("spawns", "linked_files")  # of its metadata: each part names the runs that it started itself
_ABOUT_THE_END = {"lastUpdated", "status", "score"}  # of its metadata too
_SETTLED = ("name", "model", "input", "output")

_TIMES = """
UPDATE workbench.agent_executions SET
  started_at = least(started_at, %(start)s::timestamptz),
  completed_at = greatest(completed_at, %(end)s::timestamptz),
  execution_time_ms = extract(epoch FROM
    greatest(completed_at, %(end)s::timestamptz) - least(started_at, %(start)s::timestamptz)) * 1000,
  row_version = row_version + 1
WHERE id = %(run)s
"""

# A parent span may repeat the sum of its model calls: where there are model calls, they alone are counted.
_TOTALS = """
WITH counted AS (
  SELECT data FROM workbench.observability_events
  WHERE execution_id = %(run)s AND data ? 'usage' AND (event_type = 'llm_call' OR NOT EXISTS (
    SELECT FROM workbench.observability_events
    WHERE execution_id = %(run)s AND event_type = 'llm_call' AND data ? 'usage'))),
tokens AS (
  SELECT jsonb_object_agg(key, total) AS usage FROM (
    SELECT key, sum(value::bigint) AS total FROM counted, jsonb_each_text(data->'usage') GROUP BY key) AS summed)
UPDATE workbench.agent_executions SET
  token_usage = coalesce((SELECT usage FROM tokens), token_usage),
  cost = priced.cost, cost_source = CASE WHEN priced.cost IS NOT NULL THEN 'source' END
FROM (
  SELECT CASE WHEN count(*) = count(data->>'cost_usd') THEN sum((data->>'cost_usd')::numeric) END AS cost FROM counted
) AS priced
WHERE id = %(run)s
"""

# Parts of a run that each report a total: a running total only grows, so the greater one is that of the whole.
_REPORTED = """
UPDATE workbench.agent_executions SET reported = %(reported)s::jsonb, row_version = row_version + 1
WHERE id = %(run)s AND %(reported)s::jsonb IS DISTINCT FROM reported AND (reported IS NULL
  OR (SELECT coalesce(sum(value::numeric), 0) FROM jsonb_each_text(reported->'usage'))
    < (SELECT coalesce(sum(value::numeric), 0) FROM jsonb_each_text(%(reported)s::jsonb->'usage'))
  OR (reported->>'cost_usd')::numeric < (%(reported)s::jsonb->>'cost_usd')::numeric)
"""
