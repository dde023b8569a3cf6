"""MLflow traces: ``{"info": …, "data": {"spans": […]}}`` of MLflow 2 and 3, and rows of ``search_traces``.

One trace is one run, one span one step. A trace's own totals of tokens and cost are taken where its spans have none;
assessments are kept under their names, which alone say whether a value is good.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from workbench.data.ingest.formats.mlflow_span import lane, step_of, tokens
from workbench.data.ingest.normal import BadLine, Run, Step
from workbench.data.ingest.reading.chat import elements, known, last_answer, mapping, number, rest, text_or_none
from workbench.data.ingest.reading.conversation import decoded
from workbench.data.ingest.reading.identity import digest
from workbench.data.ingest.reading.marks import has_no_end
from workbench.data.ingest.reading.nested import Steps, united
from workbench.data.ingest.reading.source import Head, Source, kind_of
from workbench.data.ingest.reading.times import milliseconds, when
from workbench.data.ingest.reading.values import values

FORMAT = "mlflow"
TITLE = "MLflow traces (.json, .jsonl)"

_STATUSES = {"OK": "completed", "ERROR": "failed", "IN_PROGRESS": "running"}
_ASSESSMENTS = "kept in metadata.assessments: a name alone says whether a value is good, so none is the run's score"
_TOTALS = "the trace's own total differs from that of its spans, which is stored; its own is in metadata"
_DURATION = re.compile(r"(\d{1,12}(?:\.\d{1,12})?)s")


def detect(head: Head) -> float:
    """How surely the file is one of these."""
    if head.data.lstrip()[:1] not in (b"{", b"["):
        return 0.0
    keys = {key.removeprefix("traces.") for key in head.keys}
    if keys & {"info.trace_id", "info.request_id"} and keys & _INFO:
        return 0.95
    return 0.95 if {"spans", "request", "response"} <= keys and keys & {"timestamp_ms", "request_time"} else 0.0


_INFO = {"info.trace_location", "info.experiment_id", "info.trace_metadata", "info.request_metadata", "data.spans"}


is_open = has_no_end


def read(source: Source) -> Iterator[Run | BadLine]:
    """One run per trace; what is no trace is reported."""
    source.is_strict = True
    for item in values(source, "traces"):
        if isinstance(item, BadLine):
            yield item
            continue
        line, record = item.line, item.value
        info, data = (mapping(record.get(k)) for k in ("info", "data")) if isinstance(record, dict) else ({}, {})
        if isinstance(record, dict) and not info and "spans" in record:  # a row of search_traces
            info, data = record, record
        if not info:
            yield BadLine(line, f"expected a trace with info and data, found {kind_of(record)}")
            continue
        spans = decoded(data.get("spans"))
        if spans is not None and not isinstance(spans, list):
            yield BadLine(line, f"expected a list of spans, found {kind_of(spans)}")
        steps = []
        for index, span in enumerate(elements(spans)):
            if isinstance(span, dict):
                steps.append(step_of(span, source))
            else:
                yield BadLine(line, f"span {index}: expected an object, found {kind_of(span)}")
        if steps:
            steps[0].raw = item.data
        yield _run(_id(info, steps, source), info, data, steps, source)


def rejoin_trace(trace_id: str, steps: list[Step], stored: Run, part: Run) -> Run:
    """The run of a trace of which several files held spans, from all of them and what each said of it."""
    for step in steps:
        step.agent = None
    (info, data), (more_info, more_data) = _trace_of(stored), _trace_of(part)
    return _run(trace_id, united(info, more_info), united(data, more_data), steps, Source.from_bytes(b"", trace_id))


def _trace_of(run: Run) -> tuple[dict[str, Any], dict[str, Any]]:
    """The trace's own info and data, as far as a run needs them."""
    about = run.metadata
    own = known(
        trace_metadata=about.get("trace_metadata"), tags=about.get("tags"), assessments=about.get("assessments")
    )
    fields = {"request": run.input, "response": run.output}
    data = {**(about.get("data") or {}), **{name: fields[name] for name in about.get("of_trace") or ()}}
    return {**(about.get("record") or {}), **own}, data


