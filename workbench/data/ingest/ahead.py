"""Do one thing while the next is being prepared: the server takes rows while the client reads on."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any, Self


class Ahead:
    """A thread that does one call at a time, in order; whoever asks for the next waits until the last is done.

    Leaving the ``with`` waits too, whatever happened meanwhile, so nothing goes on behind the caller's back.
    """

    def __enter__(self) -> Self:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="workbench-write")
        self._last: Future[None] | None = None
        return self

    def do(self, call: Callable[..., None], *arguments: Any) -> None:
        """Start a call when the one before has ended.

        Raises
        ------
        Exception
            What the call before raised; this one is not made.
        """
        self._finish()
        self._last = self._thread.submit(call, *arguments)

    def _finish(self) -> None:
        last, self._last = self._last, None
        if last is not None:
            last.result()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._finish()
            elif self._last is not None:
                wait([self._last])
        finally:
            self._thread.shutdown()
