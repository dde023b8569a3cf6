"""An events frame as sorted arrays: where each event starts and ends on the axis, how bad it is, what was repaired.

The axis is µs since the first moment; where no event has a time it is the step number, one step being 1,000 units, so
that one unit of the browser (1 ms, or 1 step) is 1,000 here in both.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

SEVERITIES = ("debug", "info", "warning", "error", "critical")
ERROR = SEVERITIES.index("error")
REQUIRED = ("event_type", "timestamp", "step_number")
OPTIONAL = {
    "id": pl.String,
    "execution_id": pl.String,
    "name": pl.String,
    "agent": pl.String,
    "category": pl.String,
    "severity": pl.String,
    "duration_ms": pl.Float64,
    "span_id": pl.String,
    "parent_span_id": pl.String,
    "mark": pl.String,
    "data": pl.String,
}
UNIT = 1_000
MOMENT, UNFINISHED, ESTIMATED = 1, 2, 4  # flags of an event; 8 is that of a search hit
ORPHANED, OUT_OF_ORDER = 16, 32
MARKS = {"unfinished": UNFINISHED, "orphaned": ORPHANED, "out_of_order": OUT_OF_ORDER}
_SPAN_TYPES = ("span", "llm_call")


@dataclass(frozen=True, slots=True)
class Spans:
    """Events in order of their start; all arrays have one entry per event.

    Attributes
    ----------
    start, end : int64
        µs since ``origin`` (or 1/1000 steps).
    severity : uint8
        Index into ``SEVERITIES``.
    flags : uint8
        MOMENT (no duration), UNFINISHED (begun, and no end is known: a span is drawn to the end of its run), ESTIMATED
        (no time of its own: placed at the event before it), ORPHANED (names a parent that is not there), OUT_OF_ORDER
        (written elsewhere than its time says).
    row : int32
        Row in the frame.
    parent : int32
        Position of the enclosing span here, -1 for none.
    origin
        The moment 0; None where the axis is the step number.
    last
        End of the axis, at least one unit.
    """

    start: np.ndarray
    end: np.ndarray
    severity: np.ndarray
    flags: np.ndarray
    row: np.ndarray
    parent: np.ndarray
    origin: datetime | None
    last: int

    def __len__(self) -> int:
        return len(self.start)


def completed(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame with every column the timeline reads.

    Raises
    ------
    TypeError
        Not a Polars frame.
    ValueError
        A required column is missing, or has a dtype that is no time or number.
    """
    if isinstance(frame, pl.LazyFrame):
        raise TypeError("Timeline wants a polars.DataFrame; this is a LazyFrame. Call .collect() first.")
    if not isinstance(frame, pl.DataFrame):
        raise TypeError(
            f"Timeline wants a polars.DataFrame of events; this is a {type(frame).__name__}. Try bench.events(run)."
        )
    missing = [name for name in REQUIRED if name not in frame.columns]
    if missing:
        have = ", ".join(frame.columns) or "none"
        raise ValueError(
            f"The events frame lacks {', '.join(missing)}; it has {have}. Use bench.events(run), or rename the columns."
        )
    if frame["timestamp"].dtype != pl.Null and not isinstance(frame["timestamp"].dtype, pl.Datetime):
        raise ValueError(
            f"Column timestamp is {frame['timestamp'].dtype}; it must be Datetime. Try .str.to_datetime()."
        )
    absent = {name: pl.lit(None, dtype) for name, dtype in OPTIONAL.items() if name not in frame.columns}
    return frame.with_columns(**absent) if absent else frame


def read(frame: pl.DataFrame) -> Spans:
    """Arrays of a :func:`completed` frame; nothing is dropped."""
    when, estimated = _times(frame)
    length = _durations(frame)
    if when is None:
        start = (
            frame["step_number"].cast(pl.Int64).fill_null(strategy="forward").fill_null(0).to_numpy() * UNIT
        ).astype(np.int64)
        length = np.full(len(start), float(UNIT))
        origin = None
    else:
        first = int(when.min()) if len(when) else 0
        start = when - first
        origin = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=first)
    moment = np.isnan(length)
    end = start + np.where(moment, 0, np.clip(np.nan_to_num(length), 0, 2**53)).astype(np.int64)
    flags = (moment * MOMENT + estimated * ESTIMATED).astype(np.uint8)
    for mark, flag in MARKS.items():
        flags |= (frame["mark"].cast(pl.String) == mark).fill_null(False).to_numpy() * np.uint8(flag)
    if origin is not None:
        _open_ended(frame, start, end, flags)
    order = _order(start, end)
    last = max(int(end.max()), UNIT) if len(end) else UNIT
    return Spans(
        start=start[order],
        end=end[order],
        severity=_severities(frame)[order],
        flags=flags[order],
        row=order.astype(np.int32),
        parent=_parents(frame, order),
        origin=origin,
        last=last,
    )


