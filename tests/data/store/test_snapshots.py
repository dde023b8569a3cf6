"""Snapshots as keyframes and patches: exact, small, linear."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.data.ingest.normal import State
from workbench.data.store.snapshots import ROW_WEIGHT, Encoder, encode, rebuild, rebuild_all, state_at
from workbench.errors import NotFoundError, PatchError

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
)
json_values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4)
)


def conversation(n: int, *, text: str = "word " * 60) -> list[State]:
    start = State(0, document={"messages": [], "tool_results": {}})
    return [start] + [
        State(
            step,
            patch=[
                {"op": "add", "path": "/messages/-", "value": {"role": "user", "content": f"{step} {text}"}},
                {"op": "add", "path": f"/tool_results/call_{step}", "value": {"ok": True, "n": step}},
            ],
        )
        for step in range(1, n)
    ]


@given(st.lists(json_values, min_size=1, max_size=12))
def test_whole_states_come_back(states: list[Any]) -> None:
    """Every state given as a whole document is rebuilt, whatever rows it was stored in."""
    rows = list(encode(State(2 * i, document=state) for i, state in enumerate(states)))

    assert [state for _, state in rebuild_all(rows)] == states
    assert [rebuild(rows, 2 * i) for i in range(len(states))] == states


@given(st.lists(json_values, min_size=2, max_size=8), st.data())
def test_mixed_states_come_back(states: list[Any], data: st.DataObject) -> None:
    """Documents and patches may alternate, several in one step: the last state of a step is what is stored."""
    from workbench._delta import diff

    given_states, before, step, wanted = [], {}, 0, {}
    for state in states:
        step += data.draw(st.integers(0, 2))
        if data.draw(st.booleans()):
            given_states.append(State(step, document=state))
        else:
            given_states.append(State(step, patch=diff(before, state)))
        before = wanted[step] = state

    assert dict(rebuild_all(encode(given_states))) == wanted


def test_first_row_is_whole() -> None:
    """The first row is a keyframe even when the source starts with a patch, which then builds on an empty object."""
    rows = list(encode([State(4, patch=[{"op": "add", "path": "/a", "value": 1}])]))

    assert [(r.step_number, r.keyframe_step, orjson.loads(r.state)) for r in rows] == [(4, 4, {"a": 1})]


def test_no_states_no_rows() -> None:
    """A run without states has no rows."""
    assert list(encode([])) == []


def test_unchanged_state_is_a_row() -> None:
    """A state equal to the one before is still a snapshot one can go to."""
    rows = list(encode([State(0, document={"a": 1}), State(1, document={"a": 1})]))

    assert len(rows) == 2
    assert rebuild(rows, 1) == {"a": 1}


def test_growing_conversation_is_small() -> None:
    """5,000 steps given as patches stay within 1.5 times the patches alone."""
    for n in (2_500, 5_000):
        states = conversation(n)
        rows = list(encode(states))
        pure = sum(len(orjson.dumps(s.patch)) + ROW_WEIGHT for s in states[1:])
        assert sum(len(row.state) + ROW_WEIGHT for row in rows) <= 1.5 * pure + 1_000


def test_state_is_read_from_few_bytes() -> None:
    """The rows from the keyframe to any step weigh at most about three times the state they make."""
    rows = list(encode(conversation(1_000, text="x")))
    since, whole = 0, 1
    for row in rows:
        if row.step_number == row.keyframe_step:
            since, whole = 0, len(row.state)
        else:
            since += len(row.state) + ROW_WEIGHT
        assert since <= 2 * (whole + since) + 2_000
    keyframes = [row.step_number for row in rows if row.step_number == row.keyframe_step]

    assert 3 <= len(keyframes) <= 40


def test_small_patches_on_a_large_state_get_keyframes() -> None:
    """A counter in a 20 KB state gets a keyframe about every hundred steps, not one per run."""
    big = {"text": ["lorem ipsum"] * 1_500, "n": 0}
    states = [State(0, document=big)] + [
        State(i, patch=[{"op": "replace", "path": "/n", "value": i}]) for i in range(1, 600)
    ]
    rows = list(encode(states))
    keyframes = [row.step_number for row in rows if row.step_number == row.keyframe_step]

    assert 4 <= len(keyframes) <= 10
    assert rebuild(rows, 599)["n"] == 599


def test_growing_by_replace_is_linear() -> None:
    """A state that grows by replaces is re-encoded a few times only, though its patches hide how it grows."""
    calls = []

    def dumps(value: Any) -> bytes:
        encoded = orjson.dumps(value)
        calls.append(len(encoded))
        return encoded

    states = [State(0, document={f"k{i}": "" for i in range(50)})] + [
        State(i, patch=[{"op": "replace", "path": f"/k{i % 50}", "value": "x" * i}]) for i in range(1, 3_000)
    ]
    rows = list(encode(states, dumps=dumps))
    pure = sum(len(orjson.dumps(s.patch)) + ROW_WEIGHT for s in states[1:])

    assert sum(calls) < 3 * pure
    assert rebuild(rows, 2_999) == {f"k{i}": "x" * (2_950 + i) for i in range(50)}


def test_given_document_may_be_changed_afterwards() -> None:
    """An agent that goes on changing the dict it handed over does not change what was stored."""
    state: dict[str, Any] = {"seen": []}
    encoder = Encoder()
    for step in range(3):
        state["seen"].append(step)
        encoder.add(step, document=state)
    rows = encoder.finish()

    assert [s["seen"] for _, s in rebuild_all(rows)] == [[0], [0, 1], [0, 1, 2]]


def test_bad_patch_leaves_the_encoder_usable() -> None:
    """A patch whose second operation fails takes nothing with it: neither its first operation nor an earlier row."""
    encoder = Encoder()
    encoder.add(0, document={"a": [1], "b": {"c": 0}})
    encoder.add(1, patch=[{"op": "add", "path": "/a/-", "value": 2}])
    with pytest.raises(
        PatchError, match=r"Operation 1 of the patch \(remove '/nope'\) does not apply: there is no member"
    ) as caught:
        encoder.add(2, patch=[{"op": "add", "path": "/a/-", "value": "wrong"}, {"op": "remove", "path": "/nope"}])
    encoder.add(3, patch=[{"op": "add", "path": "/a/-", "value": 3}])
    encoder.add(4, document={"a": [1, 2, 3, 4], "b": {"c": 0}})
    rows = encoder.finish()

    assert caught.value.step_number == 2
    assert dict(rebuild_all(rows)) == {
        0: {"a": [1], "b": {"c": 0}},
        1: {"a": [1, 2], "b": {"c": 0}},
        3: {"a": [1, 2, 3], "b": {"c": 0}},
        4: {"a": [1, 2, 3, 4], "b": {"c": 0}},
    }


def test_bad_patches_anywhere_in_a_run() -> None:
    """After many keyframes too, a bad patch leaves the state of the step before it."""
    encoder = Encoder()
    encoder.add(0, document={"n": [], "log": []})
    for step in range(1, 200):
        encoder.add(step, patch=[{"op": "add", "path": "/n/-", "value": step}])
        if step % 7 == 0:
            with pytest.raises(PatchError):
                encoder.add(step, patch=[{"op": "add", "path": "/n/-", "value": "x"}, {"op": "remove", "path": "/no"}])
        if step % 50 == 0:
            encoder.add(step, document={"n": list(range(1, step + 1)), "log": [step]})
    rows = encoder.finish()

    assert sum(row.step_number == row.keyframe_step for row in rows) > 2
    assert [len(state["n"]) for _, state in rebuild_all(rows)] == list(range(200))
    assert rebuild(rows, 199) == {"n": list(range(1, 200)), "log": [150]}


def test_steps_must_not_go_back() -> None:
    """States out of order are refused with both steps named."""
    with pytest.raises(PatchError, match="The state of step 1 comes after that of step 2; sort the states by step"):
        list(encode([State(2, document=1), State(1, document=2)]))


def test_given_patches_are_not_changed() -> None:
    """Containers that came in by a patch are not changed by later patches."""
    value: dict[str, Any] = {"items": []}
    states = [
        State(0, patch=[{"op": "add", "path": "/box", "value": value}]),
        State(1, patch=[{"op": "add", "path": "/box/items/-", "value": 1}]),
        State(2, patch=[{"op": "add", "path": "/box/items/-", "value": 2}]),
    ]
    rows = list(encode(states))

    assert value == {"items": []}
    assert rebuild(rows, 2) == {"box": {"items": [1, 2]}}


def test_rebuild_between_and_before_steps() -> None:
    """Between two snapshots the state is that of the earlier one; before the first there is none."""
    rows = list(encode([State(3, document={"n": 3}), State(9, document={"n": 9})]))

    assert rebuild(rows, 5) == {"n": 3}
    with pytest.raises(NotFoundError, match="no snapshot at or before step 2"):
        rebuild(rows, 2)


def test_missing_keyframe_is_named() -> None:
    """A chain whose keyframe was deleted is an error that names it, not a wrong state."""
    rows = [(3, 3, {"n": 3}), (8, 7, b"[]")]

    with pytest.raises(PatchError, match="step 8 builds on the whole state of step 7, which is not there"):
        list(rebuild_all(rows))


def test_damaged_patch_is_named() -> None:
    """A patch that does not apply, or is none, is an error that names its step; the states before it come."""
    for damaged, why in ((b'[{"op":"remove","path":"/gone"}]', "there is no member 'gone'"), (b"7", "not a number"),
                         (b'{"op":"add"}', "not an object"), (b'"text"', "not a string")):  # fmt: skip
        rows = [(3, 3, b'{"n":3}'), (4, 3, b"[]"), (5, 3, damaged), (6, 3, b"[]")]
        with pytest.raises(PatchError, match=rf"state of step 5 cannot be rebuilt.*{why}") as raised:
            list(rebuild_all(rows))

        assert raised.value.step_number == 5
        assert rebuild(rows, 4) == {"n": 3}


def test_text_bytes_and_parsed_rows() -> None:
    """Rows are read as Postgres gives them: text, bytes or parsed."""
    rows = [(0, 0, '{"a":1}'), (1, 0, b'[{"op":"add","path":"/b","value":2}]'), (2, 0, [])]

    assert [state for _, state in rebuild_all(rows)] == [{"a": 1}, {"a": 1, "b": 2}, {"a": 1, "b": 2}]


def test_copied_values_are_not_aliases() -> None:
    """A source's copy operation makes two values of one, whether a state is rebuilt alone or with all others."""
    patches = [
        [{"op": "copy", "from": "/a", "path": "/b"}],
        [{"op": "add", "path": "/b/x/-", "value": 1}],
        [{"op": "move", "from": "/b/x", "path": "/c"}, {"op": "add", "path": "/c/-", "value": 2}],
    ]
    given_rows = [(0, 0, {"a": {"x": []}}), *((k + 1, 0, patch) for k, patch in enumerate(patches))]
    encoded_rows = [(step, keyframe, orjson.dumps(state)) for step, keyframe, state in given_rows]
    expected = {"a": {"x": []}, "b": {}, "c": [1, 2]}

    assert rebuild(encoded_rows, 3) == rebuild(given_rows, 3) == expected
    assert list(rebuild_all(encoded_rows))[2][1] == {"a": {"x": []}, "b": {"x": [1]}}
    assert given_rows[0][2] == {"a": {"x": []}}


