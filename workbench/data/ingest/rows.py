"""Runs of the normal form as rows of the store: ids, JSON documents, and values that the columns accept."""

from __future__ import annotations

import json
import math
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from workbench.data.ingest.derive import derived_states
from workbench.data.ingest.normal import Run, State, Step, TaskRef, Usage
from workbench.data.ingest.source import Source
from workbench.data.ingest.times import elapsed_ms
from workbench.data.store.snapshots import Encoder, SnapshotRow
from workbench.data.store.storable import Stored, pack, storable, storable_text
from workbench.data.store.tables import EXECUTION_STATUSES, SEVERITIES
from workbench.errors import PatchError

NAMESPACE = uuid.UUID("7d1cf0a6-5f0f-5c55-9a55-3f1f2a3b6c01")

EXECUTION_COLUMNS = (
    "id", "task_id", "agent_type", "name", "model", "status", "score", "started_at", "completed_at", "input", "output",
    "error", "error_type", "metadata", "trace_id", "execution_time_ms", "token_usage", "cost", "source", "source_id",
    "import_id", "cost_source", "reported",
)  # fmt: skip
EVENT_COLUMNS = (
    "id", "execution_id", "step_number", "event_type", "name", "agent", "category", "severity", "timestamp",
    "duration_ms", "trace_id", "span_id", "parent_span_id", "data", "raw", "mark",
)  # fmt: skip
SNAPSHOT_COLUMNS = (
    "id", "execution_id", "step_number", "timestamp", "state", "keyframe_step", "description", "checkpoint",
    "is_derived", "raw",
)  # fmt: skip
TASK_COLUMNS = ("id", "title", "description", "metadata", "source", "source_id", "import_id")

_TITLE_CHARS = 255  # tasks.title
_RAW = "stored in a form jsonb accepts; the whole is kept in raw"
_MAX_TOKENS = 2**53  # what JSON numbers hold exactly
_MAX_COST = 1e10  # agent_executions.cost is numeric(20, 10)


def execution_id(format: str, source_id: str) -> uuid.UUID:
    """The id of a run: the same for the same run of the same format, in every store."""
    return uuid.uuid5(NAMESPACE, f"{format}:{clean(source_id)}")


def event_id(execution: uuid.UUID, source_id: str) -> uuid.UUID:
    """The id of an event of a run, by its source's own id."""
    return uuid.uuid5(execution, clean(source_id))


def task_id(format: str, source_id: str) -> uuid.UUID:
    """The id of a task."""
    return uuid.uuid5(NAMESPACE, f"{format}:task:{clean(source_id)}")


def import_id(format: str, sha256: str, file_name: str) -> uuid.UUID:
    """The id of the import of one state of a file, wherever it lies; readers may take a hint from its name."""
    return uuid.uuid5(NAMESPACE, f"{format}:import:{sha256}:{clean(file_name)}")


def n_states(run: Run) -> int:
    """How many snapshots a run makes: one per step that has a state."""
    if run.states:
        return len({state.step_number for state in run.states})
    return sum(1 for _ in derived_states(run.steps))


def clean(text: str) -> str:
    """Text without lone surrogates: a file name may hold any bytes, an id any escape."""
    return text.encode("utf-8", "replace").decode()


def event_ids(execution: uuid.UUID, run: Run, *, first: int = 0) -> tuple[list[uuid.UUID], int]:
    """The ids of a run's events in order, from the ``first`` step's number on, and how many had to be made unique."""
    ids: dict[uuid.UUID, None] = {}
    n_repeated = 0
    for number, step in enumerate(run.steps, first):
        own = str(number) if step.source_id is None else clean(step.source_id)
        event = uuid.uuid5(execution, own)
        repeats = 1
        while event in ids:
            repeats += 1
            event = uuid.uuid5(execution, f"{own}#{repeats}")
        n_repeated += repeats > 1
        ids[event] = None
    return list(ids), n_repeated


