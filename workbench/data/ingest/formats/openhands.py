"""OpenHands histories: a list of events (``.json``), or ``output.jsonl`` of its resolver and evaluations.

An event is one step; a row of ``output.jsonl`` is one run, whose ``history`` holds them (older ones as pairs of an
action and its observation). Neither has an id of the run, so it is made from the first event, or, where that has no
time, from the events up to the agent's first; in a row the instance or issue is put before it, and is the run's task.
Times carry no zone and are taken as UTC. The answer of the model, with its tokens, stands on every event that it led to
and is counted once by its id. Costs of the oldest rows are a plain list: where it is as long as what the agent did,
each is that of the action in its place.

A delegate's events stand in the same list, between the action that starts it and the observation that ends it: they
are a lane (:mod:`.openhands_delegates`).

Events of the SDK have a ``kind``; they come as such lists and rows, as lines, as pages of its server (``items``), or
one in each file of a conversation's folder, whose name is then the run's id. Its sub-agents are conversations of their
own, in ``PARENT/subagents/CHILD``: the folder tells the parent, but no event which call started them. A child
conversation (``start_child_conversation``) is named by the observation of the call.

The event stream of a conversation is numbered by its one writer: events stay in the order of the list, whatever their
times say, and none is marked out of order.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from workbench.data.ingest.formats.openhands_event import Events, is_act
from workbench.data.ingest.formats.openhands_sdk import is_sdk_event
from workbench.data.ingest.normal import BadLine, Run, Step, TaskRef, total
from workbench.data.ingest.reading.chat import elements, known, last_answer, mapping, number, rest, text_or_none, title
from workbench.data.ingest.reading.identity import digest, opening
from workbench.data.ingest.reading.openai_usage import openai_usage, price
from workbench.data.ingest.reading.source import Head, Source, kind_of

FORMAT = "openhands"
TITLE = "OpenHands event lists (.json) and output.jsonl"
HAS_PARENTS = True  # a sub-agent's conversation may be read before or after that of its parent

_RUNNING = {"loading", "init", "running", "paused", "awaiting_user_confirmation", "user_confirmed",
            "idle", "waiting_for_confirmation"}  # fmt: skip
_FAILED = {"error", "rejected", "stuck"}
_ERROR_TYPE = re.compile(r"[\w.]*(?:Error|Exception)\b")
_RUN_ID = "not in the file: made from the first event and its time, else from the events up to the agent's first"
_COSTS = "a plain list in the source, as long as what the agent did: each is that of the action in its place"
_ACCUMULATED = "the source's accumulated tokens differ from those of its events: the accumulated ones are the run's"
_PLACED = ("history", "instruction", "error", "git_patch")


def detect(head: Head) -> float:
    """How surely the file is one of these."""
    keys, data = head.keys, head.data.lstrip()
    of_sdk = {"kind", "source", "timestamp", "id"}
    if of_sdk <= keys and {"llm_message", "tool_call_id", "system_prompt", "key"} & keys:
        return 0.9
    if {f"items.{name}" for name in of_sdk} <= keys or {f"events.{name}" for name in of_sdk} <= keys:
        return 0.8
    if "history.kind" in keys and {"history.source", "history.llm_message", "history.tool_name"} & keys:
        return 0.9
    if data.startswith(b"["):
        is_event = "source" in keys and bool({"action", "observation"} & keys)
        return 0.9 if is_event and {"id", "message"} & keys else 0.0
    if not data.startswith(b"{") or "history" not in keys:
        return 0.0
    if {"history.action", "history.observation"} & keys:
        return 0.9
    return 0.7 if {"instance_id", "instruction"} <= keys and {"metrics", "metadata.agent_class"} & keys else 0.0


def read(source: Source) -> Iterator[Run | BadLine]:
    """The run of a list of events, or one per row, after what could not be read of it."""
    source.is_strict = True
    data = source.head.data.lstrip()
    if data.startswith(b"[") or data.split(b"\n", 1)[0].strip() == b"{":
        value = source.document().value
        if isinstance(value, list):
            yield from _run({"history": value}, None, source)
        elif isinstance(value, dict) and isinstance(value.get("history"), list):
            yield from _run(value, None, source)
        elif isinstance(value, dict) and isinstance(value.get("items", value.get("events")), list):
            yield from _run({"history": value.get("items", value.get("events"))}, None, source)
        elif is_sdk_event(value):
            yield from _run({"history": [value]}, None, source)
        else:
            yield BadLine(None, f"expected a list of events or an object with a list history, found {kind_of(value)}")
        return
    loose: list[Any] = []  # events that are lines themselves
    for record in source.records():
        if isinstance(record, BadLine):
            yield record
            continue
        if is_sdk_event(record.value):
            loose.append(record.value)
            continue
        page = record.value.get("items", record.value.get("events"))
        if isinstance(page, list) and "history" not in record.value:
            loose += page
            continue
        if isinstance(record.value.get("history"), list):
            for item in _run(record.value, record.line, source):
                if record.changed and isinstance(item, Run) and item.steps:
                    item.steps[0].raw = record.data
                    for change in record.changed:
                        source.changed("JSON", f"{change}: the row's own bytes are kept in raw of its first event")
                yield item
        else:
            found = kind_of(record.value.get("history"))
            yield BadLine(record.line, f"expected a row with a list history, found {found}")
    if loose:
        yield from _run({"history": loose}, None, source)


def _events(history: list[Any], line: int | None) -> Iterator[Mapping[str, Any] | BadLine]:
    for index, item in enumerate(history):
        for event in item if isinstance(item, list) else (item,):
            if isinstance(event, dict):
                yield event
            else:
                yield BadLine(line, f"event {index}: expected an object, found {kind_of(event)}")


def _run(row: Mapping[str, Any], line: int | None, source: Source) -> Iterator[Run | BadLine]:
    events, read_events = Events(source), []
    for event in _events(row["history"], line):
        if isinstance(event, BadLine):
            yield event
            continue
        read_events.append(event)
        events.take(event)
    events.nest()
    steps = events.steps
    instance, task = _task(row)
    asked = text_or_none(row.get("instruction"))
    asked = asked or next((step.text for step in steps if step.role == "user" and step.text), None)
    times = [step.timestamp for step in steps if step.timestamp is not None]
    models = Counter(step.model for step in steps if step.model)
    about = mapping(row.get("metadata"))
    # The time of its first event tells a run from every other, as long as it is written down.
    is_timed = bool(read_events) and text_or_none(read_events[0].get("timestamp")) is not None
    begun = digest(read_events[:1] if is_timed else opening(read_events, is_act))
    source.kept("run id", _RUN_ID)
    patch = row.get("git_patch") or mapping(row.get("test_result")).get("git_patch")
    configured = text_or_none(mapping(about.get("llm_config")).get("model"))
    run = Run(
        source_id=f"{instance}/{begun}" if instance else _conversation(source) or begun,
        agent_type=f"{FORMAT}/{about['agent_class']}" if text_or_none(about.get("agent_class")) else FORMAT,
        name=(task.title if task is not None else title(asked)) or None,
        model=configured or (models.most_common(1)[0][0] if models else None),
        started_at=min(times, default=None),
        completed_at=max(times, default=None),
        input={"prompt": asked} if asked else None,
        output={**(last_answer(events.delegates.others(steps)) or {}), **known(git_patch=patch or None)} or None,
        task=task,
        parent_source_id=None if instance else _parent(source),
        spawns=events.spawns,
        metadata=_metadata(row, events),
        steps=steps,
    )
    _judge(run, row, events)
    _count(run, row, events, source)
    yield run


def _metadata(row: Mapping[str, Any], events: Events) -> dict[str, Any]:
    is_text = {"instruction": str, "error": (str, type(None)), "git_patch": str, "history": list}
    placed = [name for name in _PLACED if isinstance(row.get(name), is_text[name])]
    return {**(rest(row, *placed) or {}), **known(agent_state=events.agent_state)}


def _task(row: Mapping[str, Any]) -> tuple[str | None, TaskRef | None]:
    """The instance of an evaluation, or the issue of a resolver, and the task it is."""
    instance, issue = row.get("instance_id"), mapping(row.get("issue"))
    text = text_or_none(row.get("instruction"))
    if isinstance(instance, str) and instance:
        statement = text_or_none(mapping(row.get("instance")).get("problem_statement")) or text
        return instance, TaskRef(instance, f"{instance}: {title(statement)}" if statement else instance, statement)
    if issue.get("number") is None:
        return None, None
    name = f"{issue.get('owner')}/{issue.get('repo')}#{issue['number']}"
    body, about = text_or_none(issue.get("body")), text_or_none(issue.get("title"))
    return name, TaskRef(name, f"{name}: {about}" if about else name, body or text)


def _judge(run: Run, row: Mapping[str, Any], events: Events) -> None:
    """The row's error, its judgement, or the last state of the agent decide how the run ended."""
    error, report = (
        row.get("error"),
        mapping(mapping(row.get("test_result")).get("report")) or mapping(row.get("report")),
    )
    verdict = next((value for value in (row.get("success"), report.get("resolved")) if isinstance(value, bool)), None)
    run.score = None if verdict is None else float(verdict)
    state = events.agent_state
    if error:
        kind = _ERROR_TYPE.search(error) if isinstance(error, str) else None
        run.status, run.error_type, run.error = "failed", kind.group() if kind else "error", str(error)
    elif verdict is False:
        why = text_or_none(row.get("result_explanation")) or "The result was judged unsuccessful."
        run.status, run.error_type, run.error = "failed", "unsuccessful", why
    elif verdict is None and state in _FAILED:
        said = next((step.text for step in reversed(run.steps) if step.severity == "error" and step.text), None)
        why = events.agent_state_reason or said or f"The agent's last state was {state}."
        run.status, run.error_type, run.error = "failed", state, why
    elif verdict is None and state == "stopped":
        run.status = "cancelled"
    elif verdict is None and state in _RUNNING:
        run.status = "running"


