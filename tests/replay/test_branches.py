"""Forks, heads and what they share: no step and no state is ever lost."""

from __future__ import annotations

import json
import os
import uuid
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

import workbench as wb
from workbench._delta import apply
from workbench.data.store.course import realign
from workbench.errors import ConfigurationError, ConflictError, NotFoundError, PatchError, PrunedError
from workbench.replay.branches import make_head


def recorded(bench: wb.Workbench, n_steps: int = 6) -> str:
    """A run of some steps, each with a state."""
    with bench.record(agent_type="planner", name="first") as run:
        for number in range(n_steps):
            run.event("message", role="assistant", text=f"step {number}", usage={"input_tokens": 10})
            run.step({"n": number, "plan": [f"step {k}" for k in range(number + 1)]})
    return str(run.id)


def test_damaged_snapshots_give_no_wrong_state(bench):
    """Where a whole state is gone or a patch is damaged, what builds on it is an error; the rest is as it was."""
    runs = []
    for _ in range(2):
        with bench.record(agent_type="planner") as run:
            for number in range(4):
                run.event("log")
                run.step({"n": number, "policy": "Refunds within 30 days. " * 200})
        runs.append(str(run.id))
    gone, damaged = runs
    with bench.store.raw() as connection:
        connection.execute(
            "DELETE FROM workbench.execution_snapshots WHERE execution_id = %s AND step_number = 0",
            [gone],
        )
        connection.execute(
            "UPDATE workbench.execution_snapshots SET state = '7' WHERE execution_id = %s AND step_number = 1",
            [damaged],
        )

    for run, why in ((gone, "whole state of step 0, which is not there"), (damaged, "state of step 1 cannot be")):
        replay = bench.replay(run)
        for _ in range(2):
            with pytest.raises(PatchError, match=why):
                replay.seek(1).state  # noqa: B018
        with pytest.raises(PatchError, match=why):
            bench.origin(run, "n", step=1)
        assert wb.ReplayPlayer(replay)._said["1"]["problem"].startswith("The s")
    assert bench.replay(gone).state is None
    assert bench.replay(damaged).state["n"] == 0


def test_a_fork_shares_its_past_and_changes_nothing(bench):
    """States and events before the fork are the run's own; the edited state is the fork's; the run stays as it was."""
    run = recorded(bench)
    before = bench.sql("SELECT * FROM execution_snapshots ORDER BY id")

    fork = str(bench.fork(run, 3, state={"n": 30}, name="other"))

    assert [bench.state(fork, step)["n"] for step in range(4)] == [0, 1, 2, 30]
    assert bench.state(run, 3)["n"] == 3
    assert bench.frames.course(fork)["step_number"].to_list() == [0, 1, 2, 3]
    assert bench.events(fork).is_empty()
    row = bench.executions(ids=[fork]).row(0, named=True)
    assert (row["status"], row["name"], row["link"], row["parent_execution_id"]) == ("pending", "other", "forked", run)
    assert bench.sql("SELECT * FROM execution_snapshots WHERE execution_id = $1 ORDER BY id", [run]).equals(before)
    assert bench.executions()["input_tokens"].sum() == 60


def test_a_cursor_sees_the_edited_state_whatever_it_saw_before(bench):
    """The state of the run that was left, at the very step of the fork, never stands in for the fork's own."""
    with bench.record(agent_type="planner") as recording:
        for number in range(6):  # a large state: but for the first its changes are stored
            recording.event("message", role="user", text="x")
            recording.step({"n": number, "policy": "no refunds. " * 400})
    run = str(recording.id)
    fork = bench.replay(run).seek(3).fork(state={"n": 30})

    seen = [fork.seek(step).state["n"] for step in (2, 3, 1, 3, 0, 3)]

    assert seen == [2, 30, 1, 30, 0, 30]
    assert bench.replay(fork.id).changes("/n") == [0, 1, 2, 3]


