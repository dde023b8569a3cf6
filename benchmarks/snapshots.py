"""States of 200-step runs: bytes on disk, one state, all states; ours beside whole jsonb and whole zstd rows."""

from __future__ import annotations

import copy
import itertools
import random
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import orjson
import zstandard

from benchmarks._bench import scratch_store, table
from workbench._delta import diff
from workbench.data.ingest.writing.rows import SNAPSHOT_COLUMNS
from workbench.data.store.copy import copy_rows
from workbench.data.store.engine import Store
from workbench.data.store.snapshots import encode, state_at
from workbench.data.store.tables import execution_snapshots, new_id

_WORDS = [f"{a}{b}" for a in ("plan", "order", "flight", "agent", "price", "date") for b in range(200)]


def _text(rng: random.Random, n_words: int) -> str:
    return " ".join(rng.choice(_WORDS) for _ in range(n_words))


def nested(n_steps: int) -> Iterator[Any]:
    """24 KB of nested values, of which each step changes three and adds one."""
    rng = random.Random(7)
    state: dict[str, Any] = {f"part {n}": {"text": _text(rng, 30), "n": n, "tags": [1, 2, 3]} for n in range(90)}
    state["log"] = []
    for step in range(n_steps):
        for _ in range(3):
            state[f"part {rng.randrange(90)}"]["n"] = rng.random()
        state["log"].append({"step": step, "said": _text(rng, 5)})
        yield copy.deepcopy(state)


def conversation(n_steps: int) -> Iterator[Any]:
    """Messages that only grow, each of about 1 KB."""
    rng = random.Random(7)
    state: dict[str, Any] = {"messages": []}
    for step in range(n_steps):
        state["messages"].append({"role": ("user", "assistant")[step % 2], "content": _text(rng, 120)})
        yield copy.deepcopy(state)


def document(n_steps: int) -> Iterator[Any]:
    """A file of 100 KB as one string that every tenth step edits, beside small values."""
    rng = random.Random(7)
    text = _text(rng, 12_000)
    for step in range(n_steps):
        if step % 10 == 5:
            place = rng.randrange(len(text))
            text = text[:place] + _text(rng, 3) + text[place:]
        yield {"file": text, "step": step, "said": _text(rng, 20)}


KINDS: dict[str, Callable[[int], Iterator[Any]]] = {
    "nested 24 KB": nested, "conversation": conversation, "a file as one string": document
}  # fmt: skip


class _State:
    def __init__(self, step_number: int, document: Any) -> None:
        self.step_number, self.document, self.patch = step_number, document, None


def run(quick: bool = False) -> None:
    """Print a table per kind of state."""
    n_steps, n_runs = 200, 2 if quick else 8
    for kind, make in KINDS.items():
        states = list(make(n_steps))
        patches = sum(len(orjson.dumps(diff(a, b))) for a, b in itertools.pairwise(states))
        pure = len(orjson.dumps(states[0])) + patches
        with scratch_store() as store:
            _print(kind, states, pure, store, n_runs)


def _print(kind: str, states: list[Any], pure: int, store: Store, n_runs: int) -> None:
    with store.raw() as connection:
        for name in ("whole", "packed"):
            column = "jsonb" if name == "whole" else "bytea"
            connection.execute(
                f"CREATE TABLE {name} (run int, step int, state {column}, PRIMARY KEY (run, step))".encode()
            )
    texts = [orjson.dumps(state) for state in states]
    runs = [new_id() for _ in range(n_runs)]
    with store.raw() as connection:
        for number, run in enumerate(runs):
            with connection.cursor().copy("COPY whole FROM STDIN") as copied:
                for step, text in enumerate(texts):
                    copied.write_row([number, step, text.decode()])
            with connection.cursor().copy("COPY packed FROM STDIN") as copied:
                for step, text in enumerate(texts):
                    copied.write_row([number, step, zstandard.compress(text)])
            connection.execute(
                "INSERT INTO workbench.agent_executions (id, agent_type, status) VALUES (%s, 'x', 'completed')", [run]
            )
            rows = (
                (new_id(), run, row.step_number, None, row.state.decode(), row.keyframe_step, None, False, False, None)
                for row in encode(_State(step, state) for step, state in enumerate(states))
            )
            copy_rows(connection, execution_snapshots, SNAPSHOT_COLUMNS, rows)

    def whole_at(run: int, step: int) -> Any:
        with store.raw() as connection:
            row = connection.execute(
                "SELECT state::text FROM whole WHERE run = %s AND step = %s", [run, step]
            ).fetchone()
            return orjson.loads(row[0]) if row else None

    def packed_at(run: int, step: int) -> Any:
        with store.raw() as connection:
            row = connection.execute("SELECT state FROM packed WHERE run = %s AND step = %s", [run, step]).fetchone()
            return orjson.loads(zstandard.decompress(row[0])) if row else None

    def ours_at(run: int, step: int) -> Any:
        return state_at(store, runs[run], step)

    ways = {"whole jsonb": ("whole", whole_at), "whole, zstd": ("packed", packed_at),
            "keyframes and patches": ("workbench.execution_snapshots", ours_at)}  # fmt: skip
    rng = random.Random(3)
    asked = [(rng.randrange(n_runs), rng.randrange(len(states))) for _ in range(200)]
    times: dict[str, list[float]] = {name: [] for name in ways}
    for run, step in asked:
        for name, (_, at) in ways.items():
            started = time.perf_counter()
            found = at(run, step)
            times[name].append(time.perf_counter() - started)
            assert found == states[step]
    lines = []
    first = None
    for name, (stored, _) in ways.items():
        with store.raw() as connection:
            row = connection.execute("SELECT pg_table_size(%s::regclass)", [stored]).fetchone()
            assert row is not None
        size, at = row[0] / n_runs, statistics.median(times[name]) * 1000
        first = first or (size, at)
        lines.append((name, f"{size / 1e6:.2f}", f"{first[0] / size:.1f}", f"{size / pure:.2f}", f"{at:.2f}",
                      f"{at / first[1]:.2f}"))  # fmt: skip
    title = f"{kind}: 200 steps, patches alone {pure / 1e6:.2f} MB"
    table(title, ("way", "MB a run", "times smaller", "× patches alone", "state at k ms", "× whole jsonb"), lines)
