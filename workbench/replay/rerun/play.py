"""Run an agent once where there is no store: answered from recorded steps, under guard, all that it does kept."""

from __future__ import annotations

import copy
import inspect
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextvars import copy_context
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any, cast

from workbench.errors import ConfigurationError
from workbench.replay.capture.place import diverted
from workbench.replay.capture.recording import Recording
from workbench.replay.capture.values import plain
from workbench.replay.rerun.answering import Answering, callable_of
from workbench.replay.rerun.guard import Effect, Guard
from workbench.replay.rerun.memory import Memory
from workbench.replay.rerun.tape import Answer, Tape
from workbench.replay.rerun.threads import Work

SUFFIX = ".recorded.json"
NOT_GIVEN: Any = object()
_BESIDE = 64  # calls beside each other that are put in order

NO_AGENT = (
    'No agent is named. Put its import path into AGENT at the top of this file, as "my_package.agents:plan": a function'
    " that is given what the recorded one was given, a generator that yields its state after each step, or a compiled"
    " LangGraph graph. Its tools and its model are answered from the recording: declare them (workbench.replay.rerun:"
    ' pure, idempotent, side_effect, model) or capture them with bench.trace(kind="tool") and bench.trace(kind="llm").'
)


@dataclass(frozen=True)
class Played:
    """What an agent did when it was run on recorded answers.

    Attributes
    ----------
    calls
        What it asked for, in order, in the form of the recorded steps: ``{"step", "tool", "arguments"}`` and
        ``{"step", "model"}``, with ``result`` or ``answer`` where there was one.
    states
        Its states in order: those that it yielded, or gave to ``run.step()``.
    output
        What it returned, or gave to ``run.finish(output=…)``, as plain JSON values.
    error
        The exception that ended it; ``None`` when none did.
    status
        ``completed`` · ``failed``, as the agent itself says where it records itself.
    refused
        Connections, processes and files that it tried and that were refused.
    """

    calls: list[dict[str, Any]]
    states: list[Any]
    output: Any
    error: BaseException | None
    status: str
    is_begun_with_state: bool = False
    refused: list[Effect] = field(default_factory=list)


def play(
    agent: Any,
    steps: Iterable[Mapping[str, Any]],
    *,
    input: Any = NOT_GIVEN,
    state: Any = NOT_GIVEN,
    args: Sequence[Any] | None = None,
    kwargs: Mapping[str, Any] | None = None,
) -> Played:
    """Run an agent on recorded answers. No database, no network: whatever would leave the process is refused.

    Parameters
    ----------
    agent
        The agent, or its import path: ``"package.module:name"``.
    steps
        The recorded calls in order. Of a tool ``{"step": 3, "tool": "search", "arguments": {…}, "result": …}``, with
        ``"error": "KeyError"`` where it failed; of a model ``{"step": 5, "model": "m", "answer": …}``, with ``turn`` in
        place of ``answer`` where the source tells the conversation and not each request. Those of a sub-agent also
        have its ``agent``; their ``step`` is of its run.
    input
        The run's input. One whose keys are the parameters of the agent is given by name.
    state
        The state to begin with, for an agent that is no function of the input.
    args, kwargs
        What to call the agent with instead.

    Returns
    -------
    Played
        Also where the agent failed.

    Raises
    ------
    ConfigurationError
        There is no such agent, or it is nothing that can be run.
    """
    call = callable_of(named(agent))
    given, by_name, is_state = _arguments(call, input, state, args, kwargs)
    memory, guard = Memory(), Guard()
    own = Recording(cast("Any", memory), agent_type="agent")
    answering = Answering(own, Tape.of(answers_of(steps)))

    def run() -> Any:
        diverted.set(memory)
        return answering.run(call, *copy.deepcopy(given), **copy.deepcopy(by_name))

    output, failed = None, None
    with own:
        try:
            with guard:
                output = copy_context().run(run)
        except Exception as error:  # noqa: BLE001 (the agent's own, whatever it is: told, not raised)
            failed = error.with_traceback(_of_agent(error.__traceback__))
    main = next((one for one in memory.recordings if _has_something(memory, one)), own)
    said = main if main is not own else None
    if said is not None and said.is_finished and said.output is not None:
        output = said.output
    made = [one for one in Tape(memory.events(main)).calls if not one.is_turn]
    beside = {step: of for (run, step), of in answering.beside.items() if run == main.id}
    return Played(
        calls=steps_of(_in_recorded_order(made, beside)),
        states=list(memory.states(main).values()),
        output=plain(output),
        error=failed,
        status="failed" if failed is not None else "completed" if said is None else said.status,
        is_begun_with_state=is_state,
        refused=guard.refused,
    )


def named(agent: Any) -> Any:
    """An agent, imported where its path is given.

    Raises
    ------
    ConfigurationError
        Nothing is named, or nothing has that name.
    """
    if agent is None:
        raise ConfigurationError(NO_AGENT)
    if not isinstance(agent, str):
        return agent
    module, _, path = agent.partition(":")
    if not module or not path:
        raise ConfigurationError(f'{agent!r} is no import path. Write it as "package.module:name".', agent=agent)
    try:
        found = import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise  # the module is there, and lacks one itself
        raise ConfigurationError(
            f"There is no module {error.name!r} for {agent!r}. Run pytest where it can be imported (rootdir,"
            " pythonpath in the settings of pytest, or installed).",
            agent=agent,
        ) from error
    for name in path.split("."):
        if not hasattr(found, name):
            has = ", ".join(one for one in vars(found) if not one.startswith("_")) if hasattr(found, "__dict__") else ""
            raise ConfigurationError(f"{module} has no {path!r}. It has: {has[:500]}.", agent=agent)
        found = getattr(found, name)
    return found


