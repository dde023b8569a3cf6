"""Gemini CLI sessions: ``~/.gemini/tmp/<project>/chats/session-<time>-<id>.json``, and ``.jsonl`` since 2026.

One message is one step; it holds its tool calls together with their results. Three readings need care. ``tokens.input``
contains what was cached, and ``tokens.output`` does not contain the thoughts. A session of JSON lines writes a message
again whenever it grew: its last form counts. And what a ``$rewindTo`` took back is kept, in a lane of its own and
marked (``is_off_branch``).

Messages stand in the order in which they were written first, whatever their times say: a ``$rewindTo`` takes back what
was written behind a message, so the position is what happened, and none is marked out of order.

A sub-agent is a session of its own, ``chats/<session that started it>/<sub-agent>.jsonl``: the folder is named after
its parent, and the call that started it holds its id (``agentId``), once it has ended.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from workbench.data.ingest.formats.gemini_message import read_message
from workbench.data.ingest.normal import BadLine, Run, Step, total
from workbench.data.ingest.reading.chat import elements, known, last_answer, mapping, rest, text_or_none, title
from workbench.data.ingest.reading.identity import digest
from workbench.data.ingest.reading.parse import parse
from workbench.data.ingest.reading.source import Head, Source, kind_of
from workbench.data.ingest.reading.times import when
from workbench.data.ingest.reading.together import nest, sum_up

FORMAT = "gemini-cli"
TITLE = "Gemini CLI sessions (.json, .jsonl)"
HAS_PARENTS = True  # a sub-agent's file may be read before or after that of its session

_REWOUND = "taken back by $rewindTo: kept and marked is_off_branch"
_REWRITTEN = "written again while it grew: its last form is kept"
_REPEATED_ID = "a message repeats the id of an earlier one: both kept, the later under an id of its own"
_STOPPED = "Request cancelled"


def detect(head: Head) -> float:
    """How surely the file is one of these."""
    if "sessionId" in head.keys and ("projectHash" in head.keys or {"messages.type", "startTime"} <= head.keys):
        return 0.95 if "projectHash" in head.keys else 0.8
    return max((_likeness(record) for record in head.records if isinstance(record, dict)), default=0.0)


def _likeness(record: dict[str, Any]) -> float:
    if "$rewindTo" in record or isinstance(record.get("$set"), dict):
        return 0.6
    return 0.7 if record.get("type") == "gemini" and {"id", "timestamp", "content"} <= record.keys() else 0.0


def read(source: Source) -> Iterator[Run | BadLine]:
    """The one run of the file, after what could not be read of it."""
    source.is_strict = True
    session = _Session(source)
    if _is_lines(source.head):
        yield from session.take_lines()
    else:
        document = source.document().value
        messages = document.get("messages", []) if isinstance(document, dict) else None
        if not isinstance(messages, list):
            yield BadLine(None, "expected an object with a list messages")
            return
        yield from session.take_document(document, messages)
    if session.messages:
        yield session.run()


def settle(run: Run) -> None:
    """What the parts of a session make together of which several files hold some."""
    steps = list(run.steps)
    nest(steps, lambda step: step.role == "user")
    sum_up(run, *_counts(steps), Counter(step.model for step in steps if step.model))


def _counts(steps: list[Step]) -> tuple[int, int]:
    """How many prompts stand, and how many calls there are."""
    n_prompts = sum(step.role == "user" and "is_off_branch" not in (step.extra or {}) for step in steps)
    return n_prompts, sum((step.tool is not None) + len(step.tool_calls or ()) for step in steps)


def _is_lines(head: Head) -> bool:
    """Whether each line is a record of its own: then the first one is whole, and not the whole file."""
    first, _, more = head.data.lstrip().partition(b"\n")
    try:
        return isinstance(parse(first).value, dict) and bool(more.strip())
    except ValueError:
        return False


@dataclass(slots=True)
class _Message:
    value: Mapping[str, Any]
    raw: bytes | None = None
    is_rewound: bool = False


@dataclass
class _Session:
    source: Source
    meta: dict[str, Any] = field(default_factory=dict)
    messages: list[_Message] = field(default_factory=list)
    _places: dict[str, int] = field(default_factory=dict)
    _spawns: dict[str, str] = field(default_factory=dict)  # id of a sub-agent → id of the step that called it

    def take_document(self, document: Mapping[str, Any], messages: list[Any]) -> Iterator[BadLine]:
        self.meta = rest(document, "messages") or {}
        for index, value in enumerate(messages):
            if isinstance(value, dict):
                self.messages.append(_Message(value))
            else:
                yield BadLine(None, f"message {index}: expected a JSON object, found {kind_of(value)}")

    def take_lines(self) -> Iterator[BadLine]:
        """Replay a session of JSON lines: what it is, messages in their last form, what was set and taken back."""
        for record in self.source.records():
            if isinstance(record, BadLine):
                yield record
                continue
            value, raw = record.value, self.source.own_bytes(record)
            if isinstance(value.get("$rewindTo"), str):
                self._rewind(value["$rewindTo"])
            elif isinstance(value.get("$set"), dict):
                yield from self._set(value["$set"], record.line)
            elif "id" not in value and "sessionId" in value:
                yield from self._set(value, record.line)
            else:
                self._put(value, raw)

    def _set(self, values: Mapping[str, Any], line: int) -> Iterator[BadLine]:
        """The session's own fields. Messages set anew (a compressed context) take none of the earlier ones away."""
        self.meta |= rest(values, "messages") or {}
        messages = values.get("messages")
        if not isinstance(messages, (list, type(None))):
            yield BadLine(line, f"expected a list of messages, found {kind_of(messages)}")
        for value in elements(messages):
            if isinstance(value, dict):
                self._put(value, None)
            else:
                yield BadLine(line, f"expected a JSON object as message, found {kind_of(value)}")

    def _put(self, value: Mapping[str, Any], raw: bytes | None) -> None:
        own = value.get("id")
        place = self._places.get(own) if isinstance(own, str) else None
        if place is None:
            if isinstance(own, str):
                self._places[own] = len(self.messages)
            self.messages.append(_Message(value, raw))
        elif self.messages[place].value != value:
            self.source.changed("message", _REWRITTEN)
            self.messages[place] = _Message(value, raw)

    def _rewind(self, to: str) -> None:
        """Take back a message and all behind it."""
        place = self._places.get(to)
        for message in self.messages[place if place is not None else len(self.messages) :]:
            message.is_rewound = True
        for own in [own for own, at in self._places.items() if place is not None and at >= place]:
            del self._places[own]  # written again, it is another message

    def run(self) -> Run:
        steps = self._steps()
        kept = [step for step in steps if "is_off_branch" not in (step.extra or {})]
        prompts = [step for step in kept if step.role == "user"]
        asked = next((step.text for step in prompts if step.text), None)
        times = [step.timestamp for step in steps if step.timestamp]
        models = Counter(step.model for step in steps if step.model)
        source_id = self._session_id()
        is_agent = self.meta.get("kind") == "subagent"
        run = Run(
            source_id=source_id,
            agent_type=f"{FORMAT}/sub-agent" if is_agent else FORMAT,
            name=title(text_or_none(self.meta.get("summary")) or asked) or source_id,
            model=models.most_common(1)[0][0] if models else None,
            started_at=when(self.meta.get("startTime"), self.source) or min(times, default=None),
            completed_at=when(self.meta.get("lastUpdated"), self.source) or max(times, default=None),
            input={"prompt": asked} if asked else None,
            output=last_answer(kept),
            usage=total(step.usage for step in steps),
            parent_source_id=_folder(self.source) if is_agent else None,
            spawns=self._spawns,
            metadata=self._metadata(steps, prompts, models),
            steps=steps,
        )
        _judge(run, kept)
        return run

    def _steps(self) -> list[Step]:
        steps: list[Step] = []
        seen: Counter[str] = Counter()
        turn: Step | None = None
        for message in self.messages:
            step = read_message(message.value, self.source)
            own = text_or_none(message.value.get("id")) or f"message:{digest(message.value)}"
            seen[own] += 1
            if seen[own] > 1 and not message.is_rewound:
                self.source.changed("id", _REPEATED_ID)
            step.source_id = step.span_id = own if seen[own] == 1 else f"{own}#{seen[own]}"
            step.raw = message.raw
            if message.is_rewound:
                step.agent = "rewound"
                step.extra = {**(step.extra or {}), "is_off_branch": True}
                self.source.kept("message", _REWOUND)
            for call in map(mapping, elements(message.value.get("toolCalls"))):
                if agent := text_or_none(call.get("agentId")):
                    self._spawns[agent] = step.source_id
            if step.role == "user":
                turn = step
            elif turn is not None:
                step.parent_span_id = turn.span_id
            steps.append(step)
        return steps

    def _session_id(self) -> str:
        if own := text_or_none(self.meta.get("sessionId")):
            return own
        self.source.kept("session id", "not in the file: made from its first message")
        first = self.messages[0].value
        return f"message:{digest(first.get('id') or first)}"

    def _metadata(self, steps: list[Step], prompts: list[Step], models: Counter[str]) -> dict[str, Any]:
        told = dict(rest(self.meta, "sessionId", "summary") or {})
        return told | known(
            summary=self.meta.get("summary"),
            n_prompts=len(prompts),
            n_tool_calls=sum((step.tool is not None) + len(step.tool_calls or ()) for step in steps),
            n_off_branch=sum(message.is_rewound for message in self.messages) or None,
            models=dict(models) if len(models) > 1 else None,
        )


def _folder(source: Source) -> str | None:
    """The session that a sub-agent's file lies under: ``chats/SESSION/SUB-AGENT.jsonl``."""
    *_, above, folder, _ = ("", "", *source.stored_path.replace("\\", "/").split("/"))
    return folder if above == "chats" and folder else None


def _judge(run: Run, steps: list[Step]) -> None:
    """How the session ended: with an error, with a call or a request that the user stopped, or well."""
    last = steps[-1] if steps else None
    if last is None:
        return
    if last.category == "error":
        run.status, run.error_type, run.error = "failed", "error", last.text or "The session ended with an error."
    elif last.category == "info" and (last.text or "").startswith(_STOPPED):
        run.status, run.error_type, run.error = "cancelled", "interrupted", last.text
    elif any(mapping(call).get("status") == "cancelled" for call in elements((last.extra or {}).get("toolCalls"))):
        run.status, run.error_type, run.error = "cancelled", "interrupted", "The user stopped a tool call."
