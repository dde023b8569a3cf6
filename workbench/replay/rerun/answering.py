"""Answers the calls of an agent that is run again: from a tape, for real, or not at all; and records what it does."""

from __future__ import annotations

import asyncio
import builtins
import copy
import inspect
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, get_type_hints

from pydantic import PydanticUserError

from workbench.errors import (
    ConfigurationError,
    DivergedError,
    EffectRefusedError,
    InvalidRecordError,
    RecordedFailureError,
)
from workbench.replay.capture.calls import ModelCall, ToolCall
from workbench.replay.capture.place import Place, here
from workbench.replay.rerun.effects import Tool, answered_by
from workbench.replay.rerun.guard import free
from workbench.replay.rerun.tape import Answer, Tape
from workbench.replay.rerun.threads import Work, work_here
from workbench.replay.restore import restored

if TYPE_CHECKING:
    from workbench.replay.capture.recording import Recording

_SHOWN = 500  # characters of a call in an error
_PLAIN = (None, Any, str, int, bool, dict, list)  # what JSON says itself


def callable_of(agent: Any) -> Callable[..., Any]:
    """What is called to run an agent.

    Raises
    ------
    ConfigurationError
        It is nothing that can be run.
    """
    if callable(getattr(agent, "stream", None)) and callable(getattr(agent, "invoke", None)):
        return lambda state: agent.stream(state, stream_mode="values")
    if not callable(agent):
        raise ConfigurationError(
            f"agent is a {type(agent).__name__}, which cannot be run. Give a function of the state, a generator that"
            " yields the state after each step, or a compiled graph.",
            value=agent,
        )
    return agent


