"""One message of LangChain, as LangGraph keeps it in a channel, as a step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workbench.data.ingest.formats.langgraph_values import role_of
from workbench.data.ingest.normal import Step, Usage
from workbench.data.ingest.reading.chat import count, elements, known, mapping, result_step, text_or_none
from workbench.data.ingest.reading.openai_usage import disjoint, openai_usage
from workbench.data.ingest.reading.parts import plain_text
from workbench.data.ingest.reading.source import Source

_READ = {"type", "name", "tool_calls", "tool_call_id"}
_ROLES = {"human": "user", "ai": "assistant", "system": "system"}


def message_step(message: Mapping[str, Any], source: Source) -> Step:
    """A message as a step: text, calls of tools, or what a tool answered; what else it holds is kept in ``extra``."""
    kind = role_of(message)
    content = message.get("content")
    left = {key: value for key, value in message.items() if key not in _READ and value not in (None, [], {}, False)}
    if isinstance(content, str):
        left.pop("content", None)
    if kind in ("tool", "function"):
        return _result(message, content, left)
    role = _ROLES.get(kind or "") or text_or_none(message.get("role"))
    step = Step(
        "message",
        name=text_or_none(message.get("name")) or role,
        category=role,
        role=role if role in ("system", "user", "assistant") else None,
        text=plain_text(content),
        extra=left or None,
    )
    calls = [_call(call) for call in elements(message.get("tool_calls")) if isinstance(call, dict)]
    if calls:
        step.event_type = "tool_call"
        step.tool, *more = calls
        step.name = text_or_none(step.tool.get("name"))
        step.tool_calls = more or None
    if kind == "ai":
        about = mapping(message.get("response_metadata"))
        names = (about.get(name) for name in ("model_name", "model", "model_id", "ls_model_name"))
        step.model = next((name for name in map(text_or_none, names) if name), None)
        step.usage = _usage(message, about, source)
    return step


def _call(call: Mapping[str, Any]) -> dict[str, Any]:
    return known(name=call.get("name"), call_id=call.get("id"), arguments=call.get("args"))


def _result(message: Mapping[str, Any], content: Any, left: dict[str, Any]) -> Step:
    status = message.get("status")
    is_error = None if status is None else status == "error"
    left.pop("content", None)  # the result itself
    left.pop("status", None)
    step = result_step(
        text_or_none(message.get("name")), message.get("tool_call_id"), content, left or None, is_error=is_error
    )
    if is_error:
        step.error = {"type": "ToolError", "message": plain_text(content)}
    return step


def _usage(message: Mapping[str, Any], about: Mapping[str, Any], source: Source) -> Usage | None:
    """LangChain's own count, which includes what came from and went to a cache; else what the provider said."""
    own = mapping(message.get("usage_metadata"))
    if not own:
        return openai_usage(about.get("token_usage") or about.get("usage"), source)
    given, made = mapping(own.get("input_token_details")), mapping(own.get("output_token_details"))
    return disjoint(
        prompt=count(own.get("input_tokens")),
        read=count(given.get("cache_read")),
        written=count(given.get("cache_creation")),
        output=count(own.get("output_tokens")),
        reasoning=count(made.get("reasoning")),
        source=source,
    )
