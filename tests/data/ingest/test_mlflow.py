"""MLflow traces as runs. Fixtures are written after MLflow's documented schema; there is no real file of it here."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from histories import rows
from mutations import mutations, survives

from workbench.data.ingest import ingest
from workbench.data.ingest.formats import mlflow
from workbench.data.ingest.normal import BadLine, Run, Usage
from workbench.data.ingest.reading.source import Source
from workbench.data.store.engine import Store

T0 = 1_700_000_000_000_000_000
SECOND = 1_000_000_000
TRACE = "0af7651916cd43dd8448eb211c80319c"
ASKED = [{"role": "user", "content": "Weather?"}]
SAID = {"choices": [{"message": {"role": "assistant", "content": "Let me look.", "tool_calls": [
    {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{\"at\": \"sky\"}"}}]}}]}  # fmt: skip
USAGE = {"input_tokens": 100, "output_tokens": 20, "total_tokens": 120, "cache_read_input_tokens": 70}


def attributes(kind: str, given: Any = None, answered: Any = None, **more: Any) -> dict[str, str]:
    """Attributes as MLflow stores them: each a text of JSON."""
    values = {"mlflow.spanType": kind, "mlflow.spanInputs": given, "mlflow.spanOutputs": answered}
    values |= {f"mlflow.{name.replace('__', '.')}": value for name, value in more.items()}
    return {name: json.dumps(value) for name, value in values.items() if value is not None}


AGENT = attributes("AGENT", {"question": "Weather?"}, "It is blue.")
MODEL = attributes(
    "CHAT_MODEL", {"messages": ASKED, "model": "m-1"}, SAID, chat__tokenUsage=USAGE, llm__cost={"total_cost": 0.25},
    llm__model="m-1", llm__provider="acme",
)  # fmt: skip
TOOL = attributes("TOOL", {"at": "sky"}, "blue")


def span(n: int, parent: int | None = None, given: dict[str, str] | None = None, **fields: Any) -> dict[str, Any]:
    """One span of the newest schema, a second long."""
    return {
        "trace_id": "tr-1",
        "otel_trace_id": TRACE,
        "span_id": f"{n + 1:016x}",
        "parent_span_id": None if parent is None else f"{parent + 1:016x}",
        "name": f"span {n}",
        "start_time_unix_nano": T0 + n * SECOND,
        "end_time_unix_nano": T0 + (n + 1) * SECOND,
        "status": {"code": "OK", "message": ""},
        "attributes": given or {},
        "events": [],
        **fields,
    }


def first_span_3(*args: Any) -> dict[str, Any]:
    """The same span as the first MLflow 3 wrote it: ids in base64, codes of OTLP."""
    made = span(*args)
    del made["otel_trace_id"]
    ids = {"trace_id": TRACE, "span_id": made["span_id"], "parent_span_id": made["parent_span_id"] or ""}
    coded = {name: base64.b64encode(bytes.fromhex(value)).decode() for name, value in ids.items()}
    return {**made, **coded, "status": {"code": "STATUS_CODE_OK", "message": ""}, "trace_state": ""}


def span_2(*args: Any) -> dict[str, Any]:
    """The same span as MLflow 2 wrote it."""
    made = span(*args)
    return {
        "name": made["name"],
        "context": {"span_id": f"0x{made['span_id']}", "trace_id": f"0x{TRACE}"},
        "parent_id": f"0x{made['parent_span_id']}" if made["parent_span_id"] else None,
        "start_time": made["start_time_unix_nano"],
        "end_time": made["end_time_unix_nano"],
        "status_code": "OK",
        "status_message": "",
        "attributes": made["attributes"],
        "events": [],
    }


def trace(*spans: Any, metadata: dict[str, Any] | None = None, **info: Any) -> dict[str, Any]:
    """A trace of MLflow 3."""
    about = {
        "trace_id": "tr-1",
        "trace_location": {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": "0"}},
        "request_time": "2023-11-14T22:13:20Z",
        "execution_duration": "3.500s",
        "state": "OK",
        "request_preview": '{"question": "Wea…',
        "trace_metadata": {name: json.dumps(value) for name, value in (metadata or {}).items()},
        "tags": {"mlflow.traceName": "weather"},
        **info,
    }
    return {"info": about, "data": {"spans": list(spans)}}


def read(document: Any) -> tuple[list[Run], list[BadLine], Source]:
    content = document if isinstance(document, bytes) else json.dumps(document).encode()
    source = Source.from_bytes(content, "trace.json")
    items = list(mlflow.read(source))
    return [i for i in items if isinstance(i, Run)], [i for i in items if isinstance(i, BadLine)], source


def one(document: Any) -> Run:
    (run,), bad, _ = read(document)
    assert not bad
    return run


def test_a_trace_is_a_run() -> None:
    """Kinds make the types, the agent the lane; messages, calls, tokens and cost come out of texts of JSON."""
    run = one(trace(span(2, 0, TOOL), span(1, 0, MODEL), span(0, None, AGENT), metadata={"mlflow.trace.session": "s"}))

    agent, model, tool = run.steps
    assert [step.event_type for step in run.steps] == ["span", "llm_call", "tool_call"]
    assert [step.agent for step in run.steps] == ["span 0"] * 3
    assert (run.source_id, run.trace_id, run.name, run.status) == ("tr-1", TRACE, "weather", "completed")
    assert (run.execution_time_ms, model.duration_ms) == (3500.0, 1000.0)
    assert (run.model, run.usage, run.cost_usd) == ("m-1", Usage(30, 70, None, 20), 0.25)
    assert (model.extra or {})["input_messages"] == ASKED
    assert (model.extra or {})["input"] == {"messages": ASKED, "model": "m-1"}
    assert (model.text, model.tool_calls) == (
        "Let me look.", [{"name": "look", "call_id": "c1", "arguments": {"at": "sky"}}]
    )  # fmt: skip
    assert tool.tool == {"name": "span 2", "arguments": {"at": "sky"}, "result": "blue"}
    assert (run.input, run.output) == ({"question": "Weather?"}, "It is blue.")
    assert run.metadata["conversation_id"] == "s"
    assert (agent.extra or {})["attributes"] == {"mlflow.spanType": "AGENT"}


def test_three_schemas_of_spans_read_alike() -> None:
    """Ids in hex, in base64 or with 0x, and each schema's times and codes, make the same steps."""
    runs = [one(trace(*(m(0, None, AGENT), m(1, 0, MODEL), m(2, 0, TOOL)))) for m in (span, first_span_3, span_2)]

    found = [
        [(s.source_id, s.parent_span_id, s.trace_id, s.timestamp, s.duration_ms, s.usage, s.tool) for s in run.steps]
        for run in runs
    ]
    assert found[0] == found[1] == found[2]


