"""One sample of an Inspect evaluation → one :class:`Run`, with the states its log records."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from workbench._delta import same
from workbench.data.ingest.formats.inspect_attachments import Attachments
from workbench.data.ingest.formats.inspect_events import (
    Spans,
    close_spans,
    error_of,
    flat,
    message_step,
    short,
    step_of,
    usage_of,
)
from workbench.data.ingest.formats.inspect_state import Replay
from workbench.data.ingest.normal import Run, State, Step, TaskRef, Usage, total
from workbench.data.ingest.reading.chat import count, elements, mapping, number, rest, text_or_none
from workbench.data.ingest.reading.source import Source
from workbench.data.ingest.reading.times import milliseconds, when
from workbench.errors import PatchError

# As inspect_ai.scorer.value_to_float reads them: correct, incorrect, partial, no answer.
_GRADES = {"C": 1.0, "I": 0.0, "P": 0.5, "N": 0.0}
_WORDS = {"yes": 1.0, "true": 1.0, "no": 0.0, "false": 0.0}
# Of a log: what has a place of its own, and samples. The rest is tags, edits, and whether it was declared invalid.
_LOG = ("version", "status", "eval", "plan", "results", "stats", "error", "samples", "reductions")
_NO_EVENTS = "no event log; the sample's messages are read as steps"
_IN_SNAPSHOTS = "values of state changes are in the snapshots; the event lists the places"


def run_of(sample: dict[str, Any], log: Mapping[str, Any], source: Source) -> Run:
    """Build the run of one sample; `log` is the log's header (``eval``, ``plan``, ``results``, ``stats``, …)."""
    spec = mapping(log.get("eval"))
    texts = Attachments(sample)
    events = elements(sample.get("events")) or elements(mapping(sample.get("transcript")).get("events"))
    reader = _Events(source, texts)
    for event in flat(events):
        reader.add(event)
    steps = reader.steps
    messages = elements(texts.resolve(sample.get("messages")))
    if not events and messages:
        names: dict[str, Any] = {}
        steps = [message_step(message, names) for message in messages if isinstance(message, dict)]
        source.kept("messages", _NO_EVENTS, len(steps))
    else:
        close_spans(steps)
        reader.verify(messages, texts.resolve(mapping(sample.get("store"))))
    _unique_ids(steps)
    if texts.missing:
        source.lost("attachments", "named in the log, their texts are not in it", texts.missing)
    own = mapping(sample.get("model_usage"))
    reported = _sums(own or _of_the_only_sample(log))
    # The sums of a whole evaluation may hold calls that are no sample's: they are taken where the events tell nothing.
    usage, cost = reported if own or not any(step.usage for step in steps) else _spent(steps)
    run = Run(
        source_id=_source_id(sample, spec),
        agent_type=text_or_none(spec.get("solver")) or text_or_none(spec.get("task")) or "inspect",
        name=_name(sample, spec),
        model=text_or_none(spec.get("model")),
        input=texts.resolve(sample.get("input")),
        output=_output(texts.resolve(mapping(sample.get("output"))), messages),
        usage=usage,
        cost_usd=cost,
        reported_usage=reported[0],
        reported_cost_usd=reported[1],
        task=_task(sample, spec, texts),
        metadata=_metadata(sample, log, texts),
        steps=steps,
        states=reader.states,
    )
    _set_times(run, sample, log, source)
    _judge(run, sample, log)
    return run


