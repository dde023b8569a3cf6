"""GenAI attribute names of OpenTelemetry: three generations, one reading.

The names moved three times: the first drafts (``llm.*``, ``gen_ai.usage.prompt_tokens``, ``gen_ai.prompt``), semantic
conventions 1.27 to 1.36 (``gen_ai.system``, ``gen_ai.usage.input_tokens``, messages as span events) and 1.37 and later
(``gen_ai.provider.name``, ``gen_ai.input.messages``). :data:`ALIASES` names each value as the newest generation does
and lists its older spellings, newest first. Reading an attribute never renames it: what is stored keeps the source's
names.

Source: the registry and deprecation notes of github.com/open-telemetry/semantic-conventions and its GenAI successor.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from workbench.data.ingest.normal import Usage

ALIASES: dict[str, tuple[str, ...]] = {
    "gen_ai.operation.name": ("llm.request.type",),
    "gen_ai.provider.name": ("gen_ai.system", "llm.vendor"),
    "gen_ai.request.model": ("llm.request.model",),
    "gen_ai.response.model": ("llm.response.model",),
    "gen_ai.response.finish_reasons": ("gen_ai.response.finish_reason", "llm.response.finish_reason"),
    "gen_ai.conversation.id": ("gen_ai.thread.id", "gen_ai.session.id", "session.id"),
    "gen_ai.agent.name": ("gen_ai.agent", "agent.name"),
    "gen_ai.usage.input_tokens": ("gen_ai.usage.prompt_tokens", "llm.usage.prompt_tokens"),
    "gen_ai.usage.output_tokens": ("gen_ai.usage.completion_tokens", "llm.usage.completion_tokens"),
    "gen_ai.usage.cache_read.input_tokens": (
        "gen_ai.usage.cache_read_input_tokens",
        "gen_ai.usage.input_tokens.cached",
        "llm.usage.cache_read_input_tokens",
    ),
    "gen_ai.usage.cache_creation.input_tokens": (
        "gen_ai.usage.cache_creation_input_tokens",
        "gen_ai.usage.cache_write.input_tokens",
        "gen_ai.usage.input_tokens.cache_write",
        "llm.usage.cache_creation_input_tokens",
    ),
    "gen_ai.usage.reasoning.output_tokens": (
        "gen_ai.usage.reasoning_tokens",
        "gen_ai.usage.output_tokens.reasoning",
        "llm.usage.reasoning_tokens",
    ),
    # No generation has a price; these are what instrumentations write instead.
    "gen_ai.usage.cost": ("gen_ai.usage.cost_usd", "gen_ai.usage.total_cost", "operation.cost"),
    "gen_ai.system_instructions": (),
    "gen_ai.input.messages": ("gen_ai.prompt", "gen_ai.request.messages", "llm.prompts"),
    "gen_ai.output.messages": ("gen_ai.completion", "gen_ai.response.messages", "llm.completions"),
    "gen_ai.tool.name": ("tool.name",),
    "gen_ai.tool.call.id": ("gen_ai.tool.call_id", "tool.call.id", "tool.id", "tool_call.id", "ai.toolCall.id"),
    "gen_ai.tool.call.arguments": ("gen_ai.tool.arguments", "gen_ai.tool.input", "tool.parameters"),
    "gen_ai.tool.call.result": ("gen_ai.tool.result", "gen_ai.tool.output", "gen_ai.tool.message"),
    "error.type": (),
}

# `gen_ai.operation.name` → event type; every other operation is a span.
EVENT_TYPES = {
    "chat": "llm_call",
    "completion": "llm_call",
    "text_completion": "llm_call",
    "generate_content": "llm_call",
    "embeddings": "llm_call",
    "embedding": "llm_call",
    "rerank": "llm_call",
    "execute_tool": "tool_call",
}


def value_of(attributes: Mapping[str, Any], name: str) -> Any:
    """The value of the newest generation's `name`, under whatever spelling it was written; None where it is absent."""
    for spelling in (name, *ALIASES.get(name, ())):
        value = attributes.get(spelling)
        if value is not None:
            return value
    return None


def agent_of(attributes: Mapping[str, Any], span_name: str) -> str | None:
    """The agent a span is of: the one it names, or the span itself where it is an agent without a name."""
    named = text_of(attributes, "gen_ai.agent.name")
    return named or (span_name or None if attributes.get("openinference.span.kind") == "AGENT" else None)


def text_of(attributes: Mapping[str, Any], name: str) -> str | None:
    """:func:`value_of` as text; None where it is absent or blank."""
    value = value_of(attributes, name)
    return str(value) if value not in (None, "") else None


def parsed(value: Any) -> Any:
    """JSON text as the object or list it spells; everything else as it is."""
    if isinstance(value, str) and value[:1] in ("{", "["):
        try:
            return orjson.loads(value)
        except orjson.JSONDecodeError:
            pass
        try:
            return json.loads(value)  # NaN, lone surrogates
        except (ValueError, RecursionError):
            return value
    return value


def usage_of(attributes: Mapping[str, Any]) -> Usage | None:
    """Tokens in disjoint classes.

    ``gen_ai.usage.input_tokens`` is the sum of the uncached, the read and the written input. Instrumentations that pass
    the provider's uncached count through instead are known by parts that are larger than the sum.
    """
    total = _count(attributes, "gen_ai.usage.input_tokens")
    read = _count(attributes, "gen_ai.usage.cache_read.input_tokens")
    written = _count(attributes, "gen_ai.usage.cache_creation.input_tokens")
    cached = (read or 0) + (written or 0)
    usage = Usage(
        input_tokens=total - cached if total is not None and cached <= total else total,
        cache_read_tokens=read,
        cache_write_tokens=written,
        output_tokens=_count(attributes, "gen_ai.usage.output_tokens"),
        reasoning_tokens=_count(attributes, "gen_ai.usage.reasoning.output_tokens"),
    )
    return usage if usage.as_dict() else None


