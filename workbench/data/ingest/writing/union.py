"""Two files hold different parts of a run: one run of all their events, in the order of time."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import orjson
import psycopg
import sqlalchemy as sa
from psycopg import sql

from workbench.data.ingest.detect import reader
from workbench.data.ingest.normal import Run, Step
from workbench.data.ingest.reading.marks import mark
from workbench.data.ingest.report import Counts
from workbench.data.ingest.writing.absent import Absent
from workbench.data.ingest.writing.incoming import Incoming, column_names, upsert_execution
from workbench.data.ingest.writing.interleave import interleave
from workbench.data.ingest.writing.rows import EXECUTION_COLUMNS, RowMaker, event_ids
from workbench.data.ingest.writing.stored import TIMESTAMP, StepRow, step_of, step_rows, stored_run
from workbench.data.store.tables import agent_executions


class Union:
    """Puts runs together over one connection, inside its transaction."""

    def __init__(
        self, connection: psycopg.Connection, maker: RowMaker, *, events: Incoming, snapshots: Incoming
    ) -> None:
        own = reader(maker.format)
        # A reader may say what the parts of a run make together: rejoin(source_id, steps) -> Run.
        self._rejoin: Callable[[str, list[Step]], Run] | None = getattr(own, "rejoin", None)
        # Where the source says more of a run than its steps do: rejoin_trace(source_id, steps, stored, part) -> Run.
        self._rejoin_trace: Callable[[str, list[Step], Run, Run], Run] | None = getattr(own, "rejoin_trace", None)
        # What the parts make together, where the rest of the row is that of the first and the last: settle(run).
        self._settle: Callable[[Run], None] | None = getattr(own, "settle", None)
        # What the run says once of all steps that agree with it, and only the others say themselves.
        self._shared: tuple[str, ...] = getattr(own, "SHARED", ())
        self._is_open = getattr(own, "is_open", None)
        self._connection = connection
        self._maker = maker
        self._events = events
        self._snapshots = snapshots

    def write(self, runs: Mapping[uuid.UUID, Run], absent: Absent) -> Counts:
        """Keep all events of the stored part and of this file's, whose rows are in the incoming table; what is new."""
        if not runs:
            return Counts()
        fresh = self._events.unknown(list(runs))
        stored = dict(self._connection.execute(_ORDER, [list(runs)]).fetchall())
        events_new = self._events.insert(list(runs))
        finished = self._events.finish_begun(list(runs))
        snapshots_new = 0
        for execution, run in runs.items():
            parameters = {"run": execution, "start": run.started_at, "end": run.completed_at}
            self._connection.execute(_REPORTED, {"run": execution, "reported": self._maker.reported(run)})
            known = self._connection.execute(_HAS_RECORDED, parameters).fetchone()
            has_recorded = bool(run.states or (known and known[0]))
            whole = self._whole(execution, run, stored.get(execution, []), is_renumbered=not has_recorded)
            if has_recorded:
                recorded = self._maker.snapshots(run) if run.states else []
                self._snapshots.fill(absent.without(execution, recorded, is_part=True))
                snapshots_new += self._snapshots.insert([execution])
            else:
                before = self._connection.execute(_DROP_DERIVED, parameters).rowcount
                self._snapshots.fill(absent.without(execution, self._maker.snapshots(whole)))
                absent.write()
                snapshots_new += max(self._snapshots.insert([execution]) - before, 0)
                if self._rejoin is not None or self._rejoin_trace is not None:
                    upsert_execution(self._connection, self._maker.execution(whole))
                    continue
            news = fresh.get(execution, set())
            self._unite_row(execution, run, whole, news, told_by_part=news | finished)
            self._connection.execute(_TIMES, parameters)
            if self._settle is None:
                told = dict(zip(EXECUTION_COLUMNS, self._maker.execution(run), strict=True))
                spent = {"usage": told["token_usage"], "cost": told["cost"]}
                self._connection.execute(_TOTALS.encode(), {**parameters, **spent})
        return Counts(0, events_new, snapshots_new)

    def _unite_row(
        self, execution: uuid.UUID, part: Run, whole: Run, fresh: set[str], *, told_by_part: set[str]
    ) -> None:
        """The part that began first says what the run is, the one that ended last how it ended; read in any order."""
        row = dict(zip(EXECUTION_COLUMNS, self._maker.execution(part), strict=True))
        names = ("started_at", "completed_at", *_OF_THE_FIRST, *_OF_THE_LAST)
        query = sql.SQL("SELECT {}, metadata::text AS about FROM workbench.agent_executions WHERE id = %s")
        stored = self._connection.execute(query.format(column_names(names)), [execution]).fetchone()
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
        for name in self._shared:
            if name in told and name in known and told[name] != known[name]:
                values = {"told": told[name], "known": known[name], "both": metadata[name]}
                about_it = {key: self._maker.json(value) for key, value in values.items()}
                part_ids = list(told_by_part)
                self._connection.execute(_SHARE, {**about_it, "name": name, "run": execution, "part": part_ids})
        taken["metadata"] = self._maker.json(metadata)
        assign = sql.SQL(", ").join(
            sql.SQL("{} = %s::jsonb" if isinstance(agent_executions.c[name].type, sa.JSON) else "{} = %s").format(
                sql.Identifier(name)
            )
            for name in taken
        )
        query = sql.SQL("UPDATE workbench.agent_executions SET {} WHERE id = %s").format(assign)
        self._connection.execute(query, [*taken.values(), execution])

    def _whole(self, execution: uuid.UUID, part: Run, stored: list[str], *, is_renumbered: bool) -> Run:
        """The run of all stored events: as its reader judges the whole of it, where the reader can.

        ``stored`` has the events that were stored before those of ``part`` came, in their order.
        """
        rows = {str(row[0]): row for row in step_rows(self._connection, execution)}
        if self._rejoin is None and self._rejoin_trace is None:
            rows = _in_order(rows, stored, event_ids(execution, part)[0])
        steps = [step_of(row) for row in rows.values()]
        if self._rejoin_trace is not None:
            whole = self._rejoin_trace(part.source_id, steps, stored_run(self._connection, execution, part), part)
        elif self._rejoin is None:
            whole = Run(part.source_id, part.agent_type, steps=steps)
        else:
            whole = self._rejoin(part.source_id, steps)
        mark(whole.steps, self._is_open)
        if self._settle is not None:
            self._settle(whole)
        self._correct(execution, rows, whole, is_renumbered=is_renumbered)
        return whole

    def _correct(self, execution: uuid.UUID, rows: dict[str, StepRow], whole: Run, *, is_renumbered: bool) -> None:
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


