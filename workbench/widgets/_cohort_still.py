"""A cohort without kernel or script: its sentence, its divergences, and its steps with good and failed runs."""

from __future__ import annotations

from typing import Any

import polars as pl

from workbench._typing import RunCohort

from ._text import escape, one_line

MAX_STEPS = 80
MAX_DIVERGENCES = 12
# Mid tones of the live view's blue and orange: readable on white and on black, as this fragment cannot know the theme.
GOOD, FAILED = "#4a86c5", "#cf7a2e"
_CELL = (
    "padding:3px 8px;border-top:1px solid rgba(128,128,128,.35);vertical-align:top;text-align:left;"
    "overflow-wrap:anywhere"
)
_BAR = "display:inline-block;height:9px"
_MUTED = "opacity:.75"


def html(cohort: RunCohort, n_good: int, n_failed: int, least: int) -> str:
    """The fragment: escaped, inline styles, no script."""
    task = f'<div style="{_MUTED}">{escape(one_line(cohort.task, 200))}</div>' if cohort.task else ""
    sentence = f"<p style='margin:4px 0'><strong>{escape(cohort.summary)}</strong></p>"
    body = _divergences(cohort) + _steps(cohort, n_good, n_failed, least)
    return f'<div style="font:13px/1.45 system-ui,sans-serif">{task}{sentence}{body}</div>'


def _table(heads: tuple[str, ...], rows: list[str]) -> str:
    cells = "".join(f'<th scope="col" style="{_CELL}">{head}</th>' for head in heads)
    return (
        '<table style="border-collapse:collapse;font-size:12.5px;margin:6px 0;max-width:100%">'
        f"<thead><tr>{cells}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    )


def _row(*cells: str) -> str:
    joined = "".join(f'<td style="{_CELL}">{cell}</td>' for cell in cells)
    return f"<tr>{joined}</tr>"


def _divergences(cohort: RunCohort) -> str:
    found = cohort.divergences
    if found.is_empty():
        return ""
    rows = [_divergence(row) for row in found.head(MAX_DIVERGENCES).iter_rows(named=True)]
    more = found.height - len(rows)
    tail = f'<div style="{_MUTED}">… and {more} more.</div>' if more else ""
    heads = ("#", "step", "class", "what the failing do", "others", "then fail", "else fail", "difference (95 %)", "p")
    return _table(heads, rows) + tail


def _divergence(row: dict[str, Any]) -> str:
    is_with = row["fails"] == "with"
    side, other, sign = ("with", "without", 1) if is_with else ("without", "with", -1)
    low, high = sorted((sign * row["low"], sign * row["high"]))
    label = escape(one_line(row["label"] or "", 160))
    instead = "–" if row["instead"] is None else escape(one_line(row["instead"], 160))
    return _row(
        str(row["rank"]),
        str(row["step"]),
        escape(row["class"]),
        label if is_with else "left out" if row["instead"] is None else instead,
        instead if is_with else label,
        f"{row[f'failed_{side}']:,} of {row[f'n_{side}']:,}",
        f"{row[f'failed_{other}']:,} of {row[f'n_{other}']:,}",
        f"{sign * row['difference']:+.0%} ({low:+.0%} to {high:+.0%})",
        f"{row['p_adjusted']:.2g}",
    )


def _steps(cohort: RunCohort, n_good: int, n_failed: int, least: int) -> str:
    nodes = cohort.nodes
    if nodes.is_empty():
        return f'<p style="{_MUTED}">No run of this cohort has steps.</p>'
    parting = cohort.divergences["node"].head(MAX_DIVERGENCES).to_list()
    stands = nodes.filter((pl.col("n_runs") >= least) | pl.col("node").is_in(parting))
    shown = stands.head(MAX_STEPS)
    rows = [_step(row, n_good + n_failed, row["node"] in parting[:1]) for row in shown.iter_rows(named=True)]
    notes = []
    if shown.height < stands.height:
        notes.append(f"{stands.height - shown.height:,} later steps")
    if stands.height < nodes.height:
        notes.append(f"{nodes.height - stands.height:,} steps that fewer than {least:,} runs come to")
    tail = f'<div style="{_MUTED}">Not listed: {" and ".join(notes)}.</div>' if notes else ""
    return _table(("step", "what", "good", "failed", ""), rows) + tail


def _step(row: dict[str, Any], n_runs: int, is_first: bool) -> str:
    mark = "<strong>◆ parts here</strong> " if is_first else ""
    bars = "".join(
        f'<span style="{_BAR};width:{n / max(1, n_runs) * 140:.1f}px;background:{color}"></span>'
        for n, color in ((row["n_good"], GOOD), (row["n_failed"], FAILED))
    )
    label = escape(one_line(row["label"] or "", 160))
    return _row(
        str(row["step"]),
        mark + label,
        f"✓ {row['n_good']:,}",
        f"✕ {row['n_failed']:,}",
        f'<span style="white-space:nowrap">{bars}</span>',
    )
