"""Who&When: messages counted as the annotation counts them, and the annotation where no analysis reads it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from mutations import mutations, survives

from workbench.data.ingest import ingest
from workbench.data.ingest.detect import choose
from workbench.data.ingest.formats import who_and_when
from workbench.data.ingest.normal import BadLine, Run
from workbench.data.ingest.reading.source import Source
from workbench.data.ingest.writing.derive import derived_states
from workbench.data.store.engine import Store

# folder → files, messages: the table of files in the design's formats.md.
FOLDERS = {"Algorithm-Generated": (20, 168), "Hand-Crafted": (10, 575)}
SECRET = "It divided by zero."


def record(*history: Any, **fields: Any) -> dict[str, Any]:
    said = list(history) or [
        {"content": "What is 6 x 7?", "role": "human"},
        {"content": "I ask the solver.", "role": "Orchestrator (thought)"},
        {"content": "Solve it.", "role": "Orchestrator (-> Solver)"},
        {"content": "41", "role": "Solver"},
    ]
    annotation = {"mistake_agent": "Solver", "mistake_step": "3", "mistake_reason": SECRET}
    about = {"question": "What is 6 x 7?", "question_ID": "q1", "ground_truth": "42", "level": 1, "is_correct": False}
    return {**about, "history": said, **annotation, **fields}


def read(document: Any) -> tuple[Run, list[str]]:
    found = list(who_and_when.read(Source.from_bytes(json.dumps(document).encode(), "1.json")))
    [run] = [item for item in found if isinstance(item, Run)]
    return run, [item.reason for item in found if isinstance(item, BadLine)]


def test_messages_are_steps_of_their_agents() -> None:
    """A role up to its bracket is the agent; a thought is reasoning; the role itself is kept."""
    run, bad = read(record())

    assert bad == []
    assert [(s.event_type, s.agent, s.role, s.text) for s in run.steps] == [
        ("message", "user", "user", "What is 6 x 7?"),
        ("reasoning", "Orchestrator", "assistant", "I ask the solver."),
        ("message", "Orchestrator", "assistant", "Solve it."),
        ("message", "Solver", "assistant", "41"),
    ]
    assert run.steps[2].extra == {"role": "Orchestrator (-> Solver)"}
    assert (run.agent_type, run.output) == ("who-and-when/hand-crafted", {"text": "41"})


def test_names_are_agents_and_a_terminal_gives_results() -> None:
    """In the other half of the set the name is the agent; the terminal's exit code says whether the code failed."""
    answers = [
        {"content": f"exitcode: {n}\nCode output: x", "role": "user", "name": "Computer_terminal"} for n in (0, 1)
    ]
    run, _ = read(record({"content": "Go.", "role": "user", "name": "Math_Expert"}, *answers))

    assert [(s.event_type, s.agent, s.severity) for s in run.steps] == [
        ("message", "Math_Expert", "info"),
        ("tool_result", "Computer_terminal", "info"),
        ("tool_result", "Computer_terminal", "error"),
    ]
    assert run.steps[0].extra == {"role": "user"}
    assert run.agent_type == "who-and-when/algorithm-generated"


def test_the_outcome_and_the_task() -> None:
    """Judged incorrect is failed with score 0; the ground truth is the task's; runs of one question share it."""
    run, _ = read(record())
    other, _ = read(record({"content": "42", "role": "Solver"}, is_correct=True))

    assert (run.status, run.score, run.error_type) == ("failed", 0.0, "incorrect")
    assert (other.status, other.score, other.error) == ("completed", 1.0, None)
    assert run.task is not None
    assert other.task is not None
    assert (run.task.source_id, run.task.metadata) == ("q1", {"ground_truth": "42", "level": 1})
    assert (run.source_id != other.source_id, run.task.source_id == other.task.source_id) == (True, True)
    assert read(record(is_correct=None, is_corrected=False))[0].status == "failed"


def test_the_annotation_is_in_one_place_only() -> None:
    """Who made the mistake, where and why is in metadata["annotation"], and nowhere else in run, task or states."""
    run, _ = read(record(mistake_type="arithmetic"))

    annotation = run.metadata.pop("annotation")
    assert annotation == {
        "mistake_agent": "Solver", "mistake_step": "3", "mistake_reason": SECRET, "mistake_type": "arithmetic"
    }  # fmt: skip
    everything = repr(run) + repr(list(derived_states(run.steps)))
    assert SECRET not in everything
    assert "mistake" not in everything
    assert "arithmetic" not in everything


