"""bench.find(): every step of every run at which a predicate holds, the same that a watch stops at."""

from __future__ import annotations

import json

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import workbench as wb
from tests.data.frames.histories import KEYS, History, histories, scalars, write
from workbench._predicates import event, never, run, state
from workbench.data.frames.find import SCHEMA
from workbench.data.frames.transport import Transport
from workbench.errors import ConfigurationError, NotFoundError

SLOW = settings(
    max_examples=75, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)

# ---------------------------------------------------------------- random predicates

paths = st.lists(st.sampled_from([k for k in KEYS if k] + ["-1"]), max_size=2).map(
    lambda keys: ".".join(f'"{key}"' for key in keys)
)
of_event = st.builds(
    event,
    st.sampled_from([None, "tool", "tool_call", "message"]),
)
named = st.builds(lambda kind, **where: event(kind, **where), st.sampled_from([None, "tool_call"]),
                  name=st.sampled_from(["refund", ["refund", "verify"]]))  # fmt: skip
kinds = st.one_of(of_event, named, st.just(event(severity="error")))
event_values = st.builds(
    lambda of, path: of[path],
    kinds,
    st.sampled_from(["name", "severity", "data.text", "data.n", "data.list.-1", "data.list.01", "data", "duration_ms"]),
)
states = paths.map(state)
runs = st.sampled_from([run("agent_type"), run("n_events"), run("metadata.trial"), run("cost_usd")])
numbers = st.builds(lambda a, op, b: (a + b, a - b, a * b, a / b, a % b)[op], st.one_of(states, runs),
                    st.integers(0, 4), st.one_of(st.integers(-1, 2), states, runs))  # fmt: skip
values = st.one_of(states, event_values, runs, numbers)
constants = st.one_of(
    scalars, st.sampled_from(["refund", "sorry", "fine", "planner", "1", [1], {"a": 1}, "é", 'a "b"'])
)


@st.composite
def comparisons(draw):
    """A comparison of anything with anything, as far as that is allowed."""
    left = draw(values)
    right = draw(st.one_of(constants, constants, states, runs))
    op = draw(st.sampled_from(["==", "!=", "<", "<=", ">", ">=", "contains", "is_in", "exists", "matches"]))
    match op:
        case "exists":
            return left.exists()
        case "matches":
            return left.matches(draw(st.sampled_from(["^s", "e", "sor+y", "^$"])))
        case "is_in":
            return left.is_in(draw(st.lists(constants, max_size=2)))
        case "contains":
            return left.contains(right)
    return {"==": left == right, "!=": left != right, "<": left < right, "<=": left <= right, ">": left > right,
            ">=": left >= right}[op]  # fmt: skip


leaves = st.one_of(kinds, comparisons(), comparisons(), states.map(lambda one: one.changed()),
                   st.builds(lambda a: (a + 1).changed(), states), st.deferred(lambda: repeated))  # fmt: skip
within = st.one_of(st.none(), st.integers(1, 4))
repeated = st.builds(
    lambda of, n, paths, near: of.repeats(n, *paths, within=near),
    kinds, st.integers(1, 3),
    st.sampled_from([(), ("name",), ("data.n",), ("data.text", "severity"), ("data.list.-1",)]), within,
)  # fmt: skip


def _joined(inner):
    pairs = st.tuples(inner, inner)
    return st.one_of(
        pairs.map(lambda two: two[0] & two[1]),
        pairs.map(lambda two: two[0] | two[1]),
        inner.map(lambda one: ~one),
        st.tuples(pairs, within).map(lambda given: given[0][0].then(given[0][1], within=given[1])),
        pairs.map(lambda two: two[0].before(two[1])),
        st.tuples(pairs, st.integers(1, 4)).map(lambda given: given[0][0].without(given[0][1], within=given[1])),
        pairs.map(lambda two: never(two[0]).until(two[1])),
        inner.map(never),
        inner.map(lambda one: one.begins()),
        st.tuples(inner, st.integers(1, 3), within).map(lambda given: given[0].at_least(given[1], within=given[2])),
    )


predicates = st.recursive(leaves, _joined, max_leaves=4)


def watched(predicate, history: History, row: dict) -> list[int]:
    """The steps at which a watch says that it holds."""
    watch = predicate.watch(run={**row, "metadata": {"trial": 3}})
    whole = history.states()
    found = []
    for number in history.steps():
        events = [{"agent": None, "duration_ms": None, **one} for one in history.events.get(number, [])]
        given = {"state": whole[number]} if number in whole else {}
        if watch.feed(number, events, **given):
            found.append(number)
    return found


@SLOW
@given(told=st.lists(histories(), min_size=1, max_size=3), predicate=predicates)
def test_find_is_watch(bench, told, predicate):
    """A search finds exactly the steps at which a watch, fed step by step, says that the predicate holds."""
    write(bench.store, told)
    rows = {row["id"]: row for row in bench.executions(ids=[one.id for one in told]).iter_rows(named=True)}

    found = bench.find(predicate, [one.id for one in told])

    expected = {(one.id, number) for one in told for number in watched(predicate, one, rows[one.id])}
    assert set(found.select("execution_id", "step_number").iter_rows()) == expected, repr(predicate)
    assert len(found) == len(expected)
    assert found.schema == SCHEMA


