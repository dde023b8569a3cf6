"""OpenHands histories: events of two shapes, answers counted once, rows of resolver and evaluations."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from mutations import mutations, survives

from workbench.data.ingest import ingest
from workbench.data.ingest.detect import choose
from workbench.data.ingest.formats import openhands
from workbench.data.ingest.normal import BadLine, Run, Usage
from workbench.data.ingest.reading.source import Source
from workbench.data.store.engine import Store

# file → runs, events: the table of files in the design's formats.md.
FILES = {"resolver-output.jsonl": (2, 52), "basic_gui_mode.json": (1, 18)}
USAGE = {"prompt_tokens": 100, "completion_tokens": 7, "cache_read_input_tokens": 60, "cache_creation_input_tokens": 30}


def answer(call_id: str = "c1", key: str = "r1", name: str = "execute_bash", **given: Any) -> dict[str, Any]:
    function = {"name": name, "arguments": json.dumps(given)}
    message = {"role": "assistant", "content": "I look.", "tool_calls": [{"id": call_id, "function": function}]}
    response = {"id": key, "model": "model-a", "choices": [{"message": message}], "usage": USAGE}
    return {"function_name": name, "tool_call_id": call_id, "model_response": response, "total_calls_in_response": 1}


def action(n: int, kind: str = "run", source: str = "agent", **fields: Any) -> dict[str, Any]:
    args = fields.pop("args", {"command": "ls", "thought": "I look."})
    at = f"2025-01-20T20:29:{n:02d}.5"
    return {"id": n, "timestamp": at, "source": source, "message": "", "action": kind, "args": args, **fields}


def observation(n: int, cause: int | None, kind: str = "run", content: Any = "x", **fields: Any) -> dict[str, Any]:
    about = {"id": n, "timestamp": f"2025-01-20T20:29:{n:02d}.5", "source": "agent", "message": content}
    told = {} if cause is None else {"cause": cause}
    return {**about, **told, "observation": kind, "content": content, "extras": {}, **fields}


def said(n: int, text: str = "Go.", source: str = "user") -> dict[str, Any]:
    return action(n, "message", source, args={"content": text})


def state(n: int, name: str, **extras: Any) -> dict[str, Any]:
    fields = {"source": "environment", "extras": {"agent_state": name, **extras}}
    return {**observation(n, None, "agent_state_changed", ""), **fields}


def flat(kind: str, **fields: Any) -> dict[str, Any]:
    return {"action": kind, **fields}


def row(*history: Any, **fields: Any) -> dict[str, Any]:
    events = list(history) or [
        flat("message", content="Fix it."),
        flat("run", command="ls", thought="I look."),
        {"observation": "run", "content": "a.py", "command": "ls", "exit_code": 0},
        flat("finish", outputs={}, thought="Done."),
    ]
    issue = {"owner": "acme", "repo": "shop", "number": 5, "title": "It breaks", "body": "Always."}
    metrics = {"accumulated_cost": 0.5, "costs": [0.2, 0.3]}
    about = {"issue": issue, "instruction": "Fix it.", "git_patch": "diff", "metrics": metrics, "success": True}
    return {**about, "history": events, "error": None, **fields}


def read(content: Any, name: str = "events.json") -> tuple[list[Run], list[tuple[int | None, str]], Source]:
    """The runs, what cannot be read, and the notes."""
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    source = Source.from_bytes(data, name)
    found = list(openhands.read(source))
    bad = [(item.line, item.reason) for item in found if isinstance(item, BadLine)]
    return [item for item in found if isinstance(item, Run)], bad, source


def noted(source: Source, what: str) -> list[int]:
    return [n for note, n in source.notes.items() if note.what == what]


# -- events ------------------------------------------------------------------------------------------------------------


def test_the_answer_of_a_finish_is_the_output_of_the_run() -> None:
    """Today's OpenHands writes its answer into ``final_thought`` and leaves the thought of the action empty."""
    events = [said(0), said(1, "I look.", "agent")]
    events.append(action(2, "finish", args={"final_thought": "All is well.", "outputs": {}, "thought": ""}))
    [run], _, _ = read(events)

    assert run.output == {"text": "All is well."}
    assert run.steps[2].tool == {
        "name": "finish",
        "arguments": {"final_thought": "All is well.", "outputs": {}, "thought": ""},
    }


