"""The ledger: tokens and cost by run or group, what has no price, and how far it is from what the source reports.

Everything is summed in the server, from one row per run, so that grouping in any way gives the same sums. A run without
a cost adds to ``n_unpriced`` and to the unpriced shares, never 0 to ``cost_usd``. A difference counts only runs whose
source reports a total: what is stored minus what is reported.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

import polars as pl
from psycopg import sql

from workbench.data.frames.columns import UTC, Column
from workbench.data.frames.columns import columns as all_columns
from workbench.errors import ConfigurationError

if TYPE_CHECKING:
    from workbench.data.frames.load import Frames

_CLASSES = ("input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens")
_LARGEST = 2**63 - 1


def _sum(expression: str) -> str:
    # least() passes over nulls, so that it would make the largest number of nothing.
    return f"CASE WHEN sum({expression}) IS NOT NULL THEN least(sum({expression}), {_LARGEST})::bigint END"


def _tokens(name: str, meaning: str, expression: str | None = None) -> Column:
    return Column(name, pl.Int64, meaning, _sum(expression or name), "tokens")


def _usd(name: str, meaning: str, expression: str) -> Column:
    return Column(name, pl.Float64, meaning, f"sum({expression})::float8", "USD")


_MEASURES = (
    Column("n_runs", pl.Int64, "runs", "count(*)"),
    _tokens("input_tokens", "uncached input"),
    _tokens("cache_read_tokens", "input read from the prompt cache"),
    _tokens(
        "cache_write_5m_tokens",
        "input written to the prompt cache for five minutes, or for as long as the source does not tell",
        "cache_write_tokens - least(cache_write_tokens, coalesce(cache_write_1h_tokens, 0))",
    ),
    _tokens("cache_write_1h_tokens", "input written to the prompt cache for one hour"),
    _tokens("output_tokens", "output, reasoning included"),
    _tokens("reasoning_tokens", "the part of the output spent on reasoning"),
    _tokens("total_tokens", "all classes together, each token once"),
    _usd("cost_usd", "what is known of the cost: that of the priced runs; null = nothing is known", "cost"),
    _usd("from_source_usd", "of this, what the sources say", "CASE WHEN cost_source = 'source' THEN cost END"),
    _usd("from_prices_usd", "of this, what the table of prices says", "CASE WHEN cost_source = 'prices' THEN cost END"),
    Column("n_unpriced", pl.Int64, "runs without a cost", "count(*) - count(cost)"),
    Column(
        "unpriced_share", pl.Float64, "of the runs, 0 to 1", "(count(*) - count(cost))::float8 / nullif(count(*), 0)"
    ),
    Column(
        "unpriced_tokens_share",
        pl.Float64,
        "of the tokens, 0 to 1; null = no tokens are known",
        "(coalesce(sum(total_tokens) FILTER (WHERE cost IS NULL), 0) / nullif(sum(total_tokens), 0))::float8",
    ),
    _tokens("reported_tokens", "what the sources report as totals; null = none does"),
    _usd("reported_cost_usd", "what the sources report as total cost; null = none does", "reported_cost"),
    _tokens(
        "difference_tokens",
        "total_tokens minus reported_tokens, of the runs that report",
        "coalesce(total_tokens, 0) - reported_tokens",
    ),
    _usd(
        "difference_usd", "cost_usd minus reported_cost_usd, of the runs that have both", "cost - reported_cost"
    ),
)  # fmt: skip

#: The columns that name a row, by what the ledger is grouped by.
_KEYS: dict[str | None, tuple[Column, ...]] = {
    None: (
        Column("id", pl.String, "the run", "id", "uuid"),
        Column("name", pl.String, "what a person calls this run", "name"),
        Column("agent_type", pl.String, "kind of agent", "agent_type"),
        Column("model", pl.String, "main model; null where the source names none", "model"),
        Column("started_at", UTC, "first moment; null where the source has no times", "started_at"),
        Column("cost_source", pl.String, "who says the cost: source · prices; null = unpriced", "cost_source"),
    ),
    "model": (Column("model", pl.String, "main model of the runs", "model"),),
    "agent_type": (Column("agent_type", pl.String, "kind of agent", "agent_type"),),
    "task": (Column("task", pl.String, "title of the task", "task"),),
    "source": (Column("source", pl.String, "format the runs came from", "source"),),
    "day": (Column("day", pl.Date, "day of the start (UTC); null where the source has no times", "day"),),
    "all": (),
}


def ledger_columns(by: str | None = None) -> tuple[Column, ...]:
    """The columns of the ledger grouped so: name, dtype, unit and meaning of each."""
    if by not in _KEYS:
        close = difflib.get_close_matches(str(by), [name for name in _KEYS if name], 1)
        raise ConfigurationError(
            f"by={by!r} is nothing to group costs by."
            + (f" Did you mean {close[0]!r}?" if close else "")
            + f" There are: {', '.join(repr(name) for name in _KEYS if name)}; without it, one row per run.",
            value=by,
        )
    return _KEYS[by] + _MEASURES


def costs(frames: Frames, *, by: str | None = None, **filters: Any) -> pl.DataFrame:
    """The ledger of the runs that pass the filters.

    Parameters
    ----------
    by
        ``model``, ``agent_type``, ``task``, ``source``, ``day`` or ``all`` (one row); ``None`` = one row per run. A run
        counts under its main model.
    **filters
        As of :meth:`workbench.data.frames.load.Frames.executions`, but for ``fields`` and ``columns``; ``limit`` is of
        the newest runs, before they are grouped.

    Returns
    -------
    polars.DataFrame
        Columns of :func:`ledger_columns`: the names of the row, then ``n_runs``, tokens by class (disjoint but for
        ``reasoning_tokens``), ``cost_usd`` (its known part) and who says it, ``n_unpriced`` and the unpriced shares of
        runs and tokens, what the sources report and the difference. Runs: the newest first; groups: the dearest first,
        days in their order. No runs, no rows.

    Raises
    ------
    ConfigurationError
        ``by`` or a filter has a value that is not allowed.
    """
    keys, given = ledger_columns(by)[: -len(_MEASURES)], {**filters}
    for name in ("fields", "columns"):
        if given.pop(name, None) is not None:
            raise ConfigurationError(f"costs() takes no {name}: choose among its columns with select().", value=name)
    query = sql.SQL("SELECT {selected} FROM ({runs}) AS run{grouped} ORDER BY {order}").format(
        selected=_list(f"{column.sql} AS {column.name}" for column in keys + _MEASURES),
        runs=_sql(_RUNS).format(_list(_PARTS), frames.chosen("executions", given)),
        grouped=_sql(" GROUP BY ") + _list(_grouped(by, keys)) if by != "all" else _sql(" HAVING count(*) > 0"),
        order=_sql(_ORDER.get(by, "cost_usd DESC NULLS LAST, total_tokens DESC NULLS LAST, 1")),
    )
    schema = {column.name: column.dtype for column in keys + _MEASURES}
    return frames.transport.fetch(query, schema)


def _grouped(by: str | None, keys: tuple[Column, ...]) -> list[str]:
    names = [column.sql for column in keys]
    return [*names, "created_at"] if by is None else names


def _sql(text: str) -> sql.SQL:
    """SQL made of this package's own constants; values of users never come this way."""
    return sql.SQL(text)  # pyright: ignore[reportArgumentType]


