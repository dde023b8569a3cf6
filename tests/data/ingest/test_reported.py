"""What a source itself reports as the totals of a run is kept beside what its events add up to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from sessions import Session, text

import workbench
from workbench.data.ingest import ingest
from workbench.data.ingest.formats import claude_code
from workbench.data.ingest.formats.langfuse_observation import step_of as langfuse_step
from workbench.data.ingest.formats.langsmith_row import step_of as langsmith_step
from workbench.data.ingest.formats.mlflow_span import tokens as mlflow_tokens
from workbench.data.ingest.formats.otlp_attributes import named, usage_of
from workbench.data.ingest.normal import Run, Usage
from workbench.data.ingest.reading.openai_usage import openai_usage
from workbench.data.ingest.reading.source import Source
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


def _langsmith(**details: int) -> Usage | None:
    row = {"id": "r1", "run_type": "llm", "prompt_tokens": 30, "completion_tokens": 4, "prompt_token_details": details}
    return langsmith_step(row, Source.from_bytes(b"", "a.json")).usage


def _langfuse(**details: int) -> Usage | None:
    observation = {"id": "o1", "type": "GENERATION", "usageDetails": {"output": 4, **details}}
    return langfuse_step(observation, Source.from_bytes(b"", "a.json")).usage


def _openai(**record: Any) -> Usage | None:
    return openai_usage({"prompt_tokens": 30, "completion_tokens": 4, **record}, Source.from_bytes(b"", "a.json"))


_OTLP = {"gen_ai.usage.input_tokens": 30, "gen_ai.usage.output_tokens": 4}
_LIFETIMES = {"ephemeral_5m_input_tokens": 3, "ephemeral_1h_input_tokens": 2}


@pytest.mark.parametrize(
    "usage",
    [
        _langsmith(cache_creation=5, cache_read=15, **_LIFETIMES),
        _langsmith(cache_creation=0, cache_read=15, **_LIFETIMES),
        _langsmith(cache_read=15, **_LIFETIMES),
        _langfuse(input=10, input_cache_read=15, input_cache_creation_5m=3, input_cache_creation_1h=2),
        _openai(cache_read_input_tokens=15, cache_creation_input_tokens=5, cache_creation=_LIFETIMES),
        _openai(
            prompt_tokens_details={
                "cached_tokens": 15, "cache_creation_tokens": 5, "cache_creation_token_details": _LIFETIMES
            }
        ),
        usage_of(
            named(
                _OTLP
                | {
                    "gen_ai.usage.cache_read.input_tokens": 15,
                    "gen_ai.usage.cache_creation.input_tokens": 5,
                    "gen_ai.usage.cache_creation.ephemeral_1h_input_tokens": 2,
                }
            )
        ),
        mlflow_tokens(
            {"input_tokens": 30, "output_tokens": 4, "cache_read_input_tokens": 15, "cache_creation_input_tokens": 5}
            | _LIFETIMES
        ),
    ],
)  # fmt: skip
def test_lifetimes_in_other_formats(usage: Usage | None) -> None:
    """However a recorder hands the lifetimes on, the hour's tokens are a part of what was written, counted once."""
    assert usage == Usage(10, 15, 5, 4, None, 2)


ATIF = {"schema_version": "ATIF-v1.7", "session_id": "session-1", "agent": {"name": "acme", "model_name": "gpt-4o"}}
CALL = {"source": "agent", "message": "a", "metrics": {"prompt_tokens": 9, "completion_tokens": 2, "cost_usd": 0.1}}
LANGSMITH = {"trace_id": "t1", "start_time": "2026-01-02T10:00:00", "end_time": "2026-01-02T10:00:01"}


def _otlp(tokens: int, **span: str) -> dict[str, Any]:
    values = {"gen_ai.usage.input_tokens": tokens, "gen_ai.usage.output_tokens": 1}
    attributes = [{"key": name, "value": {"intValue": str(n)}} for name, n in values.items()]
    times = {"startTimeUnixNano": "1767348000000000000", "endTimeUnixNano": "1767348001000000000"}
    return {"traceId": "0" * 31 + "1", "name": "chat", "attributes": attributes, **times, **span}


