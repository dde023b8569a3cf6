"""Comparing runs: what is aligned, what counts as a difference, where the first one is."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench._delta import apply
from workbench.errors import ConfigurationError, NotFoundError
from workbench.replay.align import align
from workbench.replay.compare import Diff, compare
from workbench.replay.steps import steps_of

Row = tuple[str, str | None, dict[str, Any]]


def says(role: str, text: str) -> Row:
    return "message", role, {"role": role, "text": text}


def calls(tool: str, call_id: str = "call_1", **arguments: Any) -> Row:
    return "tool_call", tool, {"role": "assistant", "tool": {"name": tool, "call_id": call_id, "arguments": arguments}}


def answers(tool: str, result: Any, call_id: str = "call_1", *, is_error: bool = False) -> Row:
    tool_data = {"name": tool, "call_id": call_id, "result": result, "is_error": is_error}
    return "tool_result", tool, {"role": "tool", "tool": tool_data}


def frame(rows: Sequence[Row]) -> pl.DataFrame:
    """An events frame as bench.events(run) gives it."""
    return pl.DataFrame(
        [(i, kind, name, json.dumps(data)) for i, (kind, name, data) in enumerate(rows)],
        schema={"step_number": pl.Int64, "event_type": pl.String, "name": pl.String, "data": pl.String},
        orient="row",
    )


def diff_of(a: Sequence[Row], b: Sequence[Row]) -> Diff:
    return compare(frame(a), frame(b))


def aligned(diff: Diff) -> list[tuple[Any, ...]]:
    return diff.steps.select("a_step", "b_step", "kind", "what").rows()


SHOP = [
    says("user", "Where is my order?"),
    calls("find_user", email="a@b.c"),
    answers("find_user", {"id": "u1"}),
    calls("get_order", order="#W1"),
    answers("get_order", {"status": "sent", "items": [1, 2]}),
    says("assistant", "It was sent yesterday."),
]


def changed(step: int, row: Row) -> list[Row]:
    return [*SHOP[:step], row, *SHOP[step + 1 :]]


def test_equal_runs() -> None:
    """A run and its repetition have no difference, and the sentence says so."""
    diff = diff_of(SHOP, SHOP)

    assert diff.steps["kind"].to_list() == ["equal"] * 6
    assert (diff.first_divergence, diff.first_difference) == (None, None)
    assert diff.summary == "The runs are equal step by step."
    assert repr(diff) == "Diff(a=6, b=6, differences=0, wording=0, first=None)"


def test_empty_runs() -> None:
    """Runs without steps compare to an empty frame that keeps its schema."""
    diff = diff_of([], [])

    assert diff.steps.schema == diff_of(SHOP, SHOP).steps.schema
    assert diff.summary == "Neither run has steps."
    assert diff_of(SHOP, []).steps["kind"].to_list() == ["removed"] * 6


@pytest.mark.parametrize(
    ("step", "row", "what", "sentence"),
    [
        (3, calls("get_order", order="#W2"), "arguments", 'get_order(order) differs: "#W1" in A, "#W2" in B'),
        (3, calls("get_order", order="#W1", full=True), "arguments", "get_order(full) differs: absent in A, true in B"),
        (3, calls("list_orders", user="u1"), "tool", "A calls get_order(order=#W1), B calls list_orders(user=u1)"),
        (
            4,
            answers("get_order", {"status": "lost", "items": [1, 2]}),
            "result",
            "get_order answers differently (status)",
        ),
        (4, answers("get_order", "boom", is_error=True), "result", "get_order fails in B only"),
    ],
)
def test_first_divergence_says_what(step: int, row: Row, what: str, sentence: str) -> None:
    """Another tool, other arguments, another result: the row says which, the sentence says how."""
    diff = diff_of(SHOP, changed(step, row))

    assert diff.first_divergence is not None
    assert (diff.first_divergence["a_step"], diff.first_divergence["what"]) == (step, what)
    assert diff.summary.startswith(f"Diverges at step {step}: {sentence}.")


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [({"result": "lost"}, "get_order answers differently"), ({"is_error": True}, "get_order fails in B only")],
)
def test_a_call_that_holds_its_result_is_compared_by_it(answer: dict[str, Any], sentence: str) -> None:
    """Where a source tells a call and its result as one step, another result is a divergence."""

    def run(**answer: Any) -> list[Row]:
        kind, name, data = calls("get_order", order="#W1")
        return [SHOP[0], (kind, name, {**data, "tool": {**data["tool"], "result": "sent", **answer}})]

    diff = diff_of(run(), run(**answer))

    assert diff.first_divergence is not None
    assert (diff.first_divergence["a_step"], diff.first_divergence["what"]) == (1, "result")
    assert diff.summary.startswith(f"Diverges at step 1: {sentence}")


def test_wording_is_no_divergence() -> None:
    """A message in other words is a difference, but not the one that matters."""
    diff = diff_of(SHOP, changed(5, says("assistant", "We shipped it to you one day ago.")))

    assert diff.first_divergence is None
    assert diff.first_difference is not None
    assert (diff.first_difference["a_step"], diff.first_difference["what"]) == (5, "text")
    assert diff.summary == "The runs decide alike at every step; their wording differs first at step 5."


def test_wording_before_divergence() -> None:
    """The first difference may be wording while the divergence comes later: both are told."""
    other = changed(0, says("user", "I want to know where my order is."))
    other[3] = calls("get_order", order="#W9")
    diff = diff_of(SHOP, other)

    assert diff.first_difference is not None
    assert diff.first_divergence is not None
    assert (diff.first_difference["a_step"], diff.first_divergence["a_step"]) == (0, 3)


def test_inserted_steps_stay_alone() -> None:
    """An inserted lookup is two added steps; everything after it is still aligned."""
    other = [*SHOP[:3], calls("get_policy", topic="refund"), answers("get_policy", "…"), *SHOP[3:]]
    diff = diff_of(SHOP, other)

    assert aligned(diff) == [
        (0, 0, "equal", None),
        (1, 1, "equal", None),
        (2, 2, "equal", None),
        (None, 3, "added", None),
        (None, 4, "added", None),
        (3, 5, "equal", None),
        (4, 6, "equal", None),
        (5, 7, "equal", None),
    ]
    assert diff.summary == "Diverges at step 3 of B: only B calls get_policy(topic=refund)."


def test_retry_stays_alone() -> None:
    """A call that failed and was repeated adds two steps, and the rest is equal."""
    other = [*SHOP[:4], answers("get_order", "timeout", is_error=True), calls("get_order", order="#W1"), *SHOP[4:]]
    diff = diff_of(SHOP, other)

    assert diff.steps["kind"].to_list().count("equal") == len(SHOP)
    assert diff.steps["kind"].to_list().count("added") == 2


def test_reworded_messages_align_with_each_other() -> None:
    """Messages in quite other words align by their place; the tools between them hold them there."""
    a = [says("user", "Hello there"), *SHOP[1:5], says("assistant", "It was sent yesterday."), says("user", "Thanks!")]
    b = [says("user", "Good day to you"), *SHOP[1:5], says("assistant", "Shipped on Monday."), says("user", "Great.")]
    diff = diff_of(a, b)

    assert diff.steps.select("a_step", "b_step").rows() == [(i, i) for i in range(7)]
    assert diff.wording["a_step"].to_list() == [0, 5, 6]


def test_different_types_are_never_paired() -> None:
    """A message and a tool call in the same place are one removed and one added step."""
    diff = diff_of([says("assistant", "ok")], [calls("ok")])

    assert sorted(row[2] for row in aligned(diff)) == ["added", "removed"]


def test_missing_thoughts_are_wording() -> None:
    """That one run wrote down its reasoning is no divergence; nor is what it thought."""
    thought: Row = ("reasoning", "assistant", {"role": "assistant", "text": "Let me see."})
    diff = diff_of(SHOP, [*SHOP[:1], thought, *SHOP[1:]])

    assert diff.first_divergence is None
    assert diff.wording.select("b_step", "kind", "what").rows() == [(1, "added", "text")]
    assert diff_of([calls("think", thought="a")], [calls("think", thought="b")]).first_divergence is None


# ---------------------------------------------------------------- what is volatile

U1, U2, U3 = (f"{i}0000000-0000-4000-8000-00000000000{i}" for i in (1, 2, 3))


def test_call_ids_are_no_difference() -> None:
    """Ids of calls, in their own field or inside a result, are made up anew in every run."""
    a = [
        calls("f", "call_aaaaaaaaaaaaaaaa"),
        answers("f", {"request_id": "r-1", "note": "toolu_aaaaaaaaaaaaaaaa done"}),
    ]
    b = [
        calls("f", "call_bbbbbbbbbbbbbbbb"),
        answers("f", {"request_id": "r-2", "note": "toolu_bbbbbbbbbbbbbbbb done"}),
    ]

    assert diff_of(a, b).first_difference is None


def test_renamed_identifiers_are_no_difference() -> None:
    """A UUID that the run made is another in the other run; using it consistently is the same behaviour."""
    runs = [
        [calls("create"), answers("create", {"id": new}), calls("close", id=new), says("assistant", f"Closed {new}.")]
        for new in (U1, U2)
    ]

    assert diff_of(*runs).first_difference is None


def test_wrong_identifier_is_a_difference() -> None:
    """Asking for the other one of two ids is a difference, whether they are renamed or the same in both runs."""
    a = [answers("list", [U1, U2]), calls("close", id=U1)]
    same_ids = diff_of(a, [answers("list", [U1, U2]), calls("close", id=U2)])
    renamed = diff_of(
        [answers("list", ["a0000000" + U1[8:], "b0000000" + U1[8:]]), calls("close", id="a0000000" + U1[8:])],
        [answers("list", ["c0000000" + U1[8:], "d0000000" + U1[8:]]), calls("close", id="d0000000" + U1[8:])],
    )

    assert same_ids.first_divergence is not None
    assert same_ids.first_divergence["what"] == "arguments"
    assert renamed.first_divergence is not None
    assert renamed.first_divergence["a_step"] == 1


def test_times_are_volatile_except_as_decisions() -> None:
    """The time a result was made at means nothing; the time an agent asks for does."""
    now, later = "2026-01-02T03:04:05.678Z", "2026-02-02T03:04:05.678Z"

    assert diff_of([answers("now", {"t": now})], [answers("now", {"t": later})]).first_difference is None
    assert diff_of([calls("remind", at=now)], [calls("remind", at=later)]).first_divergence is not None
    assert diff_of([answers("f", "2024-05-15T06:00:00")], [answers("f", "2024-05-15T07:00:00")]).first_divergence


def test_json_form_is_no_difference() -> None:
    """Key order, spaces in JSON sent as text, and 1 against 1.0 are no differences; true against 1 is one."""
    a = [answers("f", '{"a": 1, "b": [1.0]}'), says("user", "two  words")]
    b = [answers("f", {"b": [1], "a": 1}), says("user", "two words")]

    assert diff_of(a, b).first_difference is None
    assert diff_of([calls("f", x=True)], [calls("f", x=1)]).first_divergence is not None


def test_several_calls_in_one_step() -> None:
    """A step with parallel calls is compared call by call."""

    def both(second: str) -> Row:
        kind, name, data = calls("f", x=1)
        more = [{"name": "g", "call_id": "call_2", "arguments": {"y": second}}]
        return kind, name, {**data, "tool_calls": more}

    diff = diff_of([both("a")], [both("b")])

    assert diff.steps["what"].to_list() == ["arguments"]
    assert diff.detail(0)["arguments_patch"] == [{"op": "replace", "path": "/1/arguments/y", "value": "b"}]
    assert diff_of([both("a")], [calls("f", x=1)]).steps["what"].to_list() == ["tool"]


# ---------------------------------------------------------------- details


def test_detail_has_both_sides_and_patches() -> None:
    """A row's detail holds both sides in full, and applying its patch to A's arguments gives B's."""
    diff = diff_of(SHOP, changed(3, calls("get_order", order="#W2", full=True)))
    detail = diff.detail(3)

    assert detail["a"]["calls"] == [{"tool": "get_order", "arguments": {"order": "#W1"}}]
    assert apply({"order": "#W1"}, detail["arguments_patch"]) == {"order": "#W2", "full": True}
    assert detail["result_patch"] == []
    with pytest.raises(NotFoundError, match=r"No row 6 in this comparison; its positions are 0 to 5\."):
        diff.detail(6)