def numbered(values: pl.Series) -> tuple[np.ndarray, list[str]]:
    """Text values (no nulls) as numbers, in order of appearance, and the values. Hashes each twice, sorts none."""
    names = values.unique(maintain_order=True)
    return values.cast(pl.Enum(names)).to_physical().to_numpy(), names.to_list()


def _times(frame: pl.DataFrame) -> tuple[np.ndarray | None, np.ndarray]:
    """µs since 1970, and which of them are estimates; None where no event has a time."""
    column = frame["timestamp"]
    estimated = column.is_null().to_numpy()
    if column.null_count() == len(column) and len(column):
        return None, np.zeros(len(column), bool)
    micros = column.cast(pl.Datetime("us", getattr(column.dtype, "time_zone", None))).to_physical().cast(pl.Int64)
    return micros.fill_null(strategy="forward").fill_null(strategy="backward").to_numpy().astype(np.int64), estimated


def _durations(frame: pl.DataFrame) -> np.ndarray:
    """µs, NaN for a moment; what is no length (negative, infinite) counts as none."""
    value = frame["duration_ms"].cast(pl.Float64).fill_null(float("nan")).to_numpy() * 1_000
    return np.where(np.isfinite(value) & (value >= 0), np.rint(value), np.nan)


def _severities(frame: pl.DataFrame) -> np.ndarray:
    known = {name: code for code, name in enumerate(SEVERITIES)}
    number, names = numbered(frame["severity"].cast(pl.String).fill_null("info"))
    meant = [known.get(name.lower(), known["info"]) for name in names]
    return np.array(meant, np.uint8)[number] if names else np.zeros(0, np.uint8)


def _open_ended(frame: pl.DataFrame, start: np.ndarray, end: np.ndarray, flags: np.ndarray) -> None:
    """A span without duration never ended: draw it to the last moment of its run."""
    is_span = (frame["event_type"].is_in(_SPAN_TYPES) & frame["span_id"].is_not_null()).fill_null(False).to_numpy()
    unfinished = is_span & (flags & MOMENT > 0)
    if not unfinished.any():
        return
    runs = frame["execution_id"].fill_null("").rank("dense").cast(pl.Int64).to_numpy() - 1
    last = np.zeros(runs.max() + 1, np.int64)
    np.maximum.at(last, runs, end)
    end[unfinished] = last[runs[unfinished]]
    flags[unfinished] = (flags[unfinished] & ~np.uint8(MOMENT)) | UNFINISHED


def _order(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """By start; what encloses stands before what it encloses. Large frames that are in order stay as they are."""
    if len(start) > 2_000_000:
        return np.arange(len(start)) if bool(np.all(start[1:] >= start[:-1])) else np.argsort(start, kind="stable")
    return np.lexsort((-end, start))


def _parents(frame: pl.DataFrame, order: np.ndarray) -> np.ndarray:
    if frame["parent_span_id"].null_count() == len(frame):
        return np.full(len(frame), -1, np.int32)
    position = np.empty(len(order), np.int32)
    position[order] = np.arange(len(order), dtype=np.int32)
    keys = pl.DataFrame({"run": frame["execution_id"], "span": frame["span_id"], "parent": frame["parent_span_id"]})
    keys = keys.with_columns(pl.col("run").fill_null(""), at=pl.Series(position))
    spans = keys.filter(pl.col("span").is_not_null()).unique(["run", "span"], keep="first", maintain_order=True)
    joined = keys.join(
        spans.select("run", pl.col("span").alias("parent"), pl.col("at").alias("parent_at")),
        on=["run", "parent"],
        how="left",
        maintain_order="left",
    )
    parents = joined["parent_at"].fill_null(-1).to_numpy().astype(np.int32)[order]
    return np.where(parents == np.arange(len(parents)), np.int32(-1), parents)
