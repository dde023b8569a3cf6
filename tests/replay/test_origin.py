"""Who wrote this value: on small runs whose truth is known."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from typing import Any

import orjson
import pytest

from workbench import Workbench
from workbench.data.ingest.normal import Run, State, Step
from workbench.data.ingest.reading.source import Source
from workbench.data.ingest.writing.rows import EVENT_COLUMNS, EXECUTION_COLUMNS, SNAPSHOT_COLUMNS, RowMaker
from workbench.data.store.copy import copy_rows
from workbench.data.store.tables import agent_executions, execution_snapshots, observability_events
from workbench.errors import ConfigurationError, NotFoundError
from workbench.replay.holders import Needle, specificity
from workbench.replay.paths import dotted, find, keys_of, pointer


def stored(bench: Workbench, steps: list[Step], states: list[State] | None = None, **about: Any) -> str:
    """Write a run with these steps; without states they are derived from its conversation."""
    run = Run(about.pop("source_id", "one"), "clerk", steps=steps, states=states or [], **about)
    maker = RowMaker("test", Source("test", content=b""), None)
    with bench.store.raw() as connection:
        copy_rows(connection, agent_executions, EXECUTION_COLUMNS, [maker.execution(run)])
        copy_rows(connection, observability_events, EVENT_COLUMNS, maker.events(run))
        copy_rows(connection, execution_snapshots, SNAPSHOT_COLUMNS, maker.snapshots(run))
    return str(maker.id_of(run))


def said(role: Any, text: str, **more: Any) -> Step:
    return Step("message", role=role, text=text, **more)


def call(name: str, call_id: str, arguments: Any) -> Step:
    tool = {"name": name, "call_id": call_id, "arguments": arguments}
    return Step("tool_call", name=name, role="assistant", tool=tool)


def result(name: str, call_id: str, value: Any) -> Step:
    return Step("tool_result", name=name, role="tool", tool={"name": name, "call_id": call_id, "result": value})


SHOP = [
    said("user", "Book flight HAT078 please"),
    said("assistant", "I look."),
    call("price", "c1", {"flight": "HAT078"}),
    result("price", "c1", '{"offers": [{"price": 129.5, "seats": 3, "refundable": true}]}'),
    said("assistant", "It costs $129.50."),
    Step("log", text="129.5 129.5 HAT078"),
]
ITEM = {"flight": "HAT078", "price": 129.5, "seats": 3, "refundable": True, "note": "window, if any"}
STATES = [
    State(1, document={"cart": [], "tries": 1}),
    State(4, patch=[{"op": "add", "path": "/cart/-", "value": ITEM}]),
    State(5, patch=[{"op": "add", "path": "/cart/0", "value": {"flight": "AAA111"}}]),
]


def origins(frame: Any) -> list[tuple[Any, ...]]:
    """The origins alone: depth, source, step, match."""
    found = frame.filter("is_origin")
    return found.select("depth", "source", "step_number", "match").rows()


def test_chain(bench: Workbench):
    """A price comes from a tool's result, whose argument came from the user; where it stood then is told."""
    run = stored(bench, SHOP, STATES)

    frame = bench.origin(run, "cart[1].price")
    assert origins(frame) == [
        (0, "state change", 4, None),
        (1, "tool result", 3, "path"),
        (2, "user message", 0, "substring"),
    ]
    assert frame["of"].to_list()[-1] == "/tool/arguments/flight"
    assert frame["place"].to_list()[:2] == ["/cart/0/price", "/tool/result/offers/0/price"]
    assert frame["event_id"][1] == bench.events(run)["id"][3]
    others = frame.filter((frame["depth"] == 1) & ~frame["is_origin"])
    assert others.select("step_number", "match").rows() == [(4, "number")]


def test_depth_and_step(bench: Workbench):
    """``depth`` ends the walk, ``step`` chooses the state, a pointer says the same as a path."""
    run = stored(bench, SHOP, STATES)

    assert origins(bench.origin(run, "cart[1].price", depth=0)) == [(0, "state change", 4, None)]
    assert bench.origin(run, "/cart/0/price", step=4).equals(bench.origin(run, "cart[-1].price"))
    assert origins(bench.origin(run, "tries", step=2))[0] == (0, "state change", 1, None)


