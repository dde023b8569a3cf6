"""What a model was given and what it answered, from the attributes and events of its span."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from workbench.data.ingest.formats.otlp_attributes import Named, parsed
from workbench.data.ingest.reading.conversation import conversation, decoded


def input_messages(attributes: Named, events: Iterable[Mapping[str, Any]] = ()) -> list[Any] | None:
    """The conversation the model was given, as a list of messages, from any generation or family of names."""
    events = list(events)
    return (
        _message_list(attributes.get("gen_ai.input.messages"), "user")
        or _indexed(attributes, "gen_ai.prompt.")
        or _event_messages(events, _INPUT_EVENTS)
        or _other_family(attributes, "llm.input_messages.", "input.value", "user")
    )


def output_messages(attributes: Named, events: Iterable[Mapping[str, Any]] = ()) -> list[Any] | None:
    """What the model answered, as a list of messages, from any generation or family of names."""
    events = list(events)
    return (
        _message_list(attributes.get("gen_ai.output.messages"), "assistant")
        or _indexed(attributes, "gen_ai.completion.")
        or _event_messages(events, _OUTPUT_EVENTS)
        or _other_family(attributes, "llm.output_messages.", "output.value", "assistant")
    )


def answer_of(messages: Iterable[Any]) -> tuple[str | None, list[dict[str, Any]]]:
    """Text and tool calls ``{name, call_id, arguments}`` of a list of messages, whatever their shape."""
    texts: list[str] = []
    calls: list[dict[str, Any]] = []
    for message in messages:
        if not isinstance(message, dict):
            texts.append(str(message))
            continue
        _collect(message.get("parts", message.get("content")), texts, calls)
        calls.extend(_call(call) for call in message.get("tool_calls") or () if isinstance(call, dict))
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


def _message_list(value: Any, role: str) -> list[Any] | None:
    value = parsed(value)
    if isinstance(value, list):
        return value or None
    if isinstance(value, dict):
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
            elif isinstance(part, dict) and part.get("type") in ("tool_call", "tool_use", "function"):
                calls.append(_call(part))
            elif isinstance(part, dict) and part.get("type") in (None, "text", "output_text"):
                text = part.get("content", part.get("text"))
                if isinstance(text, str):
                    texts.append(text)


def _call(call: Mapping[str, Any]) -> dict[str, Any]:
    function = call.get("function")
    inner = function if isinstance(function, dict) else call
    arguments = inner.get("arguments", inner.get("input"))
    return {
        "name": inner.get("name") or (function if isinstance(function, str) else None),
        "call_id": call.get("id"),
        "arguments": parsed(arguments),
    }


def _other_family(attributes: Mapping[str, Any], listed: str, value: str, role: str) -> list[Any] | None:
    """Messages under the names of the AI SDK or OpenInference, whose spans all say what they are."""
    if "ai.operationId" in attributes:
        names = ("ai.prompt.messages", "ai.prompt")
        found = _ai_sdk_answer(attributes) if role == "assistant" else _said(attributes, names, role)
        if found:
            return found
    kind = attributes.get("openinference.span.kind")
    if kind is None:
        return None
    return _openinference(attributes, listed, role) or (_said(attributes, (value,), role) if kind == "LLM" else None)


def _openinference(attributes: Mapping[str, Any], prefix: str, role: str) -> list[Any] | None:
    """``llm.input_messages.0.message.role`` and its like, without the wrappers."""
    found = _indexed(attributes, prefix) or _message_list(attributes.get(prefix.removesuffix(".")), role)
    return (conversation(found, role) or found) if found else None


def _said(attributes: Mapping[str, Any], names: Iterable[str], role: str) -> list[Any] | None:
    """A text, or a conversation as JSON text, of the first of some attributes that has one."""
    for name in names:
        value = decoded(attributes.get(name))
        if isinstance(value, str) and value:
            return [{"role": role, "content": value}]
        messages = conversation(value, role)
        if messages:
            return messages
    return None


def _ai_sdk_answer(attributes: Mapping[str, Any]) -> list[Any] | None:
    text = attributes.get("ai.response.text") or attributes.get("ai.response.object")
    calls = conversation(decoded(attributes.get("ai.response.toolCalls")), "assistant")
    if isinstance(text, str) and text:
        return [{"role": "assistant", "content": text}, *(calls or [])]
    return calls
