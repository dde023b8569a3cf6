"""Which runs are good and which failed: by their status and score, or by the user's own rule."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import polars as pl

from workbench.errors import ConfigurationError

Good = float | pl.Expr | Callable[[dict[str, Any]], bool | None]


def outcomes_of(runs: pl.DataFrame, good: Good | None = None) -> pl.Series:
    """``good``, ``failed`` or ``undecided`` for each row of a frame of executions; see :func:`cohort_of`."""
    if good is None:
        of = pl.when(pl.col("status") == "failed").then(False).when(pl.col("status") == "completed")
        verdict = runs.select(good=of.then(pl.col("score").fill_null(1.0) > 0))["good"]
    elif isinstance(good, pl.Expr):
        verdict = runs.select(good=good)["good"]
    elif isinstance(good, int | float) and not isinstance(good, bool):
        verdict = runs["score"] >= good
    elif callable(good):
        told = [good(row) for row in runs.iter_rows(named=True)]
        verdict = pl.Series([None if one is None else bool(one) for one in told], dtype=pl.Boolean)
    else:
        raise ConfigurationError(
            f"good={good!r} is no rule. Give a least score (good=1.0), an expression"
            " (good=pl.col('error').is_null()) or a function of a run that returns True, False or None.",
            value=good,
        )
    if verdict.dtype != pl.Boolean:
        raise ConfigurationError(
            f"good gives {verdict.dtype} and no Boolean. Write a comparison: good=pl.col('score') >= 0.5.", value=good
        )
    words = pl.when(pl.col("good")).then(pl.lit("good")).when(~pl.col("good")).then(pl.lit("failed"))
    return pl.DataFrame({"good": verdict}).select(words.otherwise(pl.lit("undecided")).alias("outcome"))["outcome"]
