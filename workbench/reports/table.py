"""A frame as a table of a report: short texts, readable numbers, every value escaped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from html import escape
from typing import Any

import polars as pl

_SHORT = 24
_BAD = frozenset({"failed", "error", "critical"})


@dataclass(frozen=True)
class Table:
    """A small frame as HTML.

    Attributes
    ----------
    frame
        Rows as they are shown.
    cut
        Characters after which a text is cut.
    """

    frame: pl.DataFrame
    cut: int = 300

    def __repr__(self) -> str:
        return f"Table(rows={self.frame.height}, columns={self.frame.width})"

    def _repr_html_(self) -> str:
        head = "".join(f'<th scope="col"{_align(self.frame[name])}>{escape(name)}</th>' for name in self.frame.columns)
        aligns = [_align(column) for column in self.frame.iter_columns()]
        rows = "".join(
            "<tr>" + "".join(f"<td{a}>{self._cell(v)}</td>" for a, v in zip(aligns, row, strict=True)) + "</tr>"
            for row in self.frame.iter_rows()
        )
        return f'<table class="dataframe"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'

    def _cell(self, value: Any) -> str:
        text = shown(value)
        text = text if len(text) <= self.cut else f"{text[: self.cut]} … [{len(text) - self.cut:,} more characters]"
        mark = ' class="wb-bad"' if text in _BAD else ""
        # A short text stays in one line; a long one breaks wherever it must.
        look = "nowrap" if len(text) <= _SHORT else "pre-wrap;overflow-wrap:anywhere"
        return f'<span{mark} style="white-space:{look}">{escape(text)}</span>'


@dataclass(frozen=True)
class Facts:
    """Names and values, one a line; absent values are left out."""

    values: Mapping[str, Any]

    def __repr__(self) -> str:
        return f"Facts({', '.join(name for name, value in self.values.items() if value is not None)})"

    def _repr_html_(self) -> str:
        rows = "".join(
            f'<tr><th scope="row">{escape(name)}</th>'
            f'<td><span style="white-space:pre-wrap;overflow-wrap:anywhere">{escape(shown(value))}</span></td></tr>'
            for name, value in self.values.items()
            if value is not None
        )
        return f'<table class="dataframe wb-facts"><tbody>{rows}</tbody></table>'


@dataclass(frozen=True)
class Note:
    """A sentence where there is nothing to show."""

    text: str

    def _repr_html_(self) -> str:
        return f'<p class="wb-note">{escape(self.text)}</p>'


def shown(value: Any) -> str:
    """A value as a person reads it."""
    if value is None:
        return "–"
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S UTC")
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return "".join(char if char.isprintable() or char in "\n\t" else "\N{MIDDLE DOT}" for char in str(value))


def _align(column: pl.Series) -> str:
    return ' style="text-align:right"' if column.dtype.is_numeric() else ""
