"""OTLP logs without a trace and metrics: sessions and services as runs, tokens counted once, any order and split."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from histories import rows
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from otlp_requests import SECOND, T0, pairs, request, runs_of, source_of, span

from workbench.data.ingest import ingest
from workbench.data.ingest.normal import Run, Usage
from workbench.data.ingest.reading.source import Source
from workbench.data.store.engine import Store

SESSION = "7f5b2f0e-0000-4000-8000-000000000001"
BUCKETS = {"count": "2", "sum": 2.0, "min": 0.0, "max": 2.0}
KINDS = {
    "gauge": {"dataPoints": [{"timeUnixNano": str(T0), "asDouble": 1.5}]},
    "sum": {"aggregationTemporality": 2, "isMonotonic": True, "dataPoints": [{"timeUnixNano": str(T0), "asInt": "7"}]},
    "histogram": {"aggregationTemporality": 1, "dataPoints": [
        {"timeUnixNano": str(T0), "bucketCounts": ["1", "1"], "explicitBounds": [1.0], **BUCKETS,
         "exemplars": [{"timeUnixNano": str(T0), "asDouble": 0.5, "filteredAttributes": pairs({"a": 1})}]}]},
    "exponentialHistogram": {"aggregationTemporality": 1, "dataPoints": [
        {"timeUnixNano": str(T0), "scale": 0, "zeroCount": "1", "positive": {"offset": 1, "bucketCounts": ["0", "2"]},
         **BUCKETS}]},
    "summary": {"dataPoints": [
        {"timeUnixNano": str(T0), "count": "3", "sum": 6.0, "quantileValues": [{"quantile": 0.5, "value": 2.0}]}]},
}  # fmt: skip


def logs(*records: tuple[str, dict[str, Any]], service: str = "claude-code", **resource: Any) -> dict[str, Any]:
    """Log events as coding agents send them, one a second."""
    found = [
        {
            "timeUnixNano": str(T0 + n * SECOND),
            "body": {"stringValue": name},
            "attributes": pairs({"event.name": name.rpartition(".")[2], **attributes}),
        }
        for n, (name, attributes) in enumerate(records)
    ]
    about = {"attributes": pairs({"service.name": service, **resource})}
    return {"resourceLogs": [{"resource": about, "scopeLogs": [{"scope": {"name": "s"}, "logRecords": found}]}]}


def metrics(*found: dict[str, Any], service: str = "claude-code", **resource: Any) -> dict[str, Any]:
    about = {"attributes": pairs({"service.name": service, **resource})}
    return {"resourceMetrics": [{"resource": about, "scopeMetrics": [{"scope": {"name": "s"}, "metrics": [*found]}]}]}


def counter(name: str, *points: tuple[float, dict[str, Any]], temporality: int = 1) -> dict[str, Any]:
    data = [
        {
            "startTimeUnixNano": str(T0),
            "timeUnixNano": str(T0 + (n + 1) * SECOND),
            "asDouble": value,
            "attributes": pairs({"session.id": SESSION, **attributes}),
        }
        for n, (value, attributes) in enumerate(points)
    ]
    return {"name": name, "unit": "tokens", "sum": {"aggregationTemporality": temporality, "dataPoints": data}}


def one(*requests: dict[str, Any]) -> Run:
    (run,) = runs_of(source_of(*requests))
    return run


CLAUDE = logs(
    ("claude_code.user_prompt", {"session.id": SESSION, "prompt": "Fix it.", "prompt_length": 7}),
    ("claude_code.api_request", {"session.id": SESSION, "model": "claude-x", "input_tokens": "3", "output_tokens": "5",
     "cache_read_tokens": "50", "cache_creation_tokens": "7", "cost_usd": "0.25", "duration_ms": "900"}),
    ("claude_code.tool_result", {"session.id": SESSION, "tool_name": "Bash", "success": "false", "error": "exit 1",
     "duration_ms": "12", "tool_parameters": '{"command": "ls"}'}),
    ("claude_code.api_error", {"session.id": SESSION, "model": "claude-x", "error": "overloaded", "status_code": 529}),
)  # fmt: skip


def test_a_session_of_log_events_is_a_run() -> None:
    """Prompt, model call and tool of Claude Code's events are steps of their kinds; tokens and cost are the events'."""
    run = one(CLAUDE)

    assert (run.source_id, run.agent_type, run.name) == (f"session/{SESSION}", "claude-code", f"session {SESSION}")
    assert [(s.event_type, s.name, s.severity) for s in run.steps] == [
        ("message", "claude_code.user_prompt", "info"), ("llm_call", "claude_code.api_request", "info"),
        ("tool_call", "Bash", "error"), ("log", "claude_code.api_error", "error"),
    ]  # fmt: skip
    assert run.usage == run.steps[1].usage == Usage(3, 50, 7, 5)
    assert (run.cost_usd, run.model, run.input) == (0.25, "claude-x", {"prompt": "Fix it."})
    assert run.steps[2].tool == {"name": "Bash", "arguments": {"command": "ls"}, "is_error": True, "result": None}
    assert run.steps[3].error == {"type": "529", "message": "overloaded"}
    assert (run.steps[1].extra or {})["attributes"]["cache_read_tokens"] == "50"


def test_the_events_of_codex_and_gemini_are_read() -> None:
    """Their input holds what was cached; Codex' output holds its reasoning, Gemini's thoughts stand beside."""
    codex = one(logs(
        ("codex.sse_event", {"conversation.id": "c1", "event.kind": "response.completed", "input_token_count": 100,
         "cached_token_count": 60, "output_token_count": 20, "reasoning_token_count": 8, "model": "gpt-x"}),
        ("codex.sse_event", {"conversation.id": "c1", "event.kind": "response.created"}),
        ("codex.tool_result", {"conversation.id": "c1", "tool_name": "shell", "call_id": "k1", "success": "true",
         "arguments": '{"command": ["ls"]}', "output": "a.txt"}), service="codex_cli_rs",
    ))  # fmt: skip
    gemini = one(logs(
        ("gemini_cli.api_response", {"session.id": "g1", "input_token_count": 100, "cached_content_token_count": 40,
         "output_token_count": 20, "thoughts_token_count": 8, "model": "gemini-x", "duration_ms": 5}),
        ("gemini_cli.tool_call", {"session.id": "g1", "function_name": "read_file", "function_args": '{"path": "a"}',
         "success": True}), service="gemini-cli",
    ))  # fmt: skip

    assert codex.usage == Usage(40, 60, None, 20, 8)
    assert [step.event_type for step in codex.steps] == ["llm_call", "log", "tool_call"]
    assert codex.steps[2].tool == {
        "name": "shell", "call_id": "k1", "arguments": {"command": ["ls"]}, "result": "a.txt",
    }  # fmt: skip
    assert gemini.usage == Usage(60, 40, None, 28, 8)
    assert gemini.steps[1].tool == {"name": "read_file", "arguments": {"path": "a"}, "result": None}


@pytest.mark.parametrize(("temporality", "expected"), [(1, 40), (2, 30)])
def test_tokens_of_metrics_are_never_added(temporality: int, expected: int) -> None:
    """Counters of a session are its steps and its reported total, but no tokens: the events have counted those."""
    counted = metrics(
        counter("claude_code.token.usage", (10, {"type": "input"}), (30, {"type": "input"}), temporality=temporality),
        counter("claude_code.cost.usage", (0.5, {})),
    )

    run = one(CLAUDE, counted)
    alone = one(counted)

    assert run.usage == Usage(3, 50, 7, 5)
    assert (run.reported_usage, run.reported_cost_usd) == (Usage(input_tokens=expected), 0.5)
    assert [step.usage for step in run.steps if step.event_type == "metric"] == [None, None, None]
    assert (alone.usage, alone.cost_usd) == (None, None)


def test_metrics_of_a_trace_do_not_touch_its_tokens() -> None:
    """Spans count, the metrics beside them in the file do not."""
    usage = {"gen_ai.request.model": "m", "gen_ai.usage.input_tokens": 10, "gen_ai.usage.output_tokens": 2}
    point = {"timeUnixNano": str(T0), "count": "1", "sum": 10, "attributes": pairs({"gen_ai.token.type": "input"})}
    histogram = {"name": "gen_ai.client.token.usage", "histogram": {"dataPoints": [point]}}

    runs = runs_of(source_of(request(span(attributes=usage)), metrics(histogram, service="shop")))

    assert [run.usage for run in runs] == [Usage(10, None, None, 2), None]
    assert runs[1].name == "metrics of shop"


def test_what_names_no_session_is_of_its_service() -> None:
    """One run per instance, or per day where no instance is named; logs and metrics apart."""
    plain = {"timeUnixNano": str(T0), "body": {"stringValue": "up"}}
    day = "2023-11-14"

    def of(**resource: Any) -> dict[str, Any]:
        about = {"attributes": pairs(resource)}
        return {"resourceLogs": [{"resource": about, "scopeLogs": [{"logRecords": [plain]}]}]}

    gauge = {"name": "load", "unit": "1", "gauge": KINDS["gauge"]}
    runs = runs_of(source_of(
        of(**{"service.name": "shop"}), of(**{"service.name": "shop", "service.instance.id": "i1"}), of(),
        metrics(gauge, service="shop"),
    ))  # fmt: skip

    assert [(run.source_id, run.name) for run in runs] == [
        (f"logs/shop/{day}", "logs of shop"), ("logs/shop/i1", "logs of shop"),
        (f"logs/unknown service/{day}", "logs of unknown service"), (f"metrics/shop/{day}", "metrics of shop"),
    ]  # fmt: skip
    (step,) = runs[3].steps
    assert (step.event_type, step.name, step.category, step.agent) == ("metric", "load", "metric", "shop")
    assert {key: (step.extra or {})[key] for key in ("value", "unit", "kind")} == {
        "value": 1.5, "unit": "1", "kind": "gauge",
    }  # fmt: skip


def test_all_encodings_make_the_same_runs(tmp_path: Path) -> None:
    """JSON, JSON lines and protobuf of logs and of every kind of metric are read alike."""
    measured = metrics(*({"name": f"m.{kind}", "unit": "1", kind: data} for kind, data in KINDS.items()))
    for body, message in ((measured, ExportMetricsServiceRequest()), (CLAUDE, ExportLogsServiceRequest())):
        json_format.ParseDict(body, message)
        sources = [
            Source.from_bytes(json.dumps(body, indent=1).encode(), "a.json"),
            Source.from_bytes(json.dumps(body).encode(), "a.jsonl"),
            Source.from_bytes(message.SerializeToString(), "a.pb"),
        ]

        as_json, as_lines, as_protobuf = map(runs_of, sources)

        assert as_json == as_lines == as_protobuf
        assert len(as_json[0].steps) == (5 if body is measured else 4)


def test_real_metrics_and_events_give_rows(store: Store, shared_data: Path) -> None:
    """The examples of the protocol's own repository: four points of a service, one event of it."""
    folder = shared_data / "otlp"

    report = ingest(store, [folder / f"proto-example.{n}.json" for n in ("events", "metrics")], progress=False)

    assert [(file.executions, file.events, file.lost) for file in report.files] == [(1, 1, ()), (1, 4, ())]