def test_what_says_little_counts_under_its_own_name_alone(bench: Workbench):
    """``true`` is told from its own key; elsewhere it is an accident, and the origin unknown."""
    run = stored(bench, SHOP, [*STATES, State(5, patch=[{"op": "add", "path": "/is_paid", "value": True}])])

    assert origins(bench.origin(run, "cart[1].refundable"))[1] == (1, "tool result", 3, "path")
    frame = bench.origin(run, "is_paid")
    assert origins(frame)[1:] == [(1, "unknown", None, None)]
    assert frame["specificity"].to_list() == [0.0561, 0.0561]


def test_unknown(bench: Workbench):
    """What no event holds is unknown, and nothing is guessed."""
    run = stored(bench, SHOP, STATES)

    assert origins(bench.origin(run, "cart[1].note")) == [
        (0, "state change", 4, None),
        (1, "unknown", None, None),
    ]


def test_an_agents_own_words(bench: Workbench):
    """A value that the agent writes before anything holds it is the agent's own, though a tool repeats it."""
    steps = [said("user", "Find me one"), call("get", "c1", {"id": "ZZ9431"}), result("get", "c1", {"id": "ZZ9431"})]
    run = stored(bench, steps, [State(2, document={"id": "ZZ9431"})])

    assert origins(bench.origin(run, "id"))[1:] == [(1, "tool arguments", 1, "path")]


def test_derived_states(bench: Workbench):
    """States derived from the conversation are walked the same way."""
    run = stored(bench, SHOP)

    assert bench.frames.snapshots(run, states=False)["is_derived"].all()
    frame = bench.origin(run, "tool_results.c1")
    assert origins(frame) == [
        (0, "state change", 3, None),
        (1, "tool result", 3, "exact"),
        (2, "user message", 0, "substring"),
    ]
    assert origins(bench.origin(run, "messages[3].content")) == [
        (0, "state change", 4, None),
        (1, "assistant message", 4, "exact"),
    ]


def test_parts_of_an_object(bench: Workbench):
    """An object that stands nowhere as a whole is told by the most telling of its parts."""
    run = stored(bench, SHOP, STATES)

    frame = bench.origin(run, "cart[1]", depth=1)
    told = dict(frame.filter(frame["is_origin"] & (frame["depth"] == 1)).select("of", "source").rows())
    assert told["/cart/0/flight"] == "user message"
    assert told["/cart/0/price"] == "tool result"
    assert told["/cart/0/note"] == "unknown"


def test_abandoned_branches_do_not_count(bench: Workbench):
    """What was said on an abandoned branch is no source."""
    steps = [
        said("user", "the code is QX77812", extra={"is_off_branch": True}),
        said("user", "use the code QX77812"),
        said("assistant", "ok"),
    ]
    run = stored(bench, steps, [State(2, document={"code": "QX77812"})])

    assert origins(bench.origin(run, "code"))[1] == (1, "user message", 1, "substring")


def test_run_input_and_parent(bench: Workbench):
    """What a sub-agent was given is followed into the run that started it."""
    steps = [said("user", "Look after order W99812"), call("delegate", "d1", {"task": "Look at W99812"})]
    parent = stored(bench, steps, source_id="parent")
    child = stored(bench, [said("assistant", "yes")], [State(0, document={"order": "W99812"})], source_id="child",
                   input={"order": "W99812"})  # fmt: skip
    event = bench.events(parent)["id"][1]
    with bench.store.raw() as connection:
        connection.execute(
            "UPDATE workbench.agent_executions SET parent_execution_id = %s, parent_event_id = %s WHERE id = %s",
            [parent, event, child],
        )

    frame = bench.origin(child, "order")
    assert origins(frame)[1:] == [(1, "run input", None, "path"), (2, "user message", 0, "substring")]
    assert frame.filter(frame["depth"] == 2)["execution_id"].to_list()[0] == parent


