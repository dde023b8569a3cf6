"""Values of the state by path, without whole states: what rebuilding every state gives."""

from __future__ import annotations

import orjson
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import sql

from tests.data.frames.histories import KEYS, History, conversations, histories, write
from workbench._delta import same
from workbench._predicates.paths import MISSING, at
from workbench.data.frames.state_paths import state_values
from workbench.data.frames.transport import transport_of
from workbench.data.store.snapshots import rebuild_all

SLOW = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
paths = st.lists(st.sampled_from([*KEYS, "-1", "01", "+1"]), max_size=3).map(tuple)


def of_run(run: str) -> list[sql.Composable]:
    return [sql.SQL("s.execution_id = {}::uuid").format(sql.Literal(run))]


def filled(rows: pl.DataFrame, steps: list[int]) -> list:
    """The value at each step: that of the last row until then."""
    found = []
    for step in steps:
        until = rows.filter(pl.col("step") <= step)
        text = until["value"][-1] if len(until) else None
        found.append(MISSING if text is None else orjson.loads(text))
    return found


def alike(a, b) -> bool:
    return a is b or (a is not MISSING and b is not MISSING and same(a, b))


@SLOW
@given(run=histories(), keys=paths)
def test_values_are_those_of_rebuilt_states(store, run, keys):
    """At every step and path, over every kind of operation, the value is that of the whole state."""
    write(store, [run])
    expected = {step: at(state, keys) for step, state in run.states().items()}

    rows = state_values(transport_of(store), keys, where=of_run(run.id))

    found = filled(rows, list(expected))
    assert [alike(one, other) for one, other in zip(found, expected.values(), strict=True)] == [True] * len(expected), (
        found, expected, run.patches)  # fmt: skip


@SLOW
@given(
    run=conversations(),
    position=st.sampled_from(["0", "1", "2", "4", "-1", "-1", "-2", "01", "-"]),
    rest=st.sampled_from([(), ("content",), ("content", "0", "text"), ("content", "-1"), ("other",), ("0",)]),
)
def test_items_of_a_list_that_grows(store, run, position, rest):
    """An item has the value of the whole state while its list grows, changes inside, and now and then moves."""
    write(store, [run])
    keys = ("m", position, *rest)
    expected = {step: at(state, keys) for step, state in run.states().items()}

    rows = state_values(transport_of(store), keys, where=of_run(run.id))

    found = filled(rows, list(expected))
    assert [alike(one, other) for one, other in zip(found, expected.values(), strict=True)] == [True] * len(expected), (
        found, expected, run.patches)  # fmt: skip


def test_of_a_list_that_grows_one_item_is_read(store):
    """What stands at a position is read once, and not the other items, however long the conversation."""
    run = History(patches={0: [{"op": "add", "path": "", "value": {"m": ["a", "b" * 9000]}}]})
    run.patches |= {step: [{"op": "add", "path": "/m/-", "value": step}] for step in range(1, 9)}
    run.patches[9] = [{"op": "replace", "path": "/m/0", "value": "c"}]
    write(store, [run])

    first, last = (state_values(transport_of(store), ("m", key)) for key in ("0", "-1"))

    assert first.select("step", "value").rows() == [(0, '"a"'), (9, '"c"')]
    assert last.select("step", "value").rows()[1:] == [(step, str(step)) for step in range(1, 9)]


