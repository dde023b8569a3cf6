"""Thousands of files spoilt at random: each is stored as far as it goes, or refused with its name, line and reason.

A part of them in every run of the tests; ``WORKBENCH_FUZZ=10000`` (and ``WORKBENCH_FUZZ_SEED=…``) makes that many, and
prints what became of them.
"""

from __future__ import annotations

import faulthandler
import json
import os
import time
import traceback
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from good_files import good_files
from mutations import Seed, Spoilt, spoilt

from workbench.data.costs.prices import Call, price_table
from workbench.data.ingest.detect import choose, reader
from workbench.data.ingest.normal import BadLine, Run, Steps, Usage
from workbench.data.ingest.reading.marks import mark
from workbench.data.ingest.reading.source import Source
from workbench.data.ingest.report import FileReport
from workbench.data.ingest.writing.rows import EVENT_COLUMNS, EXECUTION_COLUMNS, SNAPSHOT_COLUMNS, RowMaker
from workbench.data.secrets.scan import in_json
from workbench.errors import IngestError, UnknownFormatError

FILES = int(os.environ.get("WORKBENCH_FUZZ", "400"))
SEED = int(os.environ.get("WORKBENCH_FUZZ_SEED", "1"))
HANGS_S = 60
SLOW_S = 3
_BY_LINES = ("claude-code", "codex", "pi", "sts", "langsmith")
_JSON_COLUMNS = (
    (EXECUTION_COLUMNS, ("input", "output", "metadata", "token_usage", "reported")),
    (EVENT_COLUMNS, ("data",)),
    (SNAPSHOT_COLUMNS, ("state",)),
)


@cache
def seeds() -> list[Seed]:
    return good_files()


@dataclass
class Tally:
    """What became of the spoilt files of one format."""

    files: int = 0
    stored: int = 0
    rejected: int = 0
    unknown: int = 0
    bad_lines: int = 0
    unhandled: int = 0
    slowest_s: float = 0.0
    faults: list[str] = field(default_factory=list)


def read_rows(file: Spoilt, tally: Tally) -> None:
    """Read a file as an ingest does, down to the rows and what is looked for in them, without a database."""
    source = Source.from_bytes(file.data, file.seed.name)
    source.columns = file.seed.columns
    tally.files += 1
    try:
        try:
            chosen = choose(source, format=file.seed.format if file.seed.columns else None)
        except UnknownFormatError as error:
            refused(error, file)
            tally.unknown += 1
            source.restart()
            chosen = reader(file.seed.format)  # as if the user had named it
        runs, bad = rows_of(chosen, source)
    except IngestError as error:
        refused(error, file)
        tally.rejected += 1
        return
    bad += source.damage
    tally.bad_lines += len(bad)
    tally.stored += bool(runs)
    tally.rejected += not runs
    n_lines = source.read_bytes().count(b"\n") + 1
    for each in bad:
        assert each.reason.strip(), each
        # A row of Parquet has a number too, and that is not one of a line.
        assert each.line is None or 1 <= each.line <= n_lines or b"PAR1" in file.data, (each, n_lines)
        if chosen.FORMAT in _BY_LINES and file.seed.name.endswith(".jsonl"):
            assert each.line is not None, each
    assert FileReport(source.name, bad=tuple(bad), n_bad=len(bad)).as_dict()


def refused(error: IngestError, file: Spoilt) -> None:
    """An error names the file and gives a reason, in a text that can be shown."""
    said = str(error)
    assert file.seed.name in said, said
    assert said.replace(file.seed.name, "").strip(" .:"), said
    assert len(said) < 5_000, said[:300]


def rows_of(chosen: Any, source: Source) -> tuple[int, list[BadLine]]:
    """How many runs there are, and the bad lines; all rows are made, and looked through."""
    maker = RowMaker(chosen.FORMAT, source, None)
    bad: list[BadLine] = []
    n_runs = 0
    for item in chosen.read(source):
        if isinstance(item, BadLine):
            bad.append(item)
            continue
        n_runs += 1
        if not getattr(chosen, "MARKS", False) and not isinstance(item.steps, Steps):
            mark(item.steps, getattr(chosen, "is_open", None))
        check_rows(maker, item)
    return n_runs, bad