def test_events_are_steps() -> None:
    """Messages, calls and results of the agent are the conversation; the environment's own notes are log lines."""
    events = [
        action(0, "system", args={"content": "Be brief.", "tools": [1]}),
        said(1),
        action(2, "recall", "user", args={"query": "Go.", "thought": ""}),
        observation(3, 2, "recall", "workspace"),
        action(4, tool_call_metadata=answer(command="ls -a"), args={"command": "ls -a", "thought": "I look."}),
        observation(5, 4, tool_call_metadata=answer(command="ls -a"), success=True),
        observation(6, 1, "null", ""),
        action(7, "change_agent_state", "environment", args={"agent_state": "finished"}),
        said(8, "Done.", "agent"),
        state(9, "finished"),
    ]
    [run], bad, _ = read(events)

    assert bad == []
    assert [(s.event_type, s.role, s.text) for s in run.steps] == [
        ("message", "system", "Be brief."), ("message", "user", "Go."), ("log", None, None), ("log", None, "workspace"),
        ("tool_call", "assistant", "I look."), ("tool_result", "tool", None), ("log", None, None), ("log", None, None),
        ("message", "assistant", "Done."), ("log", None, None),
    ]  # fmt: skip
    call, result = run.steps[4:6]
    assert call.tool == {"name": "execute_bash", "call_id": "c1", "arguments": {"command": "ls -a"}}
    assert result.tool == {"name": "execute_bash", "call_id": "c1", "result": "x", "is_error": False}
    assert (result.parent_span_id, call.span_id, call.duration_ms, call.source_id) == ("4", "4", 1000.0, "4")
    assert run.steps[0].extra == {"args": {"tools": [1]}}
    assert (run.output, run.input, run.status) == ({"text": "Done."}, {"prompt": "Go."}, "completed")
    assert run.metadata == {"agent_state": "finished"}


def test_an_answer_is_counted_once() -> None:
    """The model's answer stands on every event it led to: tokens once, in disjoint classes, the record at the first."""
    first = answer("c1")
    second = {**answer("c1"), "tool_call_id": "c2"}
    events = [
        action(0, tool_call_metadata=first),
        action(1, tool_call_metadata=second),
        observation(2, 0, tool_call_metadata=first),
        observation(3, 1, tool_call_metadata=second),
        action(4, tool_call_metadata=answer(key="r2")),
    ]
    [run], _, source = read(events)

    once = Usage(input_tokens=10, cache_read_tokens=60, cache_write_tokens=30, output_tokens=7)
    assert [step.usage for step in run.steps] == [once, None, None, None, once]
    assert run.usage == Usage(20, 120, 60, 14)
    assert ["model_response" in (step.extra or {}).get("tool_call_metadata", {}) for step in run.steps] == [
        True, False, False, False, True
    ]  # fmt: skip
    assert noted(source, "model_response") == [3]
    assert run.model == "model-a"


@pytest.mark.parametrize(
    ("fields", "is_error"),
    [
        ({}, None),
        ({"success": True}, False),
        ({"success": False}, True),
        ({"extras": {"metadata": {"exit_code": 1}}}, True),
        ({"extras": {"metadata": {"exit_code": 0}}}, False),
        ({"extras": {"exit_code": 2}, "success": True}, False),
        ({"observation": "error"}, True),
    ],
)
def test_whether_an_action_failed(fields: dict, is_error: bool | None) -> None:
    """By the source's own word, else by the exit code, else unknown."""
    [run], _, _ = read([action(0), observation(1, 0, **fields)])

    result = run.steps[1]
    assert (result.tool or {}).get("is_error") is is_error
    assert (result.severity, result.error is not None) == (("error", True) if is_error else ("info", False))


def test_an_error_that_answers_nothing_is_an_error() -> None:
    """An error observation without an action is a log line of severity error."""
    [run], _, _ = read([said(0), observation(1, None, "error", "No model.")])

    assert (run.steps[1].event_type, run.steps[1].severity) == ("log", "error")
    assert run.steps[1].error == {"type": "ErrorObservation", "message": "No model."}


