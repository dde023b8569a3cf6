"""Let the demo's agent work, captured."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tqdm.auto import tqdm

from .agent import Agent, Faults, GaveUpError
from .shop import Shop
from .tasks import Task, make_tasks

if TYPE_CHECKING:
    from workbench._workbench import Workbench

#: Agent versions and the rate of each fault in them.
VERSIONS = {"clerk-1": 0.25, "clerk-2": 0.08}


@dataclass(frozen=True, slots=True)
class DemoReport:
    """What the demo did: numbers of runs, and the ids of the executions it recorded."""

    n_runs: int
    n_failed: int
    execution_ids: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.n_runs} runs recorded, {self.n_failed} of them failed"


def run(bench: Workbench, *, n: int = 200, seed: int = 2026, progress: bool = True) -> DemoReport:
    """Serve the demo's tasks ``n`` times and record every run.

    Parameters
    ----------
    bench
        Where to record.
    n
        Number of runs; the tasks and the two agent versions take turns.
    seed
        Same seed, same requests, faults and timeouts (times of day and durations are real and differ).
    progress
        Show a progress bar.
    """
    tasks = make_tasks()
    versions = list(VERSIONS)
    ids, n_failed = [], 0
    for number in tqdm(range(n), desc="demo agent", unit="run", disable=None if progress else True):
        task = tasks[number % len(tasks)]
        version = versions[number // len(tasks) % len(versions)]
        execution_id, good = _run_one(bench, task, version, random.Random(f"{seed}/{number}"), number)
        ids.append(execution_id)
        n_failed += not good
    return DemoReport(n, n_failed, tuple(ids))


def _run_one(bench: Workbench, task: Task, version: str, rng: random.Random, number: int) -> tuple[str, bool]:
    faults = Faults.draw(rng, VERSIONS[version])
    shop = Shop(weather=rng, timeout_rate=0.06)
    about = {"faults": faults.names(), "number": number}
    with bench.record(agent_type="shop-clerk", model=version, task=task.title, name=f"{task.title} · {number:03d}",
                      input=task.request, metadata=about) as recording:  # fmt: skip
        agent = Agent(shop, recording, faults)
        answer, stop = None, None
        try:
            answer = agent.serve(task.request)
        except GaveUpError as error:
            stop = error
        good = stop is None and shop.state() == task.gold_state()
        # One call that cannot be priced leaves the run unpriced: a sum of the rest would be too low.
        cost = {} if agent.is_priced else {"cost_usd": None}
        if stop is not None:
            recording.finish(status="failed", score=0.0, error=str(stop), error_type=stop.kind, **cost)
        elif good:
            recording.finish(score=1.0, output=answer, **cost)
        else:
            wrong = "the shop did not end as the task requires"
            recording.finish(status="failed", score=0.0, output=answer, error=wrong, error_type="WrongOutcome", **cost)
    return str(recording.id), good
