"""An event of a Codex rollout: what the program showed, beside the items that the model was given and answered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from workbench.data.ingest.normal import Step
from workbench.data.ingest.reading.chat import arguments, known, mapping, number, text_or_none
from workbench.data.ingest.reading.times import milliseconds

_ECHOES = {"user_message": "user", "agent_message": "assistant", "agent_reasoning": "reasoning"}
_SEVERITIES: dict[Any, Literal["warning", "error"]] = {
    "error": "error",
    "stream_error": "warning",
    "warning": "warning",
    "turn_aborted": "warning",
}
# Events that tell of a finished call, and the tool they tell of.
ENDS = {
    "exec_command_end": "exec_command",
    "patch_apply_end": "apply_patch",
    "mcp_tool_call_end": "mcp",
    "dynamic_tool_call_response": "dynamic_tool",
    "web_search_end": "web_search",
    "image_generation_end": "image_generation",
    "view_image_tool_call": "view_image",
}


@dataclass(slots=True)
class End:
    """What is told of how a call ended; ``None`` where nothing is."""

    is_error: bool | None = None
    message: str | None = None
    duration_ms: float | None = None


@dataclass(slots=True)
class Line:
    """A line: its step and what the session needs to know of it."""

    step: Step
    kind: str  # of the line: session_meta, response_item, event_msg, …
    type: str | None  # of its payload: message, function_call, token_count, …
    payload: Mapping[str, Any]
    own_id: str | None = None  # the source's own id of this line
    said: tuple[Any, ...] = ()  # (author, text) that an event repeats, or that is repeated
    is_echo: bool = False  # an event that tells what an item tells too
    is_prompt: bool = False  # typed by the user
    is_copied: bool = False  # written by the session this one was forked from
    call_id: str | None = None
    end: End = field(default_factory=End)


def nonzero(code: Any) -> bool | None:
    """Whether an exit code is that of a failure."""
    return code != 0 if isinstance(code, int) and not isinstance(code, bool) else None


def read_event(line: Line) -> tuple[str, ...]:
    """Fill in the step of an event; which fields of the payload it used."""
    step, payload, kind = line.step, line.payload, line.type or ""
    step.severity = _SEVERITIES.get(kind, "info")
    if kind in _ECHOES:
        key = "text" if kind == "agent_reasoning" else "message"
        step.text = text_or_none(payload.get(key))
        line.said = (_ECHOES[kind], step.text)
        return (key,) if step.text else ()
    if kind in ENDS:
        line.end = _told(payload)
        return ()
    if kind == "item_completed":
        item = mapping(payload.get("item"))
        line.call_id, line.end = text_or_none(item.get("id")), _told(item)
        return ()
    key = "reason" if kind == "turn_aborted" else "message"
    step.text = text_or_none(payload.get(key))
    failed = payload.get("error") if kind == "task_complete" else payload if kind == "error" else None
    if failed:
        said = mapping(failed).get("message") or step.text
        step.severity = "error"
        step.error = known(type=_error_type(mapping(failed)), message=said if isinstance(said, str) else str(failed))
    return (key,) if step.text else ()


def _error_type(failed: Mapping[str, Any]) -> str:
    """The kind of an error: a word, or an object whose one key is the word."""
    info = failed.get("codex_error_info")
    if isinstance(info, dict) and info:
        return str(next(iter(info)))
    return info if isinstance(info, str) and info else "error"


def _told(payload: Mapping[str, Any]) -> End:
    """What an event of a finished call says of how it ended."""
    result, success = mapping(payload.get("result")), payload.get("success")
    is_error = nonzero(payload.get("exit_code"))
    if is_error is None and isinstance(success, bool):
        is_error = not success
    if is_error is None and payload.get("status") in ("failed", "declined"):
        is_error = True
    if is_error is None and result:
        inner = mapping(result.get("Ok"))
        is_error = "Err" in result or inner.get("isError") is True or result.get("isError") is True
    message = next(
        (said for said in (payload.get("error"), result.get("Err"), payload.get("stderr")) if isinstance(said, str)),
        None,
    )
    duration = mapping(payload.get("duration"))
    seconds, nanos = number(duration.get("secs")), number(duration.get("nanos"))
    lasted = None if seconds is None else milliseconds(seconds + (nanos or 0) / 1e9)
    return End(is_error, message or text_or_none(payload.get("aggregated_output")), lasted)


def stand_alone(line: Line) -> None:
    """Make an event the step itself: no item of the file tells what it tells."""
    step, payload, kind = line.step, line.payload, line.type or ""
    if kind == "agent_reasoning":
        step.event_type, step.role = "reasoning", "assistant"
    elif kind in _ECHOES:
        step.event_type, step.role = "message", "user" if kind == "user_message" else "assistant"
        step.agent = "user" if kind == "user_message" else None
        line.is_prompt = kind == "user_message" and bool(step.text)
    elif kind in ENDS:
        step.event_type, step.role = "tool_call", "assistant"
        step.name = _tool_name(kind, payload)
        result = next((payload[key] for key in _RESULTS if payload.get(key) not in (None, "")), None)
        step.tool = {
            "name": step.name,
            "call_id": line.call_id,
            "arguments": _given(payload),
            "result": result,
            **known(is_error=line.end.is_error),
        }
        step.extra = {**(step.extra or {}), "type": kind}
        fail(step, line.end)
        step.duration_ms = line.end.duration_ms


_RESULTS = ("formatted_output", "aggregated_output", "stdout", "result", "content_items", "results", "saved_path")
_GIVEN = ("command", "cwd", "changes", "query", "action", "revised_prompt", "path")


def _tool_name(kind: str, payload: Mapping[str, Any]) -> str:
    invocation = mapping(payload.get("invocation"))
    parts = (invocation.get("server"), invocation.get("tool")) if invocation else (payload.get("tool"),)
    return ".".join(part for part in parts if isinstance(part, str)) or ENDS[kind]


def _given(payload: Mapping[str, Any]) -> Any:
    invocation = mapping(payload.get("invocation")) or payload
    if "arguments" in invocation:
        return arguments(invocation["arguments"])
    return {key: payload[key] for key in _GIVEN if payload.get(key) is not None} or None


def fail(step: Step, end: End) -> None:
    """Mark a step as the error its call ended with."""
    if end.is_error:
        step.severity = "error"
        step.error = {"type": "ToolError", "message": end.message or "The tool reported an error."}
