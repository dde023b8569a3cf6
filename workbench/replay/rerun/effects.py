"""Declare what the functions of an agent do to the world: pure, idempotent, side effect, model.

A declared function is called as ever. Only while a run is run again, its calls go to that: they are answered from the
recording, made for real, or refused.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Literal, ParamSpec, Protocol, TypeVar

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
        for name, value in bound.items():
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


answering: ContextVar[Answers | None] = ContextVar("workbench_answering", default=None)


def pure(function: Callable[P, T]) -> Callable[P, T]:
    """Declare that a function only computes or looks something up: it may be called again at any time."""
    return _declared(function, "pure")


def idempotent(function: Callable[P, T]) -> Callable[P, T]:
    """Declare that a function changes something, and calling it twice is as calling it once."""
    return _declared(function, "idempotent")


def side_effect(function: Callable[P, T]) -> Callable[P, T]:
    """Declare that a function changes the world each time: run again, it is not called unless that is allowed."""
    return _declared(function, "side effect")


def model(function: Callable[P, T]) -> Callable[P, T]:
    """Declare that a function asks a model: recorded answers are given in their order, whatever is asked."""
    return _declared(function, "model")


def _declared(function: Callable[P, T], effect: Effect) -> Callable[P, T]:
    # Captured by a decorator too, it is called without that: the run that is run again records the call itself.
    own = inspect.unwrap(function)
    tool = Tool(getattr(own, "__name__", str(own)), effect, own)

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        answers = answering.get()
        return function(*args, **kwargs) if answers is None else answers.call(tool, args, kwargs)

    @functools.wraps(function)
    async def call_async(*args: P.args, **kwargs: P.kwargs) -> Any:
        answers = answering.get()
        if answers is None:
            return await function(*args, **kwargs)  # pyright: ignore[reportGeneralTypeIssues]
        return await answers.call_async(tool, args, kwargs)

    return call_async if inspect.iscoroutinefunction(own) else call  # pyright: ignore[reportReturnType]
