"""Every column of every frame: name, dtype, unit, meaning and the SQL that makes it.

``columns["executions"]`` is the schema of ``bench.executions()``; an empty result keeps it. JSON columns arrive as
text (``String``), ready for ``str.json_path_match`` or for ``fields={"tokens": "data.usage.input_tokens"}``, which
extracts a path in SQL and never moves the document.
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

UTC = pl.Datetime("us", "UTC")


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a frame."""

    name: str
    dtype: pl.DataType | type[pl.DataType]
    meaning: str
    sql: str
    unit: str = ""
    in_sql: str = ""
    """For ``bench.sql()``, where the table has no column of this name."""


def _token(name: str, meaning: str) -> Column:
    # Guarded: one row that holds something else must not make the frame unreadable.
    value = f"x.token_usage->'{name}'"
    number = f"CASE WHEN jsonb_typeof({value}) = 'number' AND abs(({value})::numeric) < 9e18 THEN ({value})::bigint END"
    return Column(name, pl.Int64, meaning, number, "tokens", f"(token_usage->>'{name}')::bigint")


def _count(name: str, meaning: str, made: str, table: str, more: str = "") -> Column:
    counted = f"(SELECT count(*) FROM {table} WHERE c.execution_id = agent_executions.id{more})"
    return Column(name, pl.Int64, meaning, made, in_sql=counted)


_EXECUTIONS = (
    Column("id", pl.String, "the execution", "x.id", "uuid"),
    Column("name", pl.String, "what a person calls this run", "x.name"),
    Column("agent_type", pl.String, "kind of agent", "x.agent_type"),
    Column("model", pl.String, "main model; null where the source names none", "x.model"),
    Column("status", pl.String, "pending · running · completed · failed · cancelled", "x.status"),
    Column("score", pl.Float64, "the source's own reward or grade; null where it gives none", "x.score"),
    Column("task_id", pl.String, "the task it tried", "x.task_id", "uuid"),
    Column(
        "task",
        pl.String,
        "that task's title",
        "t.title",
        in_sql="(SELECT title FROM tasks WHERE tasks.id = agent_executions.task_id)",
    ),
    Column("started_at", UTC, "first moment; null where the source has no times", "x.started_at"),
    Column("completed_at", UTC, "last moment", "x.completed_at"),
    Column("execution_time_ms", pl.Float64, "how long it took", "x.execution_time_ms", "ms"),
    _count("n_events", "events of this run", "e.n_events", "observability_events c"),
    _count(
        "n_errors",
        "of these, of severity error or critical",
        "f.n_errors",
        "observability_events c",
        " AND c.severity IN ('error', 'critical')",
    ),
    _count("n_snapshots", "states one can go to", "s.n_snapshots", "execution_snapshots c"),
    _token("input_tokens", "uncached input"),
    _token("cache_read_tokens", "input read from the prompt cache"),
    _token("cache_write_tokens", "input written to the prompt cache"),
    _token("cache_write_1h_tokens", "of these, kept for one hour; null where the source tells no lifetimes"),
    _token("output_tokens", "output, reasoning included"),
    _token("reasoning_tokens", "the part of the output spent on reasoning"),
    Column("cost_usd", pl.Float64, "cost; null = unpriced", "x.cost::float8", "USD", "cost"),
    Column("cost_source", pl.String, "who says the cost: source · prices (a dated table)", "x.cost_source"),
    Column("error_type", pl.String, "kind of failure", "x.error_type"),
    Column("error", pl.String, "what went wrong, in the source's words", "x.error"),
    Column("trace_id", pl.String, "OpenTelemetry trace", "x.trace_id"),
    Column("parent_execution_id", pl.String, "the run that this one hangs on", "x.parent_execution_id", "uuid"),
    Column("parent_event_id", pl.String, "the step of that run", "x.parent_event_id", "uuid"),
    Column(
        "link",
        pl.String,
        "how it hangs on it: spawned · forked · resumed · continued",
        "coalesce(x.metadata->>'link', CASE WHEN x.parent_execution_id IS NOT NULL THEN 'spawned' END)",
        in_sql="coalesce(metadata->>'link', CASE WHEN parent_execution_id IS NOT NULL THEN 'spawned' END)",
    ),
    Column("source", pl.String, "format it came from; 'record' for captured runs", "x.source"),
    Column("source_id", pl.String, "the source's own id", "x.source_id"),
    Column("created_at", UTC, "when it was written here", "x.created_at"),
)