def test_what_is_no_message_keeps_its_place() -> None:
    """A message that is none is reported, and later steps keep the number by which the annotation names them."""
    run, bad = read(record({"content": "a", "role": "human"}, 42, {"content": [{"text": "b"}], "role": "Solver"}))

    assert bad == ["message 1: expected an object, found a number"]
    assert [(s.event_type, s.text) for s in run.steps] == [("message", "a"), ("log", None), ("message", "b")]
    assert run.steps[1].extra == {"record": 42}


@pytest.mark.parametrize(("document", "found"), [([], "a list"), ({"history": "x"}, "an object"), (3, "a number")])
def test_what_is_no_run_is_reported(document: Any, found: str) -> None:
    """A document without messages is one line that says what is missing."""
    [bad] = who_and_when.read(Source.from_bytes(json.dumps(document).encode()))

    assert isinstance(bad, BadLine)
    assert bad.reason == f"expected an object with a list history, found {found}"


def test_a_run_whose_history_fills_the_head_is_recognised() -> None:
    """A long history in front of everything else does not hide what the file is."""
    long = {"history": [{"content": "x" * 70_000, "role": "human"}, {"content": "y", "role": "Solver"}]}
    late = {"history": [{"content": "a", "role": "human"}, *({"content": "x" * 9_000, "role": "A"} for _ in range(9))]}

    assert who_and_when.detect(Source.from_bytes(json.dumps(late | record(*late["history"])).encode()).head) > 0.5
    assert who_and_when.detect(Source.from_bytes(json.dumps({**long, "x": 1}).encode()).head) == 0.0


def test_any_damage_is_survived() -> None:
    """Whatever is cut, deleted or replaced, only our own error is raised and most of the files still give a run."""
    spoilt = mutations(json.dumps(record(system_prompt={"Solver": "Be quick."})).encode(), n=400)

    assert sum(1 for data in spoilt if survives(who_and_when, data, "1.json")[0]) > 200


@pytest.mark.parametrize("folder", FOLDERS)
def test_real_files(folder: str, store: Store, shared_data: Path) -> None:
    """Every message of every file is a step under its own index, and every run is failed."""
    report = ingest(store, shared_data / "who-and-when" / folder, progress=False)

    files, messages = FOLDERS[folder]
    with store.raw() as connection:
        by_status = connection.execute(
            "SELECT status, score, count(*) FROM workbench.agent_executions GROUP BY 1, 2"
        ).fetchall()
        known = connection.execute(
            "SELECT count(cost), count(token_usage), count(started_at) FROM workbench.agent_executions"
        ).fetchone()
        leaks = connection.execute(
            "SELECT count(*) FROM workbench.agent_executions WHERE"
            " (metadata - 'annotation')::text LIKE '%mistake\\_%' OR error LIKE '%mistake%'"
        ).fetchone()
    assert [file.error for file in report.files if file.error or file.n_bad] == []
    assert (report.totals.executions, report.totals.events) == (files, messages)
    assert by_status == [("failed", 0.0, files)]
    assert (known, leaks) == ((0, 0, 0), (0,))


def test_the_named_agent_acts_at_the_named_step(store: Store, shared_data: Path) -> None:
    """The step of the annotation's number is one of the annotated agent in 29 of the 30 runs, as in the files."""
    ingest(store, shared_data / "who-and-when", progress=False)

    with store.raw() as connection:
        rows = connection.execute(
            "SELECT x.metadata->'annotation'->>'mistake_agent', e.agent FROM workbench.agent_executions x"
            " JOIN workbench.observability_events e ON e.execution_id = x.id"
            " AND e.step_number = (x.metadata->'annotation'->>'mistake_step')::int"
        ).fetchall()
    assert len(rows) == 30
    assert [pair for pair in rows if pair[0] != pair[1]] == [("Boggle_Board_Expert", "Verification_Expert")]


def test_real_files_are_recognised_and_survive_damage(shared_data: Path) -> None:
    """Each of the thirty files, large or small, is this format's; spoilt, it raises nothing but our own error."""
    paths = sorted((shared_data / "who-and-when").glob("*/*.json"))

    assert len(paths) == 30
    for path in paths:
        assert choose(Source.of(path)).FORMAT == "who-and-when", path.name
        for data in mutations(path.read_bytes(), n=6):
            survives(who_and_when, data, path.name)
