"""Rows of a run table as the browser asks for them: counts per facet, tiles of a filtered and sorted view, ids.

The browser does all of this itself when it holds every row (``static/_lib/rows.js``); this is the same for more rows
than it was sent.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from ._filters import checked, checked_sort, expression, ordered
from ._table import as_text, kind, pack

# One message stays under this: a megabyte is some 60 ms of a local connection and never near the server's 10 MB.
TILE_BYTES = 1_000_000
TILE_ROWS = 400
BINS = 24
# A picker lists this many values; its search box reaches the rest through the text search.
FACET_VALUES = 500
_LONGEST_VALUE = 300
_TRENDS = 60
# What a cell shows at most; where the kernel has the rest, it searches it too.
_TILE_TEXT = 320
FACETS = ("status", "agent_type", "model", "task", "source", "error_type")


class Rows:
    """A frame of runs, answering for one filter and sort at a time (the last few are kept)."""

    def __init__(self, frame: pl.DataFrame, shown: Sequence[str]) -> None:
        self.frame = frame
        self._shown = frame.select(shown)
        self._numbered = frame.with_row_index("_row")
        self._orders: OrderedDict[str, pl.Series] = OrderedDict()
        self._masks: OrderedDict[str, pl.Series] = OrderedDict()

    @property
    def facet_columns(self) -> list[str]:
        """Columns with a picker of values."""
        return [name for name in FACETS if name in self.frame.columns]

    @property
    def number_columns(self) -> list[str]:
        """Columns with a distribution."""
        return [name for name, dtype in self._shown.schema.items() if kind(dtype) == "number"]

    def order(self, filters: Mapping[str, Any], sort: Sequence[Mapping[str, Any]]) -> pl.Series:
        """Row numbers that pass, in order (UInt32)."""
        filters, sort = checked(filters, self.frame), checked_sort(sort, self.frame)
        key = json.dumps([filters, sort], default=str)
        if key not in self._orders:
            self._orders[key] = ordered(self._numbered.filter(self._passing(filters)), sort)["_row"]
            while len(self._orders) > 4:
                self._orders.popitem(last=False)
        self._orders.move_to_end(key)
        return self._orders[key]

    def _passing(self, filters: Mapping[str, Any], *, skip: str | None = None) -> pl.Series:
        """Which rows pass; each filter is evaluated once, however many facets leave another one out."""
        passing = pl.repeat(True, self.frame.height, dtype=pl.Boolean, eager=True)
        for name, rule in filters.items():
            if name == skip:
                continue
            key = json.dumps([name, rule], default=str)
            if key not in self._masks:
                self._masks[key] = self.frame.select(expression({name: rule}, self.frame).alias("passes")).to_series()
                while len(self._masks) > 16:
                    self._masks.popitem(last=False)
            self._masks.move_to_end(key)
            passing = passing & self._masks[key]
        return passing

    def first(
        self, filters: Mapping[str, Any], sort: Sequence[Mapping[str, Any]], *, beside: int = 0
    ) -> tuple[dict[str, Any], bytes]:
        """Every row where they fit a tile with `beside` bytes of other things, else the first ones of this view."""
        room = max(TILE_BYTES // 4, TILE_BYTES - beside)
        rows = min(self._shown.height, 20_000)
        order = self.order(filters, sort).head(rows)
        while True:
            is_whole = rows == self._shown.height
            header, data = (
                pack(self._shown) if is_whole else pack(self._shown[order.head(rows).to_list()], text_limit=_TILE_TEXT)
            )
            size = len(data) + len(json.dumps(header).encode())
            if size <= room or rows <= 1:
                return header, data
            rows = max(1, min(rows // 2, int(rows * 0.95 * room / size)))

    def tile(
        self, filters: Mapping[str, Any], sort: Sequence[Mapping[str, Any]], start: int
    ) -> tuple[dict[str, Any], bytes]:
        """Packed rows `start` … of the view, at most ``TILE_ROWS``."""
        rows = self.order(filters, sort).slice(max(0, start), TILE_ROWS)
        return pack(self._shown[rows.to_list()], text_limit=_TILE_TEXT)

    def ids(self, filters: Mapping[str, Any], sort: Sequence[Mapping[str, Any]], start: int, stop: int) -> list[str]:
        """Ids of the rows `start` to `stop` of the view."""
        rows = self.order(filters, sort).slice(max(0, start), max(0, stop - start))
        return self.frame["id"].gather(rows).to_list()

    def summary(self, filters: Mapping[str, Any], scales: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
        """Count of the view, of each facet's values without its own filter, and of each number's bins."""
        filters = checked(filters, self.frame)
        passing = self.frame.filter(self._passing(filters))
        return {
            "rows": passing.height,
            "facets": {name: self._facet(name, filters) for name in self.facet_columns},
            "bins": {name: bin_counts(passing[name], scales[name]) for name in self.number_columns if name in scales},
        }

    def _facet(self, name: str, filters: Mapping[str, Any]) -> list[list[Any]]:
        values = self.frame.filter(self._passing(filters, skip=name)).select(
            as_text(name, self.frame.schema[name]).alias("value")
        )
        values = values.filter(pl.col("value").is_null() | (pl.col("value").str.len_chars() <= _LONGEST_VALUE))
        counts = values.group_by("value").len().sort(["len", "value"], descending=[True, False], nulls_last=True)
        return [list(row) for row in counts.head(FACET_VALUES).rows()]

    def scales(self) -> dict[str, dict[str, Any]]:
        """For each number: the range its bars and bins are drawn in.

        The top is the 99th percentile: one run of an hour among runs of a second would flatten every other bar.
        """
        found = {}
        for name in self.number_columns:
            values = self._shown[name].cast(pl.Float64).drop_nulls()
            values = values.filter(values.is_finite())
            if values.is_empty():
                continue
            low, high = min(0.0, float(values.min())), float(values.quantile(0.99, "higher"))  # type: ignore[arg-type]
            scale = {"low": low, "high": high if high > low else low + 1, "median": values.median()}
            found[name] = {**scale, "bins": bin_counts(values, scale)}
        return found


def bin_counts(values: pl.Series, scale: Mapping[str, Any]) -> list[int]:
    """Counts in ``BINS`` equal bins of a scale; what lies outside goes into the first or last."""
    width = (scale["high"] - scale["low"]) / BINS
    places = ((values.cast(pl.Float64).drop_nans().drop_nulls() - scale["low"]) / width).floor().clip(0, BINS - 1)
    counts = dict(places.cast(pl.Int64).alias("bin").to_frame().group_by("bin").len().rows())
    return [counts.get(place, 0) for place in range(BINS)]


def trends(frame: pl.DataFrame, column: str, value: str, *, points: int = 20) -> dict[str, list[float | None]]:
    """Per value of `column`, medians of `value` over time: runs in order of start, in at most `points` equal groups."""
    if not {column, value, "started_at"} <= set(frame.columns):
        return {}
    timed = frame.select(column, value, "started_at").drop_nulls().sort("started_at")
    if timed.is_empty():
        return {}
    common = timed[column].value_counts(sort=True).head(_TRENDS)[column]
    timed = timed.filter(pl.col(column).is_in(common.to_list()))
    place = pl.int_range(pl.len()).over(column)
    size = pl.len().over(column)
    binned = timed.with_columns((place * pl.min_horizontal(size, points) // size).alias("point"))
    medians = binned.group_by(column, "point").agg(pl.col(value).median().round_sig_figs(4)).sort(column, "point")
    return {str(key): list(part[value]) for (key,), part in medians.group_by(column, maintain_order=True)}
