"""Cohorts of stored runs: how they are chosen, and real tasks that have both outcomes."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import polars as pl
import pytest

from workbench import Workbench
from workbench.errors import ConfigurationError, NotFoundError
from workbench.replay.capture.recording import Status


def record(bench: Workbench, *, task: str | None, status: Status, order: str = "W1") -> str:
    """A run of a task that gets an order and, where it is good, cancels it."""
    with bench.record(agent_type="clerk", task=task) as run:
        run.event("message", role="user", text="Cancel my order.")
        with run.tool("get_order", {"order_id": order}) as call:
            call.result = {"status": "pending"}
        if status == "completed":
            with run.tool("cancel_order", {"order_id": order}) as call:
                call.result = {"status": "cancelled"}
        run.finish(status=status, error=None if status == "completed" else "not cancelled")
    return str(run.id)


def test_a_task(bench: Workbench):
    """The runs of a task are found by its title, and the step that failed runs leave out is named."""
    good = [record(bench, task="Cancel W1", status="completed") for _ in range(4)]
    failed = [record(bench, task="Cancel W1", status="failed") for _ in range(4)]
    record(bench, task="Cancel W1", status="cancelled")
    record(bench, task="Another", status="failed")

    found = bench.cohort(task="Cancel W1")

    assert repr(found) == "Cohort('Cancel W1', good=4, failed=4)"
    assert sorted(found.runs["outcome"]) == ["failed"] * 4 + ["good"] * 4 + ["undecided"]
    assert found.divergence is not None
    assert (found.divergence["class"], found.divergence["label"]) == ("structure", "cancel_order(order_id=W1)")
    assert sorted(found.divergence["runs"]) == sorted(failed)
    by_hand = bench.cohort(runs=[*good, failed[0]])
    assert (by_hand.n_good, by_hand.n_failed) == (4, 1)


def test_how_a_span_ended_is_told_by_what_happened_in_it(bench: Workbench):
    """A span around the step that failed is no cause of it, though it began before; one with nothing in it may be."""
    for number in range(8):
        is_bad = number % 2 == 1
        with bench.record(agent_type="clerk", task="Cancel W2") as run:
            with suppress(ValueError), run.span("work"):
                with run.tool("get_order", {"order_id": "W2"}) as call:
                    call.result = {"status": "pending"}
                with suppress(KeyError), run.span("lookup"):
                    if is_bad:
                        raise KeyError("no such page")
                if is_bad:
                    raise ValueError("cannot cancel")
            run.finish(status="failed" if is_bad else "completed")

    found = bench.cohort(task="Cancel W2")

    assert found.divergence is not None
    assert (found.divergence["label"], found.divergence["step"]) == ("lookup gives an error", 3)
    assert "work" not in " ".join(found.divergences["label"])


def test_what_is_no_cohort(bench: Workbench):
    """No name, an unknown task, one run and runs of several tasks are refused, each with what to do next."""
    one = record(bench, task="One", status="failed")
    two = record(bench, task="Two", status="failed")

    with pytest.raises(ConfigurationError, match=r"Name it: bench\.cohort\(task="):
        bench.cohort()
    with pytest.raises(NotFoundError, match="task='Three'"):
        bench.cohort(task="Three")
    with pytest.raises(ConfigurationError, match=r"needs two or more.*bench\.suspects\(run\)"):
        bench.cohort(task="One")
    with pytest.raises(ConfigurationError, match=r"2 runs are of 2 tasks: '(One|Two)', '(One|Two)'"):
        bench.cohort(runs=[one, two])
    with pytest.raises(TypeError, match="no filter 'modle'"):
        bench.cohort(task="One", modle="x")  # pyright: ignore[reportCallIssue]


def test_runs_without_task_or_steps(bench: Workbench):
    """Runs of no task are aligned when they are named; those without steps are left out and told."""
    runs = [record(bench, task=None, status=status) for status in ("completed", "failed")]
    with bench.record(agent_type="clerk") as empty:
        empty.finish(status="failed", error="died")

    found = bench.cohort(runs=[*runs, str(empty.id)])

    assert sorted(found.runs.select("outcome", "n_steps").rows())[0] == ("empty", 0)
    assert (found.n_good, found.n_failed) == (1, 1)


def test_real_tasks(bench: Workbench, shared_data: Path):
    """Each real task with both outcomes has a divergence whose counts and step numbers are those of its runs."""
    bench.ingest(shared_data / "tau-bench")
    runs = bench.executions(source="tau-bench", limit=1_000)
    mixed = runs.group_by("task_id").agg(
        n=pl.len(), failed=(pl.col("status") == "failed").sum()
    ).filter((pl.col("failed") > 0) & (pl.col("failed") < pl.col("n")))  # fmt: skip

    assert len(mixed) == 11
    for task, n, n_failed in mixed.iter_rows():
        found = bench.cohort(task=task)
        row = found.divergence
        assert row is not None
        assert (found.n_good, found.n_failed) == (n - n_failed, n_failed)
        assert (row["n_with"] + row["n_without"], row["failed_with"] + row["failed_without"]) == (n, n_failed)
        assert found.steps.height == runs.filter(pl.col("task_id") == task)["n_events"].sum()
        for run, step in zip(row["runs"], row["step_numbers"], strict=True):
            assert found.steps.filter(pl.col("execution_id") == run, pl.col("step_number") == step).height == 1
        # Nothing stands in two nodes of one position that is the same kind of step.
        assert found.nodes.select("position", "event_type", "role", "name").is_unique().all()
