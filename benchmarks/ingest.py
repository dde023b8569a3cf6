"""Agent history into committed rows, by format and by several processes, beside reading and copying the same bytes."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks._bench import Measured, in_fresh_process, interleaved, median, scratch_store, table
from benchmarks._histories import FORMATS, LISTS, write
from workbench.data.costs.prices import price_table
from workbench.data.ingest import ingest
from workbench.data.ingest.crew import n_processors
from workbench.data.secrets.passes import passes
from workbench.data.store.engine import Store
from workbench.settings import Settings

MEGABYTES = 100
N_FILES = 8  # of a folder, as large together
WAYS: dict[str, Callable[[dict[str, Any]], int]] = {}
_OF_A_FILE = ("json.loads", "COPY", "ingest", "ingest again")


def _way(name: str) -> Callable[[Callable[[dict[str, Any]], int]], Callable[[dict[str, Any]], int]]:
    def register(function: Callable[[dict[str, Any]], int]) -> Callable[[dict[str, Any]], int]:
        WAYS[name] = function
        return function

    return register


@_way("json.loads")
def _read(given: dict[str, Any]) -> int:
    """The floor that a user knows: the values are thrown away."""
    path = Path(given["path"])
    if given["format"] in LISTS:
        return len(json.loads(path.read_bytes()))
    with path.open("rb") as lines:
        return sum(1 for line in lines if json.loads(line))


@_way("COPY")
def _copy(given: dict[str, Any]) -> int:
    """The floor of any store with jsonb: the same values into one column. No ids, no pairing, no states, no index."""
    path = Path(given["path"])
    lines = [json.dumps(v) for v in json.loads(path.read_bytes())] if given["format"] in LISTS else path.open()
    with given["store"].raw() as connection:
        connection.execute("SET LOCAL statement_timeout = 0")
        connection.execute("CREATE TEMPORARY TABLE floor (line jsonb) ON COMMIT DROP")
        connection.execute("ALTER TABLE floor ALTER COLUMN line SET STORAGE EXTERNAL")
        n_rows = 0
        with connection.cursor().copy("COPY floor FROM STDIN") as copy:
            for line in lines:
                copy.write_row([line])
                n_rows += 1
        return n_rows


@_way("ingest")
def _ingest(given: dict[str, Any]) -> int:
    report = ingest(given["store"], given["path"], format=given["format"], progress=False)
    assert report.files[0].outcome == "new"
    return report.totals.events + report.totals.snapshots


@_way("ingest again")
def _again(given: dict[str, Any]) -> int:
    report = ingest(given["store"], given["path"], format=given["format"], progress=False)
    assert report.files[0].outcome == "already there"
    return report.totals.events + report.totals.snapshots


@_way("one process")
def _alone(given: dict[str, Any]) -> int:
    return _folder(given, workers=1)


@_way("a process per processor")
def _together(given: dict[str, Any]) -> int:
    return _folder(given, workers=n_processors())


def _folder(given: dict[str, Any], *, workers: int) -> int:
    report = ingest(given["store"], given["folder"], format=given["format"], progress=False, workers=workers)
    assert [file.outcome for file in report.files] == ["new"] * N_FILES
    return report.totals.events + report.totals.snapshots


def _prepared(given: dict[str, Any]) -> dict[str, Any]:
    """What a process loads once: the rules for secrets, the table of prices, a connection."""
    passes()
    price_table()
    store = Store.open(Settings.load(database_url=given["url"]))
    with store.raw() as connection:
        connection.execute("SELECT 1")
    return given | {"store": store}


PREPARE = dict.fromkeys(WAYS.keys() - {"json.loads"}, _prepared)


def run(quick: bool = False, *, megabytes: int | None = None, formats: tuple[str, ...] = FORMATS) -> None:
    """Print one table: a row per format."""
    megabytes = megabytes or (5 if quick else MEGABYTES)
    lines = []
    for format in formats:
        found = _measured(format, megabytes, rounds=1 if quick or megabytes > 500 else 3)
        floor, whole = median(found["json.loads"]), median(found["ingest"])
        lines.append(
            (
                format,
                f"{whole:.2f}",
                f"{median(found['ingest'], 'cpu_s'):.2f}",
                f"{megabytes / whole:.0f}",
                f"{found['ingest'][0].rows / whole:,.0f}",
                f"{median(found['ingest'], 'rss_mb'):.0f}",
                f"{whole / floor:.1f}",
                f"{median(found['COPY']) / floor:.1f}",
                f"{median(found['ingest again']) / floor:.1f}",
            )
        )
    head = (
        "format", "ingest s", "client CPU s", "MB/s", "rows/s", "peak MB more", "× json.loads", "COPY × json.loads",
        "again × json.loads",
    )  # fmt: skip
    table(f"One file of {megabytes} MB into committed rows (events and states)", head, lines)
    if formats == FORMATS:
        run_folder(quick, megabytes=megabytes)


def run_folder(quick: bool = False, *, megabytes: int | None = None, format: str = "claude-code") -> None:
    """Print a table: how much faster several processes read several files."""
    megabytes = megabytes or (8 if quick else MEGABYTES)
    with tempfile.TemporaryDirectory() as folder, scratch_store() as store:
        for n in range(N_FILES):
            write(format, Path(folder, f"{n}.jsonl"), megabytes * 1_000_000 // N_FILES, session=f"s{n}")
        given = {"folder": folder, "url": store.url, "format": format}

        def measure(way: str) -> Measured:
            _empty(store)
            return in_fresh_process("benchmarks.ingest", way, given)

        found = interleaved(["one process", "a process per processor"], measure, rounds=1 if quick else 3)
    first = median(found["one process"])
    lines = [(way, f"{median(one):.2f}", f"{first / median(one):.2f}") for way, one in found.items()]
    title = f"{N_FILES} files of {megabytes // N_FILES} MB on {n_processors()} processors, which the server needs too"
    table(title, ("way", "s", "times as fast"), lines)


def _empty(store: Store) -> None:
    with store.raw() as connection:
        connection.execute(
            "TRUNCATE workbench.imports, workbench.agent_executions, workbench.tasks, workbench.file_blocks CASCADE"
        )


def _measured(format: str, megabytes: int, *, rounds: int) -> dict[str, list[Measured]]:
    with tempfile.TemporaryDirectory() as folder, scratch_store() as store:
        path = Path(folder, "history.json" if format in LISTS else "history.jsonl")
        write(format, path, megabytes * 1_000_000)
        given = {"path": str(path), "url": store.url, "format": format}

        def measure(way: str) -> Measured:
            if way == "ingest":
                _empty(store)
            return in_fresh_process("benchmarks.ingest", way, given)

        return interleaved(_OF_A_FILE, measure, rounds=rounds)


if __name__ == "__main__":
    sizes = [int(argument) for argument in sys.argv[1:] if argument.isdigit()]
    named = tuple(argument for argument in sys.argv[1:] if argument in FORMATS)
    run("--quick" in sys.argv, megabytes=sizes[0] if sizes else None, formats=named or FORMATS)
