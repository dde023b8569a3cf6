"""A conversation as providers and frameworks write it, as one list of messages.

Traces hold what a model was given and what it answered in the shape of whoever made the call: OpenAI chat and
responses, Anthropic, Gemini, LangChain (plain and serialised), the Vercel AI SDK, OpenInference. Each becomes
``{"role", "content", "tool_calls": [{"id", "name", "arguments"}], "tool_call_id"}``; whatever is none of them is left
alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workbench.data.ingest.reading.chat import arguments
from workbench.data.ingest.reading.parse import parse

_ROLES = {"human": "user", "ai": "assistant", "model": "assistant", "function": "tool", "developer": "system"}
_KNOWN_ROLES = {"system", "user", "assistant", "tool"}
_CLASSES = {
    "HumanMessage": "user",
    "AIMessage": "assistant",
    "SystemMessage": "system",
    "ToolMessage": "tool",
    "FunctionMessage": "tool",
    "ChatMessage": "user",
}
# Tuples: a value that is looked for in them may be of any type.
_CALLS = ("tool_use", "tool_call", "tool-call", "function_call", "function")
_RESULTS = ("tool_result", "tool-result", "function_call_output")
_DEEPEST = 8  # wrappers around a message; nobody writes more


def conversation(value: Any, role: str, depth: int = 0) -> list[dict[str, Any]] | None:
    """The messages that a value holds; ``None`` where it is no conversation.

    Parameters
    ----------
    value
        The parsed input or output of a model call.
    role
        Whose words they are where the value does not say.
    """
    if depth > _DEEPEST:
        return None
    if isinstance(value, list):
        return _joined(value, role, depth)
    if not isinstance(value, dict):
        return None
    for find in (_wrapped, _generations, _gemini, _prompt):
        found = find(value, role, depth)
        if found is not None:
            return found
    message = _message(value, role, depth)
    return [message] if message is not None else None


def decoded(value: Any) -> Any:
    """What a text of JSON says, encoded once or several times over; every other value as it is."""
    for _ in range(_DEEPEST):
        if not isinstance(value, str) or value.lstrip()[:1] not in ("{", "[", '"'):
            break
        try:
            parsed = parse(value.encode("utf-8", "surrogatepass"))
        except ValueError:
            break
        if parsed.changed:  # the text itself is the only true form
            break
        value = parsed.value
    return value


def answer(messages: list[dict[str, Any]] | None) -> tuple[str | None, list[dict[str, Any]]]:
    """Text and tool calls ``{name, call_id, arguments}`` of what a model answered."""
    texts = [m["content"] for m in messages or () if isinstance(m.get("content"), str) and m["content"]]
    calls = [call for m in messages or () for call in m.get("tool_calls", ())]
    named = [{"name": call["name"], "call_id": call["id"], "arguments": call["arguments"]} for call in calls]
    return "\n".join(texts) or None, named


def _joined(values: list[Any], role: str, depth: int) -> list[dict[str, Any]] | None:
    """A list of messages, or of lists of them; items of other types (reasoning, searches) are passed over."""
    messages: list[dict[str, Any]] = []
    for value in values:
        found = None if _is_definition(value) else conversation(value, role, depth + 1)
        if found is not None:
            messages += found
        elif not isinstance(value, dict) or not isinstance(value.get("type", value.get("role")), str):
            return None
    return messages or None


def _is_definition(value: Any) -> bool:
    """A tool's definition, which LangChain hands on among the messages."""
    content = value.get("content") if isinstance(value, dict) else None
    return isinstance(content, dict) and isinstance(content.get("function"), dict)


def _wrapped(value: Mapping[str, Any], role: str, depth: int) -> list[dict[str, Any]] | None:
    """``{"messages": […]}``, OpenAI's ``choices`` and ``output``, OpenInference's ``{"message": {…}}``."""
    if isinstance(value.get("messages"), list):
        return _joined(value["messages"], role, depth)
    if isinstance(value.get("choices"), list):
        return _joined([c.get("message", c) if isinstance(c, dict) else c for c in value["choices"]], role, depth)
    if isinstance(value.get("output"), list):
        return _joined(value["output"], role, depth)
    if isinstance(value.get("message"), dict):
        return conversation(value["message"], role, depth + 1)
    return None