@SLOW
@given(predicate=predicates)
def test_written_and_read(predicate):
    """The text of a predicate makes the same predicate, and so does its JSON."""
    from workbench._predicates import from_dict, parse

    assert parse(repr(predicate)) == predicate
    assert from_dict(json.loads(json.dumps(predicate.to_dict()))) == predicate


# ---------------------------------------------------------------- by hand


def call(name: str, **arguments) -> list[dict]:
    return [{"event_type": "tool_call", "name": name, "data": {"tool": {"name": name, "arguments": arguments}}}]


def result(name: str, text: str, **more) -> list[dict]:
    return [{"event_type": "tool_result", "name": name, "data": {"tool": {"name": name, "result": text}}, **more}]


@pytest.fixture
def shop(bench):
    """Three runs of a shop: a good one, one that refunds unverified, one that never got far."""
    good = History("planner", id="00000000-0000-4000-8000-000000000001")
    good.events = {
        0: call("verify"),
        1: result("verify", "ok"),
        2: call("refund", amount=20),
        3: call("refund", amount=80),
        4: [{"event_type": "message", "data": {"text": "Done,\nsir"}}],
    }
    good.patches = {
        0: [{"op": "add", "path": "/cart", "value": {"total": 50}}],
        2: [{"op": "replace", "path": "/cart/total", "value": 120}],
        4: [{"op": "remove", "path": "/cart/total"}],
    }
    bad = History("coder", id="00000000-0000-4000-8000-000000000002")
    bad.events = {0: call("refund", amount=200), 7: call("verify"), 8: result("verify", "no", severity="error")}
    bad.patches = {0: [{"op": "add", "path": "/cart", "value": {"total": 500}}]}
    short = History("planner", id="00000000-0000-4000-8000-000000000003")
    short.events = {0: [{"event_type": "message", "data": {"text": "hello"}}]}
    write(bench.store, [good, bad, short])
    return bench


def steps(frame: pl.DataFrame) -> list[tuple[int, int]]:
    """(last digit of the run, step) of each match."""
    return sorted((int(run[-1]), step) for run, step in frame.select("execution_id", "step_number").iter_rows())


REFUND, VERIFY = wb.event("tool_call", name="refund"), wb.event("tool_call", name="verify")


@pytest.mark.parametrize(
    ("predicate", "expected"),
    [
        (wb.state("cart.total") > 100, [(1, 2), (1, 3), (2, 0), (2, 7), (2, 8)]),
        ((wb.state("cart.total") > 100).begins(), [(1, 2), (2, 0)]),
        (~(wb.state("cart.total") > 100), [(1, 0), (1, 1), (1, 4), (3, 0)]),
        (wb.state("cart.total") != 50, [(1, 2), (1, 3), (2, 0), (2, 7), (2, 8)]),
        (wb.state("cart.total").changed(), [(1, 2), (1, 4)]),
        (wb.event("tool", name="verify"), [(1, 0), (1, 1), (2, 7), (2, 8)]),
        (VERIFY.then(REFUND, within=2), [(1, 2)]),
        (wb.event("tool_call").then(wb.event("tool_call")), [(1, 2), (1, 3), (2, 7)]),
        (REFUND.before(VERIFY), [(2, 0)]),
        ((~wb.never(REFUND).until(VERIFY)).begins(), [(2, 0)]),
        (REFUND.at_least(2), [(1, 3)]),
        (REFUND.without(VERIFY, within=2), [(1, 4), (2, 7)]),
        (REFUND.without(VERIFY, within=7), []),
        (VERIFY.without(REFUND, within=2), []),
        (wb.event().repeats(2), []),
        (wb.event("tool_call").repeats(2, "name"), [(1, 3)]),
        (wb.event("tool").repeats(2, "name", within=1), [(1, 1), (1, 3), (2, 8)]),
        (REFUND["data.tool.arguments.amount"] >= wb.state("cart.total") * 0.4, [(1, 3), (2, 0)]),
        (wb.event(severity="error") & (wb.run("agent_type") == "coder"), [(2, 8)]),
        (wb.run("n_events") * 2 == 2, [(3, 0)]),
        ('(state("cart.total") > 100) & event("tool_call")', [(1, 2), (1, 3), (2, 0), (2, 7)]),
    ],
)
def test_what_is_found(shop, predicate, expected):
    """Each form finds the steps that its words say."""
    assert steps(shop.find(predicate)) == expected


def test_the_frame_of_matches(shop):
    """A match says where it is, what the step says, and which values matched."""
    row = shop.find(REFUND & (wb.state("cart.total") > 100), agent_type="planner", limit=1).row(0, named=True)

    assert row == {
        "execution_id": "00000000-0000-4000-8000-000000000001", "step_number": 2, "event_type": "tool_call",
        "name": "refund", "label": '{"amount": 20}', "agent_type": "planner", "task": None,
        "matched": 'event("tool_call", name="refund") · state("cart.total") = 120',
    }  # fmt: skip