def _count(run: Run, row: Mapping[str, Any], events: Events, source: Source) -> None:
    """Tokens and cost of the run: what the source accumulated, else the sum over its events."""
    metrics = mapping(row.get("metrics")) or events.metrics or _last_metrics(run.steps)
    _join(run.steps, metrics, source)
    summed = total(step.usage for step in run.steps)
    accumulated = openai_usage(metrics.get("accumulated_token_usage"), source)
    if accumulated is not None and not any(accumulated.as_dict().values()):
        accumulated = None
    if accumulated is not None and summed is not None and accumulated != summed:
        source.changed("tokens", _ACCUMULATED)
    run.usage = accumulated or summed
    recorded = number(metrics.get("accumulated_cost"))
    run.cost_usd = price(recorded, run.usage, source, is_call=bool(events.acts))
    run.reported_usage, run.reported_cost_usd = accumulated, run.cost_usd
    costs = [cost for cost in map(number, elements(metrics.get("costs"))) if cost is not None]
    if len(costs) == len(elements(metrics.get("costs"))) == len(events.acts) and (
        recorded is None or math.isclose(sum(costs), recorded, rel_tol=1e-6, abs_tol=1e-9)
    ):
        for step, cost in zip(events.acts, costs, strict=True):
            step.cost_usd = price(cost, None, source, is_call=True)
            source.kept("cost", _COSTS)


