"""The difference as a plain table: what a saved notebook or an HTML export shows without kernel and scripts."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape as escape_attribute
from itertools import groupby
from typing import Any

from ._diff_rows import Source
from ._text import escape

MAX_ROWS = 200

SIGNS = {"equal": "=", "changed": "≠", "added": "+", "removed": "−"}
# Half transparent, so that the table stands on a light and on a dark page.
_TINTS = {"changed": "rgba(200,130,0,.16)", "added": "rgba(30,140,60,.16)", "removed": "rgba(200,40,50,.16)"}
_CELL = (
    "padding:3px 8px;border-top:1px solid rgba(128,128,128,.35);vertical-align:top;text-align:left;"
    "overflow-wrap:anywhere"
)
_MUTED = "opacity:.7"


def static_view(source: Source) -> str:
    """Sentence and table; at most :data:`MAX_ROWS` rows."""
    rows = list(_rows(source))
    more = len(rows) - MAX_ROWS
    tail = f'<p style="{_MUTED}">… and {more:,} more rows.</p>' if more > 0 else ""
    table = ""
    if rows:
        heads = "".join(
            f'<th scope="col" style="{_CELL}">{escape(name, 120)}</th>' for name in ("Difference", *_headings(source))
        )
        table = (
            '<table style="border-collapse:collapse;width:100%;table-layout:fixed;font-size:13px">'
            '<colgroup><col style="width:120px"><col><col></colgroup>'
            f"<thead><tr>{heads}</tr></thead><tbody>{''.join(rows[:MAX_ROWS])}</tbody></table>"
        )
    sentence = f"<p><strong>{escape(source.summary)}</strong></p>"
    return f'<div style="font-family:system-ui,sans-serif">{sentence}{table}{tail}</div>'


def _headings(source: Source) -> Iterator[str]:
    for name, title, n in zip((source.a, source.b), source.titles, (source.n_a, source.n_b), strict=True):
        yield " · ".join(filter(None, (name, title, _size(source, n))))


def _size(source: Source, n: Any) -> str:
    return f"{n:,} step{'' if n == 1 else 's'}" if source.mode == "runs" else str(n)


def _rows(source: Source) -> Iterator[str]:
    names = {**source.kinds, "parent": "", "equal": "equal"}
    position = 0
    for is_equal, group in groupby(source.rows.iter_rows(named=True), lambda row: row["category"] == "equal"):
        rows = list(group)
        if is_equal:
            noun = "step" if source.mode == "runs" else "part"
            text = f"{len(rows):,} equal {noun}{'' if len(rows) == 1 else 's'}"
            yield f'<tr><td style="{_CELL};{_MUTED}">=</td><td colspan="2" style="{_CELL};{_MUTED}">{text}</td></tr>'
        else:
            for offset, row in enumerate(rows):
                yield _row(row, names[row["category"]], position + offset == source.first)
        position += len(rows)


def _row(row: dict[str, Any], what: str, is_first: bool) -> str:
    is_parent = row["category"] == "parent"
    sign = "" if is_parent else SIGNS[row["kind"]]
    tint = f"background:{_TINTS[row['kind']]}" if row["kind"] in _TINTS else _MUTED
    mark = "<br><strong>first</strong>" if is_first else ""
    indent = f"padding-left:{8 + 16 * row['depth']}px" if row["depth"] else ""
    sides = "".join(
        f'<td style="{_CELL};{tint};{indent}">{_number(row[f"{side}_step"])}{_text(row[f"{side}_label"])}</td>'
        for side in "ab"
    )
    return f'<tr><td style="{_CELL};{tint}">{sign} {escape_attribute(what)}{mark}</td>{sides}</tr>'


def _number(step: int | None) -> str:
    return "" if step is None else f'<span style="{_MUTED}">{step}</span>&ensp;'


def _text(label: str | None) -> str:
    return escape(label or "", 300)
