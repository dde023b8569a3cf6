"""Gemini CLI sessions as runs: one message is one step, with its calls and what they answered."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from mutations import mutations, survives

from workbench.data.ingest import ingest
from workbench.data.ingest.formats import gemini_cli
from workbench.data.ingest.normal import BadLine, Run, Step, Usage
from workbench.data.ingest.reading.source import Source
from workbench.data.ingest.writing.derive import derived_states
from workbench.data.store.engine import Store
from workbench.errors import IngestError

START = datetime(2026, 1, 2, 10, 0, tzinfo=UTC)
SESSION = "453aa339-7d2b-4709-a41a-b0b73beaff85"
REAL = "gemini-cli/session-2025-10-29T10-36-453aa339.json"


def at(seconds: float) -> str:
    return (START + timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")


def tokens(given: int = 100, cached: int = 40, out: int = 5, thoughts: int = 20, **fields: Any) -> dict[str, Any]:
    counts = {"input": given, "output": out, "cached": cached, "thoughts": thoughts, "tool": 0}
    return counts | {"total": given + out + thoughts} | fields


def call(n: int, status: str = "success", **response: Any) -> dict[str, Any]:
    result = [{"functionResponse": {"id": f"c{n}", "name": "read_file", "response": response or {"output": "x"}}}]
    return {
        "id": f"c{n}", "name": "read_file", "args": {"path": f"{n}"}, "result": result, "status": status,
        "timestamp": at(n + 0.5), "displayName": "ReadFile",
    }  # fmt: skip


def said(n: int, kind: str = "gemini", content: Any = "", **fields: Any) -> dict[str, Any]:
    more = {"tokens": tokens(), "model": "gemini-a"} if kind == "gemini" else {}
    return {"id": f"m{n}", "timestamp": at(n), "type": kind, "content": content} | more | fields


def messages() -> list[dict[str, Any]]:
    """A prompt, a good and a failed call, a thought, an answer."""
    thought = {"subject": "Plan", "description": "Look first.", "timestamp": at(2.5)}
    return [
        said(0, "user", "Fix the login"),
        said(1, content="I look.", toolCalls=[call(1)], thoughts=[thought]),
        said(2, toolCalls=[call(2), call(3, "error", error="no such file")]),
        said(3, thoughts=[thought]),
        said(4, content="There is no b."),
    ]


def document(*found: dict[str, Any], **fields: Any) -> dict[str, Any]:
    head = {"sessionId": SESSION, "projectHash": "abc", "startTime": at(0), "lastUpdated": at(5)}
    return head | {"messages": list(found)} | fields


def lines(*records: Any) -> bytes:
    head = {"sessionId": SESSION, "projectHash": "abc", "startTime": at(0), "lastUpdated": at(5), "kind": "main"}
    return b"".join(json.dumps(record).encode() + b"\n" for record in (head, *records))


def read(content: Any, name: str = "session.json") -> tuple[Run, Source]:
    """The one run of a file without bad parts, and its notes."""
    source = Source.from_bytes(content if isinstance(content, bytes) else json.dumps(content).encode(), name)
    [run] = gemini_cli.read(source)
    assert isinstance(run, Run)
    return run, source


def one(content: Any) -> Run:
    return read(content)[0]


def extra(step: Step) -> Any:
    return step.extra or {}


def test_every_message_is_one_step() -> None:
    """Messages become steps with the ids they have, under the prompt they answer."""
    run = one(document(*messages()))

    assert [step.event_type for step in run.steps] == ["message", "tool_call", "tool_call", "reasoning", "message"]
    assert [step.source_id for step in run.steps] == [f"m{n}" for n in range(5)]
    assert [step.parent_span_id for step in run.steps] == [None, *["m0"] * 4]
    assert run.steps[3].text == "Plan: Look first."
    assert extra(run.steps[1])["thoughts"][0]["subject"] == "Plan"
    assert run.states == []


def test_what_the_session_is() -> None:
    """Name, model, times, prompt, answer, tokens; no cost."""
    run = one(document(*messages()))

    assert (run.source_id, run.agent_type, run.name) == (SESSION, "gemini-cli", "Fix the login")
    assert (run.model, run.status, run.cost_usd) == ("gemini-a", "completed", None)
    assert (run.started_at, run.completed_at) == (START, START + timedelta(seconds=5))
    assert (run.input, run.output) == ({"prompt": "Fix the login"}, {"text": "There is no b."})
    assert (run.metadata["projectHash"], run.metadata["n_prompts"], run.metadata["n_tool_calls"]) == ("abc", 1, 3)


def test_calls_hold_their_results() -> None:
    """Arguments and results as they are, what is left of a call kept; a call lasts until its result."""
    run = one(document(*messages()))

    good, bad = run.steps[1:3]
    assert good.tool == {
        "name": "read_file", "call_id": "c1", "arguments": {"path": "1"}, "result": call(1)["result"],
        "is_error": False,
    }  # fmt: skip
    assert (good.text, good.duration_ms, good.severity) == ("I look.", 500.0, "info")
    assert extra(good)["toolCalls"] == [
        {"id": "c1", "status": "success", "timestamp": at(1.5), "displayName": "ReadFile"}
    ]  # fmt: skip
    assert [item["is_error"] for item in bad.tool_calls or ()] == [True]
    assert (bad.severity, bad.error) == ("error", {"type": "ToolError", "message": "no such file"})


def test_the_derived_state_holds_the_results() -> None:
    """What tools answered is in the state, by the id of the call."""
    states = list(derived_states(one(document(*messages())).steps))

    paths = [change["path"] for state in states for change in state.patch or []]
    assert [path for path in paths if path.startswith("/tool_results/")] == [f"/tool_results/c{n}" for n in (1, 2, 3)]


def test_tokens_are_disjoint() -> None:
    """Input contains the cached; thoughts are output beside the output; prompts of tools are input."""
    run, source = read(document(*messages()))
    tool = one(document(said(0, tokens=tokens(tool=7, total=132)))).usage

    assert run.usage == Usage(input_tokens=240, cache_read_tokens=160, output_tokens=100, reasoning_tokens=80)
    assert tool == Usage(input_tokens=67, cache_read_tokens=40, output_tokens=25, reasoning_tokens=20)
    assert source.notes == {}


@pytest.mark.parametrize(
    ("counts", "usage", "is_noted"),
    [
        (None, None, False),
        ({}, None, False),
        ({"input": 3, "output": 2}, Usage(input_tokens=3, output_tokens=2), False),
        ({"input": 3, "cached": 9}, Usage(input_tokens=0, cache_read_tokens=9), True),
        ({"input": 3, "output": 2, "total": 99}, Usage(input_tokens=3, output_tokens=2), True),
        ({"input": "many"}, None, False),
    ],
)
def test_tokens_that_are_absent_or_odd(counts: Any, usage: Usage | None, is_noted: bool) -> None:
    """Absent is unknown; what does not add up is noted and kept as it was."""
    run, source = read(document(said(0, tokens=counts)))

    assert run.usage == usage
    assert (bool(source.notes), (extra(run.steps[0]).get("tokens") == counts)) == (
        is_noted, is_noted or not usage
    )  # fmt: skip


@pytest.mark.parametrize(
    ("last", "status", "error_type"),
    [
        (said(5, "error", "Quota exceeded"), "failed", "error"),
        (said(5, "info", "Request cancelled."), "cancelled", "interrupted"),
        (said(5, toolCalls=[call(5, "cancelled")]), "cancelled", "interrupted"),
        (said(5, toolCalls=[call(5, "error")]), "completed", None),
        (said(5, "warning", "Slow"), "completed", None),
    ],
)
def test_how_it_ended(last: dict, status: str, error_type: str | None) -> None:
    """The last message decides; one that was got over does not."""
    ended, went_on = one(document(*messages(), last)), one(document(*messages(), last, said(6, "user", "Go on")))

    assert (ended.status, ended.error_type, went_on.status) == (status, error_type, "completed")


def test_lines_tell_the_same_as_the_document() -> None:
    """A session of JSON lines gives the steps of the document."""
    whole, parts = one(document(*messages())), one(lines(*messages()))

    assert whole.steps == parts.steps
    assert (whole.source_id, whole.usage, whole.started_at) == (parts.source_id, parts.usage, parts.started_at)


def test_lines_are_replayed() -> None:
    """A message written again is one step in its last form; what was taken back is kept and marked."""
    grown = said(1, content="I look.", toolCalls=[call(1)])
    run, source = read(
        lines(
            said(0, "user", "Fix the login"),
            said(1, content="I lo", tokens=None),
            grown,
            grown,
            said(2, "user", "Wrong turn"),
            said(3, content="Turned."),
            {"$rewindTo": "m2"},
            {"$set": {"summary": "A login", "lastUpdated": at(9), "messages": [grown, said(4, "info", "compressed")]}},
            said(2, "user", "Right turn"),
            {"$rewindTo": "gone"},
        )
    )

    assert [(step.source_id, step.text, step.agent) for step in run.steps] == [
        ("m0", "Fix the login", "user"),
        ("m1", "I look.", None),
        ("m2", "Wrong turn", "rewound"),
        ("m3", "Turned.", "rewound"),
        ("m4", "compressed", None),
        ("m2#2", "Right turn", "user"),
    ]
    assert (run.name, run.completed_at, run.output) == ("A login", START + timedelta(seconds=9), {"text": "I look."})
    assert run.metadata["n_off_branch"] == 2
    assert run.usage == Usage(120, 80, None, 50, 40)
    assert sorted((note.kind, note.what, n) for note, n in source.notes.items()) == [
        ("changed", "id", 1), ("changed", "message", 1), ("kept", "message", 2)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "parent"),
    [(f"p/chats/{SESSION}/a.jsonl", SESSION), ("chats/a.jsonl", None), (f"{SESSION}/a.jsonl", None), ("a.jsonl", None)],
)
def test_the_folder_of_a_sub_agent_is_its_parent(name: str, parent: str | None) -> None:
    """A sub-agent that has not ended is in no call yet: the folder tells, if it is one of Gemini CLI's own."""
    run, _ = read(document(*messages(), sessionId="agent-1", kind="subagent"), name)
    main, _ = read(document(*messages()), name)

    assert (run.source_id, run.agent_type, run.parent_source_id) == ("agent-1", "gemini-cli/sub-agent", parent)
    assert main.parent_source_id is None


