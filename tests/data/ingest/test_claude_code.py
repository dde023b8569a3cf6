"""Claude Code sessions as runs: one line is one step, tokens count once, sub-agents are lanes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from sessions import SESSION, START, Session, session, text, tool_use

from workbench.data.ingest.formats import claude_code
from workbench.data.ingest.normal import BadLine, Run, Step, Usage
from workbench.data.ingest.reading.source import Source


def read(content: bytes, name: str = "trace.jsonl") -> Run:
    """The one run of a file without bad lines."""
    [run] = claude_code.read(Source.from_bytes(content, name))
    assert isinstance(run, Run)
    return run


def step(run: Run, uuid: str) -> Step:
    """The step of a line."""
    return next(step for step in run.steps if step.source_id == uuid)


def test_every_line_is_one_step() -> None:
    """Lines become steps in their order, typed by what they hold."""
    run = read(session().bytes())

    assert [step.event_type for step in run.steps] == [
        "state", "message", "reasoning", "message", "tool_call", "tool_result", "tool_call", "tool_result",
        "message", "message", "message",
    ]  # fmt: skip
    assert [step.source_id for step in run.steps] == [f"line-{n}" for n in range(11)]


def test_tokens_count_once_per_answer() -> None:
    """An answer over three lines repeats its usage: the last line's counts, on that line and in the run."""
    run = read(session().bytes())

    assert run.usage == Usage(input_tokens=12, cache_read_tokens=400, cache_write_tokens=20, output_tokens=38)
    assert [step.source_id for step in run.steps if step.usage] == ["line-4", "line-6", "line-8", "line-10"]


def test_calls_and_results_are_paired() -> None:
    """A result has its tool's name and stands under its call; the call lasts until the result."""
    run = read(session().bytes())

    call, result, failed = step(run, "line-4"), step(run, "line-5"), step(run, "line-7")
    assert call.tool == {"name": "Bash", "call_id": "call-1", "arguments": {"command": "ls"}}
    assert (call.name, call.duration_ms) == ("Bash", 1000.0)
    assert result.tool == {"name": "Bash", "call_id": "call-1", "result": "a.py"}
    assert (result.role, result.parent_span_id) == ("tool", "line-4")
    assert (failed.severity, failed.error) == ("error", {"type": "ToolError", "message": "no such file"})


def test_lines_stand_under_their_prompt() -> None:
    """Each turn is a subtree of its prompt; parentUuid itself is kept."""
    run = read(session().bytes())

    parents = [step.parent_span_id for step in run.steps]
    assert parents == [None, None, *["line-1"] * 3, "line-4", "line-1", "line-6", "line-1", None, "line-9"]
    assert (step(run, "line-3").extra or {})["parentUuid"] == "line-2"


def test_what_the_session_is() -> None:
    """Name, model, times, prompt, answer and the fields that all lines share."""
    run = read(session().bytes())

    assert (run.source_id, run.agent_type, run.name) == (SESSION, "claude-code", "Fix the login")
    assert (run.model, run.status, run.started_at) == ("model-a", "completed", START)
    assert (run.input, run.output) == ({"prompt": "Fix the login"}, {"text": "Done."})
    assert run.metadata == {
        "sessionId": SESSION, "cwd": "/repo", "version": "2.0.0", "n_prompts": 2, "n_tool_calls": 2
    }  # fmt: skip
    assert run.cost_usd is None


@pytest.mark.parametrize("is_old", [True, False], ids=["by parentUuid", "by agentId"])
def test_sub_agents_in_the_file_are_lanes(is_old: bool) -> None:
    """Side chains are lanes named by the kind of sub-agent, under the call that started them."""
    s = Session()
    s.user("Look into it")
    s.assistant("msg-1", tool_use("task-1", "Task", prompt="Find it", subagent_type="Explore"))
    s.assistant("msg-2", tool_use("task-2", "Task", prompt="Find more", subagent_type="Explore"))
    for n, prompt in ((1, "Find it"), (2, "Find more")):
        ids = {} if is_old else {"agentId": f"a{n}"}
        first = s.user(prompt, isSidechain=True, **{"parentUuid": None} | ids)
        second = s.assistant(f"side-{n}", text("Found."), isSidechain=True, **{"parentUuid": first["uuid"]} | ids)
        assert second["parentUuid"] == first["uuid"]
    s.result("task-1", "Found.")

    run = read(s.bytes())

    assert [step.agent for step in run.steps] == [None, None, None, *["Explore"] * 2, *["Explore #2"] * 2, None]
    assert [step.parent_span_id for step in run.steps[3:]] == ["line-1", "line-3", "line-2", "line-5", "line-1"]
    assert run.usage is not None
    assert run.usage.output_tokens == 40