def test_a_step_that_is_not_there_cannot_be_forked(bench):
    """The error says which steps there are; nothing is written."""
    run = recorded(bench)

    with pytest.raises(NotFoundError, match="its steps are 0 to 5"):
        bench.fork(run, 6)
    with pytest.raises(NotFoundError, match="its steps are 0 to 5"):
        bench.fork(run, -1)
    assert bench.executions().height == 1


def test_a_fork_of_a_fork_hangs_on_the_run_that_holds_the_step(bench):
    """Forked before its own beginning it leaves the first run; at its beginning it takes the edited state along."""
    run = recorded(bench)
    fork = str(bench.fork(run, 3, state={"n": 30}))

    early, late = str(bench.fork(fork, 1)), str(bench.fork(fork, 3))

    parents = dict(bench.executions().select("id", "parent_execution_id").iter_rows())
    assert (parents[early], parents[late]) == (run, fork)
    assert bench.state(early, 1)["n"] == 1
    assert bench.state(late, 3) == {"n": 30}
    assert bench.state(late, 2)["n"] == 2
    tree = bench.branches(late)
    assert tree.select("id", "depth").rows() == [(run, 0), (early, 1), (fork, 1), (late, 2)]


def test_going_back_leaves_the_abandoned_future_in_its_place(bench):
    """The head moves to a new branch; the steps after it can be seen, and taken up again."""
    run = recorded(bench)

    head = str(bench.rollback(run, 2, reason="the plan was wrong"))

    told = {row["id"]: row for row in bench.branches(run).iter_rows(named=True)}
    assert (told[run]["is_head"], told[run]["was_head"], told[run]["head_until_step"]) == (False, True, 2)
    assert told[run]["last_step"] == 5
    assert (told[head]["is_head"], told[head]["head_until_step"], told[head]["forked_at_step"]) == (True, 2, 2)
    assert bench.state(run, 5)["n"] == 5
    make_head(bench.store, run)
    told = {row["id"]: row for row in bench.branches(head).iter_rows(named=True)}
    assert (told[run]["is_head"], told[run]["head_until_step"]) == (True, 5)
    assert (told[head]["is_head"], told[head]["was_head"], told[head]["head_until_step"]) == (False, True, None)
    assert str(bench.rollback(run, 5)) == run


def test_a_fork_outlives_the_run_it_left(bench):
    """When that run is deleted its states go, those of the fork stay."""
    run = recorded(bench)
    fork = str(bench.fork(run, 3))

    with bench.store.raw() as connection:
        connection.execute("DELETE FROM workbench.agent_executions WHERE id = %s", [run])

    assert bench.state(fork, 3)["n"] == 3
    with pytest.raises(NotFoundError, match="no snapshot at or before step 2"):
        bench.state(fork, 2)
    assert bench.branches(fork)["id"].to_list() == [fork]


def test_two_branches_are_compared_from_their_beginnings(bench):
    """Shared steps are equal; states are each branch's own."""
    run = recorded(bench)
    fork = str(bench.fork(run, 3, state={"n": 30}))

    found = bench.compare(run, fork)

    assert found.steps["kind"].to_list() == ["equal"] * 4 + ["removed"] * 2


def test_a_nested_run_is_forked_like_any_other(bench):
    """The fork of a sub-agent hangs on the sub-agent, below the run that started it."""
    parent, child = recorded(bench), recorded(bench, 3)
    with bench.store.raw() as connection:
        connection.execute(
            "UPDATE workbench.agent_executions SET parent_execution_id = %s WHERE id = %s", [parent, child]
        )

    fork = str(bench.fork(child, 1))

    assert bench.tree(parent).select("id", "depth", "link").rows() == [
        (parent, 0, None), (child, 1, "spawned"), (fork, 2, "forked")
    ]  # fmt: skip
    assert bench.branches(fork)["id"].to_list() == [child, fork]


