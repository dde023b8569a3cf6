"""pi sessions: ``~/.pi/agent/sessions/<project>/<time>_<uuid>.jsonl``.

One line is one step. Since version 2 the entries form a tree (``parentId``) whose last entry is where the session
stands: what does not lie between it and the root was abandoned, and is kept, in a lane of its own and marked
(``is_off_branch``). ``parentId`` links each entry to the one before, so for nesting a result is put under its call and
the rest under the user's prompt; ``parentId`` itself stays in ``data.extra``. pi is the one format with a cost in USD
per call. A forked session begins with a copy of entries of the session it came from: marked (``is_copied``), their
tokens and cost belong to the parent.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from workbench.data.ingest.chat import known, last_answer, mapping, rest, text_or_none, title
from workbench.data.ingest.formats.pi_entry import Entry, read_entry
from workbench.data.ingest.identity import Ids, line_id
from workbench.data.ingest.normal import BadLine, Run, total
from workbench.data.ingest.source import Head, Record, Source
from workbench.data.ingest.times import elapsed_ms, when

FORMAT = "pi"
TITLE = "pi sessions (.jsonl)"
HAS_PARENTS = True  # a fork may be read before or after the session it came from

_ROLES = ("user", "assistant", "toolResult", "bashExecution")
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_COPY = "copied from the session this one was forked from: marked is_copied, its tokens and cost count there"
_OFF = "not on the branch where the session stands: kept and marked is_off_branch"
_MISSING = "some model calls have no cost: the run's cost is unknown, stored as null (unpriced)"
_UNPRICED = "recorded as 0.0 although tokens were used: the recorder knew no price, stored as null (unpriced)"


def detect(head: Head) -> float:
    """How surely the file is one of these."""
    return max((_likeness(record) for record in head.records if isinstance(record, dict)), default=0.0)


def _likeness(record: dict[str, Any]) -> float:
    kind = record.get("type")
    if kind == "session" and {"id", "timestamp", "cwd"} <= record.keys():
        return 0.95
    if kind == "message" and "timestamp" in record and mapping(record.get("message")).get("role") in _ROLES:
        return 0.8
    if kind == "model_change" and "modelId" in record:
        return 0.8
    return 0.8 if kind == "thinking_level_change" and "thinkingLevel" in record else 0.0


def read(source: Source) -> Iterator[Run | BadLine]:
    """The one run of the file, after what could not be read of it."""
    source.is_strict = True
    session = _Session(source)
    for record in source.records():
        if isinstance(record, BadLine):
            yield record
        else:
            session.take(record)
    if session.entries:
        yield session.run()


@dataclass
class _Session:
    source: Source
    entries: list[Entry] = field(default_factory=list)
    _header: Mapping[str, Any] = field(default_factory=dict)
    _began: datetime | None = None
    _above: str | None = None  # the file of the session this one was forked from

    def __post_init__(self) -> None:
        self._ids = Ids(self.source)

    def take(self, record: Record) -> None:
        value = record.value
        entry = read_entry(value)
        step = entry.step
        step.source_id = step.span_id = self._ids.of(entry.id, record.data)
        step.timestamp = when(value.get("timestamp"), self.source)
        if step.timestamp is None and value.get("timestamp") is not None:
            entry.extra["timestamp"] = value["timestamp"]
        step.raw = self.source.own_bytes(record)
        if entry.type == "session" and not self._header:
            self._header, self._began = value, step.timestamp
            self._above = text_or_none(value.get("parentSession")) or text_or_none(value.get("branchedFrom"))
        self.entries.append(entry)

    def run(self) -> Run:
        parents = self._parents()
        active = self._branch(parents)
        self._mark_copies()
        self._nest(parents, active)
        for entry in self.entries:
            entry.step.extra = entry.extra or None
        return self._describe([entry for n, entry in enumerate(self.entries) if n in active])

    def _parents(self) -> list[int | None]:
        """By position: the position of the entry before it in the conversation.

        Without ids, and where the line of the parent could not be read, that is the line before. pi only ever appends:
        a parent further down is none.
        """
        places = {entry.id: n for n, entry in enumerate(self.entries) if entry.id is not None}
        out: list[int | None] = []
        last: int | None = None
        for n, entry in enumerate(self.entries):
            if entry.type == "session" or (entry.id is not None and entry.parent is None):
                out.append(None)
            else:
                before = places.get(entry.parent or "", n)
                out.append(before if before < n else last)
            last = last if entry.type == "session" else n
        return out

    def _branch(self, parents: list[int | None]) -> set[int]:
        """Where the last entry stands, and everything before it up to the root."""
        active = {n for n, entry in enumerate(self.entries) if entry.type == "session"}
        at = next((n for n in range(len(parents) - 1, -1, -1) if n not in active), None)
        while at is not None and at not in active:
            active.add(at)
            at = parents[at]
        return active

    def _mark_copies(self) -> None:
        if self._above is None or self._began is None:
            return
        for entry in self.entries:
            step = entry.step
            if step.timestamp is not None and step.timestamp < self._began:
                entry.extra["is_copied"] = True
                if step.usage is not None:
                    told = {**step.usage.as_dict(), **known(cost_usd=step.cost_usd)}
                    entry.extra["usage"] = {**told, **mapping(entry.extra.get("usage"))}
                step.usage = step.cost_usd = None
                entry.is_unpriced = False
                self.source.kept("copied entry", _COPY)

    def _nest(self, parents: list[int | None], active: set[int]) -> None:
        """Put results under their call, the rest under the prompt of its branch; abandoned branches into lanes."""
        calls = {
            call["call_id"]: entry
            for entry in self.entries
            for call in entry.calls
            if isinstance(call.get("call_id"), str)
        }
        turns: list[Entry | None] = []
        lanes: list[str | None] = []
        n_lanes = 0
        for n, entry in enumerate(self.entries):
            step, before = entry.step, parents[n]
            turns.append(entry if entry.is_prompt else turns[before] if before is not None else None)
            call = calls.get(entry.answers or "")
            if call is not None:
                step.parent_span_id = call.step.span_id
                lasted = elapsed_ms(call.step.timestamp, step.timestamp)
                if lasted is not None:
                    call.step.duration_ms = max(lasted, call.step.duration_ms or 0.0)
            elif (turn := turns[n]) is not None and turn is not entry:
                step.parent_span_id = turn.step.span_id
            if n in active:
                lanes.append(None)
                continue
            lane = lanes[before] if before is not None else None
            if lane is None:
                n_lanes += 1
                lane = f"abandoned branch {n_lanes}"
            lanes.append(lane)
            step.agent = lane
            entry.extra["is_off_branch"] = True
            self.source.kept("entry off the branch", _OFF)

    def _describe(self, active: list[Entry]) -> Run:
        steps = [entry.step for entry in self.entries]
        own = [entry for entry in active if "is_copied" not in entry.extra]
        prompts = [entry for entry in own if entry.is_prompt]
        asked = next((entry.step.text for entry in (*prompts, *active) if entry.is_prompt and entry.step.text), None)
        names = [entry.step.text for entry in active if entry.type == "session_info"]
        times = [entry.step.timestamp for entry in own if entry.step.timestamp]
        models = Counter(step.model for step in steps if step.model)
        source_id = self._session_id()
        above = _UUID.findall(self._above or "")
        copied = [entry.step.source_id for entry in self.entries if "is_copied" in entry.extra]
        run = Run(
            source_id=source_id,
            agent_type=FORMAT,
            name=title((names[-1] if names else None) or asked) or source_id,
            model=models.most_common(1)[0][0] if models else text_or_none(self._header.get("modelId")),
            started_at=min(times, default=None),
            completed_at=max(times, default=None),
            input={"prompt": asked} if asked else None,
            output=last_answer(entry.step for entry in active),
            usage=total(step.usage for step in steps),
            cost_usd=self._cost(),
            parent_source_id=above[-1].lower() if above and above[-1].lower() != source_id else None,
            spawned_by=copied[-1] if copied and above and above[-1].lower() != source_id else None,
            link="forked" if above and above[-1].lower() != source_id else None,
            metadata=self._metadata(prompts, models),
            steps=steps,
        )
        _judge(run, own)
        return run

    def _session_id(self) -> str:
        if own := text_or_none(self._header.get("id")):
            return own
        if named := _UUID.findall(self.source.file_name):
            self.source.kept("session id", "not in the file: taken from its name")
            return named[-1].lower()
        self.source.kept("session id", "not in the file: made from its first line")
        return line_id(str(self.entries[0].step.source_id).encode())

    def _cost(self) -> float | None:
        """What all calls cost, those of abandoned branches too; null where one of them has no price."""
        unpriced = sum(entry.is_unpriced for entry in self.entries)
        if unpriced:
            self.source.changed("cost", _UNPRICED, unpriced)
        costs = [entry.step.cost_usd for entry in self.entries if entry.step.usage is not None]
        prices = [cost for cost in costs if cost is not None]
        if prices and len(prices) + unpriced < len(costs):
            self.source.changed("cost", _MISSING, len(costs) - len(prices) - unpriced)
        return sum(prices) if prices and len(prices) == len(costs) else None

    def _metadata(self, prompts: list[Entry], models: Counter[str]) -> dict[str, Any]:
        count = Counter(
            name for entry in self.entries for name in ("is_copied", "is_off_branch") if name in entry.extra
        )
        return (rest(self._header, "type", "id", "timestamp") or {}) | known(
            n_prompts=len(prompts),
            n_tool_calls=sum(len(entry.calls) for entry in self.entries),
            n_interruptions=sum(entry.stop == "aborted" for entry in self.entries) or None,
            n_copied=count["is_copied"] or None,
            n_off_branch=count["is_off_branch"] or None,
            models=dict(models) if len(models) > 1 else None,
        )


def _judge(run: Run, own: list[Entry]) -> None:
    """How the session ended: the last message of its branch decides."""
    last = next((entry for entry in reversed(own) if entry.type == "message"), None)
    if last is None:
        return
    if last.step.error is not None and last.stop == "error":
        run.status, run.error_type, run.error = "failed", "api_error", str(last.step.error["message"])
    elif last.stop == "aborted":
        run.status, run.error_type, run.error = "cancelled", "interrupted", "The user stopped the agent."
