"""Langfuse traces: the export of one trace, answers of the public API, exports of observations (lines or a list).

One trace is one run, one observation one step. Four readings need care. Observations come in no order, and one that is
around others repeats their tokens and cost, so those count once, at the innermost. Input, output and metadata are texts
of JSON, some encoded twice. A trace names no success: its scores are kept under their names, which alone say whether
high is good. A trace's own copy of the observations lacks their texts; the list beside it is read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from workbench.data.ingest.formats.langfuse_observation import field, is_open, lane, step_of
from workbench.data.ingest.normal import BadLine, Run, Step
from workbench.data.ingest.reading.chat import elements, known, last_answer, number, rest, text_or_none
from workbench.data.ingest.reading.conversation import decoded
from workbench.data.ingest.reading.identity import digest
from workbench.data.ingest.reading.nested import Steps, united
from workbench.data.ingest.reading.source import Head, Source
from workbench.data.ingest.reading.times import when
from workbench.data.ingest.reading.values import values

FORMAT = "langfuse"
TITLE = "Langfuse traces (.json, .jsonl)"

_SCORES = "kept in metadata.scores: a score's name alone says whether high is good, so none is the run's score"
_TWICE = "listed by the trace and beside it: stored once, from the fuller list"


def detect(head: Head) -> float:
    """How surely the file is one of these."""
    if head.data.lstrip()[:1] not in (b"{", b"["):
        return 0.0
    keys = {key.removeprefix("data.") for key in head.keys}  # of a page of the API
    if {"trace.id", "trace.projectId"} <= keys:
        return 0.95
    if "observations" in keys and keys & {"trace.id", "trace.observations"}:
        return 0.95
    if keys >= {"id", "timestamp"} and keys & {"observations.traceId", "htmlPath", "projectId"}:
        return 0.9 if keys & {"sessionId", "userId", "observations", "bookmarked"} else 0.0
    parents = keys & {"parentObservationId", "parent_observation_id"}
    return 0.9 if parents and keys & {"traceId", "trace_id"} else 0.0


def read(source: Source) -> Iterator[Run | BadLine]:
    """One run per trace, in the order in which traces first appear; what is no trace is reported."""
    source.is_strict = True
    loose: dict[str, list[Any]] = {}
    raw: dict[int, bytes] = {}  # by the identity of the observation of a line whose text is not what was parsed
    for item in values(source, "data"):
        if isinstance(item, BadLine):
            yield item
            continue
        line, record = item.line, item.value
        if isinstance(record, dict) and _is_trace(record):
            trace = record["trace"] if isinstance(record.get("trace"), dict) else record
            observations = _observations(record, trace, source)
            if item.data is not None and observations and isinstance(observations[0], dict):
                raw[id(observations[0])] = item.data
            yield from _trace(trace, observations, source, line, raw)
        elif isinstance(record, dict) and field(record, "traceId") and "type" in record:
            loose.setdefault(str(field(record, "traceId")), []).append(record)
            if item.data is not None:
                raw[id(record)] = item.data
        else:
            yield BadLine(line, "expected a trace with its observations, or an observation with traceId and type")
    for trace_id, observations in loose.items():
        yield from _trace({"id": trace_id}, observations, source, None, raw)


def _is_trace(record: Mapping[str, Any]) -> bool:
    if isinstance(record.get("trace"), dict) or isinstance(record.get("observations"), list):
        return True
    return "timestamp" in record and field(record, "traceId") is None


def _observations(record: Mapping[str, Any], trace: Mapping[str, Any], source: Source) -> list[Any]:
    """The observations of a trace; those listed twice, once."""
    beside = elements(record.get("observations"))
    if record is trace:
        return beside
    ids = {item.get("id") for item in beside if isinstance(item, dict) and isinstance(item.get("id"), str)}
    own = elements(trace.get("observations"))
    more = [o for o in own if not (isinstance(o, dict) and isinstance(o.get("id"), str) and o["id"] in ids)]
    if len(more) < len(own):
        source.kept("observations", _TWICE, len(own) - len(more))
    return [*beside, *more]


def _trace(
    trace: Mapping[str, Any], observations: list[Any], source: Source, line: int | None, raw: dict[int, bytes]
) -> Iterator[Run | BadLine]:
    steps: list[Step] = []
    for index, observation in enumerate(observations):
        if isinstance(observation, dict):
            steps.append(step_of(observation, source))
            steps[-1].raw = raw.pop(id(observation), None)
        else:
            yield BadLine(line, f"observation {index}: expected an object, found {type(observation).__name__}")
    yield _run(_id(trace, [o for o in observations if isinstance(o, dict)], source), trace, steps, source)


def rejoin_trace(trace_id: str, steps: list[Step], stored: Run, part: Run) -> Run:
    """The run of a trace of which several pages held observations, from all of them and what each said of it."""
    for step in steps:
        step.agent = None
    return _run(trace_id, united(_trace_of(stored), _trace_of(part)), steps, Source.from_bytes(b"", trace_id))


def _trace_of(run: Run) -> dict[str, Any]:
    """The trace's own record, as far as a run needs it."""
    about = run.metadata
    own = known(sessionId=about.get("conversation_id"), scores=about.get("scores"), metadata=about.get("metadata"))
    fields = {"name": run.name, "input": run.input, "output": run.output}
    return {**(about.get("record") or {}), **own, **{name: fields[name] for name in about.get("of_trace") or ()}}