def test_an_older_trace_has_its_request_and_response() -> None:
    """MLflow 2 has its own names in the info, and request and response as texts beside the spans."""
    info = {
        "request_id": "r1", "experiment_id": "0", "timestamp_ms": 1_700_000_000_000, "execution_time_ms": 3500,
        "status": "OK", "request_metadata": {"mlflow.traceInputs": '{"cut": '}, "tags": {},
    }  # fmt: skip
    data = {"request": '{"question": "Why?"}', "response": '"Because."', "spans": [span_2(0, None, AGENT)]}

    run = one({"info": info, "data": data})
    row = one([{**info, **data, "spans": json.dumps(data["spans"])}])

    for found in (run, row):
        assert (found.source_id, found.input, found.output) == ("r1", {"question": "Why?"}, "Because.")
        assert (found.execution_time_ms, len(found.steps), found.status) == (3500.0, 1, "completed")
        assert found.metadata["trace_metadata"] == {"mlflow.traceInputs": '{"cut": '}


@pytest.mark.parametrize(
    ("counts", "more", "usage"),
    [
        (USAGE, {}, Usage(30, 70, None, 20)),
        ({"input_tokens": 3, "output_tokens": 1, "cache_read_input_tokens": 50}, {}, Usage(3, 50, None, 1)),
        ({**USAGE, "cache_creation_input_tokens": 10}, {}, Usage(20, 70, 10, 20)),
        (USAGE, {"message__format": "anthropic", "spanOutputs": {"usage": {"input_tokens": 100}}},
         Usage(100, 70, None, 20)),
        (USAGE, {"message__format": "anthropic", "spanOutputs": {"usage": {"input_tokens": 30}}},
         Usage(30, 70, None, 20)),
        ({"output_tokens": 4}, {}, Usage(output_tokens=4)),
        ("many", {}, None),
    ],
)  # fmt: skip
def test_cached_tokens_count_once(counts: Any, more: dict, usage: Usage | None) -> None:
    """The input holds the cached tokens; where Anthropic's own count was passed through, it does not."""
    given = attributes("LLM", chat__tokenUsage=counts, **more)

    assert one(trace(span(0, None, given))).usage == usage


def test_totals_of_a_trace_stand_in_for_its_spans() -> None:
    """The trace's own sums are taken where no span has tokens; an outer span's repeat those inside it."""
    totals = {"mlflow.trace.tokenUsage": {"input_tokens": 7, "output_tokens": 3}, "mlflow.trace.cost":
              {"total_cost": 0.5}}  # fmt: skip
    outer = attributes("AGENT", chat__tokenUsage=USAGE, llm__cost={"total_cost": 0.25})

    alone = one(trace(span(0), metadata=totals))
    (nested,), _, source = read(trace(span(0, None, outer), span(1, 0, MODEL), metadata=totals))

    assert (alone.usage, alone.cost_usd) == (Usage(input_tokens=7, output_tokens=3), 0.5)
    assert (nested.usage, nested.cost_usd) == (Usage(30, 70, None, 20), 0.25)
    assert any("own total differs" in note.why for note in source.notes)


