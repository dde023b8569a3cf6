"""``Timeline``: the events of a run on lanes, from the whole down to one event's data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import traitlets

from . import _spans, _timeline_still, _tracks
from ._base import Widget
from ._document import Document, snippet
from ._levels import Hidden, Levels, Tile, to_axis
from ._selection import Predicate, predicate
from ._spans import SEVERITIES, UNIT
from ._wire import Answer, pack

WHOLE = 5_000  # events up to which the browser gets all of them and needs no kernel to draw
HEAD = 3_000  # of more events, so many are sent at first, beside the cells of the whole range
SAID = 400_000  # characters of event data sent at first, for reading without a kernel
MATCHES = 5_000  # search hits whose places are sent
MATCHED = 8  # the flag of a search hit, beside those of ``_spans``
NAMES = 30_000  # bytes that the labels of one answer take at most
_WIDTH = 1200


class Timeline(Widget):
    """The events of one run, or of several, on a zoomable timeline.

    Parameters
    ----------
    events
        A frame as ``bench.events(run)`` gives it; ``event_type``, ``timestamp`` and ``step_number`` are required. Where
        no event has a timestamp the axis is the step number.
    lanes
        One lane per ``"agent"``, ``"span"`` (nesting depth), ``"category"``, ``"event_type"`` or ``"execution"``.
    colors
        Colour by ``"event_type"``, ``"category"``, ``"severity"`` or ``"agent"``. Errors and warnings are marked by
        shape too.
    **options
        ``viewport``, ``height``, ``layout``.

    Attributes
    ----------
    viewport : tuple of float
        What is in view: ms since :attr:`origin`, or steps. Setting it moves the view.
    selected : polars.DataFrame
        The events that were clicked or brushed, with all their columns.
    code : str
        Python that makes ``selected`` from the frame ``events``.
    origin : datetime or None
        The moment at 0; None where the axis is the step number.

    Raises
    ------
    TypeError
        ``events`` is no Polars frame, or an option is unknown.
    ValueError
        A required column is missing.
    """

    _name = "timeline"

    lanes = traitlets.Enum(tuple(_tracks.LANES), "agent").tag(sync=True)
    colors = traitlets.Enum(tuple(_tracks.COLORS), "event_type").tag(sync=True)
    viewport = traitlets.Tuple(traitlets.Float(), traitlets.Float(), default_value=(0.0, 1.0)).tag(sync=True)
    selection = traitlets.Dict().tag(sync=True)
    """What is selected, as the browser says it: ``{}``, ``{"kind": "events", "rows": [3]}``, ``{"kind": "range", …}``
    or ``{"kind": "lane", …}``."""
    height = traitlets.Int(440, min=160, max=2_000).tag(sync=True)
    """Pixels that the lanes take at most; more of them scroll."""

    _scene = traitlets.Dict().tag(sync=True)
    _overview = traitlets.Bytes().tag(sync=True)
    _head = traitlets.Bytes().tag(sync=True)
    _said = traitlets.Dict().tag(sync=True)

    def __init__(
        self, events: pl.DataFrame, *, lanes: str = "agent", colors: str | None = None, **options: Any
    ) -> None:
        self._check_options(options)
        self._given = events
        self.events = _spans.completed(events)
        self._spans = _spans.read(self.events)
        self._position = np.empty(len(self._spans), np.int32)
        self._position[self._spans.row] = np.arange(len(self._spans), dtype=np.int32)
        self._labels = self.events.select(pl.coalesce("name", "event_type").fill_null(_tracks.NONE)).to_series()
        self._matches: np.ndarray | None = None
        self._opened: Document | None = None
        options.setdefault("viewport", (0.0, self._span))
        super().__init__(lanes=lanes, colors=colors or self._best_colors(), **options)
        self._said = self._first_words()
        self._arrange()
        self.observe(self._arrange, ["lanes", "colors"])

    # -- for Python ----------------------------------------------------------------------------------------------

    @property
    def origin(self) -> datetime | None:
        """The moment 0 of the axis, UTC; None where the axis is the step number."""
        return self._spans.origin if len(self._spans) else None

    @property
    def window(self) -> tuple[datetime, datetime] | tuple[float, float]:
        """What is in view: two moments, UTC; steps where the axis is the step number."""
        low, high = self.viewport
        if self.origin is None:
            return low, high
        return self.origin + timedelta(milliseconds=low), self.origin + timedelta(milliseconds=high)

    @property
    def selected(self) -> pl.DataFrame:
        """The clicked or brushed events: rows of the frame that was given; none while nothing is selected."""
        return self._chosen(self._predicate(self.selection))

    @property
    def code(self) -> str:
        """Python that makes :attr:`selected` from a frame named ``events``."""
        return _written(self._predicate(self.selection))

    def _predicate(self, selection: Mapping[str, Any]) -> Predicate | None:
        return predicate(selection, self._given, self._spans.origin, self._scene, self.lanes, self.colors)

    def _chosen(self, chosen: Predicate | None) -> pl.DataFrame:
        return self._given.clear() if chosen is None else self._given.filter(chosen.expression)

    def _facts(self) -> dict[str, Any]:
        facts: dict[str, Any] = {"events": len(self._spans)}
        if self.origin is None:
            return facts
        return {**facts, "span_ms": round(self._span)}

    def static_html(self) -> str:
        """The lanes as SVG, and a table of the first events and the errors."""
        return _timeline_still.html(self.events, self._spans, self._levels, self._lanes, self._classes, self._scene)

    # -- the scene -----------------------------------------------------------------------------------------------

    @property
    def _span(self) -> float:
        return self._spans.last / UNIT

    def _best_colors(self) -> str:
        """By type, which means the same for every source; by category where all events are of one type."""
        one_type = self.events["event_type"].n_unique() == 1
        return "category" if one_type and self.events["category"].n_unique() > 1 else "event_type"

    def _arrange(self, _change: object = None) -> None:
        """Lay the events out again and tell the browser."""
        lane, names = _tracks.lane_codes(self.events, self._spans, self.lanes)
        track, self._lanes = _tracks.lay_out(self._spans, lane, names)
        color, self._classes = _tracks.color_codes(self.events, self._spans, self.colors)
        n_tracks = self._lanes[-1].first + self._lanes[-1].rows if self._lanes else 1
        self._levels = Levels(self._spans, track, n_tracks, color, len(self._classes))
        n_events = len(self._spans)
        is_whole = n_events <= WHOLE
        overview = self._drawn(self._levels.tile(0, self._spans.last, _WIDTH))
        head = self._items(np.arange(n_events if is_whole else HEAD))
        with self.hold_sync():
            self._scene = self._described(is_whole)
            self._overview = pack(overview.arrays, **overview.result)
            self._head = pack(head.arrays, **head.result)

    def _described(self, is_whole: bool) -> dict[str, Any]:
        counts = (
            np.bincount(self._levels.color, minlength=len(self._classes))
            if len(self._spans)
            else [0] * len(self._classes)
        )
        severities = np.bincount(self._spans.severity, minlength=len(SEVERITIES))
        return {
            "n": len(self._spans),
            "whole": is_whole,
            "unit": "steps" if self.origin is None else "ms",
            "origin": None if self.origin is None else self.origin.timestamp() * 1_000,
            "span": self._span,
            "tracks": self._levels.n_tracks,
            "lanes": [[a.name, a.first, a.rows, a.n_events, a.n_errors] for a in self._lanes],
            "classes": [[name, int(n)] for name, n in zip(self._classes, counts, strict=True)],
            "severities": [[name, int(n)] for name, n in zip(SEVERITIES, severities, strict=True)],
            "choices": {"lanes": list(_tracks.LANES), "colors": list(_tracks.COLORS)},
            "estimated": int((self._spans.flags & _spans.ESTIMATED > 0).sum()),
            "marks": {name: int((self._spans.flags & flag > 0).sum()) for name, flag in _spans.MARKS.items()},
        }

    def _first_words(self) -> dict[str, Any]:
        """Fields and data of the first events, as far as a reader without a kernel may want and 400 kB hold."""
        said: dict[str, Any] = {}
        left = SAID
        for row in self._spans.row[:1_000].tolist():
            record = self.events.row(row, named=True)
            size = len(record["data"] or "")
            if size > 20_000:
                continue
            left -= size + 300
            if left < 0:
                break
            said[str(row)] = self._detail(row)
        return said

    # -- answers to the browser ----------------------------------------------------------------------------------

    def _handlers(self) -> dict[str, Callable[..., Answer | Mapping[str, Any] | None]]:
        return {
            "view": self._view,
            "search": self._search,
            "step": self._step,
            "near": self._near,
            "detail": self._detail,
            "text": lambda row, pointer, offset: {"text": self._document(row).text_piece(pointer, offset)},
            "entries": self._entries,
            "peek": self._peek,
            "count": self._count,
            "code": self._code,
        }

    def _view(self, *, start: float, end: float, width: int, hidden: Mapping[str, Any] | None = None) -> Answer:
        tile = self._levels.tile(to_axis(start), to_axis(end) + 1, int(np.clip(width, 1, 8_000)), self._hidden(hidden))
        return self._drawn(tile)

    def _hidden(self, hidden: Mapping[str, Any] | None) -> Hidden:
        """Names hidden by the legend as codes."""
        if not hidden:
            return Hidden()
        colors = {name: code for code, name in enumerate(self._classes)}
        severities = {name: code for code, name in enumerate(SEVERITIES)}
        return Hidden(
            frozenset(colors[name] for name in hidden.get("colors", ()) if name in colors),
            frozenset(severities[name] for name in hidden.get("severities", ()) if name in severities),
        )

    def _drawn(self, tile: Tile) -> Answer:
        items = self._items(tile.items)
        facts = {"start": tile.start / UNIT, "end": tile.end / UNIT, "bins": tile.n_bins, "complete": tile.complete}
        cells = {"cell_count": tile.count, "cell_mix": tile.mix, "cell_errors": tile.errors}
        return Answer({**facts, **items.result}, {**items.arrays, **cells})

    def _items(self, at: np.ndarray) -> Answer:
        """Events at these positions, one by one; labels once each."""
        rows = self._spans.row[at]
        labels = self._labels.gather(rows.tolist())
        code = {name: i for i, name in enumerate(labels.unique(maintain_order=True).to_list())}
        flags = self._spans.flags[at]
        if self._matches is not None:
            flags = flags | (self._matches[at] * np.uint8(MATCHED))
        arrays = {
            "starts": self._spans.start[at] / UNIT,
            "ends": self._spans.end[at] / UNIT,
            "row": rows,
            "track": self._levels.track[at],
            "color": self._levels.color[at].astype(np.uint8),
            "severity": self._spans.severity[at],
            "flags": flags,
            "name": np.array([code[name] for name in labels.to_list()], np.uint16),
        }
        return Answer({"names": _shortened(list(code))}, arrays)

    def _search(self, *, text: str, hidden: Mapping[str, Any] | None = None) -> Answer:
        """Events whose name, type, agent or data holds the text, whatever its case."""
        if not text.strip():
            self._matches = None
            return Answer({"n": 0})
        needle = pl.lit(text.strip().lower())
        looked = ("name", "event_type", "agent", "category", "data")
        found = self.events.select(
            pl.any_horizontal(
                pl.col(c).cast(pl.String).str.to_lowercase().str.contains(needle, literal=True) for c in looked
            )
        ).to_series()
        self._matches = found.fill_null(False).to_numpy()[self._spans.row]
        at = self._levels.shown(self._hidden(hidden), np.flatnonzero(self._matches))
        sent = at if len(at) <= MATCHES else at[np.linspace(0, len(at) - 1, MATCHES).astype(np.int64)]
        arrays = {
            "starts": self._spans.start[sent] / UNIT,
            "track": self._levels.track[sent],
            "row": self._spans.row[sent],
        }
        return Answer({"n": len(at)}, arrays)

    def _step(
        self,
        *,
        row: int | None,
        direction: int,
        at: float = 0.0,
        matches: bool = False,
        hidden: Mapping[str, Any] | None = None,
    ) -> Answer:
        """The event after (1) or before (-1) a row in time; with no row, after or before a place on the axis."""
        step = 1 if direction > 0 else -1
        if row is None:
            position = int(np.searchsorted(self._spans.start, to_axis(at), side="left")) - (1 if step > 0 else 0)
        else:
            position = int(self._position[row])
        keep = self._matches if matches else None
        found = self._levels.following(position, step, keep, self._hidden(hidden))
        return self._one(found)

    def _near(self, *, at: float, first: int, tracks: int, hidden: Mapping[str, Any] | None = None) -> Answer:
        """The event of a lane that starts nearest to a place on the axis."""
        middle = int(np.searchsorted(self._spans.start, to_axis(at)))
        reach = 4_096
        while True:
            low, high = max(0, middle - reach), min(len(self._spans), middle + reach)
            near = np.arange(low, high)
            track = self._levels.track[near]
            near = self._levels.shown(self._hidden(hidden), near[(track >= first) & (track < first + tracks)])
            if len(near) or (low == 0 and high == len(self._spans)):
                break
            reach *= 16
        if not len(near):
            return self._one(None)
        return self._one(int(near[np.argmin(np.abs(self._spans.start[near] - to_axis(at)))]))

    def _one(self, position: int | None) -> Answer:
        if position is None:
            return Answer({"found": False})
        one = self._items(np.array([position]))
        return Answer({"found": True, **one.result}, one.arrays)

    def _document(self, row: int) -> Document:
        if not 0 <= row < len(self._spans):
            raise LookupError(f"There is no event in row {row}; the frame has {len(self._spans)}.")
        if self._opened is None or self._opened.row != row:
            self._opened = Document(self.events, row)
        return self._opened

    def _detail(self, row: int) -> dict[str, Any]:
        document = self._document(row)
        data, cuts = document.trimmed()
        return {"fields": document.fields(), "data": data, "cuts": cuts}

    def _entries(self, row: int, pointer: str, offset: int) -> dict[str, Any]:
        entries, cuts = self._document(row).entries(pointer, offset)
        return {"entries": entries, "cuts": cuts}

    def _peek(self, row: int) -> dict[str, Any]:
        return {"text": snippet(self.events["data"][row])}

    def _code(self, selection: Mapping[str, Any]) -> dict[str, Any]:
        """What a selection is in Python, and how many events it has."""
        chosen = self._predicate(selection)
        return {"code": _written(chosen), "n": self._chosen(chosen).height}

    def _count(
        self, *, start: float, end: float, first: int, tracks: int, hidden: Mapping[str, Any] | None = None
    ) -> dict[str, int]:
        return self._levels.count(to_axis(start), to_axis(end), first, tracks, self._hidden(hidden))


def _shortened(names: list[str]) -> list[str]:
    """Names cut until all of them fit: two thousand long ones would outweigh the numbers of a frame."""
    for limit in (48, 24, 12):
        names = [name[:limit] for name in names]
        if sum(len(name.encode()) + 3 for name in names) <= NAMES:
            return names
    return [name[:6] for name in names]


def _written(chosen: Predicate | None) -> str:
    return "events.clear()" if chosen is None else f"events.filter({chosen.code})"
