"""Agent Trajectory Interchange Format: steps, sub-agents, tokens counted once and compared with the totals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from mutations import mutations, survives

from tests.data.ingest import linked_files
from workbench.data.ingest import ingest
from workbench.data.ingest.formats import atif
from workbench.data.ingest.normal import BadLine, Run, Usage
from workbench.data.ingest.reading.source import Source
from workbench.data.ingest.undo import undo
from workbench.data.ingest.writing.derive import derived_states
from workbench.data.store.engine import Store
from workbench.replay.delta import apply

# file → steps, prompt tokens, completion tokens, cost: counted below from the file itself.
FILES = {
    "terminus_2.hello-world-timeout.trajectory.json": 4,
    "terminus_2.hello-world-invalid-json.trajectory.json": 5,
    "openhands.hello-world.trajectory.json": 6,
}


def said(number: int, source: str = "agent", message: Any = "I look.", **fields: Any) -> dict[str, Any]:
    return {"step_id": number, "source": source, "message": message, **fields}


def call(call_id: str = "c1", name: str = "bash", **arguments: Any) -> dict[str, Any]:
    return {"tool_call_id": call_id, "function_name": name, "arguments": arguments}


def metrics(prompt: int = 100, output: int = 10, cached: int | None = 60, cost: float | None = 0.5) -> dict[str, Any]:
    found = {"prompt_tokens": prompt, "completion_tokens": output, "cached_tokens": cached, "cost_usd": cost}
    return {name: value for name, value in found.items() if value is not None}


def trajectory(*steps: Any, session: str | None = "session-1", **fields: Any) -> dict[str, Any]:
    agent = {"name": "acme", "version": "2", "model_name": "model-a"}
    return {"schema_version": "ATIF-v1.7", "session_id": session, "agent": agent, "steps": list(steps), **fields}


def read(document: Any) -> tuple[list[Run], list[str], Source]:
    """The runs of a document, what of it cannot be read, and the notes."""
    source = Source.from_bytes(json.dumps(document).encode(), "trajectory.json")
    found = list(atif.read(source))
    runs = [item for item in found if isinstance(item, Run)]
    return runs, [item.reason for item in found if isinstance(item, BadLine)], source


def noted(source: Source, what: str) -> list[str]:
    return [note.why for note in source.notes if note.what == what]


def test_a_step_is_one_step_with_its_calls_and_results() -> None:
    """Message, calls and results of a step stay together; each result is with the call it names."""
    results = [{"source_call_id": "c2", "content": "two"}, {"source_call_id": "c1", "content": [{"type": "text"}]}]
    steps = [
        said(1, "system", "Be kind."),
        said(2, "user", "Go."),
        said(3, tool_calls=[call("c1", path="a"), call("c2", "read")], observation={"results": results}),
        said(4, message="", reasoning_content="Hm."),
    ]

    [run], bad, _ = read(trajectory(*steps))

    assert bad == []
    assert [(s.event_type, s.role, s.text) for s in run.steps] == [
        ("message", "system", "Be kind."), ("message", "user", "Go."), ("tool_call", "assistant", "I look."),
        ("reasoning", "assistant", "Hm."),
    ]  # fmt: skip
    acted = run.steps[2]
    assert acted.tool == {"name": "bash", "call_id": "c1", "arguments": {"path": "a"}, "result": [{"type": "text"}]}
    assert acted.tool_calls == [{"name": "read", "call_id": "c2", "arguments": {}, "result": "two"}]
    assert (acted.extra, run.input, run.output) == (None, {"prompt": "Go."}, {"text": "Hm."})


def test_a_result_without_call_id_answers_the_last_open_call() -> None:
    """A terminal's one screen after several commands is the result of the last; with no call at all it is kept."""
    screen = {"results": [{"content": "$ ls"}]}
    [run], _, source = read(
        trajectory(said(1, tool_calls=[call("c1"), call("c2")], observation=screen), said(2, observation=screen))
    )

    first, second = run.steps
    assert "result" not in (first.tool or {})
    assert [more.get("result") for more in first.tool_calls or ()] == ["$ ls"]
    assert (second.event_type, second.extra) == ("message", {"observation": screen})
    assert len(noted(source, "result")) == 1


