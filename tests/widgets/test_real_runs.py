"""ExecutionBrowser and Dashboard on runs that were really ingested."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

import workbench as wb


@pytest.mark.parametrize("folder", ["tau-bench", "tau2", "claude-code", "inspect", "otlp", "swe-agent", "openhands"])
def test_ingested_runs_have_their_numbers(bench: wb.Workbench, shared_data: Path, folder: str) -> None:
    """Every format's runs make both widgets; numbers are those of the frame and the code finds the rows."""
    bench.ingest(shared_data / folder, progress=False)
    runs, events = bench.executions(), bench.events()
    board = wb.Dashboard(runs, events)

    head = board.numbers["headline"]

    assert head["runs"] == runs.height > 0
    assert head["cost"]["unpriced"] == runs["cost_usd"].null_count()
    for name, found in head["tokens"].items():
        assert (found["sum"] or 0) == runs[name].sum()
        assert found["n"] == runs[name].count()
    assert head["duration"]["p95"] == runs["execution_time_ms"].quantile(0.95, "linear")
    times = board.numbers["time"]
    assert sum(times["untimed"].values()) == runs["started_at"].null_count()
    assert sum(map(sum, (times[o] for o in ("completed", "failed", "other")))) == runs["started_at"].count()
    bad = events.filter(pl.col("severity").is_in(["error", "critical"]))
    faults = board.numbers["faults"]
    assert sum(faults["counts"]) + faults["rest"] == bad.height
    browser = wb.ExecutionBrowser(runs, filters={"status": ["failed"]}, sort=["-execution_time_ms"])
    scope: dict = {"runs": runs}
    exec(browser.code, scope)
    assert scope["visible"].equals(browser.visible)
    assert browser.visible.height == (runs["status"] == "failed").sum()
