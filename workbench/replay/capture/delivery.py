"""From the spool to the database: a thread of its own, so that no agent waits for either.

It takes what lies in the spool every :data:`EVERY_S` seconds, sooner when it is asked or when much has come. Where the
database is gone it tries again, later each time; what is captured meanwhile lies in the spool. What the database
refuses for good (a run that was deleted while it was recorded) is put aside in ``refused/`` beside the spool, and told
in the log.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.data.store import schema
from workbench.data.store.engine import Store  # its handler after a fork comes before ours
from workbench.data.store.failures import is_for_good
from workbench.errors import WorkbenchError
from workbench.replay.capture import writing
from workbench.replay.capture.spool import SUFFIX, Spool, folder_of, left, read_lines

if TYPE_CHECKING:
    from workbench.replay.capture.recording import Recording

log = logging.getLogger(__name__)

EVERY_S = 0.25
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 30.0
LOOK_AROUND_S = 10  # how often an active process looks for spools that dead ones left
CLOSE_WAIT_S = 20
_MUCH = 1_000_000  # bytes that are not left to lie


@dataclass(slots=True)
class Delivered:
    """What was delivered of spools that ended processes had left.

    Attributes
    ----------
    n_spools
        Files that were delivered whole and removed.
    n_runs, n_events, n_states
        What was written, or was there already.
    n_abandoned
        Runs of which no end was known; they are ``failed`` now, with ``error_type`` ``abandoned``.
    n_bad
        Records whose checksum was wrong: the last one of a process that was killed while it wrote it, usually.
    n_refused
        Records that the database refused, put aside in ``refused/``.
    """

    n_spools: int = 0
    n_runs: int = 0
    n_events: int = 0
    n_states: int = 0
    n_abandoned: int = 0
    n_bad: int = 0
    n_refused: int = 0

    def as_dict(self) -> dict[str, int]:
        """The numbers."""
        return asdict(self)

    def __str__(self) -> str:
        return (
            f"{self.n_spools} spools delivered: {self.n_events} events and {self.n_states} states of {self.n_runs} runs"
            f" ({self.n_abandoned} abandoned)" + (f"; {self.n_bad} damaged records were left out" if self.n_bad else "")
        )


class Delivery:
    """What this process captures for one database. One for each store: :func:`delivery_of`."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._folder = folder_of(store)
        self._start_anew()

    def _start_anew(self) -> None:
        self._open: dict[int, Recording] = {}
        self._lock = threading.RLock()  # of the spool's end: those who write to it
        self._delivering = threading.RLock()  # of its beginning: the one who reads it
        self._changed = threading.Condition()
        self._armed, self._hurry = threading.Event(), threading.Event()
        self._spool: Spool | None = None
        self._writer = writing.Writer()
        self._batch: writing.Batch | None = None  # made, and not yet written
        self._is_again = False
        self._thread: threading.Thread | None = None
        self._is_stopping = False
        self._n_taken = self._n_delivered = 0  # bytes, since the process began
        self._n_tries = self._n_failures = 0  # failures: one after the other
        self._n_dropped = 0
        self._looked_around = time.monotonic()

    # -- what recordings use -------------------------------------------------------------------------------------------

    def take(self, record: bytes) -> bool:
        """Put a record into the spool; ``False`` where it has no room. Never raises, never waits for the database."""
        with self._lock:
            try:
                spool = self._spool or self._begin()
                spool.append(record)
            except OSError as error:
                self._drop(error)
                return False
            self._n_taken += len(record)
            if not self._armed.is_set():
                self._armed.set()
            if self._n_taken - self._n_delivered > _MUCH and not self._n_failures:
                self._hurry.set()
        return True

    def _begin(self) -> Spool:
        self._spool = Spool(self._folder, limit=self._store.settings.spool_limit_mb * 1_000_000)
        self._thread = threading.Thread(target=self._work, name="workbench-capture", daemon=True)
        self._thread.start()
        return self._spool

    def _drop(self, error: OSError) -> None:
        self._n_dropped += 1
        self._armed.set()
        if self._n_dropped == 1:
            log.error("capture: what comes now is not kept, only counted: %s (spool in %s)", error, self._folder)

    def add(self, recording: Recording) -> None:
        """A run has begun."""
        self._open[id(recording)] = recording

    def discard(self, recording: Recording) -> None:
        """Its end is in the spool."""
        self._open.pop(id(recording), None)

    @property
    def is_down(self) -> bool:
        """Whether the last try to reach the database failed."""
        return self._n_failures > 0

    def flush(self, timeout_s: float | None) -> bool:
        """Wait until what was captured so far is in the database; ``False`` where a try failed or time is over."""
        if self._thread is None or self._thread is threading.current_thread():
            return self._n_taken == self._n_delivered
        target, tries, failures = self._n_taken, self._n_tries, self._n_failures
        self._armed.set()
        self._hurry.set()
        with self._changed:
            # The try that is under way when we come may have begun before there was an answer to be had.
            self._changed.wait_for(
                lambda: self._n_delivered >= target or (self._n_tries > tries + 1 and self._n_failures > 0)
                or (self._n_tries > tries and self._n_failures > failures > 0) or self._is_stopping,
                timeout_s,
            )  # fmt: skip
        return self._n_delivered >= target

    # -- the thread ----------------------------------------------------------------------------------------------------

    def _work(self) -> None:
        while not self._is_stopping:
            self._armed.wait()
            self._hurry.wait(self._pause())
            self._hurry.clear()
            self._armed.clear()
            if self._is_stopping and self._n_failures:
                return
            self._try()
            if not self._n_failures and time.monotonic() - self._looked_around > LOOK_AROUND_S:
                self.look_around()

    def _pause(self) -> float:
        if not self._n_failures:
            return EVERY_S
        return min(FIRST_PAUSE_S * 2 ** (self._n_failures - 1), LONGEST_PAUSE_S)

    def _try(self) -> None:
        try:
            with self._delivering:
                self._deliver()
        except Exception as error:  # noqa: BLE001 (the thread must live: the next try may go well)
            self._failed(error)
        else:
            if self._n_failures:
                log.info("capture: the database is back, all is delivered")
            self._n_failures = 0
        self._n_tries += 1
        with self._changed:
            self._changed.notify_all()

    def _failed(self, error: Exception) -> None:
        self._n_failures += 1
        self._is_again = True  # it may be there all the same
        self._armed.set()
        if self._n_failures == 1:
            known = isinstance(error, WorkbenchError)
            log.warning("capture: the spool keeps what is recorded: %s", error, exc_info=None if known else error)

    def _deliver(self) -> None:
        if self._spool is None:
            return
        for recording in list(self._open.values()):
            recording.tell()
        while self._batch is not None or self._spool.waiting:
            if self._batch is None:
                self._batch = self._writer.batch(self._spool.read())
            if not self._n_delivered:
                schema.ensure(self._store)
            _write(self._store, self._folder, self._batch, is_again=self._is_again)
            self._writer.wrote(self._batch)
            size, self._batch, self._is_again = self._batch.size, None, False
            with self._lock:
                self._spool.advance(size)
                self._n_delivered += size
            with self._changed:
                self._changed.notify_all()
        self._shrink(self._spool)

    def _shrink(self, spool: Spool) -> None:
        if self._open and not spool.is_long:
            return
        keep = [recording.record() for recording in list(self._open.values())]
        with self._lock:
            spool.shrink(keep)
        if not spool.waiting:
            self._n_dropped = 0  # there is room again: the next time it is told again

    # -- what others left ----------------------------------------------------------------------------------------------

    def look_around(self) -> None:
        """Deliver what others left, as far as it goes."""
        try:
            self.deliver_left()
        except (WorkbenchError, OSError) as error:
            log.warning("capture: what other processes left could not be delivered: %s", error)

    def deliver_left(self) -> Delivered:
        """Deliver the spools of processes that have ended. What another process is at is left to it.

        Raises
        ------
        StoreError
            The database is not there; the spools stay.
        """
        told = Delivered()
        self._looked_around = time.monotonic()
        for path, lock in left(self._folder):
            with lock:
                if not told.n_spools:
                    schema.ensure(self._store)
                self._deliver_file(path, lock.fileno(), told)
        return told

    def _deliver_file(self, path: Path, handle: int, told: Delivered) -> None:
        writer, at, size = writing.Writer(), 0, os.fstat(handle).st_size
        ended: dict[str, bool] = {}
        while at < size:
            data = read_lines(handle, at, size)
            if not data:
                break
            at += len(data)
            batch = writer.batch(data)
            told.n_refused += _write(self._store, self._folder, batch, is_again=True)
            writer.wrote(batch)
            told.n_bad += batch.n_bad
            told.n_events += len(batch.new_events) + len(batch.ended_events)
            told.n_states += len(batch.new_states)
            for run in batch.executions:
                ended[run] = ended.get(run, False) or (run in batch.runs and batch.runs[run].is_ended)
        lost = [run for run, is_ended in ended.items() if not is_ended]
        if lost:
            writing.abandon(self._store, lost)
        path.unlink(missing_ok=True)
        told.n_spools += 1
        told.n_runs += len(ended)
        told.n_abandoned += len(lost)
        if ended or told.n_bad:
            log.info("capture: %s is delivered: %d runs, %d of them abandoned", path.name, len(ended), len(lost))

    # -- ends ----------------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Deliver what is left, and remove the spool; where that fails it stays for the next who comes."""
        _deliveries.pop(id(self._store), None)
        thread, spool = self._thread, self._spool
        if spool is None or thread is None:
            return
        for recording in list(self._open.values()):
            recording.left_open()
        is_down = self.is_down
        self._is_stopping = True
        self._armed.set()
        self._hurry.set()
        thread.join(CLOSE_WAIT_S)
        if not is_down and not thread.is_alive():
            self._try()  # what came while the thread was at its last
        waiting = spool.waiting
        if waiting:
            log.warning(
                "capture: %d bytes wait in %s; the next workbench.connect() or `workbench deliver` delivers them",
                waiting, spool.path or "memory, and are lost",
            )  # fmt: skip
        if not thread.is_alive():
            spool.close()

    def in_child(self) -> None:
        """After a fork: the spool and the runs under way are the parent's."""
        recordings, spool = list(self._open.values()), self._spool
        self._start_anew()
        self._store.on_close(self.close)  # a child's store has forgotten what its parent's was to do
        if spool is not None:
            spool.abandon()
        for recording in recordings:
            recording.in_child()


