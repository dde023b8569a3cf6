"""Langfuse exports as runs."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from histories import rows
from mutations import mutations, survives

from workbench.data.ingest import ingest
from workbench.data.ingest.formats import langfuse
from workbench.data.ingest.normal import BadLine, Run, Usage
from workbench.data.ingest.reading.conversation import conversation, decoded
from workbench.data.ingest.reading.source import Source
from workbench.data.store.engine import Store
from workbench.errors import IngestError

# file → steps, tools, model calls, input, output, cost, lanes. Steps: the table of files in the design's formats.md;
# the rest was counted from the files: tokens and cost of the observations that are around no other that has them.
FILES: dict[str, tuple[int, int, int, int, int | None, float]] = {
    "langgraph-python-2025-08-22.trace.json": (9, 1, 2, 168, 66, 0.000234),
    "claude-agent-2025-12-22.trace.json": (7, 2, 4, 34, 232, 0.003582),
    "openai-agents-2025-09-30.trace.json": (5, 1, 2, 140, 44, 0.000632),
    "beeai-2025-08-01.trace.json.gz": (29, 0, 5, 5542, None, 0.0008313),
    "vercel-aisdk-2025-11-17.trace.json": (3, 1, 2, 62, 85, 0.000927499999),
    "google-adk-2025-08-28.trace.json": (5, 1, 2, 67, 9, 0.0000103),
}


def observation(n: int, parent: int | None = None, **fields: Any) -> dict[str, Any]:
    """One observation, a second long, as the export writes it."""
    return {
        "id": f"o{n}",
        "traceId": "t1",
        "parentObservationId": None if parent is None else f"o{parent}",
        "type": "SPAN",
        "name": f"step {n}",
        "level": "DEFAULT",
        "statusMessage": None,
        "startTime": f"2025-05-01T12:00:{n:02d}.000Z",
        "endTime": f"2025-05-01T12:00:{n + 1:02d}.000Z",
        "input": None,
        "output": None,
        "metadata": "{}",
        **fields,
    }


def generation(n: int, parent: int | None = None, **fields: Any) -> dict[str, Any]:
    """A model call of 10 tokens in and 5 out for 0.25 USD."""
    details = {"usageDetails": {"input": 10, "output": 5, "total": 15}, "costDetails": {"input": 0.2, "output": 0.05}}
    return observation(n, parent, **{"type": "GENERATION", "model": "m-1", **details, **fields})


def trace(*observations: Any, **fields: Any) -> dict[str, Any]:
    about = {"id": "t1", "name": "shop", "timestamp": "2025-05-01T12:00:00.000Z", "sessionId": "s1", "scores": []}
    return {"trace": {**about, **fields}, "observations": list(observations)}


def read(document: Any, name: str = "x.trace.json") -> tuple[list[Run], list[BadLine], Source]:
    content = document if isinstance(document, bytes) else json.dumps(document).encode()
    source = Source.from_bytes(content, name)
    items = list(langfuse.read(source))
    runs, bad = [i for i in items if isinstance(i, Run)], [i for i in items if isinstance(i, BadLine)]
    return runs, bad, source


def one(document: Any) -> Run:
    (run,), bad, _ = read(document)
    assert not bad
    return run


def load(path: Path) -> Any:
    return json.loads(gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes())


# -- the files of formats.md -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FILES)
def test_counts_of_real_files(shared_data: Path, name: str) -> None:
    """Every real export gives its observations, tokens and cost."""
    n_steps, n_tools, n_calls, n_in, n_out, cost = FILES[name]
    path = shared_data / "langfuse" / name
    source = Source.of(path)

    assert langfuse.detect(source.head) >= 0.9
    (run,) = [item for item in langfuse.read(source) if isinstance(item, Run)]

    kinds = [step.event_type for step in run.steps]
    assert (len(kinds), kinds.count("tool_call"), kinds.count("llm_call")) == (n_steps, n_tools, n_calls)
    assert run.usage is not None
    assert (run.usage.input_tokens, run.usage.output_tokens) == (n_in, n_out)
    assert run.cost_usd == pytest.approx(cost, abs=1e-12)
    assert {step.source_id for step in run.steps} == {o["id"] for o in load(path)["observations"]}
    assert (run.status, run.score) == ("completed", None)
    assert len(run.metadata["scores"]) == len(load(path)["trace"]["scores"])


@pytest.mark.parametrize("name", FILES)
def test_a_real_file_twice_adds_nothing(store: Store, shared_data: Path, name: str) -> None:
    """What is stored is what the reader read; a second ingest writes nothing."""
    path = shared_data / "langfuse" / name

    (first,) = ingest(store, path, progress=False).files
    before = rows(store)
    (second,) = ingest(store, path, progress=False).files

    assert (first.format, first.outcome, first.executions, first.events) == ("langfuse", "new", 1, FILES[name][0])
    assert first.n_bad == 0
    assert second.outcome == "already there"
    assert rows(store) == before


@pytest.mark.parametrize("name", FILES)
def test_conversations_are_those_langfuse_itself_reads(shared_data: Path, name: str) -> None:
    """Messages of model calls are the normalised chat that upstream's own tests expect, beside each file.

    Left out: where upstream keeps what is no message (tool definitions, which it moves onto each message; a Gemini
    tool's answer, which it calls a user's).
    """
    folder = shared_data / "langfuse"
    truth = json.loads((folder / f"{name.partition('.trace')[0]}.chatml.json").read_bytes())
    n_compared = 0
    for item in load(folder / name)["observations"]:
        for side, role in (("input", "user"), ("output", "assistant")):
            expected = truth.get(item["id"], {}).get(side, {})
            if item["type"] != "GENERATION" or not expected.get("success"):
                continue
            found = [canonical(m) for m in conversation(decoded(item[side]), role) or []]
            wanted = [canonical(m) for m in expected["data"]]
            if name.startswith("google-adk") and len(wanted) == 4:
                found, wanted = found[:3], wanted[:3]
            assert found == wanted
            n_compared += 1
    assert n_compared >= 3


def canonical(message: dict[str, Any]) -> tuple[str | None, Any, list[Any]]:
    """Role, text and calls of a message, of ours or of upstream's."""
    content = message.get("content")
    if content is None and "json" in message:
        content = message["json"].get("content", message["json"].get("text"))
    calls = [(c.get("id") or None, c["name"], decoded(c["arguments"])) for c in message.get("tool_calls", [])]
    if isinstance(content, list):
        calls += [(part["id"], part["name"], part["input"]) for part in content if part["type"] == "tool_use"]
        content = "\n".join(part["text"] for part in content if part["type"] == "text")
    role = message.get("role")
    return "assistant" if role == "model" else role, content or None, calls


