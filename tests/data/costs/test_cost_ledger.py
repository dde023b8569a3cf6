"""The ledger adds up tokens and cost in any grouping, shows what is unpriced, and compares with what is reported."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.types.json import Jsonb

import workbench
from workbench.data.costs.ledger import ledger_columns
from workbench.errors import ConfigurationError

START = datetime(2026, 1, 2, 10, tzinfo=UTC)
GROUPS = (None, "model", "agent_type", "task", "source", "day", "all")


def add(bench: workbench.Workbench, **run: Any) -> None:
    """A run as an ingest leaves it."""
    row = {"agent_type": "clerk", "status": "completed", "model": "model-a", "started_at": START} | run
    row = {name: Jsonb(value) if isinstance(value, dict) else value for name, value in row.items()}
    with bench.store.raw() as connection:
        connection.execute(
            f"INSERT INTO workbench.agent_executions ({', '.join(row)}) VALUES ({', '.join(['%s'] * len(row))})",  # type: ignore[arg-type]
            [*row.values()],
        )


def test_one_row_per_run(bench: workbench.Workbench) -> None:
    """Every class by itself, what was written to the cache by its lifetime, the newest run first."""
    usage = {"input_tokens": 1, "cache_read_tokens": 20, "cache_write_tokens": 300, "cache_write_1h_tokens": 100}
    usage |= {"output_tokens": 4_000, "reasoning_tokens": 3_000}
    add(bench, name="spent", token_usage=usage, cost=0.5, cost_source="source")
    add(bench, name="silent", started_at=START + timedelta(hours=1))

    silent, spent = bench.costs().to_dicts()
    assert {name: value for name, value in spent.items() if name not in ("id", "started_at")} == {
        "name": "spent", "agent_type": "clerk", "model": "model-a", "cost_source": "source", "n_runs": 1,
        "input_tokens": 1, "cache_read_tokens": 20, "cache_write_5m_tokens": 200, "cache_write_1h_tokens": 100,
        "output_tokens": 4_000, "reasoning_tokens": 3_000, "total_tokens": 4_321, "cost_usd": 0.5,
        "from_source_usd": 0.5, "from_prices_usd": None, "n_unpriced": 0, "unpriced_share": 0.0,
        "unpriced_tokens_share": 0.0, "reported_tokens": None, "reported_cost_usd": None, "difference_tokens": None,
        "difference_usd": None,
    }  # fmt: skip
    known = {name: value for name, value in silent.items() if value is not None}
    assert known.keys() == {"id", "name", "agent_type", "model", "started_at", "n_runs", "n_unpriced", "unpriced_share"}
    assert (known["n_unpriced"], known["unpriced_share"]) == (1, 1.0)


def test_the_known_part_and_the_unpriced_share(bench: workbench.Workbench) -> None:
    """What has no price adds nothing to the cost and shows in the shares, of runs and of tokens."""
    add(bench, token_usage={"input_tokens": 100}, cost=1, cost_source="source")
    add(bench, token_usage={"input_tokens": 100}, cost=2, cost_source="prices")
    add(bench, token_usage={"input_tokens": 600})
    add(bench)

    [row] = bench.costs(by="model").to_dicts()
    assert (row["cost_usd"], row["from_source_usd"], row["from_prices_usd"]) == (3.0, 1.0, 2.0)
    assert (row["n_unpriced"], row["unpriced_share"], row["unpriced_tokens_share"]) == (2, 0.5, 0.75)


def test_the_difference_from_what_is_reported(bench: workbench.Workbench) -> None:
    """Only runs whose source reports a total are compared, tokens and cost each by itself."""
    reported = {"usage": {"input_tokens": 90, "output_tokens": 15}, "cost_usd": 0.75}
    add(bench, token_usage={"input_tokens": 80, "output_tokens": 15}, cost=1, cost_source="source", reported=reported)
    add(bench, token_usage={"input_tokens": 7}, reported={"cost_usd": 5.0})
    add(bench, token_usage={"input_tokens": 1_000}, cost=9, cost_source="prices")

    [row] = bench.costs(by="all").to_dicts()
    assert (row["total_tokens"], row["reported_tokens"], row["difference_tokens"]) == (1_102, 105, -10)
    assert (row["cost_usd"], row["reported_cost_usd"], row["difference_usd"]) == (10.0, 5.75, 0.25)


def test_days_are_of_utc(bench: workbench.Workbench) -> None:
    """A day is one of UTC, whatever the server's zone; undated runs come last, under null."""
    add(bench, started_at=datetime(2026, 1, 2, 23, 59, tzinfo=UTC))
    add(bench, started_at=datetime(2026, 1, 3, 0, 1, tzinfo=UTC))
    add(bench, started_at=None)

    assert bench.costs(by="day")["day"].to_list() == [date(2026, 1, 2), date(2026, 1, 3), None]


