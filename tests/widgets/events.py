"""Event frames for the tests of the timeline: small runs with odd things in them, and large ones of numbers."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl

START = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)
SCHEMA = {
    "id": pl.String,
    "execution_id": pl.String,
    "step_number": pl.Int64,
    "event_type": pl.String,
    "name": pl.String,
    "agent": pl.String,
    "category": pl.String,
    "severity": pl.String,
    "timestamp": pl.Datetime("us", "UTC"),
    "duration_ms": pl.Float64,
    "span_id": pl.String,
    "parent_span_id": pl.String,
    "mark": pl.String,
    "data": pl.String,
}


def event(step: int, at_ms: float | None, duration_ms: float | None = None, **more: Any) -> dict[str, Any]:
    """One row; ``at_ms`` after ``START``."""
    data = more.pop("data", {"text": f"step {step}"})
    return {
        "id": f"ev-{step}",
        "execution_id": "run-1",
        "step_number": step,
        "event_type": "message",
        "name": f"name {step}",
        "agent": "planner",
        "category": None,
        "severity": "info",
        "timestamp": None if at_ms is None else START + timedelta(milliseconds=at_ms),
        "duration_ms": duration_ms,
        "span_id": None,
        "parent_span_id": None,
        "mark": None,
        "data": data if isinstance(data, str) or data is None else json.dumps(data),
        **more,
    }


def frame(*rows: dict[str, Any]) -> pl.DataFrame:
    """Rows as an events frame."""
    return pl.DataFrame(list(rows), schema=SCHEMA)


def run(n: int = 60) -> pl.DataFrame:
    """A run of ``n`` events, 100 ms apart, under one root span: three agents, some warnings and errors."""
    kinds = ("llm_call", "tool_call", "tool_result", "message", "reasoning")
    names = {"llm_call": "gpt", "tool_call": "search_flights", "tool_result": "search_flights", "message": "assistant"}
    rows = [event(0, 0, n * 100.0, event_type="span", name="task 7", span_id="s0", agent="planner")]
    for i in range(1, n):
        kind = kinds[i % 5]
        rows.append(
            event(
                i,
                i * 100,
                None if kind in ("message", "tool_result") else 40.0 + 30 * (i % 4),
                event_type=kind,
                name=names.get(kind, "thought"),
                agent=("planner", "booker", "critic")[(i // 7) % 3],
                severity="error" if i % 17 == 0 else "warning" if i % 13 == 0 else "info",
                span_id=f"s{i}",
                parent_span_id="s0",
                data={
                    "role": "assistant",
                    "text": f"looking for flight {i}",
                    "tool": {"name": "x", "arguments": {"n": i}},
                },
            )
        )
    return frame(*rows)


def many(n: int, seed: int = 0, spread: str = "even") -> pl.DataFrame:
    """``n`` events without data, over a day: evenly, or in two bursts ("bursts")."""
    rng = np.random.default_rng(seed)
    day = 86_400_000_000
    at = (
        rng.integers(0, day, n)
        if spread == "even"
        else np.concatenate([rng.integers(0, day // 1_000, n // 2), day - rng.integers(0, day // 1_000, n - n // 2)])
    )
    severity = pl.Series(rng.choice(4, n, p=[0.05, 0.85, 0.06, 0.04]))
    return pl.DataFrame(
        {
            "step_number": np.arange(n),
            "timestamp": pl.Series(np.sort(at) + int(START.timestamp() * 1e6)).cast(pl.Datetime("us", "UTC")),
            "event_type": pl.Series(rng.integers(0, 6, n)).replace_strict(list(range(6)), list("abcdef")),
            "agent": pl.Series(rng.integers(0, 5, n)).replace_strict(list(range(5)), ["p", "q", "r", "s", "t"]),
            "severity": severity.replace_strict([0, 1, 2, 3], ["debug", "info", "warning", "error"]),
            "duration_ms": rng.exponential(50, n),
        }
    )