def test_result_of_a_sub_agent(bench: Workbench):
    """A tool's result that a sub-agent made is followed into the sub-agent's run."""
    steps = [
        said("user", "Find the code"),
        call("delegate", "d1", {"task": "find"}),
        result("delegate", "d1", "It is KX-55120."),
    ]
    parent = stored(bench, steps, [State(2, document={"code": "KX-55120"})], source_id="parent")
    found = [call("grep", "g1", {"for": "code"}), result("grep", "g1", "code=KX-55120")]
    child = stored(bench, found, source_id="child")
    with bench.store.raw() as connection:
        connection.execute(
            "UPDATE workbench.agent_executions SET parent_execution_id = %s, parent_event_id = %s WHERE id = %s",
            [parent, bench.events(parent)["id"][1], child],
        )

    frame = bench.origin(parent, "code")
    assert origins(frame)[1:3] == [(1, "tool result", 2, "substring"), (2, "tool result", 1, "substring")]
    assert frame.filter(frame["depth"] == 2)["execution_id"].to_list()[0] == child


def test_a_model_calls_input(bench: Workbench):
    """A trace that tells the user's words only as the input of a model call has its origin there."""
    given = [{"role": "user", "content": "ship to 48 Elm Road"}]
    steps = [Step("llm_call", role="assistant", text="Shipped to 48 Elm Road", extra={"input_messages": given})]
    run = stored(bench, steps, [State(0, document={"to": "48 Elm Road"})])

    frame = bench.origin(run, "to")
    assert origins(frame)[1] == (1, "user message", 0, "substring")
    assert frame["place"][1] == "/extra/input_messages/0/content"


def test_memory_is_asked(bench: Workbench):
    """Memories that a run recalled are searched where a callable gives them."""
    run = stored(bench, SHOP, STATES)

    def recalled(run_id: str, until: int) -> list[dict[str, Any]]:
        assert (run_id, until) == (run, 4)
        return [{"id": "m1", "content": "Wants: window, if any", "step_number": 2}]

    frame = bench.origin(run, "cart[1].note", memory=recalled)
    assert origins(frame)[1] == (1, "memory", 2, "substring")
    assert frame["event_id"][1] == "m1"


def test_a_value_written_again_is_not_changed(bench: Workbench):
    """An object that a source writes again does not change what stays the same in it."""
    document = {"user": {"name": "Ann", "city": "Oslo"}, "n": 0}
    again = {"op": "replace", "path": "/user", "value": {"name": "Ann", "city": "Rome"}}
    run = stored(bench, SHOP, [State(1, document=document), State(3, patch=[again])])

    assert bench.origin(run, "user.name", depth=0)["step_number"].to_list() == [1]
    assert bench.origin(run, "user.city", depth=0)["step_number"].to_list() == [3]
    assert bench.origin(run, "user", depth=0)["step_number"].to_list() == [3]


def test_moves_and_copies(bench: Workbench):
    """A value that was moved or copied is followed to where it stood before."""
    patches = [
        [{"op": "add", "path": "/draft", "value": {"total": 7731}}],
        [{"op": "move", "from": "/draft", "path": "/orders/0"}],
        [{"op": "copy", "from": "/orders/0/total", "path": "/paid"}],
    ]
    states = [
        State(0, document={"orders": [], "rules": "r" * 4_000}),
        *(State(n + 1, patch=patch) for n, patch in enumerate(patches)),
    ]
    run = stored(bench, SHOP, states)

    frame = bench.origin(run, "paid", depth=0)
    assert frame.select("step_number", "place").rows() == [(1, "/draft/total")]


