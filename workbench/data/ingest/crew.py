"""Other processes that read files, as many as there are processors: parsing holds Python's lock.

They are started as commands, not forked, so that notebooks and scripts without a ``__main__`` guard work, and speak
JSON lines: one for each job on stdin, one or more for each answer on stdout. The database's URL goes by stdin too,
where no list of processes shows it. A process whose stdin ends ends itself, whatever it is doing.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self

from workbench.errors import ConfigurationError

_KILLED_TWICE = 2
_SMALL_BYTES = 50_000_000  # read before other processes, once started, have made up for it


def n_workers(wanted: int | None, sizes: Sequence[int]) -> int:
    """How many processes are to read files of these sizes; 1 = this one alone.

    Raises
    ------
    ConfigurationError
        ``wanted`` is less than 1.
    """
    if wanted is not None and wanted < 1:
        raise ConfigurationError(f"workers is {wanted}; it must be 1 (this process alone) or more.")
    if not sys.executable or len(sizes) < 2 or (wanted is None and sum(sizes) < _SMALL_BYTES):
        return 1
    return min(len(sizes), n_processors() if wanted is None else wanted)


def n_processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(slots=True, eq=False)
class Task:
    """A file to be read, by its place among the files."""

    place: int
    size_bytes: int
    job: Mapping[str, Any]
    n_killed: int = 0


@dataclass(slots=True, frozen=True)
class Answer:
    """What became of it: a report, or why the process could not make one.

    ``kind`` is ``report``; ``unavailable`` where the database went away; ``unexpected`` where the process failed in a
    way that is better seen in this one; ``killed`` where it was ended from outside, twice.
    """

    kind: str
    value: Any


class Crew:
    """Worker processes for the files of one ingest; used in a ``with``, at whose end none of them is left.

    Parameters
    ----------
    settings
        What each process is to open its store with, JSON.
    """

    def __init__(self, settings: Mapping[str, Any], n: int) -> None:
        self._settings = settings
        self._n = n
        self._said: queue.SimpleQueue[tuple[_Process, bytes]] = queue.SimpleQueue()
        self._processes: set[_Process] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        for process in list(self._processes):
            process.kill()
        self._processes.clear()

    def read(self, tasks: Iterable[Task], on_read: Callable[[int], object]) -> Iterator[tuple[Task, Answer]]:
        """Have the files read, the largest first; their answers as they come. ``on_read`` is told of bytes read."""
        waiting = deque(sorted(tasks, key=lambda task: -task.size_bytes))
        for _ in range(min(self._n, len(waiting))):
            self._start(waiting.popleft())
        while self._processes:
            process, line = self._said.get()
            message = json.loads(line) if line else self._ended(process)
            if "read" in message:
                n = min(message["read"], process.task.size_bytes - process.n_read)
                process.n_read += n
                on_read(n)
                continue
            task = process.task
            on_read(task.size_bytes - process.n_read)
            [(kind, value)] = message.items()
            if kind == "killed" and task.n_killed < _KILLED_TWICE:
                on_read(-task.size_bytes)
                waiting.appendleft(task)
            else:
                yield task, Answer(kind, value)
            if not waiting:
                process.end()
                self._processes.discard(process)
            elif line:
                process.give(waiting.popleft())
            else:
                self._processes.discard(process)
                self._start(waiting.popleft())

    def _start(self, task: Task) -> None:
        process = _Process(self._settings, task, self._said)
        self._processes.add(process)

    def _ended(self, process: _Process) -> dict[str, Any]:
        code = process.end()
        if code < 0:
            process.task.n_killed += 1
            return {"killed": _named(-code)}
        return {"unexpected": f"the process that read it ended with exit code {code}"}


class _Process:
    """One worker process and the task that it is at."""

    def __init__(
        self, settings: Mapping[str, Any], task: Task, said: queue.SimpleQueue[tuple[_Process, bytes]]
    ) -> None:
        # -P: no file of the current folder may stand before a module of Python's own.
        # A group of its own: Ctrl+C in a terminal is for us, who then end it.
        apart: dict[str, Any] = {"process_group": 0} if os.name == "posix" else {}
        path = os.pathsep.join(entry for entry in sys.path if entry)
        self._popen = subprocess.Popen(
            [sys.executable, "-P", "-m", "workbench.data.ingest.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path},
            **apart,
        )
        self._said = said
        self._send(settings)
        self.give(task)
        threading.Thread(target=self._listen, name="workbench-ingest", daemon=True).start()

    def give(self, task: Task) -> None:
        """Let it read a file."""
        self.task = task
        self.n_read = 0
        self._send(task.job)

    def _send(self, message: Mapping[str, Any]) -> None:
        assert self._popen.stdin is not None
        with suppress(BrokenPipeError):  # it is dead, which _listen tells
            self._popen.stdin.write(json.dumps(message).encode() + b"\n")
            self._popen.stdin.flush()

    def _listen(self) -> None:
        assert self._popen.stdout is not None
        with self._popen.stdout as lines:
            for line in lines:
                self._said.put((self, line))
        self._said.put((self, b""))

    def kill(self) -> None:
        """End it at once; the server rolls back what it had not committed."""
        self._popen.kill()
        self.end()

    def end(self) -> int:
        """Let it go; its exit code."""
        assert self._popen.stdin is not None
        with suppress(BrokenPipeError):
            self._popen.stdin.close()
        return self._popen.wait()


def _named(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
