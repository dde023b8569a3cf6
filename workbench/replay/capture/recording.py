"""One run being captured: :class:`Recording`, what ``bench.record()`` gives."""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import threading
import uuid
from collections.abc import Callable, Mapping
from contextvars import Token, copy_context
from datetime import UTC, datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, Self, TypeVar

import orjson

from workbench.data.ingest.normal import EventType, Run, TaskRef
from workbench.data.store.tables import new_id
from workbench.errors import ConfigurationError
from workbench.replay.capture.account import SUM, Account
from workbench.replay.capture.calls import ModelCall, Span, ToolCall
from workbench.replay.capture.fields import MAX_COST, columns, label, positive, text_of, tokens_of
from workbench.replay.capture.place import Place, enter, here, leave
from workbench.replay.capture.spool import framed
from workbench.replay.capture.values import described, encoded, plain
from workbench.replay.capture.writing import ABANDONED, EVENT, STATE

if TYPE_CHECKING:
    from workbench.replay.capture.delivery import Delivery

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

Severity = Literal["debug", "info", "warning", "error", "critical"]
Status = Literal["completed", "failed", "cancelled"]
Role = Literal["system", "user", "assistant", "tool"]

END_WAIT_S = 5.0
_LAST: Any = object()  # "the state before", which None (a state) is not


