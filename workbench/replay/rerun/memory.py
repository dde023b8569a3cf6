"""What is captured, kept in memory and nowhere else: for an agent that is run where there is no store."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import orjson
import polars as pl

from workbench.replay.capture.spool import unframed
from workbench.replay.capture.writing import EVENT, STATE

if TYPE_CHECKING:
    from workbench.replay.capture.recording import Recording

EVENTS = {"step_number": pl.Int64, "event_type": pl.String, "name": pl.String, "data": pl.String}


class Memory:
    """Takes what recordings capture, as the delivery of a store does; each may be looked at."""

    is_down = True  # nobody has to wait for it

    def __init__(self) -> None:
        self.recordings: list[Recording] = []  # in the order in which they began
        self._events: dict[bytes, dict[int, tuple[str, str | None, str]]] = {}
        self._order: list[tuple[bytes, int]] = []  # of all events: run and number, as they came
        self._states: dict[bytes, dict[int, bytes]] = {}
        self._lock = threading.Lock()

    def add(self, recording: Recording) -> None:
        """A recording has begun, or has something new to say of its run."""
        with self._lock:
            if recording not in self.recordings:
                self.recordings.append(recording)

    def take(self, record: bytes) -> bool:
        """Keep a record."""
        for fields in unframed(record):
            if fields is None:
                continue
            with self._lock:
                kind, run, number = fields[0], fields[1], fields[2]
                if kind == EVENT:
                    header = orjson.loads(fields[3])
                    found = self._events.setdefault(run, {})
                    if int(number) not in found:
                        self._order.append((run, int(number)))
                    found[int(number)] = (header[0], header[1], fields[4].decode())
                elif kind == STATE:
                    self._states.setdefault(run, {})[int(number)] = fields[4]
        return True

    def discard(self, recording: Recording) -> None:
        """A recording has ended; what it said is kept."""

    def flush(self, timeout_s: float | None = None) -> bool:
        """All is where it shall be."""
        return True

    def has_events(self, recording: Recording) -> bool:
        """Whether anything happened in a run."""
        return str(recording.id).encode() in self._events

    def events(self, main: Recording) -> pl.DataFrame:
        """All that happened, in order: ``step_number event_type name data lane``; the lane of ``main`` is null."""
        lanes = {str(one.id).encode(): one.agent_type for one in self.recordings if one is not main}
        rows = [(n, *self._events[run][n], lanes.get(run)) for run, n in self._order]
        return pl.DataFrame(rows, schema={**EVENTS, "lane": pl.String}, orient="row")

    def states(self, recording: Recording) -> dict[int, Any]:
        """The states of a run, by step."""
        found = self._states.get(str(recording.id).encode(), {})
        return {n: orjson.loads(found[n]) for n in sorted(found)}
