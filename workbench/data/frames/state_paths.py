"""The values at one path of the state, over all runs, without rebuilding states.

States are stored as whole states (keyframes) and RFC 6902 patches on the state before. The server picks the operations
at the path, above it or below it, and of what they bring in the part that is at the path; a keyframe counts as an
operation that sets it. Where each step's last operation sets the whole value, nothing more has to be known. What
remains is applied here, to the part of the state at the path alone (:mod:`state_following`).

Positions in arrays move when items come and go. So the part that is followed ends before the first key that may be a
position, and the rest of the path is looked up in it. Most arrays only grow at their end, though, or have items
replaced: as long as one does, the value at a position, or of the last item, is told by the operations at that item and
by how many items there are. Then no other item is read. This is decided from keyframe to keyframe.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
import polars as pl
from psycopg import sql

from workbench._predicates.paths import Keys, at, fixed, is_index, pointer
from workbench.data.frames import filters
from workbench.data.frames.state_following import FOUND, STRETCH, follow, rebuilt, written
from workbench.data.frames.transport import Transport

# One row per operation, of a keyframe one as well. Measured beside jsonb_path_query: a third of its time.
_OPERATIONS = """
SELECT s.execution_id AS run, s.step_number::bigint AS step, s.keyframe_step::bigint AS keyframe, one.n::bigint AS n,
  o->>'op' AS op, o->>'path' AS path, CASE WHEN o->>'op' IN ('move', 'copy') THEN o->>'from' END AS source,
  CASE WHEN o->>'op' <> 'remove' THEN o->'value' #> ({read}::text[])
    [length(o->>'path') - length(replace(o->>'path', '/', '')) + 1:] END::text AS value,
  {size} AS size