@pytest.mark.parametrize(
    ("state", "codes", "status"),
    [
        ("OK", ["OK", "ERROR"], "completed"),
        ("ERROR", ["ERROR", "OK"], "failed"),
        ("IN_PROGRESS", ["UNSET", "UNSET"], "running"),
        ("STATE_UNSPECIFIED", ["UNSET", "ERROR"], "failed"),
    ],
)
def test_the_state_of_a_trace_is_the_status(state: str, codes: list[str], status: str) -> None:
    """The trace's own state decides; its error is that of the span that failed."""
    raised = {"name": "exception", "time_unix_nano": T0, "attributes": {"exception.type": "KeyError"}}
    spans = [
        span(n, 0 if n else None, status={"code": code, "message": "lost"}, events=[raised] if code == "ERROR" else [])
        for n, code in enumerate(codes)
    ]

    run = one(trace(*spans, state=state))

    assert run.status == status
    assert (run.error, run.error_type) == (("lost", "KeyError") if status == "failed" else (None, None))
    assert [step.severity == "error" for step in run.steps] == [code == "ERROR" for code in codes]


def test_assessments_are_kept() -> None:
    """Feedback and expectations stay under their names; none is the run's score, and the report says so."""
    assessments = [{"assessment_name": "correct", "feedback": {"value": True}, "source": {"source_type": "LLM_JUDGE"}}]
    (run,), _, source = read(trace(span(0), assessments=assessments))

    assert (run.score, run.metadata["assessments"]) == (None, assessments)
    assert any(note.what == "assessments" for note in source.notes)


def test_every_shape_of_a_file_gives_the_same_run() -> None:
    """One document, printed or not, a list, a page, JSON lines."""
    whole = trace(span(0, None, AGENT), span(1, 0, MODEL))
    shapes = [whole, [whole], {"traces": [whole], "next_page_token": ""}]
    contents = [json.dumps(shape, indent=indent).encode() for shape in shapes for indent in (None, 2)]
    contents.append(json.dumps(whole).encode() + b"\n" + json.dumps(whole).encode() + b"\n")

    for content in contents:
        runs, bad, source = read(content)
        assert mlflow.detect(source.head) > 0.5, content[:80]
        assert not bad
        assert {(run.source_id, len(run.steps), run.cost_usd) for run in runs} == {("tr-1", 2, 0.25)}


def test_parts_that_are_none_are_reported() -> None:
    """Spans that are none and traces without info are reported; the rest is read."""
    runs, bad, _ = read([trace(span(0), 7), {"other": 1}, 5, trace("no list")])
    (broken,), more, _ = read({"info": {"trace_id": "x"}, "data": {"spans": 5}})

    assert [len(run.steps) for run in runs] == [1, 0]
    assert [b.reason for b in bad] == [
        "span 1: expected an object, found a number",
        "expected a trace with info and data, found an object",
        "expected a trace with info and data, found a number",
        "span 0: expected an object, found a string",
    ]
    assert (broken.source_id, [b.reason for b in more]) == ("x", ["expected a list of spans, found a number"])


def test_a_trace_twice_adds_nothing_and_a_grown_one_what_is_new(store: Store, tmp_path: Path) -> None:
    """Ids are the source's own, in whichever schema the trace is written again."""
    path = tmp_path / "trace.json"
    path.write_text(json.dumps(trace(first_span_3(0, None, AGENT), state="IN_PROGRESS")))
    ingest(store, path, progress=False)
    (again,) = ingest(store, path, progress=False).files
    path.write_text(json.dumps(trace(span(0, None, AGENT), span(1, 0, MODEL))))

    (grown,) = ingest(store, path, progress=False).files

    assert (again.format, again.outcome) == ("mlflow", "already there")
    assert (grown.new.executions, grown.new.events) == (0, 1)
    assert [row[6] for row in rows(store)["agent_executions"]] == ["completed"]


def test_any_damage_is_survived() -> None:
    """Hundreds of files with values of wrong types, keys missing, bytes cut or flipped: no other error, runs kept."""
    spans = [span(0, None, AGENT), first_span_3(1, 0, MODEL), span_2(2, 0, TOOL)]
    spans.append(span(3, 0, {"mlflow.spanInputs": {"messages": ASKED}, "mlflow.spanOutputs": SAID}))  # type: ignore[arg-type]
    metadata = {"mlflow.trace.tokenUsage": USAGE}
    data = json.dumps(trace(*spans, metadata=metadata, assessments=[{"assessment_name": "a"}])).encode()

    kept = [survives(mlflow, spoilt, "trace.json")[0] for spoilt in mutations(data, n=600)]

    assert sum(bool(runs) for runs in kept) > 300


def test_no_real_file_of_another_format_is_taken(shared_data: Path) -> None:
    """No file of another format is taken for a trace of MLflow."""
    heads = [(path, Source.of(path).head) for path in sorted(shared_data.rglob("*")) if path.is_file()]

    assert [str(path) for path, head in heads if mlflow.detect(head) > 0] == []
