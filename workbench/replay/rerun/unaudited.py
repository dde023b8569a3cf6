"""Ways out of the process that Python has no audit event for, and that are functions of Python all the same."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable, Iterator
from typing import Any

from workbench.replay.rerun.stand_ins import Place

# kind, what, of the arguments of a call; None: it stays within the process
Told = Callable[..., tuple[str, str] | None]


def places(refuse: Callable[[str, str], None]) -> Iterator[Place]:
    """The functions to be replaced.

    Parameters
    ----------
    refuse
        Told the kind and what it is of each effect that is about to be; raises where it may not be.
    """

    def asked(told: Told) -> Callable[[Any], Any]:
        def make(function: Any) -> Any:
            def call(*args: Any, **kwargs: Any) -> Any:
                effect = told(*args, **kwargs)
                if effect is not None:
                    refuse(*effect)
                return function(*args, **kwargs)

            return call

        return make

    # What goes over a connection that was there before.
    for name in ("send", "sendall", "sendfile"):
        yield socket.socket, name, asked(_sent)
    secured = getattr(sys.modules.get("ssl"), "SSLSocket", None)
    if secured is not None:
        for name in ("send", "sendall", "sendfile", "write"):
            yield secured, name, asked(_sent)
    for name in ("mkfifo", "mknod"):
        if hasattr(os, name):
            yield os, name, asked(_made)
    # multiprocessing starts processes by it, unlike subprocess; a pool of processes that was there before needs none.
    if (posix := sys.modules.get("_posixsubprocess")) is not None:
        yield posix, "fork_exec", asked(_begun)
    if (pools := sys.modules.get("concurrent.futures.process")) is not None:
        yield pools.ProcessPoolExecutor, "submit", asked(_handed_over)


def _sent(sender: socket.socket, *_: Any, **__: Any) -> tuple[str, str] | None:
    try:
        peer = sender.getpeername()
    except OSError:  # not connected: the call itself says so
        return None
    if not peer:  # one of a pair, as event loops wake themselves by
        return None
    return "network", ":".join(str(part) for part in peer[:2]) if isinstance(peer, tuple) else os.fsdecode(peer)


def _made(path: Any, *_: Any, **__: Any) -> tuple[str, str]:
    return "file", os.fsdecode(path)


def _begun(command: Any, *_: Any, **__: Any) -> tuple[str, str]:
    return "process", " ".join(os.fsdecode(part) for part in command)


def _handed_over(_: Any, function: Any, *__: Any, **___: Any) -> tuple[str, str]:
    return "process", getattr(function, "__qualname__", str(function))
