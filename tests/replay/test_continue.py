"""Going on in a branch: ``bench.record(into=branch)``."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import workbench
from workbench.errors import ConfigurationError, ConflictError, NotFoundError


@pytest.fixture
def run(bench) -> str:
    """A run of four steps with a state of its own after each."""
    with bench.record(agent_type="planner", task="Book", model="m") as run:
        for n in range(4):
            run.event("log", text=f"step {n}")
            run.step({"n": n})
    return str(run.id)


@pytest.fixture
def talk(bench) -> str:
    """A run that says no states: question, call, result, answer."""
    with bench.record(agent_type="clerk") as run:
        run.event("message", role="user", text="To Oslo")
        with run.tool("search", {"to": "OSL"}) as call:
            call.result = [7]
        run.event("message", role="assistant", text="Flight 7")
    return str(run.id)


def about(bench, run) -> dict:
    return bench.executions(ids=[run]).row(0, named=True)


def test_steps_go_on_behind_the_step_of_the_fork(bench, run):
    """Numbers, states and the course go on from there; kind, task and place in the tree stay the branch's."""
    branch = bench.fork(run, 1, state={"n": "edited"}, name="other")
    was = about(bench, branch)
    assert was["status"] == "pending"

    with bench.record(into=branch, metadata={"try": 2}) as recording:
        assert recording.flush()
        assert about(bench, branch)["status"] == "running"
        assert recording.event("log", text="else", usage={"input_tokens": 5}) == 2
        recording.step({"n": "else"})
        recording.finish(output="booked", score=1.0)

    assert str(recording.id) == str(branch)
    now = about(bench, branch)
    assert (now["status"], now["score"], now["input_tokens"]) == ("completed", 1.0, 5)
    kept = ("agent_type", "task", "name", "model", "parent_execution_id", "parent_event_id", "source")
    assert [now[name] for name in kept] == [was[name] for name in kept]
    record = bench.execution(branch)
    assert (record.output, record.metadata) == ("booked", {"link": "forked", "try": 2})
    assert now["started_at"] is not None
    replay = bench.replay(branch)
    assert replay.steps["step_number"].to_list() == [0, 1, 2]
    assert [replay.seek(n).state for n in range(3)] == [{"n": 0}, {"n": "edited"}, {"n": "else"}]
    assert bench.events(run).height == 4
    assert bench.branches(run)["last_step"].to_list() == [3, 2]


def test_states_before_the_first_event_and_checkpoints_of_none(bench, run):
    """A state before any event is that of the first new step; a checkpoint without a state is the branch's own."""
    first, second = bench.fork(run, 1), bench.fork(run, 1)
    with bench.record(into=first) as recording:
        recording.step({"n": "new"})
        recording.event("log")
    with bench.record(into=bench.replay(second)) as recording:
        recording.checkpoint("here")

    assert [bench.state(first, n) for n in (1, 2)] == [{"n": 1}, {"n": "new"}]
    assert bench.events(first)["step_number"].to_list() == [2]
    assert [bench.state(second, n) for n in (1, 2)] == [{"n": 1}, {"n": 1}]
    assert bench.replay(second).to_checkpoint("here").step_number == 2


def test_a_branch_has_one_writer(bench, run):
    """A second one is refused while the first goes on and when it has ended, before it records anything."""
    branch = bench.fork(run, 2)
    late = bench.record(into=branch)
    with bench.record(into=branch) as first:
        first.event("log")
        with pytest.raises(ConflictError, match="is running: another writer goes on in it already"):
            bench.record(into=branch)
        with pytest.raises(ConflictError, match="is running"), late:
            late.event("log")
    with pytest.raises(ConflictError, match=rf"is completed.*bench\.fork\('{branch}', 3\)"):
        bench.record(into=branch)

    assert bench.events(branch).height == 1
    again = bench.fork(branch, 3)
    with bench.record(into=again) as run_on:
        assert run_on.event("log") == 4


def test_of_many_processes_one_gets_the_branch(bench, run, database_url: str):
    """Several processes want the same branch at once: one records its steps, the others are told so."""
    branch = bench.fork(run, 0)
    code = """
    import sys, workbench
    from workbench.errors import ConflictError
    bench = workbench.connect(sys.argv[1])
    sys.stdin.readline()
    try:
        with bench.record(into=sys.argv[2]) as run:
            for n in range(20):
                run.event("log", text=sys.argv[3])
        print("wrote")
    except ConflictError as error:
        print("refused")
    """
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(code), database_url, str(branch), str(n)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for n in range(3)
    ]  # fmt: skip
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("\n")
        writer.stdin.flush()
    said = [writer.communicate()[0].strip() for writer in writers]

    assert sorted(said) == ["refused", "refused", "wrote"]
    events = bench.events(branch)
    assert events["step_number"].to_list() == list(range(1, 21))
    assert {json.loads(data)["text"] for data in events["data"]} == {str(said.index("wrote"))}