def _run(trace_id: str, info: Mapping[str, Any], data: Mapping[str, Any], steps: list[Step], source: Source) -> Run:
    tree = Steps(steps, order=[step.span_id or "" for step in steps])
    tree.set_lanes(lane)
    tags, about = mapping(info.get("tags")), _metadata_of(info)
    top = tree.tops[0] if len(tree.tops) == 1 else None
    name = text_or_none(tags.get("mlflow.traceName")) or (top.name if top else None)
    agents = [step.agent for step in tree.in_order() if step.agent]
    run = Run(
        source_id=trace_id,
        agent_type=agents[0] if agents else name or FORMAT,
        name=name,
        execution_time_ms=_lasted(info),
        trace_id=next((step.trace_id for step in steps if step.trace_id), None),
    )
    tree.fill(run, source)
    run.started_at = run.started_at or when(info.get("request_time", info.get("timestamp_ms")), source)
    _add_totals(run, about, source)
    extra = (top.extra or {}) if top else {}
    run.input = _first(decoded(data.get("request")), extra.get("input"), extra.get("input_messages"))
    run.output = _first(decoded(data.get("response")), extra.get("output"), last_answer(run.steps))
    run.input = _first(run.input, about.get("mlflow.traceInputs"), info.get("request_preview"))
    run.output = _first(run.output, about.get("mlflow.traceOutputs"), info.get("response_preview"))
    _judge(run, info, tree)
    run.metadata = _metadata(info, about, data, source)
    return run


def _judge(run: Run, info: Mapping[str, Any], tree: Steps) -> None:
    """Set the status: the trace's own where it says one."""
    state = str(info.get("state") or info.get("status") or "").upper().removeprefix("TRACE_STATUS_")
    failed = tree.failure()
    run.status = _STATUSES.get(state, "failed" if failed else "completed")  # pyright: ignore[reportAttributeAccessIssue]
    if run.status == "failed":
        failed = failed or next((step for step in reversed(run.steps) if step.error), None)
        error = (failed.error if failed else None) or {}
        run.error_type = text_or_none(error.get("type"))
        run.error = text_or_none(error.get("message")) or f"The trace ended with {state or 'an error'}."


def _add_totals(run: Run, about: Mapping[str, Any], source: Source) -> None:
    own = tokens(about.get("mlflow.trace.tokenUsage"))
    cost = number(mapping(about.get("mlflow.trace.cost")).get("total_cost")) or None
    run.reported_usage, run.reported_cost_usd = own or run.reported_usage, cost or run.reported_cost_usd
    if run.usage is None:
        run.usage = own
        run.cost_usd = run.cost_usd if run.cost_usd is not None else cost
    elif own is not None and own.output_tokens != run.usage.output_tokens:
        source.changed("tokens", _TOTALS)


def _id(info: Mapping[str, Any], steps: list[Step], source: Source) -> str:
    found = info.get("trace_id") or info.get("request_id") or next((s.trace_id for s in steps if s.trace_id), None)
    if isinstance(found, str):
        return found
    source.kept("trace id", "none in the source: made from what the trace says of itself")
    return digest(dict(info))


def _lasted(info: Mapping[str, Any]) -> float | None:
    """The duration in milliseconds: a number, or text of seconds as protobuf writes it."""
    value = next((v for k in _DURATIONS if (v := info.get(k)) is not None), None)
    if isinstance(value, str):
        seconds = _DURATION.fullmatch(value)
        return milliseconds(float(seconds[1])) if seconds else None
    return number(value)


_DURATIONS = ("execution_duration_ms", "execution_time_ms", "execution_duration")


def _metadata_of(info: Mapping[str, Any]) -> dict[str, Any]:
    """The trace's metadata, decoded."""
    found = info.get("trace_metadata", info.get("request_metadata"))
    return {name: decoded(value) for name, value in mapping(found).items()}


def _metadata(
    info: Mapping[str, Any], about: dict[str, Any], data: Mapping[str, Any], source: Source
) -> dict[str, Any]:
    assessments = elements(info.get("assessments"))
    if assessments:
        source.kept("assessments", _ASSESSMENTS, len(assessments))
    record = rest(info, "trace_id", "request_id", "trace_metadata", "request_metadata", "tags", "assessments", *_DATA)
    return known(
        conversation_id=about.get("mlflow.trace.session"),
        assessments=assessments or None,
        trace_metadata=about or None,
        tags=info.get("tags") or None,
        record=record,
        data=None if data is info else rest(data, *_DATA),
        # Which of the run's input and output the trace says, and not its spans.
        of_trace=[name for name in ("request", "response") if data.get(name) not in (None, "")] or None,
    )


_DATA = ("spans", "request", "response")


def _first(*values: Any) -> Any:
    return next((value for value in values if value not in (None, "")), None)
