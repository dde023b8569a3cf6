"""A span as SDKs dump it, rather than send it, as the span of a trace.

Three dumps are alike: OpenTelemetry JS (``spanContext``, times as ``[seconds, nanoseconds]``), OpenTelemetry Python
(``context``, ISO times, ids with ``0x``) and Phoenix (``context``, ``span_kind``, ``status_code``). JS numbers the
kinds from 0, OTLP from 1. A data frame of Phoenix has a column for each attribute of any span.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from workbench.data.ingest.formats.otlp_records import (
    DROPPABLE,
    SPAN_KINDS,
    STATUS_CODES,
    Span,
    dropped_of,
    event_of,
    id_of,
    link_of,
    scope_of,
)
from workbench.data.ingest.reading.chat import elements, known, mapping, rest, text_or_none
from workbench.data.ingest.reading.conversation import decoded
from workbench.data.ingest.reading.source import Source
from workbench.data.ingest.reading.times import when

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND_NS = 1_000_000_000
_MIN_NS, _MIN_MS = 1e16, 1e11  # what is below is milliseconds, or seconds
_PLACED = (
    "name", "spanContext", "_spanContext", "context", "parentSpanId", "parentSpanContext", "parent_id", "kind",
    "startTime", "endTime", "start_time", "end_time", "attributes", "events", "links", "status", "resource",
    "instrumentationScope", "instrumentationLibrary", *(f"dropped{name.title()}Count" for name in DROPPABLE),
)  # fmt: skip


def unflattened(record: Any) -> Any:
    """A row of a data frame of spans (``context.span_id``, ``attributes.llm.model_name``) as the span it was.

    Columns that a span has not got are null in its row; messages are lists of objects with dotted names.
    """
    if not isinstance(record, dict) or "context.span_id" not in record:
        return record
    found: dict[str, Any] = {"context": {}, "attributes": {}}
    for name, value in record.items():
        if value is None or value != value:  # NaN, what pandas has for nothing
            continue
        group, dot, inner = name.partition(".")
        if dot and group == "attributes":
            _unlisted(inner, value, found["attributes"])
        elif dot and group == "context":
            found["context"][inner] = value
        elif name == "events":
            found[name] = [_known(event) for event in elements(decoded(value))]
        else:
            found[name] = value.isoformat() if isinstance(value, datetime) else value
    return found


def _unlisted(name: str, value: Any, flat: dict[str, Any]) -> None:
    """A list of objects under the flat names that the attributes had: ``llm.input_messages.0.message.role``."""
    items = decoded(value) if isinstance(value, str) and name.startswith("llm.") else value
    if not isinstance(items, list) or not items or not all(isinstance(item, dict) for item in items):
        flat[name] = _known(value)
        return
    for index, item in enumerate(items):
        for key, inner in item.items():
            if inner is not None:
                _unlisted(f"{name}.{index}.{key}", inner, flat)


def _known(value: Any) -> Any:
    """A value of a table without the fields that only other rows have; times as text."""
    if isinstance(value, dict):
        return {key: _known(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_known(item) for item in value]
    return value.isoformat() if isinstance(value, datetime) else value


def is_span(record: Any) -> bool:
    """Whether a JSON value is a dumped span."""
    return isinstance(record, dict) and bool(_context(record)) and "name" in record


def span_of(record: Mapping[str, Any], source: Source, line: int | None = None) -> Span | str:
    """The span of a dump, or what is wrong with it."""
    context = _context(record)
    trace_id, span_id = _id(context, "traceId", 16), _id(context, "spanId", 8)
    if not trace_id or not span_id:
        return f"span {record.get('name')!r} has no trace id or no span id"
    code, message = _status(record)
    scope = mapping(record.get("instrumentationScope") or record.get("instrumentationLibrary"))
    extra = rest(record, *_PLACED) or {}
    begin, end = (record.get(a, record.get(b)) for a, b in (("startTime", "start_time"), ("endTime", "end_time")))
    start_ns, end_ns = _nanos(begin, source), _nanos(end, source)
    extra |= known(start_time=begin if start_ns is None else None, end_time=end if end_ns is None else None)
    extra |= {} if isinstance(record.get("name"), str | None) else {"name": record["name"]}
    for name in ("attributes", "status", "resource", "kind"):  # of a wrong type: nothing above could read it
        if record.get(name) is not None and not isinstance(record[name], (dict, int, str) if name == "kind" else dict):
            extra[name] = record[name]
    return Span(
        trace_id=trace_id,
        span_id=span_id,
        parent_span_id=_parent(record),
        name=text_or_none(record.get("name")) or "",
        kind=_kind(record),
        start_ns=start_ns,
        end_ns=end_ns,
        attributes=_attributes(record),
        events=[_event(event, source) for event in elements(record.get("events")) if isinstance(event, dict)],
        links=[_link(link) for link in elements(record.get("links")) if isinstance(link, dict)],
        status_code=code,
        status_message=message,
        trace_state=_trace_state(context),
        dropped=dropped_of({name: record.get(f"dropped{name.title()}Count") for name in DROPPABLE}),
        resource=_resource(mapping(record.get("resource"))),
        scope=scope_of(
            text_or_none(scope.get("name")),
            text_or_none(scope.get("version")),
            dict(mapping(scope.get("attributes"))),
            text_or_none(scope.get("schemaUrl")),
        ),
        rest=extra,
        line=line,
    )


def _context(record: Mapping[str, Any]) -> Mapping[str, Any]:
    return next((c for key in ("spanContext", "_spanContext", "context") if (c := mapping(record.get(key)))), {})


def _id(record: Mapping[str, Any], name: str, n_bytes: int) -> str | None:
    value = record.get(name, record.get(name.replace("Id", "_id")))
    return id_of(value.removeprefix("0x"), n_bytes) if isinstance(value, str) else None


def _parent(record: Mapping[str, Any]) -> str | None:
    within = _id(mapping(record.get("parentSpanContext")), "spanId", 8)
    return within or next((p for key in ("parentSpanId", "parent_id") if (p := _id(record, key, 8))), None)


def _kind(record: Mapping[str, Any]) -> str | None:
    kind = record.get("kind")
    if isinstance(kind, str):
        name = kind.rpartition(".")[2].lower()
        return name if name in SPAN_KINDS[1:] else None
    if isinstance(kind, int) and not isinstance(kind, bool) and 0 <= kind < len(SPAN_KINDS) - 1:
        return SPAN_KINDS[kind + 1]
    return None


def _attributes(record: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes by their flat names; Phoenix tells the kind beside them too."""
    flat: dict[str, Any] = {}
    for name, value in mapping(record.get("attributes")).items():
        if isinstance(value, dict) and value:
            _flatten(name, value, flat)
        else:
            flat[name] = value
    if isinstance(record.get("span_kind"), str):
        flat.setdefault("openinference.span.kind", record["span_kind"])
    return flat


