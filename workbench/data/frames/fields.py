"""JSON paths as columns: ``fields={"tokens": "data.usage.input_tokens"}``.

With a dtype, ``{"tokens": ("data.usage.input_tokens", pl.Int64)}``, the column has it, and a value that does not fit
is an error. Without one the values tell: all of them whole numbers → Int64, numbers → Float64, booleans → Boolean,
anything else (and no values at all) → String, where JSON strings come without quotes, objects and lists as JSON.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import polars as pl

from workbench.data.frames import filters
from workbench.data.store.storable import dumped
from workbench.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Field:
    """One path. ``dtype=None``: told from the values."""

    name: str
    path: str
    dtype: Any


def decode(rows: pl.DataFrame, field: Field) -> pl.Series:
    """The column of a field: from its text as the server made it, or (snapshots) from the rebuilt state.

    Raises
    ------
    ConfigurationError
        A value is not of the dtype that was asked for.
    """
    if field.name not in rows.columns:
        text = _from_state(rows, field)
        return _as_told(text) if field.dtype is None else _as_asked(_plain(text), field)
    text = rows[field.name]
    return _as_told(text) if field.dtype is None else _as_asked(text, field)


def _as_asked(text: pl.Series, field: Field) -> pl.Series:
    try:
        if field.dtype == pl.Boolean:
            return text.replace_strict({"true": True, "false": False}, return_dtype=pl.Boolean)
        return text.cast(field.dtype)
    except pl.exceptions.PolarsError as error:
        raise ConfigurationError(f"fields[{field.name!r}]: {error}. Leave the dtype out to see the values.") from error


def _as_told(text: pl.Series) -> pl.Series:
    """From JSON text."""
    text = pl.select(pl.when(text != "null").then(text)).to_series().alias(text.name)
    values = text.drop_nulls()
    if values.is_empty():
        return text.cast(pl.String)
    if values.str.slice(0, 1).is_in(list("-0123456789")).all():
        numbers = text.cast(pl.Int64, strict=False)
        # A fraction, or more than 64 bits.
        return numbers if numbers.null_count() == text.null_count() else text.cast(pl.Float64)
    if values.is_in(["true", "false"]).all():
        return text == "true"
    return _plain(text)


def _plain(text: pl.Series) -> pl.Series:
    """JSON strings without their quotes; everything else as it stands."""
    quoted = text.str.starts_with('"').fill_null(False)
    if not quoted.any():
        return text
    decoded = pl.select(pl.when(quoted).then(text)).to_series().str.json_decode(pl.String)
    return pl.select(pl.when(quoted).then(decoded).otherwise(text)).to_series().alias(text.name)


def _from_state(rows: pl.DataFrame, field: Field) -> pl.Series:
    import orjson

    _, keys = filters.json_path(field.path, name=field.name, roots=("state",))
    return pl.Series(field.name, [_walk(state, keys, orjson) for state in rows["state"]], dtype=pl.String)


def _walk(state: str, keys: list[str], orjson: Any) -> str | None:
    """The JSON text at a path, as Postgres's ``#>`` finds it; ``None`` where nothing is."""
    value = orjson.loads(state)
    for key in keys:
        if isinstance(value, dict) and key in value:
            value = value[key]
        elif isinstance(value, list) and key.lstrip("-").isdigit() and -len(value) <= int(key) < len(value):
            value = value[int(key)]
        else:
            return None
    return None if value is None else dumped(value)
