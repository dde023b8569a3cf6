"""One OpenTelemetry trace → one :class:`Run`.

One trace id is one run. A conversation of several traces (``gen_ai.conversation.id``, one trace per turn) is several
runs with the same ``metadata.conversation_id``: a trace is what ran, a conversation is what it belonged to.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from workbench.data.ingest.formats.otlp_attributes import EVENT_TYPES, parsed, text_of, usage_of
from workbench.data.ingest.formats.otlp_messages import answer_of, input_messages, output_messages
from workbench.data.ingest.formats.otlp_records import LogRecord, Point, Span, present, stored_ns
from workbench.data.ingest.formats.otlp_tree import SpanTree
from workbench.data.ingest.ids import event_texts, execution_id
from workbench.data.ingest.normal import Run, Step, Usage

OK, ERROR = 1, 2
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LOG = "log"  # category of what was a log record; no operation has that name
_DEEPEST = 1_000_000  # logs stand behind the spans that begin at the same moment


def run_of(trace_id: str, spans: Iterable[Span], logs: Iterable[LogRecord] = (), *, format: str = "otlp") -> Run:
    """Build the run of a trace from its distinct spans and logs, given in any order.

    Steps are in the order of their start, parents before children that start with them.
    """
    event_text = event_texts(execution_id(format, trace_id))
    told = [(event_text(identity(span)), span) for span in spans]
    told.sort(key=lambda item: _canonical(item[1], item[0]))
    begun = _superseded(span for _, span in told)
    told = [(own, span) for own, span in told if id(span) not in begun]
    tree = SpanTree([span for _, span in told])
    steps = [(_place(s.start_ns), tree.depth(s), s.span_id or "", own, _step(s, tree)) for own, s in told]
    for record in logs:
        own = event_text(identity(record))
        steps.append((_place(record.time_ns), _DEEPEST, record.span_id or "", own, log_step(record, tree)))
    steps.sort(key=lambda item: item[:4])
    return _run(trace_id, tree, [step for *_, step in steps], format)


def _canonical(span: Span, own: str) -> tuple[Any, ...]:
    """An order that is the same in whatever order the spans came: of those that repeat an id, one stays the first."""
    return _place(span.start_ns), span.span_id or "", own


def _superseded(spans: Iterable[Span]) -> set[int]:
    """The identities of spans that were sent when they began, and again when they had ended."""
    begun: dict[tuple[Any, ...], list[Span]] = {}
    ended = set()
    for span in spans:
        key = (span.span_id, span.name, span.start_ns)
        if span.end_ns is None:
            begun.setdefault(key, []).append(span)
        else:
            ended.add(key)
    return {id(span) for key, found in begun.items() if key in ended for span in found}


def rejoined(trace_id: str, steps: list[Step], *, format: str = "otlp") -> Run:
    """Build the run of a trace whose spans came in several files, from all steps that were stored of it.

    Lanes and tokens of the steps are set anew: only now it is known which agent is around a span, and which span
    repeats the tokens of those inside it.
    """
    named = [(step, _span_of(step)) for step in steps if step.category != LOG]
    named.sort(key=lambda item: _canonical(item[1], item[0].source_id or ""))
    begun = _superseded(span for _, span in named)
    named = [(step, span) for step, span in named if id(span) not in begun]
    tree = SpanTree([span for _, span in named])
    placed = []
    for step, span in named:
        step.agent, step.usage, step.cost_usd = tree.agent(span), tree.usage(span), tree.cost_usd(span)
        placed.append((_place(span.start_ns), tree.depth(span), span.span_id or "", step.source_id or "", step))
    for step in steps:
        if step.category == LOG:
            extra = step.extra or {}
            around = tree.by_id.get(step.parent_span_id or "")
            of = text_of(extra.get("resource") or {}, "service.name") if around is None else tree.agent(around)
            step.agent, at = of, stored_ns(extra.get("time_unix_nano"))
            placed.append((_place(at), _DEEPEST, step.parent_span_id or "", step.source_id or "", step))
    placed.sort(key=lambda item: item[:4])
    return _run(trace_id, tree, [step for *_, step in placed], format)


def _span_of(step: Step) -> Span:
    """The span that a step was made of, as far as the run needs it."""
    extra = step.extra or {}
    status = extra.get("status") or {}
    return Span(
        trace_id=step.trace_id or "",
        span_id=step.span_id or "",
        parent_span_id=step.parent_span_id,
        name=str(extra.get("span_name") or step.name or ""),
        kind=extra.get("kind"),
        start_ns=stored_ns(extra.get("start_time_unix_nano")),
        end_ns=stored_ns(extra.get("end_time_unix_nano")),
        attributes=extra.get("attributes") or {},
        events=extra.get("events") or [],
        links=extra.get("links") or [],
        status_code=status.get("code", 0),
        status_message=status.get("message"),
        resource=extra.get("resource") or {},
        scope=extra.get("scope") or {},
    )


def identity(item: Span | LogRecord | Point) -> str:
    """Name a span or log record by all it says, so that sending it twice makes one event.

    The span id alone would not do: redacted exports repeat ids, and every record has to stay an event of its own.
    """
    if item.own_id is None:
        item.own_id = _identity(item)
    return item.own_id


def _identity(item: Span | LogRecord | Point) -> str:
    if isinstance(item, Span):
        said: list[Any] = [item.parent_span_id, item.name, item.kind, item.start_ns, item.end_ns]
        said += [item.status_code, item.status_message, item.attributes, item.events, item.links]
    elif isinstance(item, Point):
        said = [item.metric, item.kind, item.time_ns, item.start_ns, item.values, item.attributes, item.resource]
    else:
        said = [item.time_ns, item.severity, item.severity_text, item.event_name, item.body, item.attributes]
    try:
        text = orjson.dumps(said, option=orjson.OPT_SORT_KEYS)
    except TypeError:  # lone surrogates, integers beyond 64 bits
        text = json.dumps(said, sort_keys=True, default=repr).encode()
    of = "metric" if isinstance(item, Point) else item.span_id or "log"
    return f"{of}:{hashlib.blake2b(text, digest_size=8).hexdigest()}"


def _step(span: Span, tree: SpanTree) -> Step:
    attributes = span.named
    operation = text_of(attributes, "gen_ai.operation.name")
    event_type = _event_type(span, operation)
    error = _error(span)
    step = Step(
        event_type=event_type,
        source_id=identity(span),
        name=span.name or None,
        agent=tree.agent(span),
        category=operation or (span.kind if span.kind != "internal" else None),
        severity="error" if span.status_code == ERROR else "warning" if error else "info",
        timestamp=moment(span.start_ns),
        duration_ms=_duration_ms(span),
        trace_id=span.trace_id,
        span_id=span.span_id,
        parent_span_id=span.parent_span_id,
        model=text_of(attributes, "gen_ai.response.model") or text_of(attributes, "gen_ai.request.model"),
        usage=tree.usage(span),
        cost_usd=tree.cost_usd(span),
        error=error,
    )
    if event_type == "tool_call":
        _add_tool(step, span)
    given, answered = input_messages(attributes, span.events), output_messages(attributes, span.events)
    if answered:
        step.role = "assistant"
        step.text, calls = answer_of(answered)
        if calls and step.tool is None:
            step.tool_calls = list(calls)
    step.extra = _extra(span, given, answered)
    if step.name != span.name:
        step.extra["span_name"] = span.name
    return step


def _event_type(span: Span, operation: str | None) -> Any:
    if operation is not None and operation in EVENT_TYPES:
        return EVENT_TYPES[operation]
    # The first drafts had no operation: a model that was asked, or a tool that was named, says it.
    if operation is None and usage_of(span.named) and span.named.get("gen_ai.request.model"):
        return "llm_call"
    return "tool_call" if operation is None and span.named.get("gen_ai.tool.name") else "span"


def _add_tool(step: Step, span: Span) -> None:
    fields = {
        "name": text_of(span.named, "gen_ai.tool.name") or span.name.removeprefix("execute_tool ") or None,
        "call_id": text_of(span.named, "gen_ai.tool.call.id"),
        "arguments": parsed(span.named.get("gen_ai.tool.call.arguments")),
        "result": span.named.get("gen_ai.tool.call.result"),
    }
    step.tool = {name: value for name, value in fields.items() if value is not None}
    if step.error is not None:
        step.tool["is_error"] = True
    step.name = fields["name"] or step.name
    step.role = "tool"


def _error(span: Span) -> dict[str, Any] | None:
    """What went wrong: the status, ``error.type`` and the last exception event."""
    raised = next((e.get("attributes") or {} for e in reversed(span.events) if e.get("name") == "exception"), {})
    kind = text_of(span.named, "error.type") or text_of(raised, "exception.type")
    if span.status_code != ERROR and not kind:
        return None
    fields = {
        "type": kind,
        "message": span.status_message or text_of(raised, "exception.message"),
        "stack": text_of(raised, "exception.stacktrace"),
    }
    return {name: value for name, value in fields.items() if value} or {"type": "error"}


def _extra(span: Span, given: list[Any] | None, answered: list[Any] | None) -> dict[str, Any]:
    """The rest of the span. Messages are kept once, parsed; other attributes keep the source's own names."""
    told = {"gen_ai.input.messages": given, "gen_ai.output.messages": answered}
    attributes = {name: value for name, value in span.attributes.items() if not told.get(name)}
    return present(
        input_messages=given,
        output_messages=answered,
        attributes=attributes,
        kind=span.kind,
        events=span.events,
        links=span.links,
        status={"code": span.status_code, "message": span.status_message} if span.status_code else None,
        trace_state=span.trace_state,
        dropped=span.dropped,
        start_time_unix_nano=span.start_ns,
        end_time_unix_nano=span.end_ns,
        resource=span.resource,
        scope=span.scope,
        record=span.rest,
    )


