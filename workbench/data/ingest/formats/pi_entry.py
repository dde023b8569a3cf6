"""One entry of a pi session as a step, with what pairing, nesting and counting need to know of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from workbench.data.ingest.normal import Step, Usage
from workbench.data.ingest.reading.chat import count, elements, known, mapping, number, rest, text_or_none

# Placed elsewhere in the step.
_PLACED = ("type", "id", "timestamp", "message")
_SUMMARIES = {"branchSummary": "branch_summary", "compactionSummary": "compaction"}
_CLASSES = ("input", "cacheRead", "cacheWrite", "output")  # in the order of Usage


@dataclass(slots=True)
class Entry:
    """An entry: its step and its links."""

    step: Step
    type: str | None
    id: str | None = None
    parent: str | None = None
    calls: list[dict[str, Any]] = field(default_factory=list)
    answers: str | None = None  # id of the call it is the result of
    is_prompt: bool = False  # typed by the user
    is_unpriced: bool = False  # tokens were used and 0.0 recorded as their cost
    stop: str | None = None  # why the model stopped
    extra: dict[str, Any] = field(default_factory=dict)


def own_id(value: Mapping[str, Any]) -> str | None:
    """The id of an entry; what the first line has for one is the session's."""
    return None if value.get("type") == "session" else text_or_none(value.get("id"))


def read_entry(value: Mapping[str, Any]) -> Entry:
    """Any JSON object; what has no place goes into ``extra``."""
    kind = text_or_none(value.get("type"))
    entry = Entry(
        Step("log", name=kind, category=kind),
        kind,
        id=own_id(value),
        parent=text_or_none(value.get("parentId")),
        extra=rest(value, *_PLACED) or {},
    )
    if kind is None and value.get("type") is not None:
        entry.extra["type"] = value["type"]
    if "id" in value and (entry.id is None or kind == "session"):
        entry.extra |= known(id=value["id"])
    message = value.get("message")
    if kind == "message" and isinstance(message, dict):
        _message(entry, message)
    else:
        if message is not None:
            entry.extra["message"] = message
        _other(entry, value)
    return entry


def content_of(content: Any) -> tuple[str | None, list[Any]]:
    """The text of a content and the blocks that are none."""
    if isinstance(content, str):
        return content or None, []
    texts, others = [], []
    for block in elements(content):
        if isinstance(block, dict) and block.get("type") == "text" and isinstance(block.get("text"), str):
            texts.append(block["text"])
            if block.keys() - {"type", "text"}:
                others.append(block)
        else:
            others.append(block)
    if content is not None and not isinstance(content, list):
        others.append(content)
    return "\n\n".join(texts) or None, others


def _message(entry: Entry, message: dict[str, Any]) -> None:
    step, role = entry.step, text_or_none(message.get("role"))
    step.event_type, step.name = "message", role or step.name
    used: tuple[str, ...] = ("role",) if role else ()
    if role == "assistant":
        used += _assistant(entry, message)
    elif role == "toolResult":
        used += _result(entry, message)
    elif role == "bashExecution":
        used += _bash(entry, message)
    else:
        used += _said(entry, role, message)
    if left := rest(message, *used):
        entry.extra["message"] = left


def _said(entry: Entry, role: str | None, message: Mapping[str, Any]) -> tuple[str, ...]:
    """What the user typed, or what an extension or a summary put into the conversation."""
    step = entry.step
    if role == "user":
        step.role, step.agent = "user", "user"
    else:
        step.name = text_or_none(message.get("customType")) or _SUMMARIES.get(role or "") or step.name
    if role in _SUMMARIES and isinstance(message.get("summary"), str):
        step.text = message["summary"]
        return ("summary",)
    step.text, others = content_of(message.get("content"))
    entry.is_prompt = role == "user" and (step.text is not None or bool(others))
    if others:
        entry.extra["content"] = others
    return ("content",)


def _assistant(entry: Entry, message: Mapping[str, Any]) -> tuple[str, ...]:
    step = entry.step
    step.role, step.model = "assistant", text_or_none(message.get("model"))
    step.text, blocks = content_of(message.get("content"))
    thoughts: list[str] = []
    others: list[Any] = []
    for block in blocks:
        _block(entry, block, thoughts, others)
    if entry.calls:
        step.event_type, step.tool, step.name = "tool_call", entry.calls[0], entry.calls[0]["name"]
        step.tool_calls = entry.calls[1:] or None
    elif thoughts and step.text is None:
        step.event_type, step.text, thoughts = "reasoning", "\n\n".join(thoughts), []
    if thoughts:
        entry.extra["thinking"] = "\n\n".join(thoughts)
    if others:
        entry.extra["content"] = others
    _stop(entry, message)
    used = _usage(entry, message.get("usage"))
    return ("content", *(("model",) if step.model else ()), *(("usage",) if used else ()))