def test_the_derived_state_holds_what_was_said_asked_and_answered() -> None:
    """The state after a step that holds its results has its text, its calls and their results."""
    answered = {"results": [{"source_call_id": "c1", "content": "ok"}]}
    [run], _, _ = read(trajectory(said(1, "user", "Go."), said(2, tool_calls=[call()], observation=answered)))

    state: Any = {}
    for change in derived_states(run.steps):
        state = apply(state, change.patch or [])

    assert state["tool_results"] == {"c1": "ok"}
    assert state["messages"][1] == {
        "role": "assistant", "content": "I look.", "tool_calls": [{"name": "bash", "call_id": "c1", "arguments": {}}]
    }  # fmt: skip


def test_what_has_no_place_is_in_extra_and_metadata() -> None:
    """Token ids, content parts, references, notes and unknown fields are kept as they were."""
    parts = [{"type": "text", "text": "see"}, {"type": "audio", "source": {"media_type": "audio/wav", "path": "a.wav"}}]
    step = said(
        1,
        message=parts,
        reasoning_effort="high",
        llm_call_count=2,
        metrics={**metrics(), "logprobs": [-0.1], "extra": {"x": 1}},
        tool_calls=[{**call(), "extra": {"timeout": 5}}],
        observation={"results": [{"source_call_id": "c1", "content": "ok", "extra": {"score": 1}}]},
    )
    [run], _, _ = read(trajectory(step, notes="n", extra={"k": 1}, continued_trajectory_ref="b.json"))

    [stored] = run.steps
    assert stored.text == "see"
    assert stored.extra == {
        "message": parts, "reasoning_effort": "high", "llm_call_count": 2,
        "metrics": {"logprobs": [-0.1], "extra": {"x": 1}},
        "observation": {"results": [{"source_call_id": "c1", "extra": {"score": 1}}]},
    }  # fmt: skip
    assert (stored.tool or {})["extra"] == {"timeout": 5}
    assert run.metadata == {
        "schema_version": "ATIF-v1.7", "session_id": "session-1", "notes": "n", "extra": {"k": 1},
        "continued_trajectory_ref": "b.json", "agent": {"version": "2", "model_name": "model-a"},
    }  # fmt: skip


def test_tokens_are_disjoint_and_cost_is_the_sources() -> None:
    """Cached tokens are part of the prompt's; the run's are those of its steps, and equal totals are not noted."""
    final = {"total_prompt_tokens": 200, "total_completion_tokens": 20, "total_cached_tokens": 120,
             "total_cost_usd": 1.0, "total_steps": 2}  # fmt: skip
    [run], _, source = read(trajectory(said(1, metrics=metrics()), said(2, metrics=metrics()), final_metrics=final))

    assert run.steps[0].usage == Usage(input_tokens=40, cache_read_tokens=60, output_tokens=10)
    assert run.usage == Usage(input_tokens=80, cache_read_tokens=120, output_tokens=20)
    assert (run.cost_usd, run.steps[0].cost_usd, run.steps[0].model) == (1.0, 0.5, "model-a")
    assert not source.notes


def test_totals_that_differ_from_the_steps_are_noted() -> None:
    """A total that the steps do not add up to is said, with both numbers; the sum of the steps is stored."""
    final = {"total_prompt_tokens": 300, "total_cost_usd": 0.7, "total_steps": 9}
    [run], _, source = read(trajectory(said(1, metrics=metrics()), final_metrics=final))

    assert (run.usage, run.cost_usd) == (Usage(40, 60, None, 10), 0.5)
    assert "the source says 300, its steps add up to 100" in noted(source, "final_metrics.total_prompt_tokens")[0]
    assert "the source says 0.7, its steps add up to 0.5" in noted(source, "final_metrics.total_cost_usd")[0]
    assert "the source says 9, its steps add up to 1" in noted(source, "final_metrics.total_steps")[0]
    assert run.metadata["final_metrics"] == final


@pytest.mark.parametrize(
    ("steps", "final", "usage", "cost"),
    [
        ([said(1)], {}, None, None),
        ([said(1)], {"total_prompt_tokens": 9, "total_cached_tokens": 4, "total_cost_usd": 0.1}, Usage(5, 4), 0.1),
        ([said(1, metrics=metrics(cached=None))], {"total_cached_tokens": 30}, Usage(70, 30, None, 10), 0.5),
        ([said(1, metrics=metrics(cost=0.0))], {"total_cost_usd": 0.0}, Usage(40, 60, None, 10), None),
        ([said(1, metrics=metrics()), said(2, metrics=metrics(cost=None))], {}, Usage(80, 120, None, 20), None),
        ([said(1, metrics=metrics(prompt=10, cached=60))], {}, Usage(10, 60, None, 10), 0.5),
    ],
)
def test_tokens_and_cost_that_the_steps_do_not_have(steps: list, final: dict, usage: Any, cost: Any) -> None:
    """Totals stand in for what no step says; what nobody says is null, and so is a price of 0.0."""
    [run], _, _ = read(trajectory(*steps, final_metrics=final))

    assert (run.usage, run.cost_usd) == (usage, cost)


