"""Codex rollouts as runs: one line is one step, what was said is said once, tokens count once."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from mutations import mutations, survives

from workbench.data.ingest import ingest
from workbench.data.ingest.formats import codex
from workbench.data.ingest.normal import BadLine, Run, Step, Usage
from workbench.data.ingest.reading.source import Source
from workbench.data.store.engine import Store

START = datetime(2026, 1, 2, 10, 0, tzinfo=UTC)
SESSION = "019b7f94-51b4-7593-922e-ba12b5b73b52"


def at(seconds: float) -> str:
    return (START + timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")


def uuid7(seconds: float, tail: str = "7000-8000-000000000001") -> str:
    """A UUID of version 7 made so many seconds after the start."""
    ms = f"{int((START.timestamp() + seconds) * 1000):012x}"
    return f"{ms[:8]}-{ms[8:]}-{tail}"


class Rollout:
    """Writes a rollout line by line; each line comes a second after the one before."""

    def __init__(self, session: str = SESSION, **meta: Any) -> None:
        self.lines: list[dict[str, Any]] = []
        self.line("session_meta", {"id": session, "cwd": "/repo", "cli_version": "0.77.0", **meta})

    def line(self, kind: str, payload: Any, **fields: Any) -> None:
        self.lines.append({"timestamp": at(len(self.lines)), "type": kind, "payload": payload, **fields})

    def item(self, kind: str, **payload: Any) -> None:
        self.line("response_item", {"type": kind, **payload})

    def event(self, kind: str, **payload: Any) -> None:
        self.line("event_msg", {"type": kind, **payload})

    def message(self, role: str, *said: str) -> None:
        kind = "output_text" if role == "assistant" else "input_text"
        self.item("message", role=role, content=[{"type": kind, "text": text} for text in said])

    def tokens(self, total: dict[str, int] | None, last: dict[str, int] | None = None) -> None:
        info = None if total is None else {"total_token_usage": total, "last_token_usage": last or total}
        self.event("token_count", info=info)

    def bytes(self, n: int | None = None) -> bytes:
        return b"".join(json.dumps(line).encode() + b"\n" for line in self.lines[:n])


def used(given: int, cached: int, out: int) -> dict[str, int]:
    return {"input_tokens": given, "cached_input_tokens": cached, "output_tokens": out, "total_tokens": given + out}


def rollout() -> Rollout:
    """A turn in a started task: a prompt, a thought, a good and a failed call, an answer."""
    r = Rollout()
    r.line("turn_context", {"model": "model-a"})
    r.event("task_started", turn_id="t1")
    r.message("user", "<environment_context>\n</environment_context>")
    r.message("user", "Fix the login")
    r.event("user_message", message="Fix the login")
    r.event("agent_reasoning", text="Look first.")
    r.item("reasoning", summary=[{"type": "summary_text", "text": "Look first."}], encrypted_content="x")
    r.item("function_call", name="shell", call_id="c1", arguments='{"command": ["ls"]}')
    r.item("function_call_output", call_id="c1", output='{"output": "a.py", "metadata": {"exit_code": 0}}')
    r.tokens(used(100, 40, 10))
    r.item("custom_tool_call", name="apply_patch", call_id="c2", input="*** Begin Patch")
    r.event("patch_apply_end", call_id="c2", success=False, stderr="no such file", duration={"secs": 0, "nanos": 5e8})
    r.item("custom_tool_call_output", call_id="c2", output="failed")
    r.event("agent_message", message="There is no b.py.")
    r.message("assistant", "There is no b.py.")
    r.tokens(used(250, 140, 30), used(150, 100, 20))
    r.event("task_complete", turn_id="t1", last_agent_message="There is no b.py.", duration_ms=12000)
    return r


def read(content: bytes, name: str = "rollout.jsonl") -> tuple[Run, Source]:
    """The one run of a file without bad lines, and its notes."""
    source = Source.from_bytes(content, name)
    [run] = codex.read(source)
    assert isinstance(run, Run)
    return run, source


def one(content: bytes) -> Run:
    return read(content)[0]


def by_name(run: Run, name: str) -> list[Step]:
    return [step for step in run.steps if step.name == name]


def test_every_line_is_one_step() -> None:
    """Lines become steps in their order, typed by what they hold."""
    run = one(rollout().bytes())

    assert [step.event_type for step in run.steps] == [
        "log", "log", "span", "message", "message", "log", "log", "reasoning", "tool_call", "tool_result", "llm_call",
        "tool_call", "log", "tool_result", "log", "message", "llm_call", "log",
    ]  # fmt: skip
    assert len({step.source_id for step in run.steps}) == 18


def test_what_the_session_is() -> None:
    """Name, model, times, prompt, answer and what its first line says."""
    run = one(rollout().bytes())

    assert (run.source_id, run.agent_type, run.name, run.status) == (SESSION, "codex", "Fix the login", "completed")
    assert (run.model, run.started_at, run.completed_at) == ("model-a", START, START + timedelta(seconds=17))
    assert (run.input, run.output) == ({"prompt": "Fix the login"}, {"text": "There is no b.py."})
    assert run.metadata == {
        "id": SESSION, "cwd": "/repo", "cli_version": "0.77.0", "n_prompts": 1, "n_tool_calls": 2
    }  # fmt: skip
    assert (run.cost_usd, run.states) == (None, [])


def test_what_was_said_is_said_once() -> None:
    """An event that repeats an item is a log line; one that no item repeats is the message itself."""
    r = rollout()
    r.event("agent_message", message="Only shown.")
    r.event("agent_reasoning", text="Only thought.")
    r.event("user_message", message="Only typed.")
    run = one(r.bytes())

    echoes = [step for step in run.steps if step.severity == "debug" and step.event_type == "log"]
    assert [step.text for step in echoes] == ["Fix the login", "Look first.", "There is no b.py."]
    assert [(step.event_type, step.role, step.text) for step in run.steps[-3:]] == [
        ("message", "assistant", "Only shown."),
        ("reasoning", "assistant", "Only thought."),
        ("message", "user", "Only typed."),
    ]
    assert run.metadata["n_prompts"] == 2


def test_calls_and_results_are_paired() -> None:
    """Arguments become the object they are, a result stands under its call, the event of its end tells the error."""
    run = one(rollout().bytes())

    call, result, patch, end, failed = (run.steps[n] for n in (8, 9, 11, 12, 13))
    assert call.tool == {"name": "shell", "call_id": "c1", "arguments": {"command": ["ls"]}}
    assert (call.model, call.duration_ms) == ("model-a", 1000.0)
    assert (result.name, result.role, result.parent_span_id) == ("shell", "tool", call.span_id)
    assert result.tool == {
        "name": "shell", "call_id": "c1", "is_error": False,
        "result": '{"output": "a.py", "metadata": {"exit_code": 0}}',
    }  # fmt: skip
    assert (patch.tool or {})["arguments"] == "*** Begin Patch"
    assert (patch.duration_ms, end.parent_span_id, end.event_type) == (500.0, patch.span_id, "log")
    assert (failed.severity, failed.error) == ("error", {"type": "ToolError", "message": "no such file"})
    assert [step.severity for step in run.steps].count("error") == 1


@pytest.mark.parametrize(
    ("output", "is_error", "duration_ms"),
    [
        ('{"output": "x", "metadata": {"exit_code": 2, "duration_seconds": 0.25}}', True, 250.0),
        ("Chunk ID: 1\nWall time: 0.5 seconds\nProcess exited with code 0\nOutput:\nok", False, 500.0),
        ("Exit code: 1\nWall time: 2 seconds\nOutput:\nno", True, 2000.0),
        ("Process running with session ID 7\nOutput:\n", None, 1000.0),
        ("Output says\nExit code: 1\n", None, 1000.0),
        ({"content": "no", "success": False}, True, 1000.0),
        ([{"type": "input_text", "text": "ok"}], None, 1000.0),
        ("{cut", None, 1000.0),
        (None, None, 1000.0),
    ],
)
def test_how_a_call_ended(output: Any, is_error: bool | None, duration_ms: float) -> None:
    """Exit code and time are read from JSON and from the shell's own words; the result stays as it is."""
    r = Rollout()
    r.item("function_call", name="shell", call_id="c1", arguments="{}")
    r.item("function_call_output", call_id="c1", output=output)
    run = one(r.bytes())

    tool = run.steps[2].tool or {}
    assert (tool.get("is_error"), tool["result"]) == (is_error, output)
    assert run.steps[1].duration_ms == duration_ms
    assert (run.steps[2].severity == "error") == (is_error is True)