# -- the tree ----------------------------------------------------------------------------------------------------------


def test_observations_in_any_order_are_one_ordered_run() -> None:
    """By start, outer before inner, then by id, however the export lists them."""
    start = "2025-05-01T12:00:00.000Z"
    items = [observation(3, 2, startTime=start), observation(9), observation(2, 0, startTime=start), observation(0)]

    run = one(trace(*items))
    again = one(trace(*reversed(items)))

    assert [step.source_id for step in run.steps] == ["o0", "o2", "o3", "o9"]
    assert [step.source_id for step in again.steps] == ["o0", "o2", "o3", "o9"]
    assert run.steps[2].parent_span_id == "o2"
    assert (run.agent_type, run.metadata["conversation_id"]) == ("shop", "s1")


def test_tokens_of_an_outer_observation_count_once() -> None:
    """An observation around others that have tokens repeats their sum; its own numbers stay in extra, noted."""
    (run,), _, source = read(trace(generation(0), generation(1, 0), generation(2, 0)))

    assert run.usage == Usage(input_tokens=20, output_tokens=10)
    assert run.cost_usd == 0.5
    assert (run.steps[0].usage, run.steps[0].cost_usd) == (None, None)
    assert (run.steps[0].extra or {})["usageDetails"] == {"input": 10, "output": 5, "total": 15}
    assert {note.what for note in source.notes if note.kind == "changed"} == {"tokens", "cost"}


