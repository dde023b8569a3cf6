"""Claude Code sessions: ``~/.claude/projects/<project>/<session>.jsonl``, and the web export ``{"loglines": […]}``.

One line is one step, whatever its type: new types come with each release and are kept as they are. Three readings need
care. One answer of the model is written as several lines that repeat its ``usage``, so tokens count once per
``message.id``, at its last line. A sub-agent in the same file is a lane; a file of its own (``agent-<id>.jsonl``) is a
run of its own, linked to the session by ``sessionId``. And ``parentUuid`` links each line to the one before, so for
nesting a result is put under its call, a sub-agent under the call that started it, the rest under the user's prompt;
``parentUuid`` itself stays in ``data.extra``.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson

from workbench.data.ingest.chat import count, mapping, title
from workbench.data.ingest.formats.claude_line import Line, read_line
from workbench.data.ingest.identity import Ids, line_id
from workbench.data.ingest.normal import BadLine, Run, Step, Usage, total
from workbench.data.ingest.source import Head, Record, Source
from workbench.data.ingest.times import elapsed_ms, when

FORMAT = "claude-code"
TITLE = "Claude Code sessions (.jsonl) and web exports (.json)"
HAS_PARENTS = True  # a sub-agent's file may be read before or after that of its session

_TYPES = {"user", "assistant", "system", "summary", "file-history-snapshot", "queue-operation"}
# Repeated on every line; kept on a line only where it differs from the run's.
_COMMON = ("sessionId", "cwd", "gitBranch", "version", "userType", "slug", "agentId", "isSidechain")
_COMMAND = re.compile(r"<command-name>(.+?)</command-name>(?:.*?<command-args>(.*?)</command-args>)?", re.DOTALL)
_COSTS = "some model calls have no costUSD: the run's cost is unknown, stored as null (unpriced)"


def detect(head: Head) -> float:
    """How surely the file is one of these."""
    if "loglines" in head.keys:
        return 0.9
    if not head.records and {"sessionId", "parentUuid", "isSidechain"} <= head.keys:
        return 0.9  # the first line is longer than the head
    return max((_likeness(record) for record in head.records if isinstance(record, dict)), default=0.0)


def _likeness(record: dict[str, Any]) -> float:
    kind, message = record.get("type"), record.get("message")
    if "sessionId" in record and {"parentUuid", "isSidechain"} <= record.keys():
        return 0.95
    if kind == "file-history-snapshot" and "snapshot" in record:
        return 0.95
    if "sessionId" in record and isinstance(message, dict) and {"uuid", "requestId"} & record.keys():
        return 0.9
    if kind == "summary" and {"summary", "leafUuid"} <= record.keys():
        return 0.85
    if kind == "queue-operation" and "operation" in record:
        return 0.8
    # A cut-down transcript: typed lines that carry an Anthropic message.
    return 0.6 if kind in _TYPES and isinstance(message, dict) and "content" in message else 0.0


def read(source: Source) -> Iterator[Run | BadLine]:
    """The one run of the file, after what could not be read of it."""
    source.is_strict = True
    session = _Session(source)
    for record in _records(source):
        if isinstance(record, BadLine):
            yield record
        else:
            session.take(record)
    if session.lines:
        yield session.run()


def _records(source: Source) -> Iterator[Record | BadLine]:
    if "loglines" not in source.head.keys:
        yield from source.records()
        return
    document = source.document().value
    entries = document.get("loglines") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        yield BadLine(None, "expected an object with a list loglines")
        return
    for index, entry in enumerate(entries):
        if isinstance(entry, dict):
            yield Record(index + 1, entry, orjson.dumps(entry, default=str))
        else:
            yield BadLine(None, f"logline {index}: expected a JSON object")


@dataclass(slots=True)
class _Lane:
    """One sub-agent inside the session's file."""

    name: str | None = None
    root: str | None = None  # uuid of its first line
    started_by: str | None = None  # uuid of the call that started it


