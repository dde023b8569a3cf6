""":class:`Guard`: while an agent is run again, nothing leaves the process that was not declared.

Python tells of every socket, process and file that is opened (PEP 578 audit events), and what it tells nothing of
(:mod:`workbench.replay.rerun.unaudited`) is asked for. Inside a guard each such effect is refused, with an error in the
agent's own stack, unless a declared tool is at work that may have it. Threads and the work given to pools of threads
stay guarded when the guard is gone.

Not seen is what is in C alone (a database driver's own sockets, files that a data frame writes), what is written to a
file or a database file that was open before, and work handed to a thread that was there before by a queue of the
agent's own: declare it as a tool.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from workbench.errors import EffectRefusedError
from workbench.replay.rerun.stand_ins import StandIns
from workbench.replay.rerun.threads import carrying, take_along
from workbench.replay.rerun.unaudited import places

_NETWORK = frozenset({
    "socket.connect", "socket.sendto", "socket.sendmsg", "socket.bind", "socket.getaddrinfo", "socket.gethostbyname",
    "socket.gethostbyaddr",
})  # fmt: skip
_PROCESSES = frozenset({
    "subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.forkpty", "os.startfile",
    "os.kill", "os.killpg",
})  # fmt: skip
_FILES = frozenset({
    "os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.truncate", "os.chmod", "os.chown",
    "os.utime",
})  # fmt: skip
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_BYTECODE = ("__pycache__", ".pyc")  # what an import leaves behind is no effect of the agent
_TEMPORARY = ("/dev/null",)
_READ_ONLY = ("mode=ro", "mode=memory", ":memory:", "immutable=1")  # in the address of an SQLite database

_OUTSIDE = False  # known to work for nobody that is guarded; None: not known
_guarding: ContextVar[Guard | bool | None] = ContextVar("workbench_guard", default=None)
_is_free: ContextVar[bool] = ContextVar("workbench_guard_free", default=False)
_standing: list[Guard] = []
_is_hooked = False


@dataclass(frozen=True, slots=True)
class Effect:
    """Something that would have left the process: ``kind`` is network · process · file."""

    kind: str
    what: str


@dataclass(slots=True)
class Guard:
    """Refuses effects within a ``with``: in this context, in what it awaits, and in every thread started meanwhile.

    Attributes
    ----------
    refused
        What was tried, in order.

    Examples
    --------
    >>> import subprocess
    >>> with Guard() as guard:
    ...     try:
    ...         subprocess.run(["true"])
    ...     except EffectRefusedError as error:
    ...         print(error)
    A process was to be started that is no declared tool: true. Declare it as a tool, or allow it.
    >>> guard.refused
    [Effect(kind='process', what='true')]
    """

    refused: list[Effect] = field(default_factory=list)
    _threads: frozenset[threading.Thread] = frozenset()
    _token: Any = None

    def __enter__(self) -> Self:
        _hook_once()
        self._threads = frozenset(threading.enumerate())
        self._token = _guarding.set(self)
        _standing.append(self)
        carrying.__enter__()
        _asking.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _asking.__exit__(kind, error, trace)
        carrying.__exit__(kind, error, trace)
        _standing.remove(self)
        _guarding.reset(self._token)

    def refuse(self, effect: Effect) -> None:
        """Note an effect and raise."""
        self.refused.append(effect)
        raise EffectRefusedError(
            f"{_SAID[effect.kind]} that is no declared tool: {effect.what}. Declare it as a tool, or allow it.",
            kind=effect.kind,
            what=effect.what,
        )


@contextmanager
def free() -> Iterator[None]:
    """Effects inside are wanted: a declared tool that may have them is at work, or our own writing."""
    token = _is_free.set(True)
    try:
        yield
    finally:
        _is_free.reset(token)


_SAID = {
    "network": "A connection was to be made",
    "process": "A process was to be started",
    "file": "A file was to be changed",
}


def _hook_once() -> None:
    """Audit hooks cannot be taken away again, so there is one, and it does nothing while no guard stands."""
    global _is_hooked
    if not _is_hooked:
        _is_hooked = True
        sys.addaudithook(_on_event)


def _on_event(event: str, args: tuple[Any, ...]) -> None:
    if not _standing and not _guarding.get():
        return
    effect = _effect_of(event, args)
    if effect is not None:
        _ask(effect.kind, effect.what)


def _ask(kind: str, what: str) -> None:
    guard = None if _is_free.get() else _guard_here()
    if isinstance(guard, Guard):
        guard.refuse(Effect(kind, what))


def _guard_here() -> Guard | bool:
    found = _guarding.get()
    if found is not None:
        return found
    # A thread that nobody was seen to start is guarded, unless it was there before.
    own = threading.current_thread()
    return next((one for one in reversed(_standing) if own not in one._threads), _OUTSIDE)


_asking = StandIns(lambda: places(_ask))
take_along(_guarding, _guard_here)
take_along(_is_free, _is_free.get)


def _effect_of(event: str, args: tuple[Any, ...]) -> Effect | None:
    if event == "open":
        path, mode, flags = args
        if not isinstance(path, (str, bytes, os.PathLike)) or not _is_writing(mode, flags):
            return None
        text = os.fsdecode(path)
        return None if text.endswith(_BYTECODE) or "__pycache__" in text or text in _TEMPORARY else Effect("file", text)
    if event in _NETWORK:
        return Effect("network", _address(args))
    if event in _PROCESSES:
        return Effect("process", _command(args))
    if event == "sqlite3.connect":
        return _database(args[0])
    if event in _FILES:
        return None if "__pycache__" in str(args[:1]) else Effect("file", _text(args[0]))
    return None


def _database(name: Any) -> Effect | None:
    """Opening the file of a database makes it where it is not there, and locks it."""
    text = os.fsdecode(name) if isinstance(name, (str, bytes, os.PathLike)) else str(name)
    within = text in ("", ":memory:") or (text.startswith("file:") and any(part in text for part in _READ_ONLY))
    return None if within else Effect("file", text)


def _is_writing(mode: Any, flags: Any) -> bool:
    if isinstance(mode, str):
        return any(letter in mode for letter in "wax+")
    return isinstance(flags, int) and bool(flags & _WRITING)


def _address(args: tuple[Any, ...]) -> str:
    found = args[-1] if len(args) > 1 and hasattr(args[0], "fileno") else args[:2]
    if isinstance(found, tuple):
        return ":".join(str(part) for part in found[:2])
    return _text(found)


def _command(args: tuple[Any, ...]) -> str:
    if len(args) > 1 and isinstance(args[1], (list, tuple)) and args[1]:
        return " ".join(_text(part) for part in args[1])
    return _text(args[0]) if args else ""


def _text(value: Any) -> str:
    return os.fsdecode(value) if isinstance(value, (str, bytes, os.PathLike)) else str(value)
