"""OpenTelemetry traces as OTLP files: JSON, JSON lines (one request a line) and protobuf; ``.gz`` of each.

One trace id is one run, one span one step. Log records that name a trace are steps of its run. Those that name none,
and the data points of metrics, are steps of the session that they name, else of a run of their service and day. Records
of one run may lie in several files and come in any order.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from workbench.data.ingest.formats.otlp_json import ROOTS, from_json, is_request
from workbench.data.ingest.formats.otlp_protobuf import from_protobuf
from workbench.data.ingest.formats.otlp_records import Item, LogRecord, Point, Pointless, Span, Unread, id_of
from workbench.data.ingest.formats.otlp_telemetry import home, is_telemetry, telemetry_rejoined, telemetry_run
from workbench.data.ingest.formats.otlp_trace import LOG, identity, rejoined, run_of
from workbench.data.ingest.normal import BadLine, Run, Step
from workbench.data.ingest.reading.complete import Complete, trace_ids
from workbench.data.ingest.reading.marks import has_no_end
from workbench.data.ingest.reading.source import Head, Source
from workbench.errors import IngestError

FORMAT = "otlp"
TITLE = "OpenTelemetry traces, logs and metrics: OTLP JSON, JSON lines, protobuf"

_PROTOBUF_NAMES = (".pb", ".binpb", ".protobuf", ".otlp")
_NO_TEXT = re.compile(rb"[\x00-\x08\x0e-\x1f]")  # a trace id is written 0x0a 0x10, a span id 0x12 0x08
_PROTOBUF_SIGNS = (b"service.name", b"telemetry.sdk", b"gen_ai.")

HAS_PARENTS = True  # a trace may link to another


def detect(head: Head) -> float:
    """Certainty that a file holds OTLP requests."""
    if _is_json(head):
        is_ours = any(is_request(record) for record in head.records) or not head.keys.isdisjoint(_JSON_KEYS)
        return 0.95 if is_ours else 0.0
    # Field 1 of every request is a list of messages (0x0a), bare or behind a four-byte length.
    if head.data[:1] == b"\x0a" or (head.data[:1] == b"\x00" and head.data[4:5] == b"\x0a"):
        named = head.name.endswith(_PROTOBUF_NAMES)
        return 0.9 if named else 0.7 if any(sign in head.data for sign in _PROTOBUF_SIGNS) else 0.0
    return 0.0


_JSON_KEYS = {*ROOTS, *("".join(f"_{c.lower()}" if c.isupper() else c for c in root) for root in ROOTS)}


def read(source: Source) -> Iterator[Run | BadLine]:
    """Yield the runs of a file, one per trace, in the order in which they first appear; of a long file, as they end.

    Raises
    ------
    IngestError
        The file is no OTLP at all.
    MissingExtraError
        The file is protobuf and ``opentelemetry-proto`` is not installed.
    """
    spans: dict[str, dict[str, Span]] = {}
    logs: dict[str, dict[str, LogRecord]] = {}
    telemetry: dict[str, dict[str, LogRecord | Point]] = {}
    raw: dict[str, bytes] = {}  # identity of the first record of a line whose text is not what was parsed
    complete = Complete(source, lambda line: filter(None, (id_of(own, 16) for own in trace_ids(line))))

    def with_raw(found: Run) -> Run:
        for step in found.steps if raw else ():
            step.raw = raw.pop(step.source_id or "", None)
        return found

    def run(trace_id: str) -> Run:
        return with_raw(run_of(trace_id, spans.pop(trace_id, {}).values(), logs.pop(trace_id).values()))

    for item in _items(source, raw):
        yield from (run(trace_id) for trace_id in complete.before(getattr(item, "line", None)) if trace_id in logs)
        match item:
            case Span():
                logs.setdefault(item.trace_id, {})
                _add(spans.setdefault(item.trace_id, {}), item, source)
            case LogRecord(trace_id=str(trace_id)):
                _add(logs.setdefault(trace_id, {}), item, source)
            case Point() | LogRecord():
                _add(telemetry.setdefault(home(item), {}), item, source)
            case BadLine():
                yield item
            case Unread():
                yield BadLine(item.line, item.reason)
            case Pointless():
                source.lost("metrics", "without a data point: there is nothing to store")
    yield from map(run, list(logs))
    for place, records in telemetry.items():
        yield with_raw(telemetry_run(place, records.values()))


def is_open(step: Step) -> bool:
    """Whether a span has not ended; what was a log record is a moment, even where it tells of a model call."""
    return step.category != LOG and has_no_end(step)


def rejoin(trace_id: str, steps: list[Step]) -> Run:
    """The run of a trace of which several files held parts, from all its stored steps, in the order of time."""
    return telemetry_rejoined(trace_id, steps) if is_telemetry(trace_id) else rejoined(trace_id, steps)


def _add(known: dict[str, Any], item: Span | LogRecord | Point, source: Source) -> None:
    name = identity(item)
    if name in known:
        source.kept("spans and log records sent more than once", "each is stored once")
    known[name] = item


def _items(source: Source, raw: dict[str, bytes]) -> Iterator[Item | BadLine]:
    head = source.head
    if not _is_json(head):
        yield from _protobuf(source)
    elif _is_lines(head):
        yield from _lines(source, raw)
    else:
        document = source.document().value
        for request in document if isinstance(document, list) else [document]:
            if is_request(request):
                yield from from_json(request)
            else:
                yield BadLine(None, "not an OTLP request: no resourceSpans, resourceLogs or resourceMetrics")


def _is_json(head: Head) -> bool:
    """Whether a file is text: a request in protobuf may begin like one, with 0x0a and the length of 91 or 123."""
    is_like_protobuf = head.data[:1] == b"\n" and _NO_TEXT.search(head.data)
    return head.data.lstrip()[:1] in (b"{", b"[") and not is_like_protobuf


def _protobuf(source: Source) -> Iterator[Item]:
    try:
        yield from from_protobuf(source.read_bytes())
    except ValueError as error:
        reason = source.damage.pop().reason if source.damage else str(error)
        raise IngestError(f"{source.name} cannot be read: {reason}.", path=source.name) from error


def _lines(source: Source, raw: dict[str, bytes]) -> Iterator[Item | BadLine]:
    for record in source.records():
        if isinstance(record, BadLine):
            yield record
            continue
        if not is_request(record.value):
            reason = "not an OTLP request: no resourceSpans, resourceLogs or resourceMetrics"
            yield BadLine(record.line, reason, record.data)
            continue
        own = source.own_bytes(record)
        for n, item in enumerate(from_json(record.value, line=record.line)):
            if n == 0 and own is not None and isinstance(item, Span | LogRecord | Point):
                raw[identity(item)] = own
            yield item


def _is_lines(head: Head) -> bool:
    """Whether each line is a request, rather than the whole file one document written over many lines."""
    return any(is_request(record) for record in head.records) or (b"\n" not in head.data and not head.is_whole)
