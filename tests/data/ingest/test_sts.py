"""Session traces of the Hub. Fixtures are written after the Hub's description of STS; no real file of it is here."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from histories import KINDS
from mutations import mutations, survives

from workbench.data.ingest.detect import SURE_ENOUGH, choose
from workbench.data.ingest.formats import pi, sts
from workbench.data.ingest.normal import BadLine, Run, Usage
from workbench.data.ingest.reading.source import Source

HEADER = {"type": "session", "harness": "acme", "id": "s1", "name": "What time is it?", "version": 3}
CALL = {"id": "c1", "function": {"name": "get_time", "arguments": '{"zone": "UTC"}'}}


def say(role: str, content: Any = "", **fields: Any) -> dict[str, Any]:
    return {"type": "message", "message": {"role": role, "content": content, **fields}}


def lines(*records: Any) -> bytes:
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


def read(*records: Any) -> tuple[list[Run], list[BadLine], Source]:
    source = Source.from_bytes(lines(*records), "trace.jsonl")
    items = list(sts.read(source))
    return [i for i in items if isinstance(i, Run)], [i for i in items if isinstance(i, BadLine)], source


def test_a_session_is_a_run() -> None:
    """Header, messages, calls, results and reasoning each have their place; a line is a step."""
    [run], bad, _ = read(
        HEADER,
        say("user", "Time?", timestamp=1_751_809_800_000),
        say("assistant", toolCalls=[CALL], timestamp=1_751_809_801_000, model="m"),
        say("tool", "15:00", toolCallId="c1", timestamp=1_751_809_803_500),
        say("assistant", "It is three.", reasoningContent="15 is 3 pm", timestamp=1_751_809_804_000),
    )

    assert bad == []
    assert [step.event_type for step in run.steps] == ["log", "message", "tool_call", "tool_result", "message"]
    assert (run.source_id, run.agent_type, run.name, run.model) == ("s1", "acme", "What time is it?", "m")
    assert (run.input, run.output) == ({"prompt": "Time?"}, {"text": "It is three."})
    assert run.metadata == {"version": 3}
    assert run.started_at == datetime(2025, 7, 6, 13, 50, tzinfo=UTC)
    _, _, call, result, answer = run.steps
    assert call.tool == {"name": "get_time", "call_id": "c1", "arguments": {"zone": "UTC"}}
    assert result.tool == {"name": "get_time", "call_id": "c1", "result": "15:00"}
    assert (result.parent_span_id, call.duration_ms) == (call.span_id, 2500.0)
    assert answer.extra == {"reasoningContent": "15 is 3 pm"}


def test_answers_generated_again_are_off_the_branch() -> None:
    """llama.app keeps every answer: those the session left are in a lane of their own; the server's counts are read."""
    timings = {"prompt_n": 58, "cache_n": 12, "predicted_n": 41, "predicted_ms": 812.3}
    [run], _, source = read(
        {**HEADER, "harness": "llama.app", "currNode": "a2"},
        say("user", "Why?", id="u", parent=None, children=["a1", "a2"]),
        say("assistant", "So.", id="a1", parent="u", timings=timings),
        say("assistant", "Because.", id="a2", parent="u", timings=timings),
    )

    _, asked, left, stays = run.steps
    assert (left.agent, (left.extra or {})["is_off_branch"]) == ("abandoned branch", True)
    assert [step.agent for step in (asked, stays)] == ["user", None]
    assert left.usage == Usage(58, 12, None, 41)
    assert run.usage == Usage(116, 24, None, 82)
    assert run.output == {"text": "Because."}
    assert (stays.extra or {})["timings"] == timings
    assert [note.what for note in source.notes] == ["message off the branch"]


def test_several_sessions_in_a_file() -> None:
    """Each header begins a run."""
    runs, _, _ = read(HEADER, say("user", "a"), {**HEADER, "id": "s2"}, say("user", "b"))

    assert [(run.source_id, len(run.steps)) for run in runs] == [("s1", 2), ("s2", 2)]


def test_a_file_that_lost_its_header() -> None:
    """Messages alone are recognised, and their session is named by the first of them."""
    content = lines(say("user", "a"), say("assistant", "b"))
    source = Source.from_bytes(content, "trace.jsonl")

    [run] = sts.read(source)

    assert sts.detect(source.head) >= SURE_ENOUGH
    assert isinstance(run, Run)
    assert run.source_id.startswith("line:")


def test_a_pi_session_with_a_harness_is_pi() -> None:
    """The Hub asks other writers of pi's format for the same field; the file stays one of pi."""
    header = {**HEADER, "version": 3, "timestamp": "2025-05-01T12:00:00Z", "cwd": "/"}

    assert choose(Source.from_bytes(lines(header, say("user", "a")), "x.jsonl")) is pi
    assert choose(Source.from_bytes(lines(HEADER, say("user", "a")), "x.jsonl")) is sts


def test_nothing_is_dropped() -> None:
    """Lines and fields that the format does not know stay in extra."""
    [run], _, _ = read(
        HEADER,
        {"type": "compaction", "summary": "x"},
        {**say("user", [{"type": "image", "url": "u"}, {"type": "text", "text": "see"}], extra=[1]), "note": "n"},
        say("assistant", "", toolCalls="none", timestamp="soon", model=7),
    )

    assert run.steps[1].extra == {"summary": "x"}
    assert run.steps[2].text == "see"
    assert run.steps[2].extra == {
        "content": [{"type": "image", "url": "u"}, {"type": "text", "text": "see"}],
        "extra": [1],
        "note": "n",
    }
    assert run.steps[3].extra == {"toolCalls": "none", "timestamp": "soon", "model": 7}


@pytest.mark.parametrize("seed", range(3))
def test_spoilt_files(seed: int) -> None:
    """Whatever is wrong in a file, only a readable error is raised."""
    whole = lines(
        {**HEADER, "currNode": "b"},
        say("user", "a", id="a", timestamp=1_751_809_800_000),
        say("assistant", toolCalls=[CALL], id="b", parent="a", timings={"prompt_n": 1}),
        say("tool", "15:00", toolCallId="c1"),
    )
    found = [survives(sts, data, "trace.jsonl") for data in mutations(whole, n=200, seed=seed)]

    assert sum(bool(runs) for runs, _ in found) > 150
    assert survives(sts, KINDS["sts"].make(), "trace.jsonl")[0]