def test_the_cursor_goes_where_it_is_told(bench):
    """By step, by event, to errors, calls and changes; a wrong goal leaves it where it is."""
    with bench.record(agent_type="planner") as run:
        run.event("message", role="user", text="To Oslo")
        run.step({"cart": {"total": 0}, "a/b": 1})
        with run.tool("search", {"to": "OSL"}) as call:
            call.result = [1]
        run.step({"cart": {"total": 7}, "a/b": 1})
        run.event("log", name="gone", severity="error")
        run.step({"cart": {"total": 7}, "a/b": 2})

    replay = bench.replay(run.id)
    assert (len(replay), replay.step_number, replay.state) == (4, 0, {"cart": {"total": 0}, "a/b": 1})
    assert replay.next_tool_call("search").step_number == 1
    assert replay.event["data"]["tool"]["arguments"] == {"to": "OSL"}
    assert replay.next_error().step_number == 3
    assert replay.previous_tool_call().step_number == 1
    assert replay.next_change("/cart/total").step_number == 2
    assert replay.diff() == [{"op": "replace", "path": "/cart/total", "value": 7}]
    assert replay.next_change("/a~1b").step_number == 3
    with pytest.raises(NotFoundError, match="does not change after step 3"):
        replay.next_change("/cart/total")
    with pytest.raises(NotFoundError, match="its steps are 0 to 3"):
        replay.seek(9)
    assert replay.step_number == 3
    assert replay.goto(bench.events(run.id).row(1, named=True)).step_number == 1
    assert [cursor.step_number for cursor in replay.play()] == [1, 2, 3]
    assert replay.is_at_end
    assert sorted(op["path"] for op in replay.diff(0)) == ["/a~1b", "/cart/total"]
    assert replay.step_back(2).events["step_number"].to_list() == [0, 1]
    with pytest.raises(ConfigurationError, match="above 0"):
        next(replay.play(speed=0))


def test_a_row_opens_its_step(bench):
    """A row of an answer opens the cursor on its step; a cursor goes to any row of its run, and to no other."""
    run, other = recorded(bench, 4), recorded(bench, 4)
    found = bench.find(wb.state("n") >= 2, run)
    fork = bench.fork(run, 2)

    assert [bench.replay(found[n]).step_number for n in range(len(found))] == found["step_number"].to_list()
    assert bench.replay(found.row(1, named=True)).step_number == found["step_number"][1] > 0
    assert bench.replay(bench.events(run)[3]).step_number == 3
    assert bench.replay(bench.events(run)).step_number == bench.replay(bench.executions(ids=[run])).step_number == 0
    replay = bench.replay(fork)
    assert replay.goto({"step_number": 1}).goto(found[0]).step_number == found["step_number"][0]
    with pytest.raises(NotFoundError, match=r"bench\.replay\(row\) opens the other"):
        replay.goto(bench.find(wb.state("n") >= 2, other)[0])
    with pytest.raises(ConfigurationError, match="tells no step"):
        replay.goto({"name": "x"})
    with pytest.raises(ConfigurationError, match=r"Try frame\[0\]"):
        replay.goto(found)
    assert replay.step_number == found["step_number"][0]


def test_the_cursor_of_a_fork_stands_on_steps_without_an_event(bench):
    """A step of which there is a state alone is a step of the forks behind it, once, that of the fork too."""
    run = recorded(bench, 3)
    for number in (3, 4, 5):
        bench.records.snapshots.create(execution_id=run, step_number=number, state={"n": number})

    fork = bench.replay(run).seek(4).fork(state={"n": 40})
    behind = bench.replay(fork.seek(4).fork(state={"n": 400}).id)

    for cursor, last in ((fork, 40), (behind, 400)):
        assert cursor.steps["step_number"].to_list() == [0, 1, 2, 3, 4]
        assert cursor.steps["id"].is_null().to_list() == [False, False, False, True, True]
        assert [one.state["n"] for one in cursor.seek(0).play()] == [0, 1, 2, 3, last]
        assert cursor.previous_change("/n").step_number == 3


