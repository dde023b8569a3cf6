"""Runs of the normal form as rows of the store: ids, JSON documents, and values that the columns accept."""

from __future__ import annotations

import copy
import json
import math
import uuid
from collections import Counter
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import uuid_utils

from workbench.data.ingest.ids import clean, execution_id, key, task_id
from workbench.data.ingest.normal import Run, State, Step, Steps, TaskRef, Usage
from workbench.data.ingest.reading.source import Source
from workbench.data.ingest.reading.times import elapsed_ms
from workbench.data.ingest.writing.derive import Deriver, derived_states
from workbench.data.ingest.writing.fidelity import Fidelity
from workbench.data.store.snapshots import Encoder, SnapshotRow
from workbench.data.store.storable import Stored, pack, storable, storable_text
from workbench.data.store.tables import EXECUTION_STATUSES, SEVERITIES
from workbench.errors import PatchError

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

_DATA, _STATE = EVENT_COLUMNS.index("data"), SNAPSHOT_COLUMNS.index("state")
_CHUNK_ROWS = 5_000
_CHUNK_CHARS = 4_000_000

_MARKED = {
    "orphaned": "orphaned steps, placed by their time",
    "unfinished": "unfinished steps",
    "out_of_order": "steps written out of order, placed by their time",
}
_TITLE_CHARS = 255  # tasks.title
_RAW = "stored in a form jsonb accepts; the whole is kept in raw"
_MAX_TOKENS = 2**53  # what JSON numbers hold exactly
_MAX_COST = 1e10  # agent_executions.cost is numeric(20, 10)


def n_states(run: Run) -> int:
    """How many snapshots a run makes: one per step that has a state."""
    if run.states:
        return len({state.step_number for state in run.states})
    return sum(1 for _ in derived_states(run.steps))


def event_ids(execution: uuid.UUID, run: Run, *, first: int = 0) -> tuple[list[str], int]:
    """The ids of a run's events in order, from the ``first`` step's number on, and how many had to be made unique."""
    ids = _EventIds(execution, run)
    return [ids.of(number, step) for number, step in enumerate(run.steps, first)], ids.n_repeated


