"""The calls of a Codex rollout: what their answers and the events of their end say, in a few numbers each."""

from __future__ import annotations

import math
from array import array
from dataclasses import dataclass, replace
from datetime import datetime

from workbench.data.ingest.formats.codex_event import ENDS, End, Line
from workbench.data.ingest.reading.times import elapsed_ms


@dataclass(slots=True)
class Call:
    """What the lines of one call_id say."""

    span: str | None = None  # of the line that calls
    is_item: bool = False  # an item calls: events of it are echoes
    is_answered: bool = False
    last: int = 0  # the last line that names it
    told: End | None = None  # by the last event of its end; the message only where an answer stands before that event
    told_at: int = -1
    # The last line that calls, of either kind: its place among all that do, and its time.
    item: int = -1
    item_at: datetime | None = None
    event: int = -1
    event_at: datetime | None = None

    @property
    def is_call(self) -> bool:
        """Whether any line calls; there may be answers only."""
        return self.is_item or self.event >= 0


class Calls:
    """Takes the lines of one file, in order."""

    def __init__(self) -> None:
        self._calls: dict[str | None, Call] = {}
        # By line that calls: how long it took by the answer's own word, and until the answer came.
        self._own_ms, self._gone_ms = array("d"), array("d")
        self._is_timed = bytearray()

    def of(self, call_id: str | None) -> Call | None:
        """The call of an id."""
        return self._calls.get(call_id)

    def has_item(self, call_id: str | None) -> bool:
        """Whether an item calls, so that events tell the same again."""
        call = self._calls.get(call_id)
        return call is not None and call.is_item

    def take(self, line: Line, n: int) -> Call | None:
        """Note what the line of that number says of a call; the call it says it of."""
        kind, key = line.step.event_type, line.call_id
        is_told = line.kind == "event_msg" and line.type in ENDS
        is_end = line.kind == "event_msg" and not line.said and line.end != End()
        call = self._calls.get(key)
        if call is None and (is_told or is_end or kind in ("tool_call", "tool_result")):
            call = self._calls[key] = Call()
        if call is None:
            return None
        call.last = n
        if kind == "tool_call":
            call.is_item, call.span = True, line.step.source_id
            call.item, call.item_at = self._entry(), line.step.timestamp
        elif kind == "tool_result":
            self._answer(call, line)
        elif is_told:
            call.span = call.span if call.is_item else line.step.source_id
            call.event, call.event_at = self._entry(), line.step.timestamp
        if is_end:
            call.told = replace(line.end, message=line.end.message if call.is_answered else None)
            call.told_at = n
        return call

    def _entry(self) -> int:
        for values in (self._own_ms, self._gone_ms):
            values.append(math.nan)
        self._is_timed.append(False)
        return len(self._is_timed) - 1

    def _answer(self, call: Call, line: Line) -> None:
        call.is_answered = True
        if not line.call_id:  # then no call is known to be its own
            return
        own = line.end.duration_ms
        for entry, at in ((call.item, call.item_at), (call.event, call.event_at)):
            if entry >= 0:
                gone = elapsed_ms(at, line.step.timestamp)
                self._own_ms[entry] = math.nan if own is None else own
                self._gone_ms[entry] = math.nan if gone is None else gone
                self._is_timed[entry] = True

    def is_timed(self, entry: int) -> bool:
        """Whether an answer says how long the call took, be it only that nobody knows."""
        return bool(self._is_timed[entry])

    def duration_of(self, entry: int, call: Call) -> float | None:
        """How long the call of a line took: by its answer, by the event of its end, by when its answer came."""
        if not math.isnan(own := self._own_ms[entry]):
            return own
        if call.is_item and call.told is not None and call.told.duration_ms is not None:
            return call.told.duration_ms
        return None if math.isnan(gone := self._gone_ms[entry]) else gone