@pytest.mark.parametrize("seed", range(3))
def test_any_order_and_split_makes_the_same_rows(seed: int, store: Store, tmp_path: Path) -> None:
    """A session whose records come in several files, in any order, has the rows of the whole."""
    chance = random.Random(seed)
    points = [
        metrics(counter("claude_code.token.usage", *[(n + 1.0, {"type": "input", "n": n})])) for n in range(4)
    ]  # fmt: skip
    group = CLAUDE["resourceLogs"][0]
    parts = [
        {"resourceLogs": [{**group, "scopeLogs": [{"scope": {"name": "s"}, "logRecords": [record]}]}]}
        for record in group["scopeLogs"][0]["logRecords"]
    ]
    parts += points
    (tmp_path / "whole.jsonl").write_text("\n".join(map(json.dumps, parts)))
    chance.shuffle(parts)
    cut = sorted(chance.sample(range(1, len(parts)), 2))
    for name, some in zip("abc", (parts[: cut[0]], parts[cut[0] : cut[1]], parts[cut[1] :]), strict=True):
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, some)))

    for name in "abc":
        ingest(store, tmp_path / f"{name}.jsonl", progress=False)
    in_parts = rows(store, without_versions=True)
    with store.raw() as connection:
        connection.execute("TRUNCATE workbench.imports, workbench.agent_executions CASCADE")
    ingest(store, tmp_path / "whole.jsonl", progress=False)

    whole = rows(store, without_versions=True)

    assert {k: v for k, v in in_parts.items() if k != "imports"} == {k: v for k, v in whole.items() if k != "imports"}


def test_a_session_in_the_resource_is_one_too() -> None:
    """Where the records do not name the session, their resource may."""
    (run,) = runs_of(source_of(logs(("app.started", {}), **{"session.id": "s1"})))

    assert run.source_id == "session/s1"
