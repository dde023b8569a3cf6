"""OTLP files: what spans, logs and metrics of every encoding and generation of names become."""

from __future__ import annotations

import gzip
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from histories import rows
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from workbench._delta import apply
from workbench.data.ingest import ingest, otlp
from workbench.data.ingest.derive import derived_states
from workbench.data.ingest.normal import BadLine, Run, Usage
from workbench.data.ingest.otlp_attributes import ALIASES, value_of
from workbench.data.ingest.source import Source
from workbench.data.store.engine import Store
from workbench.errors import IngestError, MissingExtraError

TRACE = "0af7651916cd43dd8448eb211c80319c"
T0 = 1_700_000_000_000_000_000
SECOND = 1_000_000_000


def any_value(value: Any) -> dict[str, Any]:
    match value:
        case bool():
            return {"boolValue": value}
        case int():
            return {"intValue": str(value)}
        case float():
            return {"doubleValue": value}
        case list():
            return {"arrayValue": {"values": [any_value(item) for item in value]}}
        case dict():
            return {"kvlistValue": {"values": pairs(value)}}
        case _:
            return {"stringValue": value}


def pairs(attributes: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"key": key, "value": any_value(value)} for key, value in attributes.items()]


def span(
    span_id: str = "00f067aa0ba902b7", parent: str = "", *, at: float = 0, seconds: float = 1, **fields: Any
) -> dict:
    """One span as OTLP JSON; `attributes` are plain."""
    fields["attributes"] = pairs(fields.get("attributes", {}))
    begin = T0 + int(at * SECOND)
    return {
        "traceId": TRACE,
        "spanId": span_id,
        "parentSpanId": parent,
        "name": "span",
        "kind": 1,
        "startTimeUnixNano": str(begin),
        "endTimeUnixNano": str(begin + int(seconds * SECOND)),
        "status": {},
        **fields,
    }


def request(*spans: dict, **resource: Any) -> dict[str, Any]:
    attributes = pairs({"service.name": "shop", **resource})
    scope = {"name": "tests", "version": "1"}
    return {
        "resourceSpans": [{"resource": {"attributes": attributes}, "scopeSpans": [{"scope": scope, "spans": spans}]}]
    }


def log_request(**record: Any) -> dict[str, Any]:
    return {"resourceLogs": [{"resource": {}, "scopeLogs": [{"scope": {}, "logRecords": [record]}]}]}


def metric_request(n: int) -> dict[str, Any]:
    metrics = [{"name": f"m{i}", "sum": {"dataPoints": []}} for i in range(n)]
    return {"resourceMetrics": [{"resource": {}, "scopeMetrics": [{"scope": {}, "metrics": metrics}]}]}


def source_of(*requests: Any, name: str = "trace.jsonl") -> Source:
    return Source.from_bytes(b"\n".join(json.dumps(r).encode() for r in requests), name)


def runs_of(source: Source) -> list[Run]:
    found = list(otlp.read(source))
    assert not [item for item in found if isinstance(item, BadLine)]
    return [item for item in found if isinstance(item, Run)]


def run_of(*spans: dict) -> Run:
    (run,) = runs_of(source_of(request(*spans)))
    return run


def protobuf_of(obj: dict[str, Any], message: Any = ExportTraceServiceRequest) -> bytes:
    """The protobuf form of an OTLP JSON request, written field by field as an exporter would."""
    out = message()
    for group in obj["resourceSpans"]:
        resource_spans = out.resource_spans.add()
        fill(resource_spans.resource.attributes, group["resource"]["attributes"])
        for scope_group in group["scopeSpans"]:
            scope_spans = resource_spans.scope_spans.add()
            scope_spans.scope.name = scope_group["scope"]["name"]
            scope_spans.scope.version = scope_group["scope"]["version"]
            for row in scope_group["spans"]:
                made = scope_spans.spans.add(
                    trace_id=bytes.fromhex(row["traceId"]),
                    span_id=bytes.fromhex(row["spanId"]),
                    parent_span_id=bytes.fromhex(row["parentSpanId"]),
                    name=row["name"],
                    kind=row["kind"],
                    start_time_unix_nano=int(row["startTimeUnixNano"]),
                    end_time_unix_nano=int(row["endTimeUnixNano"]),
                )
                fill(made.attributes, row["attributes"])
                made.status.code = row["status"].get("code", 0)
                made.status.message = row["status"].get("message", "")
                for event in row.get("events", ()):
                    fill(made.events.add(name=event["name"]).attributes, event["attributes"])
    return out.SerializeToString()


