"""The times of foreign records: ISO text with or without a zone, or seconds and milliseconds since 1970."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from workbench.data.ingest.reading.source import Source

# Anything above is milliseconds: as seconds it would lie after the year 5000.
_MAX_SECONDS = 1e11
_MS = timedelta(milliseconds=1)


def when(value: Any, source: Source) -> datetime | None:
    """The moment a source wrote down, aware; ``None`` where there is none or it cannot be read.

    A time without zone is taken as UTC. That, and a time that cannot be read, is noted in the source's report.
    """
    if value is None or value == "":
        return None
    moment = _parse(value)
    if moment is None:
        source.changed("time", "cannot be read as a time: stored as null, the text kept in data.extra")
        return None
    if moment.tzinfo is None:
        source.changed("time", "has no zone in the source: taken as UTC")
        return moment.replace(tzinfo=UTC)
    return moment


def _parse(value: Any) -> datetime | None:
    try:
        if isinstance(value, str):
            moment = datetime.fromisoformat(value.strip())
            # A zone may carry the first or the last day of the calendar out of it; then nobody could read it back.
            return moment if moment.tzinfo is None or moment.tzinfo is UTC else moment.astimezone(UTC)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return datetime.fromtimestamp(value if abs(value) < _MAX_SECONDS else value / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return None


def elapsed_ms(start: datetime | None, end: datetime | None) -> float | None:
    """Milliseconds from one moment to another; ``None`` where either is unknown or they are in the wrong order."""
    if start is None or end is None or end < start:
        return None
    # Moments are whole microseconds: dividing those gives the nearest float, 1234.567 and not 1234.5670000000002.
    return (end - start) / _MS


def milliseconds(seconds: float | None) -> float | None:
    """Seconds of a source as milliseconds, to the microsecond; ``None`` where there are none or they are negative."""
    return None if seconds is None or seconds < 0 else round(seconds * 1000, 3)
