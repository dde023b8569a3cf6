"""SWE-agent and mini-SWE-agent: five layouts, the recorded state of two eras, commands and what came back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from mutations import mutations, survives

from workbench.data.ingest import ingest
from workbench.data.ingest.detect import choose
from workbench.data.ingest.formats import swe_agent
from workbench.data.ingest.normal import BadLine, Run, Usage
from workbench.data.ingest.reading.source import Source
from workbench.data.store.engine import Store

# file → runs, steps, recorded states. Runs and steps: the table of files in the design's formats.md. A state that was
# written before its action is one of the step before, so those files have one state fewer than steps.
FILES = {
    "test-repo-1c2844.traj": (1, 5, 5),
    "pydicom-1458.traj": (1, 12, 11),
    "marshmallow-1867.function_calling.traj": (1, 11, 11),
    "marshmallow-1867.default_window100.traj": (1, 11, 10),
    "ctf-BabyEncryption.traj": (1, 16, 15),
    "humanevalfix-python-0.traj": (1, 5, 4),
    "function_calling_simple.traj": (1, 12, 0),
    "web_trajs.json": (4, 166, 0),
    "mini.local.traj.json": (1, 6, 0),
}
# file → tokens sent and received, cost: the model_stats of the file; zeros are of replays and stored as null.
STATS = {
    "test-repo-1c2844.traj": (7141, 243, 0.01952),
    "pydicom-1458.traj": (122612, 1369, 1.26719),
    "marshmallow-1867.function_calling.traj": (None, None, None),
    "ctf-BabyEncryption.traj": (None, None, None),
}


def entry(n: int, action: str = "ls", state: Any = None, **fields: Any) -> dict[str, Any]:
    response = f"I do {n}.\n```\n{action}\n```"
    more = {} if state is None else {"state": state}
    return {
        "action": action,
        "observation": f"saw {n}",
        "response": response,
        "thought": f"I do {n}.",
        **more,
        **fields,
    }


def message(role: str, content: Any, **fields: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **fields}


def call(name: str = "open", call_id: str = "c1", **arguments: Any) -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}


NONE = "expected trajectory, history or messages as a list, or a list of runs or messages, found "
PRELUDE = [
    message("system", "Be brief.", agent="main"),
    message("user", "Here is a demonstration.", is_demo=True),
    message("user", "Fix the bug."),
]


def traj(*entries: Any, history: list[Any] | None = None, **fields: Any) -> dict[str, Any]:
    stats = {"instance_cost": 0.5, "tokens_sent": 100, "tokens_received": 10, "api_calls": len(entries)}
    info = {"exit_status": "submitted", "submission": "diff", "model_stats": stats}
    told = PRELUDE if history is None else history
    return {"environment": "main", "trajectory": list(entries), "history": told, "info": info, **fields}


def read(document: Any, name: str = "run.traj") -> tuple[list[Run], list[str], Source]:
    """The runs of a document, what of it cannot be read, and the notes."""
    source = Source.from_bytes(json.dumps(document).encode(), name)
    found = list(swe_agent.read(source))
    runs = [item for item in found if isinstance(item, Run)]
    return runs, [item.reason for item in found if isinstance(item, BadLine)], source


def noted(source: Source, what: str) -> list[str]:
    return [note.why for note in source.notes if note.what == what]


# -- .traj -------------------------------------------------------------------------------------------------------------


def test_an_entry_is_a_step_with_its_action_and_observation() -> None:
    """What was thought, the command and what came back are one step; the prompt is the run's input."""
    [run], bad, _ = read(traj(entry(0, "open a.py\n", execution_time=0.25), entry(1, "submit")))

    assert bad == []
    first = run.steps[0]
    assert (first.event_type, first.name, first.text, first.duration_ms) == ("tool_call", "open", "I do 0.", 250.0)
    assert first.tool == {"name": "open", "arguments": {"command": "open a.py\n"}, "result": "saw 0"}
    assert (first.extra or {})["response"] == "I do 0.\n```\nopen a.py\n\n```"
    assert (run.input, run.output, run.status) == ({"prompt": "Fix the bug."}, {"submission": "diff"}, "completed")
    assert run.metadata["history"] == PRELUDE
    assert run.metadata["environment"] == "main"


