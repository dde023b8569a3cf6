"""OTLP requests as JSON and as protobuf, and the runs that become of them."""

from __future__ import annotations

import json
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from workbench.data.ingest.formats import otlp
from workbench.data.ingest.normal import BadLine, Run
from workbench.data.ingest.reading.source import Source

TRACE = "0af7651916cd43dd8448eb211c80319c"
T0 = 1_700_000_000_000_000_000
SECOND = 1_000_000_000


def any_value(value: Any) -> dict[str, Any]:
    match value:
        case bool():
            return {"boolValue": value}
        case int():
            return {"intValue": str(value)}
        case float():
            return {"doubleValue": value}
        case list():
            return {"arrayValue": {"values": [any_value(item) for item in value]}}
        case dict():
            return {"kvlistValue": {"values": pairs(value)}}
        case _:
            return {"stringValue": value}


def pairs(attributes: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"key": key, "value": any_value(value)} for key, value in attributes.items()]


def span(
    span_id: str = "00f067aa0ba902b7", parent: str = "", *, at: float = 0, seconds: float = 1, **fields: Any
) -> dict:
    """One span as OTLP JSON; `attributes` are plain."""
    fields["attributes"] = pairs(fields.get("attributes", {}))
    begin = T0 + int(at * SECOND)
    return {
        "traceId": TRACE,
        "spanId": span_id,
        "parentSpanId": parent,
        "name": "span",
        "kind": 1,
        "startTimeUnixNano": str(begin),
        "endTimeUnixNano": str(begin + int(seconds * SECOND)),
        "status": {},
        **fields,
    }


def request(*spans: dict, **resource: Any) -> dict[str, Any]:
    attributes = pairs({"service.name": "shop", **resource})
    scope = {"name": "tests", "version": "1"}
    return {
        "resourceSpans": [{"resource": {"attributes": attributes}, "scopeSpans": [{"scope": scope, "spans": spans}]}]
    }


def log_request(**record: Any) -> dict[str, Any]:
    return {"resourceLogs": [{"resource": {}, "scopeLogs": [{"scope": {}, "logRecords": [record]}]}]}


def metric_request(n: int) -> dict[str, Any]:
    metrics = [{"name": f"m{i}", "sum": {"dataPoints": []}} for i in range(n)]
    return {"resourceMetrics": [{"resource": {}, "scopeMetrics": [{"scope": {}, "metrics": metrics}]}]}


def source_of(*requests: Any, name: str = "trace.jsonl") -> Source:
    return Source.from_bytes(b"\n".join(json.dumps(r).encode() for r in requests), name)


def runs_of(source: Source) -> list[Run]:
    found = list(otlp.read(source))
    assert not [item for item in found if isinstance(item, BadLine)]
    return [item for item in found if isinstance(item, Run)]


def run_of(*spans: dict) -> Run:
    (run,) = runs_of(source_of(request(*spans)))
    return run


def protobuf_of(obj: dict[str, Any], message: Any = ExportTraceServiceRequest) -> bytes:
    """The protobuf form of an OTLP JSON request, written field by field as an exporter would."""
    out = message()
    for group in obj["resourceSpans"]:
        resource_spans = out.resource_spans.add()
        fill(resource_spans.resource.attributes, group["resource"]["attributes"])
        for scope_group in group["scopeSpans"]:
            scope_spans = resource_spans.scope_spans.add()
            scope_spans.scope.name = scope_group["scope"]["name"]
            scope_spans.scope.version = scope_group["scope"]["version"]
            for row in scope_group["spans"]:
                made = scope_spans.spans.add(
                    trace_id=bytes.fromhex(row["traceId"]),
                    span_id=bytes.fromhex(row["spanId"]),
                    parent_span_id=bytes.fromhex(row["parentSpanId"]),
                    name=row["name"],
                    kind=row["kind"],
                    start_time_unix_nano=int(row["startTimeUnixNano"]),
                    end_time_unix_nano=int(row["endTimeUnixNano"]),
                    flags=row.get("flags", 0),
                )
                fill(made.attributes, row["attributes"])
                made.status.code = row["status"].get("code", 0)
                made.status.message = row["status"].get("message", "")
                for event in row.get("events", ()):
                    fill(made.events.add(name=event["name"]).attributes, event["attributes"])
    return out.SerializeToString()


def fill(target: Any, rows: list[dict[str, Any]]) -> None:
    for row in rows:
        set_value(target.add(key=row["key"]).value, row["value"])


def set_value(target: Any, value: dict[str, Any]) -> None:
    match value:
        case {"arrayValue": array}:
            target.array_value.SetInParent()
            for item in array["values"]:
                set_value(target.array_value.values.add(), item)
        case {"kvlistValue": inner}:
            target.kvlist_value.SetInParent()
            fill(target.kvlist_value.values, inner["values"])
        case {"intValue": number}:
            target.int_value = int(number)
        case {"boolValue": flag}:
            target.bool_value = flag
        case {"doubleValue": number}:
            target.double_value = number
        case {"stringValue": text}:
            target.string_value = text
