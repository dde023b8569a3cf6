"""A process that reads files for another one: ``python -m workbench.data.ingest.worker``, see :mod:`.crew`.

stdin: a line with the settings of the store, then one line for each file. stdout: for each file any number of
``{"read": bytes}``, then one of ``{"report": …}``, ``{"unavailable": text}`` and ``{"unexpected": text}``.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, BinaryIO

from workbench.data.ingest.batch import read_one
from workbench.data.store.engine import Store
from workbench.errors import StoreUnavailableError
from workbench.settings import Settings

_TELL_S = 0.1


def main() -> None:
    """Read files until stdin ends."""
    with os.fdopen(os.dup(sys.stdout.fileno()), "wb", buffering=0) as out:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a library prints is no answer
        _work(_Jobs(), out)
    os._exit(0)  # a thread that waits for stdin would keep Python from ending


def _work(jobs: _Jobs, out: BinaryIO) -> None:
    store = Store.open(Settings(**jobs.next()), migrate=False)
    while job := jobs.next():
        answer = _answer(store, job, _Teller(out))
        jobs.n_done += 1
        _send(out, answer)
    store.close()


class _Jobs:
    """The lines of stdin. Its end in the middle of a file means that nobody waits for the answer any more."""

    def __init__(self) -> None:
        self.n_done = 1  # the first line is the settings
        self._lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        threading.Thread(target=self._listen, daemon=True).start()

    def next(self) -> dict[str, Any]:
        """What the next line says; empty where there is none."""
        line = self._lines.get()
        return json.loads(line) if line else {}

    def _listen(self) -> None:
        n_given = 0
        for line in sys.stdin.buffer:
            n_given += 1
            self._lines.put(line)
        if n_given > self.n_done:
            os._exit(1)
        self._lines.put(b"")


def _send(out: BinaryIO, message: dict[str, Any]) -> None:
    out.write(json.dumps(message).encode() + b"\n")


class _Teller:
    """Tells now and then how many bytes were read."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self._n = 0
        self._next = time.monotonic() + _TELL_S

    def __call__(self, n: int) -> None:
        self._n += n
        if time.monotonic() >= self._next:
            _send(self._out, {"read": self._n})
            self._n = 0
            self._next = time.monotonic() + _TELL_S


def _answer(store: Store, job: dict[str, Any], on_read: Callable[[int], object]) -> dict[str, Any]:
    try:
        return {"report": read_one(store, **job, on_read=on_read).as_dict()}
    except StoreUnavailableError as error:
        return {"unavailable": str(error)}
    except Exception as error:  # noqa: BLE001 (the one who asked reads the file himself, and sees the same)
        return {"unexpected": f"{type(error).__name__}: {error}"}


if __name__ == "__main__":
    main()
