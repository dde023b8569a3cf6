"""Dumped spans as runs, and OpenInference's names in any trace."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import otlp_requests
import pandas as pd
import pytest
from histories import rows
from mutations import mutations, survives

from workbench.data.ingest import ingest
from workbench.data.ingest.formats import openinference
from workbench.data.ingest.normal import BadLine, Run, Usage
from workbench.data.ingest.reading.source import Source
from workbench.data.store.engine import Store

TRACE = "0af7651916cd43dd8448eb211c80319c"
T0 = 1_700_000_000
REAL = "openinference/vercel-ai-sdk-v6.all-spans.json"

ASKED = {
    "llm.input_messages.0.message.role": "system",
    "llm.input_messages.0.message.content": "Be brief.",
    "llm.input_messages.1.message.role": "user",
    "llm.input_messages.1.message.contents.0.message_content.type": "text",
    "llm.input_messages.1.message.contents.0.message_content.text": "Weather?",
    "llm.input_messages.10.message.role": "tool",
    "llm.input_messages.10.message.content": "blue",
    "llm.input_messages.10.message.tool_call_id": "c0",
}
MODEL = {
    "openinference.span.kind": "LLM",
    "llm.model_name": "m-1",
    "llm.provider": "acme",
    "llm.token_count.prompt": 100,
    "llm.token_count.completion": 20,
    "llm.token_count.total": 120,
    "llm.token_count.prompt_details.cache_read": 70,
    "llm.token_count.prompt_details.cache_write": 20,
    "llm.token_count.completion_details.reasoning": 5,
    "llm.cost.total": 0.25,
    "session.id": "s1",
    **ASKED,
    "llm.output_messages.0.message.role": "assistant",
    "llm.output_messages.0.message.content": "Let me look.",
    "llm.output_messages.0.message.tool_calls.0.tool_call.id": "c1",
    "llm.output_messages.0.message.tool_calls.0.tool_call.function.name": "look",
    "llm.output_messages.0.message.tool_calls.0.tool_call.function.arguments": '{"at": "sky"}',
}
TOOL = {
    "openinference.span.kind": "TOOL",
    "tool.name": "look",
    "tool.parameters": '{"at": {"type": "string"}}',
    "input.value": '{"at": "sky"}',
    "output.value": "blue",
}
AGENT = {"openinference.span.kind": "AGENT", "input.value": "Weather?", "output.value": "It is blue."}


def span(n: int, parent: int | None = None, attributes: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    """One span as OpenTelemetry JS dumps it, a second long."""
    return {
        "name": f"span {n}",
        "spanContext": {"traceId": TRACE, "spanId": f"{n + 1:016x}"},
        **({} if parent is None else {"parentSpanId": f"{parent + 1:016x}"}),
        "kind": 0,
        "startTime": [T0 + n, 250_000_000],
        "endTime": [T0 + n + 1, 750_000_000],
        "status": {"code": 0},
        "attributes": attributes or {},
        "events": [],
        **fields,
    }


def python_span(n: int, parent: int | None = None, attributes: dict[str, Any] | None = None) -> dict[str, Any]:
    """The same span as OpenTelemetry Python prints it."""
    return {
        "name": f"span {n}",
        "context": {"trace_id": f"0x{TRACE}", "span_id": f"0x{n + 1:016x}", "trace_state": "[]"},
        "kind": "SpanKind.INTERNAL",
        "parent_id": None if parent is None else f"0x{parent + 1:016x}",
        "start_time": f"2023-11-14T22:13:{20 + n}.250000Z",
        "end_time": f"2023-11-14T22:13:{21 + n}.750000Z",
        "status": {"status_code": "UNSET"},
        "attributes": attributes or {},
        "events": [],
        "links": [],
        "resource": {"attributes": {}, "schema_url": ""},
    }


def phoenix_span(n: int, parent: int | None = None, attributes: dict[str, Any] | None = None) -> dict[str, Any]:
    """The same span as Phoenix answers."""
    given = dict(attributes or {})
    return {
        "id": f"U3Bhbjo{n}",
        "name": f"span {n}",
        "context": {"trace_id": TRACE, "span_id": f"{n + 1:016x}"},
        "span_kind": given.pop("openinference.span.kind", "UNKNOWN"),
        "parent_id": None if parent is None else f"{parent + 1:016x}",
        "start_time": f"2023-11-14T22:13:{20 + n}.250000+00:00",
        "end_time": f"2023-11-14T22:13:{21 + n}.750000+00:00",
        "status_code": "UNSET",
        "status_message": "",
        "attributes": given,
        "events": [],
    }


def read(document: Any) -> tuple[list[Run], list[BadLine], Source]:
    content = document if isinstance(document, bytes) else json.dumps(document).encode()
    source = Source.from_bytes(content, "spans.json")
    items = list(openinference.read(source))
    return [i for i in items if isinstance(i, Run)], [i for i in items if isinstance(i, BadLine)], source


def one(*spans: dict[str, Any]) -> Run:
    (run,), bad, _ = read(list(spans))
    assert not bad
    return run


# -- the file of formats.md --------------------------------------------------------------------------------------------


def test_counts_of_the_real_file(shared_data: Path) -> None:
    """Ten traces of one span each; tokens are those of the attributes, in whichever of three spellings."""
    source = Source.of(shared_data / REAL)

    runs = [item for item in openinference.read(source) if isinstance(item, Run)]

    spans = json.loads((shared_data / REAL).read_bytes())
    counted = [
        (
            next((s["attributes"][k] for k in ("ai.usage.promptTokens", "ai.usage.inputTokens", "ai.usage.tokens")
                  if k in s["attributes"]), None),
            next((s["attributes"][k] for k in ("ai.usage.completionTokens", "ai.usage.outputTokens")
                  if k in s["attributes"]), None),
        )
        for s in spans
    ]  # fmt: skip
    assert openinference.detect(source.head) >= 0.9
    assert (len(runs), [len(run.steps) for run in runs]) == (10, [1] * 10)
    assert [(run.usage.input_tokens, run.usage.output_tokens) for run in runs if run.usage] == counted
    assert (sum(i for i, _ in counted), sum(o or 0 for _, o in counted)) == (304, 594)
    assert [run.trace_id for run in runs] == [s["spanContext"]["traceId"] for s in spans]
    assert {run.cost_usd for run in runs} == {None}
    kinds = [run.steps[0].event_type for run in runs]
    assert kinds == ["llm_call", "span"] * 5
    answered = [run.steps[0].text is not None for run in runs]
    assert answered == [True] * 8 + [False] * 2


def test_nanoseconds_and_attributes_of_the_real_file_are_kept(shared_data: Path) -> None:
    """Times are read to the nanosecond, and every attribute is stored under the source's own name."""
    runs = [i for i in openinference.read(Source.of(shared_data / REAL)) if isinstance(i, Run)]

    for run, dumped in zip(runs, json.loads((shared_data / REAL).read_bytes()), strict=True):
        extra = run.steps[0].extra or {}
        assert extra["attributes"] == dumped["attributes"]
        assert extra["start_time_unix_nano"] == dumped["startTime"][0] * 10**9 + dumped["startTime"][1]
        assert len(extra.get("events", [])) == len(dumped["events"])