def test_an_object_is_no_list(store):
    """In an object "-" and "0" are keys: what is written there is no last item, and no first one."""
    run = History(patches={
        0: [{"op": "add", "path": "", "value": {"m": {}, "pad": "x" * 4000}}],
        1: [{"op": "add", "path": "/m/-", "value": 1}],
        2: [{"op": "add", "path": "/m/0", "value": 2}],
    })  # fmt: skip
    write(store, [run])

    found = [filled(state_values(transport_of(store), ("m", key)), [0, 1, 2]) for key in ("-1", "0", "-")]

    assert found == [[MISSING] * 3, [MISSING, MISSING, 2], [MISSING, 1, 1]]


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        (("plan", "1"), ["b", "x", "b", MISSING, MISSING, None]),
        (("plan", "-1"), ["b", "b", "b", "a", "a", None]),
        (("n",), [1, 1, MISSING, MISSING, MISSING, 5]),
        (("m", "n"), [MISSING, MISSING, 1, 1, {"deep": 1}, 5]),
        ((), None),
    ],
)
def test_items_that_move(store, keys, expected):
    """Positions shift with items before them; a moved value is found where it went, null is not missing."""
    run = History(patches={
        0: [{"op": "add", "path": "", "value": {"plan": ["a", "b"], "n": 1, "big": "x" * 5000, "m": {}}}],
        2: [{"op": "add", "path": "/plan/1", "value": "x"}],
        3: [{"op": "remove", "path": "/plan/1"}, {"op": "move", "from": "/n", "path": "/m/n"}],
        5: [{"op": "remove", "path": "/plan/1"}],
        6: [{"op": "replace", "path": "/m", "value": {"n": {"deep": 1}}}],
        9: [{"op": "add", "path": "/plan/-", "value": None}, {"op": "copy", "from": "/m/n/deep", "path": "/n"},
            {"op": "replace", "path": "/n", "value": 5}, {"op": "copy", "from": "/n", "path": "/m/n"}],
    })  # fmt: skip
    write(store, [run])
    expected = list(run.states().values()) if expected is None else expected

    rows = state_values(transport_of(store), keys)

    assert filled(rows, [0, 2, 3, 5, 6, 9]) == expected


def test_only_what_touches_the_path_is_read(store):
    """Of patches elsewhere in the state nothing is sent."""
    run = History(patches={0: [{"op": "add", "path": "", "value": {"n": 1, "log": [], "x": "y" * 9000}}]})
    run.patches |= {step: [{"op": "add", "path": "/log/-", "value": step}] for step in range(1, 9)}
    run.patches[9] = [{"op": "replace", "path": "/n", "value": 2}]
    write(store, [run])

    rows = state_values(transport_of(store), ("n",))

    assert rows.select("step", "value").rows() == [(0, "1"), (9, "2")]


def test_values_of_all_shared_states(shared_data, bench):
    """In real histories, of every format that is here, every path has the value that rebuilding gives."""
    bench.ingest([path for path in sorted(shared_data.rglob("*")) if path.is_file() and path.stat().st_size < 400_000],
                 progress=False, keep_originals=False)  # fmt: skip
    rows = bench.frames.transport.fetch(
        sql.SQL("SELECT execution_id AS run, step_number::bigint AS step, keyframe_step::bigint AS keyframe_step,"
                " state::text AS state FROM workbench.execution_snapshots"),
        {"run": pl.String, "step": pl.Int64, "keyframe_step": pl.Int64, "state": pl.String},
    ).sort("run", "step")  # fmt: skip
    states = {
        (run, step): state
        for (run,), part in rows.group_by("run", maintain_order=True)
        for step, state in rebuild_all(part.select("step", "keyframe_step", "state").iter_rows())
    }
    paths = [("messages", "-1", "content"), ("messages", "0", "role"), ("tool_results",), ("messages", "3")]
    keys = sorted({key for state in states.values() if isinstance(state, dict) for key in state})
    paths += [(key,) for key in keys[:20] if key != "messages"]
    wrong = []
    for path in paths:
        values = state_values(bench.frames.transport, path)
        found = {(run, step): value for run, step, value in values.rows()}
        last = None
        for (run, step), state in states.items():
            last = None if last is None or last[0] != run else last
            if (run, step) in found:
                last = (run, found[run, step])
            now = MISSING if last is None or last[1] is None else orjson.loads(last[1])
            if not alike(now, at(state, path)):
                wrong.append((run, step, path))

    assert len(states) > 500
    assert wrong == []
