"""What is selected in a timeline, as a Polars expression and as the code that writes the same expression."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from ._tracks import COLORS, LANES, NONE, OTHER


@dataclass(frozen=True, slots=True)
class Predicate:
    """A filter, twice: to run and to read."""

    expression: pl.Expr
    code: str

    def __and__(self, other: Predicate) -> Predicate:
        return Predicate(self.expression & other.expression, f"{self.code}, {other.code}")


def predicate(
    selection: Mapping[str, Any],
    given: pl.DataFrame,
    origin: datetime | None,
    scene: Mapping[str, Any],
    lanes: str,
    colors: str,
) -> Predicate | None:
    """The filter that a selection stands for; None when nothing is selected.

    Parameters
    ----------
    selection
        ``{"kind": "events", "rows": […]}``, ``{"kind": "range", "start", "end", "hidden"}`` (all that overlaps it)
        or ``{"kind": "lane", "lane"}``.
    given
        The user's frame: the filter may use its columns only.
    """
    kind = selection.get("kind")
    if kind == "events":
        return _events([int(row) for row in selection["rows"]], given)
    if kind == "range":
        chosen = _range(float(selection["start"]), float(selection["end"]), given, origin)
        for hidden in _hidden(selection.get("hidden") or {}, given, scene, colors):
            chosen = chosen & hidden
        return chosen
    if kind == "lane":
        named = [lane[0] for lane in scene["lanes"]]
        return _one_of(LANES[lanes], str(selection["lane"]), named, given)
    return None


def _events(rows: list[int], given: pl.DataFrame) -> Predicate | None:
    rows = [row for row in rows if 0 <= row < given.height]
    if not rows:
        return None
    if "id" in given.columns and given["id"].null_count() == 0 and given["id"].dtype == pl.String:
        ids = given["id"].gather(rows).to_list()
        if len(ids) == 1:
            return Predicate(pl.col("id") == ids[0], f'pl.col("id") == {ids[0]!r}')
        return Predicate(pl.col("id").is_in(ids), f'pl.col("id").is_in({ids!r})')
    return Predicate(pl.int_range(pl.len()).is_in(rows), f"pl.int_range(pl.len()).is_in({rows!r})")


def _range(start: float, end: float, given: pl.DataFrame, origin: datetime | None) -> Predicate:
    if origin is None:
        low, high = math.floor(start), max(math.floor(start), math.ceil(end) - 1)
        expression = pl.col("step_number").is_between(low, high)
        return Predicate(expression, f'pl.col("step_number").is_between({low}, {high})')
    when, when_code = pl.col("timestamp"), 'pl.col("timestamp")'
    if given["timestamp"].null_count():  # an event without a time stands where the one before it does
        when = when.forward_fill().backward_fill()
        when_code += ".forward_fill().backward_fill()"
    low, high = origin + timedelta(milliseconds=start), origin + timedelta(milliseconds=end)
    zone = getattr(given["timestamp"].dtype, "time_zone", None)
    over, over_code = when, when_code
    if "duration_ms" in given.columns and given["duration_ms"].null_count() < given.height:
        over = when + pl.duration(microseconds=pl.col("duration_ms").fill_null(0) * 1000)
        over_code = f'{when_code} + pl.duration(microseconds=pl.col("duration_ms").fill_null(0) * 1000)'
        over_code = f"({over_code})"
    expression = (when <= _moment(high, zone)) & (over >= _moment(low, zone))
    return Predicate(expression, f"{when_code} <= {_written(high, zone)}, {over_code} >= {_written(low, zone)}")


def _moment(at: datetime, zone: str | None) -> pl.Expr:
    return pl.datetime(
        at.year, at.month, at.day, at.hour, at.minute, at.second, at.microsecond, time_zone="UTC" if zone else None
    )


def _written(at: datetime, zone: str | None) -> str:
    named = ', time_zone="UTC"' if zone else ""
    return f"pl.datetime({at.year}, {at.month}, {at.day}, {at.hour}, {at.minute}, {at.second}, {at.microsecond}{named})"


def _hidden(hidden: Mapping[str, Any], given: pl.DataFrame, scene: Mapping[str, Any], colors: str) -> list[Predicate]:
    """What the legend hides is not selected."""
    found = []
    if hidden.get("severities") and "severity" in given.columns:
        found.append(_none_of("severity", list(hidden["severities"]), [], given, null="info"))
    if hidden.get("colors") and COLORS[colors] in given.columns:
        named = [name for name, _ in scene["classes"]]
        null = "info" if colors == "severity" else NONE
        found.append(_none_of(COLORS[colors], list(hidden["colors"]), named, given, null=null))
    return found


def _none_of(column: str, values: list[str], named: list[str], given: pl.DataFrame, *, null: str) -> Predicate:
    filled = pl.col(column).fill_null(null) if given[column].null_count() else pl.col(column)
    code = f'pl.col("{column}")' + (f".fill_null({null!r})" if given[column].null_count() else "")
    if OTHER in values:  # "other" is whatever the legend does not name
        shown = [name for name in named if name not in values]
        return Predicate(filled.is_in(shown), f"{code}.is_in({shown!r})")
    return Predicate(~filled.is_in(values), f"~{code}.is_in({values!r})")


def _one_of(column: str, value: str, named: list[str], given: pl.DataFrame) -> Predicate | None:
    if column not in given.columns:
        return None
    if value == NONE:
        return Predicate(pl.col(column).is_null(), f'pl.col("{column}").is_null()')
    if value == OTHER and named[-1] == OTHER:
        rest = named[:-1]
        return Predicate(~pl.col(column).is_in(rest), f'~pl.col("{column}").is_in({rest!r})')
    return Predicate(pl.col(column) == value, f'pl.col("{column}") == {value!r}')