def test_echoes_are_counted() -> None:
    """Of events that say what items say, only as many repeat one as there are items, the first ones."""
    r = Rollout()
    for said in ("Go.", "Go.", "Done."):
        r.message("assistant", said)
    for said in ("Go.", "Go.", "Go.", "Done.", "Done."):
        r.event("agent_message", message=said)
    run = one(r.bytes())

    assert [step.event_type for step in run.steps[4:]] == ["log", "log", "message", "log", "message"]


def test_each_call_has_its_own_duration() -> None:
    """Calls in a row, answered in another order; one that only an event tells of lasts until its answer."""
    r = Rollout()
    for call in ("c1", "c2", "c3"):
        r.item("function_call", name=call, call_id=call, arguments="{}")
    r.event("exec_command_end", call_id="e1", command=["ls"], duration={"secs": 9, "nanos": 0})
    for call in ("e1", "c2", "c1"):
        r.item("function_call_output", call_id=call, output="ok")
    run = one(r.bytes())

    assert [step.duration_ms for step in run.steps[1:5]] == [6000.0, 4000.0, None, 1000.0]
    assert [step.name for step in run.steps[5:]] == ["exec_command", "c2", "c1"]
    assert [step.mark for step in run.steps[1:5]] == [None, None, "unfinished", None]


