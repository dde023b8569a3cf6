"""How a Codex session ended, told from its last turn."""

from __future__ import annotations

from workbench.data.ingest.formats.codex_event import Line
from workbench.data.ingest.normal import Run

STARTS = {"task_started", "turn_started"}
ENDS = {"task_complete", "turn_complete", "turn_aborted"}


def judge(run: Run, own: list[Line]) -> None:
    """How the session ended, by its last turn: complete, aborted, with an error, or not at all."""
    for line in reversed(own):
        step = line.step
        if line.type == "turn_aborted":
            reason = step.text or "interrupted"
            run.status, run.error_type, run.error = "cancelled", reason, f"The turn was aborted: {reason}."
        elif step.error is not None and line.type in (*ENDS, "error"):
            message, kind = step.error.get("message"), step.error.get("type")
            run.status, run.error_type = "failed", str(kind)
            run.error = message if isinstance(message, str) else "The turn ended with an error."
        elif line.type in ("task_complete", "turn_complete"):
            # An error may be told of before the turn is called complete; then nothing was answered.
            if line.payload.get("last_agent_message") is None and (at := _error_before(own, line)) is not None:
                judge(run, [at])
        elif line.type in STARTS:
            run.status = "running"
        elif not (step.role == "assistant" or line.is_prompt):
            continue
        elif _is_open(own):
            run.status = "running"
        return


def _error_before(own: list[Line], end: Line) -> Line | None:
    """The error in the turn that ends with a line."""
    for line in reversed(own[: next(n for n, other in enumerate(own) if other is end)]):
        if line.type in STARTS or line.step.role == "assistant":
            return None
        if line.type == "error":
            return line
    return None


def _is_open(own: list[Line]) -> bool:
    """Whether the last turn that was started did not end."""
    marks = [line.type for line in own if line.type in STARTS or line.type in ENDS]
    return bool(marks) and marks[-1] in STARTS
