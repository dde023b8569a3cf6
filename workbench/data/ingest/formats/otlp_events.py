"""What the log events of coding agents tell: a prompt, a call of a model with its tokens, a tool with its result.

Claude Code, Codex and Gemini CLI (and what was made of it) each name their events and attributes in their own way. Only
how they are read is here; the attributes themselves stay in the step's ``extra``.

The names are those of the telemetry pages of the three tools; no capture of theirs was at hand to check them against.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workbench.data.ingest.formats.otlp_attributes import named, parsed, text_of
from workbench.data.ingest.formats.otlp_records import LogRecord, whole
from workbench.data.ingest.normal import Step, Usage

_CALLS = ("api_request", "api_response", "sse_event")
_TOOLS = ("tool_result", "tool_call")
_HIDDEN = ("<REDACTED>", "[REDACTED]")


def tell(step: Step, record: LogRecord) -> Step:
    """Make the step of a log event the prompt, model call or tool call that it tells of; else leave it a log."""
    name = name_of(record)
    agent, _, event = (name or "").rpartition(".")
    step.name = name or step.name
    if not agent:
        return step
    attributes = record.attributes
    step.model = text_of(named(attributes), "gen_ai.response.model") or _text(attributes, "model")
    step.duration_ms = _number(attributes, "duration_ms")
    if event == "user_prompt":
        said = _text(attributes, "prompt")
        step.event_type, step.role, step.agent = "message", "user", "user"
        step.text = said if said not in _HIDDEN else None
    elif event in _CALLS and (usage := _usage(attributes)) is not None:
        step.event_type, step.role, step.usage = "llm_call", "assistant", usage
        step.text = _text(attributes, "response_text")
        step.cost_usd = _number(attributes, "cost_usd")
    elif event in _TOOLS and (tool := _tool(attributes)):
        step.event_type, step.role, step.tool, step.text = "tool_call", "tool", tool, None
        step.name = tool["name"]
    failed = _text(attributes, "error") or _text(attributes, "error.message")
    if failed is not None and (event == "api_error" or _is_false(attributes)):
        kind = _text(attributes, "error_type") or _text(attributes, "status_code") or event
        step.error, step.severity = {"type": kind, "message": failed}, "error"
    return step


def name_of(record: LogRecord) -> str | None:
    """The whole name of an event: some say it in the body and only its end in ``event.name``."""
    name = record.event_name or text_of(record.attributes, "event.name")
    body = record.body if isinstance(record.body, str) else ""
    return body if name and body.endswith(f".{name}") and " " not in body else name


def _usage(attributes: Mapping[str, Any]) -> Usage | None:
    """Tokens in disjoint classes: Claude Code's are so already, the input of others holds what a cache gave."""
    if "cache_read_tokens" in attributes or "input_tokens" in attributes:
        names = ("input_tokens", "cache_read_tokens", "cache_creation_tokens", "output_tokens")
        usage = Usage(*(_count(attributes, name) for name in names))
        return usage if usage.as_dict() else None
    given, out = _count(attributes, "input_token_count"), _count(attributes, "output_token_count")
    if given is None and out is None:
        return None
    read = _count(attributes, "cached_token_count", "cached_content_token_count")
    # Codex' output holds its reasoning; Gemini counts thoughts beside the answer.
    thoughts = _count(attributes, "thoughts_token_count")
    reasoning = _count(attributes, "reasoning_token_count") if thoughts is None else thoughts
    return Usage(
        input_tokens=given - read if given is not None and read is not None and read <= given else given,
        cache_read_tokens=read,
        output_tokens=out if thoughts is None else (out or 0) + thoughts,
        reasoning_tokens=reasoning,
    )


def _tool(attributes: Mapping[str, Any]) -> dict[str, Any]:
    name = _text(attributes, "tool_name") or _text(attributes, "function_name")
    if name is None:
        return {}
    given = next((v for key in ("tool_input", "tool_parameters", "arguments", "function_args")
                  if (v := attributes.get(key)) is not None), None)  # fmt: skip
    fields = {
        "name": name,
        "call_id": _text(attributes, "tool_use_id") or _text(attributes, "call_id"),
        "arguments": parsed(given),
        "is_error": True if _is_false(attributes) else None,
    }
    # The event is sent when the tool has answered, although some do not say what.
    return {key: value for key, value in fields.items() if value is not None} | {"result": attributes.get("output")}


def _is_false(attributes: Mapping[str, Any]) -> bool:
    return str(attributes.get("success")).lower() == "false"


def _text(attributes: Mapping[str, Any], name: str) -> str | None:
    value = attributes.get(name)
    return str(value) if value not in (None, "") else None


def _count(attributes: Mapping[str, Any], *names: str) -> int | None:
    """A number of tokens; some write numbers as texts."""
    found = next((attributes[name] for name in names if attributes.get(name) is not None), None)
    count = whole(found)
    return count if isinstance(count, int) and not isinstance(found, bool) and count >= 0 else None


def _number(attributes: Mapping[str, Any], name: str) -> float | None:
    value = attributes.get(name)
    try:
        number = float(value) if value is not None and not isinstance(value, bool) else None
    except (TypeError, ValueError, OverflowError):
        return None
    return number if number is not None and 0 <= number < float("inf") else None