def test_a_state_that_a_person_edited_is_not_called_derived(bench):
    """A fork with an edited state begins with what was given, though the run it left had a state made from its text."""
    with bench.record(agent_type="a") as made:
        for number in range(3):
            made.event("message", role="assistant", text=f"step {number}")

    replay = bench.replay(str(made.id)).seek(2)

    assert (replay.is_derived, replay.fork().is_derived, replay.fork(state={"n": 2}).is_derived) == (True, True, False)


def test_the_cursor_stops_where_a_predicate_holds(bench):
    """By the same expressions that search all runs; a fork is asked over its whole course."""
    fork = bench.replay(recorded(bench)).seek(3).fork(state={"n": 30})
    fork.seek(0)

    assert fork.next_match(wb.state("n") == 2).step_number == 2
    assert [cursor.step_number for cursor in fork.seek(0).play(until="state('n') >= 2")] == [0, 1, 2]
    assert [cursor.step_number for cursor in fork.play(until=wb.state("n") == 2)] == [2, 3]
    assert fork.previous_match(wb.state("n") == 1).step_number == 1
    with pytest.raises(NotFoundError, match="No step where"):
        fork.next_match(wb.state("n") == 99)
    assert fork.step_number == 1


def test_a_cursor_forks_with_changes_and_restores_objects(bench):
    """A patch on the state makes the fork's beginning; a state becomes an object of the user's own."""
    replay = bench.replay(recorded(bench)).seek(3)

    fork = replay.fork(patch=[{"op": "replace", "path": "/n", "value": 33}])

    assert (fork.step_number, fork.state["n"], replay.state["n"]) == (3, 33, 3)
    assert fork.step_back().state["n"] == 2
    mine: dict[str, Any] = {"old": True}
    assert fork.restore(mine) is mine
    assert mine["n"] == 2
    mine["plan"].append("mine alone")
    assert fork.restore(list[str], path="/plan") == ["step 0", "step 1", "step 2"]
    with pytest.raises(PatchError):
        replay.fork(patch=[{"op": "remove", "path": "/nothing"}])
    with pytest.raises(ConfigurationError, match="exclude"):
        replay.fork(state={}, patch=[])


def test_what_no_column_takes_is_written_as_it_can_be(bench):
    """NUL and half a character pair in a note, its author, or a reason are replaced, as in what agents say."""
    replay = bench.replay(recorded(bench)).seek(2)
    replay.note("a\0b\ud800", author="c\0d\ud800")
    head = replay.rollback(reason="e\0f\ud800")

    row = replay.notes.row(0, named=True)
    assert (row["text"], row["author"]) == ("a\u2400b\ufffd", "c\u2400d\ufffd")
    reasons = bench.sql("SELECT reason FROM branch_heads WHERE execution_id = $1", [head.id])
    assert reasons["reason"].to_list() == ["e\u2400f\ufffd"]


def test_notes_hang_on_the_step_and_show_in_every_branch(bench):
    """Pins, notes and named checkpoints; one name means one step."""
    replay = bench.replay(recorded(bench)).seek(2)
    replay.note("why here?", author="ada")
    replay.checkpoint("before the order")
    fork = replay.step_forward().fork()
    replay.step_forward().pin()

    assert fork.notes.select("step_number", "kind", "text").rows() == [
        (2, "note", "why here?"), (2, "checkpoint", "before the order")
    ]  # fmt: skip
    assert replay.notes["kind"].to_list() == ["note", "checkpoint", "pin"]
    assert fork.to_checkpoint("before the order").step_number == 2
    with pytest.raises(NotFoundError, match="before the order"):
        fork.to_checkpoint("after it")
    with pytest.raises(wb.errors.ConflictError, match="at step 2"):
        fork.seek(3).checkpoint("before the order")
    with pytest.raises(ConfigurationError, match="needs a text"):
        replay.note(" ")


