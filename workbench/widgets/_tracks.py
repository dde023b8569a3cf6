"""Lanes and the rows in them: each event gets a track (a row of a lane) in which spans do not cover one another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from ._spans import ERROR, MOMENT, SEVERITIES, Spans, numbered

LANES = {"agent": "agent", "span": "", "category": "category", "event_type": "event_type", "execution": "execution_id"}
COLORS = {"event_type": "event_type", "category": "category", "severity": "severity", "agent": "agent"}
NONE, OTHER = "–", "other"
MAX_LANES, MAX_ROWS, MAX_TRACKS, MAX_COLORS = 40, 12, 96, 8
# More tracks mean wider cells (a frame has a fixed size), and with many events each is full: fewer rows, finer cells.
MAX_TRACKS_DENSE = 24
# Up to here rows are packed exactly, one event at a time; above, a row is how many spans were open at the start.
PACK_EXACTLY = 300_000


@dataclass(frozen=True, slots=True)
class Lane:
    """One lane: its name, its rows (tracks ``first`` … ``first + rows - 1``), how many events and errors."""

    name: str
    first: int
    rows: int
    n_events: int
    n_errors: int


def coded(values: pl.Series, limit: int) -> tuple[np.ndarray, list[str]]:
    """Values as codes: the most frequent keep their names (in order of appearance), the rest becomes "other"."""
    number, names = numbered(values.cast(pl.String).fill_null(NONE))
    if len(names) <= limit:
        return number.astype(np.uint8), names
    counts = np.bincount(number, minlength=len(names))
    kept = np.sort(np.argsort(-counts, kind="stable")[: limit - 1])
    code = np.full(len(names), limit - 1, np.uint8)
    code[kept] = np.arange(limit - 1)
    return code[number], [*(names[i] for i in kept.tolist()), OTHER]


def lane_codes(frame: pl.DataFrame, spans: Spans, lanes: str) -> tuple[np.ndarray, list[str]]:
    """Lane of each event (in the order of ``spans``) and the lanes' names."""
    if lanes == "span":
        depth = np.minimum(nesting(spans), MAX_LANES - 1)
        deepest = int(depth.max()) if len(depth) else 0
        return depth.astype(np.uint8), [f"depth {level}" for level in range(deepest + 1)]
    codes, names = coded(frame[LANES[lanes]], MAX_LANES)
    return codes[spans.row], names


def color_codes(frame: pl.DataFrame, spans: Spans, colors: str) -> tuple[np.ndarray, list[str]]:
    """Colour class of each event (in the order of ``spans``) and the classes' names."""
    if colors == "severity":
        return spans.severity, list(SEVERITIES)
    codes, names = coded(frame[COLORS[colors]], MAX_COLORS)
    return codes[spans.row], names


def nesting(spans: Spans) -> np.ndarray:
    """Depth of each event: in its tree of parents; where the source names none, by what was open when it started."""
    if (spans.parent >= 0).any():
        depth = np.zeros(len(spans), np.int64)
        above = spans.parent.copy()
        for _ in range(MAX_LANES):  # a cycle in bad data ends here too
            inside = above >= 0
            if not inside.any():
                break
            depth += inside
            above[inside] = spans.parent[above[inside]]
        return depth
    return _open_at_start(spans.start, spans.end)


def lay_out(spans: Spans, lane: np.ndarray, names: list[str]) -> tuple[np.ndarray, list[Lane]]:
    """Track of each event, and the lanes with their rows."""
    most = MAX_TRACKS if len(spans) <= PACK_EXACTLY else MAX_TRACKS_DENSE
    limit = max(1, min(MAX_ROWS, most // max(1, len(names))))
    if len(spans) <= PACK_EXACTLY:
        row = _packed(spans, lane, len(names), limit)
    else:
        row = _stacked(spans, lane, len(names), limit)
    rows = np.zeros(len(names), np.int64)
    np.maximum.at(rows, lane, row + 1)
    first = np.concatenate([[0], np.cumsum(np.maximum(rows, 1))])
    n_events = np.bincount(lane, minlength=len(names))
    n_errors = np.bincount(lane[spans.severity >= ERROR], minlength=len(names))
    lanes = [
        Lane(name, int(first[i]), max(1, int(rows[i])), int(n_events[i]), int(n_errors[i]))
        for i, name in enumerate(names)
    ]
    return (first[lane] + row).astype(np.uint16), lanes


def _packed(spans: Spans, lane: np.ndarray, n_lanes: int, limit: int) -> np.ndarray:
    """First fit: the lowest row whose last event is over. What encloses comes first, so what it encloses goes below."""
    rows: list[list[int]] = [[] for _ in range(n_lanes)]
    chosen = np.empty(len(spans), np.int64)
    # A moment takes one unit of room, else moments of the same instant would cover one another.
    taken = (spans.end + (spans.flags & MOMENT)).tolist()
    for i, (start, end, at) in enumerate(zip(spans.start.tolist(), taken, lane.tolist(), strict=True)):
        ends = rows[at]
        for row, last in enumerate(ends):
            if last <= start:
                ends[row] = end
                break
        else:
            row = len(ends)
            if row < limit:
                ends.append(end)
            else:
                row = limit - 1
                ends[row] = max(ends[row], end)
        chosen[i] = row
    return chosen


def _stacked(spans: Spans, lane: np.ndarray, n_lanes: int, limit: int) -> np.ndarray:
    row = np.zeros(len(spans), np.int64)
    if not (spans.end > spans.start).any():
        return row
    for code in range(n_lanes):
        at = np.flatnonzero(lane == code)
        row[at] = _open_at_start(spans.start[at], spans.end[at])
    return np.minimum(row, limit - 1)


def _open_at_start(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """How many events were open when each began: begun before it less ended by then."""
    ended = np.searchsorted(np.sort(end), start, side="right")
    return np.maximum(np.arange(len(start)) - ended, 0)
