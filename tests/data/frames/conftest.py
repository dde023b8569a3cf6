"""A small history with every kind of gap: runs without times, tokens or cost, patches, late events."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import psycopg
import pytest

import workbench
from workbench.data.store.records import NewEvent

DAY = datetime(2026, 11, 1, tzinfo=UTC)
AGENTS = ("planner", "coder", 'o\'brien \\ "q" %s {x}')
STATUSES = ("completed", "failed", "running")


@pytest.fixture(scope="session")
def shared(server) -> Iterator[workbench.Workbench]:
    """A workbench on one database that all tests of this folder read and none changes."""
    with psycopg.connect(server.url(), autocommit=True) as admin:
        admin.execute("CREATE DATABASE frames_history TEMPLATE workbench_template")
    with workbench.connect(server.url(database="frames_history")) as shared:
        yield shared


@pytest.fixture
def bench(request) -> Iterator[workbench.Workbench]:
    """The shared workbench where a test asks for its history; else one on an empty database of the test's own."""
    if "history" in request.fixturenames:
        yield request.getfixturevalue("shared")
    else:
        with workbench.connect(request.getfixturevalue("database_url")) as bench:
            yield bench


@pytest.fixture(scope="session")
def history(shared):
    """12 runs of 3 agents, run n with n events; one more with states; runs 9 and 11 have no times of their own."""
    bench = shared
    records = bench.records
    tasks = [records.tasks.create(title=f"task {n}") for n in range(3)]
    runs = []
    for n in range(12):
        timed = n not in (9, 11)
        run = records.executions.create(
            agent_type=AGENTS[n % 3], status=STATUSES[n % 3], name=f"run {n}", model=None if n == 3 else "m",
            task_id=tasks[n % 3].id if n < 9 else None, score=n / 10,
            started_at=DAY + timedelta(days=n) if timed else None,
            completed_at=DAY + timedelta(days=n, seconds=n) if timed else None,
            execution_time_ms=n * 1000.0, cost=None if n % 2 else n / 100,
            token_usage={"input_tokens": n * 10, "output_tokens": n} if n % 4 else None,
            metadata={"trial": n, "deep": {"a.b": f"v{n}"}},
        )  # fmt: skip
        runs.append(run)
    events = [
        NewEvent(
            execution_id=run.id, step_number=step, event_type=("message", "tool_call", "llm_call")[step % 3],
            name=f"name {step}", severity="error" if step % 5 == 4 else "info", duration_ms=step / 3,
            timestamp=None if step == 2 else DAY + timedelta(days=n, seconds=step), category="c" if step else None,
            data={"text": f"é\t\\ {step}", "usage": {"input_tokens": step * 100}, "flag": step % 2 == 0,
                  "share": step / 4, "tool_calls": [{"name": f"tool {step}"}],
                  "mixed": [step, f"s{step}", None, {"k": step}][step % 4]},
        )
        for n, run in enumerate(runs)
        for step in range(n)
    ]  # fmt: skip
    records.events.create_many(events)
    with bench.record(agent_type="recorder", name="with states") as recorded:
        for n in range(40):
            recorded.event("log")
            recorded.step({"n": n, "text": "x" * 3_000, "seen": list(range(n))})
    records.environments.create(name="dev", config={"a": 1})
    records.environments.activate(records.environments.create(name="prod").id)
    with bench.store.raw() as connection:
        for statement in _LEDGER:
            connection.execute(statement)
    return SimpleNamespace(
        url=bench.store.url, runs=runs, tasks=tasks, events=events, recorded=uuid.UUID(str(recorded.id))
    )


_REPORT = '{"events": 3, "snapshots": 2, "n_bad": 1, "outcome": "new"}'
_LEDGER = (
    "INSERT INTO workbench.imports (source, path, sha256, size_bytes, report, blocks) VALUES"
    f" ('codex', '/a', 'aa', 9, '{_REPORT}', ARRAY['x'::bytea]), ('pi', '/b', 'bb', 9, '{{}}', '{{}}')",
    "INSERT INTO workbench.quarantine (import_id, source, path, sha256, size_bytes, line, reason, version)"
    " SELECT id, source, path, sha256, size_bytes, 3, 'not JSON', '1' FROM workbench.imports WHERE source = 'pi'",
    "INSERT INTO workbench.quarantine (path, sha256, size_bytes, reason, version) VALUES ('/c', 'cc', 1, 'cut', '1')",
)
