"""A frame as a table of a report: short texts, readable numbers, every value escaped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from html import escape
from typing import Any

import polars as pl

# Up to here a text stays in one line; a column with a longer one gets a line of its own on a narrow page.
_SHORT = 40
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
        texts = [[_cut(shown(value), self.cut) for value in column] for column in self.frame.iter_columns()]
        is_long = [any(len(text) > _SHORT for text in column) for column in texts]
        opened = [_opened(column, long) for column, long in zip(self.frame.iter_columns(), is_long, strict=True)]
        rows = "".join(
            "<tr>" + "".join(f"{td}{_cell(text)}</td>" for td, text in zip(opened, row, strict=True)) + "</tr>"
            for row in zip(*texts, strict=True)
        )
        stacks = " wb-stacks" if any(is_long) else ""
        return f'<table class="dataframe{stacks}"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'


@dataclass(frozen=True)
class Facts:
    """Names and values, one a line; absent values are left out.

    Attributes
    ----------
    values
        Names and their values.
    cut
        Characters after which a text is cut.
    """

    values: Mapping[str, Any]
    cut: int = 2000

    def __repr__(self) -> str:
        return f"Facts({', '.join(name for name, value in self.values.items() if value is not None)})"

    def _repr_html_(self) -> str:
        look = "white-space:pre-wrap;overflow-wrap:anywhere"
        rows = "".join(
            f'<tr><th scope="row">{escape(name)}</th>'
            f'<td><span style="{look}">{escape(_cut(shown(value), self.cut))}</span></td></tr>'
            for name, value in self.values.items()
            if value is not None
        )
        return f'<table class="dataframe"><tbody>{rows}</tbody></table>'


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


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[:length]} … [{len(text) - length:,} more characters]"


def _opened(column: pl.Series, is_long: bool) -> str:
    """The opening tag of a column's cells; a number carries its column's name, for the page too narrow for a head."""
    mark = ' class="wb-long"' if is_long else ""
    name = f' data-name="{escape(column.name, quote=True)}"' if column.dtype.is_numeric() else ""
    return f"<td{mark}{name}{_align(column)}>"


def _cell(text: str) -> str:
    mark = ' class="wb-bad"' if text in _BAD else ""
    # A short text keeps its lines; a long one breaks wherever it must.
    look = "pre" if len(text) <= _SHORT else "pre-wrap;overflow-wrap:anywhere"
    return f'<span{mark} style="white-space:{look}">{escape(text)}</span>'


def _align(column: pl.Series) -> str:
    return ' style="text-align:right"' if column.dtype.is_numeric() else ""
