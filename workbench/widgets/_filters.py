"""Filters of a run table: the browser's rules as a Polars expression and as the code that reproduces them.

``{"search": "timeout", "status": ["failed"], "error_type": [None], "cost_usd": {"min": 0.1, "max": 2},
"execution_time_ms": {"is_null": True}, "started_at": {"min": "2026-11-01T00:00:00Z", "below":
"2026-11-02T00:00:00Z"}}``. A list names the values that pass (None = no value); a range leaves runs without a value
out. ``static/_lib/table.js`` is the twin.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

import polars as pl

from ..errors import ConfigurationError
from ._table import TEXT_LIMIT, as_text, kind

_IMPORTS = (("datetime.", "from datetime import datetime\n"), ("pl.", "import polars as pl"))
_BOUNDS = {"min": ">=", "max": "<=", "below": "<"}


def checked(filters: Mapping[str, Any] | None, frame: pl.DataFrame) -> dict[str, Any]:
    """Filters in the form that travels (times as ISO text); an unknown column or rule is a ConfigurationError."""
    clean: dict[str, Any] = {}
    for name, rule in (filters or {}).items():
        if name == "search":
            if str(rule or "").strip():
                clean["search"] = str(rule)
            continue
        if name not in frame.columns:
            raise ConfigurationError(
                f"No column {name!r} to filter by. The frame has: {', '.join(frame.columns)}; "
                "'search' searches all text.",
                column=name,
            )
        rule = _checked_rule(name, rule, frame.schema[name])
        if rule is not None:
            clean[name] = rule
    return clean


def _checked_rule(name: str, rule: Any, dtype: pl.DataType) -> list[Any] | dict[str, Any] | None:
    if rule is None:
        return None
    if isinstance(rule, Mapping):
        rule = {key: value for key, value in rule.items() if value is not None and value is not False}
        unknown = set(rule) - {*_BOUNDS, "is_null"}
        if unknown or (kind(dtype) == "text" and set(rule) - {"is_null"}):
            raise ConfigurationError(
                f"Cannot filter {name!r} by {dict(rule)}. Use a list of values, {{'is_null': True}}, or for "
                "numbers and times {'min': …, 'max': …, 'below': …}.",
                column=name,
            )
        return {key: _bound(name, value, dtype) if key in _BOUNDS else True for key, value in rule.items()} or None
    if isinstance(rule, str) or not isinstance(rule, Sequence):
        rule = [rule]
    return list(rule) or None


def _bound(name: str, value: Any, dtype: pl.DataType) -> Any:
    if kind(dtype) != "time":
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ConfigurationError(f"{name!r} is compared with a number, not with {value!r}.", column=name)
        return value
    if isinstance(value, int | float):
        value = datetime.fromtimestamp(value / 1000, UTC)
    try:
        moment = value if isinstance(value, date) else datetime.fromisoformat(str(value))
    except ValueError as error:
        raise ConfigurationError(f"{name!r} is compared with a time, not with {value!r}.", column=name) from error
    if not isinstance(moment, datetime):
        moment = datetime(moment.year, moment.month, moment.day, tzinfo=UTC)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC).isoformat().replace("+00:00", "Z")


def expression(filters: Mapping[str, Any], frame: pl.DataFrame, *, skip: str | None = None) -> pl.Expr:
    """The filters as one Polars expression; `skip` leaves one column's out."""
    parts = [_part(name, rule, frame) for name, rule in filters.items() if name != skip]
    return pl.all_horizontal(parts) if parts else pl.lit(True)


def _part(name: str, rule: Any, frame: pl.DataFrame) -> pl.Expr:
    if name == "search":
        return _searched(str(rule), frame)
    column = pl.col(name)
    if isinstance(rule, list):
        present = [value for value in rule if value is not None]
        text = as_text(name, frame.schema[name]) if kind(frame.schema[name]) == "text" else column
        found = text.is_in(present).fill_null(False) if present else pl.lit(False)
        return found | column.is_null() if None in rule else found
    if rule.get("is_null"):
        return column.is_null()
    value = pl.col(name)
    parts = []
    for key, sign in _BOUNDS.items():
        if key in rule:
            bound = _moment(rule[key], frame.schema[name])
            parts.append(value >= bound if sign == ">=" else value <= bound if sign == "<=" else value < bound)
    return pl.all_horizontal(parts).fill_null(False)


def _moment(value: Any, dtype: pl.DataType) -> Any:
    if kind(dtype) != "time":
        return value
    moment = datetime.fromisoformat(value)
    zone = getattr(dtype, "time_zone", None)
    return pl.lit(moment if zone else moment.replace(tzinfo=None))