@dataclass
class _Session:
    source: Source
    lines: list[Line] = field(default_factory=list)
    _common: dict[str, Any] = field(default_factory=dict)
    _sessions: Counter[str] = field(default_factory=Counter)
    _billed: dict[str, Line] = field(default_factory=dict)  # message id → its last line
    _clock: datetime | None = None

    def __post_init__(self) -> None:
        self._ids = Ids(self.source, "uuid")

    def take(self, record: Record) -> None:
        value = record.value
        line = read_line(value)
        step = line.step
        step.source_id = self._ids.of(line.uuid, record.data)
        step.timestamp = when(value.get("timestamp"), self.source)
        if step.timestamp is None and value.get("timestamp") is not None:
            line.extra["timestamp"] = value["timestamp"]
        step.span_id = line.uuid
        step.raw = self.source.own_bytes(record)
        self._clock = line.order = step.timestamp or self._clock
        for name in _COMMON:
            if name in value and value[name] is not None:
                self._common.setdefault(name, value[name])
        if isinstance(value.get("sessionId"), str):
            self._sessions[value["sessionId"]] += 1
        if line.message_id is not None and line.usage is not None:
            self._billed[line.message_id] = line
        self.lines.append(line)

    def run(self) -> Run:
        # Written by several processes at once, lines may come a little out of order.
        first = next((line.order for line in self.lines if line.order is not None), None)
        if first is not None:
            self.lines.sort(key=lambda line: line.order or first)
        self._pair()
        self._nest()
        self._finish_steps()
        return self._describe()

    def _pair(self) -> None:
        """Give results the name of their tool and calls their duration."""
        calls = {call["call_id"]: line for line in self.lines for call in line.calls if call.get("call_id")}
        for line in self.lines:
            for result in line.results:
                call = calls.get(result.get("call_id"))
                if call is None:
                    continue
                tool = next(c for c in call.calls if c.get("call_id") == result.get("call_id"))
                result["name"] = tool.get("name")
                line.answers = call
                lasted = elapsed_ms(call.step.timestamp, line.step.timestamp)
                if lasted is not None:
                    call.step.duration_ms = max(lasted, call.step.duration_ms or 0.0)
            if line.results:
                line.step.name = line.results[0].get("name")

    def _nest(self) -> None:
        """Put every line into its lane and under its parent."""
        lanes: dict[Any, _Lane] = {}
        lane_of: dict[str, _Lane] = {}
        started = {call["prompt"]: (line, call) for line in self.lines for call in line.starts}
        is_own_file = self._is_agent_file
        turn: str | None = None
        for line in self.lines:
            step = line.step
            lane = None if is_own_file else self._lane(line, lanes, lane_of, started)
            if line.uuid is not None and lane is not None:
                lane_of[line.uuid] = lane
            if line.answers is not None and line.answers.uuid is not None:
                step.parent_span_id = line.answers.uuid
            elif lane is not None:
                step.parent_span_id = lane.started_by if line.uuid == lane.root else lane.root
            elif line.is_prompt:
                turn = line.uuid
            else:
                step.parent_span_id = turn
            step.agent = lane.name if lane else None

    def _lane(self, line: Line, lanes: dict[Any, _Lane], lane_of: dict[str, _Lane], started: dict) -> _Lane | None:
        if not line.is_sidechain:
            return None
        known = lane_of.get(line.parent or "")
        key = line.agent_id or (None if known else line.uuid)
        if key is None:
            return known
        if key not in lanes:
            by, call = started.get(line.step.text, (None, {}))
            kind = call.get("kind") or "sub-agent"
            alike = sum(1 for lane in lanes.values() if (lane.name or "").rsplit(" #", 1)[0] == kind)
            name = f"{kind} #{alike + 1}" if alike else kind
            lanes[key] = _Lane(name, line.uuid, by.uuid if by else None)
        return lanes[key]

    @property
    def _is_agent_file(self) -> bool:
        return all(line.is_sidechain or not line.is_conversation for line in self.lines) and any(
            line.agent_id for line in self.lines
        )

    def _finish_steps(self) -> None:
        """Usage and cost once per answer; the fields that all lines share go to the run."""
        counted = {id(line) for line in self._billed.values()}
        for line in self.lines:
            step, extra = line.step, line.extra
            for name in _COMMON:
                if name in extra and extra[name] == self._common.get(name):
                    del extra[name]
            if line.usage is not None and (id(line) in counted or line.message_id is None):
                step.usage, step.cost_usd = _usage(line.usage), line.cost_usd
            step.extra = extra or None

    def _describe(self) -> Run:
        steps = [line.step for line in self.lines]
        common, session = self._common, self._session_id()
        is_agent = self._is_agent_file
        prompts = [line for line in self.lines if line.is_prompt and not line.is_sidechain]
        said = [s.text for s in steps if s.role == "assistant" and s.text and s.agent is None]
        texts = [line.step.text for line in (prompts or self.lines) if line.step.text and line.is_conversation]
        models = Counter(s.model for s in steps if s.model and not s.model.startswith("<"))
        times = [step.timestamp for step in steps if step.timestamp]
        run = Run(
            source_id=f"{session}/agent-{common['agentId']}" if is_agent else session,
            agent_type=f"{FORMAT}/sub-agent" if is_agent else FORMAT,
            name=self._title() or _called(texts) or session,
            model=models.most_common(1)[0][0] if models else None,
            started_at=min(times, default=None),
            completed_at=max(times, default=None),
            input={"prompt": texts[0]} if texts else None,
            output={"text": said[-1]} if said else None,
            usage=total(step.usage for step in steps),
            cost_usd=self._cost(steps),
            parent_source_id=session if is_agent else None,
            metadata=self._metadata(steps, prompts, models),
            steps=steps,
        )
        self._judge(run)
        return run

    def _session_id(self) -> str:
        """The id in the file's name if its lines carry it too (a resumed session may repeat lines of an older one)."""
        stem = self.source.file_name.rsplit(".", 1)[0]
        if stem in self._sessions:
            return stem
        if self._sessions:
            return next(iter(self._sessions))
        self.source.kept("session id", "not in the file: made from its first line")
        return line_id(orjson.dumps(self.lines[0].step.source_id))

    def _title(self) -> str | None:
        """The title the session was given. A file may also open with titles of other sessions of the project."""
        own = {line.uuid for line in self.lines}
        given = [line.title for line in self.lines if line.title and (line.title_of is None or line.title_of in own)]
        return title(given[-1]) if given else None

    def _cost(self, steps: list[Step]) -> float | None:
        costs = [step.cost_usd for step in steps if step.usage is not None]
        known = [cost for cost in costs if cost is not None]
        if known and len(known) < len(costs):
            self.source.changed("cost", _COSTS, len(costs) - len(known))
            return None
        return sum(known) if known else None

    def _metadata(self, steps: list[Step], prompts: list[Line], models: Counter) -> dict[str, Any]:
        out: dict[str, Any] = {**self._common, "isSidechain": self._common.get("isSidechain") or None}
        out["n_prompts"] = len(prompts)
        out["n_tool_calls"] = sum(len(line.calls) for line in self.lines)
        out["n_interruptions"] = sum(1 for line in self.lines if line.is_interruption) or None
        out["models"] = dict(models) if len(models) > 1 else None
        out["sessions"] = dict(self._sessions) if len(self._sessions) > 1 else None
        return {name: value for name, value in out.items() if value is not None}

    def _judge(self, run: Run) -> None:
        """How the session ended: the last line of its own conversation decides, whatever a sub-agent or /exit said."""
        own = (line for line in reversed(self.lines) if line.step.agent is None)
        last = next((line for line in own if line.is_work or line.is_interruption), None)
        if last is None:
            return
        if last.api_error is not None:
            run.status, run.error_type, run.error = "failed", "api_error", last.api_error
        elif last.is_interruption:
            run.status, run.error_type, run.error = "cancelled", "interrupted", last.step.text


def _called(prompts: Iterable[str]) -> str:
    """What a session without a title is called: its first prompt; its first slash command where there is only that."""
    commands = []
    for prompt in prompts:
        command = _COMMAND.search(prompt)
        if command is None:
            return title(prompt)
        name, words = command.groups()
        if words and words.strip():
            return title(f"{name} {words}")
        commands.append(name)
    return commands[0] if commands else ""


def _usage(usage: dict[str, Any]) -> Usage | None:
    found = Usage(
        input_tokens=count(usage.get("input_tokens")),
        cache_read_tokens=count(usage.get("cache_read_input_tokens")),
        cache_write_tokens=count(usage.get("cache_creation_input_tokens")),
        output_tokens=count(usage.get("output_tokens")),
        cache_write_1h_tokens=count(mapping(usage.get("cache_creation")).get("ephemeral_1h_input_tokens")),
    )
    return None if found == Usage() else found
