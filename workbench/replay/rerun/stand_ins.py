"""Functions of others that are replaced as long as somebody needs it."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any

Place = tuple[Any, str, Callable[[Any], Any]]  # who has it, its name, what makes the stand-in of it

_ABSENT: Any = object()


class StandIns:
    """Replaces functions within a ``with``; several may be within at once, and the last one out puts them back.

    Parameters
    ----------
    places
        Called when the first comes: a class or module, the name of a function in it, and what makes the stand-in of
        that function.
    """

    def __init__(self, places: Callable[[], Iterable[Place]]) -> None:
        self._places = places
        self._lock = threading.Lock()
        self._n_within = 0
        self._put: list[tuple[Any, str, Any, Any]] = []

    def __enter__(self) -> None:
        with self._lock:
            self._n_within += 1
            if self._n_within == 1:
                for owner, name, make in self._places():
                    stand_in = functools.wraps(getattr(owner, name))(make(getattr(owner, name)))
                    self._put.append((owner, name, vars(owner).get(name, _ABSENT), stand_in))
                    setattr(owner, name, stand_in)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._n_within -= 1
            if self._n_within:
                return
            while self._put:
                owner, name, before, stand_in = self._put.pop()
                if vars(owner).get(name) is not stand_in:  # somebody else has replaced it since, and may call ours
                    continue
                if before is _ABSENT:
                    delattr(owner, name)
                else:
                    setattr(owner, name, before)