def test_the_messages_of_a_step_stay_with_it() -> None:
    """Tool calls come from the history; an entry without message and a message without entry lose nothing."""
    entries = [entry(n) for n in range(3)]
    said = [message("assistant", e["response"], thought=e["thought"], action=e["action"]) for e in entries]
    said[0] |= {"tool_calls": [call(path="a.py")], "message_type": "action"}
    seen, refused = message("tool", "saw 0 (a.py)", tool_call_ids=["c1"]), message("assistant", "What?")
    [run], _, _ = read(traj(*entries, history=[*PRELUDE, said[0], seen, refused, said[2]]))

    first, second, third = run.steps
    assert first.tool == {"name": "open", "call_id": "c1", "arguments": {"path": "a.py"}, "result": "saw 0"}
    assert first.extra is not None
    assert (first.extra["action"], first.extra["message"]) == ("ls", {"message_type": "action"})
    assert first.extra["history"] == [seen, refused]
    assert "history" not in (second.extra or {})
    assert (third.tool or {})["arguments"] == {"command": "ls"}


def test_a_state_as_object_is_the_one_after_the_action() -> None:
    """SWE-agent 1.0 on: the state beside an entry is the state after its step."""
    states = [{"open_file": name} for name in "ab"]
    [run], _, source = read(traj(*(entry(n, state=state) for n, state in enumerate(states))))

    assert [(state.step_number, state.document) for state in run.states] == list(enumerate(states))
    assert "initial_state" not in run.metadata
    assert noted(source, "state") == []


def test_a_state_as_text_is_the_one_before_the_action() -> None:
    """Before that, the state beside an entry is what its action found: the state after the step before."""
    texts = [json.dumps({"open_file": name}) + "\n" for name in "abc"]
    [run], _, source = read(traj(*(entry(n, state=text) for n, text in enumerate(texts))))

    assert [(state.step_number, state.document["open_file"]) for state in run.states] == [(0, "b"), (1, "c")]
    assert run.metadata["initial_state"] == {"open_file": "a"}
    assert [n for note, n in source.notes.items() if note.what == "state"] == [3]


@pytest.mark.parametrize("state", ["not JSON", "[1]", 7, ["x"]])
def test_a_state_that_is_none_is_kept(state: Any) -> None:
    """What is no JSON object is kept beside the step, and noted."""
    [run], _, source = read(traj(entry(0, state=state)))

    assert (run.states, (run.steps[0].extra or {})["state"]) == ([], state)
    assert noted(source, "state") == ["no JSON object: kept in data.extra"]


def test_the_task_is_the_instance() -> None:
    """Named in the replay configuration, as object or text, or else by the file; the model stands there too."""
    statement = {"id": "acme__shop-1", "text": "It breaks."}
    config = {"problem_statement": statement, "agent": {"model": {"name": "model-a"}}}

    for given in (config, json.dumps(config)):
        [run], _, _ = read(traj(entry(0), replay_config=given))
        assert run.task is not None
        assert (run.task.source_id, run.task.title) == ("acme__shop-1", "swe-agent acme__shop-1: It breaks.")
        assert (run.model, run.metadata["replay_config"]) == ("model-a", config)

    [run], _, source = read(traj(entry(0)), "acme__shop-1.traj")
    assert run.task is not None
    assert run.task.source_id == "acme__shop-1"
    assert noted(source, "instance") == ["not in the file: taken from the file's name"]
    assert read(traj(entry(0)), "run.traj")[0][0].task is None