def check_rows(maker: RowMaker, run: Run) -> None:
    """Every value of every row is one that Postgres takes."""
    maker.count(run)
    if run.task is not None:
        assert_text(maker.task(run.task))
    events = list(maker.events(run))
    assert len(events) == len(run.steps)
    assert len({row[0] for row in events}) == len(events)
    snapshots = list(maker.snapshots(run))
    assert len(snapshots) <= len(run.steps) + len(run.states) + 1
    for (columns, documents), rows in zip(_JSON_COLUMNS, ([maker.execution(run)], events, snapshots), strict=True):
        places = [columns.index(name) for name in documents]
        for row in rows:
            assert_text(row)
            for text in (row[place] for place in places):
                if text is not None:
                    json.loads(text, parse_constant=_refuse)
                    list(in_json(text))
    for step in run.steps:
        if step.model is not None:
            price_table().price(Call(step.model, step.usage or Usage(input_tokens=3), step.timestamp))


def assert_text(row: tuple[Any, ...]) -> None:
    for value in row:
        if isinstance(value, str):
            assert "\0" not in value
            value.encode()


def _refuse(name: str) -> None:
    raise AssertionError(f"{name} is no JSON")


def told(error: Exception) -> str:
    """An error with the last places of the product or of this file that it came through."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "site-packages" not in frame.filename]
    places = " < ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in reversed(frames[-4:]))
    return f"{type(error).__name__}: {str(error)[:400]} at {places}"


def table(tallies: dict[str, Tally]) -> str:
    """What became of the files, by format."""
    heads = ("format", "files", "stored", "rejected", "unknown", "bad lines", "unhandled", "slowest s")
    rows: list[tuple[Any, ...]] = [
        (name, t.files, t.stored, t.rejected, t.unknown, t.bad_lines, t.unhandled, f"{t.slowest_s:.1f}")
        for name, t in sorted(tallies.items())
    ]
    totals = [sum(column) for column in list(zip(*rows, strict=True))[1:-1]]
    rows.append(("all", *totals, f"{max(t.slowest_s for t in tallies.values()):.1f}"))
    return "\n".join(f"{name:14}" + "".join(f"{value:>11}" for value in row) for name, *row in (heads, *rows))


def tallied() -> dict[str, Tally]:
    """Read all spoilt files."""
    tallies: dict[str, Tally] = {}
    for file in spoilt(seeds(), FILES, seed=SEED):
        tally = tallies.setdefault(file.seed.format, Tally())
        faulthandler.dump_traceback_later(HANGS_S)
        begun = time.perf_counter()
        try:
            read_rows(file, tally)
        except Exception as error:  # noqa: BLE001 (all of them are shown together)
            tally.unhandled += 1
            tally.faults.append(f"{file.seed.name} ({file.how}): {told(error)}")
        finally:
            faulthandler.cancel_dump_traceback_later()
        took = time.perf_counter() - begun
        tally.slowest_s = max(tally.slowest_s, took)
        if took > SLOW_S and FILES > 1000:
            print(f"slow: {took:.1f} s {file.seed.name} {file.how} {len(file.data):,} bytes")
    if FILES > 1000:
        print(f"\n{table(tallies)}")
    return tallies


def test_no_spoilt_file_is_an_unhandled_error(capsys: pytest.CaptureFixture[str]) -> None:
    """Files of every format, spoilt in every way, are read to rows that Postgres takes, or refused with reason."""
    with capsys.disabled():  # a hang is shown while it lasts
        tallies = tallied()
    faults = [fault for tally in tallies.values() for fault in tally.faults]
    assert not faults, f"{len(faults)} faults\n" + "\n".join(faults[:60])