def test_lanes_follow_the_nearest_agent() -> None:
    """What happens inside an agent lies in its lane."""
    run = one(trace(observation(0), observation(1, 0, type="AGENT", name="planner"), generation(2, 1)))

    assert [step.agent for step in run.steps] == [None, "planner", "planner"]


# -- tokens and cost ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("details", "usage"),
    [
        ({"input": 10, "output": 5, "total": 15}, Usage(10, None, None, 5)),
        ({"input": 10, "input_cached_tokens": 90, "output": 5, "total": 105}, Usage(10, 90, None, 5)),
        ({"input": 100, "input_cached_tokens": 90, "output": 5, "total": 105}, Usage(10, 90, None, 5)),
        ({"input": 100, "prompt_details.cache_read": 90, "output": 5}, Usage(10, 90, None, 5)),
        ({"input": 7, "cache_read_input_tokens": 2, "cache_creation_input_tokens": 3}, Usage(7, 2, 3, None)),
        ({"input": 7, "input_audio": 3, "output": 4, "output_reasoning": 6, "total": 20}, Usage(10, None, None, 10, 6)),
        ({"input": 7, "output": 10, "completion_details.reasoning": 6}, Usage(7, None, None, 10, 6)),
        ({"input": 0, "output": 0, "total": 0}, Usage(0, None, None, 0)),
        ({"input": "many", "total": 3}, None),
        ({}, None),
    ],
)
def test_classes_of_tokens_are_disjoint(details: dict, usage: Usage | None) -> None:
    """Cached input is taken out of the input where the total says that it lies inside, and added to nothing."""
    assert one(trace(generation(0, usageDetails=details))).usage == usage


def test_zero_fields_of_old_exports_are_no_counts() -> None:
    """``totalUsage: 0`` beside no details means that nothing was counted; counts of another unit are no tokens."""
    zeros = {"inputUsage": 0, "outputUsage": 0, "totalUsage": 0, "usageDetails": {}, "costDetails": {}, "totalCost": 0}
    run = one(trace(observation(0, **zeros)))
    old = one(trace(observation(0, usage={"input": 3, "output": 4, "unit": "TOKENS"}, type="GENERATION")))
    letters = one(trace(observation(0, usage={"input": 3, "output": 4, "unit": "CHARACTERS"}, type="GENERATION")))

    assert (run.usage, run.cost_usd) == (None, None)
    assert old.usage == Usage(input_tokens=3, output_tokens=4)
    assert letters.usage is None


@pytest.mark.parametrize("costs", [{}, {"total": 0}, {"input": 0.0, "output": 0.0}])
def test_a_call_without_a_price_is_unpriced(costs: dict) -> None:
    """A call that used tokens for nothing had no known price: the run's cost is null, and it is noted."""
    (run,), _, source = read(trace(generation(0), generation(1, costDetails=costs)))

    assert run.cost_usd is None
    assert [step.cost_usd for step in run.steps] == [0.25, None]
    assert any("not taken for the run" in note.why for note in source.notes)


# -- what happened -----------------------------------------------------------------------------------------------------


def test_texts_calls_and_tools() -> None:
    """What the model was given and answered, and a tool with its arguments as an object, from texts of JSON."""
    asked = [{"role": "user", "content": "Weather?"}]
    said = {"role": "assistant", "content": None, "tool_calls": [
        {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{\"at\": \"sky\"}"}}]}  # fmt: skip
    attributes = {"attributes": {"gen_ai.tool.name": "look", "gen_ai.tool.call.id": "c1"}}
    run = one(
        trace(
            generation(0, input=json.dumps(asked), output=json.dumps(said)),
            observation(
                1, type="TOOL", name="execute_tool look", input="{\"at\": \"sky\"}", output="blue",
                metadata=json.dumps(attributes),
            ),
            generation(2, input=json.dumps(json.dumps(asked)), output="It is blue."),
        )
    )  # fmt: skip

    first, tool, last = run.steps
    assert (first.extra or {})["input_messages"] == asked
    assert first.tool_calls == [{"name": "look", "call_id": "c1", "arguments": {"at": "sky"}}]
    assert (first.extra or {})["output"] == said
    assert tool.tool == {"name": "look", "call_id": "c1", "arguments": {"at": "sky"}, "result": "blue"}
    assert (last.text, (last.extra or {})["input_messages"]) == ("It is blue.", asked)
    assert run.output == {"text": "It is blue."}
    assert run.input == asked