@pytest.mark.parametrize(
    ("status", "expected", "error_type"),
    [
        ("submitted", "completed", None),
        ("Submitted", "completed", None),
        ("exit_cost", "failed", "exit_cost"),
        ("submitted (exit_cost)", "failed", "submitted (exit_cost)"),
        (None, "running", None),
        ("", "running", None),
    ],
)
def test_the_outcome_is_the_exit_status(status: Any, expected: str, error_type: str | None) -> None:
    """Submitted is completed, whatever stopped it before is its error, and without a word it still runs."""
    [run], _, _ = read(traj(entry(0), info={"exit_status": status, "traceback": "Traceback"}))

    assert (run.status, run.error_type) == (expected, error_type)
    assert (run.error is None) == (error_type is None)


@pytest.mark.parametrize(
    ("stats", "usage", "cost", "why"),
    [
        ({"instance_cost": 0.5, "tokens_sent": 9, "tokens_received": 1}, Usage(9, output_tokens=1), 0.5, None),
        ({"instance_cost": 0, "tokens_sent": 9, "tokens_received": 1}, Usage(9, output_tokens=1), None, "no price"),
        ({"instance_cost": 0, "tokens_sent": 0, "tokens_received": 0, "api_calls": 5}, None, None, "replay"),
        ({"instance_cost": 0.0, "api_calls": 3}, None, None, "no price"),
        ({"instance_cost": 0.7, "api_calls": 3}, None, 0.7, None),
        ({}, None, None, None),
    ],
)
def test_tokens_and_cost(stats: dict, usage: Any, cost: Any, why: str | None) -> None:
    """Those of model_stats; zeros of a replay or of a recorder without prices are null, and noted."""
    [run], _, source = read(traj(entry(0), info={"exit_status": "submitted", "model_stats": stats}))

    assert (run.usage, run.cost_usd) == (usage, cost)
    assert [str(why) in text for text in noted(source, "cost")] == ([True] if why else [])


def test_ids_stay_when_the_file_grows() -> None:
    """A trajectory written again after more steps keeps its id and those of its steps."""
    entries = [entry(n) for n in range(3)]
    [[before], _, _], [[after], _, _] = (read(traj(*entries[:n])) for n in (1, 3))
    [other], _, _ = read(traj(entry(9)))

    assert before.source_id == after.source_id != other.source_id
    assert [step.source_id for step in before.steps] == [step.source_id for step in after.steps[:1]]


def test_a_run_without_steps_is_one() -> None:
    """A run that failed before its first step is a failed run."""
    [run], _, _ = read(traj(history=[], info={"exit_status": "exit_environment_error"}))

    assert (run.status, run.steps) == ("failed", [])


# -- messages ----------------------------------------------------------------------------------------------------------


def test_a_file_with_history_only() -> None:
    """Each message is a step; tools are named by their calls, in the form of calls or of a command line."""
    answers = [
        message("assistant", "Look.", thought="Look.", action="open a", tool_calls=[call(path="a")]),
        message("tool", "a's text", tool_call_ids=["c1"]),
        message("assistant", [{"type": "text", "text": "Now run."}], action="python a", agent="main"),
        message("user", "42"),
    ]
    [run], _, _ = read({"history": [*PRELUDE, *answers]})

    assert [(s.event_type, s.name, s.text) for s in run.steps] == [
        ("message", "system", "Be brief."), ("message", "user", "Here is a demonstration."),
        ("message", "user", "Fix the bug."), ("tool_call", "open", "Look."), ("tool_result", "open", None),
        ("tool_call", "python", "Now run."), ("tool_result", "python", None),
    ]  # fmt: skip
    assert run.steps[3].tool == {"name": "open", "call_id": "c1", "arguments": {"path": "a"}}
    assert run.steps[4].tool == {"name": "open", "call_id": "c1", "result": "a's text"}
    assert run.steps[5].tool == {"name": "python", "arguments": {"command": "python a"}}
    assert (run.steps[6].tool, run.steps[6].extra) == ({"name": "python", "result": "42"}, {"role": "user"})
    assert (run.input, run.status, run.steps[1].category) == ({"prompt": "Fix the bug."}, "completed", "demo")