@pytest.mark.parametrize("is_late", [True, False], ids=["behind the answer", "before the answer"])
def test_the_event_of_an_end_tells_the_error(is_late: bool) -> None:
    """Wherever the event stands; of two the last one counts, and an event about something else stays out of it."""
    r = Rollout()
    r.item("function_call", name="shell", call_id="c1", arguments="{}")
    r.event("patch_apply_end", call_id="c1", success=False, stderr="first", duration={"secs": 1, "nanos": 0})
    r.item("function_call_output", call_id="c1", output=["no"])
    r.event("patch_apply_end", call_id="c1", success=False, stderr="last", duration={"secs": 2, "nanos": 0})
    if not is_late:
        r.lines[3:5] = r.lines[4], r.lines[3]
    run = one(r.bytes())

    [answer] = [step for step in run.steps if step.event_type == "tool_result"]
    assert (answer.error, run.steps[1].duration_ms) == ({"type": "ToolError", "message": "last"}, 2000.0)


def test_the_end_of_a_call_is_no_answer() -> None:
    """An error told of before the turn ends is how it ended, though the end of a call stands between."""
    r = Rollout()
    r.item("function_call", name="shell", call_id="c1", arguments="{}")
    r.event("error", message="limit", codex_error_info="usage_limit")
    r.event("exec_command_end", call_id="c1", exit_code=0)
    r.event("task_complete", last_agent_message=None)
    run = one(r.bytes())

    assert (run.status, run.error) == ("failed", "limit")


def test_calls_that_only_an_event_tells_of() -> None:
    """Tools of servers, searches and commands without an item are calls that hold their result."""
    r = Rollout()
    r.event(
        "mcp_tool_call_end",
        call_id="m1",
        invocation={"server": "docs", "tool": "find", "arguments": {"q": "x"}},
        duration={"secs": 1, "nanos": 0},
        result={"Err": "no server"},
    )
    r.event("exec_command_end", call_id="e1", command=["ls"], cwd="/", exit_code=0, aggregated_output="a.py")
    r.item("web_search_call", id="ws1", status="completed", action={"type": "search", "query": "x"})
    r.event("web_search_end", call_id="ws1", query="x", results=[])
    run = one(r.bytes())

    mcp, command, search, end = run.steps[1:]
    assert (mcp.name, mcp.severity, mcp.duration_ms) == ("docs.find", "error", 1000.0)
    assert (mcp.tool or {})["result"] == {"Err": "no server"}
    assert command.tool == {
        "name": "exec_command", "call_id": "e1", "arguments": {"command": ["ls"], "cwd": "/"}, "result": "a.py",
        "is_error": False,
    }  # fmt: skip
    assert (search.name, (search.tool or {})["arguments"]) == ("web_search", {"type": "search", "query": "x"})
    assert (end.event_type, end.parent_span_id) == ("log", search.span_id)