def _generations(value: Mapping[str, Any], role: str, depth: int) -> list[dict[str, Any]] | None:
    """LangChain's result of a model: ``{"generations": [[{"text", "message"}]]}``."""
    rows = value.get("generations")
    if not isinstance(rows, list):
        return None
    flat = [item for row in rows for item in (row if isinstance(row, list) else [row])]
    return _joined([g.get("message") or g if isinstance(g, dict) else g for g in flat], role, depth)


def _gemini(value: Mapping[str, Any], role: str, depth: int) -> list[dict[str, Any]] | None:
    """Gemini: a request has ``contents``, a response ``candidates`` or one ``content`` of ``parts``."""
    if isinstance(value.get("contents"), list) and "role" not in value:
        config = value.get("config")
        system = config.get("system_instruction") if isinstance(config, dict) else value.get("system_instruction")
        messages = _joined(value["contents"], role, depth)
        if messages is not None and isinstance(system, str):
            return [{"role": "system", "content": system}, *messages]
        return messages
    if isinstance(value.get("candidates"), list):
        return _joined(value["candidates"], role, depth)
    content = value.get("content")
    if isinstance(content, dict) and isinstance(content.get("parts"), list):
        return conversation(content, role, depth + 1)
    return None


def _prompt(value: Mapping[str, Any], role: str, depth: int) -> list[dict[str, Any]] | None:
    """``{"system": "…", "prompt": "…"}``."""
    prompt = value.get("prompt")
    if isinstance(prompt, list):
        messages = _joined(prompt, role, depth)
    else:
        messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else None
    if messages is not None and isinstance(value.get("system"), str):
        return [{"role": "system", "content": value["system"]}, *messages]
    return messages


def _message(value: Mapping[str, Any], role: str, depth: int) -> dict[str, Any] | None:
    kind = value.get("type")
    if isinstance(value.get("kwargs"), dict):  # LangChain, serialised as a constructor
        name = value["id"][-1] if isinstance(value.get("id"), list) and value["id"] else None
        said = _CLASSES.get(str(name).removesuffix("Chunk"), role)
        return _message({"role": said, **value["kwargs"], "type": None}, role, depth + 1) if depth < _DEEPEST else None
    if isinstance(value.get("data"), dict) and kind in (*_ROLES, "system", "tool"):  # LangChain, older
        return _message({**value["data"], "type": kind}, role, depth + 1) if depth < _DEEPEST else None
    if kind in _CALLS or "toolName" in value:
        call = _call(value)
        return {"role": "assistant", "tool_calls": [call]} if call is not None else None
    if kind in _RESULTS:
        return _message({"role": "tool", "tool_call_id": value.get("call_id"), "content": value.get("output")}, role, 0)
    if isinstance(value.get("message_content"), dict):
        return None
    said = _role(value.get("role"), kind)
    if said is None and not _is_answer(value):
        return None
    return _with_content(value, said or role)


def _role(role: Any, kind: Any) -> str | None:
    for name in (role, kind):
        if isinstance(name, str):
            name = _ROLES.get(name.lower(), name.lower())
            if name in _KNOWN_ROLES or role is not None:
                return name
    return None


def _is_answer(value: Mapping[str, Any]) -> bool:
    """A message without a role: Anthropic's content, a generation's text, text and calls of the AI SDK."""
    content = value.get("content")
    if isinstance(content, list) and content:
        return all(isinstance(part, dict) and "type" in part for part in content)
    return set(value) <= _ANSWER_KEYS and any(isinstance(value.get(key), str) for key in ("text", "content"))


