"""States that are pruned are gone and known to be; all that stay are what they were."""

from __future__ import annotations

import json
import uuid

import polars as pl
import pytest

import workbench as wb
from workbench.data.store import schema
from workbench.data.store.pruned import gaps
from workbench.data.store.snapshots import rebuild_all
from workbench.errors import ConfigurationError, ConflictError, NotFoundError, PrunedError


def recorded(bench: wb.Workbench, n_steps: int = 40, **about) -> str:
    """A run of some steps, each with a state of its own."""
    with bench.record(agent_type="planner", **about) as run:
        for number in range(n_steps):
            run.event("message", role="assistant", text=f"step {number}")
            run.step({"n": number, "policy": "no refunds. " * 100, "plan": [f"do {k}" for k in range(number % 7)]})
    return str(run.id)


def kept(bench: wb.Workbench, run: str) -> list[int]:
    """The steps whose states are stored."""
    return bench.snapshots(run, states=False)["step_number"].sort().to_list()


def stored(bench: wb.Workbench) -> list[list]:
    """All that the store holds of runs."""
    tables = ("agent_executions", "observability_events", "execution_snapshots", "pruned_states", "step_notes")
    with bench.store.raw() as connection:
        return [
            connection.execute(f"SELECT * FROM workbench.{name} ORDER BY id".encode()).fetchall() for name in tables
        ]


def whole(bench: wb.Workbench, run: str) -> dict[int, object]:
    """Every stored state, rebuilt from the rows alone."""
    with bench.store.raw() as connection:
        rows = connection.execute(
            "SELECT step_number, keyframe_step, state::text FROM workbench.execution_snapshots"
            " WHERE execution_id = %s ORDER BY step_number",
            [run],
        ).fetchall()
    return dict(rebuild_all(rows))


def test_what_stays_is_what_it_was_and_what_went_is_refused(bench):
    """One in ten and the last three stay, exactly; a step between is never answered by the state before it."""
    run = recorded(bench)
    before = whole(bench, run)

    done = bench.prune(run, every=10, last=3)

    steps = [0, 10, 20, 30, 37, 38, 39]
    assert kept(bench, run) == steps
    assert whole(bench, run) == {step: before[step] for step in steps}
    assert [bench.state(run, step) for step in steps] == [before[step] for step in steps]
    for step in (1, 9, 15, 36):
        with pytest.raises(PrunedError, match=rf"after step {step} is gone.*next one that is kept"):
            bench.state(run, step)
    with pytest.raises(NotFoundError, match="has no step 40"):
        bench.state(run, 40)
    assert (done.n_removed, done.n_kept, done.is_preview) == (33, 7, False)
    assert done.freed_bytes > 0
    assert done.plan.filter("is_kept")["kept_as"].to_list() == ["every"] * 4 + ["recent"] * 2 + ["last"]
    assert bench.events(run).height == 40
    assert "Removed 33 of 40 states of 1 run" in str(done)


def test_a_preview_says_what_would_happen_and_changes_nothing(bench):
    """The numbers of the dry run are those of the run; nothing is different after it."""
    run = recorded(bench)
    before = stored(bench)

    seen = bench.prune(run, every=5, dry_run=True)

    assert stored(bench) == before
    assert seen.is_preview
    done = bench.prune(run, every=5)
    assert (seen.n_removed, seen.n_kept, seen.freed_bytes) == (done.n_removed, done.n_kept, done.freed_bytes)
    assert seen.plan.equals(done.plan)
    assert str(seen).startswith("Would remove 31 of 40 states")
    assert json.loads(json.dumps(seen.as_dict()))["plan"][0]["kept_as"] == "every"


def test_pruning_twice_is_pruning_once(bench):
    """The same rule again removes nothing; a coarser one makes one gap of two."""
    run = recorded(bench)
    before = whole(bench, run)
    bench.prune(run, every=5)

    assert bench.prune(run, every=5).n_removed == 0
    assert bench.prune(run, every=20).n_removed == 6

    assert kept(bench, run) == [0, 20, 39]
    assert whole(bench, run) == {step: before[step] for step in (0, 20, 39)}
    with bench.store.raw() as connection:
        assert gaps(connection, [run])[uuid.UUID(run)] == [(1, 19, 19), (21, 38, 18)]


