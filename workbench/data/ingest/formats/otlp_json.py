"""OTLP requests as JSON → spans, log records and points of metrics.

OTLP JSON is not protobuf's own JSON: ids are hex (in any case), 64-bit integers and times are text, enums are numbers,
and unknown fields must be ignored (opentelemetry-proto, ``docs/specification.md``, "JSON Protobuf Encoding"). What
receivers accept beyond the letter is accepted here too: snake_case keys, enum names, numbers for times, base64 ids.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from workbench.data.ingest.formats.otlp_records import (
    DROPPABLE,
    METRIC_KINDS,
    SPAN_KINDS,
    STATUS_CODES,
    TEMPORALITIES,
    Item,
    LogRecord,
    Point,
    Pointless,
    Span,
    Unread,
    dropped_of,
    enum_name,
    event_of,
    id_of,
    link_of,
    observed,
    present,
    scope_of,
    whole,
)

_OBSERVED = "observedTimeUnixNano"
# The fields that have a place of their own; the rest is kept as it is, though receivers may ignore it.
_SPAN = (
    "traceId", "spanId", "parentSpanId", "name", "kind", "startTimeUnixNano", "endTimeUnixNano", "attributes", "events",
    "links", "status", "traceState", *(f"dropped{name.title()}Count" for name in DROPPABLE),
)  # fmt: skip
_LOG = (
    "traceId", "spanId", "timeUnixNano", _OBSERVED, "severityNumber", "severityText", "eventName", "body", "attributes",
)  # fmt: skip
ROOTS = ("resourceSpans", "resourceLogs", "resourceMetrics")


def is_request(value: Any) -> bool:
    """Whether a JSON value is an OTLP request of any signal."""
    return isinstance(value, dict) and any(_field(value, root) is not None for root in ROOTS)


def from_json(request: Mapping[str, Any], *, line: int | None = None) -> Iterator[Item]:
    """Read one request of any signal, given as parsed JSON."""
    for found in _leaves(request, "resourceSpans", ("scopeSpans", "instrumentationLibrarySpans"), "spans"):
        yield Unread(found, line=line) if isinstance(found, str) else _json_span(*found, line)
    for found in _leaves(request, "resourceLogs", ("scopeLogs", "instrumentationLibraryLogs"), "logRecords"):
        yield Unread(found, line=line) if isinstance(found, str) else _json_log(*found, line)
    for found in _leaves(request, "resourceMetrics", ("scopeMetrics", "instrumentationLibraryMetrics"), "metrics"):
        if isinstance(found, str):
            yield Unread(found, line=line)
        else:
            yield from _json_metric(*found, line)


def _json_span(span: Any, resource: dict[str, Any], scope: dict[str, Any], line: int | None) -> Item:
    if not isinstance(span, Mapping):
        return Unread(f"a span is {_kind(span)}, not an object", line=line)
    trace_id, span_id = id_of(_field(span, "traceId"), 16), id_of(_field(span, "spanId"), 8)
    if not trace_id or not span_id:
        return Unread(f"span {_field(span, 'name')!r} has no trace id or no span id", line=line)
    status = _field(span, "status") or {}
    return Span(
        trace_id=trace_id,
        span_id=span_id,
        parent_span_id=id_of(_field(span, "parentSpanId"), 8),
        name=_text(_field(span, "name")) or "",
        kind=enum_name(_field(span, "kind"), SPAN_KINDS, "SPAN_KIND_"),
        start_ns=_nanos(_field(span, "startTimeUnixNano")),
        end_ns=_nanos(_field(span, "endTimeUnixNano")),
        attributes=_attributes(_field(span, "attributes")),
        events=[_json_event(event) for event in _rows(span, "events")],
        links=[_json_link(link) for link in _rows(span, "links")],
        status_code=_status(_field(status, "code")) if isinstance(status, Mapping) else 0,
        status_message=_text(_field(status, "message")) if isinstance(status, Mapping) else None,
        trace_state=_text(_field(span, "traceState")),
        dropped=dropped_of({name: _field(span, f"dropped{name.title()}Count") for name in DROPPABLE}),
        resource=resource,
        scope=scope,
        rest=_rest(span, _SPAN),
        line=line,
    )


def _json_event(event: Mapping[str, Any]) -> dict[str, Any]:
    return event_of(
        _text(_field(event, "name")), _nanos(_field(event, "timeUnixNano")), _attributes(_field(event, "attributes"))
    )


def _json_link(link: Mapping[str, Any]) -> dict[str, Any]:
    return link_of(
        id_of(_field(link, "traceId"), 16),
        id_of(_field(link, "spanId"), 8),
        _text(_field(link, "traceState")),
        _attributes(_field(link, "attributes")),
    )


def _json_log(record: Any, resource: dict[str, Any], scope: dict[str, Any], line: int | None) -> Item:
    if not isinstance(record, Mapping):
        return Unread(f"a log record is {_kind(record)}, not an object", line=line)
    severity = _field(record, "severityNumber")
    return LogRecord(
        trace_id=id_of(_field(record, "traceId"), 16),
        span_id=id_of(_field(record, "spanId"), 8),
        time_ns=_nanos(_field(record, "timeUnixNano")) or _nanos(_field(record, _OBSERVED)),
        severity=severity if isinstance(severity, int) else 0,
        severity_text=_text(_field(record, "severityText")),
        event_name=_text(_field(record, "eventName")),
        body=_value(_field(record, "body")),
        attributes=_attributes(_field(record, "attributes")),
        resource=resource,
        scope=scope,
        rest=_rest(record, _LOG) | observed(*map(_nanos, (_field(record, "timeUnixNano"), _field(record, _OBSERVED)))),
        line=line,
    )


def _json_metric(metric: Any, resource: dict[str, Any], scope: dict[str, Any], line: int | None) -> Iterator[Item]:
    if not isinstance(metric, Mapping):
        yield Unread(f"a metric is {_kind(metric)}, not an object", line=line)
        return
    name = _text(_field(metric, "name")) or ""
    about = present(unit=_text(_field(metric, "unit")), description=_text(_field(metric, "description")))
    n = 0
    for kind in METRIC_KINDS:
        data = _field(metric, _CAMEL[kind])
        if not isinstance(data, Mapping):
            continue
        temporality = enum_name(_field(data, "aggregationTemporality"), TEMPORALITIES, "AGGREGATION_TEMPORALITY_")
        said = about | present(temporality=temporality, is_monotonic=_field(data, "isMonotonic") or None)
        for point in _rows(data, "dataPoints"):
            n += 1
            yield Point(
                metric=name,
                kind=kind,
                time_ns=_nanos(_field(point, "timeUnixNano")),
                start_ns=_nanos(_field(point, "startTimeUnixNano")),
                values=_json_values(point),
                attributes=_attributes(_field(point, "attributes")),
                about=said,
                resource=resource,
                scope=scope,
                line=line,
            )
    if not n:
        yield Pointless(name)


_CAMEL = {kind: kind.title().replace("_", "")[:1].lower() + kind.title().replace("_", "")[1:] for kind in METRIC_KINDS}


def _json_values(point: Mapping[str, Any]) -> dict[str, Any]:
    """What a point measured; a count of 0 is kept, since it is no absence."""
    whole_one = _field(point, "asInt")
    value = whole(whole_one) if whole_one is not None else _float(_field(point, "asDouble"))
    counts = {name: whole(_field(point, camel)) for name, camel in _COUNTS if _field(point, camel) is not None}
    floats = {name: _float(_field(point, name)) for name in ("sum", "min", "max") if _field(point, name) is not None}
    zero = _float(_field(point, "zeroThreshold"))
    quantiles = [
        {"quantile": _float(_field(q, "quantile")) or 0.0, "value": _float(_field(q, "value")) or 0.0}
        for q in _rows(point, "quantileValues")
    ]
    flags = _field(point, "flags")
    return (
        ({"value": value} if value is not None else {})
        | counts
        | floats
        | present(
            bucket_counts=_wholes(_field(point, "bucketCounts")),
            explicit_bounds=_floats(_field(point, "explicitBounds")),
            positive=_json_buckets(_field(point, "positive")),
            negative=_json_buckets(_field(point, "negative")),
            zero_threshold=zero or None,
            quantile_values=quantiles,
            exemplars=[_json_exemplar(one) for one in _rows(point, "exemplars")],
            flags=flags or None,
        )
    )


_COUNTS = (("count", "count"), ("scale", "scale"), ("zero_count", "zeroCount"))


def _json_buckets(buckets: Any) -> dict[str, Any]:
    if not isinstance(buckets, Mapping):
        return {}
    counts = _wholes(_field(buckets, "bucketCounts"))
    return {"offset": whole(_field(buckets, "offset") or 0), "bucket_counts": counts} if counts else {}


def _json_exemplar(one: Mapping[str, Any]) -> dict[str, Any]:
    number = _field(one, "asInt")
    return present(
        time_unix_nano=_nanos(_field(one, "timeUnixNano")),
        value=whole(number) if number is not None else _float(_field(one, "asDouble")),
        trace_id=id_of(_field(one, "traceId"), 16),
        span_id=id_of(_field(one, "spanId"), 8),
        attributes=_attributes(_field(one, "filteredAttributes")),
    )


def _wholes(values: Any) -> list[Any]:
    return [whole(value) for value in values] if isinstance(values, list) else []


def _floats(values: Any) -> list[Any]:
    return [_float(value) for value in values] if isinstance(values, list) else []


def _float(value: Any) -> Any:
    """A double given as number or as text ("NaN", "Infinity"); what is neither stays as it is."""
    if value is None or isinstance(value, bool):
        return value
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return value


_Leaf = tuple[Any, dict[str, Any], dict[str, Any]]


def _leaves(request: Any, root: str, scopes: tuple[str, ...], leaf: str) -> Iterator[_Leaf | str]:
    """Each span, record or metric with its resource's and its scope's attributes, or why one cannot be reached."""
    for group in _listed(request, root):
        if isinstance(group, str):
            yield group
            continue
        if not any(_field(group, name) is not None for name in scopes):
            if strange := group.keys() - _OF_GROUPS:
                yield f"{root} holds an object without {scopes[0]}: it has {', '.join(map(repr, sorted(strange)[:3]))}"
            continue
        resource = _field(group, "resource")
        resource_attributes = _attributes(_field(resource, "attributes")) if isinstance(resource, Mapping) else {}
        for scope_group in (row for name in scopes for row in _listed(group, name)):
            if isinstance(scope_group, str):
                yield scope_group
                continue
            scope = _field(scope_group, "scope") or _field(scope_group, "instrumentationLibrary") or {}
            about = scope_of(
                _text(_field(scope, "name")) if isinstance(scope, Mapping) else None,
                _text(_field(scope, "version")) if isinstance(scope, Mapping) else None,
                _attributes(_field(scope, "attributes")) if isinstance(scope, Mapping) else {},
                _text(_field(scope_group, "schemaUrl")),
            )
            leaves = _field(scope_group, leaf)
            if isinstance(leaves, list):
                for item in leaves:
                    yield item, resource_attributes, about
            elif leaves is not None:
                yield f"{leaf} is {_kind(leaves)}, not a list"
            elif strange := scope_group.keys() - _OF_SCOPES:
                yield f"{scopes[0]} holds an object without {leaf}: it has {', '.join(map(repr, sorted(strange)[:3]))}"


_OF_GROUPS = {"resource", "schemaUrl", "schema_url"}
_OF_SCOPES = {"scope", "instrumentationLibrary", "instrumentation_library", "schemaUrl", "schema_url"}


def _listed(record: Any, name: str) -> Iterator[Mapping[str, Any] | str]:
    """The objects of a list, and what is wrong with what is none."""
    value = _field(record, name)
    if isinstance(value, list):
        for row in value:
            yield row if isinstance(row, dict) else f"{name} holds {_kind(row)}, not an object"
    elif value is not None:
        yield f"{name} is {_kind(value)}, not a list"


def _rest(record: Mapping[str, Any], placed: tuple[str, ...]) -> dict[str, Any]:
    """The fields that have no place of their own and say anything."""
    names = {*placed, *map(_snake, placed)}
    told = {name: value for name, value in record.items() if name not in names and value not in (None, "", [], {})}
    return {name: value for name, value in told.items() if value != 0 or value is False}  # 0 is protobuf's "not said"


def _field(record: Any, name: str) -> Any:
    """A field under its lowerCamelCase or its snake_case name."""
    if not isinstance(record, dict):
        return None
    value = record.get(name)
    return value if value is not None else record.get(_snake(name))


@cache
def _snake(name: str) -> str:
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name)


def _rows(record: Any, name: str) -> list[Mapping[str, Any]]:
    value = _field(record, name)
    return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []


def _attributes(pairs: Any) -> dict[str, Any]:
    if isinstance(pairs, Mapping):  # some exporters write a plain object
        return dict(pairs)
    rows = pairs if isinstance(pairs, list) else []
    return {str(row["key"]): _value(row.get("value")) for row in rows if isinstance(row, dict) and "key" in row}


def _value(value: Any) -> Any:
    """An AnyValue as plain data; bytes stay base64 text."""
    if not isinstance(value, dict):
        return value
    text = value.get("stringValue")  # by far the most
    if text is not None:
        return text
    for name in ("stringValue", "boolValue", "bytesValue"):
        found = _field(value, name)
        if found is not None:
            return found
    number = _field(value, "intValue")
    if number is not None:
        return whole(number)
    number = _field(value, "doubleValue")
    if number is not None:
        try:
            return float(number)  # "NaN" and "Infinity" are text
        except (TypeError, ValueError):
            return number
    array = _field(value, "arrayValue")
    if array is not None:
        values = _field(array, "values")
        return [_value(item) for item in values] if isinstance(values, list) else []
    pairs = _field(value, "kvlistValue")
    return _attributes(_field(pairs, "values")) if pairs is not None else None


def _nanos(value: Any) -> int | None:
    number = whole(value)
    return number if isinstance(number, int) and not isinstance(number, bool) and number > 0 else None


def _status(value: Any) -> int:
    name = enum_name(value, STATUS_CODES, "STATUS_CODE_")
    return STATUS_CODES.index(name) if name else 0


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _kind(value: Any) -> str:
    return {list: "a list", str: "text", type(None): "null", bool: "true or false", dict: "an object"}.get(
        type(value), "a number"
    )