def test_random_histories(bench: Workbench):
    """The step that set a value is the one that comparing all rebuilt states names, over many keyframes."""
    dice = random.Random(4)
    document: dict[str, Any] = {"items": [{"n": 1000}], "meta": {"v": 0}, "text": "x" * 50}
    states = [State(0, document=document)]
    for n in range(1, 120):
        ops: list[Mapping[str, Any]] = []
        items = orjson.loads(orjson.dumps(document))["items"]
        kind = dice.random()
        if kind < 0.4:
            at = dice.randrange(len(items) + 1)
            ops = [{"op": "add", "path": f"/items/{at}", "value": {"n": 1000 + n}}]
            items.insert(at, {"n": 1000 + n})
        elif kind < 0.6 and len(items) > 1:
            at = dice.randrange(len(items))
            ops = [{"op": "remove", "path": f"/items/{at}"}]
            del items[at]
        elif kind < 0.8:
            at = dice.randrange(len(items))
            ops = [{"op": "replace", "path": f"/items/{at}/n", "value": 5000 + n}]
            items[at]["n"] = 5000 + n
        else:
            ops = [{"op": "replace", "path": "/meta", "value": {"v": n // 20}}]
        document = {**document, "items": items, "meta": ops[0]["value"] if kind >= 0.8 else document["meta"]}
        states.append(State(n, patch=ops))
    run = stored(bench, [said("user", str(n)) for n in range(120)], states)
    whole = [orjson.loads(state) for state in bench.snapshots(run)["state"]]
    assert whole[-1] == document

    set_at = {}  # every number was given once: where it is first seen is where it was set
    for n, state in enumerate(whole):
        for item in state["items"]:
            set_at.setdefault(item["n"], n)
    for at, item in list(enumerate(document["items"]))[::4]:
        assert bench.origin(run, f"items[{at}].n", depth=0)["step_number"].to_list() == [set_at[item["n"]]]
    changed = max(n for n in range(1, 120) if whole[n]["meta"] != whole[n - 1]["meta"])
    assert bench.origin(run, "meta.v", depth=0)["step_number"].to_list() == [changed]


def test_forks(bench: Workbench):
    """A fork is followed into the run that it left; what was edited when it was forked is said to be."""
    run = stored(bench, SHOP, STATES)
    edited = [ITEM | {"price": 88.25}]
    branch = bench.fork(run, 4, state={"cart": edited, "tries": 1})
    last = bench.fork(branch, 4)

    frame = bench.origin(last, "cart[0].flight")
    assert origins(frame)[:2] == [(0, "state change", 4, None), (1, "user message", 0, "substring")]
    assert frame["execution_id"].to_list()[:2] == [run, run]
    frame = bench.origin(last, "cart[0].price")
    assert frame.select("source", "execution_id", "step_number", "value").rows() == [
        ("state edit", str(branch), 4, "88.25")
    ]


def test_states_that_are_gone(bench: Workbench):
    """Where the first snapshots are gone, the first that is kept is named, and the text says so."""
    run = stored(bench, SHOP, [State(n, document={"code": "HAT078", "n": n, "x": "y" * 900}) for n in range(5)])
    with bench.store.raw() as connection:
        kept = connection.execute(
            "SELECT step_number FROM workbench.execution_snapshots WHERE execution_id = %s"
            " AND step_number = keyframe_step ORDER BY 1 DESC LIMIT 1", [run]
        ).fetchone()  # fmt: skip
        assert kept is not None
        connection.execute(
            "DELETE FROM workbench.execution_snapshots WHERE execution_id = %s AND step_number < %s", [run, kept[0]]
        )

    frame = bench.origin(run, "code")
    assert frame.row(0, named=True)["step_number"] == kept[0]
    assert frame["text"][0] == "there from the first snapshot that is kept on"
    assert origins(frame)[1] == (1, "user message", 0, "substring")


def test_large_values_are_compared_whole_and_shown_cut(bench: Workbench):
    """Two long texts that differ in their last letter are told apart; what is shown is short."""
    long = "<script>alert(1)</script> " * 20_000
    steps = [said("user", long + "a"), said("user", long + "b"), said("assistant", "ok")]
    run = stored(bench, steps, [State(2, document={"text": long + "b"})])

    frame = bench.origin(run, "text")
    assert origins(frame)[1] == (1, "user message", 1, "exact")
    assert max(len(text) for column in ("value", "text") for text in frame[column].drop_nulls()) <= 200


def test_errors(bench: Workbench):
    """What is not there is said, with what is near."""
    run = stored(bench, SHOP, STATES)

    with pytest.raises(NotFoundError, match=r"has no '/cart/1/prise'\. Near: cart\[1\]\.price"):
        bench.origin(run, "cart[1].prise")
    with pytest.raises(NotFoundError, match=r"Near: cart\[1\]\.price\. the state holds: cart, tries\."):
        bench.origin(run, "price")
    with pytest.raises(NotFoundError, match=r"cart is a list of 2\."):
        bench.origin(run, "cart[7]")
    with pytest.raises(NotFoundError, match="has no step 99; its steps are 0 to 5"):
        bench.origin(run, "cart", step=99)
    with pytest.raises(NotFoundError, match="no snapshot at or before step 0"):
        bench.origin(run, "cart", step=0)
    with pytest.raises(ConfigurationError, match=r"'cart\[' is no path"):
        bench.origin(run, "cart[")
    with pytest.raises(ConfigurationError, match="depth=-1 must be"):
        bench.origin(run, "cart", depth=-1)
    with bench.record(agent_type="x") as empty:
        empty.event("log", text="nothing")
    with pytest.raises(NotFoundError, match="no snapshot"):
        bench.origin(empty.id, "cart")


@pytest.mark.parametrize(
    ("value", "text", "match"),
    [
        ("HAT078", "fly HAT078!", "substring"),
        ("HAT078", "fly HAT0781", None),
        ("Oslo", "to oslo, please", "substring"),
        ("48 Elm\n Road", "at 48 elm road", "substring"),
        (1234.5, "it is 1,234.50 EUR", "number"),
        (1234.5, "it is 21,234.50 EUR", None),
        ("1234.50", 1234.5, "number"),
        (1234, "1234", "number"),
        ("007", "7", None),
        ({"a": [1, 2.0]}, '{"b": {"a": [1.0, 2]}}', "path"),
        ("東京", "明日東京へ行く", "substring"),
        (12345678901234567890, 12345678901234567890, "exact"),
    ],
)
def test_matches(value: Any, text: Any, match: str | None):
    """The kinds of match, and what is none."""
    found = list(Needle(value, None).found({"tool": {"result": text}}))

    assert [held.match for held in found][:1] == ([match] if match else [])


def test_same_key_whatever_its_spelling():
    """``unitPrice`` and ``unit_price`` are one name; ``1`` counts under it alone."""
    data = {"tool": {"arguments": {"unit_price": 1, "count": 1}}}

    assert [held.place for held in Needle(1, "unitPrice").found(data)] == ["/tool/arguments/unit_price"]


def test_hints_are_held_by_every_event_with_the_value():
    """What the server looks for stands in the JSON of whatever holds the value, however it is written."""
    for value in ('a "quoted" C:\\dir\\file.txt', "naïve café menu", "two\nlines of text", 1234.5, -17.25, 1e6, 70):
        for text in (value, str(value), orjson.dumps({"x": value}).decode()):
            stored_text = orjson.dumps({"tool": {"result": text}}).decode().lower()
            hint = Needle(value, None).hint()
            if hint is not None and list(Needle(value, None).found({"tool": {"result": text}})):
                assert re.search(hint[0], stored_text) if hint[1] else hint[0] in stored_text


def test_specificity_orders_values():
    """What stands everywhere says less than a code, and a code less than a sentence."""
    values = [True, "ok", 1, 42, "Oslo", 1234, "HAT078", "Refund the second passenger"]
    found = [specificity(value) for value in values]

    assert found == sorted(found)
    assert specificity(1) < 0.2 < specificity(42) < 0.5 < specificity(1234)


def test_paths():
    """A path, its pointer and its way of writing agree."""
    document = {"a.b": [{"c/d": {"~": 1}}], "e": 2}
    keys = ["a.b", "0", "c/d", "~"]

    assert dotted(document, keys) == '["a.b"][0]["c/d"].~'
    assert keys_of(dotted(document, keys)) == keys_of(pointer(keys)) == keys
    assert find(document, keys) == 1
    assert keys_of("") == []
