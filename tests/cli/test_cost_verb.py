"""`workbench costs`: the ledger as a table and as JSON, and pricing again."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from answer import Answer

import workbench

SONNET = "claude-sonnet-4-20250514"


@pytest.fixture
def spent(bench: workbench.Workbench) -> None:
    """Three runs: priced by its recorder, unpriced with a model that has a price, unpriced for good."""
    for name, model, cost in (("told", SONNET, 0.5), ("to be priced", SONNET, None), ("unknown", "model-a", None)):
        with bench.record(agent_type="clerk", name=name, model=model) as run:
            run.event("llm_call", model=model, usage={"input_tokens": 1_000_000, "output_tokens": 10}, cost_usd=cost)


def test_ledger_as_json(ask: Callable[..., Answer], spent: None):
    """`costs --by model --json` is a list of objects with the columns of the frame; absent is null."""
    rows = ask("costs", "--by", "model", "--json").json

    assert [(row["model"], row["n_runs"], row["cost_usd"], row["n_unpriced"]) for row in rows] == [
        (SONNET, 2, 0.5, 1), ("model-a", 1, None, 1),
    ]  # fmt: skip
    assert rows[0]["unpriced_share"] == 0.5
    assert rows[0]["reported_tokens"] is None
    assert ask("costs", "--status", "failed", "--json").out == "[]\n"


def test_ledger_as_a_table(ask: Callable[..., Answer], spent: None):
    """A run without a cost is called unpriced; a group shows the share of those."""
    runs, groups = ask("costs").out, ask("costs", "--by", "agent_type").out

    assert [line.split().count("unpriced") for line in runs.splitlines()[1:]] == [1, 1, 0]
    assert groups.splitlines()[0].split() == [
        "agent_type", "runs", "input", "cached", "output", "cost", "$", "unpriced", "reported", "difference",
    ]  # fmt: skip
    assert "67%" in groups
    assert "0.5000" in groups


def test_price_again(ask: Callable[..., Answer], spent: None):
    """`--reprice` prices what can be priced, says what cannot and why, and does it once."""
    first, second = ask("costs", "--by", "all", "--reprice", "--json"), ask("costs", "--reprice", "--json")

    [row] = first.json
    assert (row["n_unpriced"], row["from_source_usd"], row["from_prices_usd"]) == (1, 0.5, 3.00015)
    assert "1 × no price of model 'model-a'" in first.err
    assert "0 runs priced" in second.err


def test_an_unknown_group(ask: Callable[..., Answer]):
    """A group that is none is an error that names those that there are, in words of the shell."""
    answer = ask("costs", "--by", "colour")

    assert answer.code == 2
    assert "by='colour'" in answer.err
    assert "'agent_type'" in answer.err
    assert "None" not in answer.err