def test_mini_version_1_is_a_list_of_messages() -> None:
    """The one fenced block of an answer is its command; the return code of what follows says whether it failed."""
    talk = [
        message("system", "Be brief."),
        message("user", "Go."),
        message("assistant", "So:\n```bash\nls x\n```"),
        message("user", "<returncode>2</returncode>\n<output>\nno x\n</output>"),
        message("assistant", "Two:\n```bash\na\n```\n```bash\nb\n```"),
        message("user", "Give one action."),
    ]
    [run], _, _ = read(talk, "acme__shop-1.traj.json")

    assert [(s.event_type, s.severity) for s in run.steps] == [
        ("message", "info"), ("message", "info"), ("tool_call", "info"), ("tool_result", "error"),
        ("message", "info"), ("message", "info"),
    ]  # fmt: skip
    assert run.steps[2].tool == {"name": "bash", "arguments": {"command": "ls x"}}
    assert (run.agent_type, run.status, run.name) == ("mini-swe-agent", "completed", "acme__shop-1")


def mini(*messages: dict[str, Any], **info: Any) -> dict[str, Any]:
    stats = {"instance_cost": 0.03, "api_calls": 2}
    config = {"agent_type": "minisweagent.agents.default.DefaultAgent", "model": {"model_name": "model-a"}}
    about = {"model_stats": stats, "config": config, "mini_version": "2.4.6", "exit_status": "Submitted", **info}
    return {"info": about, "messages": list(messages), "trajectory_format": "mini-swe-agent-1.1"}


def test_mini_version_2_has_times_tokens_and_cost() -> None:
    """Each answer has its own tokens and cost; a call lasts until its result; the exit message is a log line."""
    usage = {"prompt_tokens": 100, "completion_tokens": 7, "prompt_tokens_details": {"cached_tokens": 60}}
    response = {"model": "model-a-1", "usage": usage}
    asked = {"actions": [{"command": "ls", "tool_call_id": "c1"}], "response": response, "cost": 0.02, "timestamp": 1e9}
    answered = {"raw_output": "x", "returncode": 0, "timestamp": 1e9 + 2, "exception_info": None}
    [run], _, _ = read(
        {
            **mini(
                message("system", "Be brief."),
                message("user", "Go."),
                message("assistant", "I look.", tool_calls=[call("bash", command="ls")], extra=asked),
                message("tool", "<output>x</output>", tool_call_id="c1", extra=answered),
                message("user", "No tool call.", extra={"cost": 0.01, "timestamp": 1e9 + 3}),
                message("exit", "diff", extra={"exit_status": "Submitted", "submission": "diff"}),
                submission="diff",
            ),
            "instance_id": "acme__shop-1",
        }
    )  # fmt: skip

    acted, result, refused, end = run.steps[2:]
    assert acted.tool == {"name": "bash", "call_id": "c1", "arguments": {"command": "ls"}}
    assert (acted.usage, acted.cost_usd, acted.model) == (Usage(40, 60, None, 7), 0.02, "model-a-1")
    assert (acted.duration_ms, result.severity, refused.cost_usd) == (2000.0, "info", 0.01)
    assert (result.extra or {})["extra"] == {"raw_output": "x", "returncode": 0}
    assert (end.event_type, end.category, end.text) == ("log", "exit", "diff")
    assert (run.usage, run.cost_usd, run.model) == (Usage(40, 60, None, 7), 0.03, "model-a")
    assert (run.output, run.status, run.execution_time_ms) == ({"submission": "diff"}, "completed", None)
    assert run.started_at is not None
    assert run.task is not None
    assert run.task.source_id == "acme__shop-1"


