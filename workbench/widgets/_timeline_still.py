"""A timeline without kernel or script: the lanes as SVG, and a table of the first events and the errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from ._document import snippet
from ._levels import Levels, Tile
from ._spans import ERROR, SEVERITIES, UNIT, Spans
from ._text import escape, one_line
from ._tracks import Lane

# Mid tones: readable on white and on black, as this fragment cannot know the theme.
COLORS = ("#4a86c5", "#c9772b", "#2a9d87", "#9270d8", "#cc5a90", "#7a9a2a", "#2b9ab8", "#858f9b")
SEVERE = "#e0484f"
_WIDTH, _LABEL, _ROW, _AXIS = 960, 130, 12, 18
_ROWS, _ERRORS = 12, 12
_CELL = 'style="padding:2px 8px;text-align:left;vertical-align:top;border-bottom:1px solid rgba(128,128,128,.35)"'


def html(
    frame: pl.DataFrame,
    spans: Spans,
    levels: Levels,
    lanes: Sequence[Lane],
    classes: Sequence[str],
    scene: Mapping[str, Any],
) -> str:
    """The fragment: escaped, inline styles, no script."""
    if not len(spans):
        return '<p style="font:13px sans-serif">Timeline: no events in this frame.</p>'
    n_errors = int((spans.severity >= ERROR).sum())
    counted = f"{len(spans):,} events" + (f", {n_errors:,} with errors" if n_errors else "")
    length = f"{scene['span']:,.0f} ms" if scene["unit"] == "ms" else f"{scene['span']:,.0f} steps"
    since = f" from {spans.origin:%Y-%m-%d %H:%M:%S} UTC" if spans.origin else ""
    head = f'<div style="margin-bottom:4px"><b>Timeline</b> · {counted} · {length}{since}</div>'
    return (
        f'<div style="font:13px/1.4 sans-serif;max-width:100%;overflow-x:auto">{head}{_svg(spans, levels, lanes)}'
        + (f"{_legend(classes)}{_table(frame, spans)}</div>")
    )


def _svg(spans: Spans, levels: Levels, lanes: Sequence[Lane]) -> str:
    tile = levels.tile(0, spans.last, 400)
    height = sum(lane.rows for lane in lanes) * _ROW + 4 * len(lanes) + _AXIS
    parts, tops, y = [], {}, 0
    for lane in lanes:
        for row in range(lane.rows):
            tops[lane.first + row] = y + 2 + row * _ROW
        parts.append(
            f'<text x="2" y="{y + 12}" font-size="11" fill="currentColor">{escape(one_line(lane.name, 20))}</text>'
        )
        y += lane.rows * _ROW + 4
        parts.append(f'<line x1="0" x2="{_WIDTH}" y1="{y}" y2="{y}" stroke="currentColor" stroke-opacity=".2"/>')
    parts += _cells(tile, tops) if not tile.complete else []
    parts += _bars(spans, levels, tile.items, tops)
    for share in (0, 0.25, 0.5, 0.75, 1):
        x = _LABEL + share * (_WIDTH - _LABEL)
        anchor = "start" if share == 0 else "end" if share == 1 else "middle"
        label = _amount(spans.last / UNIT * share, spans)
        parts.append(
            f'<text x="{x:.0f}" y="{height - 4}" font-size="10" text-anchor="{anchor}" '
            f'fill="currentColor">{label}</text>'
        )
    return (
        f'<svg role="img" aria-label="Timeline of {len(spans):,} events" viewBox="0 0 {_WIDTH} {height}" '
        f'style="width:100%;max-width:{_WIDTH}px;display:block" xmlns="http://www.w3.org/2000/svg">'
        f"{''.join(parts)}</svg>"
    )


def _amount(value: float, spans: Spans) -> str:
    if spans.origin is None:
        return f"step {value:,.0f}"
    return f"{value:,.0f} ms" if value < 10_000 else f"{value / 1000:,.1f} s"


def _x(value: float, last: float) -> float:
    return _LABEL + value / last * (_WIDTH - _LABEL)


def _bars(spans: Spans, levels: Levels, at: np.ndarray, tops: Mapping[int, int]) -> list[str]:
    parts = []
    for i in at[:800].tolist():
        x = _x(float(spans.start[i]), spans.last)
        width = max(2.0, _x(float(spans.end[i]), spans.last) - x - 0.5)
        y, bad = tops[int(levels.track[i])], spans.severity[i] >= ERROR
        color = COLORS[int(levels.color[i]) % len(COLORS)]
        edge = f' stroke="{SEVERE}" stroke-width="1.5"' if bad else ""
        parts.append(f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{_ROW - 2}" fill="{color}"{edge}/>')
        if bad:
            parts.append(f'<path d="M{x:.1f} {y}l5 0l-2.5 5z" fill="{SEVERE}"/>')
    return parts


def _cells(tile: Tile, tops: Mapping[int, int]) -> list[str]:
    """Neighbouring cells of one colour as one rectangle."""
    n_tracks = len(tile.count) // tile.n_bins
    color = np.where(tile.count > 0, (tile.mix.reshape(-1, 3)[:, 0] >> 4).astype(np.int16), -1).reshape(
        n_tracks, tile.n_bins
    )
    step, parts = (_WIDTH - _LABEL) / tile.n_bins, []
    for track in range(n_tracks):
        breaks = np.flatnonzero(np.diff(color[track])) + 1
        for low, high in zip([0, *breaks.tolist()], [*breaks.tolist(), tile.n_bins], strict=True):
            code = int(color[track, low])
            if code >= 0:
                x, width = _LABEL + low * step, (high - low) * step
                parts.append(
                    f'<rect x="{x:.1f}" y="{tops[track]}" width="{width:.1f}" height="{_ROW - 2}" '
                    f'fill="{COLORS[code % len(COLORS)]}" fill-opacity=".8"/>'
                )
    return parts[:3_000]


def _legend(classes: Sequence[str]) -> str:
    chips = "".join(
        f'<span style="margin-right:12px;white-space:nowrap"><span style="display:inline-block;width:10px;height:10px;'
        f'background:{COLORS[i % len(COLORS)]};margin-right:4px"></span>{escape(one_line(name, 40))}</span>'
        for i, name in enumerate(classes)
    )
    return f'<div style="margin:4px 0;font-size:12px">{chips}<span style="color:{SEVERE}">▼ error</span></div>'


def _table(frame: pl.DataFrame, spans: Spans) -> str:
    bad = np.flatnonzero(spans.severity >= ERROR)[:_ERRORS]
    shown = np.unique(np.concatenate([np.arange(min(_ROWS, len(spans))), bad]))
    titles = ("step", "at", "duration", "lane", "type", "name", "severity", "says")
    head = "".join(f"<th {_CELL}>{title}</th>" for title in titles)
    body = "".join(_line(frame.row(int(spans.row[i]), named=True), spans, int(i)) for i in shown)
    rest = len(spans) - len(shown)
    more = f'<div style="font-size:12px">… and {rest:,} more events.</div>' if rest else ""
    table = f'<table style="border-collapse:collapse;font-size:12px;margin-top:4px"><thead><tr>{head}</tr></thead>'
    return f"{table}<tbody>{body}</tbody></table>{more}"


def _line(record: Mapping[str, Any], spans: Spans, i: int) -> str:
    severity = SEVERITIES[int(spans.severity[i])]
    duration = record["duration_ms"]
    cells = (
        record["step_number"],
        _amount(spans.start[i] / UNIT, spans) if spans.origin else "–",
        "–" if duration is None else f"{duration:,.0f} ms",
        one_line(record["agent"] or "–", 40),
        one_line(record["event_type"] or "–", 30),
        one_line(record["name"] or "–", 40),
        f"▼ {severity}" if spans.severity[i] >= ERROR else severity,
        one_line(snippet(record["data"]), 120),
    )
    return f"<tr>{''.join(f'<td {_CELL}>{escape(cell)}</td>' for cell in cells)}</tr>"