@pytest.mark.parametrize(
    ("name", "status"),
    [("finished", "completed"), ("awaiting_user_input", "completed"), ("error", "failed"), ("rejected", "failed"),
     ("stopped", "cancelled"), ("running", "running"), ("paused", "running")],
)  # fmt: skip
def test_the_last_state_of_the_agent_is_the_outcome(name: str, status: str) -> None:
    """What the agent was last said to be decides, with the reason it was given."""
    [run], _, _ = read([said(0), state(1, "running"), state(2, name, reason="Budget exceeded.")])

    assert (run.status, run.error) == (status, "Budget exceeded." if status == "failed" else None)


def test_an_id_that_is_not_the_place_is_kept() -> None:
    """Events that were filtered out leave gaps: an event's own id is kept where it is not its step number."""
    [run], _, _ = read([said(0), action(7), observation(9, 7)])

    assert [(step.extra or {}).get("id") for step in run.steps] == [None, 7, 9]
    assert run.steps[2].parent_span_id == "7"


def test_cost_of_the_events() -> None:
    """Events that carry what was accumulated so far give the run's cost and tokens with the last of them."""
    tokens = {"prompt_tokens": 50, "completion_tokens": 5, "cache_read_tokens": 20, "cache_write_tokens": 10}
    metrics = [{"accumulated_cost": cost, "accumulated_token_usage": tokens} for cost in (0.1, 0.4)]
    [run], _, _ = read([action(n, llm_metrics=found) for n, found in enumerate(metrics)])

    assert (run.cost_usd, run.usage) == (0.4, Usage(20, 20, 10, 5))


def test_ids_stay_when_the_file_grows() -> None:
    """A history that went on keeps the id of its run; another one has another."""
    events = [said(0), action(1), observation(2, 1), said(3, "Done.", "agent")]
    [[before], _, _], [[after], _, _] = (read(events[:n]) for n in (2, 4))

    assert before.source_id == after.source_id != read([said(0, "Other."), action(1)])[0][0].source_id
    assert read(events[:1])[0][0].source_id == before.source_id
    assert [step.source_id for step in after.steps] == ["0", "1", "2", "3"]


# -- rows --------------------------------------------------------------------------------------------------------------


def test_a_resolvers_row() -> None:
    """Flat events: fields are arguments, an observation answers the action before it, each cost is its action's."""
    [run], bad, source = read(row())

    assert bad == []
    assert [(s.event_type, s.role, s.text, s.cost_usd) for s in run.steps] == [
        ("message", "user", "Fix it.", None), ("tool_call", "assistant", "I look.", 0.2),
        ("tool_result", "tool", None, None), ("tool_call", "assistant", "Done.", 0.3),
    ]  # fmt: skip
    assert run.steps[1].tool == {"name": "run", "arguments": {"command": "ls"}}
    assert run.steps[2].tool == {"name": "run", "result": "a.py", "is_error": False}
    assert (run.cost_usd, run.usage, run.score, run.status) == (0.5, None, 1.0, "completed")
    assert run.output == {"text": "Done.", "git_patch": "diff"}
    assert run.task is not None
    assert (run.task.source_id, run.task.title, run.task.description) == (
        "acme/shop#5", "acme/shop#5: It breaks", "Always."
    )  # fmt: skip
    assert run.source_id.startswith("acme/shop#5/")
    assert (noted(source, "cause"), noted(source, "cost")) == ([1], [2])


@pytest.mark.parametrize(
    ("fields", "status", "error_type", "score"),
    [
        ({}, "completed", None, 1.0),
        ({"success": False, "result_explanation": "No."}, "failed", "unsuccessful", 0.0),
        ({"error": "AgentStuckInLoopError: again"}, "failed", "AgentStuckInLoopError", 1.0),
        ({"error": "gone", "success": None}, "failed", "error", None),
        ({"success": None, "test_result": {"report": {"resolved": False}}}, "failed", "unsuccessful", 0.0),
        ({"success": None, "test_result": {"git_patch": "d"}}, "completed", None, None),
    ],
)
def test_the_outcome_of_a_row(fields: dict, status: str, error_type: str | None, score: float | None) -> None:
    """An error or a judgement against it is a failure; without either it is completed."""
    [run], _, _ = read(row(**fields))

    assert (run.status, run.error_type, run.score) == (status, error_type, score)