def test_mini_with_the_responses_of_openai() -> None:
    """Answers without a role, whose results name their call, are read like the others."""
    output = [{"type": "message", "content": [{"type": "output_text", "text": "I look."}]}]
    usage = {"input_tokens": 50, "output_tokens": 5, "input_tokens_details": {"cached_tokens": 20}}
    answer = {"object": "response", "output": output, "usage": usage,
              "extra": {"actions": [{"command": "ls", "tool_call_id": "c1"}], "cost": 0.1}}  # fmt: skip
    result = {"type": "function_call_output", "call_id": "c1", "output": "x", "extra": {"returncode": 1}}
    [run], _, _ = read(mini(message("user", "Go."), answer, result))

    assert [(s.event_type, s.text) for s in run.steps] == [
        ("message", "Go."), ("tool_call", "I look."), ("tool_result", None)
    ]  # fmt: skip
    assert run.steps[1].usage == Usage(30, 20, None, 5)
    assert run.steps[2].tool == {"name": "bash", "call_id": "c1", "result": "x", "is_error": True}
    assert (run.steps[1].extra or {})["output"] == output


# -- web_trajs.json ----------------------------------------------------------------------------------------------------


def test_web_trajectories_are_judged_runs() -> None:
    """Thoughts, actions and outputs are steps; resolved is the score; unknown parts and fields are kept."""
    parts = [
        {"type": "thought", "thought": ""},
        {"type": "action", "action": "create a.py", "open_file_start_line": 1},
        {"type": "output", "output_terminal": "made", "output_editor": "1:", "open_file": "a.py"},
        {"type": "new", "x": 1},
    ]
    runs, bad, _ = read(
        [
            {"instance_id": "acme__shop-1", "model": "m", "resolved": True, "history": parts, "submission": "diff"},
            {"instance_id": "acme__shop-1", "model": "m", "resolved": False, "fail_f2p": ["t"], "history": [*parts, 3]},
            {"history": None},
        ],
        "web_trajs.json",
    )

    assert bad == [
        "run 1: history 4: expected an object, found a number",
        "run 2: expected an object with a list history, found an object",
    ]
    assert [(s.event_type, s.name) for s in runs[0].steps] == [
        ("message", "assistant"), ("tool_call", "create"), ("tool_result", "create"), ("log", "new")
    ]  # fmt: skip
    assert runs[0].steps[2].extra == {"output_editor": "1:", "open_file": "a.py"}
    assert [(run.status, run.score, run.error_type) for run in runs] == [
        ("completed", 1.0, None), ("failed", 0.0, "unresolved")
    ]  # fmt: skip
    assert runs[0].source_id != runs[1].source_id
    assert runs[0].metadata == {"resolved": True}
    assert runs[1].started_at is None


# -- what cannot be read -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("document", "reasons", "n_steps"),
    [
        (3, [f"{NONE}a number"], None),
        ([[]], [f"{NONE}a list of neither"], None),
        ({"a": 1}, [f"{NONE}an object with a"], None),
        (traj(entry(0), "x"), ["trajectory 1: expected an object, found a string"], 1),
        ({"history": [*PRELUDE, None]}, ["message 3: expected an object, found null"], 3),
        ([1, message("user", "Go.")], ["message 0: expected an object, found a number"], 1),
    ],
)  # fmt: skip
def test_bad_parts_are_reported_and_the_rest_is_read(document: Any, reasons: list[str], n_steps: int | None) -> None:
    """What is no entry or no message is named with its place; the others are read."""
    runs, bad, _ = read(document)

    assert bad == reasons
    assert [len(run.steps) for run in runs] == ([] if n_steps is None else [n_steps])


@pytest.mark.parametrize("name", ["text", "object", "history", "mini-1", "mini-2", "web"])
def test_any_damage_is_survived(name: str) -> None:
    """Whatever is cut, deleted or replaced in any layout, only our own error is raised and most still give a run."""
    said = [*PRELUDE, message("assistant", entry(0)["response"], tool_calls=[call()]), message("tool", "x")]
    extra = {"actions": [{"command": "ls"}], "response": {"usage": {"prompt_tokens": 5}}, "cost": 0.1, "timestamp": 1e9}
    document = {
        "text": traj(entry(0, state='{"open_file": "a"}'), entry(1, state='{"open_file": "b"}'), history=said),
        "object": traj(entry(0, state={"open_file": "a"}, execution_time=1.5), history=said, replay_config="{}"),
        "history": {"history": said},
        "mini-1": [message("user", "Go."), message("assistant", "```bash\nls\n```"), message("user", "x")],
        "mini-2": mini(message("assistant", "I look.", extra=extra), message("tool", "x", extra={"returncode": 1})),
        "web": [{"instance_id": "a", "resolved": True, "history": [{"type": "action", "action": "ls"}]}],
    }[name]
    spoilt = mutations(json.dumps(document).encode(), n=200)

    assert sum(1 for data in spoilt if survives(swe_agent, data, "run.traj")[0]) > 60


