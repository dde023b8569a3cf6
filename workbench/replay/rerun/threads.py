"""What a thread takes along from who starts it or gives it work: who guards it, and who answers its calls.

A new thread begins with an empty context, and a thread of a pool keeps that of whoever came first, so neither knows for
whom it works. Within :func:`carrying` both are told.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import thread as pools
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from workbench.replay.rerun.stand_ins import StandIns

_ticks = itertools.count(1)
_work: ContextVar[Work | None] = ContextVar("workbench_work", default=None)
_taken_along: list[tuple[ContextVar[Any], Callable[[], Any]]] = []


@dataclass(slots=True, eq=False)
class Work:
    """What a thread does for another: when it was given to it, and when it was done, in ticks of a common clock."""

    given: int
    done: int | None = None

    def is_beside(self, other: Work) -> bool:
        """Whether both were under way, or waited to be, at the same time: their order means nothing."""
        is_after = self.done is not None and self.done < other.given
        return self is not other and not is_after and (other.done is None or self.given < other.done)


def work_here() -> Work | None:
    """The work that this thread does for another, where it was seen to be given it."""
    return _work.get()


def take_along(variable: ContextVar[Any], found: Callable[[], Any]) -> None:
    """Set a variable in every thread, to what is found where it is started or given its work."""
    _taken_along.append((variable, found))


def working_for_here(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, to be called elsewhere on behalf of who is here."""
    work = Work(next(_ticks))
    taken: list[tuple[ContextVar[Any], Any]] = [(_work, work)]
    taken += [(variable, found()) for variable, found in _taken_along]

    def call(*args: Any, **kwargs: Any) -> Any:
        tokens = [(variable, variable.set(value)) for variable, value in taken]
        try:
            return function(*args, **kwargs)
        finally:
            work.done = next(_ticks)
            for variable, token in tokens:
                variable.reset(token)

    return call


def _starting(start: Callable[[threading.Thread], None]) -> Callable[[threading.Thread], None]:
    def started(thread: threading.Thread) -> None:
        # A thread of a pool lives on, and works for others: each piece of its work knows for whom it is.
        if getattr(thread, "_target", None) is not getattr(pools, "_worker", thread):
            thread.run = working_for_here(thread.run)
        start(thread)

    return started


def _submitting(submit: Callable[..., Any]) -> Callable[..., Any]:
    def submitted(pool: ThreadPoolExecutor, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        return submit(pool, working_for_here(function), *args, **kwargs)

    return submitted


carrying = StandIns(
    lambda: [
        (threading.Thread, "start", _starting),
        (ThreadPoolExecutor, "submit", _submitting),
    ]
)
