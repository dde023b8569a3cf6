"""OTLP requests as protobuf → the same spans, log records and points as from JSON, so that the rows are the same."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from workbench.data.ingest.formats.otlp_records import (
    DROPPABLE,
    SPAN_KINDS,
    TEMPORALITIES,
    Item,
    LogRecord,
    Point,
    Pointless,
    Span,
    dropped_of,
    enum_name,
    event_of,
    id_of,
    link_of,
    observed,
    present,
    scope_of,
)
from workbench.errors import MissingExtraError

if TYPE_CHECKING:
    from google.protobuf.message import Message


def from_protobuf(body: bytes) -> Iterator[Item]:
    """Read the protobuf form of one or several requests of any signal.

    Several requests in one file are either simply joined or, as the Collector's file exporter writes them, each
    preceded by its length in four bytes.

    Raises
    ------
    MissingExtraError
        The package ``opentelemetry-proto`` is not installed.
    ValueError
        The bytes are no OTLP request.
    """
    request = _parse(body)
    if request is not None:
        yield from _from_message(request)
        return
    chunks = list(_length_prefixed(body))
    requests = [_parse(chunk) for chunk in chunks]
    if not chunks or any(request is None for request in requests):
        raise ValueError(
            "these bytes are not an OTLP request in protobuf: no spans, logs or metrics can be read from them"
        )
    for request in requests:
        assert request is not None
        yield from _from_message(request)


def _parse(body: bytes) -> Message | None:
    """The request these bytes spell, of whichever signal; None where they spell none.

    All three signals nest alike (1 → 2 → records), so a request also parses as the wrong one, with fields that make no
    sense. What tells them apart is that a span has ids of 16 and 8 bytes, a metric data, and a log record neither.
    """
    try:
        from google.protobuf.message import DecodeError
        from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
        from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
    except ImportError as error:
        raise MissingExtraError("Reading OTLP protobuf files", "otlp") from error

    def spans(request: Any) -> bool:
        found = [span for group in request.resource_spans for scope in group.scope_spans for span in scope.spans]
        return bool(found) and all(len(span.trace_id) == 16 and len(span.span_id) == 8 for span in found)

    def metrics(request: Any) -> bool:
        found = [m for group in request.resource_metrics for scope in group.scope_metrics for m in scope.metrics]
        return bool(found) and all(m.name and m.WhichOneof("data") for m in found)

    def logs(request: Any) -> bool:
        found = [r for group in request.resource_logs for scope in group.scope_logs for r in scope.log_records]
        return bool(found) and all(r.time_unix_nano or r.observed_time_unix_nano for r in found)

    for message, fits in (
        (ExportTraceServiceRequest, spans),
        (ExportMetricsServiceRequest, metrics),
        (ExportLogsServiceRequest, logs),
    ):
        try:
            request = message.FromString(body)
        except DecodeError:
            continue
        if fits(request):
            return request
    return None


def _length_prefixed(body: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(body):
        size = int.from_bytes(body[at : at + 4], "big")
        chunk = body[at + 4 : at + 4 + size]
        if not size or len(chunk) != size:
            return
        yield chunk
        at += 4 + size


def _from_message(request: Any) -> Iterator[Item]:
    for group in getattr(request, "resource_spans", ()):
        resource = _pb_attributes(group.resource.attributes)
        for scope_group in group.scope_spans:
            scope = _pb_scope(scope_group)
            yield from (_pb_span(span, resource, scope) for span in scope_group.spans)
    for group in getattr(request, "resource_logs", ()):
        resource = _pb_attributes(group.resource.attributes)
        for scope_group in group.scope_logs:
            scope = _pb_scope(scope_group)
            yield from (_pb_log(record, resource, scope) for record in scope_group.log_records)
    for group in getattr(request, "resource_metrics", ()):
        resource = _pb_attributes(group.resource.attributes)
        for scope_group in group.scope_metrics:
            scope = _pb_scope(scope_group)
            for metric in scope_group.metrics:
                yield from _pb_metric(metric, resource, scope)


def _pb_span(span: Any, resource: dict[str, Any], scope: dict[str, Any]) -> Span:
    return Span(
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_span_id=id_of(span.parent_span_id.hex(), 8),
        name=span.name,
        kind=enum_name(span.kind, SPAN_KINDS, ""),
        start_ns=span.start_time_unix_nano or None,
        end_ns=span.end_time_unix_nano or None,
        attributes=_pb_attributes(span.attributes),
        events=[event_of(e.name or None, e.time_unix_nano or None, _pb_attributes(e.attributes)) for e in span.events],
        links=[
            link_of(k.trace_id.hex(), k.span_id.hex(), k.trace_state or None, _pb_attributes(k.attributes))
            for k in span.links
        ],
        status_code=span.status.code,
        status_message=span.status.message or None,
        trace_state=span.trace_state or None,
        dropped=dropped_of({name: getattr(span, f"dropped_{name}_count") for name in DROPPABLE}),
        resource=resource,
        scope=scope,
        rest=present(flags=getattr(span, "flags", 0) or None),  # not in releases before 1.1
    )


def _pb_log(record: Any, resource: dict[str, Any], scope: dict[str, Any]) -> LogRecord:
    return LogRecord(
        trace_id=id_of(record.trace_id.hex(), 16),
        span_id=id_of(record.span_id.hex(), 8),
        time_ns=record.time_unix_nano or record.observed_time_unix_nano or None,
        severity=record.severity_number,
        severity_text=record.severity_text or None,
        event_name=getattr(record, "event_name", "") or None,  # not in releases before 1.31
        body=_pb_value(record.body),
        attributes=_pb_attributes(record.attributes),
        resource=resource,
        scope=scope,
        rest=present(flags=record.flags or None, droppedAttributesCount=record.dropped_attributes_count or None)
        | observed(record.time_unix_nano or None, record.observed_time_unix_nano or None),
    )


def _pb_metric(metric: Any, resource: dict[str, Any], scope: dict[str, Any]) -> Iterator[Item]:
    kind = metric.WhichOneof("data")
    points = getattr(metric, kind).data_points if kind else ()
    if not points:
        yield Pointless(metric.name)
        return
    data = getattr(metric, kind)
    about = present(
        unit=metric.unit or None,
        description=metric.description or None,
        temporality=enum_name(getattr(data, "aggregation_temporality", 0), TEMPORALITIES, ""),
        is_monotonic=getattr(data, "is_monotonic", False) or None,
    )
    for point in points:
        yield Point(
            metric=metric.name,
            kind=kind,
            time_ns=point.time_unix_nano or None,
            start_ns=point.start_time_unix_nano or None,
            values=_pb_values(point),
            attributes=_pb_attributes(point.attributes),
            about=about,
            resource=resource,
            scope=scope,
        )


def _pb_values(point: Any) -> dict[str, Any]:
    names = {field.name for field in point.DESCRIPTOR.fields}
    values: dict[str, Any] = {}
    if "as_int" in names and (kind := point.WhichOneof("value")):
        values["value"] = getattr(point, kind)
    if "count" in names:
        values["count"] = point.count
    if "scale" in names:
        values |= {"scale": point.scale, "zero_count": point.zero_count}
    for name in ("sum", "min", "max"):
        # A summary's sum is there always, a histogram's only where it was set.
        if name in names and (not point.DESCRIPTOR.fields_by_name[name].has_presence or point.HasField(name)):
            values[name] = getattr(point, name)
    return values | present(
        bucket_counts=list(getattr(point, "bucket_counts", ())),
        explicit_bounds=list(getattr(point, "explicit_bounds", ())),
        positive=_pb_buckets(point, "positive", names),
        negative=_pb_buckets(point, "negative", names),
        zero_threshold=getattr(point, "zero_threshold", 0.0) or None,
        quantile_values=[{"quantile": q.quantile, "value": q.value} for q in getattr(point, "quantile_values", ())],
        exemplars=[_pb_exemplar(one) for one in getattr(point, "exemplars", ())],
        flags=point.flags or None,
    )


def _pb_buckets(point: Any, name: str, names: set[str]) -> dict[str, Any]:
    buckets = getattr(point, name) if name in names else None
    if buckets is None or not buckets.bucket_counts:
        return {}
    return {"offset": buckets.offset, "bucket_counts": list(buckets.bucket_counts)}


def _pb_exemplar(one: Any) -> dict[str, Any]:
    kind = one.WhichOneof("value")
    return present(
        time_unix_nano=one.time_unix_nano or None,
        value=getattr(one, kind) if kind else None,
        trace_id=id_of(one.trace_id.hex(), 16),
        span_id=id_of(one.span_id.hex(), 8),
        attributes=_pb_attributes(one.filtered_attributes),
    )


def _pb_scope(group: Any) -> dict[str, Any]:
    scope = group.scope
    return scope_of(
        scope.name or None, scope.version or None, _pb_attributes(scope.attributes), group.schema_url or None
    )


def _pb_attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: _pb_value(pair.value) for pair in pairs}


def _pb_value(value: Any) -> Any:
    match value.WhichOneof("value"):
        case None:
            return None
        case "array_value":
            return [_pb_value(item) for item in value.array_value.values]
        case "kvlist_value":
            return _pb_attributes(value.kvlist_value.values)
        case "bytes_value":
            return base64.b64encode(value.bytes_value).decode()
        case name:
            return getattr(value, name)
