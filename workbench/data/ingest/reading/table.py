"""The rows of a table, whatever file it is in: CSV and its kin, JSON lines, a JSON list, Parquet; row by row.

A row of another number of cells than the header is a bad line. So is one with a quote that is never closed: it costs
its own line, not all that follow.
"""

from __future__ import annotations

import csv
import datetime
import decimal
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import Any

from workbench.data.ingest.normal import BadLine
from workbench.data.ingest.reading.parquet import is_parquet, parquet_names, parquet_rows
from workbench.data.ingest.reading.source import Line, Source, kind_of
from workbench.data.ingest.reading.values import Value, values
from workbench.errors import IngestError

DELIMITERS = ",;\t|"
TABLE_NAMES = (".csv", ".tsv", ".psv", ".parquet", ".pq")
_MOST_LINES = 10_000  # of one row: more is a quote that was not closed
_MOST_CHARS = 64 * 1024 * 1024
_NOT_UTF8 = "bytes that are not UTF-8: read as U+FFFD, the row's own bytes are kept in raw"


@dataclass(slots=True, frozen=True)
class Table:
    """What a file holds: the names of its columns, and whether they are all known without reading it to its end."""

    kind: str  # csv, json, parquet
    names: tuple[str, ...]
    delimiter: str = ","


def table(source: Source, delimiter: str | None = None) -> Table:
    """Look at the beginning of a file (of Parquet, at its end).

    Raises
    ------
    IngestError
        It is a Parquet file whose index cannot be read.
    """
    head = source.head
    if is_parquet(head):
        names = parquet_names(head)
        if not names:
            next(parquet_rows(source), None)  # says what is wrong with it
        return Table("parquet", tuple(names))
    if head.data.lstrip()[:1] in (b"{", b"["):
        return Table("json", tuple(sorted(head.keys)))
    header = head.data.split(b"\n", 1)[0].decode("utf-8", "replace")
    delimiter = delimiter or ("\t" if head.name.lower().endswith(".tsv") else _delimiter(header))
    text = head.data.decode("utf-8", "replace")
    try:
        names = next(csv.reader(text.splitlines(keepends=True), delimiter=delimiter), [])
    except csv.Error:
        names = []
    return Table("csv", _unique(names), delimiter)


def _delimiter(header: str) -> str:
    outside = "".join(header.split('"')[::2])
    return max(DELIMITERS, key=outside.count)


def _unique(names: list[str]) -> tuple[str, ...]:
    """The names of a header, each different: the second ``x`` is ``x#2``, one without a name ``column 3``."""
    seen: Counter[str] = Counter()
    out = []
    for n, name in enumerate(names, 1):
        name = name.strip() or f"column {n}"
        seen[name] += 1
        out.append(name if seen[name] == 1 else f"{name}#{seen[name]}")
    return tuple(out)


def rows(source: Source, found: Table) -> Iterator[Value | BadLine]:
    """The rows as objects, each with its line (of Parquet: its number), and its bytes where they say something else."""
    if found.kind == "csv":
        yield from _csv(source, found)
        return
    for item in parquet_rows(source) if found.kind == "parquet" else values(source, "data", "rows"):
        if isinstance(item, BadLine):
            yield item
        elif not isinstance(item.value, dict):
            yield BadLine(item.line, f"expected a JSON object, found {kind_of(item.value)}")
        elif found.kind == "parquet":
            yield Value(item.line, {name: plain(value) for name, value in item.value.items()})
        else:
            yield item


def plain(value: Any) -> Any:
    """A value of Parquet as JSON has it: times as ISO text, exact decimals and bytes as text."""
    if value is None or isinstance(value, (str, int, float)):
        return value
    if isinstance(value, (datetime.datetime, datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, dict):
        return {name: plain(inner) for name, inner in value.items()}
    if isinstance(value, list):
        # A column of maps comes as a list of pairs.
        return [plain(list(inner) if isinstance(inner, tuple) else inner) for inner in value]
    if isinstance(value, datetime.timedelta):
        return value / datetime.timedelta(milliseconds=1)
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return str(value) if isinstance(value, decimal.Decimal) else repr(value)


# CSV


def _csv(source: Source, found: Table) -> Iterator[Value | BadLine]:
    with _long_cells():
        reading = _Reading(source, found.delimiter)
        header = next(reading, None)
        if header is None:
            raise IngestError(
                f"{source.name} has no header: the first line of a table names its columns.", path=source.name
            )
        if isinstance(header, BadLine):
            raise IngestError(f"{source.name}: the header cannot be read: {header.reason}.", path=source.name)
        names = _unique(header.cells)
        width = len(names)
        for row in reading:
            if isinstance(row, BadLine):
                yield row
            elif len(row.cells) == width and not row.is_endless:
                data = None
                if row.is_damaged:
                    data = b"".join(row.data)
                    source.changed("text", _NOT_UTF8)
                yield Value(row.line, dict(zip(names, row.cells, strict=True)), data)
            else:
                yield reading.refused(row, width)


@contextmanager
def _long_cells() -> Iterator[None]:
    """Let a cell be as long as it is; the limit is the process's and is given back."""
    before = csv.field_size_limit(sys.maxsize)
    try:
        yield
    finally:
        csv.field_size_limit(before)


@dataclass(slots=True)
class _Row:
    line: int
    cells: list[str]
    data: list[bytes]  # its lines
    is_damaged: bool  # not all of it is UTF-8
    is_endless: bool


class _Reading:
    """Reads a CSV file row by row, and can take back the lines of a row that was none."""

    def __init__(self, source: Source, delimiter: str) -> None:
        self._lines: Iterator[Line] = source.raw_lines()
        self._delimiter = delimiter
        self._again()

    def _again(self) -> None:
        self._first = 0
        self._data: list[bytes] = []
        self._n_chars = 0
        self._is_damaged = self._is_endless = False
        self._reader = csv.reader(self._text(), delimiter=self._delimiter)

    def _text(self) -> Iterator[str]:
        for line in self._lines:
            if not self._data:
                self._first = line.number
            self._data.append(line.data)
            self._n_chars += len(line.data)
            try:
                yield line.data.decode()
            except UnicodeDecodeError:
                self._is_damaged = True
                yield line.data.decode("utf-8", "replace")
            if len(self._data) > _MOST_LINES or self._n_chars > _MOST_CHARS:
                self._is_endless = True
                return

    def __iter__(self) -> Iterator[_Row | BadLine]:
        return self

    def __next__(self) -> _Row | BadLine:
        while True:
            self._data, self._n_chars, self._is_damaged = [], 0, False
            try:
                cells = next(self._reader)
            except csv.Error as error:
                bad = BadLine(self._first, f"not CSV: {error}", b"".join(self._data))
                self._again()
                return bad
            if cells:  # a blank line is no row
                return _Row(self._first, cells, self._data, self._is_damaged, self._is_endless)

    def refused(self, row: _Row, width: int) -> BadLine:
        """Why a row is none. Where a quote made it of several lines, those behind its first are read again."""
        n = len(row.cells)
        what = f"{n} {'cell' if n == 1 else 'cells'} where the header has {width}"
        if len(row.data) > 1:
            left = [Line(row.line + n, data) for n, data in enumerate(row.data[1:], 1)]
            self._lines = chain(left, self._lines)
            self._again()
            what = "a quote that is not closed" if row.is_endless else f"{what}, or a quote that is not closed"
        return BadLine(row.line, what, row.data[0])
