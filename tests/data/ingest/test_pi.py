"""pi sessions as runs: one line is one step, branches are kept and marked, cost is the recorded one."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from mutations import mutations, survives

from workbench.data.ingest import ingest
from workbench.data.ingest.formats import pi
from workbench.data.ingest.normal import BadLine, Run, Step, Usage
from workbench.data.ingest.reading.source import Source
from workbench.data.ingest.writing.derive import derived_states
from workbench.data.store.engine import Store

START = datetime(2026, 1, 2, 10, 0, tzinfo=UTC)
SESSION = "d703a1a9-1b7b-4fb1-b512-c9738b1fe617"
PARENT = "aaaaaaaa-1b7b-4fb1-b512-c9738b1fe617"
LARGE = "pi/large-session.jsonl.gz"


def at(seconds: float) -> str:
    return (START + timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")


class Session:
    """Writes a session line by line, each a second after the one before; as a tree unless it is of version 1."""

    def __init__(self, *, is_tree: bool = True, **header: Any) -> None:
        self.is_tree = is_tree
        version = {"version": 3} if is_tree else {"provider": "p", "modelId": "model-a", "thinkingLevel": "off"}
        first = {"type": "session", "id": SESSION, "timestamp": at(0), "cwd": "/repo"}
        self.lines: list[dict[str, Any]] = [first | version | header]
        self.leaf: str | None = None

    def entry(self, kind: str, *, parent: str | None = None, **fields: Any) -> str:
        """Add an entry below the last one, or below another: then a branch begins."""
        n = len(self.lines)
        links = {"id": f"e{n}", "parentId": parent or self.leaf} if self.is_tree else {}
        self.lines.append({"type": kind, **links, "timestamp": at(n), **fields})
        self.leaf = f"e{n}"
        return self.leaf

    def user(self, text: str, **fields: Any) -> str:
        return self.entry("message", message={"role": "user", "content": [{"type": "text", "text": text}]}, **fields)

    def assistant(
        self, *blocks: dict, cost: float = 0.25, out: int = 10, parent: str | None = None, **message: Any
    ) -> str:
        price = {"input": 0, "output": cost, "cacheRead": 0, "cacheWrite": 0, "total": cost}
        usage = {"input": 3, "output": out, "cacheRead": 100, "cacheWrite": 7, "totalTokens": 110 + out, "cost": price}
        said = {"role": "assistant", "content": list(blocks), "model": "model-a", "usage": usage, "stopReason": "stop"}
        return self.entry("message", parent=parent, message=said | message)

    def result(self, call_id: str, said: str = "done", *, is_error: bool = False) -> str:
        content = [{"type": "text", "text": said}]
        message = {"role": "toolResult", "toolCallId": call_id, "toolName": "read", "content": content}
        return self.entry("message", message=message | {"isError": is_error, "details": {"n": 1}})

    def bytes(self, n: int | None = None) -> bytes:
        return b"".join(json.dumps(line).encode() + b"\n" for line in self.lines[:n])


def text(said: str) -> dict[str, Any]:
    return {"type": "text", "text": said}


def call(call_id: str, **arguments: Any) -> dict[str, Any]:
    return {"type": "toolCall", "id": call_id, "name": "read", "arguments": arguments}


def session(**header: Any) -> Session:
    """A prompt, an answer with two calls, one of which fails, a thought and an answer."""
    s = Session(**header)
    s.user("Fix the login")
    s.assistant(text("I look."), call("c1", path="a"), call("c2", path="b"), stopReason="toolUse")
    s.result("c1", "a.py")
    s.result("c2", "no such file", is_error=True)
    s.assistant({"type": "thinking", "thinking": "Hm.", "thinkingSignature": "s"})
    s.entry("model_change", provider="p", modelId="model-b")
    s.assistant(text("There is no b."), model="model-b")
    return s


def read(content: bytes, name: str = "session.jsonl") -> tuple[Run, Source]:
    """The one run of a file without bad lines, and its notes."""
    source = Source.from_bytes(content, name)
    [run] = pi.read(source)
    assert isinstance(run, Run)
    return run, source


def one(s: Session) -> Run:
    return read(s.bytes())[0]


def extra(step: Step) -> Any:
    return step.extra or {}


@pytest.mark.parametrize("is_tree", [True, False], ids=["tree", "version 1"])
def test_every_line_is_one_step(is_tree: bool) -> None:
    """Lines become steps in their order, typed by what they hold, with the ids they have."""
    run = one(session(is_tree=is_tree))

    assert [step.event_type for step in run.steps] == [
        "log", "message", "tool_call", "tool_result", "tool_result", "reasoning", "log", "message"
    ]  # fmt: skip
    ids = [step.source_id for step in run.steps[1:]]
    assert (ids == [f"e{n}" for n in range(1, 8)]) == is_tree
    assert len(set(ids)) == 7
    assert run.states == []


def test_what_the_session_is() -> None:
    """Name, model, times, prompt, answer, tokens, cost and what the header says."""
    run = one(session())

    assert (run.source_id, run.agent_type, run.name, run.status) == (SESSION, "pi", "Fix the login", "completed")
    assert (run.model, run.started_at, run.completed_at) == ("model-a", START, START + timedelta(seconds=7))
    assert (run.input, run.output) == ({"prompt": "Fix the login"}, {"text": "There is no b."})
    assert (run.usage, run.cost_usd) == (Usage(9, 300, 21, 30), 0.75)
    assert run.metadata == {
        "version": 3, "cwd": "/repo", "n_prompts": 1, "n_tool_calls": 2, "models": {"model-a": 2, "model-b": 1}
    }  # fmt: skip


def test_calls_and_results_are_paired() -> None:
    """A result has its tool's name and stands under its call; the call lasts until its last result."""
    run = one(session())

    asked, good, bad, thought = run.steps[2:6]
    assert asked.tool == {"name": "read", "call_id": "c1", "arguments": {"path": "a"}}
    assert asked.tool_calls == [{"name": "read", "call_id": "c2", "arguments": {"path": "b"}}]
    assert (asked.text, asked.duration_ms, asked.parent_span_id) == ("I look.", 2000.0, "e1")
    assert good.tool == {
        "name": "read", "call_id": "c1", "result": [{"type": "text", "text": "a.py"}], "is_error": False
    }  # fmt: skip
    assert (good.parent_span_id, extra(good)["message"]) == ("e2", {"details": {"n": 1}})
    assert (bad.severity, bad.error) == ("error", {"type": "ToolError", "message": "no such file"})
    assert (thought.text, extra(thought)["content"]) == ("Hm.", [{"type": "thinking", "thinkingSignature": "s"}])
    assert extra(asked)["usage"] == {
        "totalTokens": 120, "cost": {"input": 0, "output": 0.25, "cacheRead": 0, "cacheWrite": 0}
    }  # fmt: skip