def test_a_sub_agents_own_file_is_a_run_of_its_own() -> None:
    """agent-<id>.jsonl is linked to the session whose id its lines carry."""
    s = Session(isSidechain=True, agentId="abc")
    s.user("Warmup")
    s.assistant("msg-1", text("Ready."))

    run = read(s.bytes(), "agent-abc.jsonl")

    assert (run.source_id, run.parent_source_id) == (f"{SESSION}/agent-abc", SESSION)
    assert run.agent_type == "claude-code/sub-agent"
    assert {step.agent for step in run.steps} == {None}


def test_how_it_ended() -> None:
    """A session whose last word is an interruption was cancelled; an interruption that was got over is counted."""
    s = session()
    s.user([text("[Request interrupted by user for tool use]")])
    interrupted = read(s.bytes())
    s.user("Go on")
    s.assistant("msg-9", text("Going on."))
    resumed = read(s.bytes())
    s.assistant("msg-10", text("API Error: 529 overloaded"), isApiErrorMessage=True)
    failed = read(s.bytes())

    assert (interrupted.status, interrupted.error_type) == ("cancelled", "interrupted")
    assert (resumed.status, resumed.metadata["n_interruptions"]) == ("completed", 1)
    assert (failed.status, failed.error_type, failed.error) == ("failed", "api_error", "API Error: 529 overloaded")
    assert failed.steps[-1].severity == "error"


def test_a_session_ends_with_its_interruption_whatever_the_program_adds() -> None:
    """/exit, its output, a caveat, a late line of a sub-agent or an empty answer do not go on with a session."""
    s = session()
    s.user([text("[Request interrupted by user]")])
    s.user("late", isSidechain=True, parentUuid=None, agentId="a1")
    s.user("Caveat: The messages below were generated", isMeta=True)
    s.user("<command-name>/exit</command-name>")
    s.user("<local-command-stdout>Bye!</local-command-stdout>")
    s.line("assistant", message={"role": "assistant", "model": "<synthetic>", "content": [text("No response.")]})
    s.line("system", subtype="turn_duration")
    ended = read(s.bytes())
    s.user("Go on")
    resumed = read(s.bytes())

    assert (ended.status, ended.error) == ("cancelled", "[Request interrupted by user]")
    assert (resumed.status, resumed.error, resumed.metadata["n_interruptions"]) == ("completed", None, 1)


def test_the_real_interrupted_session_went_on(shared_data: Path) -> None:
    """A prompt and answers follow the interruption of the real file; cut off right behind it, it was cancelled."""
    name = "session-9eda1058-interrupted.jsonl"
    content = (shared_data / "claude-code/codemie" / name).read_bytes()
    cut = content[: content.index(b"\n", content.index(b"[Request interrupted by user")) + 1]

    whole, part = read(content, name), read(cut, name)

    assert (whole.status, whole.metadata["n_interruptions"]) == ("completed", 1)
    assert (part.status, part.error) == ("cancelled", "[Request interrupted by user for tool use]")


def test_durations_are_without_noise() -> None:
    """A call from one moment to another lasts the microseconds between them, not a float's remainder."""
    s = Session()
    s.assistant("msg-1", tool_use("call-1"), timestamp="2026-01-02T10:00:00.001000Z")
    s.result("call-1")
    s.lines[-1]["timestamp"] = "2026-01-02T10:00:00.004991Z"

    assert step(read(s.bytes()), "line-0").duration_ms == 3.991


def test_unknown_lines_and_odd_shapes_are_kept() -> None:
    """A type of a later release, a line without type, a message that is a text: all kept, nothing raised."""
    s = Session()
    s.user("Hi")
    s.line("brand-new-type", payload={"x": [1, 2]}, content="shown")
    s.lines.append({"silly": "this"})
    s.line("user", message="error")
    s.line("user", message={"role": "user", "contenst": []})
    s.user(["plain", {"type": "image", "source": {"data": "…"}}])
    s.line("assistant", message={"content": [{"type": "tool_use"}, {"type": "tool_result"}, {"type": "thinking"}, 7]})
    s.line("system", subtype="api_error", level="error", content="overloaded")

    run = read(s.bytes())

    kinds = [step.event_type for step in run.steps]
    assert kinds == ["message", "log", "log", "message", "message", "message", "tool_call", "log"]
    assert (run.steps[1].text, (run.steps[1].extra or {})["payload"]) == ("shown", {"x": [1, 2]})
    assert run.steps[2].extra == {"silly": "this"}
    assert (run.steps[3].text, run.steps[5].text) == ("error", "plain")
    assert (run.steps[5].extra or {})["content"] == [{"type": "image", "source": {"data": "…"}}]
    assert (run.steps[6].extra or {})["content"] == [{"type": "thinking"}, 7]
    assert (run.steps[7].name, run.steps[7].severity) == ("api_error", "error")


