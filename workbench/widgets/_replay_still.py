"""A player without kernel or script: the step that is seen with its state and what it changed, notes, the steps."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

import orjson
import polars as pl

from workbench._typing import ReplayCursor

from . import _state
from ._document import snippet, trim
from ._text import cut, escape, one_line

if TYPE_CHECKING:
    from .replay_player import _Shown

_ROWS, _WRONG, _CHANGES, _NOTES = 15, 15, 20, 40
_STATE = 6_000  # characters of the state
_CELL = (
    'style="padding:2px 8px;text-align:left;vertical-align:top;border-bottom:1px solid rgba(128,128,128,.35);'
    'overflow-wrap:anywhere"'
)
_SEVERE = "#e0484f"
_SIGNS = {"added": "+", "removed": "−", "changed": "≠"}
NOTE_SIGNS = {"pin": "●", "note": "✎", "checkpoint": "◆"}


def html(replay: ReplayCursor, position: int, shown: _Shown, marks: Mapping[str, Any]) -> str:
    """The fragment: escaped, inline styles, no script."""
    steps = replay.steps
    row = steps.row(position, named=True)
    n = steps.height
    head = (
        f'<div style="margin-bottom:4px"><b>Replay</b> · step {row["step_number"]:,} ({position + 1:,} of {n:,})'
        f" · {escape(_called(row))}</div>"
    )
    said = escape(one_line(snippet(_text(shown)), 400)) if shown.document else ""
    return (
        '<div style="font:13px/1.4 sans-serif;max-width:100%;overflow-x:auto">'
        f"{head}{f'<p>{said}</p>' if said else ''}{_changes(shown, position)}{_state_of(shown)}"
        f"{_notes(steps, marks)}{_table(steps, position)}</div>"
    )


def _called(row: Mapping[str, Any]) -> str:
    parts = [row["event_type"] or "state", row["name"], row["agent"]]
    parts += [row["severity"]] if row["severity"] in ("error", "critical", "warning") else []
    return one_line(" · ".join(str(part) for part in parts if part), 160)


def _text(shown: _Shown) -> str:
    assert shown.document is not None
    return orjson.dumps(shown.document.data, option=orjson.OPT_NON_STR_KEYS).decode()


def _changes(shown: _Shown, position: int) -> str:
    if shown.problem is not None:
        return f'<p style="color:{_SEVERE}">{escape(shown.problem, 600)}</p>'
    before = shown.before if shown.before is not None or position else {}
    found = list(islice(_state.differences(before, shown.after), _CHANGES + 1))
    rows = "".join(
        f"<tr><td {_CELL}>{_SIGNS[one.kind]} {escape(one_line(one.pointer or 'the state', 120))}</td>"
        f"<td {_CELL}>{_line(one.before)}</td><td {_CELL}>{_line(one.after)}</td></tr>"
        for one in found[:_CHANGES]
    )
    if not rows:
        return ""
    more = "<p>… and more.</p>" if len(found) > _CHANGES else ""
    heads = "".join(f'<th scope="col" {_CELL}>{name}</th>' for name in ("changed in this step", "before", "after"))
    table = "<table style='border-collapse:collapse;font-size:12px'>"
    return f"{table}<thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>{more}"


def _line(value: Any) -> str:
    if value is _state.MISSING:
        return "–"
    _, kind, size, text = _state.entry("", value)
    said = {"object": f"{{{size}}} {text}", "array": f"[{size}]"}.get(kind, text)
    return escape(one_line(said, 160))


def _state_of(shown: _Shown) -> str:
    if shown.after is None:
        return "" if shown.problem else "<p>No state is known at this step.</p>"
    kept, cuts = trim(shown.after)
    text = orjson.dumps(kept, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS).decode()
    how = ", rebuilt from the conversation" if shown.is_derived else ""
    note = f" (its beginning: {len(cuts):,} parts are cut)" if cuts else ""
    return (
        f"<details open><summary>State after this step{how}{note}</summary>"
        f'<pre style="max-height:360px;overflow:auto;font-size:12px;white-space:pre-wrap;overflow-wrap:anywhere">'
        f"{escape(cut(text, _STATE), _STATE + 100)}</pre></details>"
    )


def _notes(steps: pl.DataFrame, marks: Mapping[str, Any]) -> str:
    notes = marks["notes"]
    if not notes:
        return ""
    numbers = steps["step_number"]
    items = "".join(
        f"<li>step {numbers[note['position']]:,} · {NOTE_SIGNS.get(note['kind'], '')} {escape(note['kind'], 40)}"
        f"{': ' if note['text'] else ''}{escape(one_line(note['text'], 400), 400)}</li>"
        for note in notes[:_NOTES]
    )
    more = f"<p>… and {len(notes) - _NOTES:,} more notes.</p>" if len(notes) > _NOTES else ""
    return f'<div style="margin-top:6px"><b>Notes</b><ul style="margin:2px 0">{items}</ul>{more}</div>'


def _table(steps: pl.DataFrame, position: int) -> str:
    wrong = steps.select(pl.col("severity").is_in(["error", "critical"]).arg_true()).to_series().to_list()[:_WRONG]
    near = range(max(0, position - 5), min(steps.height, position + 6))
    places = sorted({*range(min(_ROWS, steps.height)), *wrong, *near})
    heads = "".join(f'<th scope="col" {_CELL}>{name}</th>' for name in ("step", "type", "name", "agent", "severity"))
    body = "".join(_step(steps.row(place, named=True), place == position) for place in places)
    rest = steps.height - len(places)
    more = f"<div>… and {rest:,} more steps.</div>" if rest else ""
    table = "<table style='border-collapse:collapse;font-size:12px;margin-top:6px'>"
    return f"{table}<thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>{more}"


def _step(row: Mapping[str, Any], is_seen: bool) -> str:
    severity = row["severity"] or "–"
    is_wrong = severity in ("error", "critical")
    cells = (
        f"{'▶ ' if is_seen else ''}{row['step_number']}",
        row["event_type"] or "state",
        one_line(row["name"] or "–", 80),
        one_line(row["agent"] or "–", 40),
        f"▼ {severity}" if is_wrong else severity,
    )
    weight = ' style="font-weight:600"' if is_seen else ""
    return f"<tr{weight}>{''.join(f'<td {_CELL}>{escape(cell)}</td>' for cell in cells)}</tr>"