def _last_metrics(steps: Sequence[Step]) -> Mapping[str, Any]:
    """What the last event that says so had accumulated."""
    return next((found for step in reversed(steps) if (found := mapping((step.extra or {}).get("llm_metrics")))), {})


def placed(source: Source) -> str | None:
    """What the path says: a conversation that was forked begins with the very files of the other."""
    return _conversation(source)


def _conversation(source: Source) -> str | None:
    """The folder of a conversation, where each event is a file: ``CONVERSATION/events/event-00001-….json``."""
    *_, folder, inside, _ = ("", "", *source.stored_path.replace("\\", "/").split("/"))
    return folder if inside == "events" and source.file_name.startswith("event-") and folder else None


def _parent(source: Source) -> str | None:
    """The conversation that started one: ``PARENT/subagents/CONVERSATION/events/event-00001-….json``."""
    *_, parent, kind, _, _, _ = ("", "", "", "", "", *source.stored_path.replace("\\", "/").split("/"))
    return parent if kind == "subagents" and parent and _conversation(source) else None


def _join(steps: Sequence[Step], metrics: Mapping[str, Any], source: Source) -> None:
    """Give each answer the tokens that the metrics have of it, where its own record has none."""
    usages = {usage["response_id"]: usage for usage in map(mapping, elements(metrics.get("token_usages")))
              if isinstance(usage.get("response_id"), str)}  # fmt: skip
    for step in steps:
        metadata = mapping((step.extra or {}).get("tool_call_metadata"))
        key = mapping(metadata.get("model_response")).get("id") or (step.extra or {}).get("llm_response_id")
        if step.usage is None and isinstance(key, str) and key in usages:
            step.usage = openai_usage(usages.pop(key), source)