def test_tokens_count_once() -> None:
    """A repeated total adds nothing, a null adds nothing; classes are disjoint; the sum is the last total."""
    r = rollout()
    r.tokens(None)
    r.tokens(used(250, 140, 30), used(150, 100, 20))
    run, source = read(r.bytes())

    assert run.usage == Usage(input_tokens=110, cache_read_tokens=140, output_tokens=30)
    assert [step.usage for step in run.steps if step.usage] == [
        Usage(input_tokens=60, cache_read_tokens=40, output_tokens=10),
        Usage(input_tokens=50, cache_read_tokens=100, output_tokens=20),
    ]
    assert "tokens" not in {note.what for note in source.notes}


@pytest.mark.parametrize(
    ("counts", "given", "why"),
    [
        ([(used(900, 0, 9), used(100, 0, 1))], 100, "the first total"),
        ([(used(100, 0, 1), None), (used(130, 0, 2), used(130, 0, 2))], 130, "last_token_usage is not"),
        ([(used(100, 0, 1), None), (used(20, 0, 1), used(30, 0, 1))], 130, "the running total went down"),
        ([(used(10, 20, 1), None)], 0, "more tokens were cached"),
    ],
)
def test_tokens_that_do_not_add_up(counts: list, given: int, why: str) -> None:
    """Totals of earlier sessions, that go down or that differ from the calls: noted, never counted twice."""
    r = Rollout()
    for total, last in counts:
        r.tokens(total, last)
    run, source = read(r.bytes())

    assert run.usage is not None
    assert run.usage.input_tokens == given
    assert [note.why.startswith(why) for note in source.notes if note.what == "tokens"] == [True]


def test_absent_is_not_zero() -> None:
    """A class that the source does not name is unknown; without a total the last call's tokens count."""
    r = Rollout()
    r.event("token_count", info={"last_token_usage": {"input_tokens": 5, "output_tokens": 2}})
    run = one(r.bytes())

    assert run.usage == Usage(input_tokens=5, output_tokens=2)
    assert one(Rollout().bytes()).usage is None


@pytest.mark.parametrize("is_rewritten", [True, False], ids=["times of the copying", "times of the parent"])
@pytest.mark.parametrize("has_ids", [True, False], ids=["turn ids", "no turn ids"])
def test_a_fork_copies_its_parent(is_rewritten: bool, has_ids: bool) -> None:
    """The copied lines are kept and marked; their tokens are the parent's; the run is linked to it."""

    def turn(n: int, prompt: str, session: Rollout) -> None:
        session.event("task_started", **({"turn_id": uuid7(n)} if has_ids else {}))
        session.message("user", prompt)
        session.event("user_message", message=prompt)
        session.message("assistant", f"Done: {prompt}")

    parent = Rollout(uuid7(0, "7000-8000-00000000000a"))
    turn(1, "First", parent)
    parent.tokens(used(100, 0, 10))
    fork = Rollout(uuid7(1000, "7000-8000-00000000000b"), forked_from_id=parent.lines[0]["payload"]["id"])
    fork.lines += [line | ({"timestamp": at(1000)} if is_rewritten else {}) for line in parent.lines]
    turn(1100, "Second", fork)
    fork.tokens(used(150, 0, 15), used(50, 0, 5))
    for n, line in enumerate(fork.lines[7:]):
        line["timestamp"] = at(1100 + n)
    fork.lines[0]["timestamp"] = at(1000)
    run, source = read(fork.bytes())

    assert run.usage == Usage(input_tokens=50, cache_read_tokens=0, output_tokens=5)
    assert (run.parent_source_id, run.metadata["forked_from"]) == (one(parent.bytes()).source_id,) * 2
    assert [step.extra is not None and "is_copied" in step.extra for step in run.steps] == (
        [False] + [True] * 6 + [False] * 5
    )
    assert (run.name, run.metadata["n_prompts"], run.started_at) == ("Second", 1, START + timedelta(seconds=1000))
    assert [(note.kind, n) for note, n in source.notes.items()] == [("kept", 6)]


def test_sub_agents_are_linked() -> None:
    """A sub-agent's rollout names the session that spawned it, in one of two places."""
    spawn = {"subagent": {"thread_spawn": {"parent_thread_id": "p", "depth": 1, "agent_role": "explorer"}}}

    for run in (one(Rollout(source=spawn).bytes()), one(Rollout(parent_thread_id="p", source="cli").bytes())):
        assert (run.agent_type, run.parent_source_id) == ("codex/sub-agent", "p")
    review = one(Rollout(source={"subagent": "review"}).bytes())
    assert (review.agent_type, review.parent_source_id) == ("codex/sub-agent", None)


