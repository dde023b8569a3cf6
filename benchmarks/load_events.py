"""A million events from Postgres into a frame, beside what a user would write, and beside moving the bytes only."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from typing import Any

import polars as pl

from benchmarks._bench import Measured, fill, in_fresh_process, interleaved, median, scratch_store, table
from workbench._workbench import Workbench
from workbench.data.frames.columns import schema
from workbench.data.frames.load import Frames
from workbench.data.frames.transport import Transport
from workbench.data.store.engine import Store
from workbench.data.store.server import binaries
from workbench.settings import Settings

ROWS = 1_000_000
PLAIN = [name for name in schema("events") if name != "data"]
ALL = [*PLAIN, "data"]
FEW = ["execution_id", "event_type", "timestamp", "duration_ms"]
PATHS: dict[str, Any] = {
    "input_tokens": ("data.usage.input_tokens", pl.Int64),
    "output_tokens": ("data.usage.output_tokens", pl.Int64),
    "model": ("data.model", pl.String),
    "cost": ("data.cost_usd", pl.Float64),
}


def _select(names: Sequence[str]) -> str:
    return f"SELECT {', '.join(names)} FROM workbench.observability_events"


def _bench(given: dict[str, Any]) -> Workbench:
    store = Store(Settings.load(database_url=given["url"]), url=given["url"])
    bench = Workbench(store)
    bench.events(limit=10)
    return bench


def _psycopg(given: dict[str, Any]) -> Frames:
    frames = _bench(given).frames
    frames.transport = Transport(frames.store, way="psycopg")
    return frames


def _pandas(given: dict[str, Any]) -> Any:
    import pandas as pd
    import sqlalchemy as sa

    connection = sa.create_engine(given["url"].replace("postgresql:", "postgresql+psycopg:", 1)).connect()
    pd.read_sql(sa.text(_select(ALL) + " LIMIT 10"), connection)
    return lambda names: len(pd.read_sql(sa.text(_select(names)), connection))


def _pandas_paths(read: Any) -> int:
    """The documents come as dicts; a user picks the values from them."""
    import pandas as pd
    import sqlalchemy as sa

    frame = pd.read_sql(sa.text(_select([*FEW, "data"])), read.__closure__[0].cell_contents)
    for name, (path, _) in PATHS.items():
        *keys, last = path.split(".")[1:]
        frame[name] = [(document[keys[0]] if keys else document).get(last) for document in frame["data"]]
    return len(frame)


def _polars(given: dict[str, Any]) -> Any:
    import sqlalchemy as sa

    connection = sa.create_engine(given["url"].replace("postgresql:", "postgresql+psycopg:", 1)).connect()

    # Polars has no dtype for uuid objects, so even here a user has to cast.
    def read(names: Sequence[str]) -> int:
        texts = [f"{name}::text" if name in ("id", "execution_id", "data") else name for name in names]
        return pl.read_database(_select(texts), connection, infer_schema_length=None).height

    read(FEW[:1])
    return read


def _psql(names: Sequence[str]) -> Callable[[dict[str, Any]], int]:
    def copy(given: dict[str, Any]) -> int:
        command = f"\\copy ({_select(names)}) TO /dev/null (FORMAT binary)"
        subprocess.run([binaries() / "psql", "-qX", given["url"], "-c", command], check=True)
        return given["rows"]

    return copy


WAYS: dict[str, Callable[[Any], int]] = {}
PREPARE: dict[str, Callable[[dict[str, Any]], Any]] = {}
GROUPS = {
    "no JSON column": (PLAIN, lambda bench: bench.events(columns=PLAIN).height, lambda read: read(PLAIN)),
    "with the JSON column": (ALL, lambda bench: bench.events().height, lambda read: read(ALL)),
    "four JSON paths": ([*FEW, "data"], lambda bench: bench.events(columns=FEW, fields=PATHS).height, _pandas_paths),
}
for _group, (_names, _ours, _theirs) in GROUPS.items():
    _ways: list[tuple[str, Any, Callable[[Any], int]]] = [
        ("bench.events()", _bench, _ours),
        ("bench.events() without ADBC", _psycopg, _ours),
        ("pandas.read_sql", _pandas, _theirs),
        ("floor: psql, binary COPY to nowhere", None, _psql(_names)),
    ]
    if _group != "four JSON paths":
        _ways.insert(3, ("polars.read_database", _polars, _theirs))
    for _name, _prepare, _way in _ways:
        WAYS[f"{_group}/{_name}"] = _way
        if _prepare:
            PREPARE[f"{_group}/{_name}"] = _prepare


def run(quick: bool = False, rows: int | None = None) -> None:
    """Print one table for each of: no JSON column, with it, paths of it."""
    rows = rows or (20_000 if quick else ROWS)
    with scratch_store() as store:
        fill(store, rows)

        def measure(way: str) -> Measured:
            return in_fresh_process("benchmarks.load_events", way, {"url": store.adbc_uri, "rows": rows})

        found = interleaved(list(WAYS), measure, rounds=1 if quick else 3)
    for group in GROUPS:
        ways = {way.partition("/")[2]: measured for way, measured in found.items() if way.startswith(f"{group}/")}
        peer, floor = ways["pandas.read_sql"], ways["floor: psql, binary COPY to nowhere"]
        lines = [
            (
                name,
                f"{median(measured):.2f}",
                f"{median(peer) / median(measured):.1f}×",
                f"{median(measured) / median(floor):.2f}×",
                f"{median(measured, 'cpu_s'):.2f}",
                f"{median(measured, 'rss_mb'):.0f}",
            )
            for name, measured in ways.items()
        ]
        head = ("way", "s", "pandas ÷ it", "it ÷ floor", "client CPU s", "RSS + MB")
        table(f"{rows:,} events, {group}", head, lines)