_EVENTS = (
    Column("id", pl.String, "the event", "e.id", "uuid"),
    Column("execution_id", pl.String, "its run", "e.execution_id", "uuid"),
    Column("step_number", pl.Int64, "0-based position in the run", "e.step_number::bigint"),
    Column(
        "event_type", pl.String, "message · reasoning · tool_call · tool_result · llm_call · span · …", "e.event_type"
    ),
    Column("name", pl.String, "tool, span or author", "e.name"),
    Column("agent", pl.String, "lane: the agent or sub-agent that did it", "e.agent"),
    Column("category", pl.String, "the source's own grouping", "e.category"),
    Column("severity", pl.String, "debug · info · warning · error · critical", "e.severity"),
    Column("timestamp", UTC, "start; null where the source has no times", 'e."timestamp"'),
    Column("duration_ms", pl.Float64, "how long; null for a moment", "e.duration_ms", "ms"),
    Column("trace_id", pl.String, "OpenTelemetry trace", "e.trace_id"),
    Column("span_id", pl.String, "span", "e.span_id"),
    Column("parent_span_id", pl.String, "enclosing span", "e.parent_span_id"),
    Column("mark", pl.String, "orphaned · unfinished · out_of_order; null = nothing is amiss", "e.mark"),
    Column("data", pl.String, "role, text, tool, model, usage, cost_usd, error, extra", "e.data::text", "json"),
)

_SNAPSHOTS = (
    Column("id", pl.String, "the snapshot", "s.id", "uuid"),
    Column("execution_id", pl.String, "its run", "s.execution_id", "uuid"),
    Column("step_number", pl.Int64, "the step after which this was the state", "s.step_number::bigint"),
    Column("timestamp", UTC, "when", 's."timestamp"'),
    Column("description", pl.String, "what a person wrote", "s.description"),
    Column("checkpoint", pl.Boolean, "one may return to it by name", "s.checkpoint"),
    Column("is_derived", pl.Boolean, "rebuilt from the conversation, not recorded by the source", "s.is_derived"),
    Column("state", pl.String, "the whole state, rebuilt", "s.state::text", "json"),
)

_TASKS = (
    Column("id", pl.String, "the task", "t.id", "uuid"),
    Column("title", pl.String, "short title", "t.title"),
    Column("description", pl.String, "what is asked", "t.description"),
    Column("status", pl.String, "pending · in_progress · paused · completed · failed · cancelled", "t.status"),
    Column("priority", pl.String, "low · medium · high · urgent", "t.priority"),
    Column("user_id", pl.String, "owner", "t.user_id"),
    Column("created_at", UTC, "written here", "t.created_at"),
    Column("updated_at", UTC, "last change", "t.updated_at"),
    Column("source", pl.String, "format it came from", "t.source"),
    Column("source_id", pl.String, "the source's own id", "t.source_id"),
    Column("metadata", pl.String, "anything else", "t.metadata::text", "json"),
)

_ENVIRONMENTS = (
    Column("id", pl.String, "the environment", "v.id", "uuid"),
    Column("name", pl.String, "its name, unique per user", "v.name"),
    Column("is_active", pl.Boolean, "the one in use; at most one per user", "v.is_active"),
    Column("schema_version", pl.Int64, "version of the config's own layout", "v.schema_version::bigint"),
    Column("user_id", pl.String, "owner; '' = everybody", "v.user_id"),
    Column("created_at", UTC, "written here", "v.created_at"),
    Column("updated_at", UTC, "last change", "v.updated_at"),
    Column("config", pl.String, "settings", "v.config::text", "json"),
)