_ANSWER_KEYS = {
    "content", "text", "toolCalls", "tool_calls", "finishReason", "finish_reason", "usage", "type", "generation_info",
    "index", "logprobs",
}  # fmt: skip


def _with_content(value: Mapping[str, Any], role: str) -> dict[str, Any]:
    content, calls = value.get("content"), []
    if content is None:
        content = next((value[key] for key in ("parts", "contents", "text") if value.get(key) is not None), None)
    if isinstance(content, list):
        parts = [_part(part) for part in content]
        calls = [call for part in parts if (call := _part_call(part)) is not None]
        others = [part for part in parts if _part_call(part) is None]
        texts = [_part_text(part) for part in others]
        content = "\n".join(t for t in texts if t is not None) if None not in texts else others
        if not others:
            content = None
        result = _result_part(others)
        if result is not None:
            return result
    calls += _calls(value)
    message = {"role": role, "content": content}
    if calls:
        message["tool_calls"] = calls
    answers = value.get("tool_call_id") or value.get("toolCallId")
    if answers is not None:
        message["tool_call_id"] = answers
    if value.get("name") and role == "tool":
        message["name"] = value["name"]
    return {key: item for key, item in message.items() if item is not None}


def _calls(value: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The tool calls of a message; LangChain repeats the provider's own under ``additional_kwargs``."""
    more = value.get("additional_kwargs")
    places = (
        value.get("tool_calls"),
        value.get("toolCalls"),
        more.get("tool_calls") if isinstance(more, dict) else 0,
    )
    rows = next((place for place in places if isinstance(place, list) and place), [])
    return [call for row in rows if (call := _call(row)) is not None]


def _call(value: Any) -> dict[str, Any] | None:
    if not isinstance(value, dict):
        return None
    value = value["tool_call"] if isinstance(value.get("tool_call"), dict) else value
    inner = value["function"] if isinstance(value.get("function"), dict) else value
    name = next((inner[key] for key in ("name", "toolName") if isinstance(inner.get(key), str)), None)
    given = next((inner[key] for key in ("arguments", "args", "input") if inner.get(key) is not None), None)
    if name is None and given is None:
        return None
    # A response of OpenAI has an id of the item beside that of the call, which the result names.
    call_id = next((value[key] for key in ("call_id", "toolCallId", "id") if value.get(key) is not None), None)
    return {"id": call_id, "name": name, "arguments": arguments(given)}


def _part(part: Any) -> Any:
    """A part of a message, out of OpenInference's wrapper."""
    wrapped = part.get("message_content") if isinstance(part, dict) else None
    return wrapped if isinstance(wrapped, dict) else part


def _part_call(part: Any) -> dict[str, Any] | None:
    if not isinstance(part, dict):
        return None
    for key in ("function_call", "functionCall"):
        if isinstance(part.get(key), dict):
            return _call(part[key])
    return _call(part) if part.get("type") in _CALLS else None


def _part_text(part: Any) -> str | None:
    if isinstance(part, str):
        return part
    if isinstance(part, dict) and part.get("type") in (None, "text", "input_text", "output_text"):
        text = part.get("text", part.get("content"))
        return text if isinstance(text, str) else None
    return None


def _result_part(parts: list[Any]) -> dict[str, Any] | None:
    """What one tool answered, where a message holds nothing else."""
    if len(parts) != 1 or not isinstance(parts[0], dict):
        return None
    [part] = parts
    response = next((part[key] for key in ("function_response", "functionResponse") if key in part), None)
    if isinstance(response, dict):
        found = {"tool_call_id": response.get("id"), "name": response.get("name"), "content": response.get("response")}
    elif part.get("type") in _RESULTS:
        answers = part.get("tool_use_id") or part.get("toolCallId")
        output = next((part[key] for key in ("content", "result", "output") if part.get(key) is not None), None)
        found = {"tool_call_id": answers, "name": part.get("toolName"), "content": output}
    else:
        return None
    return {"role": "tool", **{key: item for key, item in found.items() if item is not None}}