def test_the_real_file_twice_adds_nothing(store: Store, shared_data: Path) -> None:
    """Ten runs and ten events, whose ids are those of the spans; a second ingest writes nothing."""
    (first,) = ingest(store, shared_data / REAL, progress=False).files
    before = rows(store)
    (second,) = ingest(store, shared_data / REAL, progress=False).files

    assert (first.format, first.outcome, first.executions, first.events) == ("openinference", "new", 10, 10)
    assert first.n_bad == 0
    assert (second.outcome, rows(store)) == ("already there", before)


# -- names -------------------------------------------------------------------------------------------------------------


def test_flattened_messages_are_a_conversation() -> None:
    """``llm.input_messages.<i>.message.*`` become messages in the order of their numbers, calls with arguments."""
    (step,) = one(span(0, attributes=MODEL)).steps

    assert (step.extra or {})["input_messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Weather?"},
        {"role": "tool", "content": "blue", "tool_call_id": "c0"},
    ]
    assert step.text == "Let me look."
    assert step.tool_calls == [{"name": "look", "call_id": "c1", "arguments": {"at": "sky"}}]


def test_a_run_of_openinference_spans() -> None:
    """Kinds make the types, the agent the lane; tokens are disjoint; a tool has what it was called with."""
    run = one(span(0, attributes=AGENT, name="planner"), span(1, 0, MODEL), span(2, 0, TOOL))

    assert [step.event_type for step in run.steps] == ["span", "llm_call", "tool_call"]
    assert [step.agent for step in run.steps] == ["planner"] * 3
    assert (run.agent_type, run.model, run.metadata["provider"]) == ("planner", "m-1", "acme")
    assert run.metadata["conversation_id"] == "s1"
    assert run.usage == Usage(10, 70, 20, 20, 5)
    assert run.cost_usd == 0.25
    assert run.steps[2].tool == {"name": "look", "arguments": {"at": "sky"}, "result": "blue"}
    assert run.steps[1].duration_ms == 1500.0