_N_RUNS = "(SELECT count(*) FROM {}import_runs WHERE import_runs.import_id = {}.id)"
_HAS_ORIGINAL = "(cardinality({0}.blocks) > 0)"


def _held(name: str, key: str, meaning: str) -> Column:
    return Column(name, pl.Int64, meaning, f"(i.report->>'{key}')::bigint", in_sql=f"(report->>'{key}')::bigint")


_IMPORTS = (
    Column("id", pl.String, "the import", "i.id", "uuid"),
    Column("path", pl.String, "where the file lay", "i.path"),
    Column("format", pl.String, "its format", "i.source", in_sql="source"),
    Column("created_at", UTC, "when it was ingested", "i.created_at"),
    Column("size_bytes", pl.Int64, "size as it lay on disk", "i.size_bytes", "bytes"),
    Column("sha256", pl.String, "checksum as it lay on disk", "i.sha256"),
    Column(
        "n_runs",
        pl.Int64,
        "runs that the file holds, whoever brought them first",
        _N_RUNS.format("workbench.", "i"),
        in_sql=_N_RUNS.format("", "imports"),
    ),
    _held("n_events", "events", "events that the file holds"),
    _held("n_snapshots", "snapshots", "states that the file holds"),
    _held("n_bad", "n_bad", "lines that could not be read"),
    Column(
        "has_original",
        pl.Boolean,
        "the file itself is kept",
        _HAS_ORIGINAL.format("i"),
        in_sql=_HAS_ORIGINAL.format("imports"),
    ),
    Column(
        "outcome",
        pl.String,
        "when it was read last: new · extended · already there",
        "i.report->>'outcome'",
        in_sql="report->>'outcome'",
    ),
    Column(
        "version",
        pl.String,
        "of Workbench, that read it last",
        "i.report->>'version'",
        in_sql="report->>'version'",
    ),
    Column("report", pl.String, "what was kept, changed, lost, and could not be read", "i.report::text", "json"),
)

# The bytes are compressed in the table: they become text here, after they were read.
_SOLVED = (
    "EXISTS (SELECT FROM {0}imports i WHERE ({1}.import_id IS NULL AND i.sha256 = {1}.sha256)"
    " OR (i.path = {1}.path AND i.sha256 <> {1}.sha256 AND i.created_at > {1}.created_at))"
)
_QUARANTINE = (
    Column("id", pl.String, "the row", "q.id", "uuid"),
    Column("import_id", pl.String, "the import whose line it is; null for a whole file", "q.import_id", "uuid"),
    Column("path", pl.String, "where the file lay", "q.path"),
    Column("format", pl.String, "its format; null where none was recognised", "q.source", in_sql="source"),
    Column("line", pl.Int64, "1-based; null where the format has no lines, and for a whole file", "q.line"),
    Column("reason", pl.String, "why it cannot be read", "q.reason"),
    Column("text", pl.String, "how it begins, as text", "encode(q.data, 'base64')", in_sql="encode(data, 'base64')"),
    Column("size_bytes", pl.Int64, "size of the whole file as it lay on disk", "q.size_bytes", "bytes"),
    Column("sha256", pl.String, "checksum of the whole file as it lay on disk", "q.sha256"),
    Column("version", pl.String, "of Workbench, that could not read it", "q.version"),
    Column("created_at", UTC, "when it was put aside", "q.created_at"),
    Column(
        "is_solved",
        pl.Boolean,
        "read since: the same bytes, or another state of the file at its path",
        _SOLVED.format("workbench.", "q"),
        in_sql=_SOLVED.format("", "quarantine"),
    ),
)

columns: dict[str, tuple[Column, ...]] = {
    "executions": _EXECUTIONS,
    "events": _EVENTS,
    "snapshots": _SNAPSHOTS,
    "tasks": _TASKS,
    "environments": _ENVIRONMENTS,
    "imports": _IMPORTS,
    "quarantine": _QUARANTINE,
}


def schema(frame: str) -> dict[str, pl.DataType | type[pl.DataType]]:
    """Name → dtype of a frame, in order."""
    return {column.name: column.dtype for column in columns[frame]}
