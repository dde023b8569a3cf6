"""What the readers of chat transcripts share: messages, tool calls and results, texts, titles."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from workbench.data.ingest.normal import Step
from workbench.data.ingest.reading.parse import parse

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
    """A JSON number as float; anything else is ``None``, an integer longer than any float too."""
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return None
    try:
        return float(value)
    except OverflowError:
        return None


def count(value: Any) -> int | None:
    """A JSON whole number, not negative; anything else is ``None``."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def mapping(value: Any) -> Mapping[str, Any]:
    """A JSON object; anything else is an empty one."""
    return value if isinstance(value, dict) else {}


def elements(value: Any) -> list[Any]:
    """A JSON list; anything else is an empty one."""
    return value if isinstance(value, list) else []


def known(**values: Any) -> dict[str, Any]:
    """The values that are known, by name."""
    return {name: value for name, value in values.items() if value is not None}


def message_step(record: Mapping[str, Any], calls: list[dict[str, Any]], *used: str) -> Step:
    """A message of a system, user or assistant as a step: a call of tools where it holds ``calls``.

    What of the record is neither read here nor among the ``used`` fields is kept in ``extra``, with content that is no
    text (a list of parts).
    """
    role, content = record.get("role"), record.get("content")
    step = Step(
        "message",
        name=role,
        agent="user" if role == "user" else None,
        category=role,
        role=role if role in ("system", "user", "assistant") else None,
        text=text_or_none(content),
        extra=rest(record, "role", "tool_calls", *used, *(["content"] if isinstance(content, str) else [])),
    )
    if calls:
        step.event_type = "tool_call"
        step.tool, *more = calls
        step.name = step.tool["name"]
        step.tool_calls = more or None
    return step


def result_step(name: Any, call_id: Any, content: Any, extra: dict[str, Any] | None, *, is_error: Any) -> Step:
    """What a tool answered; ``is_error`` is ``None`` where the source does not say."""
    return Step(
        "tool_result",
        name=name,
        category="tool",
        severity="error" if is_error is True else "info",
        role="tool",
        tool=known(name=name, call_id=call_id, result=content, is_error=is_error),
        error={"type": "ToolError", "message": content} if is_error is True else None,
        extra=extra,
    )


def last_answer(steps: Iterable[Step]) -> dict[str, Any] | None:
    """The last text of the assistant as a run's output; ``None`` where it said nothing."""
    said = [step.text for step in steps if step.role == "assistant" and step.text]
    return {"text": said[-1]} if said else None
