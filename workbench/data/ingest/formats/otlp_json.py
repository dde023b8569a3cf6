"""OTLP requests as JSON → spans, log records and points of metrics.

OTLP JSON is not protobuf's own JSON: ids are hex (in any case), 64-bit integers and times are text, enums are numbers,
and unknown fields must be ignored (opentelemetry-proto, ``docs/specification.md``, "JSON Protobuf Encoding"). What
receivers accept beyond the letter is accepted here too: snake_case keys, enum names, numbers for times, base64 ids.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
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
_DROPPED = {name: f"dropped{name.title()}Count" for name in DROPPABLE}
# The fields that have a place of their own; the rest is kept as it is, though receivers may ignore it.
_SPAN = {
    "traceId", "spanId", "parentSpanId", "name", "kind", "startTimeUnixNano", "endTimeUnixNano", "attributes", "events",
    "links", "status", "traceState", *_DROPPED.values(),
}  # fmt: skip
_LOG = {
    "traceId", "spanId", "timeUnixNano", _OBSERVED, "severityNumber", "severityText", "eventName", "body", "attributes",
}  # fmt: skip
ROOTS = ("resourceSpans", "resourceLogs", "resourceMetrics")


def is_request(value: Any) -> bool:
    """Whether a JSON value is an OTLP request of any signal."""
    request = _fields(value)
    return any(request.get(root) is not None for root in ROOTS)


def from_json(request: Mapping[str, Any], *, line: int | None = None) -> Iterator[Item]:
    """Read one request of any signal, given as parsed JSON."""
    request = _fields(request)
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
    if not isinstance(span, dict):
        return Unread(f"a span is {_kind(span)}, not an object", line=line)
    given = _fields(span)
    trace_id, span_id = id_of(given.get("traceId"), 16), id_of(given.get("spanId"), 8)
    if not trace_id or not span_id:
        return Unread(f"span {given.get('name')!r} has no trace id or no span id", line=line)
    status = _fields(given.get("status"))
    return Span(
        trace_id=trace_id,
        span_id=span_id,
        parent_span_id=id_of(given.get("parentSpanId"), 8),
        name=_text(given.get("name")) or "",
        kind=enum_name(given.get("kind"), SPAN_KINDS, "SPAN_KIND_"),
        start_ns=_nanos(given.get("startTimeUnixNano")),
        end_ns=_nanos(given.get("endTimeUnixNano")),
        attributes=_attributes(given.get("attributes")),
        events=[_json_event(event) for event in _rows(given.get("events"))],
        links=[_json_link(link) for link in _rows(given.get("links"))],
        status_code=_status(status.get("code")),
        status_message=_text(status.get("message")),
        trace_state=_text(given.get("traceState")),
        dropped=dropped_of({name: given.get(field) for name, field in _DROPPED.items()}),
        resource=resource,
        scope=scope,
        rest=_rest(span, _SPAN),
        line=line,
    )


def _json_event(event: Mapping[str, Any]) -> dict[str, Any]:
    return event_of(_text(event.get("name")), _nanos(event.get("timeUnixNano")), _attributes(event.get("attributes")))


def _json_link(link: Mapping[str, Any]) -> dict[str, Any]:
    return link_of(
        id_of(link.get("traceId"), 16),
        id_of(link.get("spanId"), 8),
        _text(link.get("traceState")),
        _attributes(link.get("attributes")),
    )


def _json_log(record: Any, resource: dict[str, Any], scope: dict[str, Any], line: int | None) -> Item:
    if not isinstance(record, dict):
        return Unread(f"a log record is {_kind(record)}, not an object", line=line)
    given = _fields(record)
    severity, at, seen = given.get("severityNumber"), _nanos(given.get("timeUnixNano")), _nanos(given.get(_OBSERVED))
    return LogRecord(
        trace_id=id_of(given.get("traceId"), 16),
        span_id=id_of(given.get("spanId"), 8),
        time_ns=at or seen,
        severity=severity if isinstance(severity, int) else 0,
        severity_text=_text(given.get("severityText")),
        event_name=_text(given.get("eventName")),
        body=_value(given.get("body")),
        attributes=_attributes(given.get("attributes")),
        resource=resource,
        scope=scope,
        rest=_rest(record, _LOG) | observed(at, seen),
        line=line,
    )


def _json_metric(metric: Any, resource: dict[str, Any], scope: dict[str, Any], line: int | None) -> Iterator[Item]:
    if not isinstance(metric, dict):
        yield Unread(f"a metric is {_kind(metric)}, not an object", line=line)
        return
    given = _fields(metric)
    name = _text(given.get("name")) or ""
    about = present(unit=_text(given.get("unit")), description=_text(given.get("description")))
    n = 0
    for kind in METRIC_KINDS:
        data = _fields(given.get(_camel(kind)))
        temporality = enum_name(data.get("aggregationTemporality"), TEMPORALITIES, "AGGREGATION_TEMPORALITY_")
        said = about | present(temporality=temporality, is_monotonic=data.get("isMonotonic") or None)
        for point in _rows(data.get("dataPoints")):
            n += 1
            yield Point(
                metric=name,
                kind=kind,
                time_ns=_nanos(point.get("timeUnixNano")),
                start_ns=_nanos(point.get("startTimeUnixNano")),
                values=_json_values(point),
                attributes=_attributes(point.get("attributes")),
                about=said,
                resource=resource,
                scope=scope,
                line=line,
            )
    if not n:
        yield Pointless(name)


def _json_values(point: Mapping[str, Any]) -> dict[str, Any]:
    """What a point measured; a count of 0 is kept, since it is no absence."""
    whole_one = point.get("asInt")
    value = whole(whole_one) if whole_one is not None else _float(point.get("asDouble"))
    counts = {name: whole(n) for name, camel in _COUNTS if (n := point.get(camel)) is not None}
    floats = {name: _float(x) for name in ("sum", "min", "max") if (x := point.get(name)) is not None}
    zero = _float(point.get("zeroThreshold"))
    quantiles = [
        {"quantile": _float(q.get("quantile")) or 0.0, "value": _float(q.get("value")) or 0.0}
        for q in _rows(point.get("quantileValues"))
    ]
    flags = point.get("flags")
    return (
        ({"value": value} if value is not None else {})
        | counts
        | floats
        | present(
            bucket_counts=_wholes(point.get("bucketCounts")),
            explicit_bounds=_floats(point.get("explicitBounds")),
            positive=_json_buckets(_fields(point.get("positive"))),
            negative=_json_buckets(_fields(point.get("negative"))),
            zero_threshold=zero or None,
            quantile_values=quantiles,
            exemplars=[_json_exemplar(one) for one in _rows(point.get("exemplars"))],
            flags=flags or None,
        )
    )


_COUNTS = (("count", "count"), ("scale", "scale"), ("zero_count", "zeroCount"))


def _json_buckets(buckets: Mapping[str, Any]) -> dict[str, Any]:
    counts = _wholes(buckets.get("bucketCounts"))
    return {"offset": whole(buckets.get("offset") or 0), "bucket_counts": counts} if counts else {}


def _json_exemplar(one: Mapping[str, Any]) -> dict[str, Any]:
    number = one.get("asInt")
    return present(
        time_unix_nano=_nanos(one.get("timeUnixNano")),
        value=whole(number) if number is not None else _float(one.get("asDouble")),
        trace_id=id_of(one.get("traceId"), 16),
        span_id=id_of(one.get("spanId"), 8),
        attributes=_attributes(one.get("filteredAttributes")),
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


def _leaves(request: Mapping[str, Any], root: str, scopes: tuple[str, ...], leaf: str) -> Iterator[_Leaf | str]:
    """Each span, record or metric with its resource's and its scope's attributes, or why one cannot be reached."""
    for group in _listed(request, root):
        if isinstance(group, str):
            yield group
            continue
        given = _fields(group)
        if not any(given.get(name) is not None for name in scopes):
            if strange := group.keys() - _OF_GROUPS:
                yield f"{root} holds an object without {scopes[0]}: it has {', '.join(map(repr, sorted(strange)[:3]))}"
            continue
        resource_attributes = _attributes(_fields(given.get("resource")).get("attributes"))
        for scope_group in (row for name in scopes for row in _listed(given, name)):
            if isinstance(scope_group, str):
                yield scope_group
                continue
            inner = _fields(scope_group)
            scope = _fields(inner.get("scope") or inner.get("instrumentationLibrary"))
            about = scope_of(
                _text(scope.get("name")),
                _text(scope.get("version")),
                _attributes(scope.get("attributes")),
                _text(inner.get("schemaUrl")),
            )
            leaves = inner.get(leaf)
            if isinstance(leaves, list):
                for item in leaves:
                    yield item, resource_attributes, about
            elif leaves is not None:
                yield f"{leaf} is {_kind(leaves)}, not a list"
            elif strange := scope_group.keys() - _OF_SCOPES:
                yield f"{scopes[0]} holds an object without {leaf}: it has {', '.join(map(repr, sorted(strange)[:3]))}"


_OF_GROUPS = {"resource", "schemaUrl", "schema_url"}
_OF_SCOPES = {"scope", "instrumentationLibrary", "instrumentation_library", "schemaUrl", "schema_url"}


def _listed(record: Mapping[str, Any], name: str) -> Iterator[dict[str, Any] | str]:
    """The objects of a list, and what is wrong with what is none."""
    value = record.get(name)
    if isinstance(value, list):
        for row in value:
            yield row if isinstance(row, dict) else f"{name} holds {_kind(row)}, not an object"
    elif value is not None:
        yield f"{name} is {_kind(value)}, not a list"


def _rest(record: dict[str, Any], placed: set[str]) -> dict[str, Any]:
    """The fields that have no place of their own and say anything; 0 is protobuf's "not said"."""
    told = {name: value for name, value in record.items() if name not in placed and (value or value is False)}
    return {name: value for name, value in told.items() if _camel(name) not in placed}