def test_broken_lines_are_reported_by_number() -> None:
    """Scalars and a cut last line are bad lines; the session around them is whole."""
    content = session().bytes()
    broken = b"42\n" + content + b'"massive error"\n' + content.splitlines()[0][:50]

    *bad, run = claude_code.read(Source.from_bytes(broken))

    assert [(line.line, line.reason.split(":")[0]) for line in bad if isinstance(line, BadLine)] == [
        (1, "expected a JSON object, found a number"),
        (13, "expected a JSON object, found a string"),
        (14, "cut off"),
    ]
    assert isinstance(run, Run)
    assert len(run.steps) == 11


def test_lines_are_put_in_the_order_of_time() -> None:
    """Lines written late take their place by time; lines without a time stay behind the one before them."""
    s = session()
    s.lines.insert(4, s.lines.pop(2))
    s.lines.insert(2, {"type": "summary", "summary": "A title", "leafUuid": "line-8"})

    run = read(s.bytes())

    assert [step.source_id for step in run.steps if not str(step.source_id).startswith("line:")] == [
        f"line-{n}" for n in range(11)
    ]
    assert run.steps[2].text == run.name == "A title"


def test_what_the_program_wrote_is_no_prompt() -> None:
    """Caveats and command output open no turn and name no session; a slash command does."""
    s = Session()
    s.user("Caveat: The messages below were generated", isMeta=True)
    s.user("<command-message>init is running…</command-message>\n<command-name>/init</command-name>")
    s.user("<local-command-stdout>ok</local-command-stdout>")
    s.assistant("msg-1", text("Done."))

    run = read(s.bytes())

    assert [step.severity for step in run.steps] == ["debug", "info", "info", "info"]
    assert [step.parent_span_id for step in run.steps] == [None, None, "line-1", "line-1"]
    assert run.name == "/init"


@pytest.mark.parametrize(
    ("prompts", "name"),
    [
        (["<command-name>/clear</command-name>", "Fix the login"], "Fix the login"),
        (["<command-name>/plan</command-name>\n<command-args>the login</command-args>", "Go"], "/plan the login"),
        (["<command-name>/clear</command-name><command-args></command-args>"], "/clear"),
    ],
)
def test_a_session_is_called_what_was_asked(prompts: list[str], name: str) -> None:
    """A slash command that says nothing of the work names a session only where nothing else does."""
    s = Session()
    for prompt in prompts:
        s.user(prompt)

    assert read(s.bytes()).name == name


def test_titles_of_other_sessions_are_not_taken() -> None:
    """A summary whose leaf is in another file is not this session's name."""
    s = session()
    s.lines.insert(0, {"type": "summary", "summary": "Another session", "leafUuid": "elsewhere"})

    assert read(s.bytes()).name == "Fix the login"


def test_ids_do_not_depend_on_what_comes_later() -> None:
    """The lines of a session keep their ids when it goes on; repeated ids get one of their own and are reported."""
    s = session()
    s.lines.insert(1, {"type": "summary", "summary": "x", "leafUuid": "y"})
    s.lines.append(s.lines[2])
    source = Source.from_bytes(s.bytes())

    [run] = claude_code.read(source)
    shorter = read(s.bytes(8))

    assert isinstance(run, Run)
    ids = {step.source_id for step in run.steps}
    assert len(ids) == 13
    assert {step.source_id for step in shorter.steps} < ids
    assert [(note.what, n) for note, n in source.notes.items()] == [("uuid", 1)]


def test_the_web_export_reads_like_the_session() -> None:
    """{"loglines": […]} gives the same steps; without session ids the id comes from the first line."""
    lines = session().lines
    bare = [{key: value for key, value in line.items() if key != "sessionId"} for line in lines]

    export = read(json.dumps({"loglines": lines}, indent=1).encode(), "export.json")
    anonymous = read(json.dumps({"loglines": bare}).encode(), "export.json")
    grown = read(json.dumps({"loglines": [*bare, {"type": "x"}]}).encode(), "export.json")

    assert [(s.event_type, s.text, s.tool) for s in export.steps] == [
        (s.event_type, s.text, s.tool) for s in read(session().bytes()).steps
    ]
    assert export.source_id == SESSION
    assert anonymous.source_id == grown.source_id != SESSION


