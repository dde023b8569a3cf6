"""Do things while the next are being prepared: the server takes rows while the client reads on."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from typing import Any, Self

_WAITING = 3  # calls; their arguments are in memory
_PATIENCE_S = 0.2  # for the call that is being done, before it is told to end


class Ahead:
    """A thread that does one call at a time, in order; who is too far ahead of it waits.

    Leaving the ``with`` waits for all, whatever happened meanwhile, so nothing goes on behind the caller's back; where
    the caller failed or was interrupted, what has not begun is not done.

    Parameters
    ----------
    cancel
        Makes the call that is being done end soon: it may wait for somebody else, and Ctrl+C reaches the caller only.
        Asked again until that call has ended.
    """

    def __init__(self, cancel: Callable[[], object]) -> None:
        self._cancel = cancel

    def __enter__(self) -> Self:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="workbench-write")
        self._calls: deque[Future[object]] = deque()
        return self

    def do(self, call: Callable[..., object], *arguments: Any) -> None:
        """Do a call when those before have ended.

        Raises
        ------
        Exception
            What an earlier call raised; this one is not made.
        """
        self._wait(_WAITING)
        # With the caller's context: what it says of tracing holds for what is done for it.
        self._calls.append(self._thread.submit(copy_context().run, call, *arguments))

    def finish(self) -> None:
        """Wait until all is done.

        Raises
        ------
        Exception
            What a call raised.
        """
        self._wait(0)

    def _wait(self, n_left: int) -> None:
        """Wait until no more calls than that are open; of those that have ended, raise what they raised."""
        while self._calls and (len(self._calls) > n_left or self._calls[0].done()):
            self._calls.popleft().result()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self.finish()
        finally:
            self._stop()

    def _stop(self) -> None:
        try:
            for call in self._calls:
                call.cancel()
            while wait(self._calls, _PATIENCE_S).not_done:
                self._cancel()
        finally:
            self._thread.shutdown()