def test_a_span_that_answers_as_a_tool_is_one() -> None:
    """Before observations had a type for tools, what a tool of LangChain answered told it; the report says so."""
    answer = {"type": "tool", "name": "look", "tool_call_id": "c1", "content": "blue", "status": "success"}
    (run,), _, source = read(trace(observation(0, input={"at": "sky"}, output=json.dumps(answer))))

    (step,) = run.steps
    assert step.tool == {"name": "look", "call_id": "c1", "arguments": {"at": "sky"}, "result": answer}
    assert [note.what for note in source.notes] == ["tool calls"]
    (failed,) = one(trace(observation(0, output={**answer, "status": "error"}))).steps
    assert (failed.severity, failed.error) == ("error", {"type": "ToolError", "message": "blue"})


def test_fields_of_a_wrong_type_are_kept_as_they_were() -> None:
    """A name that is no text, or a level nobody knows, has no place in a step: it stays in extra."""
    (step,) = one(trace(observation(0, name=7, level="FATAL", model=["m"]))).steps

    extra = step.extra or {}
    assert (extra["name"], extra["level"], extra["model"]) == (7, "FATAL", ["m"])
    assert (step.name, step.severity, step.model) == (None, "info", None)


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ([{}, {"level": "ERROR"}, {}], "completed"),  # retried
        ([{}, {}, {"level": "ERROR", "statusMessage": "out of paper"}], "failed"),  # the last thing failed
        ([{"level": "ERROR", "statusMessage": "out of paper"}, {}, {}], "failed"),
        ([{"endTime": None}, {}, {}], "running"),
        ([{}, {"endTime": None, "type": "EVENT"}, {"level": "WARNING"}], "completed"),
    ],
)
def test_what_makes_a_run_fail(fields: list[dict], status: str) -> None:
    """The outermost observation decides, or how the last thing inside it ended; one that has not ended is running."""
    root, *inside = fields
    items = [observation(0, **{"endTime": "2025-05-01T12:01:00Z", **root})]
    items += [observation(n, 0, **more) for n, more in enumerate(inside, start=1)]

    run = one(trace(*items))

    assert run.status == status
    assert run.error == ("out of paper" if status == "failed" else None)


def test_scores_are_kept_under_their_names() -> None:
    """Nobody but a score's name says whether high is good, so it judges no run; the report says where they are."""
    scores = [{"id": "x", "name": "toxicity", "value": 0, "comment": "kind"}]
    (run,), _, source = read(trace(observation(0), scores=scores))

    assert (run.score, run.status, run.metadata["scores"]) == (None, "completed", scores)
    assert any(note.what == "scores" for note in source.notes)


# -- shapes of files ---------------------------------------------------------------------------------------------------


def test_every_shape_of_an_export_gives_the_same_run() -> None:
    """The export, the API's answer, a page of it, JSON lines, and observations alone, in either spelling of names."""
    items = [observation(0), generation(1, 0)]
    whole = trace(*items)
    api = {**whole["trace"], "observations": items, "htmlPath": "/trace/t1"}
    snake = [
        {"".join(f"_{c.lower()}" if c.isupper() else c for c in key): value for key, value in item.items()}
        for item in items
    ]
    shapes = [whole, api, {"data": [api], "meta": {"page": 1}}, [whole], items, {"data": items}]
    contents = [json.dumps(shape).encode() for shape in shapes]
    contents += [b"\n".join(json.dumps(row).encode() for row in rows) for rows in (items, snake, [api])]
    contents += [json.dumps(shape, indent=2).encode() for shape in shapes]

    for content in contents:
        (run,), bad, source = read(content)
        assert langfuse.detect(source.head) > 0.5, content[:80]
        assert not bad
        assert [step.source_id for step in run.steps] == ["o0", "o1"]
        assert (run.source_id, run.usage, run.cost_usd) == ("t1", Usage(10, None, None, 5), 0.25)


