"""``trace``: a function, method, coroutine or generator whose calls are captured."""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import AsyncGenerator, Callable, Generator
from contextvars import Token
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar, overload

from workbench.errors import ConfigurationError
from workbench.replay.capture.calls import ModelCall, Span, ToolCall
from workbench.replay.capture.place import Place, diverted, enter, here, leave
from workbench.replay.capture.usage import usage_of
from workbench.replay.rerun.effects import Effect, declared, effect_of

if TYPE_CHECKING:
    from workbench.data.store.engine import Store
    from workbench.replay.capture.recording import Recording

log = logging.getLogger(__name__)

F = TypeVar("F", bound=Callable[..., Any])
Kind = Literal["span", "tool", "llm", "agent"]
KINDS = ("span", "tool", "llm", "agent")
_EFFECTS: dict[str, Effect] = {"tool": "side effect", "llm": "model"}  # the most careful that it may be
MAX_YIELDED = 1_000  # values of a generator that are kept


@overload
def trace(function: F, /) -> F: ...
@overload
def trace(
    *, kind: Kind = "span", name: str | None = None, agent: str | None = None, model: str | None = None,
    input: bool = True, output: bool = True, store: Store | None = None, **about: Any,
) -> Callable[[F], F]: ...  # fmt: skip
def trace(
    function: Any = None,
    /,
    *,
    kind: Kind = "span",
    name: str | None = None,
    agent: str | None = None,
    model: str | None = None,
    input: bool = True,
    output: bool = True,
    store: Store | None = None,
    **about: Any,
) -> Any:
    """Capture the calls of a function in the recording that is under way; where none is, it is called as it is.

    Parameters
    ----------
    function
        A function, coroutine function, generator or asynchronous generator function, also one of a class (then without
        ``self``); static and class methods too.
    kind
        ``span``; ``tool``: a tool call and its result; ``llm``: a model call, with model and tokens as the answers of
        OpenAI and Anthropic tell them; ``agent``: a run of its own, a child of the one under way.
    name
        ``None`` = the function's.
    agent
        Lane.
    model
        Of a model call; ``None`` = as the call's ``model=`` or the answer says.
    input, output
        Whether the arguments and the result are kept.
    **about
        With ``kind="agent"``, more arguments of ``bench.record()``, as ``task``.

    Returns
    -------
    Callable
        Of the same kind as what was given, with the same signature. What the function raises is raised; a generator's
        values are kept up to :data:`MAX_YIELDED`, texts joined.

    Examples
    --------
    ::

        @bench.trace(kind="tool")
        def search(to: str) -> list[str]: ...

        @bench.trace(kind="agent", agent_type="planner")
        async def plan(request: str) -> str: ...
    """
    if kind not in KINDS:
        raise ConfigurationError(f"kind must be one of {', '.join(KINDS)}, not {kind!r}.")
    if about and kind != "agent":
        raise ConfigurationError(f"{next(iter(about))!r} belongs to kind='agent', not to kind={kind!r}.")

    def decorate(function: Any) -> Any:
        if isinstance(function, (staticmethod, classmethod)):
            return type(function)(decorate(function.__func__))
        traced = _Traced(function, kind, name, agent, model, input, output, store, about)
        return _answerable(_wrapped(function, traced), traced)

    return decorate if function is None else decorate(function)


