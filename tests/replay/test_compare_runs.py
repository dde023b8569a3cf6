"""Comparing stored runs: real histories of one task, passed and failed, read from the database."""

from __future__ import annotations

import gzip
import json
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest

from workbench import Workbench
from workbench._delta import apply, same
from workbench.errors import NotFoundError

FILE = "tau-bench/gpt-4o-airline.tasks00-24.json.gz"


def tool_calls(trajectory: list[dict[str, Any]]) -> list[tuple[str, Any]]:
    """The calls of a run as its file has them, thoughts left out."""
    return [
        (call["function"]["name"], json.loads(call["function"]["arguments"]))
        for message in trajectory
        for call in message.get("tool_calls") or []
        if call["function"]["name"] != "think"
    ]


def test_real_pairs(bench: Workbench, shared_data: Path) -> None:
    """In each task with passed and failed runs, the calls before the first different action are those both share."""
    runs = json.loads(gzip.decompress((shared_data / FILE).read_bytes()))
    bench.ingest(shared_data / FILE)
    stored = bench.executions(source="tau-bench", limit=1_000)
    by_key = {tuple(source_id.split("/")[:2]): run for source_id, run in stored.select("source_id", "id").rows()}
    by_task: dict[int, dict[bool, dict[str, Any]]] = {}
    for run in runs:
        by_task.setdefault(run["task_id"], {}).setdefault(run["reward"] == 1, run)
    mixed = {task: pair for task, pair in by_task.items() if len(pair) == 2}

    assert len(mixed) == 11
    for task, pair in mixed.items():
        ids = [by_key[str(task), str(pair[passed]["trial"])] for passed in (False, True)]
        diff = bench.compare(*ids)
        failed, passed = (tool_calls(pair[p]["traj"]) for p in (False, True))
        shared = [x for x, _ in takewhile(lambda both: both[0] == both[1], zip(failed, passed, strict=False))]
        action = diff.first_action
        assert action is not None
        before = [diff.detail(row["position"]) for row in diff.steps.head(action["position"]).iter_rows(named=True)]
        said = [(c["tool"], c["arguments"]) for d in before if d["a"] for c in d["a"]["calls"] if c["tool"] != "think"]
        assert (diff.n_a, diff.n_b) == (len(pair[False]["traj"]), len(pair[True]["traj"]))
        assert said == shared, task
        assert diff.summary.startswith("Diverges at step ")
        assert [title.split(" · ")[-2:] for title in diff.titles] == [["failed", ids[0][:8]], ["completed", ids[1][:8]]]


def test_states_of_aligned_steps(bench: Workbench, shared_data: Path) -> None:
    """A state patch turns the state of one run into that of the other at the aligned step."""
    bench.ingest(shared_data / FILE)
    a, b = bench.executions(source="tau-bench", limit=2)["id"]
    diff = bench.compare(a, b)
    aligned = diff.steps.drop_nulls(["a_step", "b_step"])

    for a_step, b_step in aligned.select("a_step", "b_step").rows()[::5]:
        assert same(apply(bench.state(a, a_step), diff.state_patch(a_step)), bench.state(b, b_step))


def test_unknown_run(bench: Workbench) -> None:
    """A run that is not there is named."""
    with pytest.raises(NotFoundError, match="00000000-0000-4000-8000-000000000000"):
        bench.compare("00000000-0000-4000-8000-000000000000", "00000000-0000-4000-8000-000000000000")
