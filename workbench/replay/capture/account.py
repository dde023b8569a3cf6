"""What there is to say of a run that is being captured: :class:`Account`."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

from workbench.data.ingest.normal import Run, Usage
from workbench.replay.capture.fields import MAX_COST, number_of, positive, text_of
from workbench.replay.capture.spool import framed
from workbench.replay.capture.writing import RUN, SOURCE, RunRows

SUM: Any = object()  # "the sum of the events' costs", which None (unpriced) is not


class Account:
    """The row of a run as it is now: what it is, what it has used so far, how it ended, what of it could not be kept.

    Its recording sees to it that one thread at a time is in it.

    Attributes
    ----------
    n_events
        Number of the step that comes next.
    first
        Number of the first step that is recorded: 0, but for a run that goes on behind the steps of another.
    n_states
        Steps that a state was recorded of.
    n_dropped
        Events and states that could not be kept.
    is_finished
        The agent has said how it ended.
    is_over
        It has ended.
    is_told
        The spool has it as it is now.
    """

    def __init__(self, run: Run, execution: uuid.UUID) -> None:
        self.run = run
        self.be(execution)
        self.lane = self._rows.lane(run)
        self.parent: uuid.UUID | None = None
        self.parent_step: int | None = None
        self.first = self.n_events = self.n_states = self.n_dropped = 0
        self.is_finished = self.is_over = False
        self.is_told = True
        self._usage: dict[str, int] = {}
        self._spent: float | None = None
        self._cost_usd: Any = SUM
        self._clock = 0.0

    def be(self, execution: uuid.UUID) -> None:
        """Tell of this execution."""
        self.id = execution
        self.key = str(execution).encode()
        self.run.source_id, self.run.trace_id = str(execution), execution.hex
        self._rows = RunRows(execution)

    def begin(self) -> None:
        """The run begins."""
        self._clock = time.perf_counter()
        self.run.started_at = datetime.now(UTC)
        if self.parent is not None:
            self.run.parent_source_id = str(self.parent)
            self.run.spawned_by = None if self.parent_step is None else str(self.parent_step)
        self.is_told = False

    def count(self, usage: Mapping[str, int] | None, cost: float | None) -> None:
        """Add what an event has used."""
        for name, n in (usage or {}).items():
            self._usage[name] = self._usage.get(name, 0) + n
        if cost is not None:
            self._spent = (self._spent or 0.0) + cost
        self.is_told = False

    def drop(self) -> None:
        """Something could not be kept."""
        self.n_dropped += 1
        self.is_told = False

    def finish(
        self, *, status: str | None, output: Any, score: Any, error: Any, error_type: Any, cost_usd: Any
    ) -> None:
        """Take how it ended, as the agent says; texts and output as plain data."""
        run = self.run
        run.status = status or ("failed" if error else "completed")  # pyright: ignore[reportAttributeAccessIssue]
        run.output, run.score = output, number_of(score)
        run.error, run.error_type = text_of(error), text_of(error_type)
        self._cost_usd = cost_usd if cost_usd is SUM else positive(cost_usd, MAX_COST)
        self.is_finished = True

    def close(self) -> None:
        """The run ends."""
        run = self.run
        run.status = "completed" if run.status == "running" else run.status
        run.execution_time_ms = round((time.perf_counter() - self._clock) * 1000, 3)
        run.completed_at = max(datetime.now(UTC), run.started_at or datetime.now(UTC))
        self.is_over, self.is_told = True, False

    def record(self) -> bytes:
        """All this, as the spool takes it."""
        run = self.run
        run.usage = Usage(**self._usage) if self._usage else None
        run.cost_usd = self._spent if self._cost_usd is SUM else self._cost_usd
        if self.n_dropped:
            run.metadata["capture"] = {"n_dropped": self.n_dropped}
        task = None
        if run.task is not None:
            row = self._rows.task(run.task)
            task = [row[0], row[1], SOURCE, row[5]]
        parent = None if self.parent is None else str(self.parent)
        told = [
            [*self._rows.execution(run)], task, parent, self.parent_step, self.is_over, self.n_events - self.first,
            self.n_states,
        ]  # fmt: skip
        return framed(RUN, self.key, orjson.dumps(told))