def test_a_row_of_an_evaluation() -> None:
    """Instance, agent and model are the row's; tokens are joined by the answer's id, else accumulated."""
    metadata = answer()
    del metadata["model_response"]["usage"]
    metrics = {
        "accumulated_cost": 0.0,
        "token_usages": [{"prompt_tokens": 9, "completion_tokens": 1, "response_id": "r1"}],
        "accumulated_token_usage": {"prompt_tokens": 19, "completion_tokens": 2, "cache_read_tokens": 4},
    }
    pairs = [[said(0), observation(1, 0, "null", "")], [action(2, tool_call_metadata=metadata), observation(3, 2)]]
    about = {"agent_class": "CodeActAgent", "llm_config": {"model": "model-b"}}
    [run], bad, source = read(
        {
            "instance_id": "acme__shop-1",
            "instruction": "Fix it.",
            "metadata": about,
            "history": pairs,
            "metrics": metrics,
            "test_result": {"git_patch": "diff"},
        }
    )

    assert (bad, len(run.steps)) == ([], 4)
    assert run.steps[2].usage == Usage(9, output_tokens=1)
    assert (run.usage, run.cost_usd) == (Usage(15, 4, None, 2), None)
    assert (run.agent_type, run.model, run.output) == (
        "openhands/CodeActAgent", "model-b", {"text": "I look.", "git_patch": "diff"}
    )  # fmt: skip
    assert run.task is not None
    assert run.task.source_id == "acme__shop-1"
    assert noted(source, "cost") == [1]


def test_bad_rows_and_events_are_reported_with_their_line() -> None:
    """A line that is no row, a row without history and an event that is none are named; the rest is read."""
    lines = [row(), {"history": None}, row({"action": ["x"]}, 42, said(1)), row()]
    content = b"\n".join([*(json.dumps(line).encode() for line in lines[:3]), b"{cut", b""])

    runs, bad, _ = read(content, "output.jsonl")

    assert [len(run.steps) for run in runs] == [4, 2]
    assert bad[:2] == [
        (2, "expected a row with a list history, found null"), (3, "event 1: expected an object, found a number")
    ]  # fmt: skip
    assert [line for line, _ in bad] == [2, 3, 4]


def test_a_row_that_is_not_quite_json_keeps_its_bytes() -> None:
    """Bytes that are no UTF-8 are replaced, that is noted, and the row as it was is kept beside its first event."""
    content = json.dumps(row()).encode().replace(b"I look.", b"I \xff look.")

    [run], bad, source = read(content, "output.jsonl")

    assert (bad, run.steps[1].text) == ([], "I \ufffd look.")
    assert (run.steps[0].raw, noted(source, "JSON")) == (content, [1])


@pytest.mark.parametrize("content", [b"{\n}", b'{\n "history": 3}'])
def test_a_document_without_history_is_reported(content: bytes) -> None:
    """A document over several lines that holds no history is one line that says so."""
    _, bad, _ = read(content)

    assert bad == [(None, "expected a list of events or an object with a list history, found an object")]


@pytest.mark.parametrize("name", ["events", "row", "pairs"])
def test_any_damage_is_survived(name: str) -> None:
    """Whatever is cut, deleted or replaced in any shape, only our own error is raised and most still give a run."""
    events = [said(0), action(1, tool_call_metadata=answer(), llm_metrics={"accumulated_cost": 0.1}),
              observation(2, 1, tool_call_metadata=answer()), state(3, "error")]  # fmt: skip
    metrics = {"accumulated_cost": 1, "accumulated_token_usage": USAGE, "token_usages": [{"response_id": "r1"}]}
    document = {"events": events, "row": row(), "pairs": row(events[:2], events[2:], metrics=metrics)}[name]
    spoilt = mutations(json.dumps(document).encode(), n=300)

    assert sum(1 for data in spoilt if survives(openhands, data, "output.jsonl")[0]) > 120


