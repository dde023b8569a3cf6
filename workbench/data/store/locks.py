"""Locks on files, held by processes and dropped by the kernel when a process dies, however it dies (``flock``)."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from workbench.errors import ServerError

_POLL_S = 0.02


class FileLock:
    """One open handle on a lock file. Two handles exclude each other, also inside one process."""

    def __init__(self, path: Path, *, create: bool = True) -> None:
        self.path = path
        self._handle = os.open(path, os.O_RDWR | (os.O_CREAT if create else 0) | os.O_CLOEXEC, 0o600)

    def fileno(self) -> int:
        """The file descriptor; a child that inherits it holds the lock too."""
        return self._handle

    def try_shared(self) -> bool:
        """Hold it together with other shared holders; ``False`` when an exclusive one has it."""
        return self._try(fcntl.LOCK_SH)

    def try_exclusive(self) -> bool:
        """Hold it alone; ``False`` when anybody else has it."""
        return self._try(fcntl.LOCK_EX)

    def release(self) -> None:
        """Let go, for every process that inherited this handle as well."""
        fcntl.flock(self._handle, fcntl.LOCK_UN)

    def close(self) -> None:
        """Close this process's handle; who inherited it keeps holding."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def say(self, text: str) -> None:
        """Write who holds it and why, for whoever waits."""
        os.ftruncate(self._handle, 0)
        os.pwrite(self._handle, text.encode(), 0)

    def said(self) -> str:
        """What the holder wrote."""
        return os.pread(self._handle, 200, 0).decode(errors="replace").strip()

    def _try(self, kind: int) -> bool:
        try:
            fcntl.flock(self._handle, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            raise ServerError(
                f"The file system of {self.path} has no locks ({error.strerror}). Choose a home on a local disk:"
                " connect(home=…) or WORKBENCH_HOME."
            ) from error
        return True


@contextmanager
def alone(path: Path, *, doing: str, timeout_s: float) -> Iterator[None]:
    """Hold an exclusive lock; wait for it, and say at the deadline who has it.

    Raises
    ------
    ServerError
        Somebody held it all the time.
    """
    with FileLock(path) as lock:
        deadline = time.monotonic() + timeout_s
        while not lock.try_exclusive():
            if time.monotonic() > deadline:
                raise ServerError(
                    f"Waited {timeout_s:.0f} s for {path}, which is held by {lock.said() or 'another process'}."
                    f" Wait for it or end it, then try again."
                )
            time.sleep(_POLL_S)
        lock.say(f"process {os.getpid()}, {doing} since {time.strftime('%H:%M:%S')}")
        yield


def holders(path: Path) -> int | None:
    """How many handles hold a lock on this file; ``None`` where the system does not tell (other than Linux)."""
    try:
        found = path.stat()
        lines = Path("/proc/locks").read_text().splitlines()
    except OSError:
        return None
    where = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
    return sum(1 for line in lines if where in line.split() and "->" not in line) or None
