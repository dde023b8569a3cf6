"""Content that is a text or a list of parts, some of which are text."""

from __future__ import annotations

from typing import Any


def plain_text(content: Any) -> str | None:
    """The text of a content: itself, or the texts among its parts; ``None`` where there is none."""
    if isinstance(content, str):
        return content or None
    if not isinstance(content, list):
        return None
    texts = [part.get("text") if isinstance(part, dict) else part for part in content]
    return "\n".join(text for text in texts if isinstance(text, str)) or None
