"""The spool: one append-only file per process, which holds what was captured until the database has it.

A record is a line: the CRC-32 of the rest as eight hex digits, a tab, and fields between tabs (JSON escapes tabs and
line ends, so neither can stand in a field). It is written by one ``write`` without ``fsync``: once that has returned,
the record lives in the kernel and survives the death of the process by any signal, though not of the machine. A line
that was torn, or spoilt since, fails its checksum and costs itself only.

The process holds a lock on its file (``flock``), which the kernel drops however the process ends: who gets the lock of
a file is alone in delivering what a dead process left there.
"""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from zlib import crc32

from workbench.data.store.locks import FileLock
from workbench.errors import ServerError

if TYPE_CHECKING:
    from workbench.data.store.engine import Store

log = logging.getLogger(__name__)

SUFFIX = ".spool"
_CHUNK = 4_000_000  # bytes read at once, or one record where that is longer
_COMPACT = 8_000_000  # delivered bytes that are worth a new file
_IN_MEMORY = 64_000_000  # bytes held where no file can be had


class SpoolFullError(OSError):
    """The spool has reached its limit."""


def folder_of(store: Store) -> Path:
    """Where the spools for a store's database lie; a folder for each database, whoever connects and however."""
    where = store.address.direct().parameters
    name = "\n".join(where.get(part, "") for part in ("host", "hostaddr", "port")) + f"\n{store.address.database}"
    return store.settings.spool_dir / hashlib.sha256(name.encode()).hexdigest()[:16]


def framed(*fields: bytes) -> bytes:
    """A record as the spool holds it."""
    body = b"\t".join(fields)
    return b"%08x\t%b\n" % (crc32(body), body)


def unframed(data: bytes) -> Iterator[list[bytes] | None]:
    """The fields of each line; ``None`` for a line that is not what was written."""
    for line in data.split(b"\n"):
        if not line:
            continue
        body = memoryview(line)[9:]
        try:
            is_whole = line[8:9] == b"\t" and int(line[:8], 16) == crc32(body)
        except ValueError:
            is_whole = False
        yield bytes(body).split(b"\t") if is_whole else None


class Spool:
    """The spool of this process. The caller sees to it that one thread at a time is in it.

    Parameters
    ----------
    folder
        Made when missing. Where no file can be had there, the spool is held in memory, and dies with the process.
    limit
        Bytes that may wait; what comes then is refused.
    """

    def __init__(self, folder: Path, *, limit: int) -> None:
        self._limit = limit
        self._lock: FileLock | None = None
        self.path: Path | None = None
        self.size = 0
        self.delivered = 0  # bytes from the beginning that the database has
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock, self.path = _new_file(folder)
            self._handle = self._lock.fileno()
        except (OSError, ServerError) as error:
            self._handle = _unnamed()
            self._limit = min(limit, _IN_MEMORY)
            log.warning("no spool in %s (%s): what is captured is lost if this process is killed", folder, error)

    @property
    def waiting(self) -> int:
        """Bytes that the database has not got."""
        return self.size - self.delivered

    @property
    def is_long(self) -> bool:
        """Whether a new file is worth it: much is delivered, and little waits."""
        return self.delivered > _COMPACT and self.waiting < _CHUNK

    def append(self, record: bytes) -> None:
        """Take a record, whole or not at all.

        Raises
        ------
        OSError
            The disk or the spool is full, or the file cannot be written.
        """
        if self.waiting + len(record) > self._limit:
            raise SpoolFullError(f"more than {self._limit:,} bytes wait")
        written = 0
        try:
            while written < len(record):
                written += os.pwrite(self._handle, record[written:] if written else record, self.size + written)
        except OSError:
            os.ftruncate(self._handle, self.size)
            raise
        self.size += written

    def read(self) -> bytes:
        """Whole lines from the first that is not delivered."""
        return read_lines(self._handle, self.delivered, self.size)

    def advance(self, n_bytes: int) -> None:
        """So much of what was read is in the database."""
        self.delivered += n_bytes

    def shrink(self, keep: Iterable[bytes]) -> None:
        """Give delivered bytes back to the disk, where that is worth it; ``keep`` are records to begin anew with.

        A crash at any moment leaves the old file or the new one; what of the old one was delivered is delivered again.
        """
        records = list(keep)
        if not records and not self.waiting:
            if self.size:
                os.ftruncate(self._handle, 0)
                self.size = self.delivered = 0
            return
        if not self.is_long or self.path is None:
            return
        tail = os.pread(self._handle, self.waiting, self.delivered)
        try:
            lock, _ = _new_file(self.path.parent, b"".join(records) + tail, over=self.path)
        except (OSError, ServerError) as error:
            log.debug("the spool stays as long as it is: %s", error)
            return
        assert self._lock is not None
        self._lock.close()
        self._lock, self._handle = lock, lock.fileno()
        self.size = os.fstat(self._handle).st_size
        self.delivered = self.size - len(tail)

    def close(self) -> None:
        """Remove the file where all of it is delivered; else leave it to the next who comes."""
        if not self.waiting and self.path is not None:
            self.path.unlink(missing_ok=True)
        self.abandon()

    def abandon(self) -> None:
        """Let go of the file and leave it: in a forked child it is the parent's."""
        if self._lock is not None:
            self._lock.close()
        elif self._handle >= 0:
            os.close(self._handle)
        self._lock, self._handle = None, -1


def read_lines(handle: int, start: int, end: int, *, chunk: int = _CHUNK) -> bytes:
    """Whole lines from ``start`` on: about a chunk of them, one at least; at the end also what has no line end."""
    data = os.pread(handle, min(chunk, end - start), start)
    while (last := data.rfind(b"\n")) < 0 and len(data) < end - start:
        more = os.pread(handle, min(chunk, end - start - len(data)), start + len(data))
        if not more:
            break
        data += more
    return data if last < 0 else data[: last + 1]


def left(folder: Path) -> Iterator[tuple[Path, FileLock]]:
    """Spools whose process has ended, each with its lock, which is the caller's to close."""
    for path in spools(folder):
        try:
            lock = FileLock(path, create=False)
        except FileNotFoundError:
            continue
        if lock.try_exclusive() and _is_same(path, lock):
            yield path, lock
        else:
            lock.close()


def spools(folder: Path) -> list[Path]:
    """The spools of a folder, of living processes too."""
    return sorted(folder.glob(f"*{SUFFIX}")) if folder.is_dir() else []


def _is_same(path: Path, lock: FileLock) -> bool:
    """Whether the file is still there: another may have delivered and removed it while we came."""
    try:
        return os.path.samestat(path.stat(), os.fstat(lock.fileno()))
    except FileNotFoundError:
        return False


def _new_file(folder: Path, content: bytes = b"", *, over: Path | None = None) -> tuple[FileLock, Path]:
    """A file that is locked before anybody can see it."""
    hidden = folder / f".{uuid.uuid4().hex}"
    lock = FileLock(hidden)
    try:
        assert lock.try_exclusive()
        while content:
            content = content[os.write(lock.fileno(), content) :]
        path = over or folder / f"{uuid.uuid4().hex[:8]}-{os.getpid()}{SUFFIX}"
        hidden.replace(path)
    except BaseException:
        hidden.unlink(missing_ok=True)
        lock.close()
        raise
    return lock, path


def _unnamed() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("workbench-spool")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