def test_copied_steps_are_counted_where_they_were_copied_from() -> None:
    """A continuation begins with steps of the trajectory before: they are kept and cost nothing."""
    [run], _, source = read(trajectory(said(1, metrics=metrics(), is_copied_context=True), said(2, metrics=metrics())))

    assert (len(run.steps), run.cost_usd, run.steps[0].usage) == (2, 0.5, None)
    assert (run.steps[0].extra or {})["metrics"] == metrics()
    assert len(noted(source, "tokens")) == 1


def test_sub_agents_in_the_file_are_runs_of_their_own() -> None:
    """Each is linked to the one it lies in, at every depth, with the step that started it; tokens stay their own."""
    grandchild = trajectory(said(1, metrics=metrics(cost=0.1)), session=None, trajectory_id="t3")
    child = trajectory(said(1, metrics=metrics(cost=0.2)), session=None, trajectory_id="t2")
    child["subagent_trajectories"] = [grandchild]
    reference = {"source_call_id": "c1", "subagent_trajectory_ref": [{"trajectory_id": "t2"}]}
    root = trajectory(
        said(1, metrics=metrics(), tool_calls=[call()], observation={"results": [reference]}),
        subagent_trajectories=[child, 42, {"steps": None}],
        final_metrics={"total_cost_usd": 0.8},
    )

    runs, bad, source = read(root)

    assert [(run.source_id, run.parent_source_id, run.cost_usd) for run in runs] == [
        ("session-1", None, 0.5), ("session-1/t2", "session-1", 0.2), ("session-1/t2/t3", "session-1/t2", 0.1)
    ]  # fmt: skip
    assert runs[1].metadata["started_by"] == {"step_id": 1, "source_call_id": "c1"}
    assert bad == [
        "sub-agent 1: expected an object with a list steps, found a number",
        "sub-agent 2: expected an object with a list steps, found an object",
    ]
    assert not noted(source, "final_metrics.total_cost_usd")


def test_sub_agents_of_one_id_stay_apart() -> None:
    """Two sub-agents with the same session id and no other are two runs, and that is noted."""
    twins = [trajectory(said(1, message=words), session="s2") for words in ("a", "b")]

    runs, _, source = read(trajectory(said(1), subagent_trajectories=twins))

    assert [run.source_id for run in runs] == ["session-1", "session-1/s2", "session-1/s2#2"]
    assert len(noted(source, "run id")) == 1


def test_a_sub_agent_in_a_file_of_its_own_is_linked(store: Store, tmp_path: Path) -> None:
    """The session id of a summariser is built on its parent's: whichever file is read first, the two are linked."""
    child = trajectory(said(1), session="session-1-summarization-1-summary")
    (tmp_path / "a.json").write_text(json.dumps(child))
    (tmp_path / "b.json").write_text(json.dumps(trajectory(said(1, message="Another."))))

    ingest(store, tmp_path, progress=False)

    with store.raw() as connection:
        rows = connection.execute(
            "SELECT child.source_id, parent.source_id FROM workbench.agent_executions child"
            " JOIN workbench.agent_executions parent ON parent.id = child.parent_execution_id"
        ).fetchall()
    assert rows == [("session-1-summarization-1-summary", "session-1")]


@pytest.mark.parametrize(
    ("reference", "n"),
    [
        ({"trajectory_path": "agents/sub.json"}, 1),
        ({"trajectory_path": "agents/../agents/sub.json", "session_id": "NORMALIZED_SESSION_ID"}, 1),
        ({"trajectory_path": "agents/sub.json", "session_id": "session-9"}, 0),
        ({"trajectory_path": "sub.json"}, 0),
        ({"trajectory_path": "s3://bucket/agents/sub.json"}, 0),
    ],
)
def test_a_path_leads_to_one_file(store: Store, tmp_path: Path, reference: dict, n: int) -> None:
    """From the folder of the trajectory that names it, and only to a run of the session that it says."""
    for name, data in linked_files.atif_files(reference).items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)

    ingest(store, tmp_path, progress=False)

    assert len(links(store)) == n