def fill(target: Any, rows: list[dict[str, Any]]) -> None:
    for row in rows:
        set_value(target.add(key=row["key"]).value, row["value"])


def set_value(target: Any, value: dict[str, Any]) -> None:
    match value:
        case {"arrayValue": array}:
            target.array_value.SetInParent()
            for item in array["values"]:
                set_value(target.array_value.values.add(), item)
        case {"kvlistValue": inner}:
            target.kvlist_value.SetInParent()
            fill(target.kvlist_value.values, inner["values"])
        case {"intValue": number}:
            target.int_value = int(number)
        case {"boolValue": flag}:
            target.bool_value = flag
        case {"doubleValue": number}:
            target.double_value = number
        case {"stringValue": text}:
            target.string_value = text


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
        ("proto-example.events.json", 0, 0, None),
        ("proto-example.metrics.json", 0, 0, None),
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
    assert rows(store) == before


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


# -- encodings ---------------------------------------------------------------------------------------------------------


def test_ids_times_and_values_of_json() -> None:
    """Ids are hex in any case, times text or numbers, and every kind of value is read."""
    values = {
        "text": "é",
        "whole": 9_007_199_254_740_993,
        "real": 0.5,
        "flag": False,
        "list": [1, "a"],
        "map": {"k": {}},
    }
    one = span(
        "00F067AA0BA902B7",
        traceId=TRACE.upper(),
        startTimeUnixNano=T0 + 1_500,
        endTimeUnixNano=str(T0 + 2_001_500),
        attributes=values,
        kind="SPAN_KIND_CLIENT",
        unknownField={"ignored": True},
    )

    (run,) = runs_of(source_of(request(one)))

    (step,) = run.steps
    assert (run.source_id, step.span_id, step.parent_span_id) == (TRACE, "00f067aa0ba902b7", None)
    assert step.timestamp == datetime(2023, 11, 14, 22, 13, 20, 1, tzinfo=UTC)
    assert step.duration_ms == 2.0
    assert step.category == "client"
    assert step.extra is not None
    assert step.extra["attributes"] == values


def test_base64_ids_and_snake_case_keys_are_understood() -> None:
    """What protobuf's own JSON writes names the same trace."""
    as_written = {
        "resource_spans": [
            {
                "scope_spans": [
                    {
                        "spans": [
                            {
                                "trace_id": "CvdlGRbNQ92ESOshHIAxnA==",
                                "span_id": "APBnqgupArc=",
                                "name": "root",
                                "start_time_unix_nano": T0,
                                "status": {"code": "STATUS_CODE_ERROR"},
                            }
                        ]
                    }
                ]
            }
        ]
    }

    (run,) = runs_of(source_of(as_written))

    assert (run.source_id, run.steps[0].span_id, run.status) == (TRACE, "00f067aa0ba902b7", "failed")


@given(
    st.dictionaries(
        st.text("abc.", min_size=1, max_size=6),
        st.recursive(
            st.booleans()
            | st.integers(-(2**63), 2**63 - 1)
            | st.floats(allow_nan=False, allow_infinity=False)
            | st.text(st.characters(exclude_categories=["Cs"]), max_size=10),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("xyz", min_size=1), inner, max_size=3),
            max_leaves=8,
        ),
        max_size=5,
    )
)
def test_both_encodings_say_the_same(attributes: dict[str, Any]) -> None:
    """Whatever the attributes, protobuf and JSON give equal runs."""
    error = {"code": 2, "message": "no"}
    both = request(span(attributes=attributes, status=error, events=[{"name": "e", "attributes": pairs({"n": 1})}]))

    from_json = runs_of(source_of(both))
    from_protobuf = runs_of(Source.from_bytes(protobuf_of(both), "trace.pb"))

    assert from_protobuf == from_json


def test_several_protobuf_requests_in_one_file() -> None:
    """Requests simply joined and requests with a length before each are both read."""
    bodies = [protobuf_of(request(span(f"000000000000000{n}", at=n))) for n in (1, 2)]
    prefixed = b"".join(len(body).to_bytes(4, "big") + body for body in bodies)

    joined = Source.from_bytes(b"".join(bodies), "t.pb")
    framed = Source.from_bytes(prefixed, "t.binpb")

    assert otlp.detect(framed.head) >= 0.9
    assert runs_of(joined) == runs_of(framed)
    assert len(runs_of(framed)[0].steps) == 2