def _run(trace_id: str, trace: Mapping[str, Any], steps: list[Step], source: Source) -> Run:
    name = text_or_none(trace.get("name"))
    # What starts together stands by the observations' own ids, which their steps keep as those of their spans.
    tree = Steps(steps, order=[step.span_id or "" for step in steps])
    tree.set_lanes(lane)
    agents = [step.agent for step in tree.in_order() if step.agent]
    run = Run(
        source_id=trace_id,
        agent_type=name or (agents[0] if agents else FORMAT),
        name=name,
        input=decoded(trace.get("input")),
        output=decoded(trace.get("output")),
    )
    run.trace_id = run.source_id
    tree.fill(run, source)
    spent = number(field(trace, "totalCost"))
    run.reported_cost_usd = spent if spent else run.reported_cost_usd  # 0 where no price was known
    run.started_at = run.started_at or when(trace.get("timestamp"), source)
    top = tree.tops[0] if len(tree.tops) == 1 else None
    asked = next((a for step in run.steps if (a := (step.extra or {}).get("input_messages"))), None)
    run.input = _first(run.input, (top.extra or {}).get("input") if top else None, asked)
    run.output = _first(run.output, (top.extra or {}).get("output") if top else None, last_answer(run.steps))
    failed = tree.failure()
    if failed is not None:
        error = failed.error or {}
        run.status, run.error_type = "failed", text_or_none(error.get("type"))
        run.error = text_or_none(error.get("message")) or f"{failed.name or 'An observation'} ended with an error."
    elif any(is_open(step) for step in tree.tops):
        run.status = "running"
    run.metadata = _metadata(trace, source)
    return run


def _id(trace: Mapping[str, Any], observations: list[dict[str, Any]], source: Source) -> str:
    found = trace.get("id") or next((o.get("traceId") for o in observations if o.get("traceId")), None)
    if isinstance(found, (str, int)) and not isinstance(found, bool):
        return str(found)
    source.kept("trace id", "none in the source: made from what the trace says first")
    return digest(observations[0] if observations else dict(trace))


def _metadata(trace: Mapping[str, Any], source: Source) -> dict[str, Any]:
    scores = elements(trace.get("scores"))
    if scores:
        source.kept("scores", _SCORES, len(scores))
    record = rest(trace, "id", "name", "input", "output", "sessionId", "scores", "observations", "metadata")
    return known(
        conversation_id=trace.get("sessionId"),
        scores=scores or None,
        metadata=decoded(trace.get("metadata")),
        record=record,
        # Which of the run's own fields the trace says, and not its observations.
        of_trace=[name for name in ("name", "input", "output") if trace.get(name) not in (None, "")] or None,
    )


def _first(*values: Any) -> Any:
    return next((value for value in values if value not in (None, "")), None)