FROM workbench.execution_snapshots s CROSS JOIN LATERAL jsonb_array_elements(CASE
  WHEN s.keyframe_step = s.step_number THEN jsonb_build_array(jsonb_build_object(
    'op', CASE WHEN s.state #> {part}::text[] IS NULL THEN 'remove' ELSE 'add' END,
    'path', {here}::text, 'value', s.state #> {part}::text[]))
  WHEN jsonb_typeof(s.state) = 'array' THEN s.state END) WITH ORDINALITY AS one(o, n)
"""
_TOUCHES = """
(o->>'op' <> 'test' AND (o->>'path' = ANY ({above}) OR starts_with(o->>'path', {below})
  OR (o->>'op' = 'move' AND (o->>'from' = ANY ({above}) OR starts_with(o->>'from', {below})))))
"""
# Of an operation that sets the array, or what it is in, how many items there are then.
_SIZE = """
CASE WHEN o->>'path' = ANY ({above}) AND jsonb_typeof({array}) = 'array' THEN jsonb_array_length({array}) END::bigint
"""
_ARRAY = "(o->'value' #> ({part}::text[])[length(o->>'path') - length(replace(o->>'path', '/', '')) + 1:])"
_SCHEMA: dict[str, Any] = {
    "run": pl.String, "step": pl.Int64, "keyframe": pl.Int64, "n": pl.Int64, "op": pl.String, "path": pl.String,
    "source": pl.String, "value": pl.String, "size": pl.Int64,
}  # fmt: skip
_NAMED = 1_000  # runs that are named one by one in SQL


def state_values(transport: Transport, keys: Keys, *, where: Sequence[sql.Composable] = ()) -> pl.DataFrame:
    """The value at a path at every snapshot that may have changed it.

    Parameters
    ----------
    keys
        The path.
    where
        Conditions on ``execution_snapshots s`` that choose runs.

    Returns
    -------
    polars.DataFrame
        ``run``, ``step``, ``value`` (JSON text; null = missing), by run and step. Between two rows of a run the value
        stays. Rows that change nothing are there, too.
    """
    part = fixed(keys)
    found: list[pl.DataFrame] = []
    moving: pl.DataFrame | None = None
    position = int(keys[len(part)]) if len(keys) > len(part) and _is_position(keys[len(part)]) else None
    if position is not None:
        item = (*part, keys[len(part)], *fixed(keys[len(part) + 1 :]))
        operations = _operations(transport, part, item, where)
        told, moving = _of_item(operations, part, item, position)
        found.append(told.with_columns(looked_up(told["value"], keys[len(item) :])))
        where = _of_runs(moving["run"].unique(), where)
    if moving is None or len(moving):
        operations = _operations(transport, part, part, where)
        if moving is not None:
            operations = operations.join(moving, on=STRETCH, how="semi", maintain_order="left")
        found += _of_part(transport, operations, part, keys)
    return pl.concat(found).sort("run", "step")


def looked_up(values: pl.Series, rest: Keys) -> pl.Series:
    """The values below what was read; each distinct one is parsed once."""
    if not rest:
        return values
    distinct = values.drop_nulls().unique()
    below = [written(at(orjson.loads(text), rest)) for text in distinct]
    return values.replace_strict(distinct, pl.Series(below, dtype=pl.String), default=None, return_dtype=pl.String)


def _is_position(key: str) -> bool:
    """Whether it is a position from the front, or the last."""
    return is_index(key) and len(key) < 18 and int(key) >= -1


def _of_runs(runs: pl.Series, where: Sequence[sql.Composable]) -> Sequence[sql.Composable]:
    return [filters.ids(sql.SQL("s.execution_id"), runs.to_list())] if len(runs) <= _NAMED else where


def _operations(transport: Transport, part: Keys, read: Keys, where: Sequence[sql.Composable]) -> pl.DataFrame:
    """The operations that touch a part of the state, in order, with the value at `read` that they bring."""
    above = sql.SQL("{}::text[]").format(sql.Literal(_above(part)))
    words: dict[str, sql.Composable] = {
        "part": sql.Literal(list(part)), "here": sql.Literal(pointer(part)), "above": above,
        "below": sql.Literal(pointer(part) + "/"), "read": sql.Literal(list(read)),
    }  # fmt: skip
    array = sql.SQL(_ARRAY).format(**words)
    size = sql.SQL("NULL::bigint") if read == part else sql.SQL(_SIZE).format(above=above, array=array)
    touches = sql.SQL(_TOUCHES).format(**words)
    query = sql.SQL(_OPERATIONS).format(**words, size=size) + filters.all_of([*where, touches])
    return transport.fetch(query, _SCHEMA).sort("run", "step", "n")


def _above(keys: Keys) -> list[str]:
    return [pointer(keys[:n]) for n in range(len(keys) + 1)]


# ---------------------------------------------------------------- a part of the state


def _of_part(transport: Transport, operations: pl.DataFrame, part: Keys, keys: Keys) -> list[pl.DataFrame]:
    """The values where operations set them; where they change them inside, apply those."""
    rest = keys[len(part) :]
    is_set = pl.col("path").is_in(_above(part)) & pl.col("source").is_null()
    last = operations.filter(_is_last())
    inside = last.filter(~is_set).select(STRETCH).unique()
    known = last.join(inside, on=STRETCH, how="anti", maintain_order="left")
    found = [known.select("run", "step", looked_up(known["value"], rest))]
    if len(inside):
        unknown = operations.join(inside, on=STRETCH, how="semi", maintain_order="left")
        followed, elsewhere = follow(unknown, part, rest)
        found += [followed, *rebuilt(transport, elsewhere, keys)]
    return found


def _is_last() -> pl.Expr:
    """The last operation of a step."""
    return (pl.struct("run", "step") != pl.struct("run", "step").shift(-1)).fill_null(value=True)


# ---------------------------------------------------------------- an item of an array


def _of_item(operations: pl.DataFrame, part: Keys, item: Keys, position: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The values of an item; and the stretches in which items move, of which it says nothing."""
    kinds = operations.join(_kinds(operations["path"], part, item), on="path", maintain_order="left")
    plain, op = pl.col("source").is_null(), pl.col("op")
    rows = (
        kinds.lazy()
        .filter(~(pl.col("is_elsewhere") & plain))
        .with_columns(
            is_base=pl.col("is_base") & plain,
            is_append=pl.col("is_end") & (op == "add"),
            is_item=plain & (pl.col("is_in_item") | (pl.col("is_item") & (op == "replace"))),
            begins=(pl.struct(STRETCH) != pl.struct(STRETCH).shift()).fill_null(value=True),
        )
        .with_columns(n_added=pl.col("is_append").cum_sum())
        .with_columns(
            # Of a stretch whose keyframe is gone nothing is known, as of what is no array.
            size=pl.when("is_base").then(pl.col("size").fill_null(-1)).when("begins").then(-1).forward_fill(),
            before=pl.when(pl.col("is_base") | pl.col("begins")).then("n_added").forward_fill(),
        )
        .with_columns(length=pl.col("size") + pl.col("n_added") - pl.col("before"))
        .with_columns(
            at=pl.when("is_append").then(pl.col("length") - 1).otherwise("position"),
            moves=~pl.col("is_base") & ((pl.col("size") < 0) | ~(pl.col("is_append") | pl.col("is_item"))),
        )
        .collect()
    )
    moving = rows.filter("moves").select(STRETCH).unique()
    wanted = pl.lit(position) if position >= 0 else pl.col("length") - 1
    told = rows.filter(pl.col("is_base") | (pl.col("at") == wanted)).join(
        moving, on=STRETCH, how="anti", maintain_order="left"
    )
    return told.filter(_is_last()).select(*FOUND), moving


def _kinds(given: pl.Series, part: Keys, item: Keys) -> pl.DataFrame:
    """What an operation at each path is to an item of an array at `part`, as far as the path tells."""
    here, inside = pointer(part) + "/", _above(item[len(part) + 1 :])
    path, behind = pl.col("path"), pl.col("path").str.slice(len(here))
    beneath, is_of_item = pl.col("beneath"), pl.col("position").is_not_null()
    return (
        pl.DataFrame({"path": given.unique()})
        .with_columns(
            is_base=path.is_in(_above(part)),
            is_end=path == here + "-",
            position=pl.when(path.str.starts_with(here)).then(
                behind.str.extract(r"^(0|[1-9][0-9]{0,17})(?:/|$)").cast(pl.Int64)
            ),
            beneath=behind.str.replace(r"^[^/]*", ""),
        )
        .select(
            "path", "is_base", "is_end", "position",
            is_item=is_of_item & (beneath == ""),
            is_in_item=is_of_item & beneath.is_in(inside[1:]),
            is_elsewhere=is_of_item & ~beneath.is_in(["", *inside]) & ~beneath.str.starts_with(inside[-1] + "/"),
        )
    )  # fmt: skip