def _flatten(prefix: str, value: Mapping[str, Any], flat: dict[str, Any], depth: int = 0) -> None:
    for name, inner in value.items():
        if isinstance(inner, dict) and inner and depth < 8:
            _flatten(f"{prefix}.{name}", inner, flat, depth + 1)
        else:
            flat[f"{prefix}.{name}"] = inner


def _status(record: Mapping[str, Any]) -> tuple[int, str | None]:
    status = mapping(record.get("status"))
    code = status.get("code", status.get("status_code", record.get("status_code")))
    said = status.get("message") or status.get("description") or record.get("status_message")
    if isinstance(code, str):
        name = code.rpartition(".")[2].lower().removeprefix("status_code_")
        code = STATUS_CODES.index(name) if name in STATUS_CODES else 0
    is_code = isinstance(code, int) and not isinstance(code, bool) and 0 <= code < len(STATUS_CODES)
    return (code if is_code else 0), text_or_none(said)


def _event(event: Mapping[str, Any], source: Source) -> dict[str, Any]:
    at = _nanos(event.get("time", event.get("timestamp")), source)
    return event_of(text_or_none(event.get("name")), at, dict(mapping(event.get("attributes"))))


def _link(link: Mapping[str, Any]) -> dict[str, Any]:
    context = mapping(link.get("context"))
    attributes = dict(mapping(link.get("attributes")))
    return link_of(_id(context, "traceId", 16), _id(context, "spanId", 8), _trace_state(context), attributes)


def _trace_state(context: Mapping[str, Any]) -> str | None:
    found = text_or_none(context.get("traceState", context.get("trace_state")))
    return found if found != "[]" else None


def _resource(resource: Mapping[str, Any]) -> dict[str, Any]:
    """The resource's attributes; JS 2 dumps them as pairs, for some may still be on their way."""
    pairs = resource.get("_rawAttributes")
    if isinstance(pairs, list):
        return {str(pair[0]): pair[1] for pair in pairs if isinstance(pair, list) and len(pair) == 2}
    return dict(mapping(resource.get("attributes") or resource.get("_attributes")))


def _nanos(value: Any, source: Source) -> int | None:
    """``[seconds, nanoseconds]``, a number of any unit, or ISO text as nanoseconds since 1970."""
    if isinstance(value, list):
        if len(value) == 2 and all(isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in value):
            return value[0] * _SECOND_NS + value[1]
        source.changed("time", "cannot be read as a time: stored as null, the text kept in data.extra")
        return None
    if isinstance(value, int) and not isinstance(value, bool) and value >= _MIN_NS:
        return value
    if isinstance(value, str) and value.isdigit() and len(value) < 25:
        return _nanos(int(value), source)
    moment = when(value, source)
    return None if moment is None else (moment - _EPOCH) // timedelta(microseconds=1) * 1000