def _write(store: Store, folder: Path, batch: writing.Batch, *, is_again: bool) -> int:
    """Write a batch; what is refused for good is put aside. Returns how many records that were."""
    try:
        writing.write(store, batch, is_again=is_again)
    except WorkbenchError as error:
        if not is_for_good(error):
            raise
        if len(batch.executions) > 1:
            return sum(_write(store, folder, batch.of(run), is_again=True) for run in batch.executions)
        lines = batch.lines[batch.executions[0]]
        aside = folder / "refused" / f"{batch.executions[0]}{SUFFIX}"
        aside.parent.mkdir(mode=0o700, exist_ok=True)
        with aside.open("ab") as file:
            file.writelines(lines)
        log.error(
            "capture: %d records of run %s are put aside in %s: %s", len(lines), batch.executions[0], aside, error
        )
        return len(lines)
    return 0


_deliveries: dict[int, Delivery] = {}
_making = threading.Lock()


def delivery_of(store: Store) -> Delivery:
    """The one delivery of a store."""
    with _making:
        found = _deliveries.get(id(store))
        if found is None:
            found = _deliveries[id(store)] = Delivery(store)
            store.on_close(found.close)
        return found


def _in_child() -> None:
    global _making
    _making = threading.Lock()
    for delivery in list(_deliveries.values()):
        delivery.in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
