"""tau-bench and tau2-bench files as runs."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sessions import START, tau2_results, tau2_simulation, tau_run

from workbench.data.ingest.formats import tau2, tau_bench
from workbench.data.ingest.normal import BadLine, Run, Usage
from workbench.data.ingest.reading.source import Source
from workbench.errors import IngestError


def runs(reader: Any, document: Any, name: str = "results.json") -> tuple[list[Run], Source]:
    """The runs of a document and its notes."""
    source = Source.from_bytes(json.dumps(document).encode(), name)
    found = list(reader.read(source))
    assert not [item for item in found if isinstance(item, BadLine)]
    return found, source


def test_tau_bench_messages_are_steps() -> None:
    """Each chat message is one step; arguments become the object they are; a result that says Error is one."""
    [[run], _] = runs(tau_bench, [tau_run()])

    assert [step.event_type for step in run.steps] == [
        "message", "message", "tool_call", "tool_result", "message", "message"
    ]  # fmt: skip
    call, result = run.steps[2:4]
    assert (call.text, call.tool) == (
        "I look.", {"name": "get_order_details", "call_id": "c1", "arguments": {"order_id": "#W1"}}
    )  # fmt: skip
    assert (result.severity, (result.tool or {})["is_error"]) == ("error", True)
    assert [step.agent for step in run.steps] == [None, "user", None, None, None, "user"]
    assert {step.timestamp for step in run.steps} == {None}


@pytest.mark.parametrize(
    ("reward", "info", "status", "error_type"),
    [
        (1.0, {}, "completed", None),
        (0.0, {}, "failed", "wrong_actions"),
        (0.0, {"reward_info": {"info": {"r_outputs": 0.0, "outputs": {}}}}, "failed", "wrong_outputs"),
        (0.0, {"reward_info": None}, "failed", "broke_off"),
        (0.0, {"reward_info": {"info": {"r_actions": 1.0}}}, "failed", "reward_zero"),
    ],
)
def test_tau_bench_outcome(reward: float, info: dict, status: str, error_type: str | None) -> None:
    """Reward 0 is a failed run, with the judge's reason as its kind."""
    record = tau_run(reward=reward)
    record["info"] |= info

    [[run], _] = runs(tau_bench, [record])

    assert (run.status, run.score, run.error_type) == (status, reward, error_type)


def test_tau_bench_names_and_tasks() -> None:
    """Task, trial and model; what was told from elsewhere is noted; the simulated user's cost is not the agent's."""
    [[first, second], source] = runs(tau_bench, [tau_run(7, 0), tau_run(7, 2)], "gpt-4o-retail.json.gz")

    assert (first.name, second.name) == ("task 7 · trial 0", "task 7 · trial 2")
    assert first.task is not None
    assert second.task is not None
    assert first.task.source_id == second.task.source_id == "retail/7"
    assert first.task.title == "tau-bench retail/7: You are u1. Ask for your order."
    assert (first.agent_type, first.model) == ("tau-bench/retail", "gpt-4o")
    assert (first.cost_usd, first.metadata["user_cost_usd"], first.metadata["ended_by"]) == (None, 0.01, "user")
    assert {(note.kind, note.what): n for note, n in source.notes.items()} == {
        ("kept", "domain"): 2, ("kept", "model"): 2
    }  # fmt: skip


def test_tau_bench_runs_of_two_models_differ() -> None:
    """The same task and trial in another file is another run, and the same run in another file is the same."""
    other = tau_run()
    other["traj"][4]["content"] = "Another answer."

    [[first], _] = runs(tau_bench, [tau_run()], "a.json")
    [[same], _] = runs(tau_bench, [tau_run()], "b.json")
    [[different], _] = runs(tau_bench, [other], "c.json")

    assert first.source_id == same.source_id != different.source_id


def test_tau_bench_odd_elements_are_reported() -> None:
    """An element that is no run is reported with its index, the others are read."""
    source = Source.from_bytes(json.dumps([tau_run(), 42, {"task_id": 1}, tau_run(2)]).encode())

    found = list(tau_bench.read(source))

    assert [item.reason.split(":")[0] for item in found if isinstance(item, BadLine)] == ["element 1", "element 2"]
    assert len([item for item in found if isinstance(item, Run)]) == 2


def test_tau2_lanes_and_durations() -> None:
    """The user's own tool calls are in the user's lane; a call lasts until its result; an error is one."""
    [[run], _] = runs(tau2, tau2_results(tau2_simulation()))

    assert [(step.event_type, step.agent) for step in run.steps] == [
        ("message", None), ("message", "user"), ("tool_call", None), ("tool_result", None),
        ("tool_call", "user"), ("tool_result", "user"), ("message", None),
    ]  # fmt: skip
    assert [step.duration_ms for step in run.steps] == [None, None, 500.0, None, 250.0, None, None]
    assert [step.name for step in run.steps[2:6]] == ["check_line"] * 2 + ["toggle_roaming"] * 2
    assert [step.severity for step in run.steps].count("error") == 1


