"""Who wrote a value and what the model saw, on one long run, beside doing it by hand with whole states.

Targets: ``bench.origin`` and ``bench.context`` on a run of 100,000 events in a few seconds; the step that set a value
at least five times as fast as by comparing all whole states.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import orjson

from benchmarks._bench import scratch_store, table
from workbench._workbench import Workbench
from workbench.data.ingest.normal import Run, Step, Usage
from workbench.data.ingest.reading.source import Source
from workbench.data.ingest.writing.rows import EVENT_COLUMNS, EXECUTION_COLUMNS, SNAPSHOT_COLUMNS, RowMaker
from workbench.data.store.copy import copy_rows
from workbench.data.store.tables import agent_executions, execution_snapshots, observability_events


def run(quick: bool = False) -> None:
    """Measure and print one table."""
    rounds = 1 if quick else 3
    with scratch_store() as store:
        bench = Workbench(store)
        short, long = (_stored(bench, n) for n in ((200, 2_000) if quick else (1_000, 100_000)))
        n = bench.events(long, columns=["step_number"]).height
        path = "tool_results.c7.total"
        ways = {"ours": lambda: bench.origin(short, path, depth=0), "peer": lambda: _by_hand(bench, short, "c7")}
        took = _medians(ways, rounds)
        lines = [_line("the step that set a value", took, "≥ 5×")]
        for what, way in (
            (f"origin over {n:,} events", lambda: bench.origin(long, path)),
            (f"context, all calls of {n:,} events", lambda: bench.context(long)),
            (f"context at step {n // 100:,} of {n:,}", lambda: bench.context(long, n // 100)),
            (f"context at the last of {n:,} steps", lambda: bench.context(long, n - 1)),
        ):
            lines.append(_line(what, _medians({"ours": way}, rounds), "a few seconds"))
    table("Who wrote a value, what the model saw", ["what", "ours", "whole states", "peer ÷ ours", "target"], lines)


def _by_hand(bench: Workbench, run: str, call: str) -> int:
    """The first step whose whole state has the value, looked for from the end."""
    frame = bench.snapshots(run, columns=["step_number", "state"])
    found = None
    for step, state in reversed(frame.rows()):
        if call not in orjson.loads(state)["tool_results"]:
            break
        found = step
    assert found is not None
    return found


def _stored(bench: Workbench, n: int) -> str:
    made = Run(f"run of {n}", "clerk", steps=[step for k in range(n // 5) for step in _turn(k)])
    maker = RowMaker("benchmark", Source("benchmark", content=b""), None)
    with bench.store.raw() as connection:
        copy_rows(connection, agent_executions, EXECUTION_COLUMNS, [maker.execution(made)])
        copy_rows(connection, observability_events, EVENT_COLUMNS, maker.events(made))
        copy_rows(connection, execution_snapshots, SNAPSHOT_COLUMNS, maker.snapshots(made))
    return str(maker.id_of(made))


def _turn(k: int) -> list[Step]:
    order, total = f"W{100_000 + k}", 1_000.25 + k
    about = {"name": "look", "call_id": f"c{k}"}
    lines = [{"sku": f"S{k * 7 + j}", "n": j} for j in range(20)]
    used = Usage(3, 1_000 + 500 * k, 200, 20)
    return [
        Step("message", role="user", text=f"Look at order {order} and tell me its total. " + "please " * 30),
        Step("reasoning", role="assistant", text="I should look at the order. " * 10),
        Step("tool_call", name="look", role="assistant", tool={**about, "arguments": {"order": order}}, usage=used),
        Step("tool_result", name="look", role="tool",
             tool={**about, "result": {"order": order, "total": total, "lines": lines}}),
        Step("message", role="assistant", text=f"The total is {total}. " + "thanks " * 20, usage=used),
    ]  # fmt: skip


def _medians(ways: dict[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    took: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            started = time.perf_counter()
            way()
            took[name].append(time.perf_counter() - started)
    return {name: statistics.median(seconds) for name, seconds in took.items()}


def _line(what: str, took: dict[str, float], target: str) -> tuple[str, ...]:
    peer = took.get("peer")
    ratio = "" if peer is None else f"{peer / took['ours']:.1f}×"
    return what, f"{took['ours']:.2f} s", "" if peer is None else f"{peer:.2f} s", ratio, target