def test_filters(bench: workbench.Workbench) -> None:
    """The filters are those of executions(); the two that shape a frame are refused."""
    add(bench, agent_type="clerk", status="failed", cost=1, cost_source="source")
    add(bench, agent_type="cook", started_at=START - timedelta(days=400), cost=2, cost_source="source")

    assert bench.costs(by="agent_type")["agent_type"].to_list() == ["cook", "clerk"]
    assert bench.costs(by="all", status="failed")["cost_usd"].to_list() == [1.0]
    assert bench.costs(by="all", since="2026-01-01")["cost_usd"].to_list() == [1.0]
    assert bench.costs(by="all", where="cost_usd > 1")["cost_usd"].to_list() == [2.0]
    assert bench.costs(by="all", limit=1)["cost_usd"].to_list() == [1.0]
    with pytest.raises(ConfigurationError, match=r"costs\(\) takes no columns"):
        bench.costs(columns=["id"])


@pytest.mark.parametrize("by", GROUPS)
def test_nothing_keeps_the_schema(by: str | None, bench: workbench.Workbench) -> None:
    """Without runs there are no rows, but all documented columns with their dtypes."""
    empty = bench.costs(by=by)

    assert empty.is_empty()
    assert dict(empty.schema) == {column.name: column.dtype for column in ledger_columns(by)}
    assert all(column.meaning for column in ledger_columns(by))


def test_an_unknown_group(bench: workbench.Workbench) -> None:
    """A group that is none names those that there are."""
    with pytest.raises(ConfigurationError, match=r"by='modle'.*Did you mean 'model'\?.*'agent_type'"):
        bench.costs(by="modle")


def test_odd_documents_are_readable(bench: workbench.Workbench) -> None:
    """A count that is no number, is negative, a fraction or beyond all numbers does not make the ledger unreadable."""
    for odd in ("many", -5, 1e300, None, [1], True):
        add(bench, token_usage={"input_tokens": odd, "output_tokens": 1}, reported={"usage": odd, "cost_usd": odd})
    add(bench, token_usage={}, reported={"usage": {"input_tokens": 9_000_000_000_000_000}})

    assert bench.costs(by="all")["total_tokens"].to_list() == [6]


_COUNTS = st.dictionaries(
    st.sampled_from(
        ["input_tokens", "cache_read_tokens", "cache_write_tokens", "cache_write_1h_tokens", "output_tokens"]
    ),
    st.integers(0, 10**9),
)
_RUN = st.fixed_dictionaries(
    {
        "agent_type": st.sampled_from(["clerk", "cook"]),
        "model": st.sampled_from(["model-a", "model-b", None]),
        "source": st.sampled_from(["codex", "atif", None]),
        "started_at": st.sampled_from([None, START, START + timedelta(days=1)]),
        "token_usage": st.none() | _COUNTS,
        "priced": st.sampled_from([(None, None), (0.25, "source"), (3, "prices"), (0, "prices")]),
        "reported": st.none() | st.fixed_dictionaries({}, optional={"usage": _COUNTS, "cost_usd": st.just(0.5)}),
    }
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(runs=st.lists(_RUN, max_size=12))
def test_any_grouping_gives_the_same_sums(runs: list[dict[str, Any]], bench: workbench.Workbench) -> None:
    """Grouped in whatever way, every sum over the groups is the sum over the runs."""
    with bench.store.raw() as connection:
        connection.execute("DELETE FROM workbench.agent_executions")
    for number, run in enumerate(runs):
        cost, cost_source = run["priced"]
        row = {name: value for name, value in run.items() if name != "priced"}
        add(bench, **row, cost=cost, cost_source=cost_source, source_id=str(number))

    sums = [name for name, dtype in bench.costs(by="all").schema.items() if not name.endswith("share")]
    expected = bench.costs(by="all").select(sums).to_dicts()
    for by in GROUPS:
        frame = bench.costs(by=by).select(sums)
        known = frame.select(pl.when(pl.col(name).count() > 0).then(pl.col(name).sum()).alias(name) for name in sums)
        assert (known.to_dicts() if runs else []) == expected, by
