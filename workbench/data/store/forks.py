"""``os.fork()`` while a thread of ours imports a module: it waits until that is done.

A child has only the thread that forked. A module that another thread was importing stays locked in it for ever, and who
imports it there hangs. What we import in threads, or late and for the first time, is imported inside :func:`importing`.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

WAIT_S = 5.0  # a fork in the middle of an import of its own, which ours needs, would wait for ever

_gate = threading.RLock()
_held = threading.local()


@contextmanager
def importing() -> Iterator[None]:
    """No fork meanwhile."""
    with _gate:
        yield


def _before() -> None:
    _held.gate = _gate.acquire(timeout=WAIT_S)


def _in_parent() -> None:
    if _held.gate:
        _gate.release()


def _in_child() -> None:
    global _gate
    _gate = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)