def kept_beside(test_file: str) -> dict[str, Any]:
    """Recorded values that are too large for a test file: the content of the JSON file beside it.

    Raises
    ------
    ConfigurationError
        The file is not there, or is no JSON.
    """
    path = Path(test_file).with_suffix(SUFFIX)
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"{path} holds the large recorded values of {Path(test_file).name}, and cannot be read: {error}. The two"
            " files belong together; write them again with workbench to-pytest.",
            path=path,
        ) from error


def answers_of(steps: Iterable[Mapping[str, Any]]) -> list[Answer]:
    """Recorded steps as answers.

    Raises
    ------
    ConfigurationError
        A step is neither of a tool nor of a model.
    """
    made = []
    for at, step in enumerate(steps):
        if not isinstance(step, Mapping) or ("tool" in step) == ("model" in step):
            raise ConfigurationError(
                f"Step {at} of the list is {str(step)[:200]}; it must have 'tool' (with arguments and result)"
                " or 'model' (with answer).",
                step=step,
            )
        is_model, error = "model" in step, step.get("error")
        came = "turn" if "turn" in step else "answer" if is_model else "result"
        made.append(
            Answer(
                step.get("step", at),
                step["model" if is_model else "tool"],
                step.get("arguments"),
                copy.deepcopy(step.get(came)),
                is_error=bool(error),
                error_type=error if isinstance(error, str) else None,
                has_result=came in step,
                is_model=is_model,
                is_turn=came == "turn",
                agent=step.get("agent"),
            )
        )
    return made


def steps_of(answers: Iterable[Answer]) -> list[dict[str, Any]]:
    """Answers as recorded steps; the way back of :func:`answers_of`."""
    made = []
    for one in answers:
        step: dict[str, Any] = {"step": one.step_number, "model" if one.is_model else "tool": one.name}
        if one.agent is not None:
            step["agent"] = one.agent
        if not one.is_model:
            step["arguments"] = one.arguments
        if one.has_result:
            step["turn" if one.is_turn else "answer" if one.is_model else "result"] = one.result
        if one.is_error:
            step["error"] = one.error_type or True
        made.append(step)
    return made


def _in_recorded_order(calls: list[Answer], beside: Mapping[int, tuple[Work, int]]) -> list[Answer]:
    """The calls; those that threads made beside each other in the order of the recording, since theirs is chance."""
    made: list[Answer] = []
    waiting = list(calls)
    while waiting:
        free: list[Answer] = []  # no call that has to come before one of these waits
        for at, call in enumerate(waiting[:_BESIDE]):
            if call.agent is not None or call.step_number not in beside:
                break
            own = beside[call.step_number][0]
            if all(beside[before.step_number][0].is_beside(own) for before in waiting[:at]):
                free.append(call)
        made.append(min(free, key=lambda call: beside[call.step_number][1], default=waiting[0]))
        waiting.remove(made[-1])
    return made


def _of_agent(trace: TracebackType | None) -> TracebackType | None:
    """A traceback from the agent's own code on; the whole one where it never got there."""
    own = str(Path(__file__).parents[2])
    at = trace
    while at is not None and at.tb_frame.f_code.co_filename.startswith(own):
        at = at.tb_next
    return at or trace


def _arguments(
    call: Callable[..., Any], input: Any, state: Any, args: Sequence[Any] | None, kwargs: Mapping[str, Any] | None
) -> tuple[list[Any], dict[str, Any], bool]:
    """Arguments of the agent, and whether it is begun with a state."""
    if args is not None or kwargs is not None:
        return list(args or ()), dict(kwargs or {}), False
    signature = inspect.signature(call)
    if isinstance(input, Mapping) and _binds(signature, kwargs=input) and _names(signature, input):
        return [], dict(input), False
    for value in (state, input):
        if value is not NOT_GIVEN and _binds(signature, args=[value]):
            return [value], {}, value is state
    if _binds(signature):
        return [], {}, False
    raise ConfigurationError(
        f"The recording does not say what to call {getattr(call, '__name__', call)}{signature} with. Give it to play():"
        " args=[…], kwargs={…}."
    )


def _binds(signature: inspect.Signature, *, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None) -> bool:
    try:
        signature.bind(*args, **(kwargs or {}))
    except TypeError:
        return False
    return True


def _names(signature: inspect.Signature, given: Mapping[str, Any]) -> bool:
    """Whether what is given are arguments by name, and not one that takes whatever comes."""
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    own = {name for name, parameter in signature.parameters.items() if parameter.kind in kinds}
    return bool(given) and bool(own & given.keys())


def _has_something(memory: Memory, recording: Recording) -> bool:
    return bool(memory.states(recording)) or memory.has_events(recording)
