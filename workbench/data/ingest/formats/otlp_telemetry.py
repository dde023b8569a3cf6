"""Log records without a trace and data points of metrics → runs: of a session where they name one, else of a service.

Coding agents (Claude Code, Codex, Gemini CLI) send no spans by default: their sessions are log events and metrics that
carry a session id. Each session is one run, the events that tell of a prompt, a model call or a tool are steps of that
kind. What names no session is in a run of its service: one per instance, or per day where no instance is named.

A metric counts again what events or spans have counted, so no step of a metric has tokens or a cost; what the metrics
of a session add up to is kept as the total that the source reports.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from workbench.data.ingest.formats.otlp_attributes import named, text_of
from workbench.data.ingest.formats.otlp_events import tell
from workbench.data.ingest.formats.otlp_records import LogRecord, Point, present, stored_ns
from workbench.data.ingest.formats.otlp_trace import identity, log_step, moment
from workbench.data.ingest.ids import event_texts, execution_id
from workbench.data.ingest.normal import Run, Step, Usage, total

METRIC = "metric"  # category of what was a data point
_SESSION, _LOGS, _METRICS = "session/", "logs/", "metrics/"
_UNKNOWN = "unknown service"
# Metrics whose classes of tokens are those of the normal form, by the value of their attribute `type`.
_TOKENS = {
    "input": "input_tokens",
    "output": "output_tokens",
    "cacheRead": "cache_read_tokens",
    "cacheCreation": "cache_write_tokens",
}


def home(record: LogRecord | Point) -> str:
    """The id of the run that a record without a trace is part of."""
    for attributes in (record.attributes, record.resource):
        session = text_of(named(attributes), "gen_ai.conversation.id")
        if session is not None:
            return _SESSION + session
    kind = _METRICS if isinstance(record, Point) else _LOGS
    at = moment(record.time_ns)
    place = text_of(record.resource, "service.instance.id") or (at.date().isoformat() if at else "undated")
    return f"{kind}{text_of(record.resource, 'service.name') or _UNKNOWN}/{place}"


def is_telemetry(source_id: str) -> bool:
    """Whether a run is one of these; a trace's id is none."""
    return source_id.startswith((_SESSION, _LOGS, _METRICS))


def telemetry_run(place: str, records: Iterable[LogRecord | Point], *, format: str = "otlp") -> Run:
    """The run of a place from its distinct records, given in any order."""
    run = execution_id(format, place)
    placed = []
    event_text = event_texts(run)
    for record in records:
        step = _metric_step(record) if isinstance(record, Point) else tell(log_step(record), record)
        placed.append((_at(step), event_text(identity(record)), step))
    placed.sort(key=lambda item: item[:2])
    return _run(place, [step for *_, step in placed])


def telemetry_rejoined(place: str, steps: list[Step]) -> Run:
    """The run of a place whose records came in several files, from all its stored steps."""
    return _run(place, sorted(steps, key=lambda step: (_at(step), step.source_id or "")))


def _at(step: Step) -> int:
    ns = stored_ns((step.extra or {}).get("time_unix_nano"))
    return 2**64 if ns is None else ns


def _metric_step(point: Point) -> Step:
    fields = {
        **point.values,
        "kind": point.kind,
        **point.about,
        "attributes": point.attributes,
        "start_time_unix_nano": point.start_ns,
        "time_unix_nano": point.time_ns,
        "resource": point.resource,
        "scope": point.scope,
    }
    return Step(
        "metric",
        source_id=identity(point),
        name=point.metric or None,
        agent=text_of(point.resource, "service.name"),
        category=METRIC,
        timestamp=moment(point.time_ns),
        extra=present(**fields),
    )


def _run(place: str, steps: list[Step]) -> Run:
    kind, _, rest = place.partition("/")
    session = rest if place.startswith(_SESSION) else None
    resource = next((found for step in steps if (found := (step.extra or {}).get("resource"))), {})
    service = text_of(resource, "service.name")
    times = [step.timestamp for step in steps if step.timestamp is not None]
    calls = [step for step in steps if step.event_type == "llm_call"]
    costs = [step.cost_usd for step in calls]
    asked = next((step.text for step in steps if step.role == "user" and step.text), None)
    name = f"session {session}" if session else f"{kind} of {service or _UNKNOWN}"
    run = Run(
        source_id=place,
        agent_type=service or "otlp",
        name=name,
        model=next((step.model for step in calls if step.model), None),
        started_at=min(times, default=None),
        completed_at=max(times, default=None),
        input={"prompt": asked} if asked else None,
        usage=total(step.usage for step in calls),
        cost_usd=sum(cost for cost in costs if cost is not None) if costs and None not in costs else None,
        steps=steps,
    )
    if session:
        run.metadata["conversation_id"] = session
        run.reported_usage, run.reported_cost_usd = _reported(steps)
    if resource:
        run.metadata["resource"] = resource
    return run


def _reported(steps: list[Step]) -> tuple[Usage | None, float | None]:
    """What the counters of a session add up to: Claude Code's, whose classes of tokens are disjoint like ours."""
    tokens: dict[str, float] = {}
    for kind, value in _counted(steps, "claude_code.token.usage"):
        if kind in _TOKENS:
            tokens[_TOKENS[kind]] = tokens.get(_TOKENS[kind], 0) + value
    costs = [value for _, value in _counted(steps, "claude_code.cost.usage")]
    usage = Usage(**{name: int(value) for name, value in tokens.items()}) if tokens else None
    return usage, sum(costs) if costs else None


def _counted(steps: list[Step], metric: str) -> list[tuple[Any, float]]:
    """Each series of a counter by its ``type``: the sum of its deltas, or the last of what it cumulates."""
    series: dict[str, tuple[Any, float]] = {}
    for step in steps:
        extra = step.extra or {}
        value = extra.get("value")
        if step.event_type != "metric" or step.name != metric or not isinstance(value, int | float):
            continue
        if isinstance(value, float) and not math.isfinite(value):  # 1e999: nothing can be added to it
            continue
        attributes = extra.get("attributes") or {}
        is_cumulative = extra.get("temporality") == "cumulative"
        # A process that starts anew counts from 0 again: its start is part of what the series is.
        key = repr((sorted(attributes.items(), key=str), extra.get("start_time_unix_nano") if is_cumulative else None))
        before = 0 if is_cumulative else series.get(key, (None, 0))[1]
        series[key] = attributes.get("type"), before + value
    return list(series.values())
