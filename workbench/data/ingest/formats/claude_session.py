"""What the lines of a Claude Code session say together, gathered in one pass that keeps no line.

A session may be larger than memory. The first pass keeps of each line what other lines need: a number or two for its
place, an id for each call and each answer of the model. With that the second pass (``claude_steps``) finishes the lines
one after the other.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import numpy as np

from workbench.data.ingest.formats.claude_line import Line, read_line
from workbench.data.ingest.normal import Link, Mark, Usage
from workbench.data.ingest.reading.chat import count, mapping
from workbench.data.ingest.reading.identity import Ids, line_id
from workbench.data.ingest.reading.places import Places
from workbench.data.ingest.reading.source import Record, Source
from workbench.data.ingest.reading.times import when

# Repeated on every line; kept on a line only where it differs from the run's.
COMMON = ("sessionId", "cwd", "gitBranch", "version", "userType", "slug", "agentId", "isSidechain")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_US = timedelta(microseconds=1)
_NEVER = -(2**63)
_FOREVER = 2**63
_NO_USAGE = Usage()
_OPENINGS = 100  # texts from the beginning of a session, one of which gives it its name
_OPENING_CHARS = 2_000
_COPIED = "of a line copied from the session that this one forked from: counted there, as they were in data.extra"

Place = tuple[int, int]  # the time of a line, its number in the file


class Call(NamedTuple):
    """A call of a tool: the number and uuid of its line, and the tool."""

    line: int
    uuid: str | None
    name: Any


class Bill(NamedTuple):
    """What one answer of the model used: at which line that is counted, the tokens, the cost."""

    line: int
    usage: Usage | None
    cost_usd: float | None


class Said(NamedTuple):
    """A text of the conversation and where it stands; ``error`` where it tells of one."""

    place: Place
    text: str | None
    is_interruption: bool = False
    error: str | None = None


@dataclass(slots=True)
class Lane:
    """What the main conversation, or the whole file, came to."""

    last_answer: Said | None = None
    last_work: Said | None = None

    def take(self, said: Said, *, is_answer: bool, is_work: bool) -> None:
        """Keep up with a line."""
        if is_answer and (self.last_answer is None or said.place > self.last_answer.place):
            self.last_answer = said
        if is_work and (self.last_work is None or said.place > self.last_work.place):
            self.last_work = said


@dataclass(slots=True)
class Openings:
    """The texts that come first, shortened, and the very first as it is."""

    first: Said | None = None
    _texts: list[Said] = field(default_factory=list)

    def take(self, text: str | None, place: Place) -> None:
        """Take a text, if it is one."""
        if not text:
            return
        if self.first is None or place < self.first.place:
            self.first = Said(place, text)
        self._texts.append(Said(place, text[:_OPENING_CHARS]))
        if len(self._texts) > 2 * _OPENINGS:
            self._texts = sorted(self._texts)[:_OPENINGS]

    @property
    def texts(self) -> list[str]:
        """In the order of the session."""
        return [said.text or "" for said in sorted(self._texts)]


class Session:
    """The first pass over the lines of one file."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.n_lines = 0
        self.common: dict[str, Any] = {}
        self.sessions: Counter[str] = Counter()
        self.models: Counter[str] = Counter()
        self.calls: dict[str, Call] = {}  # by call_id
        self.answered: dict[str, datetime] = {}  # call_id → the time of its last result
        self.starts: dict[str, tuple[str | None, str | None]] = {}  # prompt of a sub-agent → uuid of the call, kind
        self.bills: dict[str, Bill] = {}  # by message id: its last line
        self.loose: list[Bill] = []  # of answers without an id
        self.main, self.whole = Lane(), Lane()
        self.prompts, self.conversation = Openings(), Openings()
        self.n_prompts = self.n_tool_calls = self.n_interruptions = 0
        self.started_at: datetime | None = None
        self.completed_at: datetime | None = None
        self.first_id: str | None = None
        self.ids = Ids(source, "uuid")
        self.reported: dict[str, Any] = {}  # the last line that sums up the session
        self._titles: list[tuple[str, str | None]] = []
        self._renamed: dict[int, str] = {}  # line number → its id, where a line before has the same
        self._times = array("q")
        self._clock = _NEVER
        self._common_at: dict[str, int] = {}  # when that was said first
        self._late = bytearray()  # by line: whether it was written behind one of a later time
        self.places = Places()
        self.results: set[str] = set()  # call_ids that have a result
        self.agents: dict[str, str] = {}  # id of a sub-agent with a file of its own → call_id
        self.resumes: str | None = None  # uuid of a line of another session that this one goes on from
        self._boundaries: list[str] = []  # the lines that the conversation, each time compacted, goes on from
        self._fork: tuple[str, str | None] | None = None  # the session it went another way from, the last line of that
        self._copied: set[str] = set()  # answers of the model that were copied from there
        self._latest = _NEVER
        self._last_of: dict[str, str] = {}  # session → uuid of its last line here
        self._usage: tuple[Any, Usage | None] = None, None  # of the last line that has one
        self._is_begun = False
        self._has_agent_id = False
        self._is_all_agent = True

    # The first pass -----------------------------------------------------------------------------------------------

    def take(self, record: Record) -> Line:
        """The line of a record, as far as it can be told alone; what others need of it is kept."""
        line = self._read(record)
        step, n = line.step, self.n_lines
        if line.forked_from is not None and not line.is_sidechain:
            self._fork = line.forked_from
        if line.continues is not None and not line.is_sidechain:
            self._boundaries.append(line.continues)
        own = self.ids.of(line.uuid, record.data)
        if own != line.uuid:
            self._renamed[n] = own
        step.source_id = own
        self.first_id = self.first_id or own
        self.places.take(record)
        self._place(step.timestamp)
        self._follow(line, (self._times[n], n))
        self._pair(line)
        value = record.value
        for name in COMMON:
            if name in value and self._clock < self._common_at.get(name, _FOREVER) and value[name] is not None:
                self.common[name], self._common_at[name] = value[name], self._clock
        if value.get("type") == "result":
            self.reported = value
        if isinstance(value.get("sessionId"), str):
            self.sessions[value["sessionId"]] += 1
            if line.uuid is not None:
                self._last_of[value["sessionId"]] = line.uuid
        told = value.get("toolUseResult")
        if line.results and isinstance(told, dict) and isinstance(told.get("agentId"), str):
            self.agents[told["agentId"]] = str(line.results[0].get("call_id"))
        self.n_lines += 1
        return line

    def reread(self, number: int, record: Record) -> Line:
        """The same line in the second pass."""
        line = self._read(record)
        line.step.source_id = self._renamed.get(number) or line.uuid or line_id(record.data)
        return line

    def _read(self, record: Record) -> Line:
        value = record.value
        line = read_line(value)
        step = line.step
        step.timestamp = when(value.get("timestamp"), self.source)
        if step.timestamp is None and value.get("timestamp") is not None:
            line.extra["timestamp"] = value["timestamp"]
        step.span_id = line.uuid
        step.raw = self.source.own_bytes(record)
        if line.usage is not None and self._is_copied(line):
            line.usage = line.cost_usd = None
        return line

    def _is_copied(self, line: Line) -> bool:
        """Whether a line was copied from another session; such lines may come twice, the second time unmarked."""
        if line.forked_from is None:
            return line.message_id in self._copied
        if line.message_id is not None and line.message_id not in self._copied:
            self._copied.add(line.message_id)
            self.source.changed("tokens", _COPIED)
        return True

    def _place(self, moment: datetime | None) -> None:
        is_late = False
        if moment is not None:
            self._clock = (moment - _EPOCH) // _US
            is_late = self._clock < self._latest
            if not is_late:
                self._latest, self.completed_at = self._clock, moment
            if self.started_at is None or moment < self.started_at:
                self.started_at = moment
        self._times.append(self._clock)
        self._late.append(is_late)

    def _follow(self, line: Line, place: Place) -> None:
        step, is_interruption = line.step, line.is_interruption
        is_answer, is_work = step.role == "assistant" and bool(step.text), is_interruption or line.is_work
        if is_answer or is_work:
            said = Said(place, step.text, is_interruption, line.api_error)
            for lane in (self.whole,) if line.is_sidechain else (self.whole, self.main):
                lane.take(said, is_answer=is_answer, is_work=is_work)
        if line.is_conversation:
            self.conversation.take(step.text, place)
        if line.uuid is not None and not line.is_sidechain and not self._is_begun:
            # The first line of a session that goes on from another names the line it goes on from.
            self._is_begun, self.resumes = True, line.parent
        if line.is_prompt and not line.is_sidechain:
            self.n_prompts += 1
            self.prompts.take(step.text, place)
        self.n_interruptions += is_interruption
        self._has_agent_id = self._has_agent_id or line.agent_id is not None
        self._is_all_agent = self._is_all_agent and (line.is_sidechain or not line.is_conversation)
        if step.model and not step.model.startswith("<"):
            self.models[step.model] += 1
        if line.title:
            self._titles.append((line.title, line.title_of))

    def _pair(self, line: Line) -> None:
        n, step = self.n_lines, line.step
        self.n_tool_calls += len(line.calls)
        for call in line.calls:
            call_id = call.get("call_id")
            if isinstance(call_id, str) and call_id:
                self.calls[call_id] = Call(n, line.uuid, call.get("name"))
        for result in line.results:
            call_id = result.get("call_id")
            if isinstance(call_id, str):
                self.results.add(call_id)
            if isinstance(call_id, str) and step.timestamp is not None:
                self.answered[call_id] = max(self.answered.get(call_id, step.timestamp), step.timestamp)
        for start in line.starts:
            self.starts[start["prompt"]] = line.uuid, start["kind"]
        if line.usage is None:
            return
        if line.usage != self._usage[0]:  # the lines of one answer repeat it
            self._usage = line.usage, usage_of(line.usage)
        bill = Bill(n, self._usage[1], line.cost_usd)
        if line.message_id is not None:
            known = self.bills.get(line.message_id)
            if known is None or self._is_later(bill, known):
                self.bills[line.message_id] = bill
        else:
            self.loose.append(bill)

    def _is_later(self, bill: Bill, known: Bill) -> bool:
        """By time, wherever the lines stand; of two at one moment the one that has counted further."""
        at, before = self._times[bill.line], self._times[known.line]
        made, had = (bill.usage and bill.usage.output_tokens) or 0, (known.usage and known.usage.output_tokens) or 0
        return (at, made) >= (before, had)

    # What it came to ----------------------------------------------------------------------------------------------

    @property
    def is_agent_file(self) -> bool:
        """Whether the file holds one sub-agent and nothing of the session that started it."""
        return self._is_all_agent and self._has_agent_id

    def mark_of(self, number: int, line: Line) -> Mark | None:
        """What the place of a line lacks, when all have been taken."""
        calls = [call.get("call_id") for call in line.calls]
        if any(isinstance(call, str) and call not in self.results for call in calls):
            return "unfinished"
        answers = [result.get("call_id") for result in line.results]
        if answers and not any(isinstance(call, str) and call in self.calls for call in answers):
            return "orphaned"
        if line.parent is not None and line.parent not in self.ids and line.parent != self.resumes:
            return "orphaned"
        return "out_of_order" if self._late[number] else None

    def before(self, own: str) -> tuple[str | None, str | None, Link | None]:
        """The session that this one goes on from, where its lines say so, the line there, and how it goes on.

        A title (``summary``) with a line of another session proves nothing: files open with titles of many sessions.
        """
        if self._fork is not None and self._fork[0] != own:
            return *self._fork, "forked"
        before = next((session for session in self.sessions if session != own), None)
        if before is not None:
            return before, self._last_of.get(before), "resumed"
        if self.resumes is not None and self.resumes not in self.ids:
            return None, self.resumes, "resumed"
        compacted = next((line for line in self._boundaries if line not in self.ids), None)
        return None, compacted, "continued" if compacted is not None else None

    @property
    def own_lane(self) -> Lane:
        """The conversation that the file is about."""
        return self.whole if self.is_agent_file else self.main

    @property
    def title(self) -> str | None:
        """The title the session was given last. A file may also open with titles of other sessions of the project."""
        given = [name for name, line in self._titles if line is None or line in self.ids]
        return given[-1] if given else None

    @property
    def paid(self) -> list[Bill]:
        """What is counted: each answer of the model once."""
        return [*self.bills.values(), *self.loose]

    def order(self) -> array[int] | None:
        """The numbers of the lines in the order of time; ``None`` where that is the order of the file."""
        times = np.frombuffer(self._times, dtype=np.int64).copy()
        dated = times[times != _NEVER]
        if not dated.size:
            return None
        times[times == _NEVER] = dated[0]
        if bool((times[1:] >= times[:-1]).all()):
            return None
        return array("q", np.argsort(times, kind="stable").astype(np.int64).tobytes())


def usage_of(usage: Mapping[str, Any]) -> Usage | None:
    """The tokens of one answer of the model; ``None`` where it names none."""
    found = Usage(
        input_tokens=count(usage.get("input_tokens")),
        cache_read_tokens=count(usage.get("cache_read_input_tokens")),
        cache_write_tokens=count(usage.get("cache_creation_input_tokens")),
        output_tokens=count(usage.get("output_tokens")),
        cache_write_1h_tokens=count(mapping(usage.get("cache_creation")).get("ephemeral_1h_input_tokens")),
    )
    return None if found == _NO_USAGE else found
