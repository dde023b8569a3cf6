"""Files spoilt at random, through the whole ingest into a real store: what it holds, read again, retried, taken back.

As many more as :mod:`test_fuzz` is told to read by ``WORKBENCH_FUZZ``: one in twenty of its files.
"""

from __future__ import annotations

import os
import random
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
from good_files import COLUMNS, good_files
from histories import KINDS, LINES
from mutations import spoilt, spoilt_line

import workbench
from workbench.data.ingest.batch import DEFECT
from workbench.data.ingest.report import MAX_BAD_LINES, FileReport, IngestReport

FILES = max(int(os.environ.get("WORKBENCH_FUZZ", "0")) // 20, 100)
SEED = int(os.environ.get("WORKBENCH_FUZZ_SEED", "1"))
_BATCH = 50
_LINES, _SPOILT, _ROUNDS = 20, 4, 3
_MAX_BYTES = 60_000  # of a good file: a hundred long ones cost minutes
_IDS = ("5e551000", "0af76519", "00000000-0000-4000-8000")  # the beginnings of all ids of runs and lines
_EMPTY = re.compile(
    rb'\{"resource(Spans|Logs|Metrics)": \[(\{"resource": .*, "scopeSpans": \[(\{"spans": \[\]\})?\]\})?\]\}'
)
_ROWS = ("agent_executions", "observability_events", "execution_snapshots")
_ALL = (*_ROWS, "tasks", "imports", "import_runs", "secrets", "quarantine")

_OF_ONE_FILE = """
WITH own AS (
  SELECT i.id, i.sha256, i.source FROM workbench.imports i JOIN workbench.import_runs r ON r.import_id = i.id
  GROUP BY 1 HAVING bool_and((SELECT count(*) = 1 FROM workbench.import_runs o WHERE o.execution_id = r.execution_id)))
SELECT own.sha256, own.source, count(DISTINCT r.execution_id),
  sum((SELECT count(*) FROM workbench.observability_events e WHERE e.execution_id = r.execution_id))::int,
  sum((SELECT count(*) FROM workbench.execution_snapshots s WHERE s.execution_id = r.execution_id))::int
FROM own JOIN workbench.import_runs r ON r.import_id = own.id GROUP BY own.id, 1, 2
"""


def n_rows(bench: workbench.Workbench, tables: tuple[str, ...] = _ROWS) -> dict[str, int]:
    with bench.store.raw() as connection:
        found = {name: connection.execute(f"SELECT count(*) FROM workbench.{name}").fetchone() for name in tables}  # type: ignore[arg-type]
    return {name: row[0] for name, row in found.items() if row is not None}


def one(bench: workbench.Workbench, query: str) -> Any:
    with bench.store.raw() as connection:
        return connection.execute(query).fetchall()  # type: ignore[arg-type]


def put_batches(folder: Path) -> list[Path]:
    """Spoilt files in folders, tables apart: their columns have to be named."""
    seeds = [seed for seed in good_files() if len(seed.data) < _MAX_BYTES]
    folders = []
    for number, file in enumerate(spoilt(seeds, FILES, seed=SEED + 1000)):
        kind = "tables" if file.seed.columns else "plain"
        where = folder / f"{kind}-{number // _BATCH}" / str(number)
        where.mkdir(parents=True)
        (where / file.seed.name).write_bytes(file.data)
        if where.parent not in folders:
            folders.append(where.parent)
    return folders


def read(bench: workbench.Workbench, folder: Path) -> IngestReport:
    return bench.ingest(folder, columns=COLUMNS if folder.name.startswith("tables") else None, progress=False)


def check_report(report: IngestReport, folder: Path) -> None:
    """Each file is stored, or failed or skipped with a reason, and none is both."""
    told = [file.path for file in report.files] + [skipped.path for skipped in report.skipped]
    assert sorted(told) == sorted(str(path) for path in folder.rglob("*") if path.is_file())
    assert all(skipped.reason for skipped in report.skipped)
    for file in report.files:
        assert file.error or file.executions or file.n_bad or file.outcome == "nothing found", file
        assert DEFECT not in (file.error or ""), file.error
        assert "the database refused" not in (file.error or ""), file.error
        assert all(bad.reason.strip() for bad in file.bad)
        assert FileReport.from_dict(file.as_dict()).outcome == file.outcome
    assert str(report)
    assert report._repr_html_()


def check_store(bench: workbench.Workbench) -> None:
    """No row hangs in the air, each state can be made again, each frame loads."""
    assert one(
        bench,
        "SELECT count(*) FROM workbench.execution_snapshots s LEFT JOIN workbench.execution_snapshots k"
        " ON (k.execution_id, k.step_number) = (s.execution_id, s.keyframe_step) WHERE k.id IS NULL",
    ) == [(0,)]
    for run, step in one(
        bench, "SELECT execution_id::text, max(step_number) FROM workbench.execution_snapshots GROUP BY 1"
    ):
        bench.state(run, step)
    for frame in ("executions", "events", "snapshots", "tasks", "imports", "quarantine", "costs"):
        assert isinstance(getattr(bench, frame)(), pl.DataFrame)
    assert isinstance(bench.secrets(), pl.DataFrame)


def test_spoilt_files_in_a_store(bench: workbench.Workbench, tmp_path: Path) -> None:
    """What the reports say is what the store holds; again and retried nothing comes to it; taken back, all is gone."""
    folders = put_batches(tmp_path)

    reports = []
    for folder in folders:
        reports.append(read(bench, folder))
        check_report(reports[-1], folder)
    held = n_rows(bench)
    check_counts(bench, reports)
    check_store(bench)
    check_quarantine(bench, reports)

    for folder in folders:
        check_report(read(bench, folder), folder)
    assert n_rows(bench) == held

    bench.retry()
    assert n_rows(bench) == held
    check_exports(bench)

    dice = random.Random(SEED)
    imports = bench.imports()["id"].to_list()
    dice.shuffle(imports)
    for number, own in enumerate(imports):
        bench.undo(own)
        if number % 20 == 0:
            check_store(bench)
    left = n_rows(bench, _ALL)
    assert {name: n for name, n in left.items() if n and name != "quarantine"} == {}


def check_counts(bench: workbench.Workbench, reports: list[IngestReport]) -> None:
    """The rows are those that the reports count; where several files hold a run, those that were new in each."""
    new = [report.new for report in reports]
    held = n_rows(bench)
    assert held["agent_executions"] == sum(counts.executions for counts in new)
    assert held["observability_events"] == sum(counts.events for counts in new)
    # States that are derived are derived anew when another file adds to a run: there may be fewer then.
    assert held["execution_snapshots"] <= sum(counts.snapshots for counts in new)
    counted = one(bench, _OF_ONE_FILE)
    told = {
        (file.sha256, file.format): (file.executions, file.events, file.snapshots)
        for report in reports
        for file in report.files
    }
    assert counted
    for sha256, format, *counts in counted:
        assert told[sha256, format] == tuple(counts), (sha256, format)


def check_quarantine(bench: workbench.Workbench, reports: list[IngestReport]) -> None:
    """As many bad lines of each import as its report names, up to the most that are kept."""
    kept = dict(one(bench, "SELECT sha256, count(*) FROM workbench.quarantine WHERE import_id IS NOT NULL GROUP BY 1"))
    told = {
        file.sha256: min(file.n_bad, MAX_BAD_LINES)
        for report in reports
        for file in report.files
        if file.error is None and file.n_bad and file.executions
    }
    assert kept == told
    failed = {
        file.sha256
        for report in reports
        for file in report.files
        if file.outcome == "failed" and "has no column" not in (file.error or "")  # wrong names are no damage
    }
    aside = {sha for (sha,) in one(bench, "SELECT sha256 FROM workbench.quarantine WHERE import_id IS NULL")}
    assert failed == aside


def check_exports(bench: workbench.Workbench) -> None:
    """Every kept original is the file; a trajectory can be made of each run."""
    for run, own, path in one(bench, "SELECT r.execution_id::text, i.id::text, i.path FROM workbench.import_runs r"
                              " JOIN workbench.imports i ON i.id = r.import_id ORDER BY 1, 2 LIMIT 60"):  # fmt: skip
        assert bench.export(run, redact=False, import_id=own) == Path(path).read_bytes()
        assert bench.export(run, format="atif")


# -- lines -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Touched:
    """A file of which some lines are spoilt."""

    tag: int
    lines: set[int]
    n_headers: int
    n_steps: int


def touched(kind: str, tag: int, dice: random.Random) -> tuple[Touched, bytes]:
    """A file with ids of its own, so that no other file brings what it lost, and a text of its own in each line."""
    lines = [
        line.replace(b"hello", f"mark-{tag}-{n}-".encode())
        for n, line in enumerate(KINDS[kind].make(_LINES).splitlines(), start=1)
    ]
    for start in _IDS:
        lines = [line.replace(start.encode(), f"{tag + 1:08x}{start[8:]}".encode()) for line in lines]
    chosen = set(dice.sample(range(1, _LINES + 1), _SPOILT))
    data = [spoilt_line(line, dice) if n in chosen else line for n, line in enumerate(lines, start=1)]
    steps = [b"mark-" in line for line in lines]
    n_empty = sum(kind == "otlp" and bool(_EMPTY.fullmatch(line)) for line in data)  # a request may hold nothing
    return Touched(tag, chosen, steps.count(False), sum(steps) - n_empty), b"\n".join(data) + b"\n"


def test_every_line_that_was_not_touched_is_in_the_store(bench: workbench.Workbench, tmp_path: Path) -> None:
    """Of a file with a few spoilt lines all others are stored, and of the spoilt ones each is a step or a bad line."""
    dice = random.Random(SEED)
    files: dict[str, Touched] = {}
    for tag, kind in enumerate(kind for kind in LINES for _ in range(_ROUNDS)):
        path = tmp_path / str(tag) / KINDS[kind].name
        path.parent.mkdir()
        files[str(path)], data = touched(kind, tag, dice)
        path.write_bytes(data)

    report = bench.ingest(tmp_path, progress=False)

    found = Counter(re.findall(r"mark-(\d+)-(\d+)-", " ".join(text for (text,) in one(
        bench, "SELECT data::text FROM workbench.observability_events"))))  # fmt: skip
    assert (report.skipped, sorted(file.path for file in report.files)) == ((), sorted(files))
    for file in report.files:
        made = files[file.path]
        bad = {each.line for each in file.bad}
        missing = {n for n in range(made.n_headers + 1, _LINES + 1) if not found[str(made.tag), str(n)]}
        assert missing <= made.lines, (file, missing)
        assert file.error is None, file
        assert bad <= made.lines, (file, made)
        assert file.events + len(bad) >= made.n_steps, (file, made)
