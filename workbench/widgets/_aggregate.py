"""Numbers of a dashboard over a frame of runs, every panel filtered by the other panels.

The browser computes the same from typed columns (``static/_lib/aggregate.js``) up to ``BROWSER_ROWS`` runs; a test
holds the two against each other. Quantiles are exact, linear between neighbours. The interval of a success rate is
Wilson's score interval at 95 % (E. B. Wilson, JASA 22, 1927), which stays inside 0–1 and is honest about small
samples.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl

from ._filters import expression

BROWSER_ROWS = 200_000
TOKENS = ("input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens")
GROUPS = ("agent_type", "model", "task", "source")
QUANTILES = {"p50": 0.50, "p95": 0.95, "p99": 0.99}
NO_KIND = "no kind given"
TOP = 12
TOP_KINDS = 8
_Z = 1.959963984540054  # the 97.5th percentile of the normal distribution
# The E6 series: as near to equal steps on a logarithmic axis as round numbers come; others make teeth that are not in
# the data.
_MANTISSAS = (1, 1.5, 2.2, 3.3, 4.7, 6.8)
_SECOND, _DAY = 1000, 86_400_000
_WIDTHS = (
    *(1, 2, 5, 10, 20, 50, 100, 200, 500),
    *(_SECOND * n for n in (1, 2, 5, 15, 30, 60, 120, 300, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200)),
    *(_DAY * n for n in (1, 2, 7, 14, 28, 91, 182, 364)),
)
_MAX_TIME_BINS = 48
_MIN_TIME_BINS = 13
_MAX_LOG_BINS = 36


def wilson(successes: int, n: int) -> tuple[float, float] | None:
    """95 % interval of a proportion; None where there is nothing to judge."""
    if n == 0:
        return None
    p, z2 = successes / n, _Z * _Z
    centre = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = _Z / (1 + z2 / n) * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n))
    return (0.0 if successes == 0 else centre - half, 1.0 if successes == n else centre + half)


# ------------------------------------------------------------------------------------------------------------- bins


def edges(values: pl.Series) -> list[float]:
    """Round bin edges around some numbers: logarithmic over more than one and a half decades, else equal steps."""
    values = values.cast(pl.Float64).drop_nans().drop_nulls()
    if values.is_empty():
        return []
    low, high = float(values.min()), float(values.max())  # type: ignore[arg-type]
    positive = values.filter(values > 0)
    least = float(positive.quantile(0.001, "lower") or 0) if len(positive) else 0.0
    if low >= 0 and least > 0 and high / least > 30:
        return _log_edges(low, least, high)
    return _linear_edges(low, high)


def _log_edges(low: float, least: float, high: float) -> list[float]:
    decades = math.log10(high / least)
    # Every second, third … of the series where all would be more bins than a panel has room for.
    mantissas = _MANTISSAS[:: next(step for step in (1, 2, 3, 6) if step == 6 or decades * 6 / step <= _MAX_LOG_BINS)]
    powers = range(math.floor(math.log10(least)) - 1, math.ceil(math.log10(high)) + 2)
    found = [m * 10.0**power for power in powers for m in mantissas]
    kept = [float(f"{edge:.6g}") for edge in found]
    start = max(i for i, edge in enumerate(kept) if edge <= least)
    stop = next(i for i, edge in enumerate(kept) if edge > high)
    kept = kept[start : stop + 1]
    return [0.0, *kept] if low < kept[0] else kept


def _linear_edges(low: float, high: float) -> list[float]:
    if low >= 0 and low < high / 2:
        low = 0.0
    rough = (high - low) / 20 or max(abs(high), 1.0) / 10
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= rough * 0.999)
    first = math.floor(low / step + 1e-9)
    last = max(math.floor(high / step + 1e-9) + 1, first + 1)
    return [float(f"{k * step:.12g}") for k in range(first, last + 1)]


def time_bins(times: pl.Series) -> dict[str, Any] | None:
    """Start (ms since 1970), width (ms) and number of equal bins over some times; None without any.

    A few runs of years ago would press all others into one bar: where the outer 2 % on either side make the span more
    than four times as long, ``earlier`` or ``later`` says that the first or last bin holds what lies beyond it.
    """
    ms = times.drop_nulls().cast(pl.Datetime("us")).to_physical().cast(pl.Float64) / 1000
    if ms.is_empty():
        return None
    low, high = first, last = float(ms.min()), float(ms.max())  # type: ignore[arg-type]
    inner = [float(ms.quantile(q, "nearest") or 0) for q in (0.02, 0.98)]
    if last - first > 4 * (inner[1] - inner[0]) > 0 and len(ms) >= 20:
        low, high = inner
    width = _time_width(low, high)
    # Weeks start on Monday: 1970-01-01 was a Thursday.
    origin = 4 * _DAY if width % (7 * _DAY) == 0 else 0
    start = math.floor((low - origin) / width) * width + origin
    bins = int((high - start) // width) + 1
    # One moment alone would be one bar as wide as the panel.
    spare = max(0, _MIN_TIME_BINS - bins)
    start, bins = start - spare // 2 * width, bins + spare
    return {
        "start": start,
        "width": width,
        "bins": bins,
        "earlier": first < start,
        "later": last >= start + width * bins,
    }


def _time_width(low: float, high: float) -> int:
    if high == low:
        return 60 * _SECOND
    width = next((w for w in _WIDTHS if (high - low) / w < _MAX_TIME_BINS - 1), None)
    return width or math.ceil((high - low) / (_MAX_TIME_BINS - 1) / _DAY) * _DAY


# -------------------------------------------------------------------------------------------------------- the frame


def prepared(runs: pl.DataFrame) -> pl.DataFrame:
    """The columns the panels read, absent ones as null, with the kind of failure named for every failed run."""
    wanted: dict[str, pl.DataType | type[pl.DataType]] = {
        "id": pl.String,
        "status": pl.String,
        **dict.fromkeys(GROUPS, pl.String),
        "error_type": pl.String,
        "started_at": pl.Datetime("us", "UTC"),
        "execution_time_ms": pl.Float64,
        "cost_usd": pl.Float64,
        **dict.fromkeys(TOKENS, pl.Int64),
    }
    frame = runs.select(
        pl.col(name) if name in runs.columns else pl.lit(None, dtype=dtype).alias(name)
        for name, dtype in wanted.items()
    )
    numbers = pl.col("execution_time_ms", "cost_usd").cast(pl.Float64)
    # NaN and infinity are no measurements; one of them would make every sum so.
    finite = pl.when(numbers.is_finite()).then(numbers).name.keep()
    return frame.with_columns(finite, error_kind()).drop("error_type")


def error_kind() -> pl.Expr:
    """What kind of failure a run had; failed runs whose source names none are counted as such, not left out."""
    unnamed = pl.col("error_type").is_null() & (pl.col("status") == "failed")
    return pl.when(unnamed).then(pl.lit(NO_KIND)).otherwise(pl.col("error_type")).alias("error_kind")


def plan(frame: pl.DataFrame) -> dict[str, Any]:
    """What stays the same while one filters: the bins of every axis and the groups worth a bar."""
    return {
        "time": time_bins(frame["started_at"]),
        "edges": {name: edges(frame[name]) for name in ("execution_time_ms", "cost_usd")},
        "groups": {name: _top(frame[name]) for name in GROUPS},
        "kinds": _top(frame["error_kind"].drop_nulls(), TOP_KINDS),
        "statuses": _top(frame["status"]),
    }


def _top(values: pl.Series, n: int = TOP) -> list[str | None]:
    counts = values.alias("value").to_frame().group_by("value").len()
    return counts.sort(["len", "value"], descending=[True, False], nulls_last=True)["value"].head(n).to_list()


# ------------------------------------------------------------------------------------------------------- the numbers


def aggregate(
    frame: pl.DataFrame,
    plan: Mapping[str, Any],
    filters: Mapping[str, Any],
    *,
    group: str,
    faults: pl.DataFrame | None = None,
) -> dict[str, Any]:
    """All panels' numbers for a prepared frame.

    Parameters
    ----------
    faults
        Error events: ``execution_id``, ``name``, ``n`` (events); None without events.
    """

    def rows(*skip: str) -> pl.DataFrame:
        kept = {name: rule for name, rule in filters.items() if name not in skip}
        return frame.filter(_expression(kept, frame, faults))

    passing = rows()
    return {
        "total": frame.height,
        "headline": _headline(passing),
        "status": _counted(rows("status")["status"], plan["statuses"]),
        "time": _over_time(rows("started_at"), plan["time"]),
        "duration": _binned(rows("execution_time_ms")["execution_time_ms"], plan["edges"]["execution_time_ms"]),
        "cost": _binned(rows("cost_usd")["cost_usd"], plan["edges"]["cost_usd"]),
        "tokens": _tokens(rows(*TOKENS)),
        "errors": _counted(rows("error_kind")["error_kind"].drop_nulls(), plan["kinds"]),
        "groups": _groups(rows(group), group, plan["groups"][group]),
        "faults": None if faults is None else _faults(rows("fault"), faults),
    }


def _expression(filters: Mapping[str, Any], frame: pl.DataFrame, faults: pl.DataFrame | None) -> pl.Expr:
    plain = {name: rule for name, rule in filters.items() if name != "fault"}
    found = expression(plain, frame)
    if "fault" in filters and faults is not None:
        ids = faults.filter(pl.col("name").is_in(filters["fault"]))["execution_id"].unique()
        found = found & pl.col("id").is_in(ids.to_list())
    return found


def passing(frame: pl.DataFrame, filters: Mapping[str, Any], faults: pl.DataFrame | None = None) -> pl.Series:
    """Which rows of a prepared frame the filters keep (Boolean)."""
    return frame.select(_expression(filters, frame, faults).alias("passes")).to_series()


def _headline(rows: pl.DataFrame) -> dict[str, Any]:
    outcomes = _outcomes(rows)
    durations = rows["execution_time_ms"].drop_nulls()
    return {
        "runs": rows.height,
        **outcomes,
        "success": _success(outcomes),
        "duration": {"n": len(durations), **_quantiles(durations)},
        "tokens": _tokens(rows),
        "cost": _cost(rows),
        "errors": rows.height - rows["error_kind"].null_count(),
    }


def _outcomes(rows: pl.DataFrame) -> dict[str, int]:
    completed = int((rows["status"] == "completed").sum())
    failed = int((rows["status"] == "failed").sum())
    return {"completed": completed, "failed": failed, "other": rows.height - completed - failed}


def _success(outcomes: Mapping[str, int]) -> dict[str, Any]:
    n = outcomes["completed"] + outcomes["failed"]
    interval = wilson(outcomes["completed"], n)
    rate = outcomes["completed"] / n if n else None
    return {"n": n, "rate": rate, "low": interval and interval[0], "high": interval and interval[1]}


def _quantiles(values: pl.Series) -> dict[str, float | None]:
    return {name: values.quantile(q, "linear") for name, q in QUANTILES.items()}


def _cost(rows: pl.DataFrame) -> dict[str, Any]:
    unpriced = rows["cost_usd"].null_count()
    priced = rows.height - unpriced
    return {"sum": rows["cost_usd"].sum() if priced else None, "priced": priced, "unpriced": unpriced}


def _tokens(rows: pl.DataFrame) -> dict[str, dict[str, Any]]:
    found = {}
    for name in TOKENS:
        n = rows.height - rows[name].null_count()
        found[name] = {"sum": int(rows[name].sum()) if n else None, "n": n}
    return found


def _counted(values: pl.Series, top: list[str | None]) -> dict[str, Any]:
    counts = dict(values.alias("value").to_frame().group_by("value").len().rows())
    shown = [counts.get(value, 0) for value in top]
    return {"counts": shown, "rest": len(values) - sum(shown)}


def _binned(values: pl.Series, at: list[float]) -> dict[str, Any]:
    present = values.drop_nulls()
    counts: list[int] = []
    if len(at) > 1:
        # The outer edges do not cut: the first bin takes what lies below, the last what lies above.
        places = np.searchsorted(np.asarray(at[1:-1], dtype=float), present.to_numpy(), side="right")
        counts = np.bincount(places, minlength=len(at) - 1).tolist()
    return {"counts": counts, "missing": len(values) - len(present), "n": len(present), **_quantiles(present)}


def _over_time(rows: pl.DataFrame, bins: Mapping[str, Any] | None) -> dict[str, Any]:
    untimed = _outcomes(rows.filter(pl.col("started_at").is_null()))
    series = {name: [0] * (bins["bins"] if bins else 0) for name in ("completed", "failed", "other")}
    if bins:
        ms = pl.col("started_at").cast(pl.Datetime("us")).to_physical() / 1000
        place = ((ms - bins["start"]) / bins["width"]).floor().clip(0, bins["bins"] - 1).cast(pl.Int64)
        outcome = (
            pl.when(pl.col("status").is_in(["completed", "failed"])).then(pl.col("status")).otherwise(pl.lit("other"))
        )
        timed = rows.filter(pl.col("started_at").is_not_null()).select(place.alias("bin"), outcome.alias("outcome"))
        for at, name, n in timed.group_by("bin", "outcome").len().rows():
            series[name][at] = n
    return {**series, "untimed": untimed}


def _groups(rows: pl.DataFrame, group: str, top: list[str | None]) -> list[dict[str, Any]]:
    parts = {key: part for (key,), part in rows.group_by(group)}
    empty = rows.clear()
    found = []
    for value in top:
        part = parts.get(value, empty)
        outcomes = _outcomes(part)
        p50 = part["execution_time_ms"].drop_nulls().quantile(0.5, "linear")
        found.append(
            {
                "value": value,
                "runs": part.height,
                **outcomes,
                "success": _success(outcomes),
                "p50": p50,
                "cost": _cost(part),
            }
        )
    return found


def _faults(rows: pl.DataFrame, faults: pl.DataFrame) -> dict[str, Any]:
    top = fault_names(faults)
    mine = faults.filter(pl.col("execution_id").is_in(rows["id"].to_list()))
    counts = dict(mine.group_by("name").agg(pl.col("n").sum()).rows())
    shown = [counts.get(name, 0) for name in top]
    return {"counts": shown, "rest": sum(counts.values()) - sum(shown)}


def fault_names(faults: pl.DataFrame) -> list[str]:
    """Names with the most error events."""
    return (
        faults.group_by("name")
        .agg(pl.col("n").sum())
        .sort(["n", "name"], descending=[True, False])["name"]
        .head(TOP_KINDS)
        .to_list()
    )


def moment(ms: float) -> datetime:
    """Milliseconds since 1970 as an aware time."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)
