"""What an OTLP request holds: spans, log records, points of metrics; and the parts that both encodings share."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from workbench.data.ingest.formats.otlp_attributes import Named, named

SPAN_KINDS = ("unspecified", "internal", "server", "client", "producer", "consumer")
STATUS_CODES = ("unset", "ok", "error")


@dataclass(slots=True)
class Span:
    """One span with what it inherits from its request. Ids are lower-case hex; times are nanoseconds since 1970."""

    trace_id: str
    span_id: str
    parent_span_id: str | None
    name: str
    kind: str | None
    start_ns: int | None
    end_ns: int | None
    attributes: dict[str, Any]
    events: list[dict[str, Any]]
    links: list[dict[str, Any]]
    status_code: int
    status_message: str | None
    trace_state: str | None = None
    dropped: dict[str, int] = field(default_factory=dict)
    resource: dict[str, Any] = field(default_factory=dict)
    scope: dict[str, Any] = field(default_factory=dict)
    rest: dict[str, Any] = field(default_factory=dict)  # what the record says beyond that: flags, a vendor's own fields
    line: int | None = None
    own_id: str | None = field(default=None, compare=False, repr=False)  # see otlp_trace.identity
    named: Named = field(init=False, repr=False, compare=False)  # the attributes, by their newest names too

    def __post_init__(self) -> None:
        self.named = named(self.attributes)


@dataclass(slots=True)
class LogRecord:
    """One log record with what it inherits from its request."""

    trace_id: str | None
    span_id: str | None
    time_ns: int | None
    severity: int
    severity_text: str | None
    event_name: str | None
    body: Any
    attributes: dict[str, Any]
    resource: dict[str, Any] = field(default_factory=dict)
    scope: dict[str, Any] = field(default_factory=dict)
    rest: dict[str, Any] = field(default_factory=dict)  # what the record says beyond that: flags, when it was observed
    line: int | None = None
    own_id: str | None = field(default=None, compare=False, repr=False)


@dataclass(slots=True, frozen=True)
class Unread:
    """A part of a request that cannot be read."""

    reason: str
    line: int | None = None


@dataclass(slots=True)
class Point:
    """One data point of a metric with what it inherits from its metric and its request."""

    metric: str
    kind: str  # gauge, sum, histogram, exponential_histogram, summary
    time_ns: int | None
    start_ns: int | None
    values: dict[str, Any]  # value; or count, sum, buckets, quantiles …
    attributes: dict[str, Any]
    about: dict[str, Any] = field(default_factory=dict)  # unit, description, temporality, is_monotonic
    resource: dict[str, Any] = field(default_factory=dict)
    scope: dict[str, Any] = field(default_factory=dict)
    line: int | None = None
    own_id: str | None = field(default=None, compare=False, repr=False)


@dataclass(slots=True, frozen=True)
class Pointless:
    """A metric without a single data point."""

    metric: str


Item = Span | LogRecord | Point | Pointless | Unread
METRIC_KINDS = ("gauge", "sum", "histogram", "exponential_histogram", "summary")
TEMPORALITIES = ("unspecified", "delta", "cumulative")


def id_of(value: Any, n_bytes: int) -> str | None:
    """An id as lower-case hex. A redacted id that is no hex stays: it only has to be the same each time."""
    if not isinstance(value, str) or not value.strip("0"):
        return None
    if len(value) == 4 * ((n_bytes + 2) // 3) and value.endswith("="):  # what protobuf's own JSON writes
        try:
            return base64.b64decode(value, validate=True).hex()
        except binascii.Error:
            return value
    return value.lower()


def enum_name(value: Any, names: tuple[str, ...], prefix: str) -> str | None:
    """An enum value, given as number or name, as its lower-case name; None for the first, which means nothing."""
    if isinstance(value, str) and value.startswith(prefix):
        value = value.removeprefix(prefix).lower()
        return value if value != names[0] else None
    number = whole(value)
    return names[number] if isinstance(number, int) and 0 < number < len(names) else None


def whole(value: Any) -> Any:
    """A 64-bit integer given as number or text; what is neither stays as it is."""
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError):  # or infinity
        return value


def stored_ns(value: Any) -> int | None:
    """A time as it was before it was stored: one of more than 64 bits is stored as text."""
    number = whole(value)
    return number if isinstance(number, int) else None


DROPPABLE = ("attributes", "events", "links")


def present(**fields: Any) -> dict[str, Any]:
    """The fields that say anything; 0, false and an empty text do."""
    return {name: value for name, value in fields.items() if value or value in (0, "")}


def observed(time_ns: int | None, observed_ns: int | None) -> dict[str, Any]:
    """When a log record was observed, where that is not the time it has."""
    return present(observed_time_unix_nano=observed_ns if time_ns and observed_ns != time_ns else None)


def event_of(name: str | None, time_ns: int | None, attributes: dict[str, Any]) -> dict[str, Any]:
    """A span event without the fields it does not have."""
    return present(name=name, time_unix_nano=time_ns, attributes=attributes)


def link_of(
    trace_id: str | None, span_id: str | None, trace_state: str | None, attributes: dict[str, Any]
) -> dict[str, Any]:
    """A span link without the fields it does not have."""
    return present(trace_id=trace_id, span_id=span_id, trace_state=trace_state, attributes=attributes)


def scope_of(
    name: str | None, version: str | None, attributes: dict[str, Any], schema_url: str | None
) -> dict[str, Any]:
    """An instrumentation scope without the fields it does not have."""
    return present(name=name, version=version, attributes=attributes, schema_url=schema_url)


def dropped_of(counts: Mapping[str, Any]) -> dict[str, int]:
    """How many attributes, events and links the exporter left out, where it did."""
    return {name: int(count) for name, count in counts.items() if isinstance(count, int) and count}