def test_gzip_of_every_encoding_is_read() -> None:
    """A compressed capture gives the same runs."""
    plain = request(span())
    text = json.dumps(plain, indent=2).encode()
    want = runs_of(source_of(plain))

    for body, name in (
        (text, "t.json.gz"),
        (json.dumps(plain).encode(), "t.jsonl.gz"),
        (protobuf_of(plain), "t.pb.gz"),
    ):
        source = Source.from_bytes(gzip.compress(body), name)
        assert otlp.detect(source.head) >= 0.9
        assert runs_of(source) == want


def test_protobuf_without_its_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where opentelemetry-proto is not installed, the error says what to install."""
    monkeypatch.setitem(sys.modules, "opentelemetry.proto.collector.trace.v1.trace_service_pb2", None)
    source = Source.from_bytes(protobuf_of(request(span())), "t.pb")

    with pytest.raises(MissingExtraError, match=r"pip install 'agent-workbench\[otlp\]'"):
        list(otlp.read(source))


def test_bytes_that_are_no_request_are_refused() -> None:
    """A file that only looks like protobuf gives one error that names it."""
    source = Source.from_bytes(b"\x0a\x07service.name is not here", "odd.pb")

    with pytest.raises(IngestError, match=r"odd\.pb cannot be read: these bytes are not an OTLP request"):
        list(otlp.read(source))


# -- names and tokens --------------------------------------------------------------------------------------------------

GENERATIONS = {
    "first drafts": {
        "llm.request.type": "chat",
        "llm.request.model": "m",
        "llm.usage.prompt_tokens": 10,
        "llm.usage.completion_tokens": 4,
        "gen_ai.prompt.0.role": "user",
        "gen_ai.prompt.0.content": "hello?",
        "gen_ai.completion.0.role": "assistant",
        "gen_ai.completion.0.content": "hi",
        "gen_ai.completion.0.tool_calls.0.id": "c1",
        "gen_ai.completion.0.tool_calls.0.name": "look",
        "gen_ai.completion.0.tool_calls.0.arguments": '{"at": 1}',
    },
    "1.27 to 1.36": {
        "gen_ai.operation.name": "chat",
        "gen_ai.system": "openai",
        "gen_ai.request.model": "m",
        "gen_ai.usage.prompt_tokens": 10,
        "gen_ai.usage.completion_tokens": 4,
    },
    "1.37 and later": {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "m",
        "gen_ai.usage.input_tokens": 10,
        "gen_ai.usage.output_tokens": 4,
        "gen_ai.input.messages": json.dumps([{"role": "user", "parts": [{"type": "text", "content": "hello?"}]}]),
        "gen_ai.output.messages": json.dumps(
            [
                {
                    "role": "assistant",
                    "parts": [
                        {"type": "text", "content": "hi"},
                        {"type": "tool_call", "id": "c1", "name": "look", "arguments": {"at": 1}},
                    ],
                }
            ]
        ),
    },
}
GENERATION_EVENTS = {
    "1.27 to 1.36": [
        {"name": "gen_ai.user.message", "attributes": pairs({"content": "hello?"})},
        {
            "name": "gen_ai.choice",
            "attributes": pairs(
                {
                    "message": json.dumps(
                        {
                            "content": "hi",
                            "tool_calls": [{"id": "c1", "function": {"name": "look", "arguments": '{"at": 1}'}}],
                        }
                    )
                }
            ),
        },
    ]
}


@pytest.mark.parametrize("generation", GENERATIONS)
def test_three_generations_of_names_read_alike(generation: str) -> None:
    """A model call says the same in every generation of attribute names."""
    run = run_of(span(attributes=GENERATIONS[generation], events=GENERATION_EVENTS.get(generation, [])))

    (step,) = run.steps
    assert (step.event_type, step.model) == ("llm_call", "m")
    assert step.usage == Usage(input_tokens=10, output_tokens=4)
    assert (step.role, step.text) == ("assistant", "hi")
    assert step.tool_calls == [{"name": "look", "call_id": "c1", "arguments": {"at": 1}}]
    assert step.extra is not None
    assert "hello?" in json.dumps(step.extra["input_messages"])


def test_every_alias_is_read_and_the_newest_wins() -> None:
    """Each older spelling stands in for the newest name, which goes first where both are there."""
    for newest, older in ALIASES.items():
        for spelling in older:
            assert value_of({spelling: "old"}, newest) == "old"
            assert value_of({spelling: "old", newest: "new"}, newest) == "new"


def test_token_classes_are_disjoint() -> None:
    """OpenTelemetry's input is the sum of three classes; the uncached part is what is left."""
    usage = {
        "gen_ai.operation.name": "chat",
        "gen_ai.usage.input_tokens": 100,
        "gen_ai.usage.cache_read.input_tokens": 60,
        "gen_ai.usage.cache_creation.input_tokens": 30,
        "gen_ai.usage.output_tokens": 7,
        "gen_ai.usage.reasoning.output_tokens": 5,
    }

    run = run_of(span(attributes=usage))

    assert run.usage == Usage(10, 60, 30, 7, 5)