def test_cost_of_older_versions() -> None:
    """CostUSD counts once per answer; a run with an unpriced answer has no cost, and the report says so."""
    s = Session()
    s.assistant("msg-1", text("a"), costUSD=0.5)
    s.assistant("msg-1", text("b"), costUSD=0.5)
    s.assistant("msg-2", text("c"), costUSD=0.25)
    priced = read(s.bytes())
    s.assistant("msg-3", text("d"))
    source = Source.from_bytes(s.bytes())
    [unpriced] = claude_code.read(source)

    assert priced.cost_usd == 0.75
    assert isinstance(unpriced, Run)
    assert unpriced.cost_usd is None
    assert [note.what for note in source.notes] == ["cost"]


def test_times_that_cannot_be_read() -> None:
    """A time without zone is taken as UTC, one that is none is null with its text kept; both are reported."""
    s = Session()
    s.user("a", timestamp="2026-01-02T10:00:00")
    s.user("b", timestamp="[trimmed]")
    s.user("c", timestamp=1767348002000)
    source = Source.from_bytes(s.bytes())

    [run] = claude_code.read(source)

    assert isinstance(run, Run)
    assert [step.timestamp and step.timestamp.second for step in run.steps] == [0, None, 2]
    assert (run.steps[1].extra or {})["timestamp"] == "[trimmed]"
    assert sorted(note.why.split(":")[0] for note in source.notes) == [
        "cannot be read as a time", "has no zone in the source"
    ]  # fmt: skip


def test_a_fork_counts_what_it_did_itself() -> None:
    """Lines copied from another session, even a second time unmarked, cost nothing here; their numbers are kept."""
    s = session()
    for line in s.lines:
        line["forkedFrom"] = {"sessionId": "old", "messageUuid": line["uuid"]}
    again = {name: value for name, value in s.lines[8].items() if name != "forkedFrom"}
    s.lines.append(again | {"uuid": "line-again"})
    s.assistant("msg-5", text("Otherwise."), output=6)

    run = read(s.bytes())

    assert (run.parent_source_id, run.spawned_by, run.link) == ("old", "line-10", "forked")
    assert run.usage == Usage(input_tokens=3, cache_read_tokens=100, cache_write_tokens=5, output_tokens=6)
    assert (step(run, "line-8").extra or {})["message"]["usage"]["output_tokens"] == 9


def test_a_title_of_another_session_is_no_link() -> None:
    """A file opens with titles of other sessions of its project; and a session goes on from its own lines."""
    s = Session()
    s.line("summary", summary="Other work", leafUuid="line-of-another", uuid=None, sessionId=None)
    s.user("Fix it", parentUuid=None)
    s.line("system", subtype="compact_boundary", parentUuid=None, logicalParentUuid="line-1")

    run = read(s.bytes())

    assert (run.parent_source_id, run.spawned_by, run.link) == (None, None, None)


def test_the_file_name_tells_a_resumed_session() -> None:
    """A session that repeats lines of an older one is known by the id in its file's name."""
    s = session()
    other = "99999999-2222-3333-4444-555555555555"
    s.line("user", sessionId=other, message={"role": "user", "content": "resumed"})

    assert read(s.bytes()).source_id == SESSION
    assert read(s.bytes(), f"{other}.jsonl").source_id == other
    assert read(s.bytes(), f"{other}.jsonl.gz").source_id == other


@pytest.mark.parametrize(
    ("record", "is_ours"),
    [
        (session().lines[1], True),
        ({"type": "summary", "summary": "x", "leafUuid": "y"}, True),
        ({"loglines": []}, True),
        ({"type": "session_meta", "payload": {}, "timestamp": "x"}, False),
        ({"sessionId": "x", "messages": [], "projectHash": "y"}, False),
        ({"recordId": 1, "sessionId": "x", "tokens": {}}, False),
        ([1, 2], False),
    ],
)
def test_detection(record: Any, is_ours: bool) -> None:
    """Sessions are told by their lines, whatever the file's name."""
    head = Source.from_bytes(json.dumps(record).encode(), "whatever.txt").head

    assert (claude_code.detect(head) >= 0.5) == is_ours