class RowMaker:
    """Makes the rows of one file's runs and counts what had to change on the way.

    Parameters
    ----------
    format
        Name of the format, stored as ``source``.
    source
        Takes the notes about changes.
    """

    def __init__(self, format: str, source: Source, import_id: uuid.UUID | None) -> None:
        self.format = format
        self.source = source
        self.import_id = import_id
        self.kept: Counter[str] = Counter()

    def id_of(self, run: Run) -> uuid.UUID:
        """The run's id."""
        return execution_id(self.format, run.source_id)

    def count(self, run: Run) -> None:
        """Count what of a run is kept, by kind."""
        kept = self.kept
        kept.update(step.event_type for step in run.steps)
        kept["runs with tokens"] += run.usage is not None
        kept["runs with cost"] += run.cost_usd is not None
        kept["runs with score"] += run.score is not None
        kept["runs with times"] += run.started_at is not None

    def task(self, task: TaskRef) -> tuple[Any, ...]:
        """One row of ``tasks``, in the order of ``TASK_COLUMNS``."""
        title = storable_text(task.title) or task.source_id
        if len(title) > _TITLE_CHARS:
            title = title[: _TITLE_CHARS - 1] + "…"
        return (
            task_id(self.format, task.source_id),
            title,
            storable_text(task.description),
            self._json(dict(task.metadata)).text,
            self.format,
            storable_text(task.source_id),
            self.import_id,
        )

    def execution(self, run: Run) -> tuple[Any, ...]:
        """One row of ``agent_executions``, in the order of ``EXECUTION_COLUMNS``."""
        completed_at = run.completed_at
        if completed_at and run.started_at and completed_at < run.started_at:
            self.source.changed("time", "the run ends before it starts: its end stored as null")
            completed_at = None
        lasted = self._positive(run.execution_time_ms, "duration")
        if lasted is None:
            lasted = elapsed_ms(run.started_at, completed_at)
        metadata = dict(run.metadata)
        if run.parent_source_id is not None:
            metadata["parent_source_id"] = run.parent_source_id
        if run.spawned_by is not None:
            metadata["spawned_by"] = run.spawned_by
        if run.parent_source_id is not None or run.spawned_by is not None:
            metadata["link"] = run.link or "spawned"
        if run.spawns:
            metadata["spawns"] = dict(run.spawns)
        usage, cost = self._usage(run.usage), self._cost(run.cost_usd)
        return (
            self.id_of(run),
            task_id(self.format, run.task.source_id) if run.task else None,
            _label(run.agent_type) or self.format,
            _label(run.name),
            _label(run.model),
            run.status if run.status in EXECUTION_STATUSES else "completed",
            _finite(run.score),
            run.started_at,
            completed_at,
            None if run.input is None else self._json(run.input).text,
            None if run.output is None else self._json(run.output).text,
            storable_text(run.error),
            _label(run.error_type),
            self._json(metadata).text,
            _label(run.trace_id),
            lasted,
            None if not usage else self._json(usage).text,
            cost,
            self.format,
            storable_text(run.source_id),
            self.import_id,
            None if cost is None else "source",
            self.reported(run),
        )

    def _usage(self, given: Usage | None) -> dict[str, int] | None:
        usage = given.as_dict() if given else {}
        for name in [name for name, n in usage.items() if not 0 <= n < _MAX_TOKENS]:
            self.source.changed("tokens", "a number of tokens that cannot be: stored as null in the run")
            del usage[name]
        return usage or None

    def reported(self, run: Run) -> str | None:
        """What the source itself gives as the run's totals, as JSON; ``None`` where it gives none."""
        told = {"usage": self._usage(run.reported_usage), "cost_usd": self._cost(run.reported_cost_usd)}
        told = {name: value for name, value in told.items() if value is not None}
        return self._json(told).text if told else None

    def events(self, run: Run, *, first: int = 0) -> Iterator[tuple[Any, ...]]:
        """The rows of ``observability_events`` of a run, in the order of ``EVENT_COLUMNS``; ``first`` step's number."""
        execution = self.id_of(run)
        lane = _label(run.agent_type) or self.format
        ids, n_repeated = event_ids(execution, run, first=first)
        if n_repeated:
            why = "repeated in the source: the later event has an id of its own"
            self.source.changed("event id", why, n_repeated)
        for number, (event, step) in enumerate(zip(ids, run.steps, strict=True), first):
            data, raw = self._data(step)
            yield (
                event,
                execution,
                number,
                step.event_type,
                _label(step.name),
                _label(step.agent) or lane,
                _label(step.category),
                step.severity if step.severity in SEVERITIES else "info",
                step.timestamp,
                self._positive(step.duration_ms, "duration"),
                _label(step.trace_id),
                _label(step.span_id),
                _label(step.parent_span_id),
                data,
                raw,
                step.mark,
            )

    def _data(self, step: Step) -> tuple[str, bytes | None]:
        data: dict[str, Any] = {}
        for name in ("role", "text", "tool", "model", "error", "extra"):
            value = getattr(step, name)
            if value is not None:
                data[name] = value
        if step.tool_calls:
            data["tool_calls"] = step.tool_calls
        if step.usage is not None:
            data["usage"] = step.usage.as_dict()
        cost = self._cost(step.cost_usd)
        if cost is not None:
            data["cost_usd"] = cost
        stored = self._json(data)
        if step.raw is not None:
            return stored.text, pack(step.raw)
        return stored.text, pack(_escaped(data)) if stored.changed else None

    def snapshots(self, run: Run) -> Iterator[tuple[Any, ...]]:
        """The rows of ``execution_snapshots`` of a run, in the order of ``SNAPSHOT_COLUMNS``.

        The states that the source recorded, or else the states derived from the conversation.
        """
        states = sorted(run.states, key=_step_number) if run.states else derived_states(run.steps)
        yield from self._snapshots(self.id_of(run), states, is_derived=not run.states)

    def _snapshots(
        self, execution: uuid.UUID, states: Iterable[State], *, is_derived: bool
    ) -> Iterator[tuple[Any, ...]]:
        told: dict[int, State] = {}
        raws: dict[int, list[bytes]] = {}
        current = State(-1)
        open_step = -1

        def dumps(value: Any) -> str:
            stored = storable(value, finite=self.source.is_strict)
            # What a derived state had to change was changed, counted and kept in its event.
            if stored.changed and not is_derived:
                is_current = value is current.document and value is not None
                raws.setdefault(current.step_number if is_current else open_step, []).append(_escaped(value))
                self._changes(stored.changed)
            return stored.text

        def rows(ready: list[SnapshotRow]) -> Iterator[tuple[Any, ...]]:
            for row in ready:
                state, raw = told.pop(row.step_number), raws.pop(row.step_number, None)
                yield (
                    uuid.uuid5(execution, f"state:{row.step_number}"),
                    execution,
                    row.step_number,
                    state.timestamp,
                    row.state.decode(),
                    row.keyframe_step,
                    storable_text(state.description),
                    state.checkpoint,
                    is_derived,
                    pack(b"\n".join(raw)) if raw else None,
                )

        encoder = Encoder(dumps=dumps)
        for state in states:
            current = state
            try:
                encoder.add(state.step_number, document=state.document, patch=state.patch)
            except PatchError as error:
                self.source.lost("state", f"a recorded change does not apply to the state before it: {error}")
                continue
            open_step = state.step_number
            _merge(told, state)
            yield from rows(encoder.take())
        yield from rows(encoder.finish())

    def _json(self, value: Any) -> Stored:
        stored = storable(value, finite=self.source.is_strict)
        self._changes(stored.changed)
        return stored

    def _changes(self, changed: tuple[str, ...]) -> None:
        for change in changed:
            self.source.changed(change, _RAW)

    def _positive(self, value: float | None, what: str) -> float | None:
        if value is None:
            return None
        if not math.isfinite(value) or value < 0:
            self.source.changed(what, "negative or not a number in the source: stored as null")
            return None
        return float(value)

    def _cost(self, value: float | None) -> float | None:
        cost = self._positive(value, "cost")
        return cost if cost is None or cost < _MAX_COST else None


def _step_number(state: State) -> int:
    return state.step_number


def _merge(told: dict[int, State], state: State) -> None:
    """What is said of a step's state apart from the state itself; several states of one step become one row."""
    before = told.get(state.step_number)
    told[state.step_number] = State(
        state.step_number,
        timestamp=state.timestamp or (before.timestamp if before else None),
        description=state.description or (before.description if before else None),
        checkpoint=state.checkpoint or bool(before and before.checkpoint),
    )


def _label(value: Any) -> str | None:
    """A short text for a column of its own."""
    if value is None or value == "":
        return None
    return storable_text(value if isinstance(value, str) else str(value), limit=10_000)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _escaped(value: Any) -> bytes:
    """The value as ASCII JSON, which can say what jsonb cannot: NUL, lone surrogates, NaN, any length."""
    try:
        return json.dumps(value, default=str).encode()
    except (RecursionError, ValueError):  # deeper than json writes, or an integer longer than Python prints
        return storable(value, limit=2**62).text.encode()
