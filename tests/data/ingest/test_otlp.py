"""OTLP files: what spans, logs and metrics become, and what is done with bad ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from histories import rows
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from otlp_requests import (
    SECOND,
    T0,
    TRACE,
    log_request,
    metric_request,
    pairs,
    request,
    run_of,
    runs_of,
    source_of,
    span,
)

from workbench.data.ingest import ingest
from workbench.data.ingest.formats import otlp
from workbench.data.ingest.normal import BadLine, Run, Usage
from workbench.data.ingest.reading.source import Source
from workbench.data.store.engine import Store

# -- the files of formats.md -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "n_runs", "n_steps", "tokens"),
    [
        ("vs-copilot.sample-1.jsonl", 1, 4, None),
        ("vs-copilot.sample-2.jsonl", 1, 4, None),
        ("openai-v2.captured.jsonl", 4, 9, (194, 81)),  # one file, one request, four traces
        ("openai-v2.captured.pb", 4, 9, (194, 81)),
        ("proto-example.trace.json", 1, 1, None),
        ("proto-example.logs.json", 1, 1, None),
        ("proto-example.events.json", 1, 1, None),
        ("proto-example.metrics.json", 1, 4, None),
    ],
)
def test_counts_of_real_files(shared_data: Path, name: str, n_runs: int, n_steps: int, tokens: Any) -> None:
    """Every real OTLP file gives the runs, events and tokens counted from it by hand."""
    source = Source.of(shared_data / "otlp" / name)

    assert otlp.detect(source.head) >= 0.9
    runs = runs_of(source)

    assert len(runs) == n_runs
    assert sum(len(run.steps) for run in runs) == n_steps
    usages = [run.usage for run in runs if run.usage is not None]
    total = sum(usages, Usage())
    assert (total.input_tokens, total.output_tokens) == (tokens or (None, None))
    assert all(run.cost_usd is None for run in runs)


def test_protobuf_and_json_of_one_capture_are_equal(shared_data: Path) -> None:
    """The protobuf body of a request gives exactly the runs of its JSON form."""
    folder = shared_data / "otlp"

    from_json = runs_of(Source.of(folder / "openai-v2.captured.jsonl"))
    from_protobuf = runs_of(Source.of(folder / "openai-v2.captured.pb"))

    assert from_protobuf == from_json


def test_protobuf_and_json_of_one_capture_make_the_same_rows(store: Store, shared_data: Path) -> None:
    """After the JSON form of a capture, its protobuf body finds every row there already, equal in every column."""
    folder = shared_data / "otlp"

    (first,) = ingest(store, folder / "openai-v2.captured.jsonl", progress=False).files
    before = rows(store)
    (second,) = ingest(store, folder / "openai-v2.captured.pb", progress=False).files

    assert (first.outcome, second.outcome) == ("new", "already there")
    assert {**rows(store), "imports": []} == {**before, "imports": []}


def test_a_failed_call_at_the_end_fails_its_run(shared_data: Path) -> None:
    """Of the four captured sessions, the one whose only call got a 404 failed."""
    runs = runs_of(Source.of(shared_data / "otlp" / "openai-v2.captured.pb"))

    (failed,) = [run for run in runs if run.status == "failed"]
    assert failed.error_type == "NotFoundError"
    assert "does not exist" in (failed.error or "")
    assert [step.severity for step in failed.steps] == ["info", "error"]


def test_copilot_tools_are_read(shared_data: Path) -> None:
    """Tool spans give name, id, arguments as an object and result; the agent is the lane."""
    (run,) = runs_of(Source.of(shared_data / "otlp" / "vs-copilot.sample-1.jsonl"))

    assert run.agent_type == "GitHub Copilot"
    assert run.model == "gpt-5.5"
    assert run.metadata["conversation_id"] == "4a8f63f6-7626-4416-a874-fc7bd2c3f005"
    assert [step.event_type for step in run.steps] == ["span", "tool_call", "tool_call", "tool_call"]
    assert {step.agent for step in run.steps} == {"GitHub Copilot"}
    assert run.steps[2].tool == {
        "name": "apply_patch",
        "call_id": "call_0002",
        "arguments": {"patch": "*** Update File: src/App.cs"},
        "result": "Applied 1 hunk to src/App.cs.",
    }


# -- errors and statuses -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("root", "children", "status"),
    [
        (0, [2, 0], "completed"),  # retried
        (0, [0, 2], "failed"),  # ended in an error
        (1, [0, 2], "completed"),  # the program says it is fine
        (2, [0], "failed"),
        (0, [], "completed"),
    ],
)
def test_what_makes_a_run_fail(root: int, children: list[int], status: str) -> None:
    """The outermost status decides; where there is none, how the last thing inside ended."""
    spans = [span("aaaaaaaaaaaaaaa0", seconds=9, status={"code": root})]
    spans += [
        span(f"aaaaaaaaaaaaaab{n}", "aaaaaaaaaaaaaaa0", at=n + 1, status={"code": code})
        for n, code in enumerate(children)
    ]

    assert run_of(*spans).status == status


def test_exception_events_become_the_error() -> None:
    """Type, message and stack come from the status, ``error.type`` and the exception event; the event itself stays."""
    raised = {
        "name": "exception",
        "timeUnixNano": str(T0),
        "attributes": pairs(
            {"exception.type": "KeyError", "exception.message": "'x'", "exception.stacktrace": "Traceback …"}
        ),
    }

    run = run_of(span(status={"code": 2}, events=[raised], links=[{"traceId": "b" * 32, "spanId": "c" * 16}]))

    (step,) = run.steps
    assert step.error == {"type": "KeyError", "message": "'x'", "stack": "Traceback …"}
    assert (run.status, run.error, run.error_type) == ("failed", "'x'", "KeyError")
    assert step.extra is not None
    assert step.extra["events"][0]["attributes"]["exception.type"] == "KeyError"
    assert step.extra["links"] == [{"trace_id": "b" * 32, "span_id": "c" * 16}]
    assert step.extra["resource"] == {"service.name": "shop"}
    assert step.extra["scope"] == {"name": "tests", "version": "1"}


# -- logs and metrics --------------------------------------------------------------------------------------------------


def test_logs_of_a_trace_are_steps_inside_their_span() -> None:
    """A log record that names its trace is a step of that run, in the order of time."""
    record = {
        "timeUnixNano": str(T0 + SECOND // 2),
        "severityNumber": 17,
        "traceId": TRACE,
        "spanId": "00f067aa0ba902b7",
        "body": {"stringValue": "out of stock"},
        "attributes": pairs({"item": 7}),
    }
    source = source_of(log_request(**record), request(span(attributes={"gen_ai.agent.name": "seller"})))

    (run,) = runs_of(source)

    first, second = run.steps
    assert first.event_type == "span"
    assert (second.event_type, second.text, second.severity) == ("log", "out of stock", "error")
    assert (second.parent_span_id, second.agent) == ("00f067aa0ba902b7", "seller")
    assert second.extra is not None
    assert second.extra["attributes"] == {"item": 7}


def test_a_metric_without_points_is_counted_not_hidden() -> None:
    """What there is nothing to store of is in the report, with its number."""
    source = source_of(metric_request(3), metric_request(2))

    assert runs_of(source) == []
    assert {(note.what, note.why): n for note, n in source.notes.items()} == {
        ("metrics", "without a data point: there is nothing to store"): 5
    }


def test_protobuf_logs_and_metrics_are_told_from_traces() -> None:
    """The three signals nest alike in protobuf and are still told apart."""
    logs = ExportLogsServiceRequest()
    record = logs.resource_logs.add().scope_logs.add().log_records.add(time_unix_nano=T0)
    record.trace_id, record.body.string_value = bytes.fromhex(TRACE), "hello"
    metrics = ExportMetricsServiceRequest()
    metrics.resource_metrics.add().scope_metrics.add().metrics.add(name="a" * 16).gauge.SetInParent()
    metrics_source = Source.from_bytes(metrics.SerializeToString(), "m.pb")

    (run,) = runs_of(Source.from_bytes(logs.SerializeToString(), "l.pb"))

    assert [step.text for step in run.steps] == ["hello"]
    assert runs_of(metrics_source) == []
    assert list(metrics_source.notes.values()) == [1]


# -- bad input ---------------------------------------------------------------------------------------------------------


def test_bad_lines_are_reported_with_their_number() -> None:
    """A line that is cut, a scalar, a foreign object and a span without ids cost only themselves."""
    good = json.dumps(request(span())).encode()
    nameless = json.dumps(request({"name": "no ids"})).encode()
    lines = [good, b"17", b'{"other": 1}', nameless, good[:-20]]

    found = list(otlp.read(Source.from_bytes(b"\n".join(lines), "t.jsonl")))

    bad = {item.line: item.reason for item in found if isinstance(item, BadLine)}
    assert sorted(bad) == [2, 3, 4, 5]
    assert bad[2] == "expected a JSON object, found a number"
    assert "no resourceSpans" in bad[3]
    assert "'no ids' has no trace id" in bad[4]
    assert bad[5].startswith("cut off")
    assert [len(item.steps) for item in found if isinstance(item, Run)] == [1]


def test_malformed_parts_of_a_span_do_not_stop_the_file() -> None:
    """Wrong types inside a span leave that part out and keep the rest."""
    odd = span(startTimeUnixNano="soon", endTimeUnixNano=str(10**30), status=7, events="none", links=[1])
    odd["attributes"] = [{"key": "gen_ai.usage.input_tokens", "value": {"stringValue": "many"}}, 5]

    run = run_of(odd, span("00f067aa0ba902b8"))

    assert len(run.steps) == 2
    assert run.usage is None
    assert run.steps[1].timestamp is None


def test_foreign_json_is_not_taken_for_otlp() -> None:
    """Only the three request fields make a file OTLP."""
    assert otlp.detect(Source.from_bytes(b'{"resource": {}}', "a.json").head) == 0
    assert otlp.detect(Source.from_bytes(b'[{"role": "user"}]', "a.json").head) == 0
    assert otlp.detect(Source.from_bytes(b"", "a.pb").head) == 0
    assert otlp.detect(Source.from_bytes(json.dumps(metric_request(1)).encode(), "a.json").head) >= 0.9


def test_a_time_of_any_length_is_survived() -> None:
    """A span whose end has hundreds of digits has no duration; the rest of it is read."""
    run = run_of(span(endTimeUnixNano="9" * 400))

    assert [step.duration_ms for step in run.steps] == [None]