def test_nothing_of_a_message_is_dropped() -> None:
    """Types of a later release, parts that are no text and fields without a place are kept."""
    part = {"inlineData": {"data": "…"}}
    run, source = read(
        document(
            said(0, "user", [{"text": "a"}, part], displayContent="a"),
            said(1, "brand_new", "b", x=1),
            said(2, "user", [{"text": "only"}], timestamp="[trimmed]"),
            said(3, toolCalls=["odd", {"name": None, "args": "text"}]),
            said(3, "user", "again"),
            {"content": 5},
        )
    )

    assert extra(run.steps[0]) == {"content": [{"text": "a"}, part], "displayContent": "a"}
    assert (run.steps[1].event_type, extra(run.steps[1])) == ("log", {"x": 1})
    assert (run.steps[2].text, extra(run.steps[2])) == ("only", {"timestamp": "[trimmed]"})
    assert extra(run.steps[3])["toolCalls"] == ["odd"]
    assert run.steps[4].source_id == "m3#2"
    assert extra(run.steps[5]) == {"content": 5}
    assert sorted(note.what for note in source.notes) == ["id", "time"]


def test_bad_parts_are_reported() -> None:
    """Messages and lines that are no objects are reported and the rest is read; a cut document is an error."""
    bad, run = gemini_cli.read(Source.from_bytes(json.dumps(document(said(0), 7)).encode()))  # type: ignore[arg-type]
    *worse, rest = gemini_cli.read(Source.from_bytes(lines(7, said(0), {"$set": {"messages": [None]}}) + b'{"id": "'))

    assert bad == BadLine(None, "message 1: expected a JSON object, found a number")
    assert [item.line for item in worse if isinstance(item, BadLine)] == [2, 4, 5]
    assert [len(found.steps) for found in (run, rest) if isinstance(found, Run)] == [1, 1]
    assert list(gemini_cli.read(Source.from_bytes(b'{"messages": 5}'))) == [
        BadLine(None, "expected an object with a list messages")
    ]  # fmt: skip
    with pytest.raises(IngestError, match="cut off"):
        list(gemini_cli.read(Source.from_bytes(json.dumps(document(*messages()), indent=1).encode()[:-50])))


