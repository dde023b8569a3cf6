"""The events of an Inspect sample → :class:`Step` objects, one per event, nested events of old logs included."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from workbench.data.ingest.normal import Step, Usage
from workbench.data.ingest.reading.chat import count, mapping, number, rest, text_or_none, title
from workbench.data.ingest.reading.source import Source
from workbench.data.ingest.reading.times import elapsed_ms, milliseconds, when

Event = Mapping[str, Any]

_LEVELS = {"warning": "warning", "error": "error", "critical": "critical", "info": "info"}  # others are finer: debug
_COMMON = ("event", "uuid", "timestamp", "completed")


class Spans:
    """The spans of a sample: ids, parents, and the agent inside whose span an event lies.

    Logs of 2024 have ``step`` events without ids; theirs are made from their position, their nesting from the order.
    """

    def __init__(self) -> None:
        self._agents: dict[str, str | None] = {}
        self._names: dict[str, str | None] = {}
        self._open_steps: list[str] = []

    def around(self, event: Event) -> str | None:
        """Id of the span an event happened in."""
        span_id = text_or_none(event.get("span_id"))
        return span_id or (self._open_steps[-1] if self._open_steps else None)

    def begin(self, span_id: str, parent: str | None, event: Event, *, is_step: bool = False) -> None:
        """Enter a span."""
        name = text_or_none(event.get("name"))
        self._names[span_id] = name
        self._agents[span_id] = name if event.get("type") == "agent" else self._agents.get(parent or "")
        if is_step:
            self._open_steps.append(span_id)

    def end_step(self) -> str | None:
        """Leave the innermost ``step``; returns its id."""
        return self._open_steps.pop() if self._open_steps else None

    def name(self, span_id: str | None) -> str | None:
        """Name of a span."""
        return self._names.get(span_id or "")

    def agent(self, span_id: str | None) -> str | None:
        """The agent whose span this is, or lies in."""
        return self._agents.get(span_id or "")


def flat(events: list[Any]) -> Iterator[Any]:
    """Events with those recorded inside tool and subtask events (logs before 2025-05) behind them."""
    for event in events:
        yield event
        inner = event.get("events") if isinstance(event, dict) else None
        if isinstance(inner, list):
            yield from flat(inner)


def step_of(event: Event, position: int, spans: Spans, source: Source) -> Step:
    """One event as one step; `spans` moves on with it."""
    kind = str(event.get("event"))
    event = _steady(event, source)
    around = spans.around(event)
    if kind in ("span_begin", "span_end", "step"):
        step = _span(event, kind, position, around, spans)
    else:
        step = _READERS.get(kind, _other)(event)
        step.parent_span_id = around
    step.source_id = text_or_none(event.get("uuid"))
    step.category = kind
    step.timestamp = when(event.get("timestamp"), source)
    ended = when(event.get("completed"), source)
    if step.duration_ms is None:
        step.duration_ms = elapsed_ms(step.timestamp, ended)
    if step.agent is None:
        step.agent = spans.agent(step.span_id or around)
    if kind == "score" and step.name is None:
        step.name = spans.name(around)
    return step


def _steady(event: Event, source: Source) -> Event:
    """The event without what another version of Inspect would write otherwise on rewriting the log.

    Events without a uuid (before mid 2025) got a ``working_start`` from the clock of whichever machine wrote them, and
    scores their default ``intermediate``. Without those, both layouts of one log give the same rows.
    """
    dropped = {"intermediate"} if event.get("intermediate") is False else set()
    if "working_start" in event and not event.get("uuid"):
        source.lost("working_start", "seconds on the writing machine's own clock; the events keep their times")
        dropped.add("working_start")
    return {key: value for key, value in event.items() if key not in dropped} if dropped else event


def close_spans(steps: list[Step]) -> None:
    """Give every span its duration: from its begin to its end."""
    begun = {step.span_id: step for step in steps if step.span_id and step.event_type == "span"}
    for step in steps:
        opened = begun.get(str((step.extra or {}).get("ends"))) if step.event_type == "span" else None
        if opened is not None:
            opened.duration_ms = elapsed_ms(opened.timestamp, step.timestamp)


def usage_of(usage: Any) -> Usage | None:
    """Tokens in disjoint classes.

    Until February 2026 (inspect_ai#3341) ``input_tokens`` of some providers held the cached input as well; the record
    does not say which, but its total does: where input and output alone make the total, the cached part lies inside.
    """
    if not isinstance(usage, Mapping):
        return None
    given, out, total = (count(usage.get(f"{name}_tokens")) for name in ("input", "output", "total"))
    read, written = count(usage.get("input_tokens_cache_read")), count(usage.get("input_tokens_cache_write"))
    cached = (read or 0) + (written or 0)
    if given is not None and cached <= given and total == given + (out or 0):
        given -= cached
    found = Usage(given, read, written, out, count(usage.get("reasoning_tokens")))
    return found if found.as_dict() else None


def message_step(message: Event, names: dict[str, Any]) -> Step:
    """A chat message as a step, for logs that hold no events. `names` collects the tools of the calls."""
    role = message.get("role")
    if role == "tool":
        call_id = message.get("tool_call_id")
        name = message.get("function") or names.get(str(call_id))
        step = Step("tool_result", name=name, role="tool")
        step.error = _error(message.get("error"))
        tool = {"name": name, "call_id": call_id, "result": message.get("content")}
        step.tool = {key: value for key, value in tool.items() if value is not None}
        if step.error:
            step.severity, step.tool = "error", {**step.tool, "is_error": True}
        step.extra = rest(message, "role", "tool_call_id", "function", "content", "error", "id")
    else:
        step = Step("message", name=text_or_none(role), role=role if role in ("system", "user", "assistant") else None)
        step.text, content = _content(message.get("content"))
        step.model = text_or_none(message.get("model"))
        calls = _calls(message)
        if calls:
            step.event_type, step.name = "tool_call", calls[0]["name"]
            step.tool, step.tool_calls = calls[0], calls[1:] or None
            names |= {str(call["call_id"]): call["name"] for call in calls}
        step.extra = rest({**message, "content": content}, "role", "model", "tool_calls", "id")
    step.source_id = text_or_none(message.get("id"))
    step.category = text_or_none(role)
    return step


# -- one reader per kind of event --------------------------------------------------------------------------------------


def _span(event: Event, kind: str, position: int, around: str | None, spans: Spans) -> Step:
    step = Step("span", name=text_or_none(event.get("name")), extra=rest(event, *_COMMON, "name", "id", "span_id"))
    is_begin = kind == "span_begin" or (kind == "step" and event.get("action") == "begin")
    if is_begin:
        own = str(event.get("id")) if kind == "span_begin" else f"step-{position}"
        step.span_id = own
        step.parent_span_id = text_or_none(event.get("parent_id")) if kind == "span_begin" else around
        spans.begin(own, step.parent_span_id, event, is_step=kind == "step")
        return step
    ended = text_or_none(event.get("id")) if kind == "span_end" else spans.end_step()
    step.name = step.name or spans.name(ended)
    step.severity = "debug"
    step.parent_span_id = ended
    step.extra = {**(step.extra or {}), "ends": ended}
    return step


def _model(event: Event) -> Step:
    output = mapping(event.get("output"))
    choices = output.get("choices")
    message = mapping(mapping(choices[0]).get("message")) if isinstance(choices, list) and choices else {}
    usage = mapping(output.get("usage"))
    text, _ = _content(message.get("content"))
    seconds = number(output.get("time"))
    name = text_or_none(event.get("model"))
    problem = event.get("error") or output.get("error")
    return Step(
        "llm_call",
        name=name,
        severity="error" if problem else "info",
        duration_ms=milliseconds(seconds) if event.get("completed") is None else None,
        role="assistant",
        text=text,
        tool_calls=_calls(message) or None,
        model=text_or_none(output.get("model")) or name,
        usage=usage_of(usage),
        cost_usd=number(usage.get("total_cost")),
        error=_error(problem, stack=event.get("traceback")),
        extra=rest(event, *_COMMON, "model", "error", "traceback", "traceback_ansi", "span_id"),
    )


def _tool(event: Event) -> Step:
    error = _error(event.get("error"))
    tool = {
        "name": event.get("function"),
        "call_id": event.get("id"),
        "arguments": event.get("arguments"),
        "result": event.get("result"),
        "is_error": True if error or event.get("failed") else None,
    }
    return Step(
        "tool_call",
        name=text_or_none(event.get("function")),
        agent=text_or_none(event.get("agent")),
        severity="error" if tool["is_error"] else "info",
        role="tool",
        tool={key: value for key, value in tool.items() if value is not None},
        error=error,
        extra=rest(event, *_COMMON, "function", "id", "arguments", "result", "error", "agent", "span_id", "events"),
    )


def _state(event: Event) -> Step:
    """A change of state. Its values become a snapshot; the event says which places it touched."""
    changes = [change for change in event.get("changes") or () if isinstance(change, Mapping)]
    places = [{key: change[key] for key in ("op", "path", "from") if key in change} for change in changes]
    return Step(
        "state",
        name=str(event.get("event")),
        text=", ".join(f"{place.get('op')} {place.get('path')}" for place in places[:20]) or None,
        extra={**(rest(event, *_COMMON, "changes", "span_id") or {}), "changes": places},
    )


def _sample_init(event: Event) -> Step:
    return Step("state", name="sample_init", extra=rest(event, *_COMMON, "state", "span_id"))


def _score(event: Event) -> Step:
    score = event.get("score")
    score = score if isinstance(score, Mapping) else {"value": score}
    text = text_or_none(score.get("explanation")) or text_or_none(score.get("answer"))
    return Step(
        "score", name=text_or_none(event.get("scorer")), text=text, extra=rest(event, *_COMMON, "scorer", "span_id")
    )


def _sandbox(event: Event) -> Step:
    failed = event.get("action") == "exec" and event.get("result") not in (None, 0)
    return Step(
        "log",
        name=text_or_none(event.get("action")),
        severity="warning" if failed else "info",
        text=text_or_none(event.get("cmd")) or text_or_none(event.get("file")),
        extra=rest(event, *_COMMON, "action", "cmd", "span_id"),
    )


def _logger(event: Event) -> Step:
    message = event.get("message")
    message = message if isinstance(message, Mapping) else {"message": message}
    return Step(
        "log",
        name=text_or_none(message.get("name")),
        severity=_LEVELS.get(str(message.get("level")), "debug"),  # type: ignore[arg-type]
        text=text_or_none(message.get("message")),
        extra={**(rest(event, *_COMMON, "message", "span_id") or {}), **(rest(message, "name", "message") or {})}
        or None,
    )


def _error_event(event: Event) -> Step:
    error = _error(event.get("error"))
    text = error["message"] if error else None
    return Step("log", severity="error", text=text, error=error, extra=rest(event, *_COMMON, "error", "span_id"))


def _input(event: Event) -> Step:
    text = text_or_none(event.get("input"))
    return Step("message", name="user", role="user", text=text, extra=rest(event, *_COMMON, "input", "span_id"))


def _subtask(event: Event) -> Step:
    name = text_or_none(event.get("name"))
    return Step("span", name=name, extra=rest(event, *_COMMON, "name", "span_id", "events"))


def _limit(event: Event) -> Step:
    text = text_or_none(event.get("message"))
    name = text_or_none(event.get("type"))
    return Step("log", name=name, severity="warning", text=text, extra=rest(event, *_COMMON, "type", "message"))


def _other(event: Event) -> Step:
    """Info and whatever newer versions add: its text if it has one, everything else as it is."""
    data = event.get("data", event.get("message"))
    text = text_or_none(data)
    used = ("data",) if text and data is event.get("data") else ("message",) if text else ()
    name = text_or_none(event.get("source")) or text_or_none(event.get("name"))
    return Step("log", name=name or str(event.get("event")), text=text, extra=rest(event, *_COMMON, *used, "span_id"))


_READERS = {
    "model": _model,
    "tool": _tool,
    "state": _state,
    "store": _state,
    "sample_init": _sample_init,
    "score": _score,
    "sandbox": _sandbox,
    "logger": _logger,
    "error": _error_event,
    "input": _input,
    "subtask": _subtask,
    "sample_limit": _limit,
}


# -- parts of messages -------------------------------------------------------------------------------------------------


def _content(content: Any) -> tuple[str | None, Any]:
    """The text of a message's content, and the content itself where it is more than text."""
    if isinstance(content, str):
        return content or None, None
    if not isinstance(content, list):
        return None, content
    parts = [part for part in content if isinstance(part, Mapping)]
    texts = [part["text"] for part in parts if part.get("type") == "text" and isinstance(part.get("text"), str)]
    return "\n".join(texts) or None, content if len(texts) != len(content) else None


def _calls(message: Event) -> list[dict[str, Any]]:
    calls = [call for call in message.get("tool_calls") or () if isinstance(call, Mapping)]
    return [
        {"name": call.get("function"), "call_id": call.get("id"), "arguments": call.get("arguments")}
        | ({"parse_error": call["parse_error"]} if call.get("parse_error") else {})
        for call in calls
    ]


def _error(error: Any, *, stack: Any = None) -> dict[str, Any] | None:
    if not error:
        return None
    if not isinstance(error, Mapping):
        error = {"message": str(error)}
    message = text_or_none(error.get("message"))
    fields = {
        # Errors of samples have no type; the exception's name leads their message: "TimeoutError('…')".
        "type": text_or_none(error.get("type")) or _exception_name(message),
        "message": message,
        "stack": text_or_none(error.get("traceback")) or text_or_none(stack),
    }
    return {key: value for key, value in fields.items() if value} or None


def _exception_name(message: str | None) -> str | None:
    name = (message or "").partition("(")[0]
    return name if name.isidentifier() and name[0].isupper() else None


def error_of(error: Any) -> dict[str, Any] | None:
    """An Inspect error ``{message, traceback}`` as ``{type, message, stack}``; None where there is none."""
    return _error(error)


def short(text: Any) -> str:
    """A title from a sample's input: its text, or that of its first user message."""
    if isinstance(text, list):
        asked = next((m for m in text if isinstance(m, Mapping) and m.get("role") == "user"), {})
        text, _ = _content(asked.get("content"))
    return title(text if isinstance(text, str) else None)