def test_steps_that_something_hangs_on_stay(bench):
    """Checkpoints of the agent and of people, notes, pins, and the steps that branches were forked at."""
    with bench.record(agent_type="planner") as recording:
        for number in range(12):
            recording.event("message", role="user", text="x")
            recording.step({"n": number, "policy": "no refunds. " * 100})
            if number == 3:
                recording.checkpoint("searched")
    run = str(recording.id)
    bench.note(run, 5, text="why?")
    bench.note(run, 7, kind="pin")
    bench.note(run, 8, text="asked", kind="checkpoint")
    fork = str(bench.fork(run, 9))

    done = bench.prune(run, before=12)

    assert dict(done.plan.filter("is_kept").select("step_number", "kept_as").iter_rows()) == {
        3: "checkpoint", 5: "noted", 7: "noted", 8: "checkpoint", 9: "forked", 11: "last",
    }  # fmt: skip
    assert bench.replay(run).to_checkpoint("searched").state["n"] == 3
    assert bench.state(fork, 9)["n"] == 9
    assert bench.state(fork, 8)["n"] == 8
    with pytest.raises(PrunedError, match="step 6"):
        bench.state(fork, 6)
    with pytest.raises(PrunedError):
        bench.fork(run, 6)
    with pytest.raises(PrunedError):
        bench.rerun(run, lambda state: state, step=6)


def test_only_steps_before_one_go(bench):
    """The states from that step on are all there; those before the first kept one are refused too."""
    run = recorded(bench)

    bench.prune(run, before=30)

    assert kept(bench, run) == list(range(30, 40))
    with pytest.raises(PrunedError, match="steps 0 to 29"):
        bench.state(run, 0)
    assert bench.state(run, 30)["n"] == 30


def test_an_abandoned_future_is_pruned_on_demand_alone(bench):
    """What a rollback left behind stays until it is asked for, and then nothing else goes; its last state stays."""
    run = recorded(bench, 20)
    head = str(bench.rollback(run, 9))

    assert bench.prune(run, every=5).plan.filter(~pl.col("is_kept"))["step_number"].max() == 8
    assert kept(bench, run) == [0, 5, 9, *range(10, 20)]
    bench.prune(head, abandoned=True)

    assert kept(bench, run) == [0, 5, 9, 19]
    assert kept(bench, head) == [9]
    other = str(bench.rollback(run, 5))
    with pytest.raises(ConflictError, match="abandoned=True"):
        bench.prune(head, every=5)
    assert bench.prune(other, abandoned=True).n_removed == 0
    assert bench.state(run, 19)["n"] == 19


def test_a_rule_is_needed_and_a_run_has_to_have_ended(bench):
    """Nothing goes by accident: no rule, numbers too small and a run that goes on are refused."""
    run = recorded(bench, 3)
    with pytest.raises(ConfigurationError, match="Say which states may go"):
        bench.prune(run)
    for wrong in ({"every": 1}, {"last": 0}, {"before": 0}, {"every": True}, {"last": 2.5}):
        with pytest.raises(ConfigurationError, match=next(iter(wrong))):
            bench.prune(run, **wrong)
    with bench.record(agent_type="planner") as going_on:
        going_on.step({"n": 0})
        assert going_on.flush()
        with pytest.raises(ConflictError, match="still going on"):
            bench.prune(str(going_on.id), every=2)
    assert kept(bench, run) == [0, 1, 2]


def test_a_crash_in_the_middle_leaves_the_store_as_it_was(bench):
    """The states of two runs go together or not at all."""
    first, second = recorded(bench), recorded(bench)
    with bench.store.raw() as connection:
        connection.execute(
            "CREATE FUNCTION public.fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$"
        )
        connection.execute(
            "CREATE TRIGGER fail BEFORE INSERT ON workbench.pruned_states FOR EACH ROW"
            f" WHEN (NEW.execution_id = '{max(first, second)}') EXECUTE FUNCTION public.fail()".encode()
        )
    before = stored(bench)

    with pytest.raises(wb.errors.WorkbenchError, match="no"):
        bench.prune([min(first, second), max(first, second)], every=10)

    assert stored(bench) == before


