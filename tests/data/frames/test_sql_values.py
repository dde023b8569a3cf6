"""Values in SQL of the user's own: parameters, times that Python cannot hold, columns that only frames have."""

from __future__ import annotations

from datetime import UTC, date, datetime

import polars as pl
import pytest

from workbench.data.frames.columns import columns
from workbench.data.frames.transport import Transport, _transports
from workbench.data.store.tables import (
    agent_executions,
    environments,
    execution_snapshots,
    imports,
    observability_events,
    quarantine,
    tasks,
)
from workbench.errors import ConfigurationError, QueryError

TABLES = {
    "executions": agent_executions,
    "events": observability_events,
    "snapshots": execution_snapshots,
    "tasks": tasks,
    "environments": environments,
    "imports": imports,
    "quarantine": quarantine,
}
TIMES = (
    "SELECT v::{type} AS t FROM (VALUES ('infinity'), ('-infinity'), ('10000-01-01'), ('0044-03-15 BC'),"
    " ('9999-12-31'), ('0001-01-01'), (NULL)) AS a(v)"
)


@pytest.fixture(params=["adbc", "psycopg"])
def way(request, bench):
    """Each way from Postgres to Polars."""
    transport = _transports[bench.store] = Transport(bench.store, way=request.param)
    yield request.param
    transport.close()
    del _transports[bench.store]


@pytest.mark.parametrize("type", ["timestamptz", "timestamp", "date"])
def test_times_that_python_cannot_hold_are_null(bench, way, type):
    """Infinity, years past 9999 and before 1 can be read and shown; the first and the last year stay."""
    found = bench.sql(TIMES.format(type=type))["t"]

    assert found.null_count() == 5
    assert [value.year for value in found.drop_nulls()] == [9999, 1]
    assert "null" in repr(found)
    assert bench.sql("SELECT 'infinity'::timestamptz::text AS t")["t"].to_list() == ["infinity"]


@pytest.mark.parametrize("type", ["timestamptz", "timestamp", "timestamp_ms", "date"])
def test_duckdb_has_the_same_rule_for_times(bench, type):
    """Whichever database answers, a frame can be shown."""
    found = bench.duckdb(
        f"SELECT v::{type} AS t FROM (VALUES ('infinity'), ('-infinity'), ('10000-01-01'), ('9999-12-31'), (NULL)) a(v)"
    )["t"]

    assert [None if value is None else value.year for value in found] == [None, None, None, 9999, None]


def test_values_are_given_beside_the_query(bench, way, history):
    """Text, numbers, times, ids, lists and series stand for $1, $2, …, in any order and more than once."""
    query = "SELECT name FROM agent_executions WHERE {} ORDER BY name"

    def names(condition, *params):
        return bench.sql(query.format(condition), params)["name"].to_list()

    assert names("score < $2 AND status = $1", "failed", 0.5) == ["run 1", "run 4"]
    assert names("name = $1 OR name = $1", "run 2") == ["run 2"]
    assert names("started_at = $1", datetime(2026, 11, 3, tzinfo=UTC)) == ["run 2"]
    assert names("id = $1", history.runs[5].id) == names("id = $1", str(history.runs[5].id)) == ["run 5"]
    ids = pl.Series([str(run.id) for run in history.runs[:2]])
    assert names("id = ANY($1)", ids) == names("id = ANY($1)", ids.to_list()) == ["run 0", "run 1"]
    assert names("name = $1", "x' OR 'a' = 'a") == []


def test_a_query_with_values_has_the_same_types(bench, way, history):
    """The answer is the frame that the same query gives with its values written out."""
    query = (
        "SELECT id, name, cost, score, started_at, started_at::date AS d, metadata, row_version, source IS NULL AS b"
        " FROM agent_executions WHERE status = {} ORDER BY name"
    )

    assert bench.sql(query.format("$1"), params=["failed"]).equals(bench.sql(query.format("'failed'")))
    assert bench.sql("SELECT 1 AS a LIMIT $1", params=[0]).schema == {"a": pl.Int32}
    assert bench.sql("SELECT name FROM tasks, (VALUES ('a')) v(name)", params=[], limit=2).height == 2
    assert "Scan" in bench.sql("EXPLAIN SELECT * FROM tasks WHERE title = $1", params=["x"])["QUERY PLAN"][0]


def test_duckdb_takes_values_too(bench):
    """One spelling in both, and a frame may have any name."""
    runs = pl.DataFrame({"id": ["a", "b", "c"], "n": [1, 2, 3]})

    assert bench.duckdb("SELECT id FROM runs WHERE n > $1 AND id <> $2", [1, "c"], runs=runs)["id"].to_list() == ["b"]
    assert bench.duckdb("SELECT count(*) AS n FROM params, query", params=runs, query=runs).item() == 9


@pytest.mark.parametrize(
    ("query", "params"), [("SELECT $1::text, $2::int", ["a"]), ("SELECT 1 AS a", ["a"]), ("SELECT $1::text AS a", None)]
)
def test_a_wrong_number_of_values_is_said(bench, query, params):
    """Too few, too many, none: an error about the query, not about the connection."""
    with pytest.raises(QueryError, match=r"Give params one value for each of \$1, \$2"):
        bench.sql(query, params=params)


@pytest.mark.parametrize("params", ["failed", {"status": "failed"}, 3])
def test_values_come_in_a_list(bench, params):
    """A text would be taken letter by letter; names have no order."""
    with pytest.raises(ConfigurationError, match=r"is no list. Write \$1, \$2, … in the query"):
        bench.sql("SELECT $1", params)
    with pytest.raises(ConfigurationError, match="is no list"):
        bench.duckdb("SELECT $1", params)


@pytest.mark.parametrize(
    "query", ["SELECT cost_usd FROM agent_executions", "SELECT x.cost_usd FROM agent_executions x"]
)
def test_a_column_that_only_the_frame_has_is_explained(bench, query):
    """Who knows the frame learns what the table calls it."""
    with pytest.raises(QueryError, match=r"The column cost_usd of bench.executions\(\) .* in SQL: cost$"):
        bench.sql(query)


@pytest.mark.parametrize("frame", sorted(columns))
def test_every_column_of_a_frame_can_be_asked_for_in_sql(bench, history, frame):
    """By its own name where the table has it, else by the SQL that the error names, with the same values."""
    table = TABLES[frame]
    asked = [
        f'{column.in_sql or column.name} AS "{column.name}"'
        for column in columns[frame]
        if column.name not in ("state", "text")  # a patch, and compressed bytes, in the table
    ]
    found = bench.sql(f"SELECT {', '.join(asked)} FROM {table.name}")

    named = [column.name for column in columns[frame] if column.name not in ("state", "text")]
    both = {"is_solved": None} if frame == "quarantine" else {}
    expected = getattr(bench, frame)(columns=named, **both)
    assert all(column.in_sql == "" for column in columns[frame] if column.name in table.columns)
    assert found.sort("id").equals(expected.sort("id").cast(dict(found.schema)))


def test_dates_stay_dates(bench, way):
    """The rule for times changes no other value."""
    assert bench.sql("SELECT '2026-11-21'::date AS d")["d"].to_list() == [date(2026, 11, 21)]
