"""The lines of a Claude Code session, one after the other, finished with what the whole session says."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from workbench.data.ingest.formats.claude_line import Line
from workbench.data.ingest.formats.claude_session import COMMON, Session, usage_of
from workbench.data.ingest.normal import Step
from workbench.data.ingest.reading.times import elapsed_ms


@dataclass(slots=True)
class _Lane:
    """One sub-agent inside the session's file."""

    name: str | None = None
    root: str | None = None  # uuid of its first line
    started_by: str | None = None  # uuid of the call that started it


class Finisher:
    """Finishes the lines in the order of the session: pairs, nests, counts tokens once."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._is_own_file = session.is_agent_file
        self._lanes: dict[Any, _Lane] = {}
        self._lane_of: dict[str, _Lane] = {}
        self._turn: str | None = None

    def steps(self, lines: Iterable[tuple[int, Line]]) -> Iterator[Step]:
        """The steps of the lines, given with their numbers in the file."""
        for number, line in lines:
            self._pair(number, line)
            self._nest(line)
            self._finish(number, line)
            yield line.step

    def _pair(self, number: int, line: Line) -> None:
        """Give results the name of their tool, a call its duration."""
        session, step = self._session, line.step
        for call in line.calls:
            call_id = call.get("call_id")
            if not isinstance(call_id, str) or session.calls.get(call_id, (None,))[0] != number:
                continue
            lasted = elapsed_ms(step.timestamp, session.answered.get(call_id))
            if lasted is not None:
                step.duration_ms = max(lasted, step.duration_ms or 0.0)
        for result in line.results:
            call_id = result.get("call_id")
            call = session.calls.get(call_id) if isinstance(call_id, str) else None
            if call is not None:
                result["name"] = call.name
                line.answers = call.uuid
        if line.results:
            step.name = line.results[0].get("name")

    def _nest(self, line: Line) -> None:
        """Put a line into its lane and under its parent."""
        step = line.step
        lane = None if self._is_own_file else self._lane(line)
        if line.uuid is not None and lane is not None:
            self._lane_of[line.uuid] = lane
        if line.answers is not None:
            step.parent_span_id = line.answers
        elif lane is not None:
            step.parent_span_id = lane.started_by if line.uuid == lane.root else lane.root
        elif line.is_prompt:
            self._turn = line.uuid
        else:
            step.parent_span_id = self._turn
        step.agent = lane.name if lane else None

    def _lane(self, line: Line) -> _Lane | None:
        if not line.is_sidechain:
            return None
        known = self._lane_of.get(line.parent or "")
        key = line.agent_id or (None if known else line.uuid)
        if key is None:
            return known
        if key not in self._lanes:
            started_by, kind = self._session.starts.get(line.step.text or "", (None, None))
            kind = kind or "sub-agent"
            alike = sum(1 for lane in self._lanes.values() if (lane.name or "").rsplit(" #", 1)[0] == kind)
            name = f"{kind} #{alike + 1}" if alike else kind
            self._lanes[key] = _Lane(name, line.uuid, started_by)
        return self._lanes[key]

    def _finish(self, number: int, line: Line) -> None:
        """Usage and cost once per answer; the fields that all lines share go to the run."""
        step, extra, common = line.step, line.extra, self._session.common
        for name in COMMON:
            if name in extra and extra[name] == common.get(name):
                del extra[name]
        if line.usage is not None:
            bill = None if line.message_id is None else self._session.bills[line.message_id]
            if bill is None or bill.line == number:
                step.usage = usage_of(line.usage) if bill is None else bill.usage
                step.cost_usd = line.cost_usd
        step.extra = extra or None
        step.mark = self._session.mark_of(number, line)
