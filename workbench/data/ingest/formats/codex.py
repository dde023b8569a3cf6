"""Codex CLI rollouts: ``~/.codex/sessions/<date>/rollout-<time>-<uuid>.jsonl``.

One line is one step, whatever its type; the first rollouts of 2025 had no envelope around it. Four readings need care.
What was said stands in two lines, an item (what the model was given or answered) and an event (what the program
showed): the item is the message and the event a log line, a step of its own only where no item says the same.
``token_count`` repeats itself: see ``codex_tokens``. A forked session begins with a copy of the session it came from:
the copy is kept and marked (``is_copied``), its tokens belong to the parent. And a trimmed rollout has no times.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from workbench.data.ingest.chat import known, mapping, number, rest, text_or_none, title
from workbench.data.ingest.formats import codex_tokens
from workbench.data.ingest.formats.codex_event import End, Line, fail, stand_alone
from workbench.data.ingest.formats.codex_line import read_line
from workbench.data.ingest.formats.codex_outcome import ENDS, STARTS, judge
from workbench.data.ingest.identity import Ids, line_id
from workbench.data.ingest.normal import BadLine, Run, total
from workbench.data.ingest.source import Head, Record, Source
from workbench.data.ingest.times import elapsed_ms, when

FORMAT = "codex"
TITLE = "Codex CLI rollouts (.jsonl)"
HAS_PARENTS = True  # a fork or a sub-agent may be read before or after the session it came from

_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$", re.IGNORECASE)
# Copying a history takes the program seconds; nobody answers that fast in a version that gives its turns no ids.
_COPYING = timedelta(seconds=5)
_COPY = "copied from the session this one was forked from: marked is_copied, its tokens count there"
_BARE = {"message", "reasoning", "function_call", "function_call_output", "local_shell_call"}


def detect(head: Head) -> float:
    """How surely the file is one of these."""
    if not head.records and {"type", "payload"} <= head.keys:  # the first line is longer than the head
        return 0.9 if {"payload.cli_version", "payload.originator"} & head.keys else 0.0
    return max((_likeness(record) for record in head.records if isinstance(record, dict)), default=0.0)


def _likeness(record: dict[str, Any]) -> float:
    kind = record.get("type")
    if "payload" in record:
        if kind == "session_meta":
            return 0.95
        return 0.9 if kind in ("response_item", "event_msg", "turn_context") else 0.0
    if record.get("record_type") == "state":
        return 0.9
    if kind is None and {"id", "timestamp", "instructions"} <= record.keys():
        return 0.8  # the first line of a rollout of 2025
    if (
        isinstance(kind, str)
        and kind in _BARE
        and ("call_id" in record or "encrypted_content" in record or _has_parts(record.get("content")))
    ):
        return 0.7
    return 0.0


def _has_parts(content: Any) -> bool:
    return isinstance(content, list) and any(
        isinstance(part, dict) and part.get("type") in ("input_text", "output_text") for part in content
    )


def read(source: Source) -> Iterator[Run | BadLine]:
    """The one run of the file, after what could not be read of it."""
    source.is_strict = True
    session = _Session(source)
    for record in source.records():
        bad = record if isinstance(record, BadLine) else session.take(record)
        if bad is not None:
            yield bad
    if session.lines:
        yield session.run()


@dataclass
class _Session:
    source: Source
    lines: list[Line] = field(default_factory=list)
    _meta: Mapping[str, Any] = field(default_factory=dict)  # of the session's own; a copy brings those of others
    _created: datetime | None = None
    _parent: str | None = None
    _is_copying: bool = False
    _model: str | None = None
    _models: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._tokens = codex_tokens.Counter(self.source)
        self._ids = Ids(self.source)

    def take(self, record: Record) -> BadLine | None:
        line = read_line(record.value)
        if isinstance(line, str):
            return BadLine(record.line, line, record.data)
        step, written = line.step, record.value.get("timestamp")
        step.source_id = step.span_id = self._ids.of(line.own_id, record.data)
        step.timestamp = when(written, self.source)
        if step.timestamp is None and written is not None:
            key = "line_timestamp" if "timestamp" in (step.extra or {}) else "timestamp"
            step.extra = {**(step.extra or {}), key: written}
        step.raw = self.source.own_bytes(record)
        self._follow(line)
        self.lines.append(line)
        return None

    def _follow(self, line: Line) -> None:
        """Keep up with what the lines before decide: the session, the copy, the model, the running total."""
        step, payload = line.step, line.payload
        if line.kind == "session_meta":
            self._meet(line)
        if self._is_copying and self._opens_own_turn(line):
            self._is_copying = False
        line.is_copied = self._is_copying and line.payload is not self._meta
        if line.is_copied:
            step.extra = {**(step.extra or {}), "is_copied": True}
            self.source.kept("copied line", _COPY)
        settings = payload if line.kind == "turn_context" else mapping(payload.get("thread_settings"))
        self._model = text_or_none(settings.get("model")) or self._model
        if step.role == "assistant":
            step.model = self._model
        elif line.type == "token_count":
            step.usage = self._tokens.take(payload, is_copied=line.is_copied)
            if step.usage is not None:
                step.event_type, step.model = "llm_call", self._model
                self._models.update([self._model] if self._model else [])

    def _meet(self, line: Line) -> None:
        """The first session_meta is the session's own. Another right behind it is that of the session it copies."""
        payload = line.payload
        if not self.lines:
            self._meta = payload
            self._created = (
                _uuid_time(payload.get("id")) or when(payload.get("timestamp"), self.source) or line.step.timestamp
            )
            self._parent = text_or_none(payload.get("forked_from_id"))
            self._is_copying = self._parent is not None
        elif len(self.lines) == 1 and self._meta and not self._is_copying:
            other = text_or_none(payload.get("id"))
            if other is not None and other != self._meta.get("id"):
                self._parent, self._is_copying = other, True

    def _opens_own_turn(self, line: Line) -> bool:
        """Whether a turn begins that was not there before the session: told by its id's time, or by when it began."""
        if line.type not in (*STARTS, "user_message") and line.kind != "turn_context":
            return False
        if self._created is None:
            return True
        # A copy keeps turn ids and started_at; the times of its lines may be those of the copying.
        began = _uuid_time(line.payload.get("turn_id")) or _seconds(line.payload.get("started_at"))
        if began is not None:
            return began >= self._created.replace(microsecond=0)
        return line.step.timestamp is not None and line.step.timestamp - self._created > _COPYING

    # The whole ----------------------------------------------------------------------------------------------------

    def run(self) -> Run:
        self._match_echoes()
        self._pair()
        self._nest()
        return self._describe()

    def _match_echoes(self) -> None:
        """Find the item that says what an event says; an event without one is the message itself."""
        said: dict[tuple[Any, str], list[Line]] = defaultdict(list)
        for line in self.lines:
            if line.kind == "response_item" and line.said:
                author, *all_said = line.said
                for text in dict.fromkeys(text for text in all_said if isinstance(text, str)):
                    said[author, text].append(line)
        calls = {line.call_id for line in self.lines if line.step.event_type == "tool_call"}
        prompts: list[Line] = []
        has_prompts = False
        for line in self.lines:
            if line.kind != "event_msg":
                continue
            if line.said:
                has_prompts = has_prompts or line.type == "user_message"
                twins = said.get((line.said[0], line.said[1] or ""))
                line.is_echo = bool(twins)
                if twins:
                    prompts.append(twins.pop(0))
            else:
                line.is_echo = line.call_id in calls
            if line.is_echo and line.said:
                line.step.severity = "debug"
            elif not line.is_echo:
                stand_alone(line)
        if has_prompts:  # what the user typed is told by its event, not by how it begins
            typed = {id(line) for line in prompts}
            for line in self.lines:
                line.is_prompt = line.is_prompt and (line.kind == "event_msg" or id(line) in typed)

    def _pair(self) -> None:
        """Put results and events under their call; give results the name of the tool, calls their duration."""
        ends: dict[str | None, End] = {}
        for line in self.lines:
            if line.kind == "event_msg" and line.is_echo and not line.said and line.end != End():
                ends[line.call_id] = line.end
        calls: dict[str, Line] = {}
        for line in self.lines:
            step = line.step
            if step.event_type == "tool_call" and line.call_id:
                calls[line.call_id] = line
            call = calls.get(line.call_id or "")
            if step.event_type == "tool_result":
                _answer(line, call, ends.get(line.call_id, End()))
            elif call is not None and line.is_echo:
                step.parent_span_id = call.step.span_id

    def _nest(self) -> None:
        """Every line stands under its turn: the task that was started, or else the prompt."""
        turn: Line | None = None
        for line in self.lines:
            step = line.step
            if line.type in STARTS:
                turn = line
                step.event_type = "span"
            elif line.is_prompt and (turn is None or turn.is_prompt):
                turn = line
            elif turn is not None and step.parent_span_id is None:
                step.parent_span_id = turn.step.span_id
            if line.type in ENDS:
                if turn is not None and not turn.is_prompt:
                    told = number(line.payload.get("duration_ms"))
                    turn.step.duration_ms = elapsed_ms(turn.step.timestamp, step.timestamp) if told is None else told
                turn = None

    def _describe(self) -> Run:
        own = [line for line in self.lines if not line.is_copied]
        steps = [line.step for line in self.lines]
        prompts = [line for line in own if line.is_prompt]
        asked = prompts[0].step.text if prompts else None
        said = [s.text for s in steps if s.event_type == "message" and s.role == "assistant" and s.text]
        times = [line.step.timestamp for line in own if line.step.timestamp]
        parent = mapping(mapping(mapping(self._meta.get("source")).get("subagent")).get("thread_spawn"))
        spawned = text_or_none(self._meta.get("parent_thread_id")) or text_or_none(parent.get("parent_thread_id"))
        is_agent = spawned is not None or "subagent" in mapping(self._meta.get("source"))
        source_id = self._session_id()
        copied = [line.step.source_id for line in self.lines if line.is_copied and line.own_id]
        above = spawned or self._parent
        run = Run(
            source_id=source_id,
            agent_type=f"{FORMAT}/sub-agent" if is_agent else FORMAT,
            name=title(_name(own, source_id) or asked) or source_id,
            model=self._models.most_common(1)[0][0] if self._models else self._model,
            started_at=min(times, default=None),
            completed_at=max(times, default=None),
            input={"prompt": asked} if asked else None,
            output={"text": said[-1]} if said else None,
            usage=total(step.usage for step in steps),
            reported_usage=self._tokens.reported,
            parent_source_id=above if above != source_id else None,
            spawned_by=copied[-1] if copied and not spawned and above not in (None, source_id) else None,
            link="forked" if self._parent is not None and not spawned and above not in (None, source_id) else None,
            spawns=self._spawns(),
            metadata=self._metadata(own, prompts),
            steps=steps,
        )
        judge(run, own)
        return run

    def _spawns(self) -> dict[str, str]:
        """The threads that were started here, and the call that started each."""
        calls = {line.call_id: line.step.source_id for line in self.lines if line.step.event_type == "tool_call"}
        found = {}
        for line in self.lines:
            thread = text_or_none(line.payload.get("new_thread_id"))
            if line.type == "collab_agent_spawn_end" and thread is not None:
                found[thread] = calls.get(line.call_id) or line.step.source_id
        return found

    def _session_id(self) -> str:
        for name in ("id", "session_id"):
            if own := text_or_none(self._meta.get(name)):
                return own
        if named := _UUID.search(self.source.file_name.rsplit(".", 1)[0]):
            self.source.kept("session id", "not in the file: taken from its name")
            return named.group().lower()
        self.source.kept("session id", "not in the file: made from its first line")
        return line_id(str(self.lines[0].step.source_id).encode())

    def _metadata(self, own: list[Line], prompts: list[Line]) -> dict[str, Any]:
        told = rest(
            self._meta, "type", "timestamp", "base_instructions", "instructions", "dynamic_tools", "record_type"
        )
        return (told or {}) | known(
            forked_from=self._parent,
            n_prompts=len(prompts),
            n_tool_calls=sum(1 for line in own if line.step.event_type == "tool_call"),
            n_interruptions=sum(1 for line in own if line.type == "turn_aborted") or None,
            models=dict(self._models) if len(self._models) > 1 else None,
        )


