"""A run of which several files hold parts, read anew from the lines of all of them.

The files are those that were imported: their kept originals, or what lies at their paths if that is still the same.
"""

from __future__ import annotations

import hashlib
import tempfile
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import psycopg

from workbench.data.ingest.detect import Reader
from workbench.data.ingest.ids import execution_id
from workbench.data.ingest.ledger.originals import opened
from workbench.data.ingest.normal import Run
from workbench.data.ingest.reading.marks import mark
from workbench.data.ingest.reading.source import Ordered, Source
from workbench.data.ingest.writing.lines import Lines
from workbench.errors import IngestError, NotFoundError

_CHUNK_BYTES = 1024 * 1024


class Whole(NamedTuple):
    """A run as all files tell it, and the file that was made of them."""

    run: Run
    source: Source
    n_mended: int = 0  # lines with a hole that are not in it, for a file has them whole


class Joiner:
    """Joins the parts of runs over one connection, inside its transaction.

    Parameters
    ----------
    source
        The file that is being imported.
    own
        The id of that import; ``None`` where nothing is imported: what a running program says is no file.
    """

    def __init__(self, connection: psycopg.Connection, reader: Reader, source: Source, own: uuid.UUID | None) -> None:
        self._connection = connection
        self._reader = reader
        # Of formats by lines: the lines of a file; None where the file is of another kind.
        self._lines: Callable[[Source], Iterator[Ordered] | None] | None = getattr(reader, "lines", None)
        self._source = source
        self._own = own

    @property
    def can_join(self) -> bool:
        """Whether files of the format are lines."""
        return self._lines is not None and self._own is not None

    @contextmanager
    def whole(self, execution: uuid.UUID, run: Run) -> Iterator[Whole | None]:
        """The run of all files that hold parts of it, while their lines are there.

        ``None`` where a file is gone or holds no lines, or where one file holds all that the others do.
        """
        with ExitStack() as stack:
            files = self._files(execution, stack) or ()
            yield self._join(files, execution, run, stack) if len(files) > 1 else None

    def _files(self, execution: uuid.UUID, stack: ExitStack) -> list[Source] | None:
        """The files that hold lines of a run, without those that another one goes on from."""
        own = _File(self._source.stored_path, self._source.sha256, self._source.size_bytes, None)
        rows = self._connection.execute(_FILES, {"run": execution, "own": self._own}).fetchall()
        left = sorted([own, *(_File(*row) for row in rows)], key=lambda file: (-file.size_bytes, file.sha256))
        found: list[tuple[str, Source]] = []
        while left:
            file = left.pop(0)
            try:
                source = self._open(file, stack)
            except (NotFoundError, IngestError):
                return None
            found.append((file.sha256, source))
            # A session that was imported while it went on may have been imported many times.
            begins = set(_beginnings(source, left))
            left = [other for other in left if other.sha256 not in begins]
        return [source for _, source in sorted(found, key=lambda file: file[0])]

    def _open(self, file: _File, stack: ExitStack) -> Source:
        if file.blocks is None:
            return self._source.anew()
        kept = opened(self._connection, file.blocks, path=file.path, sha256=file.sha256)
        return stack.enter_context(kept)

    def _join(self, files: Sequence[Source], execution: uuid.UUID, run: Run, stack: ExitStack) -> Whole | None:
        assert self._lines is not None
        lines = stack.enter_context(Lines())
        for file in files:
            ordered = self._lines(file)
            if ordered is None:
                return None
            lines.take(ordered)
            file.check()
        path = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="workbench-joined-"))) / "lines"
        with path.open("wb") as out:
            n_mended = lines.write(out)
        # Named as the run: readers may take a hint from the name, and the name of no part is more right than others.
        name = f"{run.source_id.rsplit('/', 1)[-1]}.jsonl"
        source = Source(name, path=path, origin=self._source.stored_path)
        for found in self._reader.read(source):
            if isinstance(found, Run) and execution_id(self._reader.FORMAT, found.source_id) == execution:
                if not getattr(self._reader, "MARKS", False):
                    mark(found.steps, getattr(self._reader, "is_open", None))
                return Whole(found, source, n_mended)
        return None


class _File(NamedTuple):
    path: str
    sha256: str
    size_bytes: int
    blocks: Sequence[bytes] | None  # None: of the file that is being imported


def _beginnings(source: Source, others: Sequence[_File]) -> Iterator[str]:
    """The checksums of those of some files that are the beginning of a file."""
    waiting = sorted({file.size_bytes for file in others})
    wanted = {(file.size_bytes, file.sha256) for file in others}
    whole, at = hashlib.sha256(), 0
    for chunk in source.chunks(_CHUNK_BYTES) if waiting else ():
        while waiting and waiting[0] <= at + len(chunk):
            size = waiting.pop(0)
            begun = whole.copy()
            begun.update(chunk[: size - at])
            if (size, begun.hexdigest()) in wanted:
                yield begun.hexdigest()
        if not waiting:
            return
        whole.update(chunk)
        at += len(chunk)


_FILES = """
SELECT path, sha256, size_bytes, blocks FROM workbench.imports WHERE id <> %(own)s AND (
  id IN (SELECT import_id FROM workbench.import_runs WHERE execution_id = %(run)s)
  OR id = (SELECT import_id FROM workbench.agent_executions WHERE id = %(run)s))
"""