class _Events:
    """Reads events in order; follows spans and state."""

    def __init__(self, source: Source, texts: Attachments) -> None:
        self.steps: list[Step] = []
        self.states: list[State] = []
        self._source = source
        self._texts = texts
        self._spans = Spans()
        self._replay = Replay()
        self._is_broken = False

    def add(self, event: Any) -> None:
        if not isinstance(event, dict):
            self.steps.append(Step("log", name="unreadable event", severity="warning", extra={"event": event}))
            return
        event = self._texts.resolve_event(event)
        around = self._spans.around(event)
        step = step_of(event, len(self.steps), self._spans, self._source)
        self.steps.append(step)
        if step.span_id is not None and step.event_type == "span":
            self._replay.begin(step.span_id)
        self._follow(event, step, around)

    def verify(self, messages: list[Any], store: Any) -> None:
        """Compare the last state with what the sample says it was, and report where they differ."""
        task = self._replay.task
        if task is None:
            return
        replayed = elements(task.get("messages"))
        if len(replayed) != len(messages):
            found = f"the replayed state ends with {len(replayed)} messages, the sample has {len(messages)}"
            self._source.changed("state", found)
        if not same(self._replay.store, store):
            self._source.changed("state", "the replayed store is not the sample's store")

    def _follow(self, event: dict[str, Any], step: Step, around: str | None) -> None:
        kind, at = event.get("event"), len(self.steps) - 1
        if kind == "sample_init" and isinstance(event.get("state"), dict):
            self._replay.start(event["state"])
            self.states.append(State(at, document=self._replay.document(), timestamp=step.timestamp, description=kind))
        elif kind in ("state", "store"):
            changes = [change for change in elements(event.get("changes")) if isinstance(change, dict)]
            change = self._replay.change_task if kind == "state" else self._replay.change_store
            try:
                patch = change(changes, around)
            except PatchError as error:
                # The values would be nowhere: keep them in the event.
                step.extra = {**(step.extra or {}), "changes": changes}
                self._source.changed("state", f"a change does not fit the state before it: {error}")
                return
            self._source.kept("state changes", _IN_SNAPSHOTS)
            document = None if self.states else self._replay.document()
            state = State(at, document, timestamp=step.timestamp, description=f"{kind} change")
            if document is None:
                state.patch = [*patch]
            self.states.append(state)


# -- parts of the run --------------------------------------------------------------------------------------------------


def _source_id(sample: Mapping[str, Any], spec: Mapping[str, Any]) -> str:
    """The sample's uuid; for older logs the run, the task in it, the sample and the epoch."""
    uuid = text_or_none(sample.get("uuid"))
    return uuid or "/".join(
        str(part) for part in (spec.get("run_id"), spec.get("task_id"), sample.get("id"), sample.get("epoch"))
    )


def _name(sample: Mapping[str, Any], spec: Mapping[str, Any]) -> str:
    epochs = count(mapping(spec.get("config")).get("epochs")) or 1
    epoch = f" · epoch {sample.get('epoch')}" if epochs > 1 or (count(sample.get("epoch")) or 1) > 1 else ""
    return f"{spec.get('task')} · sample {sample.get('id')}{epoch}"


def _task(sample: Mapping[str, Any], spec: Mapping[str, Any], texts: Attachments) -> TaskRef:
    asked = texts.resolve(sample.get("input"))
    key = f"{spec.get('task')}/{sample.get('id')}"
    facts = {"target": sample.get("target"), "choices": sample.get("choices"), "dataset": _dataset(spec)}
    about = short(asked)
    return TaskRef(
        source_id=key,
        title=f"{key}: {about}" if about else key,
        description=asked if isinstance(asked, str) else None,
        metadata={name: value for name, value in facts.items() if value is not None},
    )


def _dataset(spec: Mapping[str, Any]) -> dict[str, Any]:
    """The dataset without the ids of all its samples, which would be repeated in every run."""
    return {key: value for key, value in mapping(spec.get("dataset")).items() if key != "sample_ids"}


def _output(output: Mapping[str, Any], messages: list[Any]) -> Any:
    """The last answer's text, as Inspect's own ``completion``."""
    if text_or_none(output.get("completion")):
        return output["completion"]
    choices = elements(output.get("choices"))
    message = mapping(mapping(choices[0]).get("message")) if choices else {}
    if not message:
        said = [m for m in messages if isinstance(m, dict) and m.get("role") == "assistant"]
        message = said[-1] if said else {}
    return message.get("content")


def _metadata(sample: Mapping[str, Any], log: Mapping[str, Any], texts: Attachments) -> dict[str, Any]:
    """The sample's other fields and what the log says of the evaluation; without nulls and empty lists and objects."""
    spec = mapping(log.get("eval"))
    used = ("messages", "events", "transcript", "attachments", "store", "message_pool", "call_pool", "events_data")
    results = {k: v for k, v in mapping(log.get("results")).items() if k != "sample_reductions"}
    fields = {
        "sample": texts.resolve(rest(sample, *used, "input", "uuid")),
        "eval": {**spec, "dataset": _dataset(spec)} if "dataset" in spec else spec,
        "plan": log.get("plan"),
        "results": results,
        "eval_status": log.get("status"),
        "eval_error": log.get("error"),
        "eval_stats": log.get("stats"),
        "eval_log": {k: v for k, v in (rest(log, *_LOG) or {}).items() if v is not False},
    }
    return {**_pruned(fields), **texts.kept}


