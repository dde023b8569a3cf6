"""Runs of a few steps, written row by row, and random ones for the property tests."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

from workbench._delta import apply
from workbench.data.store.engine import Store
from workbench.data.store.snapshots import Encoder
from workbench.errors import PatchError


@dataclass
class History:
    """A run: events and patches of its state by step number."""

    agent_type: str = "planner"
    events: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    patches: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    id: str = field(default_factory=lambda: str(uuid.uuid4()))

    def states(self) -> dict[int, Any]:
        """The whole state after each step that has a snapshot, by brute force."""
        found, state = {}, {}
        for step in sorted(self.patches):
            state = apply(state, self.patches[step])
            found[step] = state
        return found

    def steps(self) -> list[int]:
        """All steps."""
        return sorted({*self.events, *self.patches})


def write(store: Store, histories: Sequence[History]) -> None:
    """Store them as an ingest does: the states by its encoder, the events as they are."""
    with store.raw() as connection:
        for run in histories:
            connection.execute(
                "INSERT INTO workbench.agent_executions (id, agent_type, status, metadata) VALUES (%s, %s, 'completed',"
                " '{\"trial\": 3}')",
                [run.id, run.agent_type],
            )
            with connection.cursor() as cursor:
                cursor.executemany(
                    "INSERT INTO workbench.observability_events (execution_id, step_number, event_type, name, agent,"
                    " severity, duration_ms, data) VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
                    [
                        (run.id, step, one["event_type"], one.get("name"), one.get("agent"),
                         one.get("severity", "info"), one.get("duration_ms"), json.dumps(one.get("data", {})))
                        for step, events in run.events.items() for one in events
                    ],
                )  # fmt: skip
                encoder = Encoder()
                for step in sorted(run.patches):
                    encoder.add(step, patch=run.patches[step])
                cursor.executemany(
                    "INSERT INTO workbench.execution_snapshots (execution_id, step_number, keyframe_step, state)"
                    " VALUES (%s, %s, %s, %s)",
                    [(run.id, row.step_number, row.keyframe_step, row.state.decode()) for row in encoder.finish()],
                )


# ---------------------------------------------------------------- random states

KEYS = ("a", "b", "0", "1", "a/b", "m~n", "", "-")
scalars = st.one_of(st.none(), st.booleans(), st.integers(-2, 2), st.sampled_from([0.5, 1.0]), st.sampled_from(KEYS))
documents = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(KEYS), inner, max_size=3)),
    max_leaves=6,
)
objects = st.dictionaries(st.sampled_from(KEYS), documents, max_size=4)


def places(document: Any, at: str = "") -> list[str]:
    """Pointers to every value of a document."""
    found = [at]
    items = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    for key, value in items:
        found += places(value, f"{at}/{str(key).replace('~', '~0').replace('/', '~1')}")
    return found


@st.composite
def operations(draw: st.DrawFn, document: Any) -> list[dict[str, Any]]:
    """A patch that applies to a document, of every kind of operation."""
    patch: list[dict[str, Any]] = []
    for _ in range(draw(st.integers(1, 3))):
        there = places(document)
        path = draw(st.sampled_from(there))
        token = draw(st.sampled_from(["a", "b", "0", "1", "a~1b", "m~0n", "", "-"]))
        kind = draw(st.sampled_from(["add", "add", "add", "replace", "remove", "move", "copy", "test"]))
        op: dict[str, Any] = {"op": kind, "path": f"{path}/{token}" if kind in ("add", "move", "copy") else path}
        if kind in ("add", "replace"):
            op["value"] = draw(documents)
        if kind in ("move", "copy"):
            op["from"] = draw(st.sampled_from(there))
        try:
            if kind == "test":
                op["value"] = None
                op = next(one for one in ({**op, "value": v} for v in _values_at(document, path)))
            document = apply(document, [op])
        except PatchError:
            continue
        patch.append(op)
    return patch


def _values_at(document: Any, pointer: str) -> list[Any]:
    for token in pointer.split("/")[1:]:
        key = token.replace("~1", "/").replace("~0", "~")
        document = document[int(key)] if isinstance(document, list) else document[key]
    return [document]


events = st.fixed_dictionaries(
    {
        "event_type": st.sampled_from(["message", "tool_call", "tool_result"]),
        "name": st.sampled_from(["refund", "verify", None]),
        "severity": st.sampled_from(["info", "error"]),
        "data": st.fixed_dictionaries(
            {}, optional={
                "text": st.sampled_from(["so sorry", "fine", "", 'a "b"', "é"]),
                "n": st.one_of(st.integers(-1, 3), st.none(), st.just("1"), st.booleans()),
                "list": st.lists(scalars, max_size=3),
                "tool_calls": st.one_of(
                    st.none(), st.lists(st.one_of(st.just({"name": "refund"}), st.just("refund"), st.just(["refund"]),
                                                  st.just([{"name": "refund"}]), st.just({"name": ["refund"]})),
                                        max_size=2),
                    st.just({"name": "refund"}),
                ),
            },
        ),
    }
)  # fmt: skip


@st.composite
def histories(draw: st.DrawFn) -> History:
    """A run of up to eight steps, with gaps, steps of several events, steps without state and without event."""
    run = History(agent_type=draw(st.sampled_from(["planner", "coder"])))
    state: Any = {}
    for step in sorted(draw(st.sets(st.integers(0, 11), min_size=1, max_size=8))):
        kinds = draw(st.sampled_from(["event", "state", "both", "both"]))
        if kinds != "state":
            run.events[step] = draw(st.lists(events, min_size=1, max_size=2))
        if kinds != "event":
            patch = [{"op": "add", "path": "", "value": draw(objects)}] if not run.patches else draw(operations(state))
            state = apply(state, patch)
            run.patches[step] = patch
    return run


# ---------------------------------------------------------------- states that are mostly a list

contents = st.one_of(
    st.sampled_from(["hi", "so sorry"]), st.lists(st.fixed_dictionaries({"text": scalars}), max_size=2)
)
messages = st.one_of(
    st.fixed_dictionaries({"role": st.just("user"), "content": st.one_of(contents, st.none())}), scalars
)


@st.composite
def conversations(draw: st.DrawFn, key: str = "m") -> History:
    """A run whose state is a list of messages: it grows, messages change, seldom they move or are no list any more."""
    run = History()
    state: Any = {key: draw(st.lists(messages, max_size=3))} if draw(st.integers(0, 9)) else {key: draw(objects)}
    run.patches[0] = [{"op": "add", "path": "", "value": {"pad": "x" * draw(st.sampled_from([0, 4000])), **state}}]
    state = apply({}, run.patches[0])
    for step in range(1, draw(st.integers(1, 9))):
        patch: list[dict[str, Any]] = []
        for _ in range(draw(st.integers(0, 3))):
            n = draw(st.integers(0, 4))
            grows = {"op": "add", "path": f"/{key}/-", "value": draw(messages)}
            op = draw(
                st.one_of(
                    st.just(grows), st.just(grows), st.just(grows),
                    st.just({"op": "replace", "path": f"/{key}/{n}", "value": draw(messages)}),
                    st.just({"op": "replace", "path": f"/{key}/{n}/content", "value": draw(scalars)}),
                    st.just({"op": "remove", "path": f"/{key}/{n}/content"}),
                    st.just({"op": "replace", "path": f"/{key}/{n}/content/0/text", "value": "x"}),
                    st.just({"op": "add", "path": f"/{key}/{n}/other", "value": "x"}),
                    st.just({"op": "replace", "path": f"/{key}", "value": draw(st.lists(messages, max_size=3))}),
                    st.just({"op": draw(st.sampled_from(["add", "remove"])), "path": f"/{key}/{n}", "value": "x"}),
                    st.just({"op": "move", "from": f"/{key}/{n}", "path": f"/{key}/0"}),
                    st.just({"op": "copy", "from": f"/{key}/{n}", "path": "/n"}),
                    st.just({"op": "replace", "path": f"/{key}", "value": draw(scalars)}),
                )
            )  # fmt: skip
            try:
                state = apply(state, [op])
            except PatchError:
                continue
            patch.append(op)
        if patch:
            run.patches[step] = patch
    return run