def test_a_cursor_knows_what_it_cannot_know(bench):
    """Its steps stay; states that are gone are refused, never guessed; changes are told where they are first seen."""
    run = recorded(bench, 30)
    old = bench.replay(run)
    assert old.seek(4).state["n"] == 4
    bench.prune(run, every=10)

    replay = bench.replay(run)

    assert len(replay) == 30
    assert replay.seek(12).event["data"]["text"] == "step 12"
    with pytest.raises(PrunedError):
        _ = replay.state
    assert replay.seek(20).state["n"] == 20
    with pytest.raises(PrunedError):
        replay.diff()
    assert {op["path"] for op in replay.diff(10)} == {"/n", "/plan/3", "/plan/4", "/plan/5"}
    for step in (10, 0, 20, 29):
        assert replay.seek(step).state["n"] == step
        with pytest.raises(PrunedError):
            replay.state_at(5)
    assert replay.changes("/n") == [0, 10, 20, 29]
    assert replay.seek(0).next_change("/n").step_number == 10
    assert replay.seek(29).previous_change("/n").step_number == 20
    assert old.seek(4).state["n"] == 4  # what it had read before


def test_a_search_finds_nothing_where_nothing_is_known(bench):
    """A comparison with a state holds at no step whose state is gone, in a run and in its forks; events are found."""
    run = recorded(bench, 30)
    bench.prune(run, every=10)
    fork = str(bench.fork(run, 20))

    assert bench.find("state('n') >= 10")["step_number"].to_list() == [10, 20, 29]
    assert bench.find("state('n').changed()", run)["step_number"].to_list() == [10, 20, 29]
    assert bench.find("event('message') & (state('n') == 0)")["step_number"].to_list() == [0]
    assert bench.find("event('message')", run).height == 30
    assert [bench.replay(fork).next_match("state('n') >= 10").step_number] == [10]
    assert bench.replay(fork).seek(11).next_match("state('n') >= 10").step_number == 20


def test_the_origin_of_a_value_says_that_steps_are_missing(bench):
    """The step that set it is the first one that is kept, or one of those that are gone; a gone step is refused."""
    run = recorded(bench, 30)
    bench.prune(run, every=10)

    first = bench.origin(run, "n", step=20, depth=0).row(0, named=True)

    assert (first["step_number"], first["text"]) == (20, "or at a step before: the states before this one were pruned")
    with pytest.raises(PrunedError):
        bench.origin(run, "n", step=15)


def test_a_state_cannot_be_put_where_one_was_pruned(bench):
    """A record made by hand would contradict what is known of the step."""
    run = recorded(bench, 12)
    bench.prune(run, before=5)

    with pytest.raises(ConflictError, match="pruned"):
        bench.records.snapshots.create(execution_id=run, step_number=2, state={"n": 2})


def test_forks_move_with_their_gaps(bench):
    """A fork whose steps are renumbered keeps its gaps where its states are."""
    from workbench.data.store.course import realign

    run = recorded(bench, 6)
    with bench.store.raw() as connection:
        connection.execute(
            'UPDATE workbench.agent_executions SET metadata = metadata || \'{"link": "forked"}\', forked_at_step = 0,'
            " parent_execution_id = %s WHERE id = %s",
            [(parent := recorded(bench, 2)), run],
        )
        connection.execute(
            "UPDATE workbench.agent_executions SET parent_event_id = (SELECT id FROM workbench.observability_events"
            " WHERE execution_id = %s AND step_number = 0) WHERE id = %s",
            [parent, run],
        )
    bench.prune(run, before=3)
    with bench.store.raw() as connection:
        connection.execute(
            "UPDATE workbench.observability_events SET step_number = step_number + 10 WHERE execution_id = %s", [parent]
        )
        realign(connection, [uuid.UUID(parent)])
        found = gaps(connection, [run])

    assert found[uuid.UUID(run)] == [(11, 12, 2)]
    assert kept(bench, run) == [10, 13, 14, 15]


def test_a_store_of_the_version_before_is_upgraded_with_its_states(bench):
    """Down to the revision without gaps and up again: runs, states and notes are the same rows, and may be pruned."""
    run = recorded(bench, 12)
    bench.note(run, 3, text="why?")
    before, states = stored(bench), whole(bench, run)

    schema.downgrade(bench.store, "0003")
    schema.upgrade(bench.store)

    assert stored(bench) == before
    bench.prune(run, every=5)
    assert whole(bench, run) == {step: states[step] for step in (0, 3, 5, 10, 11)}
    assert schema.check(bench.store) == []