def test_tau2_tokens_and_cost_are_the_agents() -> None:
    """The run's tokens and cost leave out the simulated user, whose sums are in the metadata."""
    [[run], source] = runs(tau2, tau2_results(tau2_simulation()))

    assert run.usage == Usage(input_tokens=200, output_tokens=20)
    assert [step.cost_usd for step in run.steps] == [None, None, 0.25, None, None, None, 0.25]
    assert run.cost_usd == 0.5
    assert (run.metadata["user_input_tokens"], run.metadata["user_cost_usd"]) == (200, 0.02)
    assert (run.steps[1].extra or {})["usage"] == {"prompt_tokens": 100, "completion_tokens": 10}
    assert "cost" not in {note.what for note in source.notes}


def test_tau2_zero_cost_with_tokens_is_unpriced() -> None:
    """A model whose calls are recorded at 0.0 USD was not free: null in run and steps, and reported."""
    [[run], source] = runs(tau2, tau2_results(tau2_simulation(cost=0.0)))

    assert run.cost_usd is None
    assert {step.cost_usd for step in run.steps} == {None}
    assert [(note.kind, n) for note, n in source.notes.items() if note.what == "cost"] == [("changed", 2)]


def test_tau2_durations_are_without_noise() -> None:
    """Seconds from a clock of nanoseconds become milliseconds to the microsecond."""
    [[run], _] = runs(tau2, tau2_results(tau2_simulation(duration=19.22613395799999)))

    assert run.execution_time_ms == 19226.134


def test_tau2_times_without_zone() -> None:
    """Naive times are taken as UTC, once noted for each; the recorded duration is kept."""
    [[run], source] = runs(tau2, tau2_results(tau2_simulation()))

    assert (run.started_at, run.execution_time_ms) == (START, 4750.0)
    assert [n for note, n in source.notes.items() if note.what == "time"] == [9]


@pytest.mark.parametrize(
    ("fields", "status", "error_type"),
    [
        ({}, "completed", None),
        ({"reward": 0.0}, "failed", "reward_zero: DB"),
        ({"reward": None}, "completed", None),
        ({"reward": None, "termination_reason": "max_steps"}, "failed", "max_steps"),
        ({"termination_reason": "too_many_errors"}, "failed", "too_many_errors"),
    ],
)
def test_tau2_outcome(fields: dict, status: str, error_type: str | None) -> None:
    """Reward 0 and an episode that broke off are failures, with their reason."""
    [[run], _] = runs(tau2, tau2_results(tau2_simulation(**fields)))

    assert (run.status, run.error_type) == (status, error_type)


def test_tau2_messages_without_times_cost_and_usage() -> None:
    """Recorders that leave fields out altogether are read; absent stays absent."""
    simulation = tau2_simulation(agent_cost=None)
    for message in simulation["messages"]:
        for field in ("timestamp", "cost", "usage", "error"):
            message.pop(field, None)

    [[run], _] = runs(tau2, tau2_results(simulation))

    assert (run.usage, run.cost_usd) == (None, None)
    assert {step.timestamp for step in run.steps} == {None}
    assert {step.severity for step in run.steps} == {"info"}


def test_tau2_task() -> None:
    """The task holds what was asked and how it is judged; the policy is the run's input."""
    [[run], _] = runs(tau2, tau2_results(tau2_simulation()))

    assert run.task is not None
    assert (run.task.source_id, run.task.title) == ("telecom/7", "tau2 telecom/7: My phone has no signal.")
    assert run.task.metadata["evaluation_criteria"] == {"actions": []}
    assert (run.agent_type, run.model, run.input["policy"]) == ("tau2/telecom", "model-a", "Be kind.")


@pytest.mark.parametrize("reader", [tau_bench, tau2])
def test_a_document_cut_off_is_one_error(reader: Any) -> None:
    """A document that breaks off is one error that says where."""
    content = json.dumps([tau_run()] if reader is tau_bench else tau2_results(tau2_simulation())).encode()

    with pytest.raises(IngestError, match=r"runs\.json cannot be read: cut off: .* at character \d+"):
        list(reader.read(Source.from_bytes(content[:-40], "runs.json")))


def test_detection_tells_the_two_apart() -> None:
    """Each is sure of its own files, whole or cut by the head, and of no other."""
    first = Source.from_bytes(json.dumps([tau_run()] * 100).encode()).head
    second = Source.from_bytes(json.dumps(tau2_results(*[tau2_simulation()] * 100)).encode()).head
    other = Source.from_bytes(b'[{"role": "user", "content": "hi"}]').head

    assert not first.is_whole
    assert not second.is_whole
    assert [reader.detect(head) > 0.5 for head in (first, second, other) for reader in (tau_bench, tau2)] == [
        True, False, False, True, False, False
    ]  # fmt: skip