def test_a_path_that_was_written_anew_leads_to_the_run_of_its_time(store: Store, tmp_path: Path) -> None:
    """The next run in the same folder has the same names: each trajectory keeps the sub-agent that it had."""
    for day, task in enumerate(("do it", "do that"), start=1):
        for name, data in linked_files.atif_by_path().items():
            document = json.loads(data.replace(b"do it", task.encode()).replace(b"look", f"{task} first".encode()))
            for step in document["steps"]:
                step["timestamp"] = f"2026-01-0{day}T10:00:00Z"
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text(json.dumps(document))
        ingest(store, tmp_path, progress=False)

    assert links(store) == [("do it first", "do it"), ("do that first", "do that")]


def test_a_path_of_two_runs_that_no_time_tells_apart_leads_to_neither(store: Store, tmp_path: Path) -> None:
    """Written anew, and no step has a time: nobody is linked by it, which the run and the report say."""
    for task in (b"look", b"look again"):
        for name, data in linked_files.atif_by_path().items():
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_bytes(data.replace(b"look", task))
        report = ingest(store, tmp_path, progress=False)

    with store.raw() as connection:
        rows = connection.execute(
            "SELECT name, metadata->'possible_parents' FROM workbench.agent_executions"
            " WHERE metadata ? 'possible_parents' ORDER BY name"
        ).fetchall()
        [main] = connection.execute("SELECT source_id FROM workbench.agent_executions WHERE name = 'do it'").fetchall()
    assert links(store) == []
    assert rows == [("look", [main[0]]), ("look again", [main[0]])]
    assert [item.count for file in report.files for item in file.kept if item.what == "link"] == [2]


@pytest.mark.parametrize("name", ["main.json", "agents/sub.json"])
def test_a_link_by_path_comes_back_after_an_undo(store: Store, tmp_path: Path, name: str) -> None:
    """Either file taken away and read again, the two hang together as before."""
    (tmp_path / "agents").mkdir()
    for other, data in linked_files.atif_by_path().items():
        (tmp_path / other).write_bytes(data)
    ingest(store, tmp_path, progress=False)
    with store.raw() as connection:
        path = str((tmp_path / name).resolve())
        row = connection.execute("SELECT id FROM workbench.imports WHERE path = %s", [path]).fetchone()
    assert row is not None

    undo(store, row[0])
    assert links(store) == []
    ingest(store, tmp_path / name, progress=False)

    assert links(store) == [("look", "do it")]


def links(store: Store) -> list[tuple[str, str]]:
    with store.raw() as connection:
        return connection.execute(
            "SELECT child.name, parent.name FROM workbench.agent_executions child"
            " JOIN workbench.agent_executions parent ON parent.id = child.parent_execution_id"
            " WHERE child.parent_event_id IS NOT NULL ORDER BY 1"
        ).fetchall()


def test_ids_of_runs_and_steps_stay_when_the_file_grows() -> None:
    """A trajectory that went on keeps the ids of its run and of the steps it had."""
    steps = [said(1, "user", "Go."), said(2), said(3, message="Done.")]

    for session in ("session-1", "PLACEHOLDER", None):
        [[before], _, _], [[after], _, _] = (read(trajectory(*steps[:n], session=session)) for n in (2, 3))
        assert before.source_id == after.source_id
        assert [s.source_id for s in before.steps] == [s.source_id for s in after.steps][:2]


def test_a_step_id_that_is_not_the_place_is_kept() -> None:
    """Steps are numbered from 1; an id that says otherwise is kept."""
    [run], _, _ = read(trajectory(said(1), said(5), {"source": "agent", "message": "x"}))

    assert [(step.extra or {}).get("step_id") for step in run.steps] == [None, 5, None]


def test_a_placeholder_is_no_session_id() -> None:
    """Runs that share an id without a digit are told apart by what their agent said first."""
    ids = [
        read(trajectory(said(1, "user", "Go."), said(2, message=words), session="NORMALIZED_SESSION_ID"))[0][
            0
        ].source_id
        for words in ("a", "b")
    ]

    assert ids[0] != ids[1]
    assert read(trajectory(said(1), session="s-1", trajectory_id="t-1"))[0][0].source_id == "s-1/t-1"