# -- real files --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FILES)
def test_real_files(name: str, store: Store, shared_data: Path) -> None:
    """Runs and events of every real file; the second time nothing is new; damage raises nothing but our own error."""
    path = shared_data / "openhands" / name
    [file] = ingest(store, path, progress=False).files
    [again] = ingest(store, path, progress=False).files

    assert choose(Source.of(path)).FORMAT == "openhands"
    assert (file.executions, file.events, file.n_bad) == (*FILES[name], 0)
    assert again.outcome == "already there"
    for data in mutations(path.read_bytes(), n=60):
        survives(openhands, data, name)


def test_cost_of_the_real_resolver(store: Store, shared_data: Path) -> None:
    """0.070713 and 1.152933 USD, both successful; the costs of the events add up to those of the runs."""
    ingest(store, shared_data / "openhands/resolver-output.jsonl", progress=False)

    with store.raw() as connection:
        rows = connection.execute(
            "SELECT cost::float, score, status, (SELECT sum((data->>'cost_usd')::float) FROM"
            " workbench.observability_events e WHERE e.execution_id = x.id) FROM workbench.agent_executions x"
            " ORDER BY 1"
        ).fetchall()
    assert [row[:3] for row in rows] == [(0.070713, 1.0, "completed"), (1.152933, 1.0, "completed")]
    assert [row[3] for row in rows] == pytest.approx([0.070713, 1.152933])


def test_tokens_of_the_real_event_list(store: Store, shared_data: Path) -> None:
    """Counted by plain addition over the distinct answers in the file: each stands there twice."""
    path = shared_data / "openhands/basic_gui_mode.json"
    answers = {
        event["tool_call_metadata"]["model_response"]["id"]: event["tool_call_metadata"]["model_response"]["usage"]
        for event in json.loads(path.read_bytes())
        if "tool_call_metadata" in event
    }
    ingest(store, path, progress=False)

    with store.raw() as connection:
        row = connection.execute("SELECT token_usage, status FROM workbench.agent_executions").fetchone()
        errors = connection.execute(
            "SELECT count(*) FROM workbench.observability_events WHERE severity = 'error'"
        ).fetchone()
    read_, written, prompt = (
        sum(usage[key] for usage in answers.values())
        for key in ("cache_read_input_tokens", "cache_creation_input_tokens", "prompt_tokens")
    )
    assert len(answers) == 4
    assert row == (
        {"input_tokens": prompt - read_ - written, "cache_read_tokens": read_, "cache_write_tokens": written,
         "output_tokens": sum(usage["completion_tokens"] for usage in answers.values())},
        "completed",
    )  # fmt: skip
    assert errors == (1,)


# -- delegates ---------------------------------------------------------------------------------------------------------


def delegate(n: int, agent: str = "BrowsingAgent", **fields: Any) -> dict[str, Any]:
    return action(n, "delegate", args={"agent": agent, "inputs": {"task": "Look."}, "thought": ""}, **fields)


def ended(n: int, **fields: Any) -> dict[str, Any]:
    """What ends a delegate; the source never writes a cause."""
    return observation(n, None, "delegate", "finishes task", extras={"outputs": {}}, **fields)


def test_what_a_delegate_does_is_a_lane() -> None:
    """Events between a delegating action and what ends it are the delegate's, and its own delegates' theirs."""
    call = answer(call_id="c9")
    events = [
        said(0), delegate(1, tool_call_metadata=call), said(2, "TASK: Look."), action(3, args={"command": "ls"}),
        observation(4, 3), delegate(5, "CodeActAgent"), said(6, "Deeper.", "agent"), ended(7), state(8, "finished"),
        ended(9, tool_call_metadata=call), delegate(10), said(11, "Again.", "agent"), ended(12),
    ]  # fmt: skip
    [run], bad, _ = read(events)

    assert bad == []
    assert [step.agent for step in run.steps] == [
        "user", None, *["BrowsingAgent"] * 4, "CodeActAgent", *["BrowsingAgent"] * 2, None, None, "BrowsingAgent #2",
        None,
    ]  # fmt: skip
    assert [step.parent_span_id for step in run.steps] == [
        None, None, "1", "1", "3", "1", "5", "5", "1", "1", None, "10", "10"
    ]  # fmt: skip
    first, end = run.steps[1], run.steps[9]
    assert ((end.tool or {})["call_id"], first.duration_ms) == ("c9", 8000.0)
    assert (run.output, run.metadata) == (None, {})


