"""Where the code that runs now stands: in which recording, and inside which of its steps.

It is kept in a context variable: each asyncio task has the place it was started at. A new thread has none; what
:meth:`workbench.replay.capture.recording.Recording.bind` makes of a function takes its place along.
"""

from __future__ import annotations

from contextvars import ContextVar, Token
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from workbench.replay.capture.recording import Recording


class Place(NamedTuple):
    """A recording, and the step of it that is under way (``None``: none is)."""

    recording: Recording
    number: int | None = None
    span_id: str | None = None
    call: tuple[str, str | None] | None = None  # event type and name of that step


_here: ContextVar[Place | None] = ContextVar("workbench_place", default=None)
here = _here.get

diverted: ContextVar[Any] = ContextVar("workbench_diverted", default=None)
"""Takes what is captured here, in place of the delivery of a store: that of an agent under test."""


def enter(place: Place) -> Token[Place | None]:
    """Go there; :func:`leave` goes back."""
    return _here.set(place)


def leave(token: Token[Place | None] | None) -> None:
    """Go back to where :func:`enter` came from, also where that was in another context (thread, task, generator)."""
    if token is not None:
        try:
            _here.reset(token)
        except (ValueError, RuntimeError):
            _here.set(None if token.old_value is Token.MISSING else token.old_value)
