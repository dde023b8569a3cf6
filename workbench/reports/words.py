"""Numbers and runs as people say them; loads nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def duration(ms: float | None) -> str:
    """Milliseconds as a person says them."""
    if ms is None:
        return "–"
    if ms < 1000:
        return f"{ms:.0f} ms"
    if ms < 60_000:
        return f"{ms / 1000:.1f} s"
    minutes, seconds = divmod(round(ms / 1000), 60)
    return f"{minutes // 60} h {minutes % 60:02d} min" if minutes >= 60 else f"{minutes} min {seconds:02d} s"


def run_label(run: Mapping[str, Any]) -> str:
    """A run's name and what tells it from the other runs of its task.

    Parameters
    ----------
    run
        A row of ``bench.executions()``.

    Returns
    -------
    str
        Name, agent, model, status, start and the first characters of the id; what is unknown is left out.
    """
    started = run["started_at"]
    parts = [
        run["name"] or run["source_id"],
        run["agent_type"],
        run["model"],
        run["status"],
        started and f"started {started:%Y-%m-%d %H:%M:%S} UTC",
        str(run["id"])[:8],
    ]
    return " · ".join(str(part) for part in parts if part)
