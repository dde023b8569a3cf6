"""Where each line of a file ends, so that its lines can be read in another order than they stand in."""

from __future__ import annotations

import tempfile
from array import array
from collections.abc import Iterable, Iterator
from typing import IO, Any, Self

import numpy as np

from workbench.data.ingest.reading.source import Line, Source, bare
from workbench.errors import IngestError

_CHUNK_BYTES = 256 * 1024
_NEWLINE = 10


class LineIndex:
    """A file gone through once, of which only the ends of its lines are kept.

    Text that does not lie on disk as it is (gzip, UTF-16) is copied to a temporary file, which goes with the ``with``.

    Raises
    ------
    IngestError
        The file cannot be read any more, or there is no room for the temporary file.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._ends = array("q")
        self._copy = None if source.is_plain else _temporary(source)
        try:
            self._go_through()
            # Without a buffer: lines may lie far apart, and all of it would be read for each.
            self._text: IO[Any] = self._copy or source.open().detach()  # pyright: ignore[reportAttributeAccessIssue]
        except BaseException:
            if self._copy is not None:
                self._copy.close()
            raise

    def _go_through(self) -> None:
        size = 0
        with self._source.open() as text:
            while chunk := text.read(_CHUNK_BYTES):
                found = np.flatnonzero(np.frombuffer(chunk, dtype=np.uint8) == _NEWLINE)
                self._ends.frombytes((found.astype(np.int64) + (size + 1)).tobytes())
                size += len(chunk)
                if self._copy is not None:
                    _write(self._copy, chunk, self._source)
        self._ends.append(size)  # the last line may lack its newline

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._text.close()

    def lines(self, numbers: Iterable[int]) -> Iterator[Line]:
        """The lines of these numbers, which count from 1, in the order of those.

        Raises
        ------
        IngestError
            The file is shorter than it was.
        """
        ends, text = self._ends, self._text
        for number in numbers:
            if number > len(ends):
                raise self._source.rewritten()
            start = ends[number - 2] if number > 1 else 0
            size = ends[number - 1] - start
            text.seek(start)
            line = text.read(size)
            if len(line) < size:
                raise self._source.rewritten()
            yield Line(number, bare(number, line))


def _temporary(source: Source) -> IO[Any]:
    try:
        return tempfile.TemporaryFile(prefix="workbench-lines-", buffering=0)
    except OSError as error:
        raise _no_room(source, error) from error


def _write(copy: IO[Any], chunk: bytes, source: Source) -> None:
    left = memoryview(chunk)
    try:
        while left:
            left = left[copy.write(left) :]
    except OSError as error:
        raise _no_room(source, error) from error


def _no_room(source: Source, error: OSError) -> IngestError:
    where = tempfile.tempdir or "a temporary folder"
    return IngestError(
        f"{source.name} cannot be read: to put its lines in order, its text is copied to {where}, and that failed: "
        f"{error.strerror or error}. Nothing of it was stored. Make room there, or name another folder in TMPDIR, and "
        "ingest it again.",
        path=source.name,
    )