def _pruned(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: item for key, inner in value.items() if (item := _pruned(inner)) not in (None, {}, [])}
    return [_pruned(item) for item in value] if isinstance(value, list) else value


def _of_the_only_sample(log: Mapping[str, Any]) -> Mapping[str, Any]:
    """Tokens by model of the whole evaluation, where one sample is all of it."""
    is_alone = mapping(log.get("results")).get("total_samples") == 1
    return mapping(mapping(log.get("stats")).get("model_usage")) if is_alone else {}


def _sums(recorded: Mapping[str, Any]) -> tuple[Usage | None, float | None]:
    """Tokens and cost that the log sums up, over all models."""
    usages = [usage for entry in recorded.values() if (usage := usage_of(entry)) is not None]
    costs = [cost for entry in recorded.values() if (cost := number(mapping(entry).get("total_cost"))) is not None]
    # A sum in which one model is unpriced is not the run's cost.
    return total(usages), sum(costs) if costs and len(costs) == len(recorded) else None


def _spent(steps: list[Step]) -> tuple[Usage | None, float | None]:
    """Tokens and cost of the events."""
    usages = [step.usage for step in steps if step.usage is not None]
    costs = [step.cost_usd for step in steps if step.cost_usd is not None]
    return total(usages), sum(costs) if costs and len(costs) == len(usages) else None


def _set_times(run: Run, sample: Mapping[str, Any], log: Mapping[str, Any], source: Source) -> None:
    begins = [step.timestamp for step in run.steps if step.timestamp is not None]
    ends = begins + [_end(step) for step in run.steps if step.timestamp is not None and step.duration_ms]
    run.started_at = when(sample.get("started_at"), source) or min(begins, default=None)
    run.completed_at = when(sample.get("completed_at"), source) or max(ends, default=None)
    if run.started_at is None and run.completed_at is None:
        stats = mapping(log.get("stats"))
        run.started_at = when(stats.get("started_at"), source)
        run.completed_at = when(stats.get("completed_at"), source)
        if run.started_at is not None:
            source.changed("time", "the sample has no times of its own: those of the whole evaluation are taken")
    if run.started_at is not None and run.completed_at is not None and run.completed_at < run.started_at:
        source.changed("time", "the sample ends before it starts: its end is stored as null")
        run.completed_at = None
    run.execution_time_ms = milliseconds(number(sample.get("total_time")))


def _end(step: Step) -> datetime:
    assert step.timestamp is not None
    return step.timestamp + timedelta(milliseconds=step.duration_ms or 0)


def _judge(run: Run, sample: Mapping[str, Any], log: Mapping[str, Any]) -> None:
    """Set score, status and error. Of several scorers the first counts; all are in ``metadata.sample.scores``."""
    scores = mapping(sample.get("scores"))
    first = next(iter(scores.values()), None) if scores else sample.get("score")
    run.score = _grade(mapping(first).get("value") if isinstance(first, dict) else first)
    error = error_of(sample.get("error"))
    if error is not None:
        run.status = "failed"
        run.error_type, run.error = error.get("type") or "error", error.get("message")
    elif run.score == 0:
        run.status = "failed"
        run.error_type, run.error = "scored_zero", f"Score 0 by {next(iter(scores), 'the scorer')}."
    elif run.score is None and log.get("status") == "cancelled":
        run.status = "cancelled"


def _grade(value: Any) -> float | None:
    if isinstance(value, bool):
        return float(value)
    if isinstance(value, str):
        grade = _GRADES.get(value, _WORDS.get(value.lower()))
        if grade is not None:
            return grade
        try:
            value = float(value)
        except ValueError:
            return None
    grade = number(value)
    return grade if grade is not None and math.isfinite(grade) else None


def _unique_ids(steps: list[Step]) -> None:
    """An id that comes twice names nothing: later ones go by position."""
    seen: set[str] = set()
    for step in steps:
        if step.source_id in seen:
            step.source_id = None
        elif step.source_id is not None:
            seen.add(step.source_id)
