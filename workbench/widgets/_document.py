"""One event for the detail pane: its fields and its JSON, cut so that a 50 MB string never crosses whole."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import orjson
import polars as pl

HEAD = 2_000  # characters of a long string sent at first
PIECE = 20_000  # characters of each further piece
ITEMS = 100  # entries of a list or object sent at first, and of each further piece
BUDGET = 40_000  # characters of all strings of one answer
DEPTH = 60
_SAFE_INTEGER = 2**53


class Document:
    """The event of one row."""

    def __init__(self, frame: pl.DataFrame, row: int) -> None:
        self.row = row
        self.record = frame.row(row, named=True)
        self.data = parse(self.record.pop("data", None))

    @classmethod
    def of(cls, event: Mapping[str, Any], row: int) -> Document:
        """The event given, its ``data`` parsed already."""
        document = cls.__new__(cls)
        document.row, document.record = row, dict(event)
        document.data = document.record.pop("data", None)
        return document

    def fields(self) -> dict[str, str]:
        """Every column but ``data`` that has a value, as text."""
        return {name: _shown(value) for name, value in self.record.items() if value is not None}

    def trimmed(self) -> tuple[Any, dict[str, int]]:
        """``data`` cut to what a pane shows, and JSON pointer → full size of each thing cut."""
        return trim(self.data)

    def text_piece(self, pointer: str, offset: int) -> str:
        """The next piece of a string that was cut.

        Raises
        ------
        LookupError
            There is no string at that pointer.
        """
        value = self._at(pointer)
        if not isinstance(value, str):
            raise LookupError(f"There is no text at {pointer!r} of this event.")
        return value[offset : offset + PIECE]

    def entries(self, pointer: str, offset: int) -> tuple[list[tuple[str, Any]], dict[str, int]]:
        """The next entries of a list or object that was cut, and what of them is cut."""
        value = self._at(pointer)
        listed = list(value.items()) if isinstance(value, dict) else list(enumerate(value))
        cuts: dict[str, int] = {}
        left = [BUDGET]
        piece = listed[offset : offset + ITEMS]
        return [(str(key), _trim(item, f"{pointer}/{_escaped(key)}", cuts, left, 2)) for key, item in piece], cuts

    def _at(self, pointer: str) -> Any:
        value = self.data
        for part in pointer.split("/")[1:]:
            key = part.replace("~1", "/").replace("~0", "~")
            try:
                value = value[int(key)] if isinstance(value, list) else value[key]
            except (LookupError, ValueError, TypeError):
                raise LookupError(f"There is nothing at {pointer!r} of this event.") from None
        return value


def parse(data: str | None) -> Any:
    """JSON text as Python data; text that is no JSON (or nests too deeply to show) as it is."""
    if data is None:
        return None
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        return data


def snippet(data: str | None, limit: int = 240) -> str:
    """What an event says, in a line or two: its text, its error, its tool's arguments or result."""
    document = parse(data)
    if not isinstance(document, dict):
        return str(document)[:limit] if document is not None else ""
    error, tool = document.get("error"), document.get("tool")
    if isinstance(error, dict) and error.get("message"):
        return str(error["message"])[:limit]
    if isinstance(document.get("text"), str) and document["text"]:
        return document["text"][:limit]
    if isinstance(tool, dict):
        value = tool.get("result", tool.get("arguments"))
        if isinstance(value, str):
            return value[:limit]
        if value is not None:
            return json.dumps(trim(value)[0], ensure_ascii=False)[:limit]
    return ""


def trim(value: Any) -> tuple[Any, dict[str, int]]:
    """A value cut to what a pane shows, and JSON pointer → full size of each string, list or object cut."""
    cuts: dict[str, int] = {}
    return _trim(value, "", cuts, [BUDGET], 0), cuts


def _trim(value: Any, pointer: str, cuts: dict[str, int], left: list[int], depth: int) -> Any:
    if isinstance(value, str):
        room = max(80, min(HEAD, left[0]))
        left[0] -= min(len(value), room)
        if len(value) > room:
            cuts[pointer] = len(value)
        return value[:room]
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > _SAFE_INTEGER:
        return str(value)  # a browser's numbers would round it
    if not isinstance(value, dict | list):
        return value
    listed = list(value.items()) if isinstance(value, dict) else list(enumerate(value))
    room = ITEMS if depth < DEPTH and left[0] > 0 else 0
    if len(listed) > room:
        cuts[pointer] = len(listed)
    kept = []
    for key, item in listed[:room]:
        left[0] -= 4
        kept.append((key, _trim(item, f"{pointer}/{_escaped(key)}", cuts, left, depth + 1)))
    return dict(kept) if isinstance(value, dict) else [item for _, item in kept]


def _escaped(key: object) -> str:
    """A key as RFC 6901 writes it in a pointer."""
    return str(key).replace("~", "~0").replace("/", "~1")


def _shown(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="microseconds")
    if isinstance(value, float):
        return f"{value:.15g}"
    return str(value)[:PIECE]
