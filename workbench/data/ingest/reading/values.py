"""The values of a file that is JSON lines, one document, a list, a page of an API, or documents printed one by one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from workbench.data.ingest.normal import BadLine
from workbench.data.ingest.reading.parse import Parsed, parse
from workbench.data.ingest.reading.source import Source

# An object that ends in the first column, and one that begins there.
_BETWEEN = re.compile(rb"(?<=\n\})\r?\n(?=\{)")


class Value(NamedTuple):
    """One value, its line where it has one, and its own bytes where its text is not what was parsed."""

    line: int | None
    value: Any
    data: bytes | None = None


def values(source: Source, *pages: str) -> Iterator[Value | BadLine]:
    """The values of a file, each with its line; what cannot be parsed is reported.

    Parameters
    ----------
    pages
        Keys under which an object that is only a page lists the values.

    Raises
    ------
    IngestError
        The file is one document and is empty or not JSON.
    """
    head = source.head
    if head.data.lstrip()[:1] == b"{":
        if (b"\n" not in head.data and not head.is_whole) or any(isinstance(value, dict) for value in head.records):
            yield from _lines(source, pages)
            return
        documents = _BETWEEN.split(source.read_bytes())
        if len(documents) > 1:
            yield from _printed(documents, source, pages)
            return
    yield from (Value(None, value) for value in _page(source.document().value, pages))


def _lines(source: Source, pages: tuple[str, ...]) -> Iterator[Value | BadLine]:
    for record in source.records():
        if isinstance(record, BadLine):
            yield record
        else:
            yield from _of(record.line, Parsed(record.value, record.changed), record.data, source, pages)


def _printed(documents: list[bytes], source: Source, pages: tuple[str, ...]) -> Iterator[Value | BadLine]:
    line = 1
    for data in documents:
        try:
            parsed = parse(data)
        except ValueError as error:
            yield BadLine(line, str(error), data)
        else:
            yield from _of(line, parsed, data, source, pages)
        line += data.count(b"\n") + 1


def _of(line: int, parsed: Parsed, data: bytes, source: Source, pages: tuple[str, ...]) -> Iterator[Value]:
    found = _page(parsed.value, pages)
    if parsed.changed:
        source.is_strict = False
    for change in parsed.changed:
        source.changed("JSON", f"{change}: read as far as it can be")
    raw = data if parsed.changed and len(found) == 1 else None
    yield from (Value(line, value, raw) for value in found)


def _page(value: Any, pages: tuple[str, ...]) -> list[Any]:
    if isinstance(value, dict):
        return next((value[name] for name in pages if isinstance(value.get(name), list)), [value])
    return value if isinstance(value, list) else [value]
