"""The divergences of a cohort in words: what the step is, which runs are on which side of it, and at which steps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import polars as pl

from .graph import Graph
from .splits import ALPHA, Splits, ranked
from .steps import Step

MAX_DIVERGENCES = 100

SCHEMA = {
    "rank": pl.Int64,
    "position": pl.Int64,
    "node": pl.Int64,
    "step": pl.Int64,
    "class": pl.String,
    "what": pl.String,
    "label": pl.String,
    "instead": pl.String,
    "fails": pl.String,
    "n_with": pl.Int64,
    "n_without": pl.Int64,
    "failed_with": pl.Int64,
    "failed_without": pl.Int64,
    "rate_with": pl.Float64,
    "rate_without": pl.Float64,
    "difference": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "p_value": pl.Float64,
    "p_adjusted": pl.Float64,
    "n_alike": pl.Int64,
    "runs": pl.List(pl.String),
    "step_numbers": pl.List(pl.Int64),
}


def divergences(graph: Graph, splits: Splits, failed: np.ndarray, ids: Sequence[str]) -> pl.DataFrame:
    """The ranking of the splits with words, and the runs with their steps; of at most :data:`MAX_DIVERGENCES`."""
    rows = []
    for rank, row in enumerate(ranked(splits, failed).head(MAX_DIVERGENCES).iter_rows(named=True), 1):
        about, has = splits.about.row(row["split"], named=True), splits.has[row["split"]]
        fails_with = row["difference"] > 0
        failing = np.flatnonzero(has == fails_with).tolist()
        rows.append(
            row
            | _described(graph, about, has)
            | {
                "rank": rank,
                "fails": "with" if fails_with else "without",
                "runs": [ids[run] for run in failing],
                "step_numbers": [_number(graph, run, about) for run in failing],
            }
        )
    return pl.DataFrame(rows, schema=SCHEMA)


def _described(graph: Graph, about: dict[str, Any], has: np.ndarray) -> dict[str, Any]:
    there = graph.by_column[about["column"]]
    with_it = [step for run, step in there.items() if has[run]]
    instead = [step.label for run, step in there.items() if not has[run]]
    is_left_out = len(instead) < int((~has).sum()) / 2
    kind = "structure" if about["what"] == "step" or is_left_out else _CLASSES[about["what"]]
    step = _typical(with_it)
    return {
        "class": "wording" if about["is_wording"] else kind,
        "what": about["what"],
        "label": _LABELS.get(about["what"], lambda step, value: step.label)(step, about["value"]),
        "instead": None if is_left_out or not instead else Counter(sorted(instead)).most_common(1)[0][0],
        "node": graph.nodes[about["position"], step.kind],
        "position": about["position"],
        "step": round(float(np.median([step.number for step in with_it]))),
        "n_alike": about["n_alike"],
    }


_CLASSES = {
    "tool": "decision",
    "argument": "decision",
    "arguments": "decision",
    "error": "result",
    "result": "result",
    "text": "wording",
    "word": "wording",
}
_LABELS: dict[str, Callable[[Step, str], str]] = {
    "argument": lambda step, value: value,
    "word": lambda step, value: f"{step.role or step.name or step.event_type} says {value!r}",
    "error": lambda step, value: f"{value} gives an error",
}


def _typical(steps: Sequence[Step]) -> Step:
    commonest = Counter(step.label for step in steps).most_common(1)[0][0]
    return next(step for step in steps if step.label == commonest)


def _number(graph: Graph, run: int, about: dict[str, Any]) -> int | None:
    """The run's step that is there, else its last one before."""
    there = graph.by_column[about["column"]]
    if run in there:
        return there[run].number
    numbers, positions = graph.course[run]
    before = numbers[positions < about["position"]]
    return int(before[-1]) if len(before) else None


def sentence(row: dict[str, Any]) -> str:
    """A divergence in words: what it is, how the sides fare, and how sure that is."""
    side, other = ("with", "without") if row["fails"] == "with" else ("without", "with")
    counts = {name: f"{row[f'failed_{name}']} of {row[f'n_{name}']}" for name in (side, other)}
    low, high = (row["low"], row["high"]) if side == "with" else (-row["high"], -row["low"])
    chance = "" if row["p_adjusted"] <= ALPHA else ", which may be chance"
    return (
        f"First {row['class']} that goes with failing, around step {row['step']}: {_difference(row)}."
        f" Then {counts[side]} fail, else {counts[other]}"
        f" (difference {abs(row['difference']):.0%}, 95 % interval {low:.0%} to {high:.0%};"
        f" p = {row['p_adjusted']:.2g} after correction{chance})."
    )


def _difference(row: dict[str, Any]) -> str:
    """What the side that fails more does or says."""
    label, instead = f"“{_cut(row['label'])}”", row["instead"] and f"“{_cut(row['instead'])}”"
    if row["what"] == "word":
        return f"{label} is {'said' if row['fails'] == 'with' else 'not said'}"
    if instead is None:
        return f"{label} is {'there' if row['fails'] == 'with' else 'left out'}"
    return f"{label}, not {instead}" if row["fails"] == "with" else f"{instead}, not {label}"


def _cut(text: str, length: int = 90) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
