"""Keep importing the files of a folder as they grow: live sessions, new files, whatever is put there.

What is on disk is compared with what was read (size, time, inode); the file system's events only say when to look.
A file that grows is read when it was quiet for a moment, or at the latest after some seconds, and no more often than
that a tenth of the time goes into it; its last state is always read. The last line of a file of JSON lines that is
still being written is left to the next time: one that has no line end and is no JSON counts as bad only when the file
did not change for ten seconds.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from workbench.data.ingest.batch import ingest_source
from workbench.data.ingest.detect import find
from workbench.data.ingest.ledger.quarantine import put_aside
from workbench.data.ingest.reading.parse import parse
from workbench.data.ingest.reading.source import Source
from workbench.data.ingest.report import FileReport, IngestReport
from workbench.errors import IngestError, StoreUnavailableError, UnknownFormatError

if TYPE_CHECKING:
    from workbench.data.store.engine import Store

_QUIET_S = 0.5  # a writer that pauses as long has said what it had to say for now
_LATEST_S = 5.0  # one that never pauses is read as often
_REST = 9  # times as long as the last import took
_SETTLED_S = 10.0  # an unfinished last line stays so
_TICK_S = 0.25
_LOOK_S = 5.0  # at the whole folder, though no event came
_AWAY_S = (0.5, 30.0)  # between tries to reach a database that went away
_TAIL_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class _State:
    size: int
    mtime_ns: int
    inode: int

    @classmethod
    def of(cls, path: Path) -> _State:
        stat = path.stat()
        return cls(stat.st_size, stat.st_mtime_ns, stat.st_ino)


@dataclass(slots=True)
class _File:
    """What is known of one file."""

    path: Path
    state: _State
    changed_at: float
    waiting_since: float | None
    read: _State | None = None
    is_partial: bool = False  # its last line was left out
    rested_at: float = 0.0

    def is_due(self, now: float) -> bool:
        if now < self.rested_at:
            return False
        quiet = now - self.changed_at
        if self.read == self.state:
            return self.is_partial and quiet >= _SETTLED_S
        return quiet >= _QUIET_S or now - (self.waiting_since or now) >= _LATEST_S


class Watch:
    """Imports of a folder as it changes; iterate over it, in a ``with``, until you have enough.

    Each item is the :class:`IngestReport` of one file that brought something new, or failed.

    Parameters
    ----------
    store
        Where to.
    folder
        Where the files are, or will be; hidden ones are left out.
    once
        Import what is there now, and stop.
    force_polling
        Look at the folder again and again, for file systems that tell of no events (network, some containers).
    keep_originals
        Keep the files themselves too.
    on_notice
        Called with what there is to say beside the reports: a file that was replaced, cut or taken away, a folder or a
        database that is gone or back. When not given, the log ``workbench.watch`` is told.

    Raises
    ------
    IngestError
        There is no such folder.
    """

    def __init__(
        self,
        store: Store,
        folder: str | Path,
        *,
        once: bool = False,
        force_polling: bool = False,
        keep_originals: bool = True,
        on_notice: Callable[[str], object] | None = None,
    ) -> None:
        self.folder = Path(folder).expanduser()
        if not self.folder.is_dir():
            raise IngestError(f"There is no folder {self.folder} to watch.", path=str(self.folder))
        self._store = store
        self._once = once
        self._polling = force_polling
        self._keep_originals = keep_originals
        self._say = on_notice or logging.getLogger("workbench.watch").warning
        self._files: dict[Path, _File] = {}
        self._is_closed = False
        self._is_gone = False
        self._is_warm = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop watching; what was read stays."""
        self._is_closed = True

    def __iter__(self) -> Iterator[IngestReport]:
        """Import what changes, for ever; with ``once`` what is there now."""
        self._look()
        ticks = iter(()) if self._once else self._ticks()
        while not self._is_closed:
            for file in list(self._files.values()):
                if self._is_closed:
                    return
                is_wanted = file.read != file.state if self._once else file.is_due(time.monotonic())
                if is_wanted and (report := self._read(file)) is not None:
                    yield IngestReport((report,))
            if self._once:
                return
            next(ticks)

    # -- what is there ---------------------------------------------------------------------------------------------

    def _ticks(self) -> Iterator[None]:
        """Look at the folder when something happens in it, and now and then; a tick each time files may be due."""
        while True:
            try:
                events = self._events()
                looked_at = time.monotonic()
                for has_changed in events:
                    if has_changed or time.monotonic() - looked_at >= _LOOK_S or self._is_gone:
                        self._look()
                        looked_at = time.monotonic()
                    yield
                    if self._is_gone:
                        break  # what comes back is another folder: its events have to be asked for again
            except OSError as error:  # also where the system has no watches left
                if not self._is_gone and not self._polling:
                    self._say(f"No events of {self.folder} from the system ({error}): looking at it again and again.")
                    self._polling = True
            yield

    def _events(self) -> Iterator[bool]:
        """Whether something happened, each quarter of a second."""
        if self._polling or not self.folder.is_dir():
            while True:
                time.sleep(_TICK_S)
                yield True
        from watchfiles import watch as events

        tick = int(_TICK_S * 1000)
        found = events(
            self.folder,
            watch_filter=None,
            debounce=tick,
            step=50,
            rust_timeout=tick,
            yield_on_timeout=True,
            ignore_permission_denied=True,
        )
        for changes in found:
            yield bool(changes)

    def _look(self) -> None:
        """Compare what is on disk with what is known."""
        now = time.monotonic()
        try:
            found, _ = find(self.folder)
        except (IngestError, OSError):
            found = None
        if found is None or not self.folder.is_dir():
            if not self._is_gone:
                self._say(f"{self.folder} is gone; waiting for it to come back. What was read of it stays.")
            self._is_gone = True
            return
        if self._is_gone:
            self._say(f"{self.folder} is back.")
            self._is_gone = False
        there = {item.path: None for item in found}
        for path in [path for path in self._files if path not in there]:
            self._say(f"{path} is gone. What was read of it stays.")
            del self._files[path]
        for path in there:
            self._look_at(path, now)

    def _look_at(self, path: Path, now: float) -> None:
        try:
            state = _State.of(path)
        except OSError:
            return  # gone in this moment: the next look says so
        file = self._files.get(path)
        if file is None:
            self._files[path] = _File(path, state, now, now)
        elif file.state != state:
            if state.inode != file.state.inode:
                self._say(f"{path} was replaced; it is read from its beginning.")
            elif state.size < file.state.size:
                self._say(f"{path} was cut; it is read from its beginning. What was read of it stays.")
            file.state, file.changed_at = state, now
            if file.waiting_since is None:
                file.waiting_since = now

    # -- reading -----------------------------------------------------------------------------------------------------

    def _read(self, file: _File) -> FileReport | None:
        """Import a file as it is now; its report where that brought something, or failed."""
        began = time.monotonic()
        is_settled = self._once or began - file.changed_at >= _SETTLED_S
        source: Source | None = None
        try:
            state = _State.of(file.path)
            source = Source.of(file.path, size_bytes=state.size)
            whole = None if is_settled else _finished_bytes(file.path, state.size)
            if whole is not None:
                source = Source.of(file.path, size_bytes=whole)
            file.is_partial = whole is not None
            report = self._patiently(source) if source.size_bytes else None
        except OSError as error:
            self._say(f"{file.path} cannot be read: {error.strerror}.")
            return None
        except UnknownFormatError:
            report, state = None, file.state
        except IngestError as error:
            if not is_settled:  # perhaps only half of it is there
                state, report, file.is_partial = file.state, None, True
            else:
                report, state = self._failed(file, source, error), file.state
        file.read, file.waiting_since = state, None
        ended = time.monotonic()
        if self._is_warm:  # the first import also loads the readers
            file.rested_at = ended + _REST * (ended - began)
        self._is_warm = True
        if file.state != state:
            file.state = state
        return report if report is not None and report.outcome not in ("already there", "nothing found") else None

    def _failed(self, file: _File, source: Source | None, error: IngestError) -> FileReport:
        """The report of a file that cannot be read at all; its bytes go to the quarantine, once."""
        attached: IngestReport | None = vars(error).pop("report", None)
        if source is None or attached is None:
            return FileReport(str(file.path), error=str(error))
        [failed] = attached.files
        put_aside(self._store, source, failed.format, failed.error or "", keep_original=self._keep_originals)
        return failed

    def _patiently(self, source: Source) -> FileReport:
        """Import, however long the database is away."""
        pause, longest = _AWAY_S
        is_away = False
        while True:
            try:
                report = ingest_source(self._store, source, keep_originals=self._keep_originals)
            except StoreUnavailableError as error:
                if self._once or self._is_closed:
                    raise
                if not is_away:
                    self._say(f"The database is away; waiting for it. {error}")
                is_away = True
                time.sleep(pause)
                pause = min(pause * 2, longest)
                source.restart()
                continue
            if is_away:
                self._say("The database is back.")
            return report


def _finished_bytes(path: Path, size: int) -> int | None:
    """How much of a file of JSON lines is finished, where its last line is not; else ``None``."""
    with path.open("rb") as file:
        file.seek(max(size - _TAIL_BYTES, 0))
        tail = file.read(min(size, _TAIL_BYTES))
        end = tail.rfind(b"\n") + 1
        if end == len(tail) or _is_object(tail[end:]):
            return None
        file.seek(0)
        first = file.readline(_TAIL_BYTES)
        if end == 0 and first[-1:] == b"\n":
            return None  # a line longer than what was looked at: all of it is read
    return size - len(tail) + end if end == 0 or _is_object(first) else None


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(parse(line).value, dict)
    except ValueError:
        return False
