"""One message of a chat dataset or of a session trace as a step.

The names of OpenAI (``role``, ``content``, ``tool_calls``), of ShareGPT (``from``, ``value``), of the Session Trace
Simple Format (``toolCalls``, ``toolCallId``, ``reasoningContent``) and of SWE-agent's datasets (``text``,
``system_prompt``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workbench.data.ingest.formats.swe_agent_messages import command_call, function_call
from workbench.data.ingest.normal import Step
from workbench.data.ingest.reading.chat import elements, known, message_step, number, rest, result_step, text_or_none
from workbench.data.ingest.reading.conversation import decoded
from workbench.data.ingest.reading.openai_usage import openai_usage, price
from workbench.data.ingest.reading.parts import plain_text
from workbench.data.ingest.reading.source import Source
from workbench.data.ingest.reading.times import when

ROLES = {
    "system": "system", "developer": "system",
    "user": "user", "human": "user",
    "assistant": "assistant", "gpt": "assistant", "ai": "assistant", "chatgpt": "assistant", "model": "assistant",
    "bot": "assistant", "function_call": "assistant", "tool_call": "assistant",
    "tool": "tool", "function": "tool", "observation": "tool", "tool_response": "tool", "function_response": "tool",
    "ipython": "tool",
}  # fmt: skip
_CALLING = ("function_call", "tool_call")  # ShareGPT: the author says that the value is a call
_REASONING = ("reasoning_content", "reasoningContent", "reasoning", "thinking")
_PLACED = ("from", "value", "text", "system_prompt", "toolCalls", "tool_calls", "function_call", "toolCallId",
           "tool_call_id", "tool_call_ids", "timestamp", "model", "cost_usd")  # fmt: skip


def author(message: Mapping[str, Any]) -> str | None:
    """Who speaks, as the message says it."""
    return text_or_none(message.get("role")) or text_or_none(message.get("from"))


def is_message(value: Any) -> bool:
    """Whether a value is a message: an author and something said, be it empty."""
    if not isinstance(value, dict):
        return False
    return (isinstance(value.get("role"), str) and not value.keys().isdisjoint(_SAID)) or (
        isinstance(value.get("from"), str) and "value" in value
    )


_SAID = {"content", "text", "tool_calls", "toolCalls", "system_prompt"}


def step_of(message: Mapping[str, Any], source: Source, tools: dict[str, str]) -> Step:
    """A message as a step; what of it has no place is kept in ``extra``.

    Parameters
    ----------
    tools
        The names of the tools called so far, by the id of their call; the calls of this message are added.
    """
    said = author(message)
    role = ROLES.get((said or "").lower())
    if role == "tool":
        step = _result(message, tools)
    else:
        step = _said(message, role, tools)
        if step.role is None:
            step.event_type, step.name = "log", said
    if said is not None and said != role:
        step.extra = {**(step.extra or {}), ("role" if message.get("role") == said else "from"): said}
    step.timestamp = when(message.get("timestamp"), source)
    if step.timestamp is None and message.get("timestamp") is not None:
        step.extra = {**(step.extra or {}), "timestamp": message["timestamp"]}
    step.model = text_or_none(message.get("model"))
    if step.model is None and message.get("model") is not None:
        step.extra = {**(step.extra or {}), "model": message["model"]}
    step.usage = openai_usage(message.get("usage"), source)
    cost = number(message.get("cost_usd"))
    step.cost_usd = price(cost, step.usage, source)
    if step.cost_usd is None and message.get("cost_usd") is not None:
        step.extra = {**(step.extra or {}), "cost_usd": message["cost_usd"]}
    return step


def _content(message: Mapping[str, Any]) -> tuple[str, Any]:
    """Where the words of a message are, and what stands there."""
    names = ("content", "value", "text", "system_prompt")
    name = next((name for name in names if message.get(name) not in (None, "")), "content")
    return name, message.get(name)


def _said(message: Mapping[str, Any], role: str | None, tools: dict[str, str]) -> Step:
    name, content = _content(message)
    calls, placed = _calls(message, role, content)
    plain = {**message, "role": role, "content": content}
    used = [key for key in _PLACED if key in placed or key in ("model", "timestamp", "cost_usd", name)]
    step = message_step(plain, calls, *used, *(["thought"] if message.get("thought") == content else []))
    if content in (None, ""):
        step.extra = rest(step.extra or {}, "content")
    elif not isinstance(content, str):
        step.text = plain_text(content)
    # A message keeps its tool calls where they could not be read as such.
    listed = message.get("tool_calls")
    if listed is not None and "tool_calls" not in placed and listed not in ([], ""):
        step.extra = {**(step.extra or {}), "tool_calls": listed}
    thought = next((message[key] for key in _REASONING if text_or_none(message.get(key))), None)
    if thought is not None and step.event_type == "message" and step.text is None and role == "assistant":
        step.event_type, step.text = "reasoning", thought
        step.extra = rest(step.extra or {}, *(key for key in _REASONING if message.get(key) == thought))
    for call in calls:
        if isinstance(call.get("call_id"), str) and isinstance(call.get("name"), str):
            tools[call["call_id"]] = call["name"]
    return step


def _calls(message: Mapping[str, Any], role: str | None, content: Any) -> tuple[list[dict[str, Any]], set[str]]:
    """The tools that a message calls, and the fields that hold nothing else."""
    for field in ("tool_calls", "toolCalls"):
        rows = decoded(message.get(field))
        calls = [function_call(row) if "function" in row else _plain_call(row) for row in _objects(rows)]
        if calls and len(calls) == len(rows) and all(isinstance(call["name"], str) for call in calls):
            return calls, {field}
    if role != "assistant":
        return [], set()
    single = message.get("function_call")
    if isinstance(single, dict) and isinstance(single.get("name"), str):
        return [_plain_call(single)], {"function_call"}
    if author(message) in _CALLING:
        call = decoded(content)
        if isinstance(call, dict) and isinstance(call.get("name"), str):
            return [_plain_call(call)], set()
    action = message.get("action")
    if isinstance(action, str) and action.strip():
        return [command_call(action)], set()
    return [], set()


def _objects(value: Any) -> list[dict[str, Any]]:
    return [row for row in elements(value) if isinstance(row, dict)]


def _plain_call(row: Mapping[str, Any]) -> dict[str, Any]:
    """A call without OpenAI's ``function`` around it."""
    told = next((row[key] for key in ("arguments", "args", "input", "parameters") if row.get(key) is not None), None)
    return {"name": row.get("name"), "call_id": row.get("id"), "arguments": decoded(told)}


def _result(message: Mapping[str, Any], tools: Mapping[str, str]) -> Step:
    name, content = _content(message)
    listed = next(iter(elements(message.get("tool_call_ids"))), None)
    call_id = text_or_none(message.get("tool_call_id") or message.get("toolCallId") or listed)
    own = text_or_none(message.get("name"))
    used = ["role", "from", "timestamp", "model", "cost_usd", name, *(["name"] if own else [])]
    if call_id is not None:
        used += [key for key in ("tool_call_id", "toolCallId") if message.get(key) == call_id]
        used += ["tool_call_ids"] if message.get("tool_call_ids") == [call_id] else []
    failed = message.get("is_error")
    used += ["is_error"] if isinstance(failed, bool) else []
    return result_step(
        own or tools.get(call_id or ""),
        call_id,
        content,
        rest({**message, **known(**{name: content})}, *used),
        is_error=failed if isinstance(failed, bool) else None,
    )
