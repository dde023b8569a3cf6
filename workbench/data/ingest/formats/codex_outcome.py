"""How a Codex session ended, told from its last turn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from workbench.data.ingest.formats.codex_event import Line

STARTS = {"task_started", "turn_started"}
ENDS = {"task_complete", "turn_complete", "turn_aborted"}


@dataclass(slots=True, frozen=True)
class Verdict:
    """What a line says of how the session ended."""

    line: int
    status: Literal["running", "completed", "failed", "cancelled"]
    error_type: str | None = None
    error: str | None = None
    before: Verdict | None = None  # an error told of before the turn was called complete


def verdict_of(line: Line, n: int, error: Verdict | None) -> Verdict | None:
    """The verdict of the line of that number: complete, aborted, with an error, or begun; ``None`` where it has none.

    Parameters
    ----------
    error
        That of the last error before it.
    """
    step = line.step
    if line.type == "turn_aborted":
        reason = step.text or "interrupted"
        return Verdict(n, "cancelled", reason, f"The turn was aborted: {reason}.")
    if line.type == "message" and step.role == "system" and step.severity == "warning":
        return Verdict(n, "cancelled", "interrupted", step.text)
    if step.error is not None and line.type in (*ENDS, "error", "message"):
        return _failed(n, step.error)
    if line.type in ("task_complete", "turn_complete"):
        # An error may be told of before the turn is called complete; then nothing was answered.
        return Verdict(n, "completed", before=error if line.payload.get("last_agent_message") is None else None)
    return Verdict(n, "running") if line.type in STARTS else None


def error_of(line: Line, n: int) -> Verdict:
    """What a line that tells of an error makes of a turn that ends after it."""
    return Verdict(n, "completed") if line.step.error is None else _failed(n, line.step.error)


def _failed(n: int, error: Any) -> Verdict:
    message = error.get("message")
    told = message if isinstance(message, str) else "The turn ended with an error."
    return Verdict(n, "failed", str(error.get("type")), told)
