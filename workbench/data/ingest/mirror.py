"""Runs that tell of live graphs: made of the checkpoints in the store, by the reader of LangGraph's tables.

The checkpoints are the truth, the runs say what they say: a late write, a fork, a thread that was pruned or deleted
changes the runs with the next mirroring. It happens behind the back of the agent, soon after its thread has changed,
and takes no more than a fifth of the time; whoever reads in the same process sees all that was put before. What a
killed process left behind is made up for by the next one.
"""

from __future__ import annotations

import logging
import os
import threading
import time
import uuid
import weakref
from typing import TYPE_CHECKING

from workbench.data.ingest.ids import execution_id
from workbench.data.ingest.live_runs import LiveThreads
from workbench.data.ingest.live_thread import FORMAT
from workbench.data.store.graph_values import Values
from workbench.data.store.graphs import Graphs
from workbench.errors import StoreUnavailableError, WorkbenchError

if TYPE_CHECKING:
    from workbench.data.store.engine import Store

log = logging.getLogger(__name__)

_SHARE = 5  # of the time, one part is for mirroring
_PAUSE_S = 0.05


class Mirror:
    """Mirrors the threads of one store that have changed, in the background. One for each store: :func:`mirror_of`."""

    def __init__(self, store: Store) -> None:
        self._threads = LiveThreads()
        self._store = weakref.ref(store)
        self._waiting: dict[str, Values | None] = {}
        self._wake = threading.Condition()
        self._busy = threading.Lock()
        self._thread: threading.Thread | None = None
        self._is_closed = False
        store.before_read(self.flush)
        store.on_close(self.close)

    def note(self, thread_id: str, values: Values | None = None) -> None:
        """A thread has changed; ``values`` remembers what was put, which need not be read then."""
        with self._wake:
            self._waiting[thread_id] = values
            if self._is_closed:
                return
            if self._thread is None or not self._thread.is_alive():  # or this is a forked child
                self._thread = threading.Thread(target=self._run, name="workbench-mirror", daemon=True)
                self._thread.start()
            self._wake.notify()

    def flush(self) -> None:
        """Mirror now whatever has changed.

        Raises
        ------
        StoreUnavailableError
            No answer from the database.
        """
        with self._busy:
            while thread := self._next():
                self._do(*thread)

    def close(self) -> None:
        """Mirror what has changed, and end; what a dead database does not take is made up for later."""
        with self._wake:
            self._is_closed = True
            self._wake.notify()
        try:
            self.flush()
        except WorkbenchError as error:
            log.warning("the last checkpoints are not shown as runs yet: %s", error)

    def _next(self) -> tuple[str, Values | None] | None:
        with self._wake:
            thread = next(iter(self._waiting), None)
            return None if thread is None else (thread, self._waiting.pop(thread))

    def _do(self, thread_id: str, values: Values | None) -> None:
        store = self._store()
        if store is None:
            return
        try:
            with store.raw() as connection:
                row = connection.execute(_BY_NAME, [thread_id]).fetchone()
            if row is not None:
                self._threads.mirror(store, Graphs(store, values), row[0])
        except StoreUnavailableError:
            with self._wake:
                self._waiting.setdefault(thread_id, values)
            raise

    def _run(self) -> None:
        pause = _PAUSE_S
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._waiting or self._is_closed)
                self._wake.wait_for(lambda: self._is_closed, timeout=pause)
                if self._is_closed or self._store() is None:
                    return
            began = time.monotonic()
            try:
                with self._busy:
                    thread = self._next()
                    if thread is not None:
                        self._do(*thread)
            except Exception as error:  # the agent goes on; its checkpoints are stored
                log.warning(
                    "checkpoints are stored, but not shown as runs yet: %s",
                    error,
                    exc_info=not isinstance(error, WorkbenchError),
                )
                pause = min(max(pause, _PAUSE_S) * 2, 30.0)
            else:
                pause = max(_PAUSE_S, (_SHARE - 1) * (time.monotonic() - began))


_mirrors: weakref.WeakKeyDictionary[Store, Mirror] = weakref.WeakKeyDictionary()
_making = threading.Lock()
if hasattr(os, "register_at_fork"):  # a child has no thread of its parent's, and its locks may be held by one
    os.register_at_fork(after_in_child=_mirrors.clear)


def mirror_of(store: Store) -> Mirror:
    """The mirror of a store."""
    with _making:
        found = _mirrors.get(store)
        if found is None:
            found = _mirrors[store] = Mirror(store)
        return found


def left_behind(store: Store, *, since_s: float = 0) -> list[str]:
    """Threads of which the runs do not tell all, and that nobody has changed for so long."""
    with store.raw() as connection:
        return [thread for (thread,) in connection.execute(_BEHIND, [since_s])]


def run_id_of(thread_id: str) -> uuid.UUID:
    """The id of the run that a thread becomes."""
    return execution_id(FORMAT, thread_id)


_BY_NAME = "SELECT id FROM workbench.graph_threads WHERE thread_id = %s"
_BEHIND = """
SELECT thread_id FROM workbench.graph_threads
WHERE mirrored < changed AND changed_at < clock_timestamp() - %s * interval '1 s' ORDER BY changed_at
"""