def branched() -> Session:
    """Two abandoned attempts beside the one the session stands on."""
    s = session()
    s.user("Use c", parent="e1")
    s.assistant(text("c it is."))
    s.entry("branch_summary", parent="e7", fromId="e9", summary="c was tried")
    s.user("Create b")
    s.assistant(text("Created."))
    s.user("A second root")
    s.lines[-1]["parentId"] = None
    s.entry("label", parent="e12", targetId="e7", label="before b")
    return s


def test_abandoned_branches_are_kept_and_marked() -> None:
    """The branch of the last entry is the session; what lies off it has lanes of its own and is reported."""
    run, source = read(branched().bytes())

    off = {step.source_id: step.agent for step in run.steps if "is_off_branch" in extra(step)}
    assert off == {"e8": "abandoned branch 1", "e9": "abandoned branch 1", "e13": "abandoned branch 2"}
    assert (run.output, run.metadata["n_off_branch"], run.metadata["n_prompts"]) == ({"text": "Created."}, 3, 2)
    assert run.cost_usd == 1.25
    parents = {step.source_id: step.parent_span_id for step in run.steps}
    assert (parents["e7"], parents["e9"], parents["e10"], parents["e12"], parents["e14"]) == (
        "e1", "e8", "e1", "e11", "e11"
    )  # fmt: skip
    assert [n for note, n in source.notes.items() if note.what == "entry off the branch"] == [3]


