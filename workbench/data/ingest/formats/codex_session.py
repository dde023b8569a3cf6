"""What the lines of a Codex rollout say together, gathered in one pass that keeps no line.

A rollout may be larger than memory. The first pass keeps of each line what other lines need: a byte for what it does,
a number for what it says, a few for each call. With that the second pass (``codex_steps``) finishes the lines one after
the other.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from datetime import datetime

import numpy as np

from workbench.data.ingest.formats.codex_calls import Call, Calls
from workbench.data.ingest.formats.codex_course import Course
from workbench.data.ingest.formats.codex_event import ENDS as TOLD
from workbench.data.ingest.formats.codex_event import Line
from workbench.data.ingest.formats.codex_line import read_line
from workbench.data.ingest.formats.codex_outcome import ENDS, STARTS, Verdict, error_of, verdict_of
from workbench.data.ingest.formats.codex_said import Said
from workbench.data.ingest.normal import BadLine, Usage
from workbench.data.ingest.reading.chat import number, text_or_none
from workbench.data.ingest.reading.identity import Ids, line_id
from workbench.data.ingest.reading.source import Record, Source
from workbench.data.ingest.reading.times import elapsed_ms, when

# What a line does. The last four are set of events as if they stood alone, until all lines have been taken.
COPIED, BREAK, ECHO, ASSISTANT, PROMPT, ANSWER = (1 << n for n in range(6))
_KEPT_TEXTS = 20  # from the beginning of a session: one of them is its prompt


class Session:
    """The first pass over the lines of one file.

    Parameters
    ----------
    records
        Its lines, where they are not those of the file.
    """

    def __init__(self, source: Source, records: Sequence[Record | BadLine] | None = None) -> None:
        self.source = source
        self._records = records
        self.course = Course(source)
        self.calls = Calls()
        self.usage: Usage | None = None
        self.started_at: datetime | None = None
        self._ended_at: datetime | None = None
        self.first_id: str | None = None
        self.last_copied: str | None = None  # id of the last copied line that has one in the source
        self.threads: list[tuple[str, str | None, str]] = []  # thread started here, call_id, the line that says so
        self.turns: dict[int, float | None] = {}  # line that starts a task → how long that took
        self.n_interruptions = self.n_tool_calls = 0
        self._n_dated = 0
        self._names: dict[str | None, tuple[int, str | None]] = {}  # thread (None: not named) → line, its last name
        self._verdict: Verdict | None = None
        self._error: Verdict | None = None  # of the last line that is an error
        self._is_open = False  # the last task that was started did not end
        self._turn: tuple[int, datetime | None] | None = None
        self._ids = Ids(source)
        self._renamed: dict[int, str] = {}  # line → its id, where a line before has the same
        self._said = Said()
        self._acts = bytearray()  # by line: what it does
        self._told, self._told_lines = list[Call](), array("q")  # calls that an event tells of, and the events
        self._texts: dict[int, str] = {}  # of lines that may be the prompt
        self._answers: dict[str, tuple[int, str]] = {}  # item or event → the last that may be the answer

    @property
    def n_lines(self) -> int:
        """How many lines were taken."""
        return len(self._acts)

    def records(self) -> Iterator[Record | BadLine]:
        """The lines, parsed, each time anew."""
        return self.source.records() if self._records is None else iter(self._records)

    # The first pass -----------------------------------------------------------------------------------------------

    def take(self, record: Record) -> Line | BadLine:
        """The line of a record, as far as it and those before it tell; what others need of it is kept."""
        line, n = read_line(record.value), self.n_lines
        if isinstance(line, str):
            return BadLine(record.line, line, record.data)
        own = self._ids.of(line.own_id, record.data)
        if own != line.own_id and "#" in own:
            self._renamed[n] = own
        self._date(line, own, record)
        self.course.take(line)
        self.first_id = self.first_id or own
        if line.step.usage is not None:
            self.usage = line.step.usage if self.usage is None else self.usage + line.step.usage
        self._said.take(line, n)
        self._pair(line)
        self._time(line)
        if not line.is_copied:
            self._judge(line)
        elif line.own_id:
            self.last_copied = own
        thread = text_or_none(line.payload.get("new_thread_id"))
        if line.type == "collab_agent_spawn_end" and thread is not None:
            self.threads.append((thread, line.call_id, own))
        self._acts.append(self._act(line))
        return line

    def _date(self, line: Line, own: str, record: Record) -> None:
        step, written = line.step, record.value.get("timestamp")
        step.source_id = step.span_id = own
        step.timestamp = when(written, self.source)
        if step.timestamp is None and written is not None:
            key = "line_timestamp" if "timestamp" in (step.extra or {}) else "timestamp"
            step.extra = {**(step.extra or {}), key: written}
        step.raw = self.source.own_bytes(record)

    def _pair(self, line: Line) -> None:
        call = self.calls.take(line, self.n_lines)
        if line.step.event_type == "tool_call":
            self.n_tool_calls += not line.is_copied
        elif call is not None and line.kind == "event_msg" and line.type in TOLD:
            self._told.append(call)
            self._told_lines.append(self.n_lines)

    def _time(self, line: Line) -> None:
        """A task lasts from the line that starts it to the next that ends one."""
        if line.type in STARTS:
            self._turn = self.n_lines, line.step.timestamp
        elif line.type in ENDS:
            if self._turn is not None:
                told = number(line.payload.get("duration_ms"))
                n, at = self._turn
                self.turns[n] = elapsed_ms(at, line.step.timestamp) if told is None else told
            self._turn = None

    def _judge(self, line: Line) -> None:
        """Keep up with when the session's own lines were written, what it is called and how it stands."""
        n, moment = self.n_lines, line.step.timestamp
        if moment is not None:
            self._n_dated += 1
            self.started_at = moment if self.started_at is None else min(self.started_at, moment)
            self._ended_at = moment if self._ended_at is None else max(self._ended_at, moment)
        if line.type in STARTS or line.type in ENDS:
            self._is_open = line.type in STARTS
        self.n_interruptions += line.type == "turn_aborted"
        self._verdict = verdict_of(line, n, self._error) or self._verdict
        if line.type == "error":
            self._error = error_of(line, n)
        thread = line.payload.get("thread_id")
        if line.type == "thread_name_updated" and (isinstance(thread, str) or "thread_id" not in line.payload):
            self._names[thread] = n, text_or_none(line.payload.get("thread_name"))

    def _act(self, line: Line) -> int:
        step, n, is_event = line.step, self.n_lines, line.kind == "event_msg"
        is_prompt, is_assistant = line.is_prompt, step.role == "assistant"
        is_answer = is_assistant and step.event_type == "message" and bool(step.text)
        if is_event:
            is_prompt = line.type == "user_message" and bool(step.text)
            is_assistant = line.type in TOLD or (bool(line.said) and line.type != "user_message")
            is_answer = line.type == "agent_message" and bool(step.text)
        if is_prompt and step.text and not line.is_copied and len(self._texts) < _KEPT_TEXTS:
            self._texts[n] = step.text
        if is_answer and step.text:
            self._answers[line.kind] = n, step.text
        does = (line.is_copied, line.type in STARTS, False, is_assistant, is_prompt, is_answer)
        return sum(flag << place for place, flag in enumerate(does))

    # The second pass ----------------------------------------------------------------------------------------------

    def again(self) -> Iterator[tuple[int, Line]]:
        """The same lines once more, with their numbers."""
        course, n = Course(self.source), 0
        for record in self.records():
            line = read_line(record.value) if isinstance(record, Record) else None
            if isinstance(record, BadLine) or not isinstance(line, Line):
                continue
            self._date(line, self._renamed.get(n) or line.own_id or line_id(record.data), record)
            course.take(line)
            yield n, line
            n += 1

    def does(self, n: int, act: int) -> bool:
        """What a line does, when all have been taken."""
        return bool(self._acts[n] & act)

    # What it came to ----------------------------------------------------------------------------------------------

    def close(self) -> None:
        """All lines have been taken: tell the events that stand alone from those that repeat an item."""
        acts = np.frombuffer(self._acts, dtype=np.uint8)
        echoes, not_typed = self._said.match()
        told = np.frombuffer(self._told_lines, dtype=np.int64) if self._told else np.empty(0, dtype=np.int64)
        is_item = np.fromiter((call.is_item for call in self._told), dtype=bool, count=len(self._told))
        self.n_tool_calls += int((acts[told[~is_item]] & COPIED == 0).sum())
        for lines in (echoes, told[is_item]):
            acts[lines] &= COPIED
            acts[lines] |= ECHO
        if self._said.has_prompts:  # what the user typed is told by its event, not by how it begins
            acts[not_typed] &= 0xFF - PROMPT
        self._told, self._told_lines = [], array("q")
        self._said, self._ids = Said(), Ids(self.source)  # of no use from here on, and large

    @property
    def completed_at(self) -> datetime | None:
        """When the last line was written; not known where only the first of several has a time."""
        return None if self._n_dated == 1 < self.n_lines else self._ended_at

    @property
    def n_prompts(self) -> int:
        """How often the user of this session typed something."""
        return int((self._own & PROMPT != 0).sum())

    @property
    def prompt(self) -> str | None:
        """What the user typed first."""
        found = np.flatnonzero(self._own & PROMPT)
        return self._text(int(found[0])) if found.size else None

    @property
    def answer(self) -> str | None:
        """What was said last, be it copied."""
        found = np.flatnonzero(np.frombuffer(self._acts, dtype=np.uint8) & ANSWER)
        return self._text(int(found[-1])) if found.size else None

    @property
    def _own(self) -> np.ndarray:
        acts = np.frombuffer(self._acts, dtype=np.uint8)
        return np.where(acts & COPIED, 0, acts)

    def _text(self, number: int) -> str | None:
        """The text of a line: one of those kept, or else it is read again."""
        known = {**self._texts, **dict(self._answers.values())}
        if number in known:
            return known[number]
        return next((line.step.text for n, line in self.source.again(self.again()) if n == number), None)

    def name(self, session: str) -> str | None:
        """The name the session was given last."""
        given = [self._names[thread] for thread in (None, session) if thread in self._names]
        return max(given)[1] if given else None

    @property
    def verdict(self) -> Verdict | None:
        """How the session ended, by its last turn; ``None`` where nothing speaks against its being complete."""
        own, told = self._own, self._verdict
        after = own if told is None else own[told.line + 1 :]
        if (after & (ASSISTANT | PROMPT)).any():
            return Verdict(self.n_lines, "running") if self._is_open else None
        if told is None or told.before is None:
            return told
        between = own[told.before.line + 1 : told.line]
        return told if (between & (ASSISTANT | BREAK)).any() else told.before
