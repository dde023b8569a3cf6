"""Dumped spans, mostly with OpenInference's names: OpenTelemetry JS and Python, and what Phoenix answers.

One trace id is one run, one span one step, read by the code and the table of names of OTLP (``otlp_trace``). A dump
keeps the ids of its spans, so those are the ids of the events. What Python's console exporter prints, documents of many
lines one after another, is read too.
"""

from __future__ import annotations

from collections.abc import Iterator

from workbench.data.ingest.formats.openinference_span import is_span, span_of, unflattened
from workbench.data.ingest.formats.otlp_records import Span, id_of
from workbench.data.ingest.formats.otlp_trace import identity, rejoined, run_of
from workbench.data.ingest.normal import BadLine, Run, Step
from workbench.data.ingest.reading.complete import Complete, trace_ids
from workbench.data.ingest.reading.marks import has_no_end
from workbench.data.ingest.reading.parquet import is_parquet, parquet_names, parquet_rows
from workbench.data.ingest.reading.source import Head, Source
from workbench.data.ingest.reading.values import values

FORMAT = "openinference"
TITLE = "OpenInference and OpenTelemetry span dumps (.json, .jsonl), data frames of Phoenix (.parquet too)"

HAS_PARENTS = True  # a trace may link to another


def detect(head: Head) -> float:
    """How surely the file is one of these."""
    if is_parquet(head):
        return 0.9 if {"context.trace_id", "context.span_id"} <= set(parquet_names(head)) else 0.0
    if head.data.lstrip()[:1] not in (b"{", b"["):
        return 0.0
    keys = {key.removeprefix("data.").removeprefix("spans.") for key in head.keys}
    if keys & {"spanContext.traceId", "_spanContext.traceId"}:
        return 0.9
    has_ids = {"context.trace_id", "context.span_id"} <= keys
    return 0.9 if has_ids and keys & {"parent_id", "span_kind"} and "info" not in keys else 0.0


def read(source: Source) -> Iterator[Run | BadLine]:
    """One run per trace, in the order in which they first appear (of a long file: end); what is no span is reported."""
    traces: dict[str, dict[str, Span]] = {}
    raw: dict[str, bytes] = {}
    complete = Complete(source, lambda line: filter(None, (id_of(own, 16) for own in trace_ids(line))))

    def run(trace_id: str) -> Run:
        found = run_of(trace_id, traces.pop(trace_id).values(), format=FORMAT)
        for step in found.steps:
            step.raw = raw.pop(step.source_id or "", None)
            step.source_id = step.span_id
        return found

    for item in parquet_rows(source) if is_parquet(source.head) else values(source, "data", "spans"):
        yield from (run(trace_id) for trace_id in complete.before(item.line) if trace_id in traces)
        if isinstance(item, BadLine):
            yield item
            continue
        line, record = item.line, unflattened(item.value)
        span = span_of(record, source, line) if is_span(record) else "expected a span with its name and context"
        if isinstance(span, str):
            yield BadLine(line, span)
            continue
        own = identity(span)
        spans = traces.setdefault(span.trace_id, {})
        if own in spans:
            source.kept("spans listed more than once", "each is stored once")
        spans[own] = span
        if item.data is not None:
            raw[own] = item.data
    yield from map(run, list(traces))


is_open = has_no_end


def rejoin(trace_id: str, steps: list[Step]) -> Run:
    """The run of a trace of which several files held parts, from all its stored steps, in the order of time."""
    return rejoined(trace_id, steps, format=FORMAT)