def test_ids_without_a_session_id() -> None:
    """A session without id is known by its first message, however much follows; the report says so."""
    anonymous = {key: value for key, value in document(*messages()).items() if key != "sessionId"}
    run, source = read(anonymous)

    assert run.source_id == one(anonymous | {"messages": messages()[:2]}).source_id
    assert [note.what for note in source.notes] == ["session id"]


@pytest.mark.parametrize(
    ("content", "is_ours"),
    [
        (json.dumps(document()).encode(), True),
        (json.dumps(document(*messages() * 300), indent=2).encode(), True),
        (json.dumps(document(*messages() * 300)).encode(), True),
        (lines(*messages()), True),
        (lines(*messages()).split(b"\n", 1)[1], True),
        (b'{"sessionId": "x", "messages": []}', False),
        (b'{"type": "user", "sessionId": "x", "uuid": "y", "message": {}}', False),
        (b'{"type": {}, "id": "x", "timestamp": "y", "content": ""}', False),
    ],
)
def test_detection(content: bytes, is_ours: bool) -> None:
    """A session is told by its fields, as a document or as lines, whole or cut by the head."""
    assert (gemini_cli.detect(Source.from_bytes(content, "x.txt").head) >= 0.5) == is_ours


@pytest.mark.parametrize("is_lines", [True, False], ids=["lines", "document"])
def test_spoilt_files_are_survived(is_lines: bool) -> None:
    """Whatever is flipped, cut, deleted or replaced in a session, nothing is raised and most of it is read."""
    found = [*messages(), said(5, "error", "x"), said(6, "user", [{"text": "a"}])]
    tail = [{"$rewindTo": "m4"}, {"$set": {"messages": [said(9)]}}]
    content = lines(*found, *tail) if is_lines else json.dumps(document(*found)).encode()
    results = [survives(gemini_cli, data, "session.json") for data in mutations(content, n=500)]

    assert sum(bool(runs) for runs, _ in results) > (450 if is_lines else 250)
    assert max(len(run.steps) for runs, _ in results for run in runs) >= 7


