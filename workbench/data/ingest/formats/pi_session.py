"""What the entries of a pi session say together, gathered in one pass that keeps no entry.

A session may be larger than memory. The first pass keeps of each entry what others need: a byte for what it does, a few
numbers for its place in the tree and in time, a little for each call. With that the second pass (``pi_steps``) finishes
the entries one after the other.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from workbench.data.ingest.formats.pi_entry import Entry, read_entry
from workbench.data.ingest.formats.pi_tree import Tree
from workbench.data.ingest.normal import Usage
from workbench.data.ingest.reading.chat import TITLE_CHARS, text_or_none
from workbench.data.ingest.reading.identity import Ids, line_id
from workbench.data.ingest.reading.source import Record, Source
from workbench.data.ingest.reading.times import when

PROMPT, ASKED, ANSWER, NAMED, MESSAGE, ABORTED, FAILED = (1 << n for n in range(7))  # what an entry does
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_US = timedelta(microseconds=1)
_NEVER = 2**63 - 1
_KEPT_TEXTS = 20  # from the beginning of a session: one of them is its prompt
_NAME_CHARS = 4 * TITLE_CHARS  # more of a name is not looked at


@dataclass(slots=True)
class Call:
    """What the entries of one call_id say: the last that calls, the latest answer."""

    n: int = -1
    span: str | None = None
    at: datetime | None = None
    is_answered: bool = False
    answered_at: datetime | None = None


@dataclass(slots=True)
class _Bill:
    """What one call of the model used."""

    at: int
    usage: Usage | None
    cost_usd: float | None
    is_unpriced: bool


class Session:
    """The first pass over the lines of one file."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.header: Mapping[str, Any] = {}
        self.above: str | None = None  # the file of the session this one was forked from
        self.calls: dict[str, Call] = {}
        self.models: Counter[str] = Counter()
        self.first_id: str | None = None
        self.n_tool_calls = self.n_interruptions = 0
        self.tree = Tree()
        # What counts here, not in the session this one was forked from.
        self.usage: Usage | None = None
        self.prices = array("d")
        self.n_billed = self.n_unpriced = 0
        self._began: datetime | None = None
        self._waiting: list[_Bill] | None = []  # until the header says what is copied
        self._ids = Ids(source)
        self._renamed: dict[int, str] = {}  # entry → its id, where one before has the same
        self._times = array("q")
        self._acts = bytearray()
        self._texts: dict[int, str] = {}  # of entries that may be the prompt
        self._names: dict[int, str | None] = {}  # by entry: the name that it gives the session
        self._answer: tuple[int, str | None] = -1, None  # the last, on whatever branch
        self._failure: tuple[int, str | None] = -1, None

    @property
    def n_lines(self) -> int:
        """How many entries were taken."""
        return len(self._acts)

    # The first pass -----------------------------------------------------------------------------------------------

    def take(self, record: Record) -> Entry:
        """The entry of a record, as far as it can be told alone; what others need of it is kept."""
        entry, n = read_entry(record.value), self.n_lines
        own = self._ids.of(entry.id, record.data)
        if own != entry.id and "#" in own:
            self._renamed[n] = own
        self._date(entry, own, record)
        self.first_id = self.first_id or own
        moment = entry.step.timestamp
        self._times.append(_NEVER if moment is None else (moment - _EPOCH) // _US)
        self.tree.take(entry)
        if entry.type == "session" and not self.header:
            self._begin(record.value, moment)
        self._pair(entry)
        if entry.step.usage is not None or entry.is_unpriced:
            self._bill(_Bill(self._times[n], entry.step.usage, entry.step.cost_usd, entry.is_unpriced))
        if entry.step.model:
            self.models[entry.step.model] += 1
        self.n_interruptions += entry.stop == "aborted"
        self._acts.append(self._act(entry))
        return entry

    def _date(self, entry: Entry, own: str, record: Record) -> None:
        step, written = entry.step, record.value.get("timestamp")
        step.source_id = step.span_id = own
        step.timestamp = when(written, self.source)
        if step.timestamp is None and written is not None:
            entry.extra["timestamp"] = written
        step.raw = self.source.own_bytes(record)

    def _begin(self, header: Mapping[str, Any], moment: datetime | None) -> None:
        self.header, self._began = header, moment
        self.above = text_or_none(header.get("parentSession")) or text_or_none(header.get("branchedFrom"))
        self._settle()

    def _settle(self) -> None:
        """Count what was used before it was known what is copied."""
        waiting, self._waiting = self._waiting or [], None
        for bill in waiting:
            self._bill(bill)

    def _bill(self, bill: _Bill) -> None:
        if self._waiting is not None:
            self._waiting.append(bill)
        elif bill.at >= self._since:
            self.n_unpriced += bill.is_unpriced
            if bill.usage is not None:
                self.usage = bill.usage if self.usage is None else self.usage + bill.usage
                self.n_billed += 1
                if bill.cost_usd is not None:
                    self.prices.append(bill.cost_usd)

    @property
    def _since(self) -> int:
        """What is older was copied."""
        return -_NEVER if self.above is None or self._began is None else (self._began - _EPOCH) // _US

    def _pair(self, entry: Entry) -> None:
        self.n_tool_calls += len(entry.calls)
        for told in entry.calls:
            if isinstance(call_id := told.get("call_id"), str) and call_id:
                call = self.calls.setdefault(call_id, Call())
                call.n, call.span, call.at = self.n_lines, entry.step.span_id, entry.step.timestamp
        if entry.answers is not None:
            call, moment = self.calls.setdefault(entry.answers, Call()), entry.step.timestamp
            call.is_answered = True
            if moment is not None:
                call.answered_at = moment if call.answered_at is None else max(call.answered_at, moment)

    def _act(self, entry: Entry) -> int:
        step, n = entry.step, self.n_lines
        is_asked = entry.is_prompt and bool(step.text)
        is_answer = step.role == "assistant" and bool(step.text)
        is_named, is_failed = entry.type == "session_info", step.error is not None and entry.stop == "error"
        if is_asked and step.text and len(self._texts) < _KEPT_TEXTS:
            self._texts[n] = step.text
        if is_answer:
            self._answer = n, step.text
        if is_named:
            self._names[n] = step.text and step.text[:_NAME_CHARS]
        if is_failed and step.error is not None:
            self._failure = n, str(step.error["message"])
        return (
            entry.is_prompt * PROMPT
            | is_asked * ASKED
            | is_answer * ANSWER
            | is_named * NAMED
            | (entry.type == "message") * MESSAGE
            | (entry.stop == "aborted") * ABORTED
            | is_failed * FAILED
        )

    # The second pass ----------------------------------------------------------------------------------------------

    def again(self) -> Iterator[tuple[int, Entry]]:
        """The same entries once more, with their numbers."""
        records = (record for record in self.source.records() if isinstance(record, Record))
        for n, record in enumerate(records):
            entry = read_entry(record.value)
            self._date(entry, self._renamed.get(n) or entry.id or line_id(record.data), record)
            yield n, entry

    # What it came to ----------------------------------------------------------------------------------------------

    def close(self) -> None:
        """All entries have been taken: tell the branch where the session stands, and what was copied."""
        self._settle()
        self._ids = Ids(self.source)  # of no use from here on, and large
        acts = np.frombuffer(self._acts, dtype=np.uint8)
        self.tree.grow(acts & PROMPT != 0)
        self.is_copied = np.frombuffer(self._times, dtype=np.int64) < self._since
        self._active = np.where(self.tree.is_active, acts, 0)
        self._own = np.where(self.is_copied, 0, self._active)

    @property
    def n_prompts(self) -> int:
        """How often the user of this session typed something."""
        return int((self._own & PROMPT != 0).sum())

    @property
    def prompt(self) -> str | None:
        """What the user typed first; in a fork where nothing was typed, what was typed first before it."""
        first = next(
            (int(found[0]) for acts in (self._own, self._active) if (found := np.flatnonzero(acts & ASKED)).size), None
        )
        return None if first is None else self._texts[first] if first in self._texts else self._entry(first).step.text

    @property
    def answer(self) -> str | None:
        """What was said last on the branch where the session stands."""
        n = _last(self._active, ANSWER)
        return None if n is None else self._answer[1] if n == self._answer[0] else self._entry(n).step.text

    @property
    def name(self) -> str | None:
        """The name the session was given last."""
        n = _last(self._active, NAMED)
        return None if n is None else self._names[n]

    @property
    def failure(self) -> str | None:
        """The error that the session's last message tells of."""
        n = _last(self._own, MESSAGE)
        if n is None or not self._own[n] & FAILED:
            return None
        return self._failure[1] if n == self._failure[0] else str((self._entry(n).step.error or {})["message"])

    @property
    def is_interrupted(self) -> bool:
        """Whether the session's last message is one that the user broke off."""
        n = _last(self._own, MESSAGE)
        return n is not None and bool(self._own[n] & ABORTED)

    @property
    def times(self) -> tuple[datetime | None, datetime | None]:
        """When the first and the last of the session's own entries were written."""
        times = np.frombuffer(self._times, dtype=np.int64)[self.tree.is_active & ~self.is_copied]
        times = times[times != _NEVER]
        if not times.size:
            return None, None
        return _EPOCH + int(times.min()) * _US, _EPOCH + int(times.max()) * _US

    @property
    def last_copied(self) -> str | None:
        """The id of the last copied entry."""
        found = np.flatnonzero(self.is_copied)
        return self._entry(int(found[-1])).step.source_id if found.size else None

    def _entry(self, number: int) -> Entry:
        """An entry, read again."""
        return next(entry for n, entry in self.source.again(self.again()) if n == number)


def _last(acts: np.ndarray, act: int) -> int | None:
    found = np.flatnonzero(acts & act)
    return int(found[-1]) if found.size else None