def _fields(record: Any) -> Mapping[str, Any]:
    """The fields of an object, by their lowerCamelCase names where it has them in snake_case; of what is none, none."""
    if not isinstance(record, dict):
        return {}
    if "_" not in "".join(record):  # as the specification wants it
        return record
    snakes = {_camel(name): value for name, value in record.items() if "_" in name}
    return {**record, **{name: value for name, value in snakes.items() if record.get(name) is None}}


def _camel(name: str) -> str:
    """``traceId`` for ``trace_id``; what is neither stays."""
    return _HUMP.sub(lambda found: found[1].upper(), name) if name.islower() else name


_HUMP = re.compile("_([a-z])")


def _rows(values: Any) -> list[Mapping[str, Any]]:
    return [_fields(row) for row in values if isinstance(row, dict)] if isinstance(values, list) else []


def _attributes(pairs: Any) -> dict[str, Any]:
    if isinstance(pairs, dict):  # some exporters write a plain object
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
    given = _fields(value)
    for name in ("stringValue", "boolValue", "bytesValue"):
        found = given.get(name)
        if found is not None:
            return found
    number = given.get("intValue")
    if number is not None:
        return whole(number)
    number = given.get("doubleValue")
    if number is not None:
        try:
            return float(number)  # "NaN" and "Infinity" are text
        except (TypeError, ValueError):
            return number
    array = given.get("arrayValue")
    if array is not None:
        values = _fields(array).get("values")
        return [_value(item) for item in values] if isinstance(values, list) else []
    pairs = given.get("kvlistValue")
    return _attributes(_fields(pairs).get("values")) if pairs is not None else None


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
