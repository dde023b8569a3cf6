"""What runs may differ in at each step of their graph, and which of it goes with failing.

A *split* is a yes-no question to every run: is there, at this position, the step · this tool · these arguments · this
value of an argument · this result · an error · this text · this word? Questions that divide the runs in the same way
are one: the earliest, and at one position the plainest, stands for all of them. Splits of what was said are judged
apart from those of what was done, and stand for none of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
import polars as pl

from .association import corrected, difference_interval, exact_tests
from .compare import COMMENTARY, THINKING_TOOLS
from .graph import Graph, Place

ALPHA = 0.05
_WHATS = ("step", "tool", "argument", "arguments", "error", "result", "text", "word")  # the plainer ones first
_MAX_WORDS = 40  # of one position; those that come nearest to half of the runs
_MAX_VALUE = 200  # characters of an argument's value


@dataclass(frozen=True)
class Splits:
    """All splits of a graph, the same ones joined.

    Attributes
    ----------
    has
        Splits × runs, bool.
    about
        One row a split: ``position column what value is_wording n_alike``.
    """

    has: np.ndarray
    about: pl.DataFrame


def splits_of(graph: Graph) -> Splits:
    """Ask all questions that at least some of the runs answer otherwise than the rest."""
    told, n_runs = _told(graph), graph.n_runs
    least = 1 if n_runs < 8 else max(2, n_runs // 50)
    per_run = told.unique(["position", "what", "value", "run"])
    counted = (
        per_run.group_by("position", "column", "what", "value", "is_wording")
        .agg(pl.col("run"), n=pl.len())
        .filter(pl.col("n").is_between(least, n_runs - least))
        # What one run alone says is its own way of saying it.
        .filter(~pl.col("is_wording") | pl.col("n").is_between(2, n_runs - 2))
        .with_columns(order=pl.col("what").replace_strict(_WHATS, range(len(_WHATS)), return_dtype=pl.Int64))
        .sort("is_wording", "position", "order", "value")
    )
    has = np.zeros((len(counted), n_runs), dtype=bool)
    lengths = counted["n"].to_numpy()
    has[np.repeat(np.arange(len(counted)), lengths), counted["run"].explode().to_numpy()] = True
    return _joined(has, counted.drop("run", "n", "order"))


def _joined(has: np.ndarray, about: pl.DataFrame) -> Splits:
    """The first of those that divide the runs alike; a split and its opposite do."""
    if not len(about):
        return Splits(has, about.with_columns(n_alike=pl.lit(0, dtype=pl.Int64)))
    packed = np.packbits(has ^ has[:, :1], axis=1)
    _, first, which = np.unique(packed, axis=0, return_index=True, return_inverse=True)
    n_alike = np.bincount(which.ravel()) - 1
    order = np.argsort(first)
    kept = first[order]
    return Splits(has[kept], about[kept].with_columns(n_alike=pl.Series(n_alike[order], dtype=pl.Int64)))


def ranked(splits: Splits, failed: np.ndarray) -> pl.DataFrame:
    """Judge all splits by the runs' outcomes, the one to look at first on top.

    First those that predict: corrected p of at most :data:`ALPHA` and at least half of the greatest difference among
    such; of these what was done before what was said, and then in the order of their positions, because what comes
    later follows from what came before. Then the rest: what was done, what was said, each by p and position.

    Returns
    -------
    polars.DataFrame
        ``split`` (row of ``splits``), counts, rates, difference with interval, p and corrected p, ``predicts``.
    """
    n, n_failed = len(failed), int(failed.sum())
    n_with = splits.has.sum(axis=1)
    k_with = splits.has[:, failed].sum(axis=1)
    # What divides no runs, or divides them without regard to their outcome, is no divergence.
    asked = np.flatnonzero((n_with > 0) & (n_with < n) & (0 < n_failed < n))
    has, n_with, k_with = splits.has[asked], n_with[asked], k_with[asked]
    n_without, k_without = n - n_with, n_failed - k_with
    about = splits.about[asked]
    table, row = exact_tests(n, n_failed, n_with)
    p = table[row[n_with], k_with]
    is_wording = about["is_wording"].to_numpy()
    adjusted = np.ones(len(p))
    for family in (is_wording, ~is_wording):
        if family.any():
            adjusted[family] = corrected(has[family], failed, p[family])
    low, high = difference_interval(k_with, n_with, k_without, n_without)
    difference = k_with / n_with - k_without / n_without
    certain = adjusted <= ALPHA
    predicts = certain & (np.abs(difference) >= np.abs(difference[certain]).max(initial=0) / 2)
    found = pl.DataFrame(
        {
            "split": asked, "n_with": n_with, "n_without": n_without, "failed_with": k_with,
            "failed_without": k_without, "rate_with": k_with / n_with, "rate_without": k_without / n_without,
            "difference": difference, "low": low, "high": high, "p_value": p, "p_adjusted": adjusted,
            "predicts": predicts, "position": about["position"], "is_wording": is_wording,
        },
        schema_overrides={"split": pl.Int64, "predicts": pl.Boolean, "is_wording": pl.Boolean},
    )  # fmt: skip
    by_p = pl.when("predicts").then(0.0).otherwise(pl.col("p_value").round(12))
    return found.filter(pl.col("difference").abs() > 1e-12).sort(
        ~pl.col("predicts"), "is_wording", by_p, "position", "split"
    )


def _told(graph: Graph) -> pl.DataFrame:
    """Every answer: run, position, what, value."""
    has_calls = any(place.step.is_call for place in graph.placed)
    rows: list[tuple[int, int, int, str, str, bool]] = []
    texts: list[tuple[int, int, int, str]] = []
    pieces: dict[tuple[str, str], list[str]] = {}
    for place in graph.placed:
        step, at = place.step, graph.position[place.column]
        start = (place.run, at, place.column)
        is_thought = is_commentary(place)
        # Between the calls of tools, one more turn of talk is another way of putting it.
        rows.append((*start, "step", "", is_thought or (has_calls and step.event_type == "message")))
        if is_thought:
            continue
        if step.is_call:
            rows.append((*start, "tool", _tools(place), False))
        if step.calls:
            form = _tools(place), step.arguments_form.skeleton
            if form not in pieces:
                pieces[form] = list(_arguments(step.calls))
            rows.append((*start, "arguments", " ".join(form), False))
            rows.extend((*start, "argument", piece, False) for piece in pieces[form])
        if step.has_result:
            rows.append((*start, "result", step.result_form.skeleton, False))
            if step.is_error:
                rows.append((*start, "error", _tools(place), False))
        if step.text:
            texts.append((*start, step.text[:2000]))
    where = {"run": pl.Int64, "position": pl.Int64, "column": pl.Int64}
    schema = {**where, "what": pl.String, "value": pl.String, "is_wording": pl.Boolean}
    done = pl.DataFrame(rows, schema=schema, orient="row")
    said = pl.DataFrame(texts, schema={**where, "value": pl.String}, orient="row")
    return pl.concat([done, *_said(said)])


def _said(said: pl.DataFrame) -> list[pl.DataFrame]:
    """The texts, and the words in them; of these at each position the few that tell most runs apart."""
    order = ["run", "position", "column", "what", "value", "is_wording"]
    whole = said.with_columns(what=pl.lit("text"), is_wording=pl.lit(True))
    words = (
        said.with_columns(value=pl.col("value").str.to_lowercase().str.extract_all(r"\w{3,}"))
        .explode("value")
        .drop_nulls("value")
        .unique(["run", "position", "value"])
    )
    n_runs = said["run"].n_unique()
    telling = (
        words.group_by("position", "value")
        .agg(n=pl.len())
        .filter(pl.col("n") > max(1, n_runs // 20))
        .with_columns(far=(pl.col("n") - n_runs / 2).abs())
        .sort("position", "far", "value")
        .group_by("position", maintain_order=True)
        .head(_MAX_WORDS)
    )
    words = words.join(telling, on=["position", "value"], how="semi").with_columns(
        what=pl.lit("word"), is_wording=pl.lit(True)
    )
    return [whole.select(order), words.select(order)]


def is_commentary(place: Place) -> bool:
    """Whether a step is a thought or a note, which a run may have or not."""
    step = place.step
    tools = {tool for tool, _ in step.calls} or {step.name}
    return step.event_type in COMMENTARY or (step.is_call and tools <= THINKING_TOOLS)


def _tools(place: Place) -> str:
    return ", ".join(tool for tool, _ in place.step.calls) or place.step.name or "tool"


def _arguments(calls: Sequence[tuple[str, Any]]) -> list[str]:
    found = []
    for tool, arguments in calls:
        if isinstance(arguments, dict):
            for name, value in arguments.items():
                written = orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
                if len(written) <= _MAX_VALUE:
                    found.append(f"{tool}({name}={written})")
    return found