class _EventIds:
    """Makes the ids of one run's events, each different, as text."""

    def __init__(self, execution: uuid.UUID, run: Run, taken: Container[str] = ()) -> None:
        self._namespace = uuid_utils.UUID(bytes=execution.bytes)
        # Steps that are made anew have ids of their own: remembering them all is what they are meant to save.
        self._seen: set[str] | None = None if isinstance(run.steps, Steps) else set()
        self._taken = taken
        self.n_repeated = 0

    def of(self, number: int, step: Step) -> str:
        own = str(number) if step.source_id is None else clean(step.source_id)
        event = str(uuid_utils.uuid5(self._namespace, own))
        if self._seen is None:
            return event
        repeats = 1
        while event in self._seen or event in self._taken:
            repeats += 1
            event = str(uuid_utils.uuid5(self._namespace, f"{own}#{repeats}"))
        self.n_repeated += repeats > 1
        self._seen.add(event)
        return event


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
        self.fidelity = Fidelity()

    def id_of(self, run: Run) -> uuid.UUID:
        """The run's id."""
        return execution_id(self.format, run.source_id)

    def count(self, run: Run) -> None:
        """Count what of a run is kept, by kind, besides its steps."""
        self.fidelity.run(run)
        kept = self.kept
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
            self._key(task.source_id),
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
            metadata["parent_source_id"] = key(run.parent_source_id)
        if run.spawned_by is not None:
            metadata["spawned_by"] = run.spawned_by
        if run.parent_source_id is not None or run.spawned_by is not None:
            metadata["link"] = run.link or "spawned"
        if run.spawns:
            metadata["spawns"] = {key(child): step for child, step in run.spawns.items()}
        if run.linked_files:
            metadata["linked_files"] = {path: told.as_dict() for path, told in run.linked_files.items()}
        usage, cost = self._usage(run.usage), self._cost(run.cost_usd)
        return (
            self.id_of(run),
            task_id(self.format, run.task.source_id) if run.task else None,
            self._key_label(run.agent_type) or self.format,
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
            self._key_label(run.trace_id),
            lasted,
            None if not usage else self._json(usage).text,
            cost,
            self.format,
            self._key(run.source_id),
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

    def count_steps(self, run: Run) -> None:
        """Count the steps of a run that are kept, by kind."""
        for step in run.steps:
            self._count_step(step)

    def _count_step(self, step: Step) -> None:
        self.kept[step.event_type] += 1
        if step.mark is not None:
            self.kept[_MARKED[step.mark]] += 1
        self.fidelity.step(step)

    def chunks(self, runs: Iterable[Run]) -> Iterator[Chunk]:
        """The events and states of some runs, a piece at a time; their steps are walked once, and counted."""
        chunk = Chunk()
        for run in runs:
            snapshots = None if run.states else SnapshotRows(self, self.id_of(run), is_derived=True)
            deriver = Deriver()
            for number, (step, row) in enumerate(self._stepped(run, 0)):
                self._count_step(step)
                chunk.add_event(row)
                state = None if snapshots is None else deriver.state(number, step)
                if snapshots is not None and state is not None:
                    snapshots.add(state)
                    for whole in snapshots.take():
                        chunk.add_snapshot(whole)
                if chunk.is_full:
                    yield chunk
                    chunk = Chunk()
            for row in self.snapshots(run) if snapshots is None else snapshots.finish():
                chunk.add_snapshot(row)
                if chunk.is_full:
                    yield chunk
                    chunk = Chunk()
        yield chunk

    def events(self, run: Run, *, first: int = 0, taken: Container[str] = ()) -> Iterator[tuple[Any, ...]]:
        """The rows of ``observability_events`` of a run, in the order of ``EVENT_COLUMNS``.

        Parameters
        ----------
        first
            The number of the first of its steps: those before it are not given.
        taken
            The ids of those before it.
        """
        for _, row in self._stepped(run, first, taken):
            yield row

    def _stepped(self, run: Run, first: int, taken: Container[str] = ()) -> Iterator[tuple[Step, tuple[Any, ...]]]:
        """Each step of a run with its row."""
        execution = self.id_of(run)
        ids = _EventIds(execution, run, taken)
        execution_text = str(execution)
        lane = self.lane(run)
        for number, step in enumerate(run.steps, first):
            data, raw = self._data(step)
            yield (
                step,
                (
                    ids.of(number, step),
                    execution_text,
                    number,
                    step.event_type,
                    _label(step.name),
                    _label(step.agent) or lane,
                    _label(step.category),
                    step.severity if step.severity in SEVERITIES else "info",
                    _stamp(step.timestamp),
                    self._positive(step.duration_ms, "duration"),
                    self._key_label(step.trace_id),
                    _label(step.span_id),
                    _label(step.parent_span_id),
                    data,
                    raw,
                    step.mark,
                ),
            )
        if ids.n_repeated:
            why = "repeated in the source: the later event has an id of its own"
            self.source.changed("event id", why, ids.n_repeated)

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
        rows = SnapshotRows(self, self.id_of(run), is_derived=not run.states)
        for state in states:
            rows.add(state)
            yield from rows.take()
        yield from rows.finish()

    def derived(self, run: Run, *, first: int = 0, begun: State | None = None) -> Iterator[tuple[Any, ...]]:
        """The rows of the states derived from the conversation of a run, whose steps are numbered from ``first`` on.

        What was ``begun`` is the state that it goes on from, whose row is there already; where that is no conversation,
        nothing is derived.
        """
        deriver = Deriver() if begun is None else Deriver.behind(begun.document)
        if deriver is None:
            return
        rows = SnapshotRows(self, self.id_of(run), is_derived=True)
        if begun is not None:
            rows.add(begun)
        for number, step in enumerate(run.steps, first):
            state = deriver.state(number, step)
            if state is not None:
                rows.add(state)
        yield from rows.finish()[begun is not None :]

    def _json(self, value: Any) -> Stored:
        stored = storable(value, finite=self.source.is_strict)
        self.changes(stored.changed)
        return stored

    def lane(self, run: Run, step: Step | None = None) -> str:
        """The lane of a step: its agent, else what kind of agent the run is of."""
        return (_label(step.agent) if step is not None else None) or self._key_label(run.agent_type) or self.format

    def _key(self, text: str) -> str:
        short = key(text)
        if len(short) < len(text):
            self.source.changed("id", "longer than an index takes: its beginning and a digest of the whole are stored")
        return short

    def _key_label(self, value: Any) -> str | None:
        label = _label(value)
        return None if label is None else self._key(label)

    def json(self, value: Any) -> str:
        """A value as JSON that a column takes."""
        return self._json(value).text

    def changes(self, changed: tuple[str, ...]) -> None:
        """Note the kinds of change that a value needed."""
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


class SnapshotRows:
    """The rows of ``execution_snapshots`` of one run, state by state."""

    def __init__(self, maker: RowMaker, execution: uuid.UUID, *, is_derived: bool = False) -> None:
        self._maker = maker
        self._execution = str(execution)
        self._namespace = uuid_utils.UUID(bytes=execution.bytes)
        self._is_derived = is_derived
        self._told: dict[int, State] = {}
        self._raws: dict[int, list[bytes]] = {}
        self._current = State(-1)
        self._open_step = -1
        self._encoder = Encoder(dumps=self._dumps, only_grows=is_derived)

    def add(self, state: State) -> None:
        """Take the next state; one that does not build on those before is noted as lost."""
        self._current = state
        try:
            self._encoder.add(state.step_number, document=state.document, patch=state.patch)
        except PatchError as error:
            why = f"a recorded change does not apply to the state before it: {error}"
            self._maker.source.lost("state", why)
            return
        self._open_step = state.step_number
        _merge(self._told, state)

    def take(self) -> list[tuple[Any, ...]]:
        """The rows that are complete and were not taken before."""
        return [self._row(row) for row in self._encoder.take()]

    def fork(self) -> SnapshotRows:
        """Rows that go on from here by themselves: what they take, these do not."""
        ahead = copy.copy(self)
        ahead._told, ahead._raws = dict(self._told), {step: [*raws] for step, raws in self._raws.items()}
        ahead._encoder = self._encoder.fork(dumps=ahead._dumps)
        return ahead

    def finish(self) -> list[tuple[Any, ...]]:
        """The rows that are left; no more states are taken."""
        rows = [self._row(row) for row in self._encoder.finish()]
        del self._encoder  # it knows us as we know it, and while a file is read nobody looks for such cycles
        return rows

    def _dumps(self, value: Any) -> str:
        stored = storable(value, finite=self._maker.source.is_strict)
        # What a derived state had to change was changed, counted and kept in its event.
        if stored.changed and not self._is_derived:
            is_current = value is self._current.document and value is not None
            step = self._current.step_number if is_current else self._open_step
            self._raws.setdefault(step, []).append(_escaped(value))
            self._maker.changes(stored.changed)
        return stored.text

    def _row(self, row: SnapshotRow) -> tuple[Any, ...]:
        state, raw = self._told.pop(row.step_number), self._raws.pop(row.step_number, None)
        return (
            str(uuid_utils.uuid5(self._namespace, f"state:{row.step_number}")),
            self._execution,
            row.step_number,
            _stamp(state.timestamp),
            row.state.decode(),
            row.keyframe_step,
            storable_text(state.description),
            state.checkpoint,
            self._is_derived,
            pack(b"\n".join(raw)) if raw else None,
        )


@dataclass(slots=True)
class Chunk:
    """Rows on their way into the store: as many as are worth a COPY of their own."""

    events: list[tuple[Any, ...]] = field(default_factory=list)
    snapshots: list[tuple[Any, ...]] = field(default_factory=list)
    n_chars: int = 0

    def add_event(self, row: tuple[Any, ...]) -> None:
        """Take a row of ``observability_events``."""
        self.events.append(row)
        self.n_chars += len(row[_DATA])

    def add_snapshot(self, row: tuple[Any, ...]) -> None:
        """Take a row of ``execution_snapshots``."""
        self.snapshots.append(row)
        self.n_chars += len(row[_STATE])

    @property
    def is_full(self) -> bool:
        """Whether waiting for more would cost memory and save nothing."""
        return self.n_chars > _CHUNK_CHARS or len(self.events) + len(self.snapshots) >= _CHUNK_ROWS


def _step_number(state: State) -> int:
    return state.step_number


def _merge(told: dict[int, State], state: State) -> None:
    """What is said of a step's state apart from the state itself; several states of one step become one row."""
    before = told.get(state.step_number)
    if before is None:
        told[state.step_number] = state
        return
    told[state.step_number] = State(
        state.step_number,
        timestamp=state.timestamp or before.timestamp,
        description=state.description or before.description,
        checkpoint=state.checkpoint or before.checkpoint,
    )


def _stamp(moment: datetime | None) -> str | None:
    """A moment as COPY takes it; psycopg's own way of writing one is slow."""
    return None if moment is None else moment.isoformat()


def _label(value: Any) -> str | None:
    """A short text for a column of its own."""
    if not value and (value is None or value == ""):
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
