"""Declare what the functions of an agent do to the world: pure, idempotent, side effect, model.

A declared function is called as ever. Only while a run is run again, its calls go to that: they are answered from the
recording, made for real, or refused. What ``trace(kind="tool")`` or ``trace(kind="llm")`` captures is declared by that,
as a side effect and a model; a declaration of its own says it better.
"""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Literal, ParamSpec, Protocol, TypeVar

from workbench.replay.rerun.threads import carrying, take_along

P = ParamSpec("P")
T = TypeVar("T")

Effect = Literal["pure", "idempotent", "side effect", "model"]


@dataclass(frozen=True, slots=True)
class Tool:
    """A declared function."""

    name: str
    effect: Effect
    function: Callable[..., Any]

    def arguments(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """The arguments of a call by name, as recordings hold them; those that take all the rest are spread out."""
        signature = inspect.signature(self.function)
        bound = signature.bind(*args, **kwargs).arguments
        given: dict[str, Any] = {}
        for at, (name, value) in enumerate(bound.items()):
            if not at and name in ("self", "cls"):  # of a method; recordings do not hold it either
                continue
            if signature.parameters[name].kind is inspect.Parameter.VAR_KEYWORD:
                given |= value
            else:
                given[name] = value
        return given


class Answers(Protocol):
    """What answers the calls of declared functions: a run that is run again."""

    def call(self, tool: Tool, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Answer a call."""
        ...

    async def call_async(self, tool: Tool, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Answer a call that is awaited."""
        ...


_answering: ContextVar[Answers | Literal[False] | None] = ContextVar("workbench_answering", default=None)
_standing: list[tuple[Answers, frozenset[threading.Thread]]] = []


def answering() -> Answers | None:
    """What answers declared functions that are called here: in a thread, what answers who started it or gave it work.

    A thread that nobody was seen to start is answered unless it was there before the run was run again.
    """
    found = _answering.get()
    if found is not None or not _standing:
        return found or None
    own = threading.current_thread()
    return next((answers for answers, before in reversed(_standing) if own not in before), None)


take_along(_answering, lambda: answering() or False)


@contextmanager
def answered_by(answers: Answers) -> Iterator[None]:
    """Calls of declared functions inside go to ``answers``: here, in what is awaited, in threads, in work for pools."""
    standing = (answers, frozenset(threading.enumerate()))
    token = _answering.set(answers)
    _standing.append(standing)
    try:
        with carrying:
            yield
    finally:
        _standing.remove(standing)
        _answering.reset(token)


def pure(function: Callable[P, T]) -> Callable[P, T]:
    """Declare that a function only computes or looks something up: it may be called again at any time."""
    return declared(function, "pure")


def idempotent(function: Callable[P, T]) -> Callable[P, T]:
    """Declare that a function changes something, and calling it twice is as calling it once."""
    return declared(function, "idempotent")


def side_effect(function: Callable[P, T]) -> Callable[P, T]:
    """Declare that a function changes the world each time: run again, it is not called unless that is allowed."""
    return declared(function, "side effect")


def model(function: Callable[P, T]) -> Callable[P, T]:
    """Declare that a function asks a model: recorded answers are given in their order, whatever is asked."""
    return declared(function, "model")


def effect_of(function: Any) -> Effect | None:
    """What a function is declared as; decorators above a declaration keep it."""
    return getattr(function, "__workbench_effect__", None)


def declared(function: Callable[P, T], effect: Effect, *, name: str | None = None) -> Callable[P, T]:
    """Declare a function, under the name that recordings have it by."""
    # Captured by a decorator too, it is called without that: the run that is run again records the call itself.
    own = inspect.unwrap(function)
    known: str = name or getattr(function, "__workbench_name__", None) or getattr(own, "__name__", str(own))
    tool = Tool(known, effect, own)

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        answers = answering()
        return function(*args, **kwargs) if answers is None else answers.call(tool, args, kwargs)

    @functools.wraps(function)
    async def call_async(*args: P.args, **kwargs: P.kwargs) -> Any:
        answers = answering()
        if answers is None:
            return await function(*args, **kwargs)  # pyright: ignore[reportGeneralTypeIssues]
        return await answers.call_async(tool, args, kwargs)

    made: Any = call_async if inspect.iscoroutinefunction(own) else call
    made.__workbench_effect__, made.__workbench_name__ = effect, known
    return made