def test_a_model_call_without_messages_says_its_input_and_output() -> None:
    """``input.value`` and ``output.value`` of a model call are its messages, as text or as JSON of a provider."""
    said = {"choices": [{"message": {"role": "assistant", "content": "blue"}}]}
    plain = {"openinference.span.kind": "LLM", "input.value": "Weather?", "output.value": json.dumps(said)}

    run = one(span(0, attributes=plain))

    assert run.input == [{"role": "user", "content": "Weather?"}]
    assert (run.output, run.steps[0].text) == ("blue", "blue")


def test_a_run_without_model_calls_has_the_input_of_its_outermost_span() -> None:
    """What a chain was asked and answered is the run's, where no model was called."""
    run = one(span(0, attributes={**AGENT, "input.value": '{"question": "Weather?"}'}), span(1, 0, TOOL))

    assert (run.input, run.output) == ({"question": "Weather?"}, "It is blue.")


def test_otlp_traces_with_these_names_read_alike() -> None:
    """The names mean the same in OTLP: one table for both."""
    sent = otlp_requests.run_of(otlp_requests.span(attributes=MODEL))
    dumped = one(span(0, attributes=MODEL))

    for name in ("event_type", "model", "usage", "cost_usd", "text", "tool_calls", "role"):
        assert getattr(sent.steps[0], name) == getattr(dumped.steps[0], name)


def test_the_ai_sdk_counts_once() -> None:
    """An operation of the AI SDK around its calls repeats their tokens; in one trace they count once."""
    outer = {"ai.operationId": "ai.generateText", "ai.usage.promptTokens": 14, "ai.usage.completionTokens": 20}
    inner = {**outer, "ai.operationId": "ai.generateText.doGenerate", "gen_ai.usage.input_tokens": 14}
    call = {"ai.operationId": "ai.toolCall", "ai.toolCall.name": "look", "ai.toolCall.id": "c1",
            "ai.toolCall.args": '{"at": 1}', "ai.toolCall.result": "7"}  # fmt: skip

    run = one(span(0, attributes=outer), span(1, 0, inner), span(2, 0, call))

    assert run.usage == Usage(input_tokens=14, output_tokens=20)
    assert [step.event_type for step in run.steps] == ["span", "llm_call", "tool_call"]
    assert run.steps[2].tool == {"name": "look", "call_id": "c1", "arguments": {"at": 1}, "result": "7"}


# -- shapes ------------------------------------------------------------------------------------------------------------