def test_a_writer_that_is_killed_leaves_an_abandoned_branch(
    bench, run, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """What it acknowledged is there, the branch is failed, and one goes on behind it in a fork of it."""
    monkeypatch.setenv("WORKBENCH_SPOOL", str(tmp_path / "spool"))
    branch = bench.fork(run, 1)
    code = """
    import os, signal, sys, workbench
    bench = workbench.connect(sys.argv[1])
    with bench.record(into=sys.argv[2]) as run:
        run.event("log")
        run.step({"n": "killed"})
        os.kill(os.getpid(), signal.SIGKILL)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code), database_url, str(branch)])
    assert done.returncode == -signal.SIGKILL

    with workbench.connect(database_url):
        now = about(bench, branch)
    assert (now["status"], now["error_type"], now["n_events"]) == ("failed", "abandoned", 1)
    assert bench.state(branch, 2) == {"n": "killed"}
    with pytest.raises(ConflictError, match="is failed"):
        bench.record(into=branch)
    with bench.record(into=bench.fork(branch, 2)) as recording:
        assert recording.event("log") == 3


def test_a_conversation_goes_on_in_the_states(bench, talk):
    """Where all states are derived, so are those of the branch: with what it shares, at the numbers it goes on with."""
    branch = bench.fork(talk, 2)
    with bench.record(into=branch) as recording:
        recording.event("message", role="assistant", text="None left")
        with recording.tool("search", {"to": "BGO"}) as call:
            call.result = [8]

    shared = bench.state(talk, 2)
    replay = bench.replay(branch)
    assert replay.seek(2).state == shared
    replay.seek(3)
    assert replay.state["messages"] == [*shared["messages"], {"role": "assistant", "content": "None left"}]
    assert replay.is_derived
    last = replay.seek(5).state
    assert [len(last[name]) for name in ("messages", "tool_results")] == [4, 2]
    assert bench.snapshots(branch)["is_derived"].to_list() == [True] * 4


def test_an_edited_conversation_goes_on_as_edited(bench, talk):
    """What the person wrote in place of the conversation is what the new messages are added to."""
    edited = {"messages": [{"role": "user", "content": "To Rome"}], "tool_results": {}}
    branch = bench.fork(talk, 0, state=edited)
    with bench.record(into=branch) as recording:
        recording.event("message", role="assistant", text="Rome it is")

    assert bench.state(branch, 0) == edited
    assert [one["content"] for one in bench.state(branch, 1)["messages"]] == ["To Rome", "Rome it is"]
    assert bench.snapshots(branch)["is_derived"].to_list() == [False, True]


def test_a_branch_that_begins_before_any_conversation(bench):
    """Where there is no state to go on from, the states are those of the branch's own conversation."""
    with bench.record(agent_type="clerk") as run:
        run.event("log", text="up")
        run.event("message", role="user", text="To Oslo")
    branch = bench.fork(run.id, 0)
    with bench.record(into=branch) as recording:
        recording.event("log", text="else")
        recording.event("message", role="user", text="To Rome")

    assert [bench.replay(branch).seek(n).state for n in (0, 1)] == [None, None]
    assert [one["content"] for one in bench.state(branch, 2)["messages"]] == ["To Rome"]


def test_of_states_of_the_agents_own_none_is_made_up(bench, run):
    """An agent that said its states before the fork and none after: the last that it said is what is known."""
    branch = bench.fork(run, 2, state={"n": "edited"})
    with bench.record(into=branch) as recording:
        recording.event("message", role="assistant", text="no state")

    assert bench.snapshots(branch).select("step_number", "is_derived").rows() == [(2, False)]
    replay = bench.replay(branch).seek(3)
    assert (replay.state, replay.is_derived, replay.state_step) == ({"n": "edited"}, False, 2)


def test_a_branch_in_another_recording_stays_where_it_hangs(bench, run):
    """It is no child of the run in whose context it is gone on in; what it starts itself is its child."""
    branch = bench.fork(run, 1)
    with bench.record(agent_type="outer"), bench.record(into=branch), bench.record(agent_type="inner") as inner:
        inner.event("log")

    assert about(bench, branch)["parent_execution_id"] == run
    assert about(bench, inner.id)["parent_execution_id"] == str(branch)
    assert about(bench, inner.id)["parent_event_id"] is None


def test_what_is_no_branch_is_not_gone_on_in(bench, run):
    """Runs recorded from their beginning, runs that are not there, and words that are the branch's already."""
    with pytest.raises(ConfigurationError, match="is no branch"):
        bench.record(into=run)
    with pytest.raises(NotFoundError):
        bench.record(into="01234567-89ab-cdef-0123-456789abcdef")
    branch = bench.fork(run, 0)
    with pytest.raises(ConfigurationError, match="agent_type and into exclude each other"):
        bench.record(agent_type="other", into=branch)
    with pytest.raises(ConfigurationError, match="task and into exclude each other"):
        bench.record(into=branch, task="other")
    with pytest.raises(ConfigurationError, match="agent_type must not be empty"):
        bench.record()
    assert about(bench, branch)["status"] == "pending"