def test_input_smaller_than_its_parts_was_uncached_already() -> None:
    """An instrumentation that passes the uncached count through is recognised; nothing becomes negative."""
    usage = {
        "gen_ai.operation.name": "chat",
        "gen_ai.usage.input_tokens": 12,
        "gen_ai.usage.cache_read_input_tokens": 900,
    }

    assert run_of(span(attributes=usage)).usage == Usage(12, 900)


def test_absent_tokens_are_null() -> None:
    """A span that says nothing of tokens or cost leaves both null, never 0."""
    run = run_of(span(attributes={"gen_ai.operation.name": "chat"}))

    assert (run.usage, run.cost_usd, run.steps[0].usage) == (None, None, None)


def test_an_agents_sum_is_not_counted_again() -> None:
    """Tokens on an agent's span that repeat those of the calls inside it count once."""
    call = {"gen_ai.operation.name": "chat", "gen_ai.usage.input_tokens": 10, "gen_ai.usage.cost": 0.25}
    whole = {"gen_ai.operation.name": "invoke_agent", "gen_ai.usage.input_tokens": 20, "gen_ai.usage.cost": 0.5}

    run = run_of(
        span("aaaaaaaaaaaaaaa1", attributes=whole),
        span("aaaaaaaaaaaaaaa2", "aaaaaaaaaaaaaaa1", at=0.1, attributes=call),
        span("aaaaaaaaaaaaaaa3", "aaaaaaaaaaaaaaa1", at=0.5, attributes=call),
    )

    assert run.usage == Usage(input_tokens=20)
    assert run.cost_usd == 0.5
    assert [step.usage for step in run.steps] == [None, Usage(10), Usage(10)]
    assert run.steps[0].extra is not None
    assert run.steps[0].extra["attributes"]["gen_ai.usage.input_tokens"] == 20


# -- the tree ----------------------------------------------------------------------------------------------------------


def test_steps_are_ordered_by_start_then_by_tree() -> None:
    """However the spans lie in the file, parents that start with their children come first."""
    run = run_of(
        span("aaaaaaaaaaaaaaa3", "bbbbbbbbbbbbbbb2", name="grandchild"),
        span("aaaaaaaaaaaaaaa4", "ccccccccccccccc1", at=-1, name="early"),
        span("bbbbbbbbbbbbbbb2", "ccccccccccccccc1", name="child"),
        span("ccccccccccccccc1", name="root", seconds=5),
    )

    assert [step.name for step in run.steps] == ["early", "root", "child", "grandchild"]
    assert run.name == "root"
    assert run.completed_at is not None
    assert run.started_at is not None
    assert (run.completed_at - run.started_at).total_seconds() == 6


def test_lanes_follow_the_nearest_agent() -> None:
    """A span lies in the lane of the agent around it; outside of any agent, in that of its service."""
    agent = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "planner"}
    inner = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "coder"}

    run = run_of(
        span("aaaaaaaaaaaaaaa1", name="http"),
        span("aaaaaaaaaaaaaaa2", "aaaaaaaaaaaaaaa1", at=0.1, attributes=agent),
        span("aaaaaaaaaaaaaaa3", "aaaaaaaaaaaaaaa2", at=0.2, attributes=inner),
        span("aaaaaaaaaaaaaaa4", "aaaaaaaaaaaaaaa3", at=0.3, attributes={"gen_ai.operation.name": "execute_tool"}),
    )

    assert [step.agent for step in run.steps] == ["shop", "planner", "coder", "coder"]


