"""Where the records of a file stand, to go through them again in an order of their own.

Memory does not grow with the file: where records stand a little out of order, those that come too early are held back
until it is their turn; where holding them would take too much, each line is read from its place.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator

import numpy as np

from workbench.data.ingest.reading.line_index import LineIndex
from workbench.data.ingest.reading.source import Line, Record, Source

HELD_BYTES = 8_000_000  # of lines that are held back until it is their turn


class Places:
    """The lines in which the records of a file stand, and how long they are."""

    def __init__(self) -> None:
        self._numbers = array("q")
        self._sizes = array("q")

    def take(self, record: Record) -> None:
        """Take the next record, in the order of the file."""
        self._numbers.append(record.line)
        self._sizes.append(len(record.data))

    def lines(self, source: Source, order: array[int]) -> Iterator[Line]:
        """The lines of the records, read again, in the order of ``order``: the indices of all records taken.

        Raises
        ------
        IngestError
            The file is not what it was, or there is no room for a copy of its text (see :class:`LineIndex`).
        """
        indices = np.frombuffer(order, dtype=np.int64)
        numbers = array("q", np.frombuffer(self._numbers, dtype=np.int64)[indices].tobytes())
        if _most_held(np.frombuffer(self._sizes, dtype=np.int64), indices) <= HELD_BYTES:
            yield from self._held_back(source.lines(), numbers)
            return
        with LineIndex(source) as index:
            yield from index.lines(numbers)

    def _held_back(self, lines: Iterable[Line], in_order: Iterable[int]) -> Iterator[Line]:
        known, wanted = iter(self._numbers), iter(in_order)
        number, turn = next(known, None), next(wanted, None)
        held: dict[int, Line] = {}
        for line in lines:
            if line.number != number:  # no record stands there
                continue
            number = next(known, None)
            held[line.number] = line
            while turn in held:
                yield held.pop(turn)
                turn = next(wanted, None)


def _most_held(sizes: np.ndarray, order: np.ndarray) -> int:
    """The most bytes that are held at one time, if each record waits for those before it in the order."""
    complete = np.maximum.accumulate(order)  # by place in the order: the record with which all up to there are read
    n_given = np.searchsorted(complete, np.arange(sizes.size), side="right")  # by record, when that has been read
    given = np.concatenate([[0], np.cumsum(sizes[order])])[n_given]
    return int((np.cumsum(sizes) - given).max(initial=0))