SOURCES: dict[str, tuple[Any, dict[str, Any]]] = {
    "atif: final_metrics": (
        ATIF
        | {
            "steps": [{"step_id": 1, **CALL}],
            "final_metrics": {
                "total_prompt_tokens": 12, "total_cached_tokens": 2, "total_completion_tokens": 3,
                "total_cost_usd": 0.2,
            },
        },
        {"usage": {"input_tokens": 10, "cache_read_tokens": 2, "output_tokens": 3}, "cost_usd": 0.2},
    ),
    "langsmith: the root row": (
        [
            {"id": "t1", "run_type": "chain", "name": "root", **LANGSMITH, "prompt_tokens": 12, "completion_tokens": 3,
             "total_cost": 0.2},
            {"id": "r2", "run_type": "llm", "name": "chat", "parent_run_id": "t1", **LANGSMITH, "prompt_tokens": 9,
             "completion_tokens": 2, "total_cost": 0.1},
        ],
        {"usage": {"input_tokens": 12, "output_tokens": 3}, "cost_usd": 0.2},
    ),
    "otlp: the outermost span": (
        {"resourceSpans": [{"scopeSpans": [{"spans": [
            _otlp(12, spanId="0" * 15 + "1"), _otlp(9, spanId="0" * 15 + "2", parentSpanId="0" * 15 + "1"),
        ]}]}]},
        {"usage": {"input_tokens": 12, "output_tokens": 1}},
    ),
    "langfuse: the trace": (
        {"id": "t1", "timestamp": "2026-01-02T10:00:00Z", "name": "a", "projectId": "p", "totalCost": 0.2,
         "observations": [{"id": "o1", "traceId": "t1", "type": "GENERATION", "usageDetails": {"input": 9}}]},
        {"cost_usd": 0.2},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SOURCES)
def test_what_a_source_reports(name: str, store: Store, tmp_path: Path) -> None:
    """The total that a source gives for a run is stored beside the sum of its calls, which it may not equal."""
    content, expected = SOURCES[name]
    (tmp_path / "trace.json").write_text(json.dumps(content))
    ingest(store, tmp_path, progress=False)

    assert rows(store, "SELECT reported FROM workbench.agent_executions") == [(expected,)]


#: By folder: tokens and cost that the sources report, and how far what is stored is from it.
REPORTED: dict[str, tuple[int | None, float | None, int | None, float | None]] = {
    # A trajectory that timed out counts its last call in final_metrics, but holds no step of it.
    "atif": (4_044, 0.0132975, -130, -0.00055),
    # The AI SDK's outer span repeats the last of its model calls, not their sum.
    "langfuse": (57, 0.0004475, 90, 0.00048),
    "codex": (29_374, None, 0, None),
    "inspect": (16_224, None, 0, None),
    "openhands": (None, 1.223646, None, 0.0),
    "swe-agent": (131_365, 1.28671, 0, 0.0),
    "tau2": (None, 2.671886, None, 0.0),
    # They report no totals of a run.
    "claude-code": (None, None, None, None),
    "gemini-cli": (None, None, None, None),
    "openinference": (None, None, None, None),
    "otlp": (None, None, None, None),
    "pi": (None, None, None, None),
    "tau-bench": (None, None, None, None),
    "who-and-when": (None, None, None, None),
}


@pytest.mark.parametrize("folder", REPORTED)
def test_shared_files_agree_with_their_sources(folder: str, bench: workbench.Workbench, shared_data: Path) -> None:
    """Of every real file what is stored equals what its source reports, but for the differences explained above."""
    bench.ingest(shared_data / folder, progress=False)

    names = ("reported_tokens", "reported_cost_usd", "difference_tokens", "difference_usd")
    [found] = bench.costs(by="all").select(names).rows()
    assert found == pytest.approx(REPORTED[folder], abs=1e-9, nan_ok=True)


def test_the_timeout_of_a_trajectory(bench: workbench.Workbench, shared_data: Path) -> None:
    """982 and 145 tokens for 0.003905 USD are reported, 882 and 115 for 0.003355 are in its steps: both are shown."""
    bench.ingest(shared_data / "atif", progress=False)

    runs = bench.costs().filter(pl.col("difference_tokens") != 0)
    kept = runs.select("input_tokens", "output_tokens", "cost_usd", "reported_tokens", "reported_cost_usd")
    assert kept.rows() == [(882, 115, 0.003355, 982 + 145, 0.003905)]
    assert runs["difference_usd"].to_list() == pytest.approx([-0.00055])


@pytest.mark.parametrize(
    ("folder", "expected"),
    [("pi", 30.3301977), ("tau2", 0.783268 + 1.888618), ("openhands", 0.0707376 + 1.1529084)],
)
def test_the_costs_of_the_sources(folder: str, expected: float, bench: workbench.Workbench, shared_data: Path) -> None:
    """The costs that real sources give are stored to the cent of a cent."""
    bench.ingest(shared_data / folder, progress=False)

    assert bench.costs(by="all")["from_source_usd"].to_list() == pytest.approx([expected], abs=1e-4)