def test_state_patch() -> None:
    """The states after aligned steps are diffed; an added step belongs to the one before it."""
    other = [*SHOP[:3], calls("get_policy"), *SHOP[3:]]
    diff = compare(frame(SHOP), frame(other), states_a=lambda step: {"n": step}, states_b=lambda step: {"n": step})

    assert diff.state_patch(2) == []
    assert diff.state_patch(3) == [{"op": "replace", "path": "/n", "value": 4}]
    assert diff.state_patch() == [{"op": "replace", "path": "/n", "value": len(SHOP)}]
    with pytest.raises(NotFoundError, match=rf"A has no step 99; its steps are 0 to {len(SHOP) - 1}\."):
        diff.state_patch(99)
    with pytest.raises(NotFoundError, match="made of events alone"):
        diff_of(SHOP, SHOP).state_patch(0)


def test_missing_column_is_named() -> None:
    """A frame without the documents is refused with the name of the column."""
    with pytest.raises(ConfigurationError, match="have no column data"):
        compare(frame(SHOP).drop("data"), frame(SHOP))


def test_hostile_and_empty_data() -> None:
    """Null data, null texts, deep and odd values compare without an error."""
    odd = pl.DataFrame(
        {
            "step_number": [0, 1, 2, 3],
            "event_type": ["message", "span", "tool_call", "tool_result"],
            "data": [None, "{}", '{"tool":{"name":null,"arguments":"not json {"}}', '{"tool":{"result":"{broken"}}'],
        }
    )
    diff = compare(odd, odd)

    assert diff.steps["kind"].to_list() == ["equal"] * 4
    assert diff.steps["a_label"].to_list() == ["message", "span", "tool(not json {)", "tool → {broken"]


