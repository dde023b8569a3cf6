"""The checkpoints of one graph as a tree: which branch it stands on, how long its tasks took, and how it stands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from workbench.data.ingest.normal import Run, Step
from workbench.data.ingest.reading.times import elapsed_ms


@dataclass(slots=True)
class Point:
    """What is remembered of a checkpoint once its steps are made."""

    parent: str | None
    at: datetime | None
    is_waiting: bool = False  # tasks are still to be run from it
    steps: list[Step] = field(default_factory=list)


def branch(points: Mapping[str, Point]) -> set[str]:
    """The newest checkpoint and those before it; their ids are in the order of their making."""
    found: set[str] = set()
    at: str | None = max(points, default=None)
    while at is not None and at in points and at not in found:
        found.add(at)
        at = points[at].parent
    return found


def n_branches(points: Mapping[str, Point]) -> int | None:
    """How many checkpoints no other goes on from; ``None`` for one."""
    inner = {point.parent for point in points.values()}
    n = sum(1 for checkpoint in points if checkpoint not in inner)
    return n if n > 1 else None


def set_durations(points: Mapping[str, Point]) -> None:
    """A task that ran alone, and was not waited for, took the time to the next checkpoint."""
    after: dict[str, list[Point]] = {}
    for point in points.values():
        if point.parent is not None:
            after.setdefault(point.parent, []).append(point)
    for checkpoint, point in points.items():
        tasks = [step for step in point.steps if step.category == "task"]
        is_paused = any(step.category in ("interrupt", "resume") for step in point.steps)
        next_points = after.get(checkpoint, [])
        if len(tasks) == 1 and len(next_points) == 1 and not is_paused:
            tasks[0].duration_ms = elapsed_ms(point.at, next_points[0].at)


def judge(run: Run, newest: Point) -> None:
    """How the thread stands: what the tasks of its newest checkpoint came to."""
    failed = next((step for step in newest.steps if step.error is not None and step.category == "task"), None)
    asked = {step.parent_span_id for step in newest.steps if step.category == "interrupt"}
    answered = {step.parent_span_id for step in newest.steps if step.category == "resume"}
    if failed is not None:
        said = failed.error or {}
        run.status, run.error_type, run.error = "failed", said.get("type"), said.get("message")
    elif asked - answered:
        run.status = "pending"  # it waits for an answer
    elif newest.is_waiting:
        run.status = "running"