def test_the_derived_state_is_that_of_the_branch() -> None:
    """What was said on an abandoned branch is in no state."""
    run = one(branched())

    changes = [change for state in derived_states(run.steps) for change in state.patch or []]
    said = [change["value"].get("content") for change in changes if change["path"] == "/messages/-"]
    assert [content for content in said if content] == [
        "Fix the login", "I look.", "There is no b.", "c was tried", "Create b", "Created."
    ]  # fmt: skip


def test_a_fork_copies_its_parent() -> None:
    """Entries older than a forked session are its parent's: kept and marked, their tokens and cost counted there."""
    s = session(parentSession=f"/home/u/.pi/2026_{PARENT}.jsonl", timestamp=at(4.5))
    run, source = read(s.bytes())
    old = one(Session(is_tree=False, branchedFrom=f"x_{PARENT}.jsonl"))

    assert (run.parent_source_id, old.parent_source_id) == (PARENT, PARENT)
    assert [("is_copied" in extra(step)) for step in run.steps] == [False, *[True] * 4, *[False] * 3]
    assert (run.cost_usd, run.usage) == (0.5, Usage(6, 200, 14, 20))
    assert extra(run.steps[2])["usage"]["cost_usd"] == 0.25
    assert [note.what for note in source.notes] == ["copied entry"]


def test_entries_before_the_header_are_no_copies() -> None:
    """A header is written with the first answer: in a session without parent nothing is copied."""
    assert one(session(timestamp=at(4.5))).cost_usd == 0.75


def test_costs_without_a_price() -> None:
    """0.0 with tokens is unpriced, 0.0 without tokens is nothing spent, a missing cost is unknown; each is noted."""
    s = session()
    s.assistant(text("free"), usage={"input": 0, "output": 0, "cacheRead": 0, "cacheWrite": 0, "cost": {"total": 0}})
    nothing, quiet = read(s.bytes())
    s.assistant(text("local"), cost=0.0)
    unpriced, zero = read(s.bytes())
    s.lines.pop()
    s.leaf = "e8"
    s.assistant(text("old"), usage={"input": 1, "output": 1})
    missing, none = read(s.bytes())

    assert (nothing.cost_usd, nothing.steps[-1].cost_usd) == (0.75, 0.0)
    assert (unpriced.cost_usd, unpriced.steps[-1].cost_usd) == (None, None)
    assert (missing.cost_usd, missing.steps[-1].usage) == (None, Usage(input_tokens=1, output_tokens=1))
    assert [[note.what for note in source.notes] for source in (quiet, zero, none)] == [[], ["cost"], ["cost"]]


@pytest.mark.parametrize(
    ("message", "status", "error_type"),
    [
        ({"stopReason": "stop"}, "completed", None),
        ({"stopReason": "aborted", "errorMessage": "Request was aborted"}, "cancelled", "interrupted"),
        ({"stopReason": "error", "errorMessage": "terminated"}, "failed", "api_error"),
    ],
)
def test_how_it_ended(message: dict, status: str, error_type: str | None) -> None:
    """The last message decides; an abort or an error that was got over does not."""
    s = session()
    s.assistant(text("a"), **message)
    ended = one(s)
    s.entry("thinking_level_change", thinkingLevel="low")
    still = one(s)
    s.user("Go on")
    went_on = one(s)

    assert (ended.status, ended.error_type, still.status, went_on.status) == (status, error_type, status, "completed")
    assert ended.steps[-1].severity == {"completed": "info", "cancelled": "warning", "failed": "error"}[status]


