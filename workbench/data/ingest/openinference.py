"""Dumped spans, mostly with OpenInference's names: OpenTelemetry JS and Python, and what Phoenix answers.

One trace id is one run, one span one step, read by the code and the table of names of OTLP (``otlp_trace``). A dump
keeps the ids of its spans, so those are the ids of the events. What Python's console exporter prints, documents of many
lines one after another, is read too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from workbench.data.ingest.normal import BadLine, Run, Step
from workbench.data.ingest.openinference_span import is_span, span_of
from workbench.data.ingest.otlp_records import Span
from workbench.data.ingest.otlp_trace import identity, rejoined, run_of
from workbench.data.ingest.parse import parse
from workbench.data.ingest.source import Head, Source

FORMAT = "openinference"
TITLE = "OpenInference and OpenTelemetry span dumps (.json, .jsonl)"

_PAGES = ("data", "spans")


def detect(head: Head) -> float:
    """How surely the file is one of these."""
    if head.data.lstrip()[:1] not in (b"{", b"["):
        return 0.0
    keys = {key.removeprefix("data.").removeprefix("spans.") for key in head.keys}
    if keys & {"spanContext.traceId", "_spanContext.traceId"}:
        return 0.9
    has_ids = {"context.trace_id", "context.span_id"} <= keys
    return 0.9 if has_ids and keys & {"parent_id", "span_kind"} and "info" not in keys else 0.0


def read(source: Source) -> Iterator[Run | BadLine]:
    """One run per trace, in the order in which the traces first appear; what is no span is reported."""
    traces: dict[str, dict[str, Span]] = {}
    raw: dict[str, bytes] = {}
    for line, record, data in _records(source):
        if isinstance(record, BadLine):
            yield record
            continue
        span = span_of(record, source, line) if is_span(record) else "expected a span with its name and context"
        if isinstance(span, str):
            yield BadLine(line, span)
            continue
        own = identity(span)
        spans = traces.setdefault(span.trace_id, {})
        if own in spans:
            source.kept("spans listed more than once", "each is stored once")
        spans[own] = span
        if data is not None:
            raw[own] = data
    for trace_id, spans in traces.items():
        run = run_of(trace_id, spans.values(), format=FORMAT)
        for step in run.steps:
            step.raw = raw.get(step.source_id or "")
            step.source_id = step.span_id
        yield run


def rejoin(trace_id: str, steps: list[Step]) -> Run:
    """The run of a trace of which several files held parts, from all its stored steps, in the order of time."""
    return rejoined(trace_id, steps, format=FORMAT)


def _records(source: Source) -> Iterator[tuple[int | None, Any, bytes | None]]:
    """Each value with its line, and the line's own bytes where its text is not what was parsed."""
    head = source.head
    is_cut_line = b"\n" not in head.data and not head.is_whole
    if head.data.lstrip()[:1] == b"{" and (is_cut_line or any(isinstance(record, dict) for record in head.records)):
        for record in source.records():
            if isinstance(record, BadLine):
                yield record.line, record, None
                continue
            for change in record.changed:
                source.changed("JSON", f"{change}: the line's own bytes are kept in raw")
            values = _page(record.value)
            data = record.data if record.changed and len(values) == 1 else None
            yield from ((record.line, value, data) for value in values)
    elif len(documents := _BETWEEN.split(source.read_bytes())) > 1:
        yield from _printed(documents, source)
    else:
        yield from ((None, value, None) for value in _page(source.document().value))


# An object that ends in the first column, and one that begins there.
_BETWEEN = re.compile(rb"(?<=\n\})\r?\n(?=\{)")


def _printed(documents: list[bytes], source: Source) -> Iterator[tuple[int, Any, bytes | None]]:
    line = 1
    for data in documents:
        try:
            parsed = parse(data)
        except ValueError as error:
            yield line, BadLine(line, str(error)), None
        else:
            for change in parsed.changed:
                source.changed("JSON", f"{change}: the document's own bytes are kept in raw")
            yield line, parsed.value, data if parsed.changed else None
        line += data.count(b"\n") + 1


def _page(value: Any) -> list[Any]:
    if isinstance(value, dict) and not is_span(value):
        found = next((value[name] for name in _PAGES if isinstance(value.get(name), list)), None)
        return [value] if found is None else found
    return value if isinstance(value, list) else [value]
