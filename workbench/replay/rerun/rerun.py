"""Run an agent again from a step of a recorded run, in a branch of its own, with its effects under guard."""

from __future__ import annotations

import asyncio
import copy
import inspect
import uuid
from collections.abc import Callable, Collection
from contextvars import copy_context
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import polars as pl

from workbench.data.store.snapshots import chain_to, rebuild
from workbench.errors import ConfigurationError, DivergedError, EffectRefusedError, RecordedFailureError
from workbench.replay import branches
from workbench.replay.capture import continued
from workbench.replay.capture.calls import ModelCall, ToolCall
from workbench.replay.rerun.effects import Tool, answering
from workbench.replay.rerun.guard import Effect, Guard, free
from workbench.replay.rerun.tape import Answer, Tape

if TYPE_CHECKING:
    from workbench.data.frames.load import Frames
    from workbench.replay.capture.recording import Recording

_SHOWN = 500  # characters of a call in an error

RECEIPTS = {
    "step_number": pl.Int64,
    "tool": pl.String,
    "effect": pl.String,
    "receipt": pl.String,
}


@dataclass(frozen=True)
class Rerun:
    """What came of running a run again.

    Attributes
    ----------
    id
        The branch in which it is recorded: ``bench.compare(run, rerun)``, ``bench.replay(rerun)``.
    status
        ``completed`` or ``failed``.
    output
        What the agent returned.
    error
        The exception that ended it; ``None`` when it completed.
    n_recorded, n_live
        Calls answered from the recording, and made for real.
    receipts : polars.DataFrame
        One row per real effect on the world: ``step_number`` in the branch, ``tool``, ``effect`` (idempotent · side
        effect), ``receipt`` (its id, also in the event's ``data.extra.receipt``).
    refused
        What the guard let not happen, in order.
    """

    id: uuid.UUID
    status: str
    output: Any
    error: BaseException | None
    n_recorded: int
    n_live: int
    receipts: pl.DataFrame
    refused: list[Effect] = field(default_factory=list)


def rerun(
    frames: Frames,
    run: str,
    agent: Any,
    *,
    step: int = 0,
    state: Any = branches.SAME,
    live_from: int | None = None,
    allow: Collection[str] = (),
    name: str | None = None,
) -> Rerun:
    """Go on from a step of a run with an agent, in a new branch; the run itself is never changed.

    Calls of functions that are declared (:mod:`workbench.replay.rerun.effects`) are answered from the recording by
    tool and arguments, those of a model in their order. Everything else that would leave the process is refused.

    Parameters
    ----------
    agent
        A function of the state: what it returns is the output; of a generator, each value that it yields is the state
        after a step. Or an object with ``stream`` as a compiled LangGraph graph has it. Sync or async.
    step
        Where it goes on: the branch begins with the state after this step.
    state
        The state to begin with instead.
    live_from
        The step of the recording from which on calls are real; ``None`` = none ever is. Before it an agent that asks
        for what was not recorded has diverged. From it on functions without side effects are called, those with side
        effects are answered from the recording if it holds that very call, and refused else.
    allow
        Names of functions with side effects that may be called for real.
    name
        What to call the branch.

    Returns
    -------
    Rerun
        Also when the agent fails: ``.error`` says how.

    Raises
    ------
    NotFoundError
        No such run or step.
    ConfigurationError
        The agent is nothing that can be run.
    """
    call = _callable(agent)
    store = frames.store
    events = frames.course(run, columns=["step_number", "event_type", "name", "data"])
    about = frames.executions(ids=[run], columns=["agent_type", "model"]).row(0, named=True)
    branch = branches.fork(store, run, step, state=state, name=name)
    with store.raw() as connection:
        rows = chain_to(connection, branch, step)
    begun = rebuild(rows, step) if rows else None
    recording = continued(store, branch, after=step, agent_type=about["agent_type"], model=about["model"])
    answers = _Answers(recording, Tape(events.filter(pl.col("step_number") > step)), live_from, frozenset(allow))
    output, failed, guard = None, None, Guard()
    with recording:
        try:
            with guard:
                output = copy_context().run(answers.run, call, copy.deepcopy(begun))
            with free():
                recording.finish(output=output)
        except Exception as error:  # noqa: BLE001 (the agent's own, whatever it is: told, not raised)
            failed = error
            recording.finish(error=str(error), error_type=type(error).__name__)
    receipts = pl.DataFrame(answers.receipts, schema=RECEIPTS, orient="row")
    status = "failed" if failed else "completed"
    return Rerun(branch, status, output, failed, answers.n_recorded, answers.n_live, receipts, guard.refused)