@dataclass
class Other:
    """A state-like of another origin."""

    step_number: int
    document: Any = None
    patch: Any = None


def test_any_state_like_object() -> None:
    """The encoder asks for three attributes, not for a class."""
    assert [row.state for row in encode([Other(0, document={"a": 1})])] == [b'{"a":1}']


# ---------------------------------------------------------------- in the database


def stored_run(store: Any, states: list[State]) -> uuid.UUID:
    run = uuid.uuid4()
    with store.raw() as connection:
        connection.execute(
            "INSERT INTO workbench.agent_executions (id, agent_type, status) VALUES (%s, 'test', 'completed')", (run,)
        )
        with connection.cursor().copy(
            "COPY workbench.execution_snapshots (execution_id, step_number, keyframe_step, state) FROM STDIN"
        ) as copy:
            for row in encode(states):
                copy.write_row((run, row.step_number, row.keyframe_step, row.state.decode()))
    return run


def test_state_at_any_step(store: Any) -> None:
    """The database gives back the state after every step, and between snapshots that of the one before."""
    states = [State(2 * i, document={"n": i, "text": "x" * 50, "items": list(range(i))}) for i in range(120)]
    run = stored_run(store, states)

    for step in range(239):
        assert state_at(store, run, step) == states[step // 2].document


def test_state_at_a_step_that_is_not_there(store: Any) -> None:
    """Behind the last step, be it an event's or a snapshot's, there is no state: the error names the last step."""
    run = stored_run(store, [State(5, document={"n": 5})])

    with pytest.raises(NotFoundError, match=rf"Execution {run} has no step 6; its steps are 0 to 5\."):
        state_at(store, run, 6)
    with store.raw() as connection:
        connection.execute(
            "INSERT INTO workbench.observability_events (execution_id, event_type, step_number)"
            " VALUES (%s, 'message', 7)",
            (run,),
        )
    assert state_at(store, str(run), 7) == {"n": 5}
    with pytest.raises(NotFoundError, match=r"has no step 9999; its steps are 0 to 7\.") as caught:
        state_at(store, run, 9999)
    assert vars(caught.value)["last_step"] == 7
    with pytest.raises(NotFoundError, match=r"has no step -1; its steps are 0 to 7\."):
        state_at(store, run, -1)


def test_state_of_a_run_without_steps(store: Any) -> None:
    """A run that has neither events nor snapshots has no step at all."""
    run = stored_run(store, [])

    with pytest.raises(NotFoundError, match=r"has no step 0; it has none\."):
        state_at(store, run, 0)


def test_state_at_reads_from_the_keyframe_only(store: Any) -> None:
    """What lies before the keyframe is not read: it may be broken."""
    big = {"text": ["lorem ipsum"] * 1_500, "n": 0}
    changes = [State(i, patch=[{"op": "replace", "path": "/n", "value": i}]) for i in range(1, 300)]
    run = stored_run(store, [State(0, document=big), *changes])
    with store.raw() as connection:
        sql = "SELECT max(keyframe_step) FROM workbench.execution_snapshots WHERE execution_id = %s"
        keyframe = connection.execute(sql, (run,)).fetchone()[0]
        connection.execute(
            "UPDATE workbench.execution_snapshots SET state = '[]' WHERE execution_id = %s AND step_number < %s",
            (run, keyframe),
        )

    assert 0 < keyframe < 299
    assert state_at(store, run, 299) == {**big, "n": 299}


def test_state_at_without_snapshot(store: Any) -> None:
    """Before the first snapshot there is no state, and the error names the run and the step."""
    run = stored_run(store, [State(5, document={})])

    with pytest.raises(NotFoundError, match=rf"Execution {run} has no snapshot at or before step 4"):
        state_at(store, run, 4)
