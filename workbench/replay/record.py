"""Capture a live run: :class:`Recording`, what ``bench.record()`` gives.

The execution's own row is there from the start with status ``running``, so a run that was killed is seen as one that
never ended. Events are buffered and written by COPY, a full buffer at a time; states are kept as patches and written at
the end. A database that goes away during the run does not stop the agent: what could not be written stays in the
buffer and is tried again.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from datetime import UTC, datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

import orjson

from workbench._delta import diff
from workbench.data.ingest.ids import task_id
from workbench.data.ingest.normal import EventType, Run, State, Step, TaskRef, Usage
from workbench.data.ingest.reading.source import Source
from workbench.data.ingest.writing.rows import EVENT_COLUMNS, EXECUTION_COLUMNS, SNAPSHOT_COLUMNS, RowMaker
from workbench.data.store.copy import copy_rows
from workbench.data.store.storable import storable
from workbench.data.store.tables import agent_executions, execution_snapshots, new_id, observability_events
from workbench.errors import ConfigurationError, StoreUnavailableError

if TYPE_CHECKING:
    from workbench.data.store.engine import Store

log = logging.getLogger(__name__)

SOURCE = "record"
BUFFER = 2_000  # events
Severity = Literal["debug", "info", "warning", "error", "critical"]
Status = Literal["completed", "failed", "cancelled"]
_SUM: Any = object()  # "the sum of the events' costs", which None (unpriced) is not

_enclosing: ContextVar[str | None] = ContextVar("workbench_span", default=None)


class ToolCall:
    """A call under way: set ``result`` before its ``with`` ends."""

    def __init__(self, name: str, call_id: str) -> None:
        self.name = name
        self.call_id = call_id
        self.result: Any = None


class Recording:
    """One run being captured. Use it in a ``with``; an exception that leaves it makes the run ``failed``.

    Parameters
    ----------
    store
        Where to write.
    agent_type
        Kind of agent.
    task
        Title of the task it tries; runs of one title are runs of one task.
    name, model, input, metadata
        As in the columns of ``workbench.columns["executions"]``.

    Attributes
    ----------
    id : uuid.UUID
        The execution.

    Examples
    --------
    ::

        with bench.record(agent_type="planner", task="Book a flight") as run:
            run.event("message", role="user", text="To Oslo, please")
            with run.tool("search", {"to": "OSL"}) as call:
                call.result = search("OSL")
            run.step({"options": call.result})
            run.finish(output="booked", score=1.0)
    """

    def __init__(
        self,
        store: Store,
        *,
        agent_type: str,
        task: str | None = None,
        name: str | None = None,
        model: str | None = None,
        input: Any = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        if not agent_type:
            raise ConfigurationError("agent_type must not be empty: it names the kind of agent, like 'planner'.")
        self.id = new_id()
        self._store = store
        self._steps: list[Step] = []  # those that are not written yet
        self._run = Run(
            str(self.id),
            agent_type,
            status="running",
            name=name,
            model=model,
            input=input,
            trace_id=self.id.hex,
            task=TaskRef(task, task) if task else None,
            metadata=dict(metadata or {}),
            steps=self._steps,
        )
        self._rows = _Rows(self.id)
        self._lock = threading.RLock()
        self._n_written = 0  # steps of the run that are in the store
        self._n_summed = 0  # steps of the buffer whose tokens and cost are in the run's
        self._spent: float | None = None
        self._open = 0  # spans under way: what is before the first of them may be written
        self._state: Any = {}
        self._clock = 0.0
        self._finished = False
        self._cost_usd: Any = _SUM

    # -- the run -------------------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        self._clock = time.perf_counter()
        self._run.started_at = datetime.now(UTC)
        with self._store.raw() as connection:
            if self._run.task is not None:
                task = self._run.task.source_id
                _, title, _, _, _, source_id, _ = self._rows.task(self._run.task)
                connection.execute(
                    "INSERT INTO workbench.tasks (id, title, source, source_id) VALUES (%s, %s, %s, %s)"
                    " ON CONFLICT DO NOTHING",
                    [task_id(SOURCE, task), title, SOURCE, source_id],
                )
            copy_rows(connection, agent_executions, EXECUTION_COLUMNS, [self._rows.execution(self._run)])
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None and not self._finished:
            cancelled = isinstance(error, KeyboardInterrupt)
            self.finish(
                status="cancelled" if cancelled else "failed", error=str(error), error_type=type(error).__name__
            )
        elif self._run.status == "running":
            self._run.status = "completed"
        self._run.completed_at = datetime.now(UTC)
        self._run.execution_time_ms = _ms_since(self._clock)
        self._total()
        try:
            self._write(whole=True)
        except StoreUnavailableError as gone:
            if error is None:
                raise
            log.error("run %s: its last events could not be written: %s", self.id, gone)  # the agent's own error leads

    def finish(
        self,
        *,
        status: Status | None = None,
        output: Any = None,
        score: float | None = None,
        error: str | None = None,
        error_type: str | None = None,
        cost_usd: float | None = _SUM,
    ) -> None:
        """Say how the run ended; written when the ``with`` ends.

        Parameters
        ----------
        status
            ``None`` = ``failed`` when there is an ``error``, else ``completed``.
        score
            Reward or grade.
        cost_usd
            In US dollars; ``None`` = unpriced. Left out, the sum of the events' costs.
        """
        with self._lock:
            run = self._run
            run.status = status or ("failed" if error else "completed")
            run.output, run.score, run.error, run.error_type = output, score, error, error_type
            self._cost_usd = cost_usd
            self._finished = True

    # -- events --------------------------------------------------------------------------------------------------------

    def event(
        self,
        event_type: EventType,
        *,
        name: str | None = None,
        agent: str | None = None,
        role: Literal["system", "user", "assistant", "tool"] | None = None,
        text: str | None = None,
        tool: Mapping[str, Any] | None = None,
        usage: Mapping[str, int] | None = None,
        cost_usd: float | None = None,
        model: str | None = None,
        category: str | None = None,
        severity: Severity = "info",
        duration_ms: float | None = None,
        error: Mapping[str, Any] | None = None,
        data: Mapping[str, Any] | None = None,
    ) -> int:
        """Write down that something happened now.

        Parameters
        ----------
        event_type
            What kind; see :data:`workbench.data.ingest.normal.EventType`.
        usage
            Tokens in disjoint classes: ``input_tokens`` (uncached), ``cache_read_tokens``, ``cache_write_tokens``,
            ``output_tokens``.
        data
            Anything else, kept as ``data.extra``.

        Returns
        -------
        int
            Its step number.
        """
        step = Step(
            event_type, name=name, agent=agent, role=role, text=text, tool=tool, cost_usd=cost_usd, model=model,
            category=category, severity=severity, duration_ms=duration_ms, error=error, extra=data,
            usage=_usage(usage),
        )  # fmt: skip
        return self._add(step)

    @contextmanager
    def span(self, name: str, *, agent: str | None = None, category: str | None = None) -> Iterator[None]:
        """Everything recorded inside happened within this; an exception marks it and goes on."""
        with self._spanning(Step("span", name=name, agent=agent, category=category)):
            yield

    @contextmanager
    def tool(
        self, name: str, arguments: Any = None, *, agent: str | None = None, cost_usd: float | None = None
    ) -> Iterator[ToolCall]:
        """A tool call: one event for the call with its duration, one for the result or the error."""
        call = ToolCall(name, f"call_{uuid.uuid4().hex[:12]}")
        about: dict[str, Any] = {"name": name, "call_id": call.call_id}
        asked = Step("tool_call", name=name, agent=agent, category="tool", role="assistant", cost_usd=cost_usd,
                     tool=_copied({**about, "arguments": arguments}))  # fmt: skip
        told = Step("tool_result", name=name, agent=agent, category="tool", role="tool")
        try:
            with self._spanning(asked):
                yield call
        except BaseException as error:
            told.severity, told.error = "error", _described(error)
            told.tool = {**about, "result": str(error), "is_error": True}
            raise
        else:
            told.tool = _copied({**about, "result": call.result, "is_error": False})
        finally:
            told.parent_span_id = asked.parent_span_id
            self._add(told)

    # -- states --------------------------------------------------------------------------------------------------------

    def step(self, state: Any, *, description: str | None = None) -> None:
        """Keep the state after what was recorded last. It may be changed afterwards."""
        self._keep(state, description, checkpoint=False)

    def checkpoint(self, name: str, state: Any) -> None:
        """Keep a state that one may return to by name."""
        self._keep(state, name, checkpoint=True)

    def _keep(self, state: Any, description: str | None, *, checkpoint: bool) -> None:
        now = orjson.loads(storable(state).text)
        with self._lock:
            number = max(self._n_written + len(self._steps) - 1, 0)
            patch: list[Mapping[str, Any]] | None = list(diff(self._state, now)) if self._run.states else None
            self._run.states.append(
                State(number, None if patch is not None else now, patch, datetime.now(UTC), description, checkpoint)
            )
            self._state = now

    # -- how -----------------------------------------------------------------------------------------------------------

    @contextmanager
    def _spanning(self, step: Step) -> Iterator[None]:
        step.span_id = uuid.uuid4().hex[:16]
        self._add(step, is_open=True)
        token = _enclosing.set(step.span_id)
        started = time.perf_counter()
        try:
            yield
        except BaseException as error:
            step.severity, step.error = "error", _described(error)
            raise
        finally:
            _enclosing.reset(token)
            step.duration_ms = _ms_since(started)
            with self._lock:
                self._open -= 1

    def _add(self, step: Step, *, is_open: bool = False) -> int:
        step.timestamp = datetime.now(UTC)
        step.trace_id = self._run.trace_id
        step.parent_span_id = step.parent_span_id or _enclosing.get()
        with self._lock:
            number = self._n_written + len(self._steps)
            self._steps.append(step)
            self._open += is_open
            if not self._open and len(self._steps) >= BUFFER:
                self._try_to_write()
        return number

    def _try_to_write(self) -> None:
        try:
            self._total()
            self._write(whole=False)
        except StoreUnavailableError as gone:
            log.warning("run %s: %d events wait for the database: %s", self.id, len(self._steps), gone)

    def _total(self) -> None:
        """Add what the steps in the buffer used and cost to the run."""
        run = self._run
        for step in self._steps[self._n_summed :]:
            if step.usage is not None:
                run.usage = (run.usage or Usage()) + step.usage
            if step.cost_usd is not None:
                self._spent = (self._spent or 0.0) + step.cost_usd
        self._n_summed = len(self._steps)
        run.cost_usd = self._spent if self._cost_usd is _SUM else self._cost_usd

    def _write(self, *, whole: bool) -> None:
        with self._lock, self._store.raw() as connection:
            rows = self._rows.events(self._run, first=self._n_written)
            copy_rows(connection, observability_events, EVENT_COLUMNS, rows)
            if whole:
                if self._run.states or not self._n_written:
                    rows = self._rows.snapshots(self._run)
                    copy_rows(connection, execution_snapshots, SNAPSHOT_COLUMNS, rows)
                row = self._rows.execution(replace(self._run))
                copy_rows(connection, agent_executions, EXECUTION_COLUMNS, [row], on_conflict="update")
        self._n_written += len(self._steps)
        self._steps.clear()
        self._n_summed = 0


class _Rows(RowMaker):
    """Rows of a run that has its own id and comes from no file."""

    def __init__(self, execution: uuid.UUID) -> None:
        super().__init__(SOURCE, Source(SOURCE, content=b""), None)
        self._execution = execution

    def id_of(self, run: Run) -> uuid.UUID:
        """The recording's id."""
        return self._execution


def _ms_since(started: float) -> float:
    """Milliseconds since a reading of ``perf_counter``, in whole microseconds: what lies below is noise."""
    return round((time.perf_counter() - started) * 1000, 3)


def _usage(given: Mapping[str, int] | None) -> Usage | None:
    if given is None:
        return None
    unknown = sorted(set(given) - set(Usage.__slots__))
    if unknown:
        raise ConfigurationError(f"usage has no class {unknown[0]!r}. There are: {', '.join(Usage.__slots__)}.")
    return Usage(**given)


def _described(error: BaseException) -> dict[str, str]:
    return {"type": type(error).__name__, "message": str(error)}


def _copied(value: dict[str, Any]) -> dict[str, Any]:
    """As it is now: the agent may change its arguments and results afterwards."""
    return orjson.loads(storable(value).text)