class _Traced:
    """What is to be captured of a function."""

    def __init__(
        self, function: Any, kind: Kind, name: str | None, agent: str | None, model: str | None, input: bool,
        output: bool, store: Store | None, about: dict[str, Any],
    ) -> None:  # fmt: skip
        self.kind, self.agent, self.model = kind, agent, model
        self.name = name or getattr(function, "__name__", type(function).__name__)
        self.keeps_input, self.keeps_output = input, output
        self.store, self.about = store, about
        try:
            self.signature: inspect.Signature | None = inspect.signature(function)
        except (TypeError, ValueError):  # of a builtin
            self.signature = None

    def begin(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Call | None:
        """A call under way; ``None`` where nothing captures it."""
        place = here()
        if place is None and (self.kind != "agent" or self.store is None):
            return None
        try:
            return _Call(self, place, self._arguments(args, kwargs))
        except Exception:
            log.exception("a call of %s could not be captured", self.name)
            return None

    def _arguments(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        if self.signature is None:
            return {"args": args, **kwargs}
        try:
            bound = dict(self.signature.bind(*args, **kwargs).arguments)
        except TypeError:  # the call will raise it
            return {"args": args, **kwargs}
        first = next(iter(bound), None)
        if first in ("self", "cls"):
            del bound[first]
        for parameter in self.signature.parameters.values():
            if parameter.kind is parameter.VAR_KEYWORD and parameter.name in bound:
                bound |= bound.pop(parameter.name)
        return bound


class _Call:
    """One call, captured: in a ``with``, or entered and left around each piece of work that is done for it."""

    def __init__(self, traced: _Traced, place: Place | None, arguments: dict[str, Any]) -> None:
        self._traced = traced
        self._yielded: list[Any] = []
        self._token: Token[Place | None] | None = None
        self.result: Any = None
        self._step: Span | None = None
        self._run: Recording | None = None
        given = arguments if traced.keeps_input else None
        if traced.kind == "agent":
            self._run = self._new_run(place, given)
            self._run.begin()
            self.place = Place(self._run)
        else:
            assert place is not None
            self._step = self._new_step(place.recording, arguments, given)
            self._step.begin()
            self.place = Place(place.recording, self._step.number, self._step.span_id, self._step.call)

    def _new_run(self, place: Place | None, given: Any) -> Recording:
        from workbench.replay.capture.delivery import delivery_of
        from workbench.replay.capture.recording import Recording, taken_up

        traced = self._traced
        about = {"agent_type": traced.agent or traced.name, "name": traced.name, "model": traced.model, **traced.about}
        about.setdefault("input", given)
        own = taken_up(about["agent_type"])
        if own is not None:
            return own
        if traced.store is not None:
            return Recording(diverted.get() or delivery_of(traced.store), **about)
        assert place is not None
        return Recording(place.recording.delivery, **about)

    def _new_step(self, recording: Recording, arguments: dict[str, Any], given: Any) -> Span:
        traced = self._traced
        if traced.kind == "tool":
            return ToolCall(recording, traced.name, given, agent=traced.agent)
        if traced.kind == "llm":
            model = traced.model or arguments.get("model")
            call = ModelCall(recording, model if isinstance(model, str) else None, input=given, agent=traced.agent)
            call._about["name"] = traced.name
            return call
        return Span(recording, "span", name=traced.name, agent=traced.agent, input=given)

    def __enter__(self) -> Self:
        self._token = enter(self.place)
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        leave(self._token)
        self.end(self.result, error)

    def yielded(self, value: Any) -> None:
        if len(self._yielded) < MAX_YIELDED:
            self._yielded.append(value)

    def end(self, result: Any = None, error: BaseException | None = None) -> None:
        """The call is over."""
        try:
            self._end(result if result is not None or not self._yielded else _joined(self._yielded), error)
        except Exception:
            log.exception("the end of a call of %s could not be captured", self._traced.name)

    def _end(self, result: Any, error: BaseException | None) -> None:
        kept = result if self._traced.keeps_output else None
        step, run = self._step, self._run
        if isinstance(step, ToolCall):
            step.result = kept
        elif isinstance(step, ModelCall):
            step.output = kept
            told, usage = usage_of(result)
            step.model, step.usage = step.model or told, step.usage or usage
        elif step is not None:
            step.output = kept
        if step is not None:
            step.end(error)
        if run is not None:
            if error is None and not run.is_finished:
                run.finish(output=kept)
            run.end(error)


def _joined(values: list[Any]) -> Any:
    return "".join(values) if all(isinstance(value, str) for value in values) else values


def _wrapped(function: Any, traced: _Traced) -> Any:
    if inspect.isasyncgenfunction(function):
        return _async_generator(function, traced)
    if inspect.iscoroutinefunction(function):
        return _coroutine(function, traced)
    if inspect.isgeneratorfunction(function):
        return _generator(function, traced)
    return _function(function, traced)


def _answerable(wrapped: Any, traced: _Traced) -> Any:
    """The same, and what calls it may be answered from a recording; a declaration of the user's says how."""
    own = inspect.unwrap(wrapped)
    if traced.kind not in _EFFECTS or inspect.isgeneratorfunction(own) or inspect.isasyncgenfunction(own):
        return wrapped
    return declared(wrapped, effect_of(wrapped) or _EFFECTS[traced.kind], name=traced.name)


def _function(function: Any, traced: _Traced) -> Any:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        call = traced.begin(args, kwargs)
        if call is None:
            return function(*args, **kwargs)
        with call:
            call.result = function(*args, **kwargs)
        return call.result

    return wrapper


def _coroutine(function: Any, traced: _Traced) -> Any:
    @functools.wraps(function)
    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        call = traced.begin(args, kwargs)
        if call is None:
            return await function(*args, **kwargs)
        with call:
            call.result = await function(*args, **kwargs)
        return call.result

    return wrapper


def _generator(function: Any, traced: _Traced) -> Any:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        call = traced.begin(args, kwargs)
        generator = function(*args, **kwargs)
        if call is None:
            return (yield from generator)
        sent, thrown = None, None
        try:
            while True:
                # Between two values the caller is not in the step: whatever it does then is not of it.
                token = enter(call.place)
                try:
                    value = generator.send(sent) if thrown is None else generator.throw(thrown)
                finally:
                    leave(token)
                call.yielded(value)
                sent, thrown = None, None
                try:
                    sent = yield value
                except GeneratorExit:
                    generator.close()
                    raise
                except BaseException as error:  # noqa: BLE001 (it is thrown into the generator, which may take it)
                    thrown = error
        except StopIteration as stop:
            call.end(stop.value)
            return stop.value
        except BaseException as error:
            call.end(error=error)
            raise

    return wrapper


def _async_generator(function: Any, traced: _Traced) -> Any:
    @functools.wraps(function)
    async def wrapper(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        call = traced.begin(args, kwargs)
        generator = function(*args, **kwargs)
        sent, thrown = None, None
        try:
            while True:
                token = enter(call.place) if call is not None else None
                try:
                    value = await (generator.asend(sent) if thrown is None else generator.athrow(thrown))
                finally:
                    leave(token)
                if call is not None:
                    call.yielded(value)
                sent, thrown = None, None
                try:
                    sent = yield value
                except GeneratorExit:
                    await generator.aclose()
                    raise
                except BaseException as error:  # noqa: BLE001 (as above)
                    thrown = error
        except StopAsyncIteration:
            if call is not None:
                call.end()
        except BaseException as error:
            if call is not None:
                call.end(error=error)
            raise

    return wrapper