def test_the_first_layout_had_no_envelope() -> None:
    """A rollout of 2025 holds bare items without times; they are read like the others."""
    lines = [
        {"id": SESSION, "timestamp": "2025-07-01T10:00:00Z", "instructions": None, "git": {"branch": "main"}},
        {"record_type": "state"},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]},
        {"type": "function_call", "name": "shell", "arguments": '{"command":["ls"]}', "call_id": "c1"},
        {"type": "function_call_output", "call_id": "c1", "output": '{"output":"x","metadata":{"exit_code":1}}'},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Ho"}]},
    ]
    content = b"\n".join(json.dumps(line).encode() for line in lines)
    run = one(content)

    assert [step.event_type for step in run.steps] == [
        "log", "log", "message", "tool_call", "tool_result", "message"
    ]  # fmt: skip
    assert (run.source_id, run.metadata["git"], run.input) == (SESSION, {"branch": "main"}, {"prompt": "Hi"})
    assert run.steps[4].severity == "error"
    assert codex.detect(Source.from_bytes(content).head) >= 0.5
    assert codex.detect(Source.from_bytes(b"\n".join(content.splitlines()[2:])).head) >= 0.5


@pytest.mark.parametrize(
    ("events", "status", "error_type"),
    [
        ([("task_started", {}), ("task_complete", {})], "completed", None),
        ([("task_started", {})], "running", None),
        ([("task_started", {}), ("agent_message", {"message": "x"})], "running", None),
        ([("task_started", {}), ("turn_aborted", {"reason": "interrupted"})], "cancelled", "interrupted"),
        ([("turn_aborted", {"reason": "replaced"}), ("user_message", {"message": "x"})], "completed", None),
        ([("error", {"message": "limit", "codex_error_info": "usage_limit"})], "failed", "usage_limit"),
        ([("error", {"message": "x"}), ("task_complete", {"last_agent_message": None})], "failed", "error"),
        ([("error", {"message": "x"}), ("task_complete", {"last_agent_message": "y"})], "completed", None),
        ([("task_complete", {"error": {"message": "m", "codex_error_info": {"http": 5}}})], "failed", "http"),
    ],
)
def test_how_it_ended(events: list, status: str, error_type: str | None) -> None:
    """The last turn decides: complete, aborted, with an error, or not ended."""
    r = Rollout()
    for kind, payload in events:
        r.event(kind, **payload)
    run = one(r.bytes())

    assert (run.status, run.error_type) == (status, error_type)
    assert (run.error is None) == (error_type is None)


def test_lines_stand_under_their_turn() -> None:
    """A started task holds its lines and lasts until it ends; without tasks the prompt does."""
    r = rollout()
    r.message("user", "Next")
    r.event("user_message", message="Next")
    run = one(r.bytes())

    started = run.steps[2]
    assert (started.duration_ms, started.parent_span_id) == (12000, None)
    assert {step.parent_span_id for step in run.steps[3:9]} == {started.span_id}
    assert [step.parent_span_id for step in run.steps[:2]] == [None, None]
    assert [step.parent_span_id for step in run.steps[18:]] == [None, run.steps[18].span_id]


def test_a_session_that_went_on_keeps_its_ids() -> None:
    """Steps of a shorter copy are steps of the longer one; a repeated id gets one of its own and is reported."""
    r = rollout()
    r.lines += [r.lines[8], r.lines[5]]  # one with an id of the source, one without
    run, source = read(r.bytes())

    ids = {step.source_id for step in run.steps}
    assert len(ids) == 20
    assert {step.source_id for step in one(r.bytes(9)).steps} < ids
    assert [n for note, n in source.notes.items() if note.what == "id"] == [1]


def test_ids_without_a_session_line() -> None:
    """A file without its first line is known by the id in its name, else by its first line; the report says so."""
    content = b"\n".join(rollout().bytes().splitlines()[1:])

    named, source = read(content, f"rollout-2026-01-02T10-00-00-{SESSION}.jsonl.gz")
    anonymous = one(content)
    assert named.source_id == SESSION
    assert anonymous.source_id == one(content[:-200].rpartition(b"\n")[0]).source_id != SESSION
    assert [note.what for note in source.notes if note.kind == "kept"] == ["session id"]