# ---------------------------------------------------------------- planted truth


def long_run(n: int, seed: int) -> list[Row]:
    rnd = random.Random(seed)
    words = ["order", "refund", "policy", "seat", "flight", "status", "please", "cancel", "number", "card"]
    rows: list[Row] = []
    while len(rows) < n:
        tool = rnd.choice(["get", "search", "update", "cancel"])
        rows.append(says("assistant", " ".join(rnd.choices(words, k=20))))
        rows.append(calls(tool, f"call_{rnd.randrange(10**9)}", id=rnd.randrange(10**6), kind=rnd.choice(words)))
        rows.append(answers(tool, {"status": rnd.choice(words), "n": rnd.randrange(10**4)}))
    return rows[:n]


def reworded(rows: Sequence[Row], rnd: random.Random) -> list[Row]:
    return [
        says("assistant", " ".join(rnd.choices(["alpha", "beta", "gamma", "delta"], k=15)))
        if kind == "message"
        else row
        for row in rows
        for kind in [row[0]]
    ]


@given(
    st.integers(0, 10**6), st.integers(9, 60), st.booleans(), st.sampled_from(["arguments", "tool", "result", "added"])
)
def test_planted_divergence_is_found(seed: int, n: int, is_reworded: bool, planted: str) -> None:
    """Whatever the wording, the first divergence is the step where one was planted, and of its kind."""
    rnd = random.Random(seed)
    a = long_run(n, seed)
    b = reworded(a, rnd) if is_reworded else list(a)
    step = rnd.randrange(n // 3) * 3 + (2 if planted == "result" else 1)
    if planted == "arguments":
        b[step] = calls(str(b[step][1]), **{**b[step][2]["tool"]["arguments"], "id": -1})
    elif planted == "tool":
        b[step] = calls("other_tool", **b[step][2]["tool"]["arguments"])
    elif planted == "result":
        b[step] = answers(str(b[step][1]), "something else")
    else:
        b[step:step] = [calls("lookup", q=1), answers("lookup", "nothing")]
    found = diff_of(a, b).first_divergence

    assert found is not None
    if planted == "added":
        assert (found["kind"], found["b_step"]) == ("added", step)
    else:
        assert (found["kind"], found["what"], found["a_step"], found["b_step"]) == ("changed", planted, step, step)


@given(st.integers(0, 10**6), st.integers(0, 40), st.integers(0, 40))
def test_alignment_is_complete_and_in_order(seed: int, n: int, m: int) -> None:
    """Every step of both runs appears exactly once, in order, whatever the runs are."""
    a, b = steps_of(frame(long_run(n, seed))), steps_of(frame(long_run(m, seed + 1)[::-1]))
    pairs = align(a, b)

    assert [i for i, _ in pairs if i is not None] == list(range(n))
    assert [j for _, j in pairs if j is not None] == list(range(m))
    assert all(a[i].kind == b[j].kind or a[i].is_call for i, j in pairs if i is not None and j is not None)


@pytest.mark.parametrize("n", [5_000, 33_000])
def test_long_runs(n: int) -> None:
    """Runs of 5,000 and 33,000 steps, reworded, with inserted steps and one planted change, align right."""
    rnd = random.Random(5)
    a = long_run(n, 1)
    b = reworded(a, rnd)
    target = 2 * n // 3 // 3 * 3 + 1
    b[target] = calls(str(b[target][1]), **{**b[target][2]["tool"]["arguments"], "id": -1})
    for at in sorted(rnd.sample(range(target + 2, n, 3), 50), reverse=True):
        b[at:at] = [calls("lookup", q=at), answers("lookup", "nothing")]
    frames = frame(a), frame(b)
    diff = compare(*frames)

    assert diff.first_divergence is not None
    assert (diff.first_divergence["a_step"], diff.first_divergence["what"]) == (target, "arguments")
    assert diff.steps["kind"].to_list().count("added") == 100
    assert diff.steps["kind"].to_list().count("removed") == 0


def test_long_runs_with_nothing_in_common() -> None:
    """Runs too long for the weighted table and without an equal step are still aligned, by kind."""
    a, b = long_run(4_000, 1), long_run(4_200, 2)
    diff = diff_of(a, b)

    assert diff.n_a == 4_000
    assert diff.n_b == 4_200
    assert diff.steps.filter(pl.col("a_step").is_not_null() & pl.col("b_step").is_not_null()).height > 2_500


def test_how_a_span_ends_is_not_where_runs_part():
    """A span that fails because of a step inside it comes second to that step; alone it counts."""
    span = {"error": {"type": "Refused", "message": "no"}}
    bad = run_of(("span", "work", span), ("tool_call", "cancel", {"tool": {"name": "cancel", "arguments": {}}}))
    good = run_of(("span", "work", {}), ("tool_call", "look", {"tool": {"name": "look", "arguments": {}}}))

    diff = compare(bad, good)
    assert diff.first_divergence["a_step"] == 1
    assert compare(bad.head(1), good.head(1)).first_divergence["a_step"] == 0


def run_of(*steps):
    rows = [(number, kind, name, json.dumps(data)) for number, (kind, name, data) in enumerate(steps)]
    return pl.DataFrame(rows, schema=["step_number", "event_type", "name", "data"], orient="row")