def test_three_dumps_of_one_trace_are_equal() -> None:
    """JS, Python and Phoenix write the same spans differently; as lists, pages, lines and printed documents."""
    makers = (span, python_span, phoenix_span)
    dumps = [[make(0, None, AGENT), make(1, 0, MODEL), make(2, 0, TOOL)] for make in makers]
    contents = [json.dumps(shape).encode() for dump in dumps for shape in (dump, {"data": dump}, {"spans": dump})]
    contents += [b"\n".join(json.dumps(row).encode() for row in dump) for dump in dumps]
    contents += [b"\n".join(json.dumps(row, indent=4).encode() for row in dump) + b"\n" for dump in dumps]

    found = set()
    for content in contents:
        (run,), bad, source = read(content)
        assert openinference.detect(source.head) > 0.5, content[:80]
        assert not bad
        steps = [(s.source_id, s.parent_span_id, s.event_type, s.timestamp, s.duration_ms, s.usage) for s in run.steps]
        found.add((run.source_id, run.started_at, run.completed_at, run.usage, tuple(steps)))
    assert len(found) == 1


def test_kinds_statuses_events_and_links() -> None:
    """JS numbers kinds from 0; a failed span has its exception; events, links, resource and unknown fields are kept."""
    raised = {"name": "exception", "time": [T0, 5], "attributes": {"exception.type": "KeyError"}}
    run = one(
        span(
            0, kind=2, status={"code": 2, "message": "lost"}, events=[raised], ended=True,
            links=[{"context": {"traceId": "b" * 32, "spanId": "c" * 16}}],
            resource={"_rawAttributes": [["service.name", "shop"]]}, instrumentationScope={"name": "i", "version": "1"},
        )
    )  # fmt: skip

    (step,) = run.steps
    extra = step.extra or {}
    assert (run.status, run.error, run.error_type, run.agent_type) == ("failed", "lost", "KeyError", "shop")
    assert (step.severity, extra["kind"], extra["scope"]) == ("error", "client", {"name": "i", "version": "1"})
    assert extra["events"] == [
        {"name": "exception", "time_unix_nano": T0 * 10**9 + 5, "attributes": {"exception.type": "KeyError"}}
    ]
    assert extra["links"] == [{"trace_id": "b" * 32, "span_id": "c" * 16}]
    assert extra["record"] == {"ended": True}


def test_what_is_no_span_is_reported() -> None:
    """Values without a context or an id are reported with their line; the rest is read."""
    lines = [span(0), {"name": "x"}, span(1, spanContext={"traceId": TRACE}), 7, span(2)]
    (run,), bad, _ = read(b"\n".join(json.dumps(line).encode() for line in lines))

    assert [step.span_id for step in run.steps] == [f"{1:016x}", f"{3:016x}"]
    assert {b.line: b.reason for b in bad} == {
        2: "expected a span with its name and context",
        3: "span 'span 1' has no trace id or no span id",
        4: "expected a JSON object, found a number",
    }


@pytest.mark.parametrize("time", ["soon", [1], ["a", "b"], [-1, 0], {}, True])
def test_a_time_that_is_none_is_null_and_kept(time: Any) -> None:
    """A time of a wrong shape is null, noted, and kept as it was."""
    (run,), bad, source = read([span(0, startTime=time)])

    assert not bad
    assert run.steps[0].timestamp is None
    assert (run.steps[0].extra or {})["record"]["start_time"] == time
    assert any(note.what == "time" for note in source.notes)


def test_a_trace_in_two_files_is_one_run(store: Store, tmp_path: Path) -> None:
    """Spans of one trace in two dumps become one run, whose tokens still count once."""
    outer = {**AGENT, "llm.token_count.prompt": 100}
    (tmp_path / "a.json").write_text(json.dumps([span(0, attributes=outer)]))
    (tmp_path / "b.json").write_text(json.dumps([span(1, 0, MODEL)]))

    ingest(store, tmp_path, progress=False)

    (run,) = rows(store)["agent_executions"]
    assert json.loads(run[17]) == {
        "input_tokens": 10, "cache_read_tokens": 70, "cache_write_tokens": 20, "output_tokens": 20,
        "reasoning_tokens": 5,
    }  # fmt: skip
    assert len(rows(store)["observability_events"]) == 2


