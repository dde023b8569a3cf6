"""Frames as typed columns: what a widget's table sends to the browser instead of JSON rows.

One buffer, little-endian, every column at a multiple of eight, described by a small header. The JavaScript twin is
``static/_lib/table.js``. Kinds:

- ``int``       int32, -2**31 = null
- ``number``    float64, NaN = null (a NaN in the frame reads as null)
- ``time``      float64, milliseconds since 1970 UTC, NaN = null
- ``category``  uint8/16/32 codes into the header's ``values``, 0 = null
- ``text``      uint32 offsets (rows + 1), one validity byte per row, UTF-8
"""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

# A table shows one line of a text, and a search that reads further would make an error of 100 MB the whole payload.
TEXT_LIMIT = 2_000
_INT_NULL = -(2**31)
_CASTABLE = (pl.String, pl.Categorical, pl.Enum, pl.Boolean, pl.Null)


def kind(dtype: pl.DataType) -> str:
    """How a column of this dtype is drawn and filtered: number, time or text."""
    if dtype.is_numeric():
        return "number"
    if isinstance(dtype, pl.Datetime | pl.Date):
        return "time"
    return "text"


def as_text(name: str, dtype: pl.DataType) -> pl.Expr:
    """A column as the text that is shown and searched."""
    column = pl.col(name)
    if isinstance(dtype, _CASTABLE):
        return column.cast(pl.String)
    return column.map_batches(_each_as_text, return_dtype=pl.String)


def _each_as_text(values: pl.Series) -> pl.Series:
    texts = [None if value is None else str(value) for value in values.to_list()]
    return pl.Series(values.name, texts, dtype=pl.String)


def pack(frame: pl.DataFrame, *, text_limit: int = TEXT_LIMIT) -> tuple[dict[str, Any], bytes]:
    """Header and buffer of a frame.

    Returns
    -------
    tuple
        ``{"rows": n, "columns": [{"name", "kind", "at", ...}]}`` and the bytes it describes.
    """
    sections = _Sections()
    return {
        "rows": frame.height,
        "columns": [_column(column, sections, text_limit) for column in frame],
    }, sections.joined()


class _Sections:
    """Byte runs laid one after another, each at a multiple of eight so that typed arrays can be made on them."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._at = 0

    def add(self, part: bytes) -> int:
        start = self._at
        padding = -len(part) % 8
        self._parts.append(part + b"\0" * padding)
        self._at += len(part) + padding
        return start

    def joined(self) -> bytes:
        return b"".join(self._parts)


def _column(column: pl.Series, sections: _Sections, text_limit: int) -> dict[str, Any]:
    what = kind(column.dtype)
    if what == "time":
        values = column.cast(pl.Datetime("us")).to_physical().cast(pl.Float64) / 1000
        return {"name": column.name, "kind": "time", "at": sections.add(_floats(values))}
    if what == "number":
        return {"name": column.name, **_number(column, sections)}
    text = column.to_frame().select(as_text(column.name, column.dtype).str.head(text_limit)).to_series()
    return {"name": column.name, **_text(text, sections)}


def _number(column: pl.Series, sections: _Sections) -> dict[str, Any]:
    low, high = column.min(), column.max()
    is_small = column.dtype.is_integer() and (
        low is None or (isinstance(low, int) and isinstance(high, int) and low > _INT_NULL and high < 2**31)
    )
    if is_small:
        return {"kind": "int", "at": sections.add(column.cast(pl.Int32).fill_null(_INT_NULL).to_numpy().tobytes())}
    return {"kind": "number", "at": sections.add(_floats(column.cast(pl.Float64)))}


def _floats(column: pl.Series) -> bytes:
    return column.fill_null(float("nan")).to_numpy().astype("<f8", copy=False).tobytes()


def _text(column: pl.Series, sections: _Sections) -> dict[str, Any]:
    values = column.drop_nulls().unique(maintain_order=True)
    if len(values) <= max(255, len(column) // 4):
        codes = column.cast(pl.Enum(values)).to_physical().cast(pl.UInt32) + 1
        width = 1 if len(values) < 2**8 else 2 if len(values) < 2**16 else 4
        packed = codes.fill_null(0).to_numpy().astype(f"<u{width}").tobytes()
        return {"kind": "category", "at": sections.add(packed), "width": width, "values": values.to_list()}
    encoded = column.fill_null("")
    offsets = np.zeros(len(column) + 1, dtype="<u4")
    np.cumsum(encoded.str.len_bytes().to_numpy(), out=offsets[1:])
    return {
        "kind": "text",
        "at": sections.add(offsets.tobytes()),
        "valid": sections.add(column.is_not_null().to_numpy().astype("u1").tobytes()),
        "bytes": sections.add("".join(encoded.to_list()).encode()),
        "size": int(offsets[-1]),
    }
