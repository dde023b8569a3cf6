"""A Polars predicate as SQL, as far as both surely mean the same.

What is translated: comparisons of a column with a literal, joined by and/or. The rest of a conjunction stays out, so
the SQL keeps every row that Polars would keep, and more: the caller applies the whole predicate to what arrives.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

import polars as pl
from psycopg import sql

from workbench.data.frames.columns import columns

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_SIGNS = {"Eq": "=", "Lt": "<", "LtEq": "<=", "Gt": ">", "GtEq": ">="}
_MIRRORED = {"Eq": "Eq", "Lt": "Gt", "LtEq": "GtEq", "Gt": "Lt", "GtEq": "LtEq"}
_NUMBERS = (pl.Int64, pl.Float64)


def as_sql(predicate: pl.Expr, frame: str) -> str | None:
    """A condition over the columns of a frame that is true wherever the predicate is; ``None``: nothing to say."""
    try:
        # The form of this JSON is no promise of Polars: whatever looks unfamiliar below is left to Polars itself.
        tree = json.loads(predicate.meta.serialize(format="json"))
    except (pl.exceptions.PolarsError, ValueError):  # e.g. a Python function
        return None
    return _node(tree, frame)


def _node(tree: Any, frame: str) -> str | None:
    match tree:
        case {"BinaryExpr": {"left": left, "op": "And" | "LogicalAnd", "right": right}}:
            sides = [side for side in (_node(left, frame), _node(right, frame)) if side is not None]
            return f"({' AND '.join(sides)})" if sides else None
        case {"BinaryExpr": {"left": left, "op": "Or" | "LogicalOr", "right": right}}:
            one, other = _node(left, frame), _node(right, frame)
            return None if one is None or other is None else f"({one} OR {other})"
        case {"BinaryExpr": {"left": {"Column": str(name)}, "op": str(op), "right": {"Literal": literal}}}:
            return _comparison(name, op, literal, frame)
        case {"BinaryExpr": {"left": {"Literal": literal}, "op": str(op), "right": {"Column": str(name)}}}:
            return _comparison(name, _MIRRORED.get(op, op), literal, frame)
    return None


def _comparison(name: str, op: str, literal: Any, frame: str) -> str | None:
    column = next((column for column in columns[frame] if column.name == name), None)
    value = _value(literal)
    if column is None or op not in _SIGNS or value is None:
        return None
    if isinstance(value, str):
        # Order of text depends on the database's collation, and an id of another shape is an error to the server.
        if column.dtype != pl.String or op != "Eq" or column.unit == "json" or "\0" in value:
            return None
        if column.unit == "uuid" and not _UUID.fullmatch(value):
            return None
    elif column.dtype not in _NUMBERS or not math.isfinite(value):
        return None
    return f"{sql.Identifier(name).as_string(None)} {_SIGNS[op]} {sql.Literal(value).as_string(None)}"


def _value(literal: Any) -> str | int | float | None:
    match literal:
        case {"Scalar": {"String": str(value)}} | {"Dyn": {"Str": str(value)}}:
            return value
        case {"Dyn": {"Int": int(value)}} | {"Scalar": {"Int64": int(value)}} | {"Scalar": {"Int32": int(value)}}:
            return value if abs(value) < 2**53 else None
        case {"Dyn": {"Float": float(value)}} | {"Scalar": {"Float64": float(value)}}:
            return value
    return None