def test_nothing_of_a_line_is_dropped() -> None:
    """Lines of a later release, parts that are no text, fields without a place and times that are none: all kept."""
    r = Rollout()
    r.line("brand_new", {"x": 1}, ordinal=7)
    r.item("brand_new_item", y=2)
    r.event("brand_new_event", z=3, message="shown")
    said, image = {"type": "input_text", "text": "a"}, {"type": "input_image", "image_url": "data:"}
    r.item("message", role="user", content=[said, image], phase="input")
    r.line("world_state", {"full": True, "state": {"cwd": "/"}}, ordinal=8)
    r.lines[1]["timestamp"] = "[trimmed for fixture]"
    run, source = read(r.bytes())

    assert [step.extra for step in run.steps[1:]] == [
        {"ordinal": 7, "x": 1, "timestamp": "[trimmed for fixture]"},
        {"y": 2},
        {"z": 3},
        {"content": [said, image], "phase": "input"},
        {"ordinal": 8, "full": True, "state": {"cwd": "/"}},
    ]
    assert [step.event_type for step in run.steps] == ["log", "log", "log", "log", "message", "state"]
    assert run.steps[3].text == "shown"
    assert [note.what for note in source.notes] == ["time"]


def test_broken_lines_are_reported_by_number() -> None:
    """Scalars, payloads that are no objects and a cut last line are bad lines; the rest is read."""
    lines = rollout().bytes().splitlines()
    broken = [lines[0], b"42", b'{"type": "response_item", "payload": null}', *lines[1:], lines[3][:60]]

    *bad, run = codex.read(Source.from_bytes(b"\n".join(broken)))

    assert [(item.line, item.reason) for item in bad if isinstance(item, BadLine)] == [
        (2, "expected a JSON object, found a number"),
        (3, "expected an object as payload of response_item, found null"),
        (21, "cut off: Unterminated string starting at character 47"),
    ]
    assert isinstance(run, Run)
    assert len(run.steps) == 18


@pytest.mark.parametrize(
    ("line", "is_ours"),
    [
        ({"timestamp": "x", "type": "session_meta", "payload": {}}, True),
        ({"type": "event_msg", "payload": {"type": "token_count"}}, True),
        ({"record_type": "state"}, True),
        ({"type": [], "payload": {}}, False),
        ({"type": {}, "content": []}, False),
        ({"type": "message", "payload": {}}, False),
        ({"type": "message", "role": "user", "content": "hi"}, False),
        ({"type": "session", "id": "x", "timestamp": "y"}, False),
    ],
)
def test_detection(line: dict, is_ours: bool) -> None:
    """A rollout is told by its lines, whatever the file's name."""
    assert (codex.detect(Source.from_bytes(json.dumps(line).encode(), "x.txt").head) >= 0.5) == is_ours


def test_detection_of_a_first_line_longer_than_the_head() -> None:
    """Instructions of 100 kB do not hide what the file is."""
    r = Rollout(base_instructions={"text": "x" * 100_000})

    assert codex.detect(Source.from_bytes(r.bytes()).head) >= 0.5


def test_spoilt_files_are_survived() -> None:
    """Whatever is flipped, cut, deleted or replaced in a rollout, nothing is raised and most of it is read."""
    r = rollout()
    r.tokens(used(300, 140, 40))
    r.line("session_meta", {"id": "other", "forked_from_id": "x", "source": {"subagent": {"thread_spawn": {}}}})
    results = [survives(codex, data, "rollout.jsonl") for data in mutations(r.bytes(), n=600)]

    assert sum(bool(runs) for runs, _ in results) > 550
    assert sum(len(run.steps) for runs, _ in results for run in runs) > 8_000


# The real files ----------------------------------------------------------------------------------------------------

CLASSES = ("input", "cached_input", "output", "reasoning_output")
# file → lines, tool calls (items), failed calls
FILES = {
    "codemie.rollout-2026-01-02T18-39-45.jsonl": (26, 3, 0),
    "codemie.rollout-2026-01-02T19-00-00-failed-tool.jsonl": (11, 3, 1),
    "codemie.incremental.turn-1.jsonl": (13, 0, 0),
    "codemie.incremental.turn-2.jsonl": (25, 0, 0),
    "agentsview.standard_session.jsonl": (3, 0, 0),
    "agentsview.function_calls.jsonl": (4, 2, 0),
    "agentsview.fc_stdin.jsonl": (3, 1, 0),
    "agent-sessions.schema-zoo.jsonl": (118, 8, 0),
}