# -- real files --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FILES)
def test_real_files(name: str, store: Store, shared_data: Path) -> None:
    """Runs, steps and recorded states of every real file; the second time nothing is new."""
    path = shared_data / "swe-agent" / name
    [file] = ingest(store, path, progress=False).files
    [again] = ingest(store, path, progress=False).files

    with store.raw() as connection:
        recorded = connection.execute(
            "SELECT count(*) FROM workbench.execution_snapshots WHERE NOT is_derived"
        ).fetchone()
    assert choose(Source.of(path)).FORMAT == "swe-agent"
    assert (file.executions, file.events, *(recorded or ()), file.n_bad) == (*FILES[name], 0)
    assert again.outcome == "already there"


@pytest.mark.parametrize("name", STATS)
def test_tokens_and_cost_of_real_files(name: str, store: Store, shared_data: Path) -> None:
    """Tokens and cost are those of model_stats; replays have neither."""
    ingest(store, shared_data / "swe-agent" / name, progress=False)

    with store.raw() as connection:
        row = connection.execute(
            "SELECT (token_usage->>'input_tokens')::int, (token_usage->>'output_tokens')::int, cost, status"
            " FROM workbench.agent_executions"
        ).fetchone()
    assert row is not None
    assert (row[0], row[1], row[2] if row[2] is None else float(row[2])) == STATS[name]
    assert row[3] == "completed"


def test_every_state_shows_what_its_step_opened(shared_data: Path) -> None:
    """In files of both eras the state after a step that opens or creates a file has that file open."""
    checked = 0
    for path in sorted((shared_data / "swe-agent").glob("*.traj")):
        [run] = [item for item in swe_agent.read(Source.of(path)) if isinstance(item, Run)]
        for state in run.states:
            tool = run.steps[state.step_number].tool or {}
            command = (run.steps[state.step_number].extra or {}).get("action") or tool["arguments"]["command"]
            words = command.split()
            if words[0] in ("open", "create"):
                assert state.document["open_file"].endswith(words[1].strip('"')), (path.name, state.step_number)
                checked += 1
    assert checked == 12


def test_resolved_and_runs_of_one_instance(store: Store, shared_data: Path) -> None:
    """Three of the four web runs are resolved; the two runs of one instance share its task."""
    ingest(store, shared_data / "swe-agent", progress=False)

    with store.raw() as connection:
        scores = connection.execute(
            "SELECT score, status, count(*) FROM workbench.agent_executions WHERE score IS NOT NULL GROUP BY 1, 2"
            " ORDER BY 1"
        ).fetchall()
        shared = connection.execute(
            "SELECT t.source_id, count(*) FROM workbench.agent_executions x JOIN workbench.tasks t ON t.id = x.task_id"
            " GROUP BY 1 HAVING count(*) > 1"
        ).fetchall()
    assert scores == [(0.0, "failed", 1), (1.0, "completed", 3)]
    assert shared == [("marshmallow-code__marshmallow-1867", 2)]


@pytest.mark.parametrize("name", FILES)
def test_damaged_real_files_are_survived(name: str, shared_data: Path) -> None:
    """The real files with values replaced, deleted or cut off raise nothing but our own error."""
    for data in mutations((shared_data / "swe-agent" / name).read_bytes(), n=30):
        survives(swe_agent, data, name)