def _list(parts: Any) -> sql.Composed:
    return sql.SQL(", ").join(map(_sql, parts))


def _count(document: str, name: str) -> str:
    """A class of tokens, where it is a number that can be: one odd row must not make the ledger unreadable."""
    value = f"({document}->'{name}')"
    is_one = f"jsonb_typeof({value}) = 'number' AND {value}::numeric BETWEEN 0 AND 9e15"
    return f"CASE WHEN {is_one} THEN {value}::numeric END"


def _total(document: str) -> str:
    counts = [_count(document, name) for name in _CLASSES]
    known = " + ".join(f"coalesce({count}, 0)" for count in counts)
    return f"CASE WHEN coalesce({', '.join(counts)}) IS NOT NULL THEN {known} END"


_REPORTED = "x.reported->'usage'"
_PARTS = (
    *(
        f"{column.sql} AS {column.name}"
        for column in all_columns["executions"]
        if column.name in ("id", "name", "agent_type", "model", "started_at", "source", "created_at")
    ),
    "t.title AS task",
    "(x.started_at AT TIME ZONE 'UTC')::date AS day",
    "x.cost",
    "x.cost_source",
    *(
        f"{_count('x.token_usage', name)} AS {name}"
        for name in (*_CLASSES, "cache_write_1h_tokens", "reasoning_tokens")
    ),
    f"{_total('x.token_usage')} AS total_tokens",
    f"{_total(_REPORTED)} AS reported_tokens",
    "CASE WHEN jsonb_typeof(x.reported->'cost_usd') = 'number' THEN round((x.reported->>'cost_usd')::numeric, 10) END"
    " AS reported_cost",  # as many places as the cost has, so that equal is equal
)
_RUNS = "SELECT {} FROM ({}) x LEFT JOIN workbench.tasks t ON t.id = x.task_id"
_ORDER = {
    None: "coalesce(started_at, '-infinity'::timestamptz) DESC, created_at, id",
    "day": "day NULLS LAST",
    "all": "1",
}