class Recording:
    """One run being captured, in a ``with`` or ``async with``; an exception that leaves it makes it ``failed``.

    A call that has returned is acknowledged: what it was given lies in the spool, and survives the death of the process
    by any signal. A thread of its own brings it to the database, a fraction of a second later. None of the calls waits
    for the database, and none raises because of what it was given; only the end of the ``with`` waits a little, so that
    what one reads next is there (:data:`END_WAIT_S` at most, not at all while the database is known to be gone).

    Threads and tasks may use one recording together. A forked child has a run of its own, a child of this one.

    An agent that is run again records in the branch that waits for it (``awaits_agent``), and not in a child of that:
    its ``with`` is then one inside another, of which the outer one ends the run.

    Parameters
    ----------
    delivery
        Where to.
    agent_type
        Kind of agent.
    task
        Title of the task it tries; runs of one title are runs of one task.
    name, model, input, metadata
        As in the columns of ``workbench.columns["executions"]``.
    parent
        The recording that this run belongs to, or the id of a run (of another process, say). ``None`` = the recording
        in whose context this one begins, if any.

    Examples
    --------
    ::

        with bench.record(agent_type="planner", task="Book a flight") as run:
            run.event("message", role="user", text="To Oslo, please")
            with run.tool("search", {"to": "OSL"}) as call:
                call.result = search("OSL")
            with run.llm_call("claude-sonnet-4-5", input=messages) as call:
                call.output, call.usage = ask(messages)
            run.step({"options": call.output})
            run.finish(output="booked", score=1.0)
    """

    def __init__(
        self,
        delivery: Delivery,
        *,
        agent_type: str,
        task: str | None = None,
        name: str | None = None,
        model: str | None = None,
        input: Any = None,
        metadata: Mapping[str, Any] | None = None,
        parent: Recording | uuid.UUID | str | None = None,
    ) -> None:
        if not agent_type:
            raise ConfigurationError("agent_type must not be empty: it names the kind of agent, like 'planner'.")
        self.delivery = delivery
        self.awaits_agent = False
        self._n_begun = 0  # times that it was begun and has not ended
        self._tokens: list[Token[Place | None]] = []
        self._parent = parent if parent is None or isinstance(parent, Recording) else _execution(parent)
        self._begin_as(
            Run(
                "",
                str(agent_type),
                status="running",
                name=text_of(name),
                model=text_of(model),
                input=plain(input),
                task=TaskRef(title, title) if (title := text_of(task)) else None,
                metadata=_object(metadata, "metadata"),
            )
        )

    def _begin_as(self, run: Run) -> None:
        """Be this run, of which nothing is recorded yet."""
        self._account = Account(run, new_id())
        self._lock = threading.RLock()
        self._state: bytes = b"{}"
        self._state_raw: bytes | None = None
        self._stated: tuple[int, str | None, bool] = (-1, None, False)  # step, description, checkpoint
        self._has_begun = False

    @property
    def id(self) -> uuid.UUID:
        """The execution."""
        return self._account.id

    @property
    def agent_type(self) -> str:
        """Kind of agent."""
        return self._account.run.agent_type

    @property
    def status(self) -> str:
        """``running``; once it is known how it ends, that."""
        return self._account.run.status

    @property
    def output(self) -> Any:
        """What :meth:`finish` was given."""
        return self._account.run.output

    @property
    def is_finished(self) -> bool:
        """Whether :meth:`finish` has said how it ended."""
        return self._account.is_finished

    def __repr__(self) -> str:
        return f"Recording({self.agent_type!r}, id={str(self.id)!r}, status={self.status!r})"

    # -- the run -------------------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        self.begin()
        self._tokens.append(enter(Place(self)))
        return self

    def begin(self) -> None:
        """Begin the run, for what is no ``with``; its parent is that of the context."""
        self._n_begun += 1
        if self._n_begun == 1:
            self._begin_here()

    def _begin_here(self) -> None:
        account, place = self._account, here()
        if self._parent is None and place is not None:
            self._parent, account.parent_step = place.recording, place.number
        if isinstance(self._parent, Recording):
            account.run.trace_id = self._parent._account.run.trace_id
            if account.parent_step is None:
                account.parent_step = self._parent._step_here()
        self._begin()

    def _begin(self) -> None:
        self._has_begun = True
        self._account.parent = None if self._parent is None else _execution(self._parent)
        self._account.begin()
        self.delivery.add(self)
        self.tell()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._left(error):
            self.delivery.flush(END_WAIT_S)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._left(error):
            await asyncio.to_thread(self.delivery.flush, END_WAIT_S)

    def _left(self, error: BaseException | None) -> bool:
        """The ``with`` ends; whether to wait for the database."""
        leave(self._tokens.pop() if self._tokens else None)
        self.end(error)
        return self._account.is_over and not self.delivery.is_down

    def take_up(self, agent_type: str) -> bool:
        """Whether this is the run of an agent that begins: its own, which is run again and waits for it."""
        with self._lock:
            is_its = self.awaits_agent and agent_type == self.agent_type
            self.awaits_agent = self.awaits_agent and not is_its
        return is_its

    def end(self, error: BaseException | None = None) -> None:
        """End the run, for what is no ``with``; does not wait for the database."""
        is_exit = isinstance(error, SystemExit) and error.code in (None, 0)
        if error is not None and not is_exit and not self.is_finished:
            why = described(error)
            is_cancelled = isinstance(error, (KeyboardInterrupt, asyncio.CancelledError, GeneratorExit))
            self.finish(status="cancelled" if is_cancelled else "failed", error=why["message"], error_type=why["type"])
        self._n_begun -= 1
        if self._n_begun <= 0:
            self._close()

    def _close(self) -> None:
        with self._lock:
            if self._account.is_over or not self._has_begun:
                return
            self._account.close()
        self.tell()

    def left_open(self) -> None:
        """The process ends in good order, and nobody has said how the run ended."""
        if not self._account.is_over and not self.is_finished:
            self.finish(status="failed", error="The process ended while the run was open.", error_type=ABANDONED)
        self._close()

    def finish(
        self,
        *,
        status: Status | None = None,
        output: Any = None,
        score: float | None = None,
        error: str | None = None,
        error_type: str | None = None,
        cost_usd: float | None = SUM,
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
        told = plain({"output": output, "error": error, "error_type": error_type})
        with self._lock:
            self._account.finish(status=status, score=score, cost_usd=cost_usd, **told)

    def child(self, *, agent_type: str, **about: Any) -> Recording:
        """A run that this one starts, linked to the step under way; parameters as of ``bench.record()``."""
        return Recording(self.delivery, agent_type=agent_type, parent=self, **about)

    def flush(self, timeout_s: float | None = None) -> bool:
        """Wait until all that was recorded is in the database.

        Returns
        -------
        bool
            Whether it is; ``False`` when the database was not there, or ``timeout_s`` is over. Nothing is lost then.
        """
        self.tell()
        return self.delivery.flush(timeout_s)

    def bind(self, function: Callable[P, T]) -> Callable[P, T]:
        """The function, to be called in another thread as if here: ``pool.map(run.bind(work), items)``.

        A new thread does not know what recording and what step it works for; runs that it begins, and steps of
        decorated functions, would hang on nothing.
        """
        context = copy_context()

        @functools.wraps(function)
        def bound(*args: P.args, **kwargs: P.kwargs) -> T:
            def call() -> T:
                is_mine = (place := here()) is not None and place.recording is self
                token = None if is_mine else enter(Place(self))
                try:
                    return function(*args, **kwargs)
                finally:
                    leave(token)

            return context.copy().run(call)

        return bound

    # -- events --------------------------------------------------------------------------------------------------------

    def event(
        self,
        event_type: EventType,
        *,
        name: str | None = None,
        agent: str | None = None,
        role: Role | None = None,
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
            ``output_tokens``, and ``reasoning_tokens``, a part of the output. Or as OpenAI or Anthropic answer them.
            What has another name is kept in ``data.extra.usage`` and counted nowhere; the log says so once.
        cost_usd
            In US dollars.
        data
            Anything else, kept as ``data.extra``.

        Returns
        -------
        int
            Its step number.
        """
        number, _ = self.put(
            event_type, name=name, agent=agent, role=role, text=text, tool=tool, usage=usage, cost_usd=cost_usd,
            model=model, category=category, severity=severity, duration_ms=duration_ms, error=error, data=data,
            parent_span_id=self.span_here(),
        )  # fmt: skip
        return number

    def span(self, name: str, *, agent: str | None = None, category: str | None = None, input: Any = None) -> Span:
        """Everything recorded inside its ``with`` happened within this; an exception marks it and goes on."""
        return Span(self, "span", name=name, agent=agent, category=category, input=input)

    def tool(
        self, name: str, arguments: Any = None, *, agent: str | None = None, cost_usd: float | None = None
    ) -> ToolCall:
        """A tool call, for a ``with`` in which ``call.result`` is set."""
        return ToolCall(self, name, arguments, agent=agent, cost_usd=cost_usd)

    def llm_call(self, model: str | None = None, *, input: Any = None, agent: str | None = None) -> ModelCall:
        """A request to a model, for a ``with`` in which ``call.output``, ``.usage`` and ``.cost_usd`` are set."""
        return ModelCall(self, model, input=input, agent=agent)

    # -- states --------------------------------------------------------------------------------------------------------

    def step(self, state: Any, *, description: str | None = None) -> None:
        """Keep the state after what was recorded last. It may be changed afterwards."""
        self._keep(state, description, is_checkpoint=False)

    def checkpoint(self, name: str, state: Any = _LAST) -> None:
        """Keep a state that one may return to by name; without a ``state`` the last one that was kept."""
        self._keep(state, name, is_checkpoint=True)

    def _keep(self, state: Any, description: str | None, *, is_checkpoint: bool) -> None:
        try:
            data, raw = (self._state, self._state_raw) if state is _LAST else encoded(state)
            at = datetime.now(UTC)
            with self._lock:
                self._awake()
                account = self._account
                number = max(account.n_events - 1, account.first)
                if number == self._stated[0]:  # several states of one step are one: the last, with all that was said
                    description, is_checkpoint = description or self._stated[1], is_checkpoint or self._stated[2]
                about = orjson.dumps([at, label(description), is_checkpoint])
                fields = [STATE, account.key, b"%d" % number, about, data, *([raw.hex().encode()] if raw else [])]
                if self._taken(framed(*fields)):
                    account.n_states += number != self._stated[0]
                    self._state, self._state_raw = data, raw
                    self._stated = (number, description, is_checkpoint)
        except Exception:  # noqa: BLE001 (capture never breaks the agent)
            self._broken("a state")

    # -- how -----------------------------------------------------------------------------------------------------------

    def put(
        self,
        event_type: str,
        *,
        number: int | None = None,
        at: datetime | None = None,
        name: str | None = None,
        agent: str | None = None,
        usage: Mapping[str, Any] | None = None,
        cost_usd: float | None = None,
        category: str | None = None,
        severity: str = "info",
        duration_ms: float | None = None,
        span_id: str | None = None,
        parent_span_id: str | None = None,
        mark: str | None = None,
        data: Mapping[str, Any] | None = None,
        **said: Any,
    ) -> tuple[int, datetime]:
        """Write an event, or with a ``number`` write it anew; its number and time. For the calls of this room."""
        at, account = at or datetime.now(UTC), self._account
        try:
            document = {
                key: said[key] for key in ("role", "text", "tool", "model", "error") if said.get(key) is not None
            }
            counted = None
            if usage is not None:
                counted, unknown = tokens_of(usage)
                data = {**_object(data, "data"), "usage": unknown} if unknown else data
                document["usage"] = counted
            cost = None if cost_usd is None or mark is not None else positive(cost_usd, MAX_COST)
            if cost is not None:
                document["cost_usd"] = cost
            if data is not None:
                document["extra"] = data
            body, raw = encoded(document)
            header = [
                event_type, name, agent or account.lane, category, severity, at, duration_ms, account.run.trace_id,
                span_id, parent_span_id, mark,
            ]  # fmt: skip
            fields = [columns(header, account.lane), body, *([raw.hex().encode()] if raw else [])]
            with self._lock:
                self._awake()
                n = account.n_events if number is None else number
                if n >= 0 and self._taken(framed(EVENT, account.key, b"%d" % n, *fields)):
                    account.n_events += number is None
                    if counted or cost is not None:
                        account.count(counted, cost)
                return n, at
        except Exception:  # noqa: BLE001 (capture never breaks the agent)
            self._broken("an event")
            return -1, at

    def _taken(self, record: bytes) -> bool:
        if self.delivery.take(record):
            return True
        self._account.drop()
        return False

    def _awake(self) -> None:
        """A run that nobody has entered begins with its first record: that of a forked child."""
        if not self._has_begun:
            self._begin()

    def _broken(self, what: str) -> None:
        """An error of ours: told once, and never the agent's."""
        self._account.drop()
        if self._account.n_dropped == 1:
            log.exception("run %s: %s could not be kept; please report this", self.id, what)

    def record(self) -> bytes:
        """What is to be said of the run now."""
        with self._lock:
            return self._account.record()

    def tell(self) -> None:
        """Put what is new of the run into the spool."""
        try:
            with self._lock:
                account = self._account
                if account.is_told:
                    return
                account.is_told = self.delivery.take(account.record())
                if account.is_told and account.is_over:
                    self.delivery.discard(self)
                elif not account.is_told:
                    self.delivery.add(self)  # to be told again
        except Exception:  # noqa: BLE001 (capture never breaks the agent)
            self._broken("the run")

    def in_child(self) -> None:
        """After a fork: what is recorded here is of a run of this process, a child of that one."""
        was, step = self._account, self._step_here()
        run, self._parent = was.run, was.id
        metadata = {**run.metadata, "process": os.getpid()}
        self._begin_as(
            Run("", run.agent_type, status="running", name=run.name, model=run.model, task=run.task, metadata=metadata)
        )
        self._account.run.trace_id, self._account.parent_step = run.trace_id, step
        self._account.is_over = was.is_over

    def span_here(self) -> str | None:
        """The span of this run that the caller is in."""
        place = here()
        return place.span_id if place is not None and place.recording is self else None

    def _step_here(self) -> int | None:
        """The step that the caller is in, else the last."""
        place = here()
        if place is not None and place.recording is self and place.number is not None:
            return place.number
        account = self._account
        return account.n_events - 1 if account.n_events > account.first else None


def taken_up(agent_type: Any) -> Recording | None:
    """The recording in whose context the code runs, where it is the run of the agent that begins here."""
    place = here()
    is_its = place is not None and place.number is None and place.recording.take_up(text_of(agent_type) or "")
    return place.recording if place is not None and is_its else None


def _object(value: Any, name: str) -> dict[str, Any]:
    """A value as plain data with members; what has none is the member `name`."""
    told = plain(value)
    return told if isinstance(told, dict) else {} if told is None else {name: told}


def _execution(run: Recording | uuid.UUID | str) -> uuid.UUID:
    if isinstance(run, Recording):
        return run.id
    try:
        return run if isinstance(run, uuid.UUID) else uuid.UUID(str(run))
    except ValueError:
        raise ConfigurationError(f"parent must be a recording or the id of a run, not {run!r}.") from None
