"""Where the mistake of a failed run stands in ``bench.suspects(run)``, beside the rankings that anybody can make.

Needs ``WORKBENCH_TEST_DATA`` (its Who&When runs, each with the step that a person called the mistake). The rules were
fixed on the runs of the first part, whose annotations were read for that; the second part was scored with the rules as
they were then. The annotation lies in the run's metadata, which the ranking is not given; it is read here, for scoring.

Baselines: the last steps first; the steps with an error first, then the last ones; the agent's steps before these; any
order at all, of all steps and of those that agents did (exact expectations, not draws).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import polars as pl

from benchmarks._bench import scratch_store, table
from workbench._workbench import Workbench

PARTS = {
    "algorithm-generated": "Algorithm-Generated: the rules were fixed on these",
    "hand-crafted": "Hand-Crafted: not looked at",
}
TOPS = (1, 3, 5)
_MISTAKE = "SELECT id::text, metadata->'annotation'->>'mistake_step' FROM agent_executions WHERE agent_type = $1"

Ranking = Callable[[Workbench, str], Sequence[int]]


def run(quick: bool = False) -> None:
    """Score and print one table for each part."""
    folder = os.environ.get("WORKBENCH_TEST_DATA")
    if not folder:
        print("Nothing to score: WORKBENCH_TEST_DATA names no folder with who-and-when/.")
        return
    with scratch_store() as store:
        bench = Workbench(store)
        bench.ingest(Path(folder) / "who-and-when", progress=False)
        for agent_type, title in PARTS.items():
            truth = bench.sql(_MISTAKE, [f"who-and-when/{agent_type}"]).rows()
            table(
                f"suspects: {title}, {len(truth)} runs", ["ranking", *(f"top {k}" for k in TOPS)], _lines(bench, truth)
            )


def _lines(bench: Workbench, truth: Sequence[tuple[str, str]]) -> list[tuple[str, ...]]:
    lines = []
    for name, ranking in RANKINGS.items():
        places = [_place(ranking(bench, run), int(mistake)) for run, mistake in truth]
        lines.append((name, *(f"{sum(place <= k for place in places)}" for k in TOPS)))
    for name, steps in (("any order of all steps", _all), ("any order of agents' steps", _acts)):
        chosen = [(steps(bench, run), int(mistake)) for run, mistake in truth]
        expected = [sum(min(k / len(of), 1) for of, mistake in chosen if mistake in of) for k in TOPS]
        lines.append((name, *(f"{one:.1f}" for one in expected)))
    return lines


def _place(order: Sequence[int], mistake: int) -> float:
    return order.index(mistake) + 1 if mistake in order else float("inf")


def _suspects(bench: Workbench, run: str) -> Sequence[int]:
    return bench.suspects(run)["step_number"].to_list()


def _all(bench: Workbench, run: str) -> Sequence[int]:
    return bench.events(run, columns=["step_number"])["step_number"].to_list()


def _acts(bench: Workbench, run: str) -> Sequence[int]:
    return sorted(_suspects(bench, run))


def _last(bench: Workbench, run: str) -> Sequence[int]:
    return _all(bench, run)[::-1]


def _last_act(bench: Workbench, run: str) -> Sequence[int]:
    return _acts(bench, run)[::-1]


def _first_error(bench: Workbench, run: str) -> Sequence[int]:
    events = bench.events(run, columns=["step_number", "severity"])
    errors = events.filter(pl.col("severity").is_in(["error", "critical"]))["step_number"].to_list()
    return [*errors, *(step for step in _last(bench, run) if step not in errors)]


def _before_error(bench: Workbench, run: str) -> Sequence[int]:
    """The agent's step that led to each error, in their order, then the last steps."""
    events = bench.events(run, columns=["step_number", "severity"])
    errors = events.filter(pl.col("severity").is_in(["error", "critical"]))["step_number"].to_list()
    acts = _acts(bench, run)
    led = list(dict.fromkeys(max((act for act in acts if act < error), default=error) for error in errors))
    return [*led, *(step for step in acts[::-1] if step not in led)]


def _first(bench: Workbench, run: str) -> Sequence[int]:
    return _acts(bench, run)


RANKINGS: dict[str, Ranking] = {
    "bench.suspects(run)": _suspects,
    "last step first": _last,
    "last agent's step first": _last_act,
    "first error first": _first_error,
    "step before the first error": _before_error,
    "first agent's step first": _first,
}


if __name__ == "__main__":
    run()
