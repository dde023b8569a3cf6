"""What all benchmarks share: a scratch server with events in it, measuring in fresh processes, one table printed."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from workbench.data.store.engine import Store
from workbench.settings import Settings

EVENTS_PER_RUN = 100

# Made in the server, so that making them is no part of what is measured; ~220 bytes of JSON as an LLM call has.
_RUNS = """
INSERT INTO workbench.agent_executions
  (agent_type, name, model, status, started_at, completed_at, execution_time_ms, token_usage, cost, source, source_id)
SELECT (ARRAY['planner', 'coder', 'reviewer', 'support'])[1 + n % 4], 'run ' || n, 'model-' || n % 3,
       CASE n % 5 WHEN 0 THEN 'failed' ELSE 'completed' END,
       timestamptz '2026-01-01Z' + n * interval '1 minute',
       timestamptz '2026-01-01Z' + n * interval '1 minute' + interval '40 s',
       40000, jsonb_build_object('input_tokens', 1000 + n % 977, 'output_tokens', 100 + n % 91), (n % 100) / 100.0,
       'benchmark', 'run-' || n
FROM generate_series(1, {runs}) n
"""
_EVENTS = """
INSERT INTO workbench.observability_events
  (execution_id, step_number, event_type, name, agent, category, severity, timestamp, duration_ms, trace_id, span_id,
   data)
SELECT x.id, n, (ARRAY['message', 'reasoning', 'tool_call', 'tool_result', 'llm_call'])[1 + n % 5],
       'name ' || n % 20, x.agent_type, 'category ' || n % 4, CASE WHEN n % 50 = 7 THEN 'error' ELSE 'info' END,
       x.started_at + n * interval '371 ms', (n * 7919) % 1000, md5(x.id::text), substr(md5(x.id::text || n), 1, 16),
       jsonb_build_object('role', 'assistant', 'text', repeat(md5(n::text), 2), 'model', 'model-' || n % 3,
                          'usage', jsonb_build_object('input_tokens', n * 13 % 4000, 'output_tokens', n * 7 % 500),
                          'cost_usd', (n % 97) / 1000.0)
FROM workbench.agent_executions x, generate_series(0, {per_run} - 1) n
ORDER BY x.id, n
"""


@dataclass(frozen=True, slots=True)
class Measured:
    """One run of one way: wall and CPU seconds, growth of the peak of resident memory, rows."""

    wall_s: float
    cpu_s: float
    rss_mb: float
    rows: int


@contextmanager
def scratch_store() -> Iterator[Store]:
    """An embedded server of the benchmark's own, in a temporary home."""
    with tempfile.TemporaryDirectory(prefix="wb-bench-", ignore_cleanup_errors=True) as home:
        store = Store.open(Settings.load(home=Path(home), database_url=None))
        try:
            yield store
        finally:
            store.close()


def fill(store: Store, rows: int) -> None:
    """Runs of 100 events each, ``rows`` events together."""
    with store.raw() as connection:
        connection.execute("SET LOCAL statement_timeout = 0")
        connection.execute(_RUNS.format(runs=max(rows // EVENTS_PER_RUN, 1)).encode())
        connection.execute(_EVENTS.format(per_run=min(EVENTS_PER_RUN, rows)).encode())
    with store.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("SET statement_timeout = 0")
        connection.exec_driver_sql("VACUUM (ANALYZE) workbench.agent_executions, workbench.observability_events")


# A fresh process per run: memory given back to no allocator, caches of no earlier run. `prepare` is imports and
# connections; only `work` counts.
_CHILD = """
import json, resource, sys, time
import {module} as ways
prepare = getattr(ways, "PREPARE", {{}}).get({way!r}, lambda given: given)
prepared = prepare(json.loads({given!r}))
def peak():
    for line in open("/proc/self/status"):
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
before = peak()
wall, cpu = time.perf_counter(), time.process_time()
rows = ways.WAYS[{way!r}](prepared)
print(json.dumps([time.perf_counter() - wall, time.process_time() - cpu, peak() - before, rows]))
"""


def in_fresh_process(module: str, way: str, given: Mapping[str, object]) -> Measured:
    """Run ``module.WAYS[way]`` alone in a process."""
    code = _CHILD.format(module=module, way=way, given=json.dumps(given))
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, "PYTHONHASHSEED": "0"}
    )
    if done.returncode:
        raise RuntimeError(f"{module} {way}: {done.stderr[-2000:]}")
    return Measured(*json.loads(done.stdout.splitlines()[-1]))


def interleaved(ways: Sequence[str], run: Callable[[str], Measured], *, rounds: int) -> dict[str, list[Measured]]:
    """Every way once per round, so that a slow minute of the machine slows all of them."""
    found: dict[str, list[Measured]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way in ways:
            found[way].append(run(way))
    return found


def median(measured: Sequence[Measured], name: str = "wall_s") -> float:
    """The median of one number."""
    return statistics.median(getattr(one, name) for one in measured)


def table(title: str, head: Sequence[str], lines: Sequence[Sequence[str]]) -> None:
    """Print a Markdown table."""
    widths = [max(len(row[i]) for row in [head, *lines]) for i in range(len(head))]

    def line(cells: Sequence[str]) -> str:
        padded = [cells[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(cells[1:], widths[1:], strict=True))]
        return "| " + " | ".join(padded) + " |"

    print(f"\n### {title}\n")
    print(line(head))
    print(
        "|"
        + "|".join(("-" if i == 0 else "") + "-" * (w + 1) + ("" if i == 0 else ":") for i, w in enumerate(widths))
        + "|"
    )
    for cells in lines:
        print(line(cells))
    sys.stdout.flush()