def cost_of(attributes: Mapping[str, Any]) -> float | None:
    """The price in US dollars as an instrumentation wrote it; None = unpriced."""
    value = value_of(attributes, "gen_ai.usage.cost")
    try:
        cost = float(value) if value is not None and not isinstance(value, bool) else None
    except (TypeError, ValueError):
        return None
    return cost if cost is not None and 0 <= cost < float("inf") else None


def input_messages(attributes: Mapping[str, Any], events: Iterable[Mapping[str, Any]] = ()) -> list[Any] | None:
    """The conversation the model was given, as a list of messages, from any of the three generations."""
    events = list(events)
    return (
        _message_list(value_of(attributes, "gen_ai.input.messages"), "user")
        or _indexed(attributes, "gen_ai.prompt.")
        or _event_messages(events, _INPUT_EVENTS)
    )


def output_messages(attributes: Mapping[str, Any], events: Iterable[Mapping[str, Any]] = ()) -> list[Any] | None:
    """What the model answered, as a list of messages, from any of the three generations."""
    events = list(events)
    return (
        _message_list(value_of(attributes, "gen_ai.output.messages"), "assistant")
        or _indexed(attributes, "gen_ai.completion.")
        or _event_messages(events, _OUTPUT_EVENTS)
    )


def answer_of(messages: Iterable[Any]) -> tuple[str | None, list[dict[str, Any]]]:
    """Text and tool calls ``{name, call_id, arguments}`` of a list of messages, whatever their shape."""
    texts: list[str] = []
    calls: list[dict[str, Any]] = []
    for message in messages:
        if not isinstance(message, Mapping):
            texts.append(str(message))
            continue
        _collect(message.get("parts", message.get("content")), texts, calls)
        calls.extend(_call(call) for call in message.get("tool_calls") or () if isinstance(call, Mapping))
    return "\n".join(texts) or None, calls


# Span events of conventions 1.27 to 1.36 and, before those, the content events of the first drafts.
_INPUT_EVENTS = {
    "gen_ai.system.message": "system",
    "gen_ai.user.message": "user",
    "gen_ai.assistant.message": "assistant",
    "gen_ai.tool.message": "tool",
    "gen_ai.content.prompt": "user",
}
_OUTPUT_EVENTS = {"gen_ai.choice": "assistant", "gen_ai.content.completion": "assistant"}


def _count(attributes: Mapping[str, Any], name: str) -> int | None:
    value = value_of(attributes, name)
    if isinstance(value, bool) or value is None:
        return None
    try:
        count = int(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return count if count >= 0 else None


def _message_list(value: Any, role: str) -> list[Any] | None:
    value = parsed(value)
    if isinstance(value, list):
        return value or None
    if isinstance(value, Mapping):
        return [value]
    return [{"role": role, "content": value}] if isinstance(value, str) and value else None


def _indexed(attributes: Mapping[str, Any], prefix: str) -> list[Any] | None:
    """``gen_ai.prompt.0.role`` and its like: a list flattened into attribute names."""
    root: dict[str, Any] = {}
    for name, value in attributes.items():
        if name.startswith(prefix):
            node, *path = name[len(prefix) :].split(".")
            at = root.setdefault(node, {})
            for part in path[:-1]:
                at = at.setdefault(part, {}) if isinstance(at, dict) else {}
            if path and isinstance(at, dict):
                at[path[-1]] = value
    return _as_lists(root) if root and all(key.isdigit() for key in root) else None


def _as_lists(node: Any) -> Any:
    if not isinstance(node, dict):
        return node
    if node and all(key.isdigit() for key in node):
        return [_as_lists(node[key]) for key in sorted(node, key=int)]
    return {key: _as_lists(value) for key, value in node.items()}


def _event_messages(events: list[Mapping[str, Any]], roles: Mapping[str, str]) -> list[Any] | None:
    messages = []
    for event in events:
        role = roles.get(str(event.get("name")))
        if role is not None:
            fields = {name.removeprefix("gen_ai."): parsed(v) for name, v in (event.get("attributes") or {}).items()}
            inner = fields.get("message")
            content = fields.get("content", fields.get("prompt", fields.get("completion")))
            messages.append({"role": role, "content": content, **fields, **(inner if isinstance(inner, dict) else {})})
    return messages or None


def _collect(content: Any, texts: list[str], calls: list[dict[str, Any]]) -> None:
    """Sort the parts of a message into text and tool calls."""
    if isinstance(content, str):
        texts.append(content)
    elif isinstance(content, list):
        for part in content:
            if isinstance(part, str):
                texts.append(part)
            elif isinstance(part, Mapping) and part.get("type") in ("tool_call", "tool_use", "function"):
                calls.append(_call(part))
            elif isinstance(part, Mapping) and part.get("type") in (None, "text", "output_text"):
                text = part.get("content", part.get("text"))
                if isinstance(text, str):
                    texts.append(text)


def _call(call: Mapping[str, Any]) -> dict[str, Any]:
    function = call.get("function")
    inner = function if isinstance(function, Mapping) else call
    arguments = inner.get("arguments", inner.get("input"))
    return {
        "name": inner.get("name") or (function if isinstance(function, str) else None),
        "call_id": call.get("id"),
        "arguments": parsed(arguments),
    }