def test_first_and_limit(shop):
    """One row a run with first, so many rows with limit; without labels the events are not read."""
    found = shop.find(wb.event("tool_call"), first=True)

    assert steps(found) == [(1, 0), (2, 0)]
    assert shop.find(wb.event("tool_call"), limit=0).schema == SCHEMA
    assert shop.find(wb.event("tool_call"), limit=2, labels=False)["label"].to_list() == [None, None]


def test_page_by_page(shop):
    """Pages, each behind the last row of the one before, are the whole."""
    whole = shop.find(wb.state("cart").exists())
    pages, after = [], None
    while len(page := shop.find(wb.state("cart").exists(), limit=3, after=after)):
        pages.append(page)
        after = page.row(-1, named=True)

    assert pl.concat(pages).equals(whole)
    with pytest.raises(NotFoundError, match="not among those chosen"):
        shop.find(wb.state("cart").exists(), after=("00000000-0000-4000-8000-00000000000f", 0))


def test_runs_are_chosen(shop):
    """Runs are named, or chosen by the filters of executions(), or both."""
    found = [
        steps(shop.find(REFUND, "00000000-0000-4000-8000-000000000002")),
        steps(shop.find(REFUND, agent_type="planner")),
        steps(shop.find(REFUND, shop.executions(), where="n_snapshots = 1")),
        steps(shop.find(REFUND, ["00000000-0000-4000-8000-000000000002"], ids="00000000-0000-4000-8000-000000000001")),
        steps(shop.find(REFUND, status="failed")),
    ]

    assert found == [[(2, 0)], [(1, 2), (1, 3)], [(2, 0)], [], []]


def test_the_same_without_adbc(shop):
    """Over plain psycopg the matches are the same."""
    predicate = (REFUND["data.tool.arguments.amount"] > 10) & (wb.state("cart.total") > 100)
    found = shop.find(predicate)
    shop.frames.transport.way = "psycopg"

    assert shop.find(predicate).equals(found)
    assert isinstance(shop.frames.transport, Transport)


@pytest.mark.parametrize(
    ("ask", "match"),
    [
        (lambda bench: bench.find(wb.state("a")), "compare it"),
        (lambda bench: bench.find("state('a') > 1 and event()"), "in place of 'and'"),
        (lambda bench: bench.find(REFUND, limit=-1), "limit=-1"),
        (lambda bench: bench.find(REFUND, status="broken"), "none of"),
    ],
)
def test_what_is_refused(bench, ask, match):
    """A wrong question is refused before anything is read, with what to do."""
    with pytest.raises(ConfigurationError, match=match):
        ask(bench)


def test_hostile_text_is_a_value(shop):
    """Quotes, percent signs and braces in names, paths and values are never read as SQL."""
    for text in ("'; DROP TABLE x; --", '"', "%s %(a)s {x} {}", "\\", "$1 $names", "\t"):
        path = '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
        predicate = (wb.event(name=text) | (wb.event()[f"data.{path}"] == text)
                     | wb.event()["data.text"].contains(text) | (wb.state(path) == text))  # fmt: skip

        assert shop.find(predicate).is_empty()


def test_a_fork_is_asked_over_its_whole_course(shop):
    """What was before a fork counts in it, its own first state wins, and shared steps are told once."""
    good, fork, again = (f"00000000-0000-4000-8000-00000000000{n}" for n in (1, 4, 5))
    left = History("planner", id=fork)
    left.events = {3: call("cancel")}
    left.patches = {2: [{"op": "add", "path": "/cart", "value": {"total": 7}}]}
    below = History("planner", id=again)
    below.events = {4: call("cancel")}
    write(shop.store, [left, below])
    with shop.store.raw() as connection:
        for run, parent, at in ((fork, good, 2), (again, fork, 3)):
            connection.execute(
                "UPDATE workbench.agent_executions SET parent_execution_id = %s, forked_at_step = %s,"
                ' metadata = metadata || \'{"link": "forked"}\' WHERE id = %s',
                [parent, at, run],
            )
    cancel = wb.event("tool_call", name="cancel")

    found = [
        steps(shop.find(VERIFY.then(cancel, within=3))),
        steps(shop.find(VERIFY.then(cancel), again)),
        steps(shop.find(REFUND.then(cancel) & (wb.state("cart.total") == 7))),
        steps(shop.find(wb.state("cart.total") == 7, [fork, again])),
        steps(shop.find(wb.event("tool_call").at_least(3), first=True)),
        steps(shop.find((wb.state("cart.total") > 100).begins())),
    ]

    both = [(4, 3), (5, 4)]
    assert found == [[(4, 3)], [(5, 4)], both, both, [(1, 3), *both], [(1, 2), (2, 0)]]