def test_a_delegate_without_an_end_takes_nothing() -> None:
    """Cut off, or gone on without it: nothing tells which, so the steps stay the agent's own."""
    events = [said(0), ended(1), delegate(2), said(3, "Here.", "agent")]
    [run], bad, _ = read(events)

    assert bad == []
    assert [step.agent for step in run.steps] == ["user", None, None, None]
    assert (run.steps[3].parent_span_id, run.output) == (None, {"text": "Here."})


def test_a_delegate_that_ends_later_is_a_lane_then(store: Store, tmp_path: Path) -> None:
    """A list read while the delegate works, and again when it has ended, is what it is when read once."""
    call = answer(call_id="c9")
    events = [said(0), delegate(1, tool_call_metadata=call), said(2, "TASK"), action(3), observation(4, 3),
              ended(5, tool_call_metadata=call), said(6, "Done.", "agent")]  # fmt: skip
    lanes = "SELECT agent, parent_span_id, duration_ms, mark FROM workbench.observability_events ORDER BY step_number"
    for n in (3, 5, 7):
        (tmp_path / "events.json").write_text(json.dumps(events[:n]))
        ingest(store, tmp_path / "events.json", progress=False)

    with store.raw() as connection:
        found = connection.execute(lanes).fetchall()
    [run], _, _ = read(events)
    assert [row[:2] for row in found] == [(step.agent or "openhands", step.parent_span_id) for step in run.steps]
    assert (found[1][2:], found[2][0]) == ((4000.0, None), "BrowsingAgent")


def test_a_sub_agent_lies_under_its_parent() -> None:
    """The folder of a sub-agent of the SDK tells the conversation that it belongs to."""
    event = json.dumps(conversation()[1]).encode()

    [agent], _, _ = read(event, "/store/abc/subagents/def/events/event-00001-e1.json")
    [parent], _, _ = read(event, "/store/abc/events/event-00001-e1.json")

    assert (agent.source_id, agent.parent_source_id) == ("def", "abc")
    assert (parent.source_id, parent.parent_source_id) == ("abc", None)


# -- events of the SDK -------------------------------------------------------------------------------------------------


def sdk(n: int, kind: str, source: str, **fields: Any) -> dict[str, Any]:
    return {"id": f"e{n}", "timestamp": f"2026-02-05T11:24:{n:02d}.5", "source": source, **fields, "kind": kind}


def text(words: str) -> list[dict[str, Any]]:
    return [{"cache_prompt": False, "type": "text", "text": words}]


def conversation() -> list[dict[str, Any]]:
    asked = {"id": "c1", "name": "terminal", "arguments": '{"command": "pwd", "security_risk": "LOW"}'}
    usages = [{"prompt_tokens": 100, "completion_tokens": 7, "cache_read_tokens": 60, "response_id": "r1"}]
    whole = {"prompt_tokens": 100, "completion_tokens": 7, "cache_read_tokens": 60, "cache_write_tokens": 0}
    agent = {"accumulated_cost": 0.5, "accumulated_token_usage": whole, "token_usages": usages}
    stats = {"usage_to_metrics": {"agent": agent}}
    return [
        sdk(0, "SystemPromptEvent", "agent", system_prompt={"type": "text", "text": "Help."}, tools=[{"name": "t"}]),
        sdk(1, "MessageEvent", "user", llm_message={"role": "user", "content": text("Run pwd.")}),
        sdk(
            2,
            "ActionEvent",
            "agent",
            thought=text("I look."),
            action={"command": "pwd", "kind": "TerminalAction"},
            tool_name="terminal",
            tool_call_id="c1",
            tool_call=asked,
            llm_response_id="r1",
        ),
        sdk(
            3,
            "ObservationEvent",
            "environment",
            tool_name="terminal",
            tool_call_id="c1",
            observation={"content": text("/work"), "is_error": False, "exit_code": 0, "kind": "TerminalObservation"},
            action_id="e2",
        ),
        sdk(4, "AgentErrorEvent", "agent", tool_name="terminal", tool_call_id="c2", error="No such tool."),
        sdk(5, "MessageEvent", "agent", llm_message={"role": "assistant", "content": text("Done.")}),
        sdk(6, "ConversationStateUpdateEvent", "environment", key="stats", value=stats),
        sdk(7, "ConversationStateUpdateEvent", "environment", key="execution_status", value="finished"),
    ]


