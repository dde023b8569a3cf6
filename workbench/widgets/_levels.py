"""Level of detail: what a viewport shows of millions of events, in milliseconds and at most 100 KB.

A view of few events is answered with each of them. Any other is answered with cells, track x bin of a pixel or so: how
many events are active there, their three most frequent colour classes, their share of errors; and the widest spans.

How: events are sorted by start, and again by end. For each order, the number of events of every kind (track, colour,
severity) before every n-th event is kept (:class:`Ladder`). Active in [a, b) are those started before b less those
ended before a, so a bin costs two lookups however many events are in it: exact at any zoom and clustering in time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ._spans import ERROR, UNIT, Spans

EXACT = 2_000  # events in view up to which each is sent
WIDEST = 400  # spans sent each in a view of more
CELL_BYTES = 6
MAX_CELLS = 12_000  # 72 KB of cells; the widest spans and the header fit in the rest of 100 KB
_MIXED = 3
_LADDER_ENTRIES = 24_000_000  # 96 MB of int32, and as much for the ends: a tenth of what ten million events take
_SEVERITIES = 5


class Ladder:
    """Times in order, with the count of every kind before each block of them."""

    def __init__(self, times: np.ndarray, kinds: np.ndarray, n_kinds: int) -> None:
        self.times, self.kinds, self.n_kinds = times, kinds, n_kinds
        block = 64
        while len(times) // block * n_kinds > _LADDER_ENTRIES:
            block *= 2
        self.block = block
        n_blocks = len(times) // block + 1
        counts = np.zeros((n_blocks + 1, n_kinds), np.int32)
        for at in range(0, n_blocks, 4096):  # in pieces: the keys of 10 M events at once would take 80 MB
            piece = kinds[at * block : (at + 4096) * block]
            key = (np.arange(len(piece)) // block) * n_kinds + piece
            size = -(-len(piece) // block)
            counts[at + 1 : at + 1 + size] = np.bincount(key, minlength=size * n_kinds).reshape(size, n_kinds)
        self.before_block = np.cumsum(counts, axis=0, dtype=np.int32)

    def before(self, edges: np.ndarray) -> np.ndarray:
        """Count of each kind before each edge: int32, edges x kinds."""
        rank = np.searchsorted(self.times, edges, side="left")
        block = rank // self.block
        counts = self.before_block[block]
        # What lies between the block's beginning and the edge, for all edges in one go.
        rest = rank - block * self.block
        edge = np.repeat(np.arange(len(edges)), rest)
        at = np.arange(len(edge)) + np.repeat(block * self.block - (np.cumsum(rest) - rest), rest)
        partial = np.bincount(edge * self.n_kinds + self.kinds[at], minlength=counts.size)
        counts += partial.reshape(counts.shape).astype(np.int32)
        return counts


@dataclass(frozen=True, slots=True)
class Hidden:
    """What the legend hides: colour classes and severities, by code."""

    colors: frozenset[int] = frozenset()
    severities: frozenset[int] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.colors or self.severities)


@dataclass(frozen=True, slots=True)
class Tile:
    """What a view of [start, end) shows.

    Attributes
    ----------
    items : int32
        Positions (in the order of ``Spans``) of the events sent each.
    complete
        Whether ``items`` is every event in view; else ``count``, ``mix`` and ``errors`` hold cells, track after track.
    count : uint16
        Events active in a cell; 65,535 means that or more.
    mix : uint8, 3 per cell
        Colour class (high 4 bits) and its share in fifteenths (low 4 bits), the most frequent first.
    errors : uint8
        0 for none, else 1 + share of errors x 254.
    """

    start: int
    end: int
    n_bins: int
    complete: bool
    items: np.ndarray
    count: np.ndarray
    mix: np.ndarray
    errors: np.ndarray


class Levels:
    """Answers viewports over one layout of events."""

    def __init__(self, spans: Spans, track: np.ndarray, n_tracks: int, color: np.ndarray, n_colors: int) -> None:
        self.spans, self.track, self.color = spans, track, color
        self.n_tracks, self.n_colors = max(1, n_tracks), max(1, n_colors)
        self._name_kinds()
        self.starts = Ladder(spans.start, self._kinds, self._n_kinds)
        if bool((spans.end == spans.start).all()):
            self.ends = self.starts
        else:
            by_end = np.argsort(spans.end, kind="stable")
            self.ends = Ladder(spans.end[by_end], self._kinds[by_end], self._n_kinds)
        self._block = 256
        self._longest = _block_max(spans.end - spans.start, self._block)
        self._latest = _block_max(spans.end, self._block)

    def _name_kinds(self) -> None:
        """Number the kinds: severities that occur x (colour, track) pairs that occur, severity outermost.

        So a sum over severities, or over colours, adds whole rows of memory; summing in groups would take longer than
        the look-up itself.
        """
        spans, n_pairs = self.spans, self.n_colors * self.n_tracks
        pair = self.color.astype(np.int32) * self.n_tracks + self.track
        self._pairs = np.flatnonzero(np.bincount(pair, minlength=n_pairs))
        self._severities = np.flatnonzero(np.bincount(spans.severity, minlength=_SEVERITIES))
        at_pair, at_severity = np.zeros(n_pairs, np.uint16), np.zeros(_SEVERITIES, np.uint16)
        at_pair[self._pairs] = np.arange(len(self._pairs))
        at_severity[self._severities] = np.arange(len(self._severities)) * len(self._pairs)
        self._kinds = at_severity[spans.severity] + at_pair[pair]
        self._shape = (max(1, len(self._severities)), max(1, len(self._pairs)))
        self._n_kinds = self._shape[0] * self._shape[1]
        self._pair_color, self._pair_track = self._pairs // self.n_tracks, self._pairs % self.n_tracks

    def _visible(self, hidden: Hidden) -> np.ndarray:
        """Whether a kind is shown: severities x pairs."""
        severity = ~np.isin(self._severities, list(hidden.severities))
        return severity[:, None] & ~np.isin(self._pair_color, list(hidden.colors))

    # -- a view --------------------------------------------------------------------------------------------------

    def tile(self, start: int, end: int, width: int, hidden: Hidden | None = None) -> Tile:
        """What [start, end) shows on ``width`` pixels; times in µs since the origin."""
        hidden = hidden or Hidden()
        end = max(end, start + 1)
        few = self._few(start, end, hidden)
        if few is not None:
            nothing = np.zeros(0, np.uint8)
            return Tile(start, end, 0, True, few, nothing.astype(np.uint16), nothing, nothing)
        n_bins = int(np.clip(min(width, MAX_CELLS // self.n_tracks), 1, end - start))
        count, mix, errors = self._cells(start, end, n_bins, hidden)
        return Tile(start, end, n_bins, False, self._widest(start, end, width, hidden), count, mix, errors)

    def shown(self, hidden: Hidden, at: np.ndarray) -> np.ndarray:
        """Of the events at these positions, those the legend does not hide."""
        if not hidden:
            return at
        keep = ~np.isin(self.color[at], list(hidden.colors)) & ~np.isin(
            self.spans.severity[at], list(hidden.severities)
        )
        return at[keep]

    def _few(self, start: int, end: int, hidden: Hidden) -> np.ndarray | None:
        """All events in view, when they are few."""
        first, last = np.searchsorted(self.spans.start, [start, end], side="left")
        open_blocks = np.flatnonzero(self._latest[: first // self._block + 1] >= start)
        if last - first > EXACT * (8 if hidden else 1) or len(open_blocks) > 64:
            return None
        at = np.concatenate([self._in_blocks(open_blocks, 0, int(first), start), np.arange(first, last)])
        at = self.shown(hidden, at)
        return at.astype(np.int32) if len(at) <= EXACT else None

    def _in_blocks(self, blocks: np.ndarray, low: int, high: int, ends_from: int) -> np.ndarray:
        """Positions in [low, high) within blocks whose event ends at ``ends_from`` or later."""
        at = (blocks[:, None] * self._block + np.arange(self._block)).ravel()
        at = at[(at >= low) & (at < high)]
        return at[self.spans.end[at] >= ends_from]

    def _widest(self, start: int, end: int, width: int, hidden: Hidden) -> np.ndarray:
        """The longest spans in view of at least three pixels. The n longest lie in the n blocks with the longest."""
        last = int(np.searchsorted(self.spans.start, end, side="left"))
        least = 3 * (end - start) / max(1, width)
        n_blocks = -(-last // self._block)
        blocks = np.flatnonzero((self._longest[:n_blocks] >= least) & (self._latest[:n_blocks] >= start))
        if len(blocks) > WIDEST:
            blocks = blocks[np.argpartition(self._longest[blocks], -WIDEST)[-WIDEST:]]
        at = self._in_blocks(blocks, 0, last, start)
        length = self.spans.end[at] - self.spans.start[at]
        at, length = at[length >= least], length[length >= least]
        if hidden:
            kept = np.isin(at, self.shown(hidden, at))
            at, length = at[kept], length[kept]
        if len(at) > WIDEST:
            at = at[np.argpartition(length, -WIDEST)[-WIDEST:]]
        return np.sort(at).astype(np.int32)

    def _cells(self, start: int, end: int, n_bins: int, hidden: Hidden) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        edges = np.linspace(start, end, n_bins + 1)
        active = self.starts.before(np.ceil(edges[1:]).astype(np.int64))
        active -= self.ends.before(np.ceil(edges[:-1]).astype(np.int64))
        kinds = active.reshape(n_bins, *self._shape)
        if hidden:
            kinds *= self._visible(hidden)
        by_color = self._by_color(kinds.sum(axis=1, dtype=np.int32))
        failed = self._by_color(kinds[:, self._severities >= ERROR].sum(axis=1, dtype=np.int32)).sum(axis=1)
        total = by_color.sum(axis=1)
        errors = np.where(failed > 0, 1 + np.rint(failed / np.maximum(total, 1) * 254), 0).astype(np.uint8)
        count = np.minimum(total, 65_535).astype(np.uint16)
        return count.T.ravel(), _mixed(by_color, total), errors.T.ravel()

    def _by_color(self, by_pair: np.ndarray) -> np.ndarray:
        """Counts by pair as bins x colours x tracks."""
        dense = np.zeros((len(by_pair), self.n_colors * self.n_tracks), np.int32)
        dense[:, self._pairs] = by_pair
        return dense.reshape(-1, self.n_colors, self.n_tracks)

    def count(self, start: int, end: int, first_track: int, n_tracks: int, hidden: Hidden) -> dict[str, int]:
        """Events and errors active in [start, end) in some tracks."""
        active = self.starts.before(np.array([end])) - self.ends.before(np.array([start]))
        there = (self._pair_track >= first_track) & (self._pair_track < first_track + n_tracks)
        kinds = active.reshape(self._shape) * (self._visible(hidden) & there)
        return {"n_events": int(kinds.sum()), "n_errors": int(kinds[self._severities >= ERROR].sum())}

    # -- one event to the next -----------------------------------------------------------------------------------

    def following(self, position: int, step: int, keep: np.ndarray | None, hidden: Hidden) -> int | None:
        """Position of the next (``step`` 1) or previous (-1) event that is kept and shown; None at the end."""
        ahead = range(position + step, len(self.spans), 1) if step > 0 else range(position - 1, -1, -1)
        for low in range(0, len(ahead), 65_536):  # in pieces: the next one is nearly always near
            at = np.asarray(ahead[low : low + 65_536])
            if keep is not None:
                at = at[keep[at]]
            at = self.shown(hidden, at)
            if len(at):
                return int(at[0])
        return None


def _block_max(values: np.ndarray, block: int) -> np.ndarray:
    if not len(values):
        return np.zeros(0, values.dtype)
    return np.maximum.reduceat(values, np.arange(0, len(values), block))


def _mixed(by_color: np.ndarray, total: np.ndarray) -> np.ndarray:
    """The three most frequent classes of each cell, each with its share in fifteenths; track after track."""
    n_bins, n_colors, n_tracks = by_color.shape
    k = min(_MIXED, n_colors)
    # Sort by count and carry the class along; int32 holds 134 million events of a cell.
    packed = by_color.transpose(2, 0, 1) * np.int32(16) + np.arange(n_colors, dtype=np.int32)
    top = np.sort(packed, axis=2)[:, :, ::-1][:, :, :k]
    count = top >> 4
    share = -(-count * 15 // np.maximum(total.T, 1)[:, :, None])
    mix = np.zeros((n_tracks, n_bins, _MIXED), np.uint8)
    mix[:, :, :k] = ((top & 15) << 4) | share
    return mix.ravel()


def to_axis(value: float) -> int:
    """The browser's unit (ms or steps) to the axis."""
    return int(np.clip(np.floor(value * UNIT), -(2**53), 2**53))
