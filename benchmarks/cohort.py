"""Aligning many runs beside ``difflib`` on pairs, and whether the divergence that is named is the true one.

Targets: 1,000 runs of 100 steps aligned and judged in seconds. Peer: ``difflib.SequenceMatcher`` from every run to one
run (n of the n²/2 pairs), on steps made comparable already: what one would write by hand, without a graph or a test.

With ``WORKBENCH_TEST_DATA``: tau-bench and tau2 tasks that have both outcomes, and each run of theirs predicted by the
divergence of the others.
"""

from __future__ import annotations

import difflib
import json
import os
import random
import statistics
import time
from pathlib import Path
from typing import Any

import polars as pl

from benchmarks._bench import scratch_store, table
from workbench._workbench import Workbench
from workbench.replay.cohort import cohort
from workbench.replay.graph import key_of
from workbench.replay.steps import steps_of

TOOLS = ["find_user", "get_order", "search", "quote", "check_policy", "calculate", "confirm", "notify"]
WORDS = ["order", "flight", "refund", "seat", "customer", "policy", "number", "cancel", "status", "date", "window"]
KINDS = ("step", "argument", "tool")

Line = tuple[str, ...]


def run(quick: bool = False) -> None:
    """Print three tables: speed, planted causes, real tasks."""
    table("cohort: speed", ["what", "ours", "difflib to one run", "all pairs (n/2 times that)"], _speed(quick))
    table(
        "cohort: a planted cause (the mistake fails 80 % of the runs, else 20 % fail)",
        ["runs × steps", "planted", "named first", "significant", "among the first 3"],
        _planted(quick),
    )
    if folder := os.environ.get("WORKBENCH_TEST_DATA"):
        table(
            "cohort: real tasks with both outcomes",
            [
                "source",
                "tasks",
                "runs",
                "named",
                "classes",
                "p ≤ 0.05",
                "runs left out",
                "told right",
                "commoner outcome",
            ],
            _real(Path(folder)),
        )


# ---------------------------------------------------------------- speed


def _speed(quick: bool) -> list[Line]:
    lines = []
    for n_runs, n_steps in ((30, 50), (100, 100)) if quick else ((30, 50), (200, 100), (1_000, 100)):
        events, outcomes, _ = synthetic(n_runs, n_steps, kind="argument", seed=1)
        ours: list[float] = []
        peer: list[float] = []
        for _ in range(1 if n_runs >= 1_000 else 3):
            start = time.perf_counter()
            found = cohort(events, outcomes)
            _ = found.divergence, found.nodes, found.edges
            ours.append(time.perf_counter() - start)
            start = time.perf_counter()
            keys = [[key_of(step) for step in steps_of(part)] for part in events.partition_by("execution_id")]
            for other in keys[1:]:
                difflib.SequenceMatcher(None, keys[0], other, autojunk=False).get_opcodes()
            peer.append(time.perf_counter() - start)
        a, b = statistics.median(ours), statistics.median(peer)
        lines.append((f"{n_runs:,} × {n_steps} steps", f"{a:.2f} s", f"{b:.2f} s", f"{b * n_runs / 2:,.0f} s"))
    return lines


# ---------------------------------------------------------------- planted


def _planted(quick: bool) -> list[Line]:
    lines = []
    for n_runs in (10, 30) if quick else (10, 30, 100):
        for kind in KINDS:
            first = sure = three = 0
            seeds = range(3 if quick else 20)
            for seed in seeds:
                events, outcomes, mark = synthetic(n_runs, 40, kind=kind, seed=seed)
                rows = cohort(events, outcomes).divergences.head(3).to_dicts()
                hits = [mark in row["label"] or mark in (row["instead"] or "") for row in rows]
                first += any(hits[:1])
                three += any(hits)
                sure += any(hits[:1]) and rows[0]["p_adjusted"] <= 0.05
            n = len(seeds)
            lines.append((f"{n_runs} × 40", _PLANTED[kind], f"{first} of {n}", f"{sure} of {n}", f"{three} of {n}"))
    return lines


_PLANTED = {"step": "a step left out", "argument": "another argument", "tool": "another tool"}