def _callable(agent: Any) -> Callable[..., Any]:
    if callable(getattr(agent, "stream", None)) and callable(getattr(agent, "invoke", None)):
        return lambda state: agent.stream(state, stream_mode="values")
    if not callable(agent):
        raise ConfigurationError(
            f"agent is a {type(agent).__name__}, which cannot be run. Give a function of the state, a generator that"
            " yields the state after each step, or a compiled graph.",
            value=agent,
        )
    return agent


class _Answers:
    """Answers the calls of one run that is run again, and records them in its branch."""

    def __init__(self, recording: Recording, tape: Tape, live_from: int | None, allow: frozenset[str]) -> None:
        self._recording = recording
        self._tape = tape
        self._live_from = live_from
        self._allow = allow
        self.n_recorded = self.n_live = 0
        self.receipts: list[tuple[int, str, str, str]] = []

    def run(self, agent: Callable[..., Any], state: Any) -> Any:
        """Run the agent to its end; the states that it yields are steps."""
        answering.set(self)
        found = agent(state)
        if inspect.isasyncgen(found) or inspect.isawaitable(found):
            return _finished(self._drained(found) if inspect.isasyncgen(found) else found)
        if not inspect.isgenerator(found):
            return found
        last = None
        for last in found:
            self._step(last)
        return last

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
        with free(), self._noting(tool, arguments, said) as noted:
            return self._came(tool, noted, tool.function(*args, **kwargs), said)

    async def call_async(self, tool: Tool, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Answer a call that is awaited."""
        arguments = tool.arguments(args, kwargs)
        answer = self._recorded(tool, arguments)
        if answer is not None:
            return self._given(tool, arguments, answer)
        said = _said(tool)
        with free(), self._noting(tool, arguments, said) as noted:
            return self._came(tool, noted, await tool.function(*args, **kwargs), said)

    def _recorded(self, tool: Tool, arguments: dict[str, Any]) -> Answer | None:
        """The recorded answer; ``None`` where the call is to be made for real."""
        answer = self._taken(tool, arguments, before=self._live_from)
        if answer is not None:
            return answer
        waiting = self._tape.waiting(before=self._live_from)
        if self._live_from is None or (waiting is not None and tool.effect != "model"):
            then = "nothing more"
            if waiting is not None:
                then = f"{_call(waiting.name, waiting.arguments)} at step {waiting.step_number}"
            raise DivergedError(
                f"The run called {_call(tool.name, arguments)}; the recording goes on with {then}. Give live_from= to"
                " go on for real from a step.",
                tool=tool.name,
                arguments=arguments,
            )
        if tool.effect != "side effect" or tool.name in self._allow:
            return None
        answer = self._taken(tool, arguments, before=None)
        if answer is None:
            raise EffectRefusedError(
                f"{_call(tool.name, arguments)} has side effects and was not recorded. Let it be called for real with"
                f" allow=[{tool.name!r}].",
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
            self._came(tool, noted, answer.result, said)
            if answer.is_error:
                raise RecordedFailureError(
                    f"{tool.name} failed when it was recorded: {answer.result}", tool=tool.name, result=answer.result
                )
        return copy.deepcopy(answer.result)

    def _noting(self, tool: Tool, arguments: dict[str, Any], said: dict[str, Any]) -> ToolCall | ModelCall:
        if tool.effect == "model":
            return ModelCall(self._recording, input=arguments, data=said)
        return ToolCall(self._recording, tool.name, arguments, data=said)

    def _came(self, tool: Tool, noted: ToolCall | ModelCall, result: Any, said: dict[str, Any]) -> Any:
        if said["answered"] == "recorded":
            self.n_recorded += 1
        else:
            self.n_live += 1
        if "receipt" in said:
            self.receipts.append((noted.number, tool.name, tool.effect, said["receipt"]))
        if isinstance(noted, ModelCall):
            noted.output = result
        else:
            noted.result = result
        return result


def _call(name: str | None, arguments: Any) -> str:
    """A call as it is written in Python; recordings do not keep the order of arguments."""
    given = sorted(arguments.items()) if isinstance(arguments, dict) else [("", arguments)]
    text = f"{name}({', '.join(f'{key}={value!r}' if key else repr(value) for key, value in given)})"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


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
