"""A dashboard without script: its numbers as text and small tables, bars as inline SVG."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ._aggregate import moment
from ._text import escape, one_line

_DONE, _FAILED, _OTHER = "#2f6fab", "#b35a00", "#8a929c"
_GROUP_LABELS = {"agent_type": "agent", "model": "model", "task": "task", "source": "source"}
_TOKEN_LABELS = {
    "input_tokens": "input",
    "cache_read_tokens": "cache read",
    "cache_write_tokens": "cache write",
    "output_tokens": "output",
}


def duration(ms: float | None) -> str:
    """As in 1.83 s."""
    if ms is None:
        return "–"
    for size, unit in ((3_600_000, "h"), (60_000, "min"), (1_000, "s")):
        if abs(ms) >= size:
            return f"{ms / size:.3g} {unit}"
    return f"{ms:.3g} ms"


def cost(value: Mapping[str, Any]) -> str:
    """As in $1.23 + 4 unpriced."""
    unpriced = f"{value['unpriced']:,} unpriced" if value["unpriced"] else ""
    if value["sum"] is None:
        return unpriced or "–"
    shown = f"${value['sum']:,.2f}" if value["sum"] >= 0.01 or value["sum"] == 0 else f"${value['sum']:.2g}"
    return f"{shown} + {unpriced}" if unpriced else shown


def rate(success: Mapping[str, Any]) -> str:
    """As in 61 % (52–69 %, n = 115)."""
    if success["rate"] is None:
        return "– (n = 0)"
    low, high = success["low"] * 100, success["high"] * 100
    return f"{success['rate'] * 100:.3g} % ({low:.0f}–{high:.0f} %, n = {success['n']:,})"


def still_dashboard(meta: Mapping[str, Any], numbers: Mapping[str, Any], group: str) -> str:
    """The whole fragment."""
    head, plan = numbers["headline"], meta["plan"]
    tokens = ", ".join(f"{_TOKEN_LABELS[k]} {v['sum']:,}" for k, v in head["tokens"].items() if v["sum"] is not None)
    facts = [
        ("Runs", f"{head['runs']:,}" + (f" of {numbers['total']:,}" if head["runs"] < numbers["total"] else "")),
        ("Success rate", rate(head["success"])),
        ("Duration", ", ".join(f"{q} {duration(head['duration'][q])}" for q in ("p50", "p95", "p99"))),
        ("Tokens", tokens or "–"),
        ("Cost", cost(head["cost"])),
        ("Failures", f"{head['errors']:,}"),
    ]
    listed = "".join(
        f'<tr><th style="{_TH}">{name}</th><td style="{_TD}">{escape(text)}</td></tr>' for name, text in facts
    )
    tables = [
        _counts("Runs by status", plan["statuses"], numbers["status"]),
        _counts("Failures by kind", plan["kinds"], numbers["errors"], _FAILED),
        _groups(numbers["groups"], group),
        _time(plan["time"], numbers["time"]),
    ]
    if numbers["faults"]:
        tables.append(_counts("Error events by tool", meta["faults"], numbers["faults"], _FAILED))
    return (
        '<div style="font:13px/1.5 system-ui,sans-serif;font-variant-numeric:tabular-nums;overflow:auto">'
        f'<table style="border-collapse:collapse">{listed}</table>{"".join(tables)}</div>'
    )


_TH = "text-align:left;font-weight:600;padding:2px 14px 2px 0;vertical-align:top"
_TD = "text-align:left;padding:2px 14px 2px 0;vertical-align:top"
_TITLE = "text-align:left;font-weight:600;padding:10px 0 2px"


def _counts(title: str, names: Iterable[Any], found: Mapping[str, Any], colour: str = _DONE) -> str:
    rows = [(name, n) for name, n in zip(names, found["counts"], strict=False) if n]
    if found["rest"]:
        rows.append(("others", found["rest"]))
    if not rows:
        return ""
    top = max(n for _, n in rows)
    colours = {"completed": _DONE, "failed": _FAILED}
    body = "".join(
        f'<tr><td style="{_TD}">{"none" if name is None else escape(one_line(name, 60))}</td>'
        f'<td style="{_TD};text-align:right">{n:,}</td>'
        f"<td>{_bars([(n, colours.get(str(name), colour))], top)}</td></tr>"
        for name, n in rows
    )
    return f'<table style="border-collapse:collapse"><caption style="{_TITLE}">{title}</caption>{body}</table>'


def _groups(groups: list[dict[str, Any]], group: str) -> str:
    shown = [g for g in groups if g["runs"]]
    if not shown:
        return ""
    top = max(g["runs"] for g in shown)
    head = "".join(
        f'<th style="{_TH}">{t}</th>' for t in (_GROUP_LABELS[group], "runs", "", "success rate", "p50", "cost")
    )
    body = "".join(
        f'<tr><td style="{_TD}">{"none" if g["value"] is None else escape(one_line(g["value"], 60))}</td>'
        f'<td style="{_TD};text-align:right">{g["runs"]:,}</td>'
        f"<td>{_bars([(g['completed'], _DONE), (g['failed'], _FAILED), (g['other'], _OTHER)], top)}</td>"
        f'<td style="{_TD}">{rate(g["success"])}</td><td style="{_TD}">{duration(g["p50"])}</td>'
        f'<td style="{_TD}">{cost(g["cost"])}</td></tr>'
        for g in shown
    )
    caption = f'<caption style="{_TITLE}">By {_GROUP_LABELS[group]}</caption>'
    return f'<table style="border-collapse:collapse">{caption}<tr>{head}</tr>{body}</table>'


def _time(bins: Mapping[str, Any] | None, found: Mapping[str, Any]) -> str:
    untimed = sum(found["untimed"].values())
    note = f"{untimed:,} runs without a time" if untimed else ""
    if not bins:
        return f'<p style="margin:10px 0 2px">{note}</p>' if note else ""
    columns = list(zip(found["completed"], found["failed"], found["other"], strict=True))
    top = max(1, *(sum(c) for c in columns))
    width = max(3, min(14, 640 // len(columns)))
    rects = []
    for i, column in enumerate(columns):
        y = 60.0
        for n, colour in zip(column, (_DONE, _FAILED, _OTHER), strict=True):
            tall = 60 * n / top
            y -= tall
            if n:
                rects.append(
                    f'<rect x="{i * width}" y="{y:.1f}" width="{width - 1}" height="{tall:.1f}" fill="{colour}"/>'
                )
    first, last = (_when(bins["start"] + bins["width"] * n, bins["width"]) for n in (0, bins["bins"]))
    caption = f"{first} to {last} UTC, at most {top:,} runs in a bar"
    return (
        f'<p style="{_TITLE};margin:0">Over time</p><svg width="{width * len(columns)}" height="60" role="img" '
        f'aria-label="Runs over time">{"".join(rects)}</svg>'
        f'<p style="margin:0">{caption}{"; " if note else ""}{note}</p>'
    )


def _when(ms: float, width: float) -> str:
    """A moment to the minute, or to the second or millisecond where bars are narrower than a minute or second."""
    return f"{moment(ms):%Y-%m-%d %H:%M:%S.%f}"[: 23 if width < 1_000 else 19 if width < 60_000 else 16]


def _bars(parts: list[tuple[int, str]], top: int) -> str:
    x, rects = 0.0, []
    for n, colour in parts:
        width = 160 * n / top
        if n:
            rects.append(f'<rect x="{x:.1f}" width="{max(1.0, width):.1f}" height="9" fill="{colour}"/>')
        x += width
    return f'<svg width="162" height="9" aria-hidden="true">{"".join(rects)}</svg>'