def synthetic(n_runs: int, n_steps: int, *, kind: str, seed: int) -> tuple[pl.DataFrame, pl.DataFrame, str]:
    """Runs of one plan with retries, swaps, extra steps and words of their own; half of them make one mistake.

    Returns events, outcomes and the text by which the step of the mistake is known.
    """
    rnd = random.Random(seed)
    plan = [(rnd.choice(TOOLS), {"id": f"P{k:03}"}) for k in range(n_steps // 3)]
    mark = f"P{len(plan) // 2:03}"
    rows: list[tuple[str, int, str, str, str]] = []
    outcomes = []
    for number in range(n_runs):
        execution = f"run-{number:05}"
        is_wrong = rnd.random() < 0.5
        steps: list[tuple[str, str, dict[str, Any]]] = []
        for k in _varied(rnd, len(plan)):
            steps.extend(_turn(rnd, *plan[k], wrong=kind if is_wrong and k == len(plan) // 2 else None))
        rows.extend((execution, at, what, name, json.dumps(data)) for at, (what, name, data) in enumerate(steps))
        outcomes.append((execution, "failed" if rnd.random() < (0.8 if is_wrong else 0.2) else "good"))
    schema = ["execution_id", "step_number", "event_type", "name", "data"]
    events = pl.DataFrame(rows, schema=schema, orient="row")
    return events, pl.DataFrame(outcomes, schema=["execution_id", "outcome"], orient="row"), mark


def _varied(rnd: random.Random, n: int) -> list[int]:
    """The plan in its order, with neighbours swapped and steps done twice."""
    order = list(range(n))
    for k in range(n - 1):
        if rnd.random() < 0.05:
            order[k], order[k + 1] = order[k + 1], order[k]
    return [k for k in order for _ in range(2 if rnd.random() < 0.05 else 1)]


def _turn(
    rnd: random.Random, tool: str, arguments: dict[str, Any], *, wrong: str | None
) -> list[tuple[str, str, dict[str, Any]]]:
    text = " ".join(rnd.choices(WORDS, k=12))
    said = ("message", "assistant", {"role": "assistant", "text": text})
    if wrong == "step":
        return [said]
    if wrong == "tool":
        tool = "transfer"
    if wrong == "argument":
        arguments = {**arguments, "mode": "express"}
    arguments = {**arguments, "note": rnd.choice(WORDS)} if rnd.random() < 0.1 else arguments
    answer = {"status": rnd.choice(["ok", "done"]), "n": rnd.randrange(3)}
    return [
        said,
        ("tool_call", tool, {"role": "assistant", "tool": {"name": tool, "arguments": arguments}}),
        ("tool_result", tool, {"role": "tool", "tool": {"name": tool, "result": answer}}),
    ]


# ---------------------------------------------------------------- real


def _real(folder: Path) -> list[Line]:
    lines = []
    with scratch_store() as store:
        bench = Workbench(store)
        for source in ("tau-bench", "tau2"):
            bench.ingest(folder / source, progress=False)
            runs = bench.executions(source=source)
            mixed = (
                runs.group_by("task_id")
                .agg(n=pl.len(), failed=(pl.col("status") == "failed").sum())
                .filter((pl.col("failed") > 0) & (pl.col("failed") < pl.col("n")))
            )
            found = [bench.cohort(task=task) for task in mixed["task_id"].sort()]
            named = [one.divergence for one in found if one.divergence]
            checks = [one.check() for one in found]
            tried = int(sum(check["n_runs"] for check in checks))
            right, usual = (
                sum(check[name] * check["n_runs"] for check in checks if check["n_runs"])
                for name in ("accuracy", "baseline")
            )
            classes = pl.Series([row["class"] for row in named]).value_counts(sort=True).rows()
            lines.append(
                (
                    source,
                    str(len(found)),
                    str(int(mixed["n"].sum())),
                    str(len(named)),
                    ", ".join(f"{n} {name}" for name, n in classes),
                    str(sum(row["p_adjusted"] <= 0.05 for row in named)),
                    str(tried),
                    f"{right:.0f}",
                    f"{usual:.0f}",
                )
            )
    return lines


if __name__ == "__main__":
    run()
