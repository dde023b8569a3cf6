"""One span of an MLflow trace as a step: three schemas of spans, attributes as texts of JSON."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from workbench.data.ingest.formats.otlp_attributes import Named, cost_of, named, text_of, usage_of
from workbench.data.ingest.formats.otlp_records import id_of
from workbench.data.ingest.normal import EventType, Step, Usage
from workbench.data.ingest.reading.chat import count, elements, known, mapping, number, rest, text_or_none
from workbench.data.ingest.reading.conversation import decoded
from workbench.data.ingest.reading.identity import digest
from workbench.data.ingest.reading.nested import add_call, add_tool, misfits, priced
from workbench.data.ingest.reading.openai_usage import kept_an_hour
from workbench.data.ingest.reading.source import Source

_EVENT_TYPES: dict[str, EventType] = {
    "LLM": "llm_call",
    "CHAT_MODEL": "llm_call",
    "EMBEDDING": "llm_call",
    "RERANKER": "llm_call",
    "TOOL": "tool_call",
}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_INPUTS, _OUTPUTS = "mlflow.spanInputs", "mlflow.spanOutputs"
_PLACED = ("name", "context", "trace_id", "span_id", "parent_span_id", "parent_id", "attributes", "status")
_STARTS, _ENDS = ("start_time_unix_nano", "start_time"), ("end_time_unix_nano", "end_time")
_TIME = "cannot be read as a time: stored as null, the text kept in data.extra"


def step_of(span: Mapping[str, Any], source: Source) -> Step:
    """The step of a span; what has no place is in ``extra``, with the attributes decoded."""
    own = {name: decoded(value) for name, value in mapping(span.get("attributes")).items()}
    attributes = named(own)
    kind = str(attributes.get("mlflow.spanType") or "UNKNOWN").upper()
    start, end = _nanos(span, _STARTS, source), _nanos(span, _ENDS, source)
    context = mapping(span.get("context"))
    span_id = _id(span.get("span_id", context.get("span_id")), 8)
    code, message = _status(span)
    step = Step(
        _EVENT_TYPES.get(kind, "span"),
        source_id=span_id or digest(dict(span)),
        name=text_or_none(span.get("name")),
        category=kind.lower(),
        severity="error" if code == "ERROR" else "info",
        timestamp=_moment(start),
        duration_ms=(end - start) / 1e6 if start is not None and end is not None and end >= start else None,
        trace_id=_id(span.get("otel_trace_id"), 16) or _id(span.get("trace_id", context.get("trace_id")), 16),
        parent_span_id=_id(span.get("parent_span_id", span.get("parent_id")), 8),
        model=text_or_none(attributes.get("mlflow.llm.model"))
        or text_of(attributes, "gen_ai.response.model")
        or text_of(attributes, "gen_ai.request.model"),
    )
    step.span_id = step.source_id
    extra = rest(span, *_PLACED) or {}
    extra |= misfits(span, "name", "trace_id", "span_id", "parent_span_id", "parent_id")
    extra |= known(status=span.get("status"))
    if end is not None and step.duration_ms is None:
        extra["end_time_ns"] = end  # before the start, or there is no start
    told = rest(own, _INPUTS, _OUTPUTS)
    extra |= known(attributes=told if isinstance(span.get("attributes"), dict) else span.get("attributes"))
    if step.severity == "error":
        step.error = _error(span, message)
    given, answered = attributes.get(_INPUTS), attributes.get(_OUTPUTS)
    if step.event_type == "tool_call":
        step.name = text_of(attributes, "gen_ai.tool.name") or step.name
        add_tool(step, text_of(attributes, "gen_ai.tool.call.id"), given, answered)
    elif step.event_type == "llm_call":
        add_call(step, given, answered, mapping(span.get("attributes")).get(_OUTPUTS), extra)
    else:
        extra |= known(input=given, output=answered)
    step.usage = _usage(attributes)
    step.cost_usd = _cost(attributes, step.usage, source)
    step.extra = extra or None
    return step


def lane(step: Step) -> str | None:
    """The agent that a step is; ``None`` where it is none."""
    return step.name if step.category == "agent" else None


def tokens(counts: Any, *, is_uncached: bool = False) -> Usage | None:
    """MLflow's object of token counts in disjoint classes.

    ``input_tokens`` holds the cached ones, unless an early recorder of Anthropic's calls passed its own count through.
    """
    counts = mapping(counts)
    read, written = count(counts.get("cache_read_input_tokens")), count(counts.get("cache_creation_input_tokens"))
    given, cached = count(counts.get("input_tokens")), (read or 0) + (written or 0)
    if given is not None and cached <= given and not is_uncached:
        given -= cached
    usage = Usage(given, read, written, count(counts.get("output_tokens")), None, kept_an_hour(counts))
    return usage if usage.as_dict() else None


def _usage(attributes: Named) -> Usage | None:
    counts = mapping(attributes.get("mlflow.chat.tokenUsage"))
    says = (attributes.get("mlflow.message.format"), attributes.get("mlflow.llm.provider"))
    own = mapping(mapping(attributes.get(_OUTPUTS)).get("usage")).get("input_tokens")
    is_uncached = "anthropic" in says and own is not None and own == counts.get("input_tokens")
    return tokens(counts, is_uncached=is_uncached) or usage_of(attributes)


def _cost(attributes: Named, usage: Usage | None, source: Source) -> float | None:
    cost = number(mapping(attributes.get("mlflow.llm.cost")).get("total_cost"))
    cost = cost if cost is not None else cost_of(attributes)
    return priced(cost, usage, source)


def _status(span: Mapping[str, Any]) -> tuple[str, str | None]:
    status = mapping(span.get("status"))
    code = status.get("code", span.get("status_code"))
    if isinstance(code, int) and not isinstance(code, bool):
        code = {1: "OK", 2: "ERROR"}.get(code)
    said = text_or_none(status.get("message", span.get("status_message")))
    return str(code or "UNSET").upper().removeprefix("STATUS_CODE_"), said


def _error(span: Mapping[str, Any], message: str | None) -> dict[str, Any]:
    raised = [mapping(e.get("attributes")) for e in elements(span.get("events")) if isinstance(e, dict)]
    last = next((attributes for attributes in reversed(raised) if "exception.type" in attributes), {})
    return known(
        type=text_or_none(last.get("exception.type")) or "ERROR",
        message=message or text_or_none(last.get("exception.message")),
        stack=text_or_none(last.get("exception.stacktrace")),
    )


def _id(value: Any, n_bytes: int) -> str | None:
    """An id as hex: MLflow 2 writes ``0x…``, the first MLflow 3 base64, later ones hex."""
    return id_of(value.removeprefix("0x"), n_bytes) if isinstance(value, str) else None


def _nanos(span: Mapping[str, Any], names: tuple[str, ...], source: Source) -> int | None:
    value = next((span[name] for name in names if span.get(name) is not None), None)
    if isinstance(value, str) and value.isdigit() and len(value) < 25:
        value = int(value)
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and 0 < value < 10**24):
        return value
    source.changed("time", _TIME)
    return None


def _moment(ns: int | None) -> datetime | None:
    try:
        return None if ns is None else _EPOCH + timedelta(microseconds=ns // 1000)
    except OverflowError:
        return None
