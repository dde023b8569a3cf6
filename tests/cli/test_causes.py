"""``workbench cohort`` and ``workbench suspects``."""

from __future__ import annotations

import json
from collections.abc import Callable

from answer import HOSTILE, Answer


def test_cohort(ask: Callable[..., Answer], runs: list[str]):
    """The sentence and the table say what failed runs leave out; agents' text does not drive the terminal."""
    answer = ask("cohort", "--task", "Cancel W1")

    assert answer.code == 0
    assert answer.out.startswith("1 of 2 runs failed. First structure that goes with failing, around step 3:")
    assert "cancel_order(order_id=W1)” is left out" in answer.out
    assert "\x1b" not in answer.out


def test_cohort_as_json(ask: Callable[..., Answer], runs: list[str]):
    """JSON holds the runs with their outcomes, the graph, and the divergences with runs and steps."""
    answer = json.loads(ask("cohort", *runs, "--json").out)

    assert {run["execution_id"]: run["outcome"] for run in answer["runs"]} == dict(
        zip(runs, ("failed", "good"), strict=True)
    )
    assert answer["divergences"][0]["runs"] == [runs[0]]
    assert {"nodes", "edges", "summary", "task"} <= answer.keys()


def test_no_cohort(ask: Callable[..., Answer], runs: list[str]):
    """Without task and runs the command says what it needs; a rule by score leaves runs without one out."""
    assert ask("cohort").code == 2
    assert "Name it" in ask("cohort").err
    assert "0 of 0 runs failed" in ask("cohort", "--task", "Cancel W1", "--good", "1").out


def test_suspects(ask: Callable[..., Answer], runs: list[str]):
    """The steps of a run are listed with scores and reasons, best first, and cut to the limit."""
    listed = json.loads(ask("suspects", runs[0], "--json").out)

    assert [row["score"] for row in listed] == sorted((row["score"] for row in listed), reverse=True)
    assert "get_order(order_id=W1)" in [row["label"] for row in listed]
    assert len(ask("suspects", runs[0], "--limit", "1").out.splitlines()) == 2
    assert HOSTILE not in ask("suspects", runs[1]).out