def test_parts_of_one_session_lose_nothing(store: Store, tmp_path: Path) -> None:
    """Two files of one session id, each with a step 1, become one run with the steps of both."""
    for n in range(2):
        (tmp_path / f"{n}.json").write_text(json.dumps(trajectory(said(1, message=f"part {n}"), said(2, message="."))))

    ingest(store, tmp_path, progress=False)

    with store.raw() as connection:
        counted = connection.execute(
            "SELECT (SELECT count(*) FROM workbench.agent_executions), count(DISTINCT data->>'text')"
            " FROM workbench.observability_events"
        ).fetchone()
    assert counted == (1, 3)


@pytest.mark.parametrize(
    ("document", "reasons", "n_runs"),
    [
        ([], ["expected an object with a list steps, found a list"], 0),
        ({"steps": {}}, ["expected an object with a list steps, found an object"], 0),
        (trajectory(None, said(1), "x"), ["step 0: expected an object, found null",
                                          "step 2: expected an object, found a string"], 1),
        (trajectory(), [], 1),
    ],
)  # fmt: skip
def test_bad_parts_are_reported_and_the_rest_is_read(document: Any, reasons: list[str], n_runs: int) -> None:
    """What is no step or no trajectory is named with its place; the others are read."""
    runs, bad, _ = read(document)

    assert (len(runs), bad) == (n_runs, reasons)


@pytest.mark.parametrize("seed", range(3))
def test_any_damage_is_survived(seed: int) -> None:
    """Whatever is cut, deleted or replaced, only our own error is raised and most of the files still give a run."""
    reference = {"source_call_id": "c1", "content": "x", "subagent_trajectory_ref": [{"trajectory_id": "t2"}]}
    child = trajectory(said(1), session=None, trajectory_id="t2")
    document = trajectory(
        said(1, "user", "Go.", timestamp="2026-01-02T10:00:00Z"),
        said(2, metrics=metrics(), tool_calls=[call()], observation={"results": [reference, {"content": "y"}]}),
        final_metrics={"total_prompt_tokens": 100, "total_cost_usd": 0.5},
        subagent_trajectories=[child],
    )

    spoilt = mutations(json.dumps(document).encode(), n=300, seed=seed)

    assert sum(1 for data in spoilt if survives(atif, data, "trajectory.json")[0]) > 150


@pytest.mark.parametrize("name", FILES)
def test_real_files(name: str, store: Store, shared_data: Path) -> None:
    """Steps, tokens and cost in the store are those counted from the file by plain addition."""
    path = shared_data / "atif" / name
    document = json.loads(path.read_bytes())
    counted = [step["metrics"] for step in document["steps"] if "metrics" in step]

    [file] = ingest(store, path, progress=False).files

    with store.raw() as connection:
        row = connection.execute(
            "SELECT token_usage->'input_tokens', token_usage->'output_tokens', cost, status,"
            " (SELECT count(*) FROM workbench.observability_events) FROM workbench.agent_executions"
        ).fetchone()
    assert row is not None
    assert (file.executions, file.events, file.n_bad) == (1, FILES[name], 0)
    assert row[:2] == tuple(sum(m[key] for m in counted) for key in ("prompt_tokens", "completion_tokens"))
    assert float(row[2]) == pytest.approx(sum(m["cost_usd"] for m in counted))
    assert row[3:] == ("completed", FILES[name])
    # The recorder's totals count one more call than the steps show in the run that timed out.
    differs = [item.what for item in file.changed if item.what.startswith("final_metrics")]
    assert len(differs) == (3 if "timeout" in name else 0)


def test_real_files_are_three_runs(store: Store, shared_data: Path) -> None:
    """All three carry the placeholder NORMALIZED_SESSION_ID, and are three runs; read again they add nothing."""
    first = ingest(store, shared_data / "atif", progress=False)
    again = ingest(store, shared_data / "atif", progress=False)

    assert (first.totals.executions, first.totals.events, first.totals.snapshots) == (3, 15, 15)
    assert {file.outcome for file in again.files} == {"already there"}


@pytest.mark.parametrize("name", FILES)
def test_damaged_real_files_are_survived(name: str, shared_data: Path) -> None:
    """The real files with values replaced, deleted or cut off raise nothing but our own error."""
    spoilt = mutations((shared_data / "atif" / name).read_bytes(), n=100)

    assert sum(1 for data in spoilt if survives(atif, data, name)[0]) > 30