def test_parts_that_are_none_are_reported() -> None:
    """What is no observation and what is no trace is reported, with its line where it has one; the rest is read."""
    _, bad, _ = read(trace(observation(0), 42, None))
    lines = [json.dumps(observation(0)).encode(), b"17", b'{"level": "ERROR"}', json.dumps(observation(1)).encode()]
    (run,), bad_lines, _ = read(b"\n".join(lines), "x.jsonl")

    assert [b.reason.partition(":")[0] for b in bad] == ["observation 1", "observation 2"]
    assert [b.line for b in bad_lines] == [2, 3]
    assert len(run.steps) == 2


def test_a_line_that_is_no_text_keeps_its_bytes() -> None:
    """Bytes that are not UTF-8 are replaced and noted; the line's own are kept with its observation."""
    lines = [json.dumps(observation(n)).encode().replace(b"step 1", b"step \xff") for n in range(2)]
    (loose,), _, source = read(b"\n".join(lines), "x.jsonl")
    (whole,), _, _ = read(json.dumps(trace(observation(1))).encode().replace(b"step 1", b"step \xff"), "x.jsonl")

    assert [step.raw for step in loose.steps] == [None, lines[1]]
    assert [step.name for step in loose.steps] == ["step 0", "step \ufffd"]
    assert "JSON" in {note.what for note in source.notes}
    assert b"\xff" in (whole.steps[0].raw or b"")


def test_a_document_cut_off_is_one_error() -> None:
    """A document that breaks off says where."""
    content = json.dumps(trace(observation(0)), indent=1).encode()[:-30]

    with pytest.raises(IngestError, match=r"x\.trace\.json cannot be read: cut off"):
        read(content)


def test_a_grown_trace_adds_only_what_is_new(store: Store, tmp_path: Path) -> None:
    """A trace exported again later has the same ids: its new observations are added, the ended one is updated."""
    path = tmp_path / "t.trace.json"
    path.write_text(json.dumps(trace(observation(0, endTime=None), generation(1, 0))))
    ingest(store, path, progress=False)
    path.write_text(json.dumps(trace(observation(0), generation(2, 0), generation(1, 0))))

    (report,) = ingest(store, path, progress=False).files

    assert (report.new.executions, report.new.events, report.updated > 0) == (0, 1, True)
    assert [row[6] for row in rows(store)["agent_executions"]] == ["completed"]


def spoilt() -> dict[str, Any]:
    """A small export with something of everything, to be spoilt."""
    said = {"role": "assistant", "content": [{"type": "tool_use", "id": "c", "name": "f", "input": {"a": 1}}]}
    return trace(
        observation(0, type="AGENT"),
        generation(1, 0, input=[{"role": "user", "content": [{"type": "text", "text": "hi"}]}], output=said),
        observation(2, 0, type="TOOL", input='{"a": 1}', output="b", level="ERROR"),
        scores=[{"name": "a", "value": 1}],
    )


def test_any_damage_is_survived() -> None:
    """Hundreds of files with values of wrong types, keys missing, bytes cut or flipped: no other error, runs kept."""
    kept = [survives(langfuse, data, "x.trace.json")[0] for data in mutations(json.dumps(spoilt()).encode(), n=500)]

    assert sum(bool(runs) for runs in kept) > 250
    assert sum(len(run.steps) == 3 for runs in kept for run in runs) > 200


@pytest.mark.parametrize("name", FILES)
def test_any_damage_to_a_real_file_is_survived(shared_data: Path, name: str) -> None:
    """The same with the real exports."""
    data = json.dumps(load(shared_data / "langfuse" / name)).encode()

    kept = [survives(langfuse, spoilt, "x.trace.json")[0] for spoilt in mutations(data, n=60)]

    assert sum(bool(runs) for runs in kept) > 20


def test_every_other_real_file_is_left_alone(shared_data: Path) -> None:
    """No file of another format is taken for an export of Langfuse."""
    taken = [
        str(path.relative_to(shared_data))
        for path in sorted(shared_data.rglob("*"))
        if path.is_file() and langfuse.detect(Source.of(path).head) > 0
    ]

    assert taken == sorted(f"langfuse/{name}" for name in FILES)