def _in_order(rows: Mapping[str, StepRow], *parts: list[str]) -> dict[str, StepRow]:
    """The rows of both parts in one order, the same whichever part comes first."""
    numbers = {own: number for number, own in enumerate(rows)}
    moments = (row[TIMESTAMP] for row in rows.values())
    times = [None if moment is None else moment.timestamp() for moment in moments]
    order = interleave([[numbers[own] for own in part] for part in sorted(parts)], times, {})
    owns = list(rows)
    return {owns[number]: rows[owns[number]] for number in order}


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


_ORDER = """
SELECT execution_id, array_agg(id::text ORDER BY step_number, timestamp, id) FROM workbench.observability_events
WHERE execution_id = ANY(%s) GROUP BY 1
"""

# A step says itself what its part said of all of its own steps, where the run now says something else.
_SHARE = """
UPDATE workbench.observability_events AS event SET row_version = row_version + 1,
  data = data || jsonb_build_object('extra', CASE WHEN said.is_own THEN (data->'extra') - %(name)s::text
    ELSE coalesce(data->'extra', '{}') || jsonb_build_object(%(name)s::text, said.value) END)
FROM (
  SELECT id, data->'extra' ? %(name)s::text AS is_own, CASE WHEN data->'extra' ? %(name)s::text
    THEN data->'extra'->%(name)s::text WHEN id = ANY(%(part)s::uuid[]) THEN %(told)s::jsonb ELSE %(known)s::jsonb
    END AS value
  FROM workbench.observability_events WHERE execution_id = %(run)s AND span_id IS NOT NULL) AS said
WHERE event.id = said.id AND coalesce(said.is_own, false) = (said.value = %(both)s::jsonb)
"""

_HAS_RECORDED = """
SELECT EXISTS (SELECT FROM workbench.execution_snapshots WHERE execution_id = %(run)s AND NOT is_derived)
"""

_DROP_DERIVED = "DELETE FROM workbench.execution_snapshots WHERE execution_id = %(run)s AND is_derived"

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


def _sum_of(usage: str) -> str:
    return f"(SELECT sum(value::numeric) FROM jsonb_each_text({usage}))"


# A parent span may repeat the sum of its model calls: where there are model calls, they alone are counted. Where no
# step says what it took, but the run does: what is spent only grows, so the greater is that of the whole.
_COST = (
    "CASE WHEN priced.n_steps > 0 THEN priced.cost "
    "ELSE greatest(%(cost)s::numeric, CASE WHEN run.cost_source = 'source' THEN run.cost END) END"
)
_TOTALS = f"""
WITH counted AS (
  SELECT data FROM workbench.observability_events
  WHERE execution_id = %(run)s AND data ? 'usage' AND (event_type = 'llm_call' OR NOT EXISTS (
    SELECT FROM workbench.observability_events
    WHERE execution_id = %(run)s AND event_type = 'llm_call' AND data ? 'usage'))),
tokens AS (
  SELECT jsonb_object_agg(key, total) AS usage FROM (
    SELECT key, sum(value::bigint) AS total FROM counted, jsonb_each_text(data->'usage') GROUP BY key) AS summed)
UPDATE workbench.agent_executions AS run SET
  token_usage = coalesce((SELECT usage FROM tokens), CASE WHEN {_sum_of("%(usage)s::jsonb")}
    > coalesce({_sum_of("run.token_usage")}, 0) THEN %(usage)s::jsonb END, run.token_usage),
  cost = {_COST}, cost_source = CASE WHEN {_COST} IS NOT NULL THEN 'source' END
FROM (
  SELECT CASE WHEN count(*) = count(data->>'cost_usd') THEN sum((data->>'cost_usd')::numeric) END AS cost,
    count(*) AS n_steps FROM counted
) AS priced
WHERE run.id = %(run)s
"""

# Parts of a run that each report a total: a running total only grows, so the greater one is that of the whole.
_REPORTED = """
UPDATE workbench.agent_executions SET reported = %(reported)s::jsonb, row_version = row_version + 1
WHERE id = %(run)s AND %(reported)s::jsonb IS DISTINCT FROM reported AND (reported IS NULL
  OR (SELECT coalesce(sum(value::numeric), 0) FROM jsonb_each_text(reported->'usage'))
    < (SELECT coalesce(sum(value::numeric), 0) FROM jsonb_each_text(%(reported)s::jsonb->'usage'))
  OR (reported->>'cost_usd')::numeric < (%(reported)s::jsonb->>'cost_usd')::numeric)
"""