RULES = [
    {"every": 2}, {"every": 5}, {"last": 1}, {"last": 3}, {"before": 9}, {"every": 3, "last": 2}, {"abandoned": True},
    {"abandoned": True, "every": 2},
]  # fmt: skip


class Branching(RuleBasedStateMachine):
    """Forks, rolls back, edits and prunes at random; a model that only copies says what every state must be."""

    bench: wb.Workbench
    n_done: int = 0  # rules that ran

    @initialize(n_steps=st.integers(3, 14))
    def begin(self, n_steps):
        run = recorded(self.bench, n_steps)
        self.states = {run: [self.bench.state(run, step) for step in range(n_steps)]}
        self.owners = {run: [run] * n_steps}  # who holds the state of each step
        self.needed = set()  # (run, step) that something hangs on
        self.gone = set()  # (run, step) that were pruned

    def pick(self, data):
        run = data.draw(st.sampled_from(sorted(self.states)))
        return run, data.draw(st.integers(0, len(self.states[run]) - 1))

    def is_gone(self, run, step):
        return (self.owners[run][step], step) in self.gone

    def branched(self, made, run, step, state):
        self.states[made] = [*self.states[run][:step], state]
        self.owners[made] = [*self.owners[run][:step], made]
        self.needed |= {(self.owners[run][step], step), (made, step)}
        type(self).n_done += 1

    @rule(
        data=st.data(),
        edited=st.none() | st.dictionaries(st.text("abc/~é", max_size=3), st.integers(-(2**53), 2**53), max_size=2),
    )
    def fork(self, data, edited):
        run, step = self.pick(data)
        given = {} if edited is None else {"state": edited}
        if self.is_gone(run, step):
            with pytest.raises(PrunedError):
                self.bench.fork(run, step, **given)
            return
        made = str(self.bench.fork(run, step, **given))
        self.branched(made, run, step, self.states[run][step] if edited is None else edited)

    @rule(data=st.data(), value=st.integers() | st.text(max_size=3))
    def edit(self, data, value):
        """A fork whose state a patch changes, made by a cursor."""
        run, step = self.pick(data)
        if self.is_gone(run, step) or not isinstance(self.states[run][step], dict):
            return
        patch = [{"op": "add", "path": "/edited", "value": (value % 2**53) if isinstance(value, int) else value}]
        made = self.bench.replay(run).seek(step).fork(patch=patch).id
        self.branched(made, run, step, apply(self.states[run][step], patch))

    @rule(data=st.data())
    def rollback(self, data):
        run, step = self.pick(data)
        if step == len(self.states[run]) - 1:
            assert str(self.bench.rollback(run, step)) == run
            head = run
        elif self.is_gone(run, step):
            return
        else:
            head = str(self.bench.rollback(run, step))
            self.branched(head, run, step, self.states[run][step])
        heads = self.bench.branches(run).filter("is_head")["id"].to_list()
        assert heads == [head]

    @rule(data=st.data())
    def note(self, data):
        run, step = self.pick(data)
        self.bench.note(run, step, text="look here")
        if not self.is_gone(run, step):
            owner = self.owners[run][step]
            # Of the step that it was forked at, a fork has a state and the run that it left the note.
            self.needed |= {(owner, step)} | {(other, step) for other in self.states if owner == other}

    @rule(
        data=st.data(),
        rule=st.sampled_from(RULES),
        is_preview=st.booleans(),
    )
    def prune(self, data, rule, is_preview):
        run, _ = self.pick(data)
        try:
            done = self.bench.prune(run, **rule, dry_run=is_preview)
        except ConflictError:  # all of it was left behind by a rollback
            return
        gone = {(row[0], row[1]) for row in done.plan.filter(~pl.col("is_kept")).iter_rows()}
        assert not gone & self.needed
        assert not {(one, len(states) - 1) for one, states in self.states.items()} & gone
        assert done.n_removed == len(gone)
        if not is_preview:
            self.gone |= gone
            type(self).n_done += 1

    @invariant()
    def every_state_is_as_the_model_has_it(self):
        for run, states in getattr(self, "states", {}).items():
            replay = self.bench.replay(run)
            seen = [json.loads(json.dumps(self.known(lambda: cursor.state))) for cursor in replay.play()]  # noqa: B023
            told = [self.known(lambda: self.bench.state(run, step)) for step in range(len(states))]  # noqa: B023
            expected = ["pruned" if self.is_gone(run, step) else state for step, state in enumerate(states)]
            assert told == expected
            assert seen == expected

    def known(self, ask):
        try:
            return ask()
        except PrunedError:
            return "pruned"


