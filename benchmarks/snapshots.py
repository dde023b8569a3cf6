"""States of 200-step runs: bytes on disk, one state, all states; ours beside whole jsonb and whole zstd rows.

Then what compressing them saves and costs, what is left when one in ten steps is kept, and how much of them is strings
that are stored more than once. The last is why equal strings are not shared between rows: see CONTRIBUTING.md.
"""

from __future__ import annotations

import copy
import hashlib
import itertools
import os
import random
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import zstandard

from benchmarks._bench import scratch_store, table
from workbench._delta import diff
from workbench.data.frames.load import Frames
from workbench.data.ingest import ingest
from workbench.data.ingest.prune import prune
from workbench.data.ingest.writing.rows import SNAPSHOT_COLUMNS
from workbench.data.secrets.scan import strings
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


REAL = ("pi", "claude-code", "tau2", "") if "WORKBENCH_TEST_DATA" in os.environ else ()
LARGE = 1_000  # bytes of a string that would be worth a row of its own


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
            _compressed(kind, store)
            _repeated(kind, store)
            _pruned(kind, store)
    for source in () if quick else REAL:
        with scratch_store() as store:
            ingest(store, Path(os.environ["WORKBENCH_TEST_DATA"]) / source, progress=False)
            _compressed(source or "all", store)
            _repeated(source or "all", store)


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


def _compressed(kind: str, store: Store) -> None:
    """Print the states stored in each way that the server has: bytes, writing all, reading all; interleaved."""
    with store.raw() as connection:
        offered = connection.execute(
            "SELECT enumvals FROM pg_settings WHERE name = 'default_toast_compression'"
        ).fetchone()
        ways = {"as they are": "STORAGE EXTERNAL", **{name: f"COMPRESSION {name}" for name in (offered or [[]])[0]}}
        connection.execute(
            "CREATE TEMP TABLE given AS SELECT execution_id, step_number, keyframe_step, state::text AS state"
            " FROM workbench.execution_snapshots"
        )
        for way, how in ways.items():
            connection.execute(
                f'CREATE TABLE "{way}" (run uuid, step int, base int, state jsonb, PRIMARY KEY (run, step))'.encode()
            )
            connection.execute(f'ALTER TABLE "{way}" ALTER COLUMN state SET {how}'.encode())
        took: dict[str, tuple[list[float], list[float]]] = {way: ([], []) for way in ways}
        for way in [*ways] * 3:
            connection.execute(f'TRUNCATE "{way}"'.encode())
            started = time.perf_counter()
            connection.execute(
                f'INSERT INTO "{way}" SELECT execution_id, step_number, keyframe_step, state::jsonb FROM given'.encode()
            )
            written = time.perf_counter()
            connection.execute(f'SELECT sum(length(state::text)) FROM "{way}"'.encode())
            took[way][0].append(written - started)
            took[way][1].append(time.perf_counter() - written)
        lines, first = [], None
        for way, (writes, reads) in took.items():
            row = connection.execute("SELECT pg_table_size(%s::regclass)", [f'"{way}"']).fetchone()
            found = (row[0] if row else 0) / 1e6, min(writes), min(reads)
            first = first or found
            told = [f"{found[0]:.2f}", *(f"{now / then:.2f}" for now, then in zip(found, first, strict=True))]
            lines.append((way, *told))
    table(f"{kind}: states compressed by the server", ("way", "MB", "× size", "× writing", "× reading"), lines)


def _repeated(kind: str, store: Store) -> None:
    """Print how much of the stored states is large strings that stand in another row too."""
    seen: dict[bytes, set[Any]] = {}
    n_bytes = within = across = 0
    with store.raw() as connection:
        rows = connection.execute("SELECT execution_id, state::text FROM workbench.execution_snapshots ORDER BY 1")
        for run, text in rows:
            n_bytes += len(text.encode())
            for _, value, _ in strings(orjson.loads(text)):
                size = len(value.encode())
                if size < LARGE:
                    continue
                runs = seen.setdefault(hashlib.blake2b(value.encode()).digest(), set())
                within += size * (run in runs)
                across += size * (bool(runs) and run not in runs)
                runs.add(run)
    line = (f"{n_bytes / 1e6:.2f}", f"{within / n_bytes:.1%}", f"{across / n_bytes:.1%}")
    # In the runs that are made here all is in another run: they are the same states again.
    title = f"{kind}: strings of {LARGE:,} bytes and more that are stored again"
    table(title, ("MB of states", "in the same run", "in another run"), [line])


def _pruned(kind: str, store: Store) -> None:
    """Print what is left of the runs when the state of every tenth step is kept."""
    with store.raw() as connection:
        runs = [str(run) for (run,) in connection.execute("SELECT id FROM workbench.agent_executions")]
    sizes = []
    for every in (None, 10):
        done = prune(Frames(store), runs, every=every) if every else None
        with store.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("VACUUM FULL workbench.execution_snapshots")
        with store.raw() as connection:
            row = connection.execute("SELECT pg_table_size('workbench.execution_snapshots')").fetchone()
        sizes.append((row[0] if row else 0) / len(runs) / 1e6)
    line = (f"{sizes[0]:.2f}", f"{sizes[1]:.2f}", f"{sizes[1] / sizes[0]:.2f}", str(done and done.n_kept // len(runs)))
    table(f"{kind}: pruned with every=10", ("MB a run", "after", "×", "states kept"), [line])