def searched_columns(frame: pl.DataFrame) -> list[str]:
    """The text columns, which a search reads."""
    return [name for name, dtype in frame.schema.items() if kind(dtype) == "text"]


def _searched(search: str, frame: pl.DataFrame) -> pl.Expr:
    names = searched_columns(frame)
    texts = [as_text(name, frame.schema[name]).str.head(TEXT_LIMIT).str.to_lowercase() for name in names]
    words = search.lower().split()
    if not texts or not words:
        return pl.lit(not words)
    return pl.all_horizontal(
        [
            pl.any_horizontal([text.str.contains(word, literal=True).fill_null(False) for text in texts])
            for word in words
        ]
    )


def code(filters: Mapping[str, Any], frame: pl.DataFrame, *, name: str = "runs") -> str:
    """Python that makes the same rows from the frame `name`; needs ``polars as pl`` and ``datetime``."""
    return name + "".join(calls(filters, frame))


def calls(filters: Mapping[str, Any], frame: pl.DataFrame) -> list[str]:
    """One ``.filter(…)`` per filter."""
    return [f".filter({_part_code(column, rule, frame)})" for column, rule in filters.items()]


def assigned(target: str, name: str, chain: Sequence[str]) -> str:
    """``target = name.filter(…)…``, one call a line where it would be long."""
    line = f"{target} = {name}{''.join(chain)}"
    if len(line) <= 100:
        return line
    return "\n".join([f"{target} = (", f"    {name}", *(f"    {call}" for call in chain), ")"])


def with_imports(text: str) -> str:
    """The lines that code of these filters needs in front."""
    needed = [line for mark, line in _IMPORTS if mark in text]
    return "\n".join([*needed, "", text]) if needed else text


def _part_code(name: str, rule: Any, frame: pl.DataFrame) -> str:
    column = f"pl.col({name!r})"
    if name == "search":
        texts = _search_code(frame)
        words = ", ".join(repr(word) for word in str(rule).lower().split())
        return f"pl.all_horizontal(pl.any_horizontal({texts}.str.contains(word, literal=True)) for word in [{words}])"
    if isinstance(rule, list):
        present = [value for value in rule if value is not None]
        found = f"{column}.is_in({present!r})"
        if None not in rule:
            return found
        return f"{column}.is_null() | {found}" if present else f"{column}.is_null()"
    if rule.get("is_null"):
        return f"{column}.is_null()"
    is_time = kind(frame.schema[name]) == "time"
    bounds = [
        f"{column} {sign} {f'datetime.fromisoformat({rule[key]!r})' if is_time else repr(rule[key])}"
        for key, sign in _BOUNDS.items()
        if key in rule
    ]
    return ", ".join(bounds)


def _search_code(frame: pl.DataFrame) -> str:
    names = searched_columns(frame)
    texts = [as_text(name, frame.schema[name]).str.len_chars().max() for name in names]
    longest = frame.select(texts).max_horizontal().item() if texts else 0
    cut = f".str.head({TEXT_LIMIT})" if (longest or 0) > TEXT_LIMIT else ""
    if all(frame.schema[name] == pl.String for name in names):
        return f"pl.col(pl.String){cut}.str.to_lowercase()"
    return f"pl.col({names!r}).cast(pl.String){cut}.str.to_lowercase()"


def ordered(frame: pl.DataFrame, sort: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """Rows in this order: nulls last either way, ties as they were."""
    if not sort:
        return frame
    return frame.sort(
        [key["column"] for key in sort],
        descending=[bool(key.get("descending")) for key in sort],
        nulls_last=True,
        maintain_order=True,
    )


def sort_code(sort: Sequence[Mapping[str, Any]]) -> str:
    """The call that :func:`ordered` makes, to append to :func:`code`."""
    if not sort:
        return ""
    names = [key["column"] for key in sort]
    descending = [bool(key.get("descending")) for key in sort]
    return f".sort({names!r}, descending={descending!r}, nulls_last=True, maintain_order=True)"


def checked_sort(sort: Sequence[Mapping[str, Any]] | None, frame: pl.DataFrame) -> list[dict[str, Any]]:
    """Sort keys with a known column each; otherwise a ConfigurationError."""
    keys = []
    for key in sort or ():
        if isinstance(key, str):
            key = {"column": key.removeprefix("-"), "descending": key.startswith("-")}
        if key["column"] not in frame.columns:
            raise ConfigurationError(
                f"No column {key['column']!r} to sort by. The frame has: {', '.join(frame.columns)}.",
                column=key["column"],
            )
        keys.append({"column": key["column"], "descending": bool(key.get("descending"))})
    return keys