# The real file -----------------------------------------------------------------------------------------------------


def test_the_real_session(shared_data: Path) -> None:
    """Messages, calls and tokens are those of the design's formats.md and of the file."""
    content = (shared_data / REAL).read_bytes()
    run, source = read(content, REAL)

    found = json.loads(content)["messages"]
    counts = [message["tokens"] for message in found if message.get("tokens")]
    given, cached, out, thoughts = (sum(c[name] for c in counts) for name in ("input", "cached", "output", "thoughts"))
    assert len(run.steps) == len(found) == 5
    assert run.usage == Usage(given - cached, cached, None, out + thoughts, thoughts)
    assert run.usage == Usage(17_665, 4_029, None, 563, 486)
    assert given + out + thoughts == sum(c["total"] for c in counts)
    assert run.metadata["n_tool_calls"] == sum(len(message.get("toolCalls", [])) for message in found) == 3
    assert (run.source_id, run.model, run.status) == (SESSION, "gemini-2.5-pro", "completed")
    assert source.notes == {}


def test_the_real_session_is_stored_once(store: Store, shared_data: Path) -> None:
    """It is recognised, and reading it again adds nothing."""
    first, second = (ingest(store, shared_data / REAL, progress=False).files[0] for _ in range(2))

    assert (first.format, first.outcome, first.events, first.snapshots) == ("gemini-cli", "new", 5, 5)
    assert second.outcome == "already there"


def test_the_real_session_spoilt_is_survived(shared_data: Path) -> None:
    """The real session spoilt 300 times: nothing is raised."""
    for data in mutations((shared_data / REAL).read_bytes(), n=300):
        survives(gemini_cli, data, REAL)
