"""What a newcomer may hand over by mistake: an error of ours that says what is wanted, or the thing that was meant."""

from __future__ import annotations

from datetime import UTC, date, datetime

import polars as pl
import pytest

from workbench.errors import ConfigurationError, NotFoundError


@pytest.mark.parametrize(
    ("filters", "said"),
    [
        ({"status": 5}, "status='5' is none of pending"),
        ({"since": 7}, "since=7 is no time. Give '7d'"),
        ({"until": [1]}, "no time"),
        ({"fields": ["metadata.x"]}, r"give a name to each path, fields=\{'tokens'"),
        ({"fields": {"x": 5}}, "is no path: write fields="),
        ({"fields": {"x": ("metadata.a",)}}, "is no path: write fields="),
        ({"columns": [1]}, "executions has no column 1. It has: id"),
        ({"columns": 1}, "executions has no column 1"),
        ({"where": pl.col("status") == "failed"}, "is no text. Write a condition in SQL"),
        ({"limit": "5"}, "limit='5' must be a whole number"),
        ({"ids": 5}, "5 is no id"),
    ],
)
def test_a_filter_of_the_wrong_type_is_explained(bench, filters, said):
    """The value, and what is allowed."""
    with pytest.raises(ConfigurationError, match=said):
        bench.executions(**filters)


def test_other_arguments_of_the_wrong_type_are_explained(bench):
    """Queries, sizes, frames and runs too."""
    with pytest.raises(ConfigurationError, match="takes a query as text, not NoneType"):
        bench.sql(None)
    with pytest.raises(ConfigurationError, match=r"runs=list is no Polars frame; make one of it: runs=pl.DataFrame"):
        bench.duckdb("SELECT 1", runs=[1, 2])
    with pytest.raises(ConfigurationError, match="size='3' must be a whole number"):
        next(bench.pages("events", size="3"))
    with pytest.raises(NotFoundError, match="No execution '5'"):
        bench.events(5)


def test_what_was_meant_is_taken(bench, history):
    """A date is its first moment; ids come as a frame, a series, or one alone."""
    runs = bench.executions(agent_type="planner")

    assert bench.executions(since=date(2026, 11, 5)).equals(bench.executions(since=datetime(2026, 11, 5, tzinfo=UTC)))
    for ids in (runs, runs["id"], runs["id"].to_list()):
        assert bench.executions(ids=ids).equals(runs)
    assert bench.executions(ids=history.runs[1].id)["name"].to_list() == ["run 1"]
    assert repr(bench.frames) == f"Frames({bench.store})"
