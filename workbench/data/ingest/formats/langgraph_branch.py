"""The checkpoints of one graph as a tree: which branch it stands on, how long its tasks took, and how it stands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from workbench.data.ingest.normal import Run, State, Step, Usage, total
from workbench.data.ingest.reading.times import elapsed_ms

_OFF = "is_off_branch"


@dataclass(slots=True)
class Point:
    """What is remembered of a checkpoint once its steps are made."""

    parent: str | None
    at: datetime | None
    is_waiting: bool = False  # tasks are still to be run from it
    steps: list[Step] = field(default_factory=list)
    is_off: bool = False  # marked as off the branch
    state: State | None = None  # numbered from the first of its steps
    said: list[tuple[Any, str]] = field(default_factory=list)  # messages that are new in it
    before: Any = None  # what the checkpoint before it in its graph left


@dataclass(slots=True)
class Told:
    """What checkpoints come to together, one after the other in the order of their making.

    Texts and the model are those of the branch that the newest stands on; the rest is of all.
    """

    n_steps: int = 0
    n_points: int = 0
    n_off: int = 0
    n_ends: int = 0  # that no other goes on from
    tip: str | None = None  # the last one on the branch
    usage: Usage | None = None
    first_at: datetime | None = None
    last_at: datetime | None = None
    asked: str | None = None  # the first text of the user
    answered: str | None = None  # the last text of the assistant
    model: str | None = None

    def add(self, checkpoint: str, point: Point, *, is_on: bool, is_end: bool) -> None:
        """Go on by one checkpoint."""
        self.n_steps += len(point.steps)
        self.n_points += 1
        self.n_off += not is_on
        self.n_ends += is_end
        self.usage = total([self.usage, *(step.usage for step in point.steps)])
        if point.at is not None:
            self.first_at = min(self.first_at or point.at, point.at)
            self.last_at = max(self.last_at or point.at, point.at)
        if is_on:
            self.tip = checkpoint
            for step in point.steps:
                self._say(step)

    def _say(self, step: Step) -> None:
        self.model = self.model or step.model
        if step.text and step.role == "user":
            self.asked = self.asked or step.text
        if step.text and step.role == "assistant":
            self.answered = step.text


def mark_branch(points: Mapping[str, Point], main: set[str]) -> None:
    """Mark the steps that are off the branch, and no others."""
    for checkpoint, point in points.items():
        is_off = checkpoint not in main
        if is_off == point.is_off:
            continue
        point.is_off = is_off
        for step in point.steps:
            extra = {name: value for name, value in (step.extra or {}).items() if name != _OFF}
            step.extra = {**extra, _OFF: True} if is_off else extra or None


def branch(points: Mapping[str, Point]) -> list[str]:
    """The newest checkpoint and those before it, back to the first; ids are in the order of their making."""
    found: dict[str, None] = {}
    at: str | None = max(points, default=None)
    while at is not None and at in points and at not in found:
        found[at] = None
        at = points[at].parent
    return [*found]


def ends(points: Mapping[str, Point]) -> set[str]:
    """The checkpoints that no other goes on from."""
    return set(points) - {point.parent for point in points.values()}


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
        for task in tasks:
            task.duration_ms = None
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
