"""The report of an ingest, as text, as HTML and as the JSON that the shell prints."""

from __future__ import annotations

import json

from workbench.data.ingest.detect import Skipped
from workbench.data.ingest.normal import BadLine
from workbench.data.ingest.report import Counts, FileReport, IngestReport, Item

GOOD = FileReport(
    "runs/a.jsonl",
    "claude-code",
    executions=1,
    events=1200,
    snapshots=1100,
    new=Counts(1, 1200, 1100),
    kept=(Item("message", 700),),
    changed=(Item("time", 3, "has no zone in the source: taken as UTC"),),
    bad=tuple(BadLine(n, "not JSON") for n in range(1, 8)),
    n_bad=7,
)
EVIL = FileReport("<script>alert(1)</script>.json", error="<img src=x onerror=alert(1)> cannot be read.")
REPORT = IngestReport((GOOD, EVIL), (Skipped("notes<b>.md", "not agent history"),))


def test_text() -> None:
    """One line per file with its counts, then what was kept, changed and unreadable, cut after five lines."""
    assert str(REPORT).splitlines() == [
        "2 files: 1 execution · 1,200 events · 1,100 snapshots",
        "runs/a.jsonl [claude-code] new: 1 execution · 1,200 events · 1,100 snapshots",
        "  kept: 700 × message",
        "  changed: 3 × time (has no zone in the source: taken as UTC)",
        *[f"  bad: line {n}: not JSON" for n in range(1, 6)],
        "  bad: … and 2 more",
        "<script>alert(1)</script>.json: failed: <img src=x onerror=alert(1)> cannot be read.",
        "notes<b>.md: skipped: not agent history",
    ]
    assert repr(REPORT) == "IngestReport(files=2, executions=1, events=1200, snapshots=1100, bad=7)"


def test_html_is_escaped() -> None:
    """File names and reasons are foreign text: nothing of them becomes markup."""
    html = REPORT._repr_html_()

    assert "<script" not in html
    assert "<img" not in html
    assert "<b>" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;.json" in html
    assert html.partition("<details")[0].count("<tr>") == 3


def test_json_shape() -> None:
    """The shape that the shell's --json promises, and more beside it; all of it plain JSON."""
    shape = json.loads(json.dumps(REPORT.as_dict()))

    assert shape["totals"] == {"executions": 1, "events": 1200, "snapshots": 1100}
    first = shape["files"][0]
    assert {name: first[name] for name in ("path", "format", "executions", "events", "snapshots")} == {
        "path": "runs/a.jsonl", "format": "claude-code", "executions": 1, "events": 1200, "snapshots": 1100
    }  # fmt: skip
    assert first["bad"][0] == {"line": 1, "reason": "not JSON"}
    assert (shape["ok"], shape["skipped"]) == (False, [{"path": "notes<b>.md", "reason": "not agent history"}])


def test_outcomes() -> None:
    """One word says whether the store has more now than before, or that nothing of the file could be read."""
    held = {"executions": 1, "events": 3}

    assert [
        FileReport("x", error="e").outcome,
        FileReport("x", n_bad=1).outcome,
        FileReport("x").outcome,
        FileReport("x", **held, new=Counts(1, 3, 0)).outcome,
        FileReport("x", **held, new=Counts(0, 1, 0)).outcome,
        FileReport("x", **held, updated=1).outcome,
        FileReport("x", **held).outcome,
    ] == ["failed", "failed", "nothing found", "new", "extended", "extended", "already there"]


def test_ok_is_that_something_was_found_and_no_file_failed() -> None:
    """Bad lines are counted and are no failure; a file of which nothing could be read is one, and so is no file."""
    all_bad, empty = FileReport("x", n_bad=1), FileReport("x")

    assert GOOD.n_bad
    assert IngestReport((GOOD, empty)).ok
    assert [IngestReport(files).ok for files in [(), (GOOD, EVIL), (GOOD, all_bad)]] == [False, False, False]
    assert IngestReport((GOOD, all_bad)).n_bad == GOOD.n_bad + 1