class Answering:
    """Answers the calls of one run that is run again, and records them in its branch."""

    def __init__(
        self, recording: Recording, tape: Tape, live_from: int | None = None, allow: frozenset[str] = frozenset()
    ) -> None:
        self._recording = recording
        self._tape = tape
        self._live_from = live_from
        self._allow = allow
        self.n_recorded = self.n_live = 0
        self.receipts: list[tuple[int, str, str, str]] = []
        self.beside: dict[tuple[uuid.UUID, int], tuple[Work, int]] = {}
        """Calls that other threads made, by run and step: in what work, and the step of the recorded answer."""

    def run(self, agent: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Run the agent to its end; the states that it yields are steps."""
        with answered_by(self):
            return self._run(agent(*args, **kwargs))

    def _run(self, found: Any) -> Any:
        if inspect.isasyncgen(found) or inspect.isawaitable(found):
            return _finished(self._drained(found) if inspect.isasyncgen(found) else found)
        if not inspect.isgenerator(found):
            return found
        last = None
        while True:
            try:
                last = next(found)
            except StopIteration as end:
                return last if end.value is None else end.value
            self._step(last)

    async def _drained(self, states: Any) -> Any:
        last = None
        async for last in states:
            self._step(last)
        return last

    def _step(self, state: Any) -> None:
        with free():
            self._recording.event("state", name="state")
            self._recording.step(state)

    def call(self, tool: Tool, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Answer a call."""
        arguments = tool.arguments(args, kwargs)
        answer = self._recorded(tool, arguments)
        if answer is not None:
            return self._given(tool, arguments, answer)
        said = _said(tool)
        with free(), self._noting(tool, arguments, said) as noted, self._counting(tool, noted, said):
            return self._came(noted, tool.function(*args, **kwargs))

    async def call_async(self, tool: Tool, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Answer a call that is awaited."""
        arguments = tool.arguments(args, kwargs)
        answer = self._recorded(tool, arguments)
        if answer is not None:
            return self._given(tool, arguments, answer)
        said = _said(tool)
        with free(), self._noting(tool, arguments, said) as noted, self._counting(tool, noted, said):
            return self._came(noted, await tool.function(*args, **kwargs))

    def _recorded(self, tool: Tool, arguments: dict[str, Any]) -> Answer | None:
        """The recorded answer; ``None`` where the call is to be made for real. What is refused is recorded too."""
        try:
            return self._found(tool, arguments)
        except (DivergedError, EffectRefusedError):
            with suppress(DivergedError, EffectRefusedError), free(), self._noting(tool, arguments, {"answered": "no"}):
                raise
            raise

    def _found(self, tool: Tool, arguments: dict[str, Any]) -> Answer | None:
        answer = self._taken(tool, arguments, before=self._live_from)
        if answer is not None:
            return answer
        waiting = self._tape.waiting(before=self._live_from)
        if self._live_from is None or (waiting is not None and tool.effect != "model"):
            then = "nothing more"
            if waiting is not None:
                then = f"{said_call(waiting.name, waiting.arguments)} at step {waiting.step_number}"
            raise DivergedError(
                f"The run called {said_call(tool.name, arguments)}; the recording goes on with {then}. Give live_from="
                " to go on for real from a step.",
                tool=tool.name,
                arguments=arguments,
            )
        if tool.effect != "side effect" or tool.name in self._allow:
            return None
        answer = self._taken(tool, arguments, before=None)
        if answer is None:
            raise EffectRefusedError(
                f"{said_call(tool.name, arguments)} has side effects and was not recorded. Let it be called for real"
                f" with allow=[{tool.name!r}].",
                kind="tool",
                what=tool.name,
            )
        return answer

    def _taken(self, tool: Tool, arguments: dict[str, Any], *, before: int | None) -> Answer | None:
        if tool.effect == "model":
            return self._tape.model(before=before)
        return self._tape.tool(tool.name, arguments, before=before)

    def _given(self, tool: Tool, arguments: dict[str, Any], answer: Answer) -> Any:
        said = {"answered": "recorded", "recorded_step": answer.step_number}
        with free(), self._noting(tool, arguments, said) as noted:
            self._came(noted, answer.result)
            self._count_recorded(noted, answer)
            if answer.is_error:
                raise _failure(tool, answer)
        return _as_annotated(tool, copy.deepcopy(answer.result))

    def _noting(
        self, tool: Tool, arguments: dict[str, Any], said: dict[str, Any]
    ) -> AbstractContextManager[ToolCall | ModelCall]:
        """The step of a call; that of the agent's own, where it records the call itself."""
        place = here()
        recording = self._recording if place is None else place.recording
        if tool.effect == "model":
            step, is_own = ModelCall(recording, input=arguments, data=said), _under_way(place) == "llm_call"
        else:
            step = ToolCall(recording, tool.name, arguments, data=said)
            is_own = place is not None and place.call == ("tool_call", tool.name)
        if place is not None and place.number is not None and is_own:
            step.number = place.number
            return nullcontext(step)
        return step

    def _came(self, noted: ToolCall | ModelCall, result: Any) -> Any:
        if isinstance(noted, ModelCall):
            noted.output = result
        else:
            noted.result = result
        return result

    @contextmanager
    def _counting(self, tool: Tool, noted: ToolCall | ModelCall, said: dict[str, Any]) -> Iterator[None]:
        """A real call; one that fails may have done its work all the same, and has its receipt."""
        try:
            yield
        finally:
            self.n_live += 1
            if "receipt" in said:
                self.receipts.append((noted.number, tool.name, tool.effect, said["receipt"]))

    def _count_recorded(self, noted: ToolCall | ModelCall, answer: Answer) -> None:
        self.n_recorded += 1
        place, work = here(), work_here()
        if work is not None and place is not None:
            self.beside[place.recording.id, noted.number] = (work, answer.step_number)


def said_call(name: str | None, arguments: Any) -> str:
    """A call as it is written in Python; recordings do not keep the order of arguments."""
    given = sorted(arguments.items()) if isinstance(arguments, dict) else [("", arguments)]
    text = f"{name}({', '.join(f'{key}={value!r}' if key else repr(value) for key, value in given)})"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _under_way(place: Place | None) -> str | None:
    return None if place is None or place.call is None else place.call[0]


def _failure(tool: Tool, answer: Answer) -> RecordedFailureError:
    """The recorded failure, to be caught as what it was: an error of that name, told by the same words."""
    name = answer.error_type or ""
    known = getattr(tool.function, "__globals__", {}).get(name) or getattr(builtins, name, None)
    bases: tuple[type, ...] = (RecordedFailureError,)
    if isinstance(known, type) and issubclass(known, Exception) and not issubclass(known, RecordedFailureError):
        bases = (RecordedFailureError, known)
    text = answer.result if isinstance(answer.result, str) else str(answer.result)
    for own in (bases, bases[:1]):
        try:
            made = type(name or "RecordedFailureError", own, {"__str__": lambda self: self.message})
            error = made(text, tool=tool.name, result=answer.result)
        except TypeError:  # a class of errors that is made of more than a text, or goes with no other
            continue
        error.add_note(f"{tool.name} failed so when it was recorded.")
        return error
    raise AssertionError("unreachable")


def _as_annotated(tool: Tool, result: Any) -> Any:
    """The answer as the function says that it returns it (a dataclass, a model, a tuple), else as JSON has it."""
    if result is None:
        return None
    try:
        kind = get_type_hints(tool.function).get("return")
        return result if kind in _PLAIN else restored(result, kind)
    except (InvalidRecordError, ConfigurationError, PydanticUserError, NameError, TypeError):
        return result


def _said(tool: Tool) -> dict[str, Any]:
    """What is noted of a real call; each that touches the world has a receipt."""
    said: dict[str, Any] = {"answered": "live", "effect": tool.effect}
    return said | {"receipt": uuid.uuid4().hex} if tool.effect in ("idempotent", "side effect") else said


def _finished(waiting: Any) -> Any:
    """The result of a coroutine, also where an event loop is running already, as in a notebook."""

    async def waited() -> Any:
        return await waiting

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(waited())
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(copy_context().run, asyncio.run, waited()).result()