def test_repeated_span_ids_lose_nothing() -> None:
    """Redacted exports give every span one id: each stays an event of its own, with its own identity."""
    spans = [span(name=f"tool {n}", attributes={"gen_ai.tool.name": f"t{n}"}) for n in range(4)]

    run = run_of(*spans)

    assert len({step.source_id for step in run.steps}) == 4
    assert {step.span_id for step in run.steps} == {"00f067aa0ba902b7"}


def test_a_span_sent_twice_is_one_event() -> None:
    """An exporter that retries sends the same spans again: they are stored once, and the report says so."""
    source = source_of(request(span()), request(span(), span("00f067aa0ba902b8")))

    (run,) = runs_of(source)

    assert len(run.steps) == 2
    assert [(note.kind, note.why, n) for note, n in source.notes.items()] == [("kept", "each is stored once", 1)]


def test_a_circle_of_parents_is_survived() -> None:
    """Spans that are each other's parents are all kept."""
    run = run_of(
        span("aaaaaaaaaaaaaaa1", "aaaaaaaaaaaaaaa2", name="a"),
        span("aaaaaaaaaaaaaaa2", "aaaaaaaaaaaaaaa1", name="b"),
        span("aaaaaaaaaaaaaaa3", "aaaaaaaaaaaaaaa3", name="its own parent"),
    )

    assert sorted(step.name or "" for step in run.steps) == ["a", "b", "its own parent"]


def test_a_chain_of_twenty_thousand_spans_is_read() -> None:
    """Depth costs neither the stack nor quadratic time."""
    chain = [span(f"{n + 1:016x}", f"{n:016x}" if n else "", at=n / 1000) for n in range(20_000)]

    run = run_of(*chain)

    assert [step.span_id for step in run.steps[:2]] == [f"{1:016x}", f"{2:016x}"]
    assert len(run.steps) == 20_000


def test_spans_of_a_trace_spread_over_lines_are_one_run() -> None:
    """One request per line, spans of two traces mixed: each trace is one run."""
    other = "f" * 32
    source = source_of(
        request(span("aaaaaaaaaaaaaaa2", "aaaaaaaaaaaaaaa1", at=1)),
        request(span("bbbbbbbbbbbbbbb1", traceId=other)),
        request(span("aaaaaaaaaaaaaaa1", seconds=3)),
    )

    assert [(run.source_id, len(run.steps)) for run in runs_of(source)] == [(TRACE, 2), (other, 1)]


def test_the_derived_state_is_the_conversation() -> None:
    """A trace records no state: what was asked, each answer and each tool result make it, every call told once."""
    asks, tools = GENERATIONS["1.37 and later"], {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.call.id": "c1"}
    result = {**tools, "gen_ai.tool.name": "look", "gen_ai.tool.call.result": "found"}
    unasked = {**result, "gen_ai.tool.call.id": "c2"}

    run = run_of(
        span("aaaaaaaaaaaaaaa1", attributes=asks),
        span("aaaaaaaaaaaaaaa2", at=1, attributes=result),
        span("aaaaaaaaaaaaaaa3", at=2, attributes=unasked),
        span("aaaaaaaaaaaaaaa4", at=3, attributes=asks),
    )

    state: Any = {}
    for change in derived_states(run.steps):
        assert change.patch is not None
        state = apply(state, change.patch)
    answer = {
        "role": "assistant",
        "content": "hi",
        "tool_calls": [{"name": "look", "call_id": "c1", "arguments": {"at": 1}}],
    }
    assert [message.get("role") for message in state["messages"]] == ["user", "assistant", "assistant", "assistant"]
    assert state["messages"][1] == answer
    assert state["messages"][2] == {"role": "assistant", "tool_calls": [{"name": "look", "call_id": "c2"}]}
    assert state["tool_results"] == {"c1": "found", "c2": "found"}


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


def test_metrics_and_homeless_logs_are_counted_not_hidden() -> None:
    """What is not read is in the report, with its number."""
    source = source_of(metric_request(3), metric_request(2), log_request(timeUnixNano="1", body={"stringValue": "?"}))

    assert runs_of(source) == []
    assert {(note.what, note.why): n for note, n in source.notes.items()} == {
        ("metrics", "kept out: metrics come later"): 5,
        ("log records", "kept out: they name no trace"): 1,
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