def _name(own: list[Line], session: str) -> str | None:
    """The name the session was given last."""
    for line in reversed(own):
        if line.type == "thread_name_updated" and line.payload.get("thread_id", session) == session:
            return text_or_none(line.payload.get("thread_name"))
    return None


def _answer(line: Line, call: Line | None, told: End) -> None:
    """Finish a result with what its call and the event of its end say."""
    step, end = line.step, line.end
    end.is_error = told.is_error if end.is_error is None else end.is_error
    end.message = end.message or told.message
    tool = dict(step.tool or {})
    if call is not None:
        step.name = tool["name"] = call.step.name
        step.parent_span_id = call.step.span_id
        lasted = next((ms for ms in (end.duration_ms, told.duration_ms) if ms is not None), None)
        if lasted is None:
            lasted = elapsed_ms(call.step.timestamp, step.timestamp)
        call.step.duration_ms = lasted
    step.tool = {**tool, **known(is_error=end.is_error)}
    if isinstance(tool.get("result"), str) and end.is_error and not end.message:
        end.message = tool["result"]
    fail(step, end)


def _uuid_time(value: Any) -> datetime | None:
    """When a UUID of version 7 was made (RFC 9562)."""
    if not isinstance(value, str) or not _UUID.fullmatch(value) or value[14] != "7":
        return None
    return _seconds(int(value[:8] + value[9:13], 16) / 1000)


def _seconds(value: Any) -> datetime | None:
    seconds = number(value)
    try:
        return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return None