def test_other_entries_and_messages() -> None:
    """Commands of the user, summaries, extensions, names and whatever a later release writes: all kept."""
    s = Session()
    bash = {"role": "bashExecution", "command": "ls", "output": "x", "exitCode": 2, "cancelled": False}
    s.entry("message", message=bash)
    s.entry("compaction", summary="So far", firstKeptEntryId="e1", tokensBefore=5)
    s.entry("custom_message", customType="ext", content="Injected", display=True)
    s.entry("custom", customType="ext", data={"n": 1})
    s.entry("session_info", name="A name")
    s.entry("message", message={"role": "hookMessage", "customType": "hook", "content": "h"})
    s.entry("message", message={"role": "compactionSummary", "summary": "Sum", "tokensBefore": 5})
    s.entry("brand_new", x=1)
    s.entry("message", message="odd")
    s.user("Look")
    s.lines[-1]["message"]["content"].append({"type": "image", "data": "…"})
    run = one(s)

    assert [(step.event_type, step.name, step.text) for step in run.steps[1:]] == [
        ("tool_call", "bash", None),
        ("state", "compaction", "So far"),
        ("message", "ext", "Injected"),
        ("log", "custom", None),
        ("log", "session_info", "A name"),
        ("message", "hook", "h"),
        ("message", "compaction", "Sum"),
        ("log", "brand_new", None),
        ("log", "message", None),
        ("message", "user", "Look"),
    ]
    assert run.steps[1].tool == {
        "name": "bash", "call_id": None, "arguments": {"command": "ls"}, "result": "x", "is_error": True
    }  # fmt: skip
    assert extra(run.steps[1])["message"] == {"exitCode": 2, "cancelled": False}
    assert extra(run.steps[2])["firstKeptEntryId"] == "e1"
    assert (extra(run.steps[4])["data"], extra(run.steps[9])["message"]) == ({"n": 1}, "odd")
    assert extra(run.steps[10])["content"] == [{"type": "image", "data": "…"}]
    assert (run.name, run.input) == ("A name", {"prompt": "Look"})


def test_broken_links_are_survived() -> None:
    """Where a parent is not there or comes later, the line before is; a repeated id is kept and reported."""
    s = session()
    s.lines[2]["parentId"] = "gone"
    s.lines[5]["parentId"] = "e7"
    s.lines.append({**s.lines[3], "parentId": "e7"})
    run, source = read(s.bytes())

    assert len(run.steps) == 9
    assert run.steps[-1].source_id == "e3#2"
    assert not [step for step in run.steps if "is_off_branch" in extra(step)]
    assert [n for note, n in source.notes.items() if note.what == "id"] == [1]


def test_a_lost_line_abandons_nothing() -> None:
    """Where one line in the middle cannot be read, what was said before it is still the session's branch."""
    lines = session().bytes().splitlines()

    bad, run = pi.read(Source.from_bytes(b"\n".join([*lines[:3], lines[3][:40], *lines[4:]])))

    assert isinstance(bad, BadLine)
    assert isinstance(run, Run)
    assert [step.source_id for step in run.steps if "is_off_branch" in extra(step)] == []


def test_broken_lines_are_reported_by_number() -> None:
    """Scalars and a cut last line are bad lines; the session around them is whole."""
    lines = session().bytes().splitlines()

    *bad, run = pi.read(Source.from_bytes(b"\n".join([lines[0], b"[1]", *lines[1:], lines[2][:50]])))

    assert [(line.line, line.reason.split(":")[0]) for line in bad if isinstance(line, BadLine)] == [
        (2, "expected a JSON object, found a list"),
        (10, "cut off"),
    ]
    assert isinstance(run, Run)
    assert len(run.steps) == 8


def test_ids_do_not_depend_on_what_comes_later() -> None:
    """The entries of a session keep their ids when it goes on, with ids of their own and without."""
    for is_tree in (True, False):
        s = session(is_tree=is_tree)
        shorter, _ = read(s.bytes(4))

        assert [step.source_id for step in one(s).steps][:4] == [step.source_id for step in shorter.steps]


def test_a_session_without_header_is_known_by_its_name() -> None:
    """The id in the file's name, else one made from the first line; the report says so."""
    content = session().bytes().split(b"\n", 1)[1]

    named, source = read(content, f"2026-01-02T10-00-00-000Z_{SESSION}.jsonl")
    assert named.source_id == SESSION
    assert read(content)[0].source_id.startswith("line:")
    assert [note.what for note in source.notes] == ["session id"]


