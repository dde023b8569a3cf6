"""What the readers of chat transcripts share: texts, titles, tool arguments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workbench.data.ingest.parse import parse

TITLE_CHARS = 100


def title(text: str | None, limit: int = TITLE_CHARS) -> str:
    """The first words of a text on one line."""
    line = " ".join((text or "")[: limit * 4].split())
    if len(line) <= limit:
        return line
    return line[:limit].rsplit(" ", 1)[0].rstrip(".,;:") + "…"


def arguments(text: Any) -> Any:
    """Tool arguments as the object they are; a JSON text that is none stays a text."""
    if not isinstance(text, str):
        return text
    try:
        parsed = parse(text.encode("utf-8", "surrogatepass"))
    except ValueError:
        return text
    # Where parsing changed anything, the text itself is the only true form.
    return parsed.value if isinstance(parsed.value, dict) and not parsed.changed else text


def rest(record: Mapping[str, Any], *used: str) -> dict[str, Any] | None:
    """The fields of a record that have found no place, nulls left out; ``None`` where there are none."""
    left = {key: value for key, value in record.items() if key not in used and value is not None}
    return left or None


def text_or_none(value: Any) -> str | None:
    """A text that is one, and is not empty."""
    return value if isinstance(value, str) and value else None


def number(value: Any) -> float | None:
    """A JSON number as float; anything else is ``None``."""
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def count(value: Any) -> int | None:
    """A JSON whole number, not negative; anything else is ``None``."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
