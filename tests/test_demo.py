"""The demo's agent really works, and really fails."""

from __future__ import annotations

import polars as pl
import pytest

from workbench import demo
from workbench.demo.agent import Agent, Faults
from workbench.demo.shop import Shop
from workbench.demo.tasks import Task, make_tasks

TASKS = make_tasks()


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.title)
def test_a_sound_agent_solves_every_task(bench, task: Task):
    """Without faults the shop ends as the gold actions leave it."""
    shop = Shop()
    with bench.record(agent_type="shop-clerk") as run:
        Agent(shop, run, Faults()).serve(task.request)

    assert shop.state() == task.gold_state()


def test_runs_of_one_seed_end_alike(bench):
    """The same seed gives the same failures, and failed and good runs of the same task."""
    first = demo.run(bench, n=80, seed=1, progress=False)
    again = demo.run(bench, n=80, seed=1, progress=False)

    runs = bench.executions()
    status = dict(zip(runs["id"], runs["status"], strict=True))
    assert [status[id] for id in first.execution_ids] == [status[id] for id in again.execution_ids]
    assert 0 < first.n_failed < 80
    assert runs.filter(status="failed").height == first.n_failed + again.n_failed
    mixed = runs.group_by("task").agg(pl.col("status").n_unique()).filter(pl.col("status") == 2)
    assert mixed.height > 0


def test_a_run_with_a_call_of_unknown_price_is_unpriced(bench):
    """The carrier bills by contract: runs that ask it have no cost, the others have."""
    demo.run(bench, n=20, progress=False)

    asked = bench.events(name="ask_carrier", event_type="tool_call")["execution_id"].unique().to_list()
    runs = bench.executions()
    assert asked
    assert runs.filter(pl.col("id").is_in(asked))["cost_usd"].null_count() == len(asked)
    assert runs.filter(~pl.col("id").is_in(asked))["cost_usd"].null_count() == 0
