"""One Langfuse observation as a step: its kind, texts, tool, tokens and cost."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Any

from workbench.data.ingest.formats.otlp_attributes import named, text_of
from workbench.data.ingest.normal import EventType, Step, Usage
from workbench.data.ingest.reading.chat import count, known, mapping, number, rest, text_or_none
from workbench.data.ingest.reading.conversation import decoded
from workbench.data.ingest.reading.identity import digest
from workbench.data.ingest.reading.nested import add_call, add_tool, misfits, priced
from workbench.data.ingest.reading.source import Source
from workbench.data.ingest.reading.times import elapsed_ms, when

_EVENT_TYPES: dict[str, EventType] = {
    "GENERATION": "llm_call",
    "EMBEDDING": "llm_call",
    "TOOL": "tool_call",
    "EVENT": "log",
}
_SEVERITIES = {"DEBUG": "debug", "DEFAULT": "info", "WARNING": "warning", "ERROR": "error"}
_PLACED = (
    "id", "traceId", "parentObservationId", "type", "name", "level", "startTime", "endTime", "model", "input",
    "output", "metadata",
)  # fmt: skip
_TOLD = "told by what they answered: their observations are plain spans"
_DETAILS = "details that the input or output already holds are taken out of it, so that the classes are disjoint"


def step_of(observation: Mapping[str, Any], source: Source) -> Step:
    """The step of an observation; what has no place is in ``extra``, with input, output and metadata decoded."""
    kind = str(field(observation, "type") or "SPAN").upper()
    start, end = (when(_time(field(observation, name)), source) for name in ("startTime", "endTime"))
    metadata = decoded(observation.get("metadata"))
    attributes = named(mapping(mapping(metadata).get("attributes")))
    level = field(observation, "level")
    identity = observation.get("id")
    step = Step(
        _EVENT_TYPES.get(kind, "span"),
        source_id=str(identity) if isinstance(identity, (str, int)) and identity else digest(dict(observation)),
        name=text_or_none(observation.get("name")),
        category=kind.lower(),
        severity=_SEVERITIES.get(level, "info") if isinstance(level, str) else "info",  # pyright: ignore[reportArgumentType]
        timestamp=start,
        duration_ms=elapsed_ms(start, end),
        trace_id=text_or_none(field(observation, "traceId")),
        parent_span_id=text_or_none(field(observation, "parentObservationId")),
        model=text_or_none(field(observation, "model") or observation.get("provided_model_name")),
    )
    step.span_id = step.source_id
    given, answered = decoded(observation.get("input")), decoded(observation.get("output"))
    extra = {**(rest(observation, *_PLACED, *map(snake, _PLACED)) or {}), **known(metadata=metadata)}
    extra |= misfits(observation, "traceId", "parentObservationId", "type", "name", "level", "model")
    if isinstance(level, str) and level not in _SEVERITIES:
        extra["level"] = level
    for name, moment in (("startTime", start), ("endTime", end)):
        # An end that gives no duration, for it lies before the start or there is no start, is kept as it is.
        is_told = moment is not None and (name == "startTime" or step.duration_ms is not None)
        if not is_told and field(observation, name) is not None:
            extra[name] = field(observation, name)
    if step.severity == "error":
        said = text_or_none(field(observation, "statusMessage"))
        step.error = known(type=text_of(attributes, "error.type") or "ERROR", message=said)
    if step.event_type == "tool_call":
        step.name = text_of(attributes, "gen_ai.tool.name") or step.name
        raw = observation.get("output")
        result = answered if isinstance(raw, str) and raw[:1] in ("{", "[") else raw
        add_tool(step, text_of(attributes, "gen_ai.tool.call.id"), given, result)
    elif kind == "SPAN" and _is_tool_message(answered):
        source.kept("tool calls", _TOLD)
        step.event_type, step.name = "tool_call", text_or_none(answered.get("name")) or step.name
        if answered.get("status") == "error":
            step.severity = "error"
            step.error = step.error or {"type": "ToolError", "message": answered.get("content")}
        add_tool(step, answered["tool_call_id"], given, answered)
    elif step.event_type == "llm_call":
        add_call(step, given, answered, observation.get("output"), extra)
    else:
        extra |= known(input=given, output=answered)
    step.usage = _usage(observation, source)
    step.cost_usd = _cost(observation, step.usage, source)
    step.extra = extra or None
    return step


def _is_tool_message(value: Any) -> bool:
    """What LangChain's tools answer. Before there were observations of type TOOL, it alone told a tool's span."""
    return isinstance(value, dict) and value.get("type") == "tool" and isinstance(value.get("tool_call_id"), str)


def lane(step: Step) -> str | None:
    """The agent that a step is; ``None`` where it is none."""
    return step.name if step.category == "agent" else None


def is_open(step: Step) -> bool:
    """Whether an observation that has an end has not come to it; an event has none."""
    has_end = step.duration_ms is not None or "endTime" in (step.extra or {})
    return step.timestamp is not None and not has_end and step.event_type != "log"


def field(record: Mapping[str, Any], name: str) -> Any:
    """A field under its name in the API or in the export to a bucket, which writes snake_case."""
    value = record.get(name)
    return value if value is not None else record.get(snake(name))


@cache
def snake(name: str) -> str:
    """``startTime`` → ``start_time``."""
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name)


def _time(value: Any) -> Any:
    return value.replace(" ", "T", 1) if isinstance(value, str) else value


def _usage(observation: Mapping[str, Any], source: Source) -> Usage | None:
    """Tokens in disjoint classes.

    Langfuse's own classes (``input_cached_tokens``) lie beside ``input`` and ``output``; those that OpenTelemetry hands
    on (``prompt_details.cache_read``) lie inside. The recorded total says which it is, where it can.
    """
    details = mapping(field(observation, "usageDetails"))
    if not details:
        return _old_usage(observation)
    counts = {name: n for name, value in details.items() if (n := count(value)) is not None}
    sent = {name: n for name, n in counts.items() if name.startswith(("input_", "prompt_", "cache_"))}
    made = {name: n for name, n in counts.items() if name.startswith(("output_", "completion_"))}
    cached = {name: n for name, n in sent.items() if "cache" in name}
    written = {name: n for name, n in cached.items() if "creation" in name or "write" in name}
    thought = {name: n for name, n in made.items() if "reasoning" in name}
    given, answered = counts.get("input"), counts.get("output")
    n_cached, n_sent, n_made = sum(cached.values()), sum(sent.values()), sum(made.values())
    if _are_inside(counts, [*sent, *made], n_sent + n_made):
        source.changed("tokens", _DETAILS)
        given = None if given is None else max(given - n_cached, 0)
    elif n_sent + n_made:
        given = _with(given, n_sent - n_cached)
        answered = _with(answered, n_made)
    usage = Usage(
        input_tokens=given,
        cache_read_tokens=_sum(cached, without=written),
        cache_write_tokens=_sum(written),
        output_tokens=answered,
        reasoning_tokens=_sum(thought),
        cache_write_1h_tokens=_sum({name: n for name, n in written.items() if "1h" in name}),
    )
    return usage if usage.as_dict() else None


def _old_usage(observation: Mapping[str, Any]) -> Usage | None:
    """Before classes there were ``usage`` with a unit and ``promptTokens``, which are 0 where nothing was counted."""
    usage = mapping(observation.get("usage"))
    if usage.get("unit") not in (None, "TOKENS"):
        return None
    given = count(usage.get("input")) or count(observation.get("promptTokens"))
    answered = count(usage.get("output")) or count(observation.get("completionTokens"))
    given = given or count(observation.get("inputUsage"))
    answered = answered or count(observation.get("outputUsage"))
    return Usage(input_tokens=given or None, output_tokens=answered or None) if given or answered else None


def _are_inside(counts: Mapping[str, int], names: list[str], n_details: int) -> bool:
    """Whether the details are parts of ``input`` and ``output``: by the recorded total, else by their names."""
    if not n_details:
        return False
    base = counts.get("input", 0) + counts.get("output", 0)
    if counts.get("total") in (base, base + n_details):
        return counts["total"] == base
    return any(name.startswith(("prompt_", "completion_")) for name in names)


def _sum(counts: Mapping[str, int], without: Mapping[str, int] = MappingProxyType({})) -> int | None:
    found = [n for name, n in counts.items() if name not in without]
    return sum(found) if found else None


def _with(value: int | None, more: int) -> int | None:
    return value if value is None and not more else (value or 0) + more


def _cost(observation: Mapping[str, Any], usage: Usage | None, source: Source) -> float | None:
    """The recorded total, or the sum of the classes; 0 for a call that used tokens means that no price was known."""
    details = mapping(field(observation, "costDetails"))
    classes = [cost for name, value in details.items() if name != "total" and (cost := number(value)) is not None]
    found = number(details.get("total"))
    if found is None:
        found = sum(classes) if classes else number(field(observation, "totalCost"))
    found = found if found is not None else number(observation.get("calculatedTotalCost"))
    return priced(found if details or found else None, usage, source)