def log_step(record: LogRecord, tree: SpanTree | None = None) -> Step:
    """A log record as a step inside the span that wrote it."""
    span = tree.by_id.get(record.span_id or "") if tree is not None else None
    kind = text_of(record.attributes, "exception.type")
    return Step(
        event_type="log",
        source_id=identity(record),
        name=record.event_name or text_of(record.attributes, "event.name"),
        agent=tree.agent(span) if tree is not None and span is not None else text_of(record.resource, "service.name"),
        category=LOG,
        severity=_severity(record.severity),
        timestamp=moment(record.time_ns),
        trace_id=record.trace_id,
        parent_span_id=record.span_id,
        text=record.body if isinstance(record.body, str) else None,
        error={"type": kind, "message": text_of(record.attributes, "exception.message")} if kind else None,
        extra=present(
            body=record.body if not isinstance(record.body, str) else None,
            attributes=record.attributes,
            severity_text=record.severity_text,
            time_unix_nano=record.time_ns,
            resource=record.resource,
            scope=record.scope,
            record=record.rest,
        ),
    )


def _severity(number: int) -> Any:
    """OTLP's 1 to 24 (trace, debug, info, warn, error, fatal, four steps each); 0 = not given."""
    if number <= 0:
        return "info"
    return ("debug", "debug", "info", "warning", "error", "critical")[min((number - 1) // 4, 5)]


def _run(trace_id: str, tree: SpanTree, steps: list[Step], format: str) -> Run:
    tops = sorted(tree.tops, key=lambda span: _place(span.start_ns))
    top = tops[0] if tops else None
    failed = _failure(tree, tops)
    error = _error(failed) or {} if failed is not None else {}
    calls = [step for step in steps if step.event_type == "llm_call"]
    usage, cost = _totals(steps)
    asked, answered = _first_and_last(calls) if calls else _given_and_answered(top)
    agents = [step.agent for step in steps if step.agent]
    run = Run(
        source_id=trace_id,
        agent_type=(tree.agent(top) if top is not None else None) or (agents[0] if agents else format),
        status="failed" if failed is not None else "completed",
        name=top.name if top is not None and top.name else None,
        model=next((step.model for step in calls if step.model), None)
        or next((step.model for step in steps if step.model), None),
        started_at=min((step.timestamp for step in steps if step.timestamp), default=None),
        completed_at=_completed_at(tree, steps),
        input=asked,
        output=answered,
        error=(error.get("message") or error.get("type")) if failed is not None else None,
        error_type=error.get("type"),
        trace_id=trace_id,
        usage=usage,
        cost_usd=cost,
        steps=steps,
    )
    run.reported_usage, run.reported_cost_usd = tree.reported()
    run.metadata = _metadata(tree, top)
    # What the outermost span links to in another trace is what it goes on from: a trace has no other parent.
    link = next((link for link in (top.links if top is not None else ()) if link.get("trace_id") != trace_id), {})
    if link.get("trace_id"):
        run.parent_source_id, run.spawned_by, run.link = link["trace_id"], link.get("span_id"), "continued"
    return run


def _failure(tree: SpanTree, tops: list[Span]) -> Span | None:
    """The span that made the run fail.

    The outermost spans decide where they carry a status. Where they carry none, as most hand-made root spans do, the
    run failed when the last thing inside it did: an error that was retried or caught is not the end of a run.
    """
    for span in tops:
        if span.status_code == ERROR:
            return span
    for span in tops:
        if span.status_code == OK:
            continue
        inside = tree.children(span)
        last = max(inside, key=lambda child: child.end_ns or child.start_ns or 0, default=None)
        if last is not None and last.status_code == ERROR:
            return last
    return None


def _totals(steps: list[Step]) -> tuple[Usage | None, float | None]:
    usages = [step.usage for step in steps if step.usage is not None]
    costs = [step.cost_usd for step in steps if step.cost_usd is not None]
    is_whole = all(step.cost_usd is not None for step in steps if step.usage is not None)
    return (sum(usages[1:], usages[0]) if usages else None), (sum(costs) if costs and is_whole else None)


def _first_and_last(calls: list[Step]) -> tuple[Any, Any]:
    """What the first model call was given, what the last one answered."""
    asked = next(
        (step.extra["input_messages"] for step in calls if step.extra and "input_messages" in step.extra), None
    )
    answered = next((step.text for step in reversed(calls) if step.text), None)
    return asked, answered


def _given_and_answered(top: Span | None) -> tuple[Any, Any]:
    """What the outermost span was given and what it answered, in a run without model calls."""
    if top is None:
        return None, None
    answered = output_messages(top.named, top.events)
    given = input_messages(top.named, top.events) or parsed(top.attributes.get("input.value"))
    return given, answer_of(answered)[0] if answered else parsed(top.attributes.get("output.value"))


def _metadata(tree: SpanTree, top: Span | None) -> dict[str, Any]:
    conversation = next((c for s in tree.items if (c := text_of(s.named, "gen_ai.conversation.id"))), None)
    provider = next((p for s in tree.items if (p := text_of(s.named, "gen_ai.provider.name"))), None)
    fields = {
        "conversation_id": conversation,
        "provider": provider,
        "resource": top.resource if top is not None else None,
        # The outermost span names a parent that is in no file read so far: it may still come.
        "missing_parent_span_id": top.parent_span_id if top is not None else None,
    }
    return {name: value for name, value in fields.items() if value}


def _completed_at(tree: SpanTree, steps: list[Step]) -> datetime | None:
    ends = [end for span in tree.items if (end := moment(span.end_ns)) is not None]
    ends += [step.timestamp for step in steps if step.timestamp is not None]
    return max(ends, default=None)


def _place(ns: int | None) -> int:
    return ns if ns is not None else 2**64


def moment(ns: int | None) -> datetime | None:
    """Nanoseconds since 1970 as an aware time (microseconds); None where there is no such time."""
    if ns is None:
        return None
    try:
        return _EPOCH + timedelta(microseconds=ns // 1000)
    except OverflowError:
        return None


def _duration_ms(span: Span) -> float | None:
    if span.start_ns is None or span.end_ns is None or span.end_ns < span.start_ns:
        return None
    try:
        return (span.end_ns - span.start_ns) / 1e6
    except OverflowError:
        return None