def _block(entry: Entry, block: Any, thoughts: list[str], others: list[Any]) -> None:
    kind = block.get("type") if isinstance(block, dict) else None
    if kind == "toolCall":
        entry.calls.append({"name": block.get("name"), "call_id": block.get("id"), "arguments": block.get("arguments")})
        # A call that was broken off keeps the JSON it had got so far.
        left = rest(block, "type", "name", "id", "arguments")
    elif kind == "thinking" and isinstance(block.get("thinking"), str):
        thoughts += [block["thinking"]] if block["thinking"] else []
        left = rest(block, "type", "thinking")
    else:
        others.append(block)
        return
    if left:
        others.append({"type": kind, **left})


def _stop(entry: Entry, message: Mapping[str, Any]) -> None:
    step = entry.step
    entry.stop = text_or_none(message.get("stopReason"))
    if entry.stop == "error":
        step.severity = "error"
        said = text_or_none(message.get("errorMessage"))
        step.error = {"type": "api_error", "message": said or "The model call ended with an error."}
    elif entry.stop == "aborted":
        step.severity = "warning"


def _usage(entry: Entry, usage: Any) -> bool:
    """Tokens and cost of a call; whether they were an object."""
    if not isinstance(usage, dict):
        return False
    counts = {name: n for name in _CLASSES if (n := count(usage.get(name))) is not None}
    found = Usage(*(counts.get(name) for name in _CLASSES))
    entry.step.usage = found if counts else None
    cost = mapping(usage.get("cost"))
    price = number(cost.get("total"))
    if price == 0 and any(counts.values()):
        price, entry.is_unpriced = None, True
    entry.step.cost_usd = price
    left = rest(usage, *counts, "cost")
    parts = rest(cost, "total") if number(cost.get("total")) is not None else usage.get("cost")
    if left or parts:
        entry.extra["usage"] = {**(left or {}), **known(cost=parts)}
    return True


def _result(entry: Entry, message: Mapping[str, Any]) -> tuple[str, ...]:
    step, is_error = entry.step, message.get("isError")
    step.event_type, step.role = "tool_result", "tool"
    step.name = text_or_none(message.get("toolName"))
    entry.answers = text_or_none(message.get("toolCallId"))
    step.tool = {
        **known(name=message.get("toolName"), call_id=message.get("toolCallId")),
        "result": message.get("content"),
        **known(is_error=is_error),
    }
    if is_error is True:
        text, others = content_of(message.get("content"))
        step.severity = "error"
        step.error = {
            "type": "ToolError",
            "message": text or (str(others) if others else "The tool reported an error."),
        }
    return "toolCallId", "toolName", "content", "isError"


def _bash(entry: Entry, message: Mapping[str, Any]) -> tuple[str, ...]:
    """A command that the user ran: call and result in one."""
    step, code = entry.step, message.get("exitCode")
    step.event_type, step.name, step.agent = "tool_call", "bash", "user"
    is_error = code != 0 if isinstance(code, int) and not isinstance(code, bool) else None
    step.tool = {
        "name": "bash",
        "call_id": None,
        "arguments": known(command=message.get("command")),
        "result": message.get("output"),
        **known(is_error=is_error),
    }
    severity: Literal["info", "warning"] = "warning" if message.get("cancelled") is True else "info"
    step.severity = severity
    if is_error:
        step.severity = "error"
        output = text_or_none(message.get("output"))
        step.error = {"type": "ToolError", "message": output or f"The command ended with exit code {code}."}
    return "command", "output"


def _other(entry: Entry, value: Mapping[str, Any]) -> None:
    step, key = entry.step, "content"
    if entry.type == "compaction":
        step.event_type, key = "state", "summary"
    elif entry.type == "branch_summary":
        step.event_type, key = "message", "summary"
    elif entry.type == "custom_message":
        step.event_type = "message"
        step.name = text_or_none(value.get("customType")) or step.name
    elif entry.type == "label":
        key = "label"
    elif entry.type == "session_info":
        key = "name"
    step.text, others = content_of(value.get(key))
    if step.text is not None and not others:
        entry.extra.pop(key, None)