def test_events_of_the_sdk_are_messages_calls_and_results() -> None:
    """A call has the arguments the model wrote, its result stands under it, tokens are joined by the response."""
    [run], bad, _ = read(conversation())

    assert bad == []
    assert [step.event_type for step in run.steps] == [
        "message", "message", "tool_call", "tool_result", "tool_result", "message", "log", "log",
    ]  # fmt: skip
    call, result, refused = run.steps[2:5]
    given = {"command": "pwd", "security_risk": "LOW"}
    assert call.tool == {"name": "terminal", "call_id": "c1", "arguments": given}
    assert call.extra == {"action": {"command": "pwd", "kind": "TerminalAction"}, "llm_response_id": "r1"}
    assert (call.text, call.duration_ms) == ("I look.", 1000.0)
    assert result.tool == {"name": "terminal", "call_id": "c1", "result": "/work", "is_error": False}
    assert (result.parent_span_id, call.span_id) == ("e2", "e2")
    assert result.extra == {"action_id": "e2", "observation": {"exit_code": 0, "kind": "TerminalObservation"}}
    assert (refused.severity, (refused.tool or {})["result"]) == ("error", "No such tool.")
    assert call.usage == Usage(input_tokens=40, cache_read_tokens=60, output_tokens=7)
    assert (run.cost_usd, run.status, run.output) == (0.5, "completed", {"text": "Done."})


@pytest.mark.parametrize("shape", ["list", "lines", "page", "row"])
def test_events_of_the_sdk_are_recognised_however_they_come(shape: str) -> None:
    """A list, lines, a page of the server and a row of an evaluation give the same steps."""
    events = conversation()
    data = {
        "list": json.dumps(events).encode(),
        "lines": b"".join(json.dumps(event).encode() + b"\n" for event in events),
        "page": json.dumps({"items": events, "next_page_id": None}).encode(),
        "row": json.dumps({"instance_id": "i", "history": events, "test_result": {}}).encode() + b"\n",
    }[shape]

    [run], bad, source = read(data, "events.jsonl")

    assert choose(source).FORMAT == "openhands"
    assert (bad, len(run.steps), run.steps[2].name) == ([], 8, "terminal")


def test_a_folder_of_events_is_one_run(store: Store, tmp_path: Path) -> None:
    """Events that lie in a file each become one run, in the order of time, whatever the order of reading."""
    folder = tmp_path / "conversations" / "abc" / "events"
    folder.mkdir(parents=True)
    for n, event in enumerate(conversation()):
        (folder / f"event-{n:05d}-{event['id']}.json").write_text(json.dumps(event))

    ingest(store, sorted(folder.iterdir(), reverse=True), progress=False)
    again = ingest(store, tmp_path, progress=False)

    with store.raw() as connection:
        runs = connection.execute("SELECT source_id FROM workbench.agent_executions").fetchall()
        names = connection.execute(
            "SELECT event_type FROM workbench.observability_events ORDER BY step_number"
        ).fetchall()
    assert runs == [("abc",)]
    assert [name for (name,) in names][:4] == ["message", "message", "tool_call", "tool_result"]
    assert {file.outcome for file in again.files} == {"already there"}


@pytest.mark.parametrize("call_id", [["c1"], {}, 1, None])
def test_a_result_whose_call_id_is_no_text_is_read(call_id: Any) -> None:
    """A result that names its call by anything else is a result all the same."""
    event = conversation()[3] | {"tool_call_id": call_id, "action_id": None}

    [run], bad, _ = read([conversation()[2], event])

    assert (bad, run.steps[1].event_type, run.steps[1].parent_span_id) == ([], "tool_result", None)


def test_spoilt_events_of_the_sdk_are_survived() -> None:
    """Whatever is changed in events of the SDK, they are read or refused with a reason."""
    data = json.dumps(conversation()).encode()

    assert sum(1 for spoilt in mutations(data, n=300) if survives(openhands, spoilt, "events.json")[0]) > 100
