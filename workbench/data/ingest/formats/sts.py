"""Session traces of the Hugging Face Hub: the Session Trace Simple Format (STS), one JSON object a line.

Read as the Hub documents it: a header ``{"type": "session", "harness", "id", "name"?, …}``, then messages
``{"type": "message", "message": {"role", "content", "reasoningContent"?, "toolCalls"?, "toolCallId"?, "timestamp"?,
"model"?}}``. One line is one step. Each further header begins a session of its own, for exports of llama.app hold
several. Of llama.app, the one harness the Hub knows by name, more is read: the links of its messages (``parent``, the
header's ``currNode``), by which answers that were generated again are put into a lane of their own and marked
``is_off_branch``; and the counts of llama.cpp's server (``timings``), whose ``prompt_n`` leaves out what came from the
cache. The Hub's page mentions neither; they were seen in the files of others.

The other traces that the Hub shows (Claude Code, Codex, pi) are files of those agents and have readers of their own; a
pi session whose header names a ``harness`` is read as pi. Hermes and Factory Droid sessions, which the Hub shows too,
are not read: no description of them was found.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from workbench.data.ingest.formats.hub_message import ROLES, is_message, step_of
from workbench.data.ingest.normal import BadLine, Run, Step, Usage, total
from workbench.data.ingest.reading.chat import count, known, last_answer, mapping, rest, text_or_none, title
from workbench.data.ingest.reading.identity import Ids, line_id
from workbench.data.ingest.reading.source import Head, Ordered, Record, Source
from workbench.data.ingest.reading.times import elapsed_ms, when

FORMAT = "sts"
TITLE = "Session traces of the Hugging Face Hub, STS (.jsonl)"

_OFF = "not on the branch where the session stands: kept and marked is_off_branch"
_NO_ID = "not in the file: made from its first line"


def detect(head: Head) -> float:
    """How surely the file is one of these."""
    return max((_likeness(record) for record in head.records if isinstance(record, dict)), default=0.0)


def _likeness(record: dict[str, Any]) -> float:
    if record.get("type") == "session" and isinstance(record.get("harness"), str) and "id" in record:
        return 0.0 if {"timestamp", "cwd"} <= record.keys() else 0.95  # a header of pi may name its harness too
    if record.get("type") == "message" and record.keys().isdisjoint({"timestamp", "id", "uuid", "sessionId"}):
        message = mapping(record.get("message"))
        return 0.6 if is_message(message) and message.get("role") in ROLES else 0.0
    return 0.0


def read(source: Source) -> Iterator[Run | BadLine]:
    """One run per header, after what could not be read before the next one."""
    source.is_strict = True
    session = _Session(source)
    for record in source.records():
        if isinstance(record, BadLine):
            yield record
            continue
        if record.value.get("type") == "session" and session.steps:
            yield session.run()
            session = _Session(source)
        session.take(record)
    if session.steps:
        yield session.run()


def lines(source: Source) -> Iterator[Ordered] | None:
    """Its lines; ``None`` of a file of several sessions."""
    values = (record.value for record in source.records() if isinstance(record, Record))
    return _ordered(source) if sum(value.get("type") == "session" for value in values) <= 1 else None


def _ordered(source: Source) -> Iterator[Ordered]:
    for record in source.records():
        if isinstance(record, Record):
            message = _message(record.value) or {}
            own, above = (text_or_none(message.get(name)) for name in ("id", "parent"))
            yield Ordered(record.data, own, above, when(message.get("timestamp"), source))


def _message(value: Mapping[str, Any]) -> dict[str, Any] | None:
    message = value.get("message")
    return message if value.get("type") == "message" and isinstance(message, dict) else None


@dataclass
class _Session:
    source: Source
    steps: list[Step] = field(default_factory=list)
    _header: Mapping[str, Any] = field(default_factory=dict)
    _nodes: dict[str, tuple[str | None, Step]] = field(default_factory=dict)  # llama.app: id → its parent, its step
    _tools: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._ids = Ids(self.source)

    def take(self, record: Record) -> None:
        value, message = record.value, _message(record.value)
        own = None
        if message is not None:
            step = step_of(rest(message, "timings") or {}, self.source, self._tools)
            step.usage = step.usage or _timed(message)
            timings = message.get("timings")
            more = {**(step.extra or {}), **(known(timings=timings)), **(rest(value, "type", "message") or {})}
            step.extra = more or None
            own = text_or_none(message.get("id"))
            if own is not None:
                self._nodes[own] = (text_or_none(message.get("parent")), step)
        else:
            kind = text_or_none(value.get("type"))
            if kind == "session" and not self._header:
                self._header = value
            step = Step("log", name=kind, category=kind, extra=rest(value, *(["type"] if kind else [])))
        step.source_id = step.span_id = self._ids.of(own, record.data)
        step.raw = self.source.own_bytes(record)
        self.steps.append(step)

    def run(self) -> Run:
        self._mark_branches()
        self._nest()
        steps = self.steps
        asked = next((step.text for step in steps if step.role == "user" and step.text), None)
        times = [step.timestamp for step in steps if step.timestamp is not None]
        models = Counter(step.model for step in steps if step.model)
        source_id = text_or_none(self._header.get("id"))
        if source_id is None:
            self.source.kept("session id", _NO_ID)
            source_id = line_id(str(steps[0].source_id).encode())
        on = [step for step in steps if not (step.extra or {}).get("is_off_branch")]
        return Run(
            source_id=source_id,
            agent_type=text_or_none(self._header.get("harness")) or FORMAT,
            name=title(text_or_none(self._header.get("name")) or asked) or source_id,
            model=models.most_common(1)[0][0] if models else None,
            started_at=min(times, default=None),
            completed_at=max(times, default=None),
            input={"prompt": asked} if asked else None,
            output=last_answer(on),
            usage=total(step.usage for step in steps),
            metadata=(rest(self._header, "type", "id", "harness", "name") or {})
            | known(models=dict(models) if len(models) > 1 else None),
            steps=steps,
        )

    def _mark_branches(self) -> None:
        """Put answers that were generated again into a lane; only llama.app says where a session stands."""
        at = text_or_none(self._header.get("currNode"))
        if at not in self._nodes:
            return
        active: set[str] = set()
        while at is not None and at in self._nodes and at not in active:
            active.add(at)
            at = self._nodes[at][0]
        for own, (_, step) in self._nodes.items():
            if own not in active:
                step.agent = "abandoned branch"
                step.extra = {**(step.extra or {}), "is_off_branch": True}
                self.source.kept("message off the branch", _OFF)

    def _nest(self) -> None:
        """Put a result under its call."""
        calls = {
            call["call_id"]: step
            for step in self.steps
            if step.event_type == "tool_call" and step.tool is not None
            for call in (step.tool, *(step.tool_calls or ()))
            if isinstance(call.get("call_id"), str)
        }
        for step in self.steps:
            call = calls.get((step.tool or {}).get("call_id") or "") if step.event_type == "tool_result" else None
            if call is not None:
                step.parent_span_id = call.span_id
                lasted = elapsed_ms(call.timestamp, step.timestamp)
                if lasted is not None:
                    call.duration_ms = max(lasted, call.duration_ms or 0.0)


def _timed(message: Mapping[str, Any]) -> Usage | None:
    timings = mapping(message.get("timings"))
    usage = Usage(
        count(timings.get("prompt_n")), count(timings.get("cache_n")), None, count(timings.get("predicted_n"))
    )
    return None if usage == Usage() else usage
