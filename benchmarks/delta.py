"""RFC 6902 beside ``jsonpatch`` and ``deepdiff``, snapshots beside whole states, comparison of long runs.

Targets: a diff of 20 KB nested states at least 12 times as fast as ``jsonpatch`` makes it; a run's snapshots at least 9
times smaller than whole states; the state at a step in less than twice the time of reading a whole one from Postgres;
two runs of 5,000 steps compared in about a second.
"""

from __future__ import annotations

import copy
import json
import random
import statistics
import tempfile
import time
import uuid
from collections.abc import Callable
from typing import Any

import jsonpatch
import orjson
import polars as pl
from deepdiff import DeepDiff

from benchmarks._bench import table
from workbench._delta import apply, diff
from workbench.data.ingest.normal import State
from workbench.data.store.snapshots import SnapshotRow, encode, rebuild_all, state_at
from workbench.replay.compare import compare

WORDS = ["order", "flight", "refund", "seat", "customer", "policy", "number", "cancel", "status", "date", "window"]


Line = tuple[str, str, str, str, str]


def run(quick: bool = False) -> None:
    """Measure and print one table."""
    rounds = 3 if quick else 9
    lines = [*_diffs(rounds), *_snapshots(rounds), *_comparisons(rounds // 3, 1_000 if quick else 5_000)]
    table("RFC 6902, snapshots, comparison", ["what", "ours", "peer", "peer ÷ ours", "target"], lines)


def _diffs(rounds: int) -> list[Line]:
    rnd = random.Random(1)
    a = _state(rnd)
    cases = {"three changes": _changed(a), "equal": copy.deepcopy(a), "a message more": _grown(a)}
    rows = []
    for name, b in cases.items():
        patch = diff(a, b)
        assert apply(a, patch) == b
        ways = {
            "ours": lambda b=b: diff(a, b),
            "peer": lambda b=b: jsonpatch.make_patch(a, b),
            "deepdiff": lambda b=b: DeepDiff(a, b),
        }
        what = f"diff of {len(orjson.dumps(a)) / 1000:.0f} KB states, {name}"
        found = _medians(ways, rounds, 5)
        rows.append(_row(what, found, "jsonpatch", "≥ 12×"))
        rows.append(_row(what, found | {"peer": found["deepdiff"]}, "deepdiff", ""))
    patch = diff(a, cases["three changes"])
    ways = {"ours": lambda: apply(a, patch), "peer": lambda: jsonpatch.apply_patch(a, patch)}
    return [*rows, _row("apply of three changes", _medians(ways, rounds, 50), "jsonpatch", "faster")]


def _snapshots(rounds: int) -> list[Line]:
    """200 steps of a 24 KB state, each of which changes three values and adds a message."""
    rnd = random.Random(2)
    state, states = _state(rnd), []
    for step in range(200):
        state = _grown(_changed(state, step), step)
        states.append(State(step, document=state))
    whole = [orjson.dumps(s.document) for s in states]
    rows = list(encode(states))
    assert [s for _, s in rebuild_all(rows)] == [s.document for s in states]
    encoded, size = sum(len(row.state) for row in rows), sum(map(len, whole))
    growing = [State(0, document={"messages": []})] + [
        State(k, patch=[{"op": "add", "path": "/messages/-", "value": {"role": "user", "content": "word " * 60}}])
        for k in range(1, 5_000)
    ]
    took = _medians({"whole": lambda: list(encode(states)), "patches": lambda: list(encode(growing))}, rounds, 1)
    return [
        _fact(
            "200 snapshots of a growing 24 KB state", encoded / 1000, size / 1000, "KB", "whole states", "≥ 9× smaller"
        ),
        *_stored(states, rows, whole, rounds),
        _fact("200 whole states in", took["whole"] * 1000, None, "ms", "", ""),
        _fact("5,000 steps in as patches", took["patches"] * 1000, None, "ms", "", ""),
    ]


def _stored(states: list[State], rows: list[SnapshotRow], whole: list[bytes], rounds: int) -> list[Line]:
    """The state at a step, read from an embedded Postgres: whole states as rows beside keyframes and patches."""
    import workbench

    steps = random.Random(3).sample(range(len(states)), 40)
    with tempfile.TemporaryDirectory() as home, workbench.connect(home=home) as bench:
        store = bench.store
        ours, peer = _put(store, rows), _put(store, [SnapshotRow(k, k, state) for k, state in enumerate(whole)])
        assert all(state_at(store, ours, step) == states[step].document for step in steps)
        ways = {
            name: lambda run=run: [state_at(store, run, step) for step in steps]
            for name, run in {"ours": ours, "peer": peer}.items()
        }
        found = {name: seconds / len(steps) for name, seconds in _medians(ways, rounds, 1).items()}
    return [_row("state at a step, from Postgres", found, "stored whole", "> 0.5×")]


def _put(store: Any, rows: list[SnapshotRow]) -> uuid.UUID:
    run = uuid.uuid4()
    execution = "INSERT INTO workbench.agent_executions (id, agent_type, status) VALUES (%s, 'benchmark', 'completed')"
    copy_in = "COPY workbench.execution_snapshots (execution_id, step_number, keyframe_step, state) FROM STDIN"
    with store.raw() as connection:
        connection.execute(execution, (run,))
        with connection.cursor().copy(copy_in) as sink:
            for row in rows:
                sink.write_row((run, row.step_number, row.keyframe_step, row.state.decode()))
    return run


def _comparisons(rounds: int, n: int) -> list[Line]:
    a, b, other = _run(n, 1, 0.0), _run(n, 1, 0.5), _run(n, 2, 0.0)
    found = _medians({"close": lambda: compare(a, b), "far": lambda: compare(a, other)}, rounds, 1)
    return [
        _fact(f"compare two runs of {n:,} steps, half of the texts reworded", found["close"], None, "s", "", "≈ 1 s"),
        _fact(f"compare two runs of {n:,} steps with nothing in common", found["far"], None, "s", "", "≈ 1 s"),
    ]


# ---------------------------------------------------------------- what is measured


def _state(rnd: random.Random) -> dict[str, Any]:
    def text(n: int) -> str:
        return " ".join(rnd.choices(WORDS, k=n))

    messages = [
        {"role": rnd.choice(["user", "assistant"]), "content": text(20), "meta": {"n": k, "ok": True, "cost": 0.5 * k}}
        for k in range(60)
    ]
    plan = {"steps": [{"id": k, "done": False, "why": text(6)} for k in range(40)]}
    values = {f"key_{k}": {"value": k, "unit": None, "range": [k, k + 1]} for k in range(120)}
    return json.loads(json.dumps({"messages": messages, "plan": plan, "values": values}))


def _changed(state: dict[str, Any], step: int = 7) -> dict[str, Any]:
    state = copy.deepcopy(state)
    state["values"][f"key_{step % 120}"]["value"] = 999 + step
    state["plan"]["steps"][step % 40]["done"] = not state["plan"]["steps"][step % 40]["done"]
    state["messages"][step % 60]["meta"]["cost"] += 1
    return state


def _grown(state: dict[str, Any], step: int = 0) -> dict[str, Any]:
    state = copy.deepcopy(state)
    state["messages"].append({"role": "user", "content": f"message {step}", "meta": {}})
    return state


def _run(n: int, seed: int, reworded: float) -> pl.DataFrame:
    rnd, other = random.Random(seed), random.Random(99)
    rows = []
    for _ in range(n // 3):
        text, tool = " ".join(rnd.choices(WORDS, k=30)), rnd.choice(["get", "search", "update"])
        if other.random() < reworded:
            text = " ".join(other.choices(WORDS, k=30))
        call = {"name": tool, "arguments": {"id": rnd.randrange(10**6), "kind": rnd.choice(WORDS)}}
        answer = {"name": tool, "result": {"status": rnd.choice(WORDS), "n": rnd.randrange(10**4)}}
        rows += [
            ("message", {"role": "assistant", "text": text}),
            ("tool_call", {"tool": call}),
            ("tool_result", {"tool": answer}),
        ]
    return pl.DataFrame(
        [(k, kind, json.dumps(data)) for k, (kind, data) in enumerate(rows)],
        schema=["step_number", "event_type", "data"],
        orient="row",
    )


# ---------------------------------------------------------------- how


def _medians(ways: dict[str, Callable[[], Any]], rounds: int, times: int) -> dict[str, float]:
    """Median seconds of one call of each way, the ways called in turn."""
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            start = time.perf_counter()
            for _ in range(times):
                way()
            found[name].append((time.perf_counter() - start) / times)
    return {name: statistics.median(seconds) for name, seconds in found.items()}


def _row(what: str, found: dict[str, float], name: str, target: str) -> Line:
    return _fact(what, found["ours"] * 1e6, found["peer"] * 1e6, "µs", name, target)


def _fact(what: str, ours: float, peer: float | None, unit: str, name: str, target: str) -> Line:
    return (
        what,
        f"{ours:,.4g} {unit}",
        "" if peer is None else f"{peer:,.4g} {unit} ({name})",
        "" if peer is None else f"{peer / ours:.1f}",
        target,
    )


if __name__ == "__main__":
    run()