@pytest.mark.parametrize(
    ("line", "is_ours"),
    [
        (session().lines[0], True),
        (session().lines[1], True),
        (session(is_tree=False).lines[0], True),
        ({"type": "thinking_level_change", "thinkingLevel": "off"}, True),
        ({"type": "session", "id": "x"}, False),
        ({"type": "message", "role": "user", "content": []}, False),
        ({"type": "message", "timestamp": "x", "message": {"role": []}}, False),
        ({"type": {}, "message": []}, False),
    ],
)
def test_detection(line: dict, is_ours: bool) -> None:
    """A session is told by its lines, whatever the file's name."""
    assert (pi.detect(Source.from_bytes(json.dumps(line).encode(), "x.txt").head) >= 0.5) == is_ours


@pytest.mark.parametrize("is_tree", [True, False], ids=["tree", "version 1"])
def test_spoilt_files_are_survived(is_tree: bool) -> None:
    """Whatever is flipped, cut, deleted or replaced in a session, nothing is raised and most of it is read."""
    s = branched() if is_tree else session(is_tree=False, branchedFrom=f"{PARENT}.jsonl")
    results = [survives(pi, data, "session.jsonl") for data in mutations(s.bytes(), n=400)]

    assert sum(bool(runs) for runs, _ in results) > 360
    assert sum(len(run.steps) for runs, _ in results for run in runs) > 300 * len(s.lines) * 0.8


# The real file -----------------------------------------------------------------------------------------------------


def test_the_real_session(shared_data: Path) -> None:
    """Lines, tokens, cost, aborts, errors and length are those of the design's formats.md and of the file."""
    content = (shared_data / LARGE).read_bytes()
    run, source = read(content, LARGE)

    records = [json.loads(line) for line in gzip.decompress(content).splitlines()]
    messages = [record["message"] for record in records if record["type"] == "message"]
    usages = [message["usage"] for message in messages if message["role"] == "assistant"]
    assert len(run.steps) == len(records) == 1019
    assert run.usage == Usage(
        *(sum(usage[name] for usage in usages) for name in ("input", "cacheRead", "cacheWrite", "output"))
    )
    assert (run.usage and run.usage.output_tokens, run.usage and run.usage.cache_read_tokens) == (83_156, 43_229_469)
    assert run.cost_usd == pytest.approx(sum(usage["cost"]["total"] for usage in usages), abs=1e-9)
    assert round(run.cost_usd or 0, 4) == 30.3302
    stops = Counter(extra(step).get("message", {}).get("stopReason") for step in run.steps)
    assert (stops["aborted"], stops["error"], run.metadata["n_interruptions"]) == (21, 1, 21)
    assert sum(1 for step in run.steps if (step.tool or {}).get("is_error")) == 19
    assert (run.metadata["n_prompts"], run.metadata["n_tool_calls"]) == (88, 391)
    assert run.started_at is not None
    assert run.completed_at is not None
    assert round((run.completed_at - run.started_at) / timedelta(hours=1), 1) == 2.7
    assert (run.source_id, run.status, source.notes) == (SESSION, "completed", {})


def test_the_real_session_read_while_it_grew(store: Store, tmp_path: Path, shared_data: Path) -> None:
    """The first half, then the whole, then the whole again: each line is stored once."""
    lines = gzip.decompress((shared_data / LARGE).read_bytes()).splitlines(keepends=True)
    path = tmp_path / "session.jsonl"
    outcomes = []
    for n in (500, 1019, 1019):
        path.write_bytes(b"".join(lines[:n]))
        [file] = ingest(store, path, progress=False).files
        outcomes.append((file.outcome, file.events, file.n_bad))

    assert outcomes == [("new", 500, 0), ("extended", 1019, 0), ("already there", 1019, 0)]


def test_the_real_session_spoilt_is_survived(shared_data: Path) -> None:
    """The first hundred lines of the real session, spoilt 150 times: nothing is raised."""
    lines = gzip.decompress((shared_data / LARGE).read_bytes()).splitlines(keepends=True)
    for data in mutations(b"".join(lines[:100]), n=150):
        survives(pi, data, "session.jsonl")
