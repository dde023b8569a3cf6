"""Values as the parts and objects that ATIF allows; what had to be wrapped is said, so that it can be unwrapped."""

from __future__ import annotations

from typing import Any

from workbench.data.store.storable import dumped

_MEDIA = ("image", "audio")


def is_content(value: Any) -> bool:
    """Whether a value can be a message or a result as it is: a text, or parts of text, image or audio."""
    return isinstance(value, str) or (isinstance(value, list) and all(map(_is_part, value)))


def content(value: Any) -> tuple[Any, str | None]:
    """A result's content, and ``"json"`` where it is the JSON text of a value that cannot be one."""
    if value is None or is_content(value):
        return value, None
    return dumped(value), "json"


def arguments(value: Any) -> tuple[dict[str, Any], str | None]:
    """A call's arguments: ``"input"`` where they are no object and stand in one so named, ``"none"`` without any."""
    if isinstance(value, dict):
        return value, None
    return ({}, "none") if value is None else ({"input": value}, "input")


def _is_part(part: Any) -> bool:
    if not isinstance(part, dict):
        return False
    if part.get("type") == "text":
        return set(part) == {"type", "text"} and isinstance(part["text"], str)
    source = part.get("source")
    return (
        part.get("type") in _MEDIA
        and set(part) == {"type", "source"}
        and isinstance(source, dict)
        and set(source) <= {"media_type", "path", "duration_sec"}
        and isinstance(source.get("path"), str)
        and str(source.get("media_type")).startswith(f"{part['type']}/")
    )
