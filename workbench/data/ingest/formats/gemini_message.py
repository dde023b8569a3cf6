"""One message of a Gemini CLI session as a step: what was said and thought, tools called and what they answered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from workbench.data.ingest.normal import Step, Usage
from workbench.data.ingest.reading.chat import arguments, count, elements, known, mapping, rest, text_or_none
from workbench.data.ingest.reading.source import Source
from workbench.data.ingest.reading.times import elapsed_ms, when

_SEVERITIES: dict[Any, Literal["warning", "error"]] = {"error": "error", "warning": "warning"}
_TOKENS = ("input", "output", "cached", "thoughts", "tool")
_TOTAL = "their total is not the sum of input, output, thoughts and tool: the classes are taken"
_CACHED = "more tokens were cached than put in: the uncached input is stored as 0"


def read_message(value: Mapping[str, Any], source: Source) -> Step:
    """Any JSON object; what has no place goes into ``extra``."""
    kind = text_or_none(value.get("type"))
    step = Step("log", name=kind, category=kind, timestamp=when(value.get("timestamp"), source))
    step.text, is_placed = _text(value.get("content"))
    used = ["id", *(["type"] if kind else []), *(["content"] if is_placed else [])]
    if step.timestamp is not None:
        used.append("timestamp")
    calls: list[Any] = []
    if kind == "user":
        step.event_type, step.role, step.agent = "message", "user", "user"
    elif kind == "gemini":
        step.event_type, step.role = "message", "assistant"
        used += _answer(step, value, source)
        calls = _calls(step, value.get("toolCalls"), source)
    else:
        step.severity = _SEVERITIES.get(kind, "info")
        if kind == "error":
            step.error = {"type": "error", "message": step.text or "The session reported an error."}
    extra = rest(value, *used) or {}
    if calls:
        extra["toolCalls"] = calls
    if "id" in value and not text_or_none(value["id"]):
        extra |= known(id=value["id"])
    step.extra = extra or None
    return step


def _text(content: Any) -> tuple[str | None, bool]:
    """The text of a content, and whether that is all there is to it."""
    if content is None or isinstance(content, str):
        return content or None, True
    parts = content if isinstance(content, list) else [content]
    texts = [part if isinstance(part, str) else mapping(part).get("text") for part in parts]
    said = [text for text in texts if isinstance(text, str)]
    is_placed = len(said) == len(parts) == 1 and not (mapping(parts[0]).keys() - {"text"})
    return "\n\n".join(said) or None, is_placed


def _answer(step: Step, value: Mapping[str, Any], source: Source) -> list[str]:
    used = []
    step.model = text_or_none(value.get("model"))
    if step.model:
        used.append("model")
    if isinstance(value.get("tokens"), dict):
        step.usage, is_all = _usage(value["tokens"], source)
        used += ["tokens"] if is_all else []
    thoughts = [mapping(thought) for thought in elements(value.get("thoughts"))]
    if thoughts and step.text is None and not elements(value.get("toolCalls")):
        step.event_type = "reasoning"
        step.text = "\n\n".join(": ".join(map(str, _parts(thought))) for thought in thoughts) or None
    return used


def _parts(thought: Mapping[str, Any]) -> list[str]:
    """Subject and description of a thought, where they are there."""
    return [text for text in (thought.get("subject"), thought.get("description")) if isinstance(text, str)]


def _usage(tokens: Mapping[str, Any], source: Source) -> tuple[Usage | None, bool]:
    """Input contains what was cached; thoughts and the prompts of tools are counted beside it.

    And whether the classes say all that is there.
    """
    counts = [count(tokens.get(name)) for name in _TOKENS]
    given, out, cached, thoughts, tool = counts
    is_all = not rest(tokens, *(name for name, n in zip(_TOKENS, counts, strict=True) if n is not None), "total")
    if all(n is None for n in counts):
        return None, False
    if tokens.get("total") is not None and tokens["total"] != sum(n or 0 for n in (given, out, thoughts, tool)):
        source.changed("tokens", _TOTAL)
        is_all = False
    uncached = None if given is None else given - (cached or 0)
    if uncached is not None and uncached < 0:
        source.changed("tokens", _CACHED)
        uncached, is_all = 0, False
    usage = Usage(
        input_tokens=uncached if tool is None else (uncached or 0) + tool,
        cache_read_tokens=cached,
        output_tokens=out if thoughts is None else (out or 0) + thoughts,
        reasoning_tokens=thoughts,
    )
    return usage, is_all


def _calls(step: Step, value: Any, source: Source) -> list[Any]:
    """Put the calls with their results into the step; what is left of each."""
    left: list[Any] = []
    calls: list[dict[str, Any]] = []
    ends = []
    for call in elements(value):
        if not isinstance(call, dict):
            left.append(call)
            continue
        is_error = (
            {"success": False, "error": True}.get(call["status"]) if isinstance(call.get("status"), str) else None
        )
        calls.append(
            {
                "name": call.get("name"),
                "call_id": call.get("id"),
                "arguments": arguments(call.get("args")),
                **({"result": call["result"]} if call.get("result") is not None else {}),
                **known(is_error=is_error),
            }
        )
        ends.append(when(call.get("timestamp"), source))
        left.append(rest(call, "name", "args", "result"))
        if is_error and step.error is None:
            step.severity = "error"
            step.error = {"type": "ToolError", "message": _said(call)}
        elif call.get("status") == "cancelled" and step.severity == "info":
            step.severity = "warning"
    if calls:
        step.event_type, step.tool, step.name = "tool_call", calls[0], text_or_none(calls[0]["name"])
        step.tool_calls = calls[1:] or None
        lasted = [ms for end in ends if (ms := elapsed_ms(step.timestamp, end))]
        step.duration_ms = max(lasted, default=None)  # message and calls are often written at one moment
    return [call for call in left if call is not None]


def _said(call: Mapping[str, Any]) -> str:
    """What a tool that failed said."""
    for part in elements(call.get("result")):
        response = mapping(mapping(mapping(part).get("functionResponse")).get("response"))
        for name in ("error", "output"):
            if isinstance(response.get(name), str) and response[name]:
                return response[name]
    return text_or_none(call.get("resultDisplay")) or "The tool reported an error."
