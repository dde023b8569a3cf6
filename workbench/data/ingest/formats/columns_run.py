"""The rows of one run of a table, gathered: put in order, summed up, judged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from workbench.data.ingest.normal import Run, Step, TaskRef, total
from workbench.data.ingest.reading.cells import real
from workbench.data.ingest.reading.chat import known, last_answer, title
from workbench.data.ingest.reading.source import Source

_STATUSES = {
    "completed": "completed", "complete": "completed", "success": "completed", "succeeded": "completed",
    "successful": "completed", "ok": "completed", "passed": "completed", "pass": "completed", "done": "completed",
    "finished": "completed", "true": "completed",
    "failed": "failed", "failure": "failed", "fail": "failed", "error": "failed", "errored": "failed",
    "false": "failed", "timeout": "failed", "crashed": "failed",
    "cancelled": "cancelled", "canceled": "cancelled", "aborted": "cancelled", "interrupted": "cancelled",
    "running": "running", "in_progress": "running", "started": "running",
    "pending": "pending", "queued": "pending",
}  # fmt: skip
_SORTED = "the rows of a run are not in the order of their times: stored in that order"
_REPEATED = "a row repeats the id of an earlier one of its run: both kept, the later under an id of its own"
_SAME = "a row says the same as an earlier one of its run: both kept"
_MISSING = "some rows that used tokens have no cost: the sum of the others is not taken for the run's"
_NO_STATUS = "no status that Workbench knows: the run is taken as completed, the word kept in metadata"
_NO_SCORE = "not a number: the run has no score, the cell kept in metadata"
_EARLIEST = datetime.min.replace(tzinfo=UTC)


class Gathered:
    """One run while its rows are read.

    Parameters
    ----------
    source_id
        The id it gets.
    value
        Its value in the column named for ``run``; ``None`` where there is none.
    """

    def __init__(self, source_id: str, value: str | None, source: Source, columns: Mapping[str, str]) -> None:
        self.source_id = source_id
        self.value = value
        self._source = source
        self._columns = columns
        self._steps: list[Step] = []
        self._places: list[datetime] = []
        self._at = self._latest = _EARLIEST
        self._is_sorted = True
        self._ids: dict[str, int] = {}
        self._told: dict[str, Any] = {}

    def add(self, step: Step, told: Mapping[str, Any]) -> None:
        """Take one row, with what it says of the run."""
        own = step.source_id or ""
        n = self._ids[own] = self._ids.get(own, 0) + 1
        if n > 1:
            self._source.changed("id", _REPEATED) if "id" in self._columns else self._source.kept("row", _SAME)
            step.source_id = f"{own}#{n}"
        if step.timestamp is not None:
            self._is_sorted = self._is_sorted and step.timestamp >= self._at
            self._at = step.timestamp
            if self._at < self._latest:
                step.mark = "out_of_order"
            self._latest = max(self._latest, self._at)
        self._steps.append(step)
        self._places.append(self._at)
        if told:
            self._told.update(told)

    @property
    def parent(self) -> str | None:
        """The value of the run that started this one."""
        return None if self._told.get("parent") is None else str(self._told["parent"])

    def run(self, parent_source_id: str | None) -> Run:
        """The run of all rows."""
        steps = self._in_order()
        lanes = [step.agent for step in steps if step.agent is not None and step.role != "user"]
        run = Run(
            self.source_id,
            agent_type=lanes[0] if lanes else "columns",
            parent_source_id=parent_source_id,
            metadata=known(run=self.value),
            steps=steps,
        )
        n_unpriced = sum_of(run, steps)
        if n_unpriced:
            self._source.changed("cost", _MISSING, n_unpriced)
        run.name = run.name or self.value
        self._judge(run)
        return run

    def _in_order(self) -> list[Step]:
        if self._is_sorted:
            return self._steps
        self._source.changed("order", _SORTED)
        places = sorted(range(len(self._steps)), key=self._places.__getitem__)  # stable: equal times stay as they are
        return [self._steps[place] for place in places]

    def _judge(self, run: Run) -> None:
        score, status, task = (self._told.get(name) for name in ("score", "status", "task"))
        if task is not None:
            run.task = TaskRef(str(task), str(task))
        if score is not None:
            run.score = _truth(score) if real(score) is None else real(score)
            if run.score is None:
                self._source.changed(self._columns["score"], _NO_SCORE)
                run.metadata["score"] = score
            elif run.score == 0:
                run.status = "failed"
        if status is not None:
            word = str(status)
            found = _STATUSES.get(word.strip().lower().replace(" ", "_"))
            if found is None:
                self._source.changed(self._columns["status"], _NO_STATUS)
            else:
                run.status = found  # pyright: ignore[reportAttributeAccessIssue]
            if found != word:
                run.metadata["status"] = status
        if run.status == "failed":
            failed = next((step.error for step in reversed(run.steps) if step.error is not None), None)
            run.error = None if failed is None else failed["message"]
            run.error_type = None if failed is None else failed["type"]


def sum_of(run: Run, steps: Sequence[Step]) -> int:
    """Set what the rows of a run say of it together; how many used tokens and have no cost where others have one."""
    asked = next((step.text for step in steps if step.role == "user" and step.text), None)
    times = [step.timestamp for step in steps if step.timestamp is not None]
    models = Counter(step.model for step in steps if step.model)
    costs = [step.cost_usd for step in steps if step.cost_usd is not None]
    n_unpriced = sum(step.cost_usd is None and step.usage is not None for step in steps)
    run.name = title(asked) or None
    run.model = models.most_common(1)[0][0] if models else None
    run.started_at, run.completed_at = min(times, default=None), max(times, default=None)
    run.input = {"prompt": asked} if asked else None
    run.output = last_answer(steps)
    run.usage = total(step.usage for step in steps)
    run.cost_usd = sum(costs) if costs and not n_unpriced else None
    run.metadata |= known(models=dict(models) if len(models) > 1 else None)
    return n_unpriced if costs else 0


def _truth(value: Any) -> float | None:
    """A grade that is a truth."""
    word = str(value).strip().lower()
    return (
        1.0 if word in ("true", "yes", "pass", "passed") else 0.0 if word in ("false", "no", "fail", "failed") else None
    )