def test_any_sequence_of_forks_edits_rollbacks_and_prunes_keeps_every_state(bench):
    """A state machine against plain copies of whole states: what is not pruned is exact, what is pruned is refused."""

    class Bound(Branching):
        pass

    Bound.bench = bench
    examples, steps = map(int, os.environ.get("WORKBENCH_BRANCHES", "15 8").split())
    Bound.TestCase.settings = settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )
    Bound.TestCase().runTest()
    print(f"{Bound.n_done} forks, edits, rollbacks and prunes")


def test_forks_move_along_with_the_step_they_hang_on(bench):
    """Steps that a file tells late push others on: a fork, and the forks of it, keep their places behind their step."""
    run = recorded(bench)
    fork = str(bench.fork(run, 3, state={"n": 30}))
    inner = str(bench.fork(fork, 3, state={"n": 31}))
    other = str(bench.fork(run, 1))
    with bench.store.raw() as connection:
        for table in ("observability_events", "execution_snapshots"):
            for by in (1000, -998):  # two steps came between the second and the third
                more = f", keyframe_step = CASE keyframe_step WHEN 0 THEN 0 ELSE keyframe_step + {by} END"
                connection.execute(
                    f"UPDATE workbench.{table} SET step_number = step_number + {by}"
                    f"{more if table == 'execution_snapshots' else ''} WHERE execution_id = %s AND step_number >= 2",
                    [run],
                )
        n_moved = realign(connection, [uuid.UUID(run)])

    assert n_moved == 2
    at = dict(bench.executions().select("id", "parent_execution_id").iter_rows())
    assert at[inner] == fork
    told = dict(bench.branches(run).select("id", "forked_at_step").iter_rows())
    assert (told[fork], told[inner], told[other]) == (5, 5, 1)
    assert [cursor.state["n"] for cursor in bench.replay(inner).play()] == [0, 1, 2, 31]
    assert bench.state(fork, 5) == {"n": 30}


def test_a_part_of_a_session_that_comes_late_leaves_forks_where_they_hang(bench, tmp_path):
    """The beginning of a session is read after its end was forked: the steps move, and the fork with them."""
    lines = [
        {
            "type": "user", "uuid": f"u{n}", "parentUuid": f"u{n - 1}" if n else None, "sessionId": "s1",
            "timestamp": f"2026-01-01T00:00:0{n}Z", "message": {"role": "user", "content": f"said {n}"},
        }
        for n in range(6)
    ]  # fmt: skip
    for name, part in (("end.jsonl", lines[3:]), ("begin.jsonl", lines[:4])):
        (tmp_path / name).write_text("".join(json.dumps(line) + "\n" for line in part))
    bench.ingest(tmp_path / "end.jsonl", format="claude-code", progress=False)
    run = bench.executions()["id"][0]
    fork = str(bench.fork(run, 1, state={"edited": True}))

    bench.ingest(tmp_path / "begin.jsonl", format="claude-code", progress=False)

    assert bench.events(run).height == 6
    assert bench.branches(run)["forked_at_step"].to_list() == [None, 4]
    assert bench.state(fork, 4) == {"edited": True}
    assert len(bench.state(fork, 3)["messages"]) == 4