def test_any_damage_is_survived() -> None:
    """Hundreds of dumps with values of wrong types, keys missing, bytes cut or flipped: no other error, runs kept."""
    dump = [make(0, None, AGENT) for make in (span, python_span, phoenix_span)] + [span(1, 0, MODEL), span(2, 0, TOOL)]
    documents = [json.dumps(dump).encode(), b"\n".join(json.dumps(row).encode() for row in dump)]

    kept = [survives(openinference, d, "spans.json")[0] for data in documents for d in mutations(data, n=300)]

    assert sum(bool(runs) for runs in kept) > 350


def test_any_damage_to_the_real_file_is_survived(shared_data: Path) -> None:
    """The same with the real dump."""
    data = (shared_data / REAL).read_bytes()

    kept = [survives(openinference, spoilt, "spans.json")[0] for spoilt in mutations(data, n=150)]

    assert sum(len(runs) == 10 for runs in kept) > 60


def test_every_other_real_file_is_left_alone(shared_data: Path) -> None:
    """No file of another format is taken for a dump of spans."""
    taken = [
        str(path.relative_to(shared_data))
        for path in sorted(shared_data.rglob("*"))
        if path.is_file() and openinference.detect(Source.of(path).head) > 0
    ]

    assert taken == [REAL]


# -- data frames of Phoenix --------------------------------------------------------------------------------------------


def frame() -> list[dict[str, Any]]:
    """Rows as Phoenix's data frame has them: a column for each attribute of any span, null where a span has none."""
    said = {"message.role": "user", "message.content": "why?"}
    answer = {"message.role": "assistant", "message.content": "So."}
    model = {
        "attributes.llm.model_name": "acme-1",
        "attributes.llm.token_count.prompt": 10.0,
        "attributes.llm.token_count.completion": 3.0,
        "attributes.llm.input_messages": [said],
        "attributes.llm.output_messages": [answer],
    }
    rows = []
    for n, (parent, kind) in enumerate(((None, "AGENT"), (0, "LLM"))):
        at = datetime(2023, 11, 14, 22, 13, 20 + n, tzinfo=UTC)
        rows.append(
            {
                "name": f"span {n}",
                "span_kind": kind,
                "parent_id": None if parent is None else f"{parent + 1:016x}",
                "start_time": at,
                "end_time": at + timedelta(seconds=1),
                "status_code": "OK",
                "status_message": "",
                "events": [],
                "context.span_id": f"{n + 1:016x}",
                "context.trace_id": TRACE,
                **{name: value if kind == "LLM" else None for name, value in model.items()},
            }
        )
    return rows


@pytest.mark.parametrize("shape", ["records", "lines", "parquet"])
def test_a_data_frame_of_phoenix_is_read(shape: str) -> None:
    """A table with one column for each attribute gives the spans back, with messages, tokens and times."""
    table = pd.DataFrame(frame())
    if shape == "parquet":
        content = table.set_index("context.span_id").to_parquet()
    else:
        content = table.to_json(orient="records", lines=shape == "lines", date_format="iso").encode()

    (run,), bad, source = read(content)

    agent, model = run.steps
    assert (openinference.detect(source.head) > 0.5, bad) == (True, [])
    assert (agent.event_type, model.event_type, model.parent_span_id) == ("span", "llm_call", agent.span_id)
    assert (model.model, model.text, model.duration_ms) == ("acme-1", "So.", 1000.0)
    assert (model.extra or {})["input_messages"] == [{"role": "user", "content": "why?"}]
    assert model.usage is not None
    assert (model.usage.input_tokens, model.usage.output_tokens) == (10, 3)
