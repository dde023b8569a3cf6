"""The cells of a table as what their column is said to hold; what cannot be read so is noted with its line."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from workbench.data.ingest.reading.source import Source

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Up to which size a number since 1970 counts in which unit: as seconds it would lie after the year 5000, and so on.
_UNITS = ((1e11, 1_000_000, "seconds"), (1e14, 1_000, "milliseconds"), (1e17, 1, "microseconds"))
_NUMBER = re.compile(r"[+-]?\d{9,}(?:\.\d*)?|[+-]?\d{1,8}\.\d+")
_SPACED_ZONE = re.compile(r"\s+(?=[+-]\d\d:?\d\d$)")
_UTC = re.compile(r"\s*(?:UTC|GMT)$", re.IGNORECASE)
_SHOWN_LINES = 5

NO_TIME = "cannot be read as a time: stored as null, the cell kept in data.extra"
NO_NUMBER = "not a number from 0 on: stored as null, the cell kept in data.extra"
NO_COUNT = "not a whole number from 0 on: stored as null, the cell kept in data.extra"


class Faults:
    """What was wrong in which lines, gathered: a column that is wrong from top to bottom makes one note."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str, str], list[int]] = {}

    def add(self, field: str, column: str, why: str, line: int | None) -> None:
        """Count one cell of the column that was named for a field."""
        found = self._found.setdefault((field, column, why), [0])
        found[0] += 1
        if len(found) <= _SHOWN_LINES and line is not None:
            found.append(line)

    def tell(self, source: Source) -> None:
        """Write it all into the source's report."""
        for (field, column, why), (n, *lines) in self._found.items():
            more = f" and {n - len(lines):,} more" if n > len(lines) else ""
            where = f" ({'line' if n == 1 else 'lines'} {', '.join(map(str, lines))}{more})" if lines else ""
            # The field first: by its word a report tells which class of fields the cell belongs to.
            source.changed(field if field == column else f"{field} ({column})", why + where, n)
        self._found.clear()


def lookup(row: Any, path: tuple[str, ...]) -> Any:
    """The value at a path into nested objects and lists; ``None`` where there is none."""
    for part in path:
        if isinstance(row, dict):
            row = row.get(part)
        elif isinstance(row, list) and part.isdigit():
            row = row[int(part)] if int(part) < len(row) else None
        else:
            return None
    return row


def without(row: Mapping[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
    """A copy of the objects along a path, without what lies at its end."""
    out = dict(row)
    if len(path) == 1:
        out.pop(path[0], None)
    elif isinstance(out.get(path[0]), dict):
        inner = without(out[path[0]], path[1:])
        out.pop(path[0])
        if inner:
            out[path[0]] = inner
    return out


def moment(value: Any, time_format: str | None, source: Source) -> datetime | None:
    """The moment that a cell names, aware; ``None`` where it cannot be read. What had to be assumed is noted."""
    try:
        found = _moment(value, time_format, source)
        if found is None:
            return None
        if found.tzinfo is None:
            source.changed("time", "has no zone in the source: taken as UTC")
            return found.replace(tzinfo=UTC)
        return found.astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _moment(value: Any, time_format: str | None, source: Source) -> datetime | None:
    if isinstance(value, str):
        text = value.strip()
        if time_format is not None:
            return datetime.strptime(text, time_format)
        if not _NUMBER.fullmatch(text):
            text = _SPACED_ZONE.sub("", _UTC.sub("+00:00", text))
            return datetime.fromisoformat(text)
        value = float(text) if "." in text else int(text)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    for most, factor, unit in _UNITS:
        if abs(value) < most:
            source.kept("time", f"{unit} since 1970, told by their size")
            return _EPOCH + timedelta(microseconds=round(value * factor))
    source.kept("time", "nanoseconds since 1970, told by their size: stored to the microsecond")
    return _EPOCH + timedelta(microseconds=int(value) // 1000)


def whole(value: Any) -> int | None:
    """A cell that holds a whole number from 0 on; ``None`` where it does not."""
    if isinstance(value, str):
        try:
            value = int(value)
        except ValueError:
            value = real(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value < 0:
        return None
    return int(value) if isinstance(value, int) or value.is_integer() else None


def real(value: Any) -> float | None:
    """A cell that holds a finite number, with a dollar sign or without; ``None`` where it does not."""
    if isinstance(value, bool):
        return None
    try:
        found = float(value.strip().removeprefix("$")) if isinstance(value, str) else float(value)
    except (ValueError, TypeError, OverflowError):
        return None
    return found if math.isfinite(found) else None
