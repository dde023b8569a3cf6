"""What a source itself reports as the totals of a run is kept beside what its events add up to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sessions import Session, text

from workbench.data.ingest import ingest
from workbench.data.ingest.formats import claude_code
from workbench.data.ingest.normal import Run, Usage
from workbench.data.ingest.source import Source
from workbench.data.store.engine import Store

SPENT = "SELECT token_usage, cost, cost_source, reported FROM workbench.agent_executions"
SESSION = "019a0000-0000-7000-8000-000000000001"


def rows(store: Store, query: str) -> list[Any]:
    with store.raw() as connection:
        return connection.execute(query).fetchall()


def codex(*totals: tuple[int, int, int], first: int = 0) -> bytes:
    """A rollout with a running total of (input, cached, output) tokens after each call."""
    lines: list[Any] = [{"timestamp": "2026-01-02T10:00:00Z", "type": "session_meta", "payload": {"id": SESSION}}]
    for n, (given, cached, out) in enumerate(totals):
        total = {"input_tokens": given, "cached_input_tokens": cached, "output_tokens": out}
        payload = {"type": "token_count", "info": {"total_token_usage": total}}
        at = f"2026-01-02T10:{n + first:02d}:01Z"
        lines.append({"timestamp": at, "type": "event_msg", "payload": payload})
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def test_lifetimes_of_the_cache() -> None:
    """What was written to the cache for an hour is a part of all that was written; unknown where it is not told."""
    s = Session()
    told = s.assistant("msg-1", text("a"))
    told["message"]["usage"]["cache_creation"] = {"ephemeral_5m_input_tokens": 2, "ephemeral_1h_input_tokens": 3}
    s.assistant("msg-2", text("b"))

    [run] = claude_code.read(Source.from_bytes(s.bytes(), "trace.jsonl"))

    assert isinstance(run, Run)
    assert [step.usage and step.usage.cache_write_1h_tokens for step in run.steps] == [3, None]
    assert run.usage == Usage(6, 200, 10, 20, cache_write_1h_tokens=3)


def test_a_running_total_is_reported(store: Store, tmp_path: Path) -> None:
    """The last total of a session is what its source reports; a session that went on reports the newer one."""
    path = tmp_path / "rollout.jsonl"
    for totals in ([(100, 40, 5)], [(100, 40, 5), (300, 140, 9)]):
        path.write_bytes(codex(*totals))
        ingest(store, path, progress=False)

    usage = {"input_tokens": 160, "cache_read_tokens": 140, "output_tokens": 9}
    assert rows(store, SPENT) == [(usage, None, None, {"usage": usage})]


def test_parts_report_the_greater_total(store: Store, tmp_path: Path) -> None:
    """Two files with different parts of a run: of two running totals the greater one is the run's, in any order."""
    found = []
    for order in ((0, 5), (5, 0)):
        for first in order:
            path = tmp_path / f"{first}.jsonl"
            path.write_bytes(codex((100 * (first + 1), 40, 5), first=first))
            ingest(store, path, progress=False)
        found += rows(store, "SELECT reported->'usage'->'input_tokens' FROM workbench.agent_executions")
        rows(store, "DELETE FROM workbench.agent_executions RETURNING 1")
        rows(store, "DELETE FROM workbench.imports RETURNING 1")

    assert found == [(560,), (560,)]


def test_the_source_says_the_cost(store: Store, tmp_path: Path) -> None:
    """A cost that the source gives is marked as the source's; without one there is neither cost nor source of it."""
    s = Session()
    s.assistant("msg-1", text("a"), costUSD=0.5)
    (tmp_path / "priced.jsonl").write_bytes(s.bytes())
    ingest(store, tmp_path / "priced.jsonl", progress=False)

    [(_, cost, cost_source, reported)] = rows(store, SPENT)
    assert (float(cost), cost_source, reported) == (0.5, "source", None)
