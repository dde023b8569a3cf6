"""Which runs of a long file are complete, line by line, so that they can be written and forgotten.

The spans of a trace may lie anywhere in a file. Of a file too long to be held, the lines are gone through once before
they are read: only the last line that speaks of each trace is kept. Memory then grows with the traces that are open at
one time, not with the file.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

from workbench.data.ingest.reading.parquet import is_parquet
from workbench.data.ingest.reading.source import Source

HELD_BYTES = 16_000_000  # a file up to this size on disk is held as a whole
_HELD_ZIPPED = HELD_BYTES // 16

_TRACE_ID = re.compile(rb'"trace_?[iI]d"\s*:\s*"([^"\\]*)"')


def trace_ids(line: bytes) -> Iterator[str]:
    """The trace ids that a line of JSON names, as they are written."""
    return (found.decode("utf-8", "replace") for found in set(_TRACE_ID.findall(line)))


class Complete:
    """Says of each run, once, that no later line speaks of it.

    Parameters
    ----------
    keys
        The runs that a line speaks of. A run that this misses is told of at the end; one that goes on after it was
        said to be complete is put together again by the writer.
    """

    def __init__(self, source: Source, keys: Callable[[bytes], Iterable[str]]) -> None:
        last: dict[str, int] = {}
        is_long = source.size_bytes > (_HELD_ZIPPED if source.is_gzip else HELD_BYTES)
        if is_long and not is_parquet(source.head):  # which has no lines
            for line in source.again(source.lines()):
                for key in keys(line.data):
                    last[key] = line.number
        self._waiting = sorted(last.items(), key=lambda item: item[1], reverse=True)

    def before(self, line: int | None) -> Iterator[str]:
        """The runs of which the lines before this one were the last, in the order of those."""
        while line is not None and self._waiting and self._waiting[-1][1] < line:
            yield self._waiting.pop()[0]