@pytest.mark.parametrize("name", FILES)
def test_counts_of_every_file(name: str, shared_data: Path) -> None:
    """One run and as many steps as lines; calls, failed results and types of lines as the file has them."""
    content = (shared_data / "codex" / name).read_bytes()
    run = one(content)

    records = [json.loads(line) for line in content.splitlines()]
    n_lines, n_calls, n_failed = FILES[name]
    calls = [step for step in run.steps if step.event_type == "tool_call" and step.category == "response_item"]
    assert (len(run.steps), len(records)) == (n_lines, n_lines)
    assert (
        len(calls)
        == n_calls
        == sum(r["type"] == "response_item" and str(r["payload"].get("type")).endswith("_call") for r in records)
    )
    assert sum(1 for step in run.steps if (step.tool or {}).get("is_error") and step.role == "tool") == n_failed
    assert Counter(step.category for step in run.steps) == Counter(record["type"] for record in records)


@pytest.mark.parametrize("name", FILES)
def test_tokens_of_every_file(name: str, shared_data: Path) -> None:
    """The run's tokens are the growth of the running total, which starts anew where it goes down."""
    content = (shared_data / "codex" / name).read_bytes()
    run = one(content)

    totals = [
        info["total_token_usage"]
        for line in content.splitlines()
        if (payload := json.loads(line)["payload"]).get("type") == "token_count" and (info := payload["info"])
    ]
    ends = zip(totals, [*totals, {"total_tokens": -1}][1:], strict=True)
    peaks = [total for total, after in ends if total["total_tokens"] > after["total_tokens"]]
    given, cached, out, reasoning = (sum(peak[f"{name}_tokens"] for peak in peaks) for name in CLASSES)
    usage = run.usage.as_dict() if run.usage else {}
    assert (run.usage is None) == (not totals)
    assert (usage.get("input_tokens", 0), usage.get("cache_read_tokens", 0)) == (given - cached, cached)
    assert (usage.get("output_tokens", 0), usage.get("reasoning_tokens", 0)) == (out, reasoning)


def test_the_design_s_example(shared_data: Path) -> None:
    """18-39-45: adding up every event gives 37,761 tokens, the session used 22,774."""
    run = one((shared_data / "codex/codemie.rollout-2026-01-02T18-39-45.jsonl").read_bytes())

    assert run.usage == Usage(7626, 14848, None, 300, 128)
    assert 7626 + 14848 + 300 == 22_774


def test_turn_1_then_turn_2_is_turn_2(store: Store, tmp_path: Path, shared_data: Path) -> None:
    """A rollout read while it grew leaves the same rows as the whole rollout read once."""

    def rows() -> list[tuple]:
        with store.raw() as connection:
            runs = (
                "SELECT id, name, status, completed_at, token_usage::text, metadata::text"
                " FROM workbench.agent_executions"
            )
            events = (
                "SELECT id, step_number, event_type, name, severity, timestamp, duration_ms, parent_span_id, data::text"
                " FROM workbench.observability_events ORDER BY step_number"
            )
            states = "SELECT id, step_number, state::text FROM workbench.execution_snapshots ORDER BY step_number"
            return [row for query in (runs, events, states) for row in connection.execute(query).fetchall()]  # type: ignore[arg-type]

    path = tmp_path / "rollout.jsonl"
    path.write_bytes((shared_data / "codex/codemie.incremental.turn-2.jsonl").read_bytes())
    ingest(store, path, progress=False)
    whole = rows()
    with store.raw() as connection:
        connection.execute("DELETE FROM workbench.agent_executions")
        connection.execute("DELETE FROM workbench.imports")
    path.write_bytes((shared_data / "codex/codemie.incremental.turn-1.jsonl").read_bytes())
    ingest(store, path, progress=False)
    path.write_bytes((shared_data / "codex/codemie.incremental.turn-2.jsonl").read_bytes())
    again = ingest(store, path, progress=False)

    assert again.files[0].outcome == "extended"
    assert rows() == whole
    assert ingest(store, path, progress=False).files[0].outcome == "already there"


@pytest.mark.parametrize("name", ["agent-sessions.schema-zoo.jsonl", "codemie.incremental.turn-2.jsonl"])
def test_spoilt_real_files_are_survived(name: str, shared_data: Path) -> None:
    """Every payload type of the schema zoo, spoilt 150 times: nothing is raised."""
    for data in mutations((shared_data / "codex" / name).read_bytes(), n=150):
        survives(codex, data, name)
