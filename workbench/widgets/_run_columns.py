"""How the columns of a run table are headed and scaled: label, unit, width and the digits that fit the set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import polars as pl

from ..errors import ConfigurationError
from ._table import kind


@dataclass(frozen=True, slots=True)
class _Heading:
    label: str
    width: int
    unit: str = ""


_HEADINGS = {
    "status": _Heading("Status", 112),
    "name": _Heading("Run", 150),
    "agent_type": _Heading("Agent", 160),
    "model": _Heading("Model", 130),
    "task": _Heading("Task", 200),
    "score": _Heading("Score", 84),
    "started_at": _Heading("Started", 196, "UTC"),
    "completed_at": _Heading("Ended", 196, "UTC"),
    "created_at": _Heading("Written", 196, "UTC"),
    "execution_time_ms": _Heading("Duration", 108, "ms"),
    "n_events": _Heading("Events", 92),
    "n_errors": _Heading("Errors", 84),
    "n_snapshots": _Heading("States", 84),
    "input_tokens": _Heading("Input", 116, "tokens"),
    "cache_read_tokens": _Heading("Cache read", 146, "tokens"),
    "cache_write_tokens": _Heading("Cache write", 146, "tokens"),
    "output_tokens": _Heading("Output", 124, "tokens"),
    "reasoning_tokens": _Heading("Reasoning", 146, "tokens"),
    "cost_usd": _Heading("Cost", 96, "USD"),
    "error_type": _Heading("Failure", 130),
    "error": _Heading("Error", 240),
    "source": _Heading("Source", 96),
    "source_id": _Heading("Source id", 160),
    "id": _Heading("Id", 280),
    "task_id": _Heading("Task id", 280),
    "parent_execution_id": _Heading("Started by", 280),
    "trace_id": _Heading("Trace", 280),
}
# Shown at first; the chooser has the rest.
SHOWN = (
    *("status", "agent_type", "task", "name", "started_at", "execution_time_ms", "cost_usd"),
    *("n_events", "input_tokens", "output_tokens", "score", "error_type", "model"),
)
REQUIRED = {"id": "text", "status": "text", "agent_type": "text"}
_EXPECTED = {"started_at": "time", "execution_time_ms": "number", "cost_usd": "number", "input_tokens": "number"}


def check_runs(runs: Any, widget: str) -> pl.DataFrame:
    """The frame, or a clear error about what it is not.

    Raises
    ------
    ConfigurationError
        Not a Polars frame, a column missing or of the wrong kind.
    """
    if isinstance(runs, pl.LazyFrame):
        runs = runs.collect()
    if not isinstance(runs, pl.DataFrame):
        raise ConfigurationError(
            f"{widget}() takes a polars.DataFrame of executions, not {type(runs).__name__}. "
            "Get one with bench.executions()."
        )
    missing = [name for name in REQUIRED if name not in runs.columns]
    if missing:
        raise ConfigurationError(
            f"{widget}() needs the column{'s' if len(missing) > 1 else ''} {', '.join(missing)}; the frame has "
            f"{', '.join(runs.columns) or 'none'}. Get a whole frame with bench.executions().",
            missing=missing,
        )
    for name, what in {**REQUIRED, **_EXPECTED}.items():
        if name in runs.columns and runs.schema[name] != pl.Null and kind(runs.schema[name]) != what:
            raise ConfigurationError(
                f"{widget}() needs {name} as {what}; in this frame it is {runs.schema[name]}.",
                column=name,
                expected=what,
            )
    return runs


def describe(runs: pl.DataFrame, scales: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """One entry per column: name, label, unit, kind, width in px, and for numbers the divisor and digits."""
    named = [name for name in _HEADINGS if name in runs.columns]
    return [_describe(name, runs, scales.get(name)) for name in [*named, *(n for n in runs.columns if n not in named)]]


def _describe(name: str, runs: pl.DataFrame, scale: dict[str, Any] | None) -> dict[str, Any]:
    heading = _HEADINGS.get(name, _Heading(name, 130))
    what = "status" if name == "status" else kind(runs.schema[name])
    entry = {"name": name, "label": heading.label, "unit": heading.unit, "kind": what, "width": heading.width}
    if what != "number":
        return entry
    median = abs(scale["median"] or scale["high"]) if scale else 0.0
    divide, unit, digits = 1.0, heading.unit, 0
    if name == "execution_time_ms":
        divide, unit, digits = _duration_unit(median)
    elif name == "cost_usd":
        digits = 5 if median < 0.001 else 4 if median < 0.1 else 3 if median < 1 else 2
    elif not runs.schema[name].is_integer():
        digits = 2
    return {**entry, "unit": unit, "divide": divide, "digits": digits}


def _duration_unit(median_ms: float) -> tuple[float, str, int]:
    if median_ms < 10:
        return 1.0, "ms", 2
    if median_ms < 1_000:
        return 1.0, "ms", 0
    if median_ms < 120_000:
        return 1_000.0, "s", 2 if median_ms < 10_000 else 1
    if median_ms < 7_200_000:
        return 60_000.0, "min", 1
    return 3_600_000.0, "h", 1


def number(value: Any, column: dict[str, Any]) -> str:
    """A cell's number in its column's unit; null is a dash, a cost that is null "unpriced"."""
    if value is None or value != value:
        return "unpriced" if column["name"] == "cost_usd" else "–"
    return f"{value / column['divide']:,.{column['digits']}f}"
