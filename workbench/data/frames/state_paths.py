"""The values at one path of the state, over all runs, without rebuilding states.

States are stored as whole states (keyframes) and RFC 6902 patches on the state before. Of a keyframe only the value at
the path is read, of a patch only the operations at the path, above it or below it; the server picks both. Where the
last of these operations sets the path or something above it, the server knows the value, too. What remains (a change
inside the value) is applied here, to the part of the state at the path alone.

Positions in arrays move when items come and go. So the part that is followed ends before the first key that may be a
position, and the rest of the path is looked up in it. An operation that brings a value from elsewhere in the state
(``move``, ``copy``) needs the whole state: the states of that run are rebuilt.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import orjson
import polars as pl
from psycopg import sql

from workbench._delta import apply_owned
from workbench._predicates.paths import MISSING, Keys, at, fixed, pointer
from workbench.data.frames import filters
from workbench.data.frames.transport import Transport
from workbench.data.store.snapshots import rebuild_all
from workbench.data.store.storable import dumped

# Most patches are one operation elsewhere: those are told apart before any JSON path is asked, which costs five times
# as much. OFFSET 0: else the server would pick the operations anew for every place that names them.
_TOUCHES = """
s.keyframe_step = s.step_number OR CASE
  WHEN s.state->1 IS NOT NULL THEN jsonb_path_exists(s.state, {picked}::jsonpath, {names}::jsonb)
  WHEN s.state->0 ? 'from' THEN true
  ELSE s.state->0->>'path' = ANY ({above}) OR starts_with(s.state->0->>'path', {below}) END
"""
_HISTORY = """
SELECT run, step, is_whole,
  CASE WHEN is_whole THEN value
       WHEN is_set THEN (CASE WHEN last->>'op' <> 'remove' THEN last->'value' #> ({keys}::text[])
         [length(last->>'path') - length(replace(last->>'path', '/', '')) + 1:] END)::text END AS value,
  CASE WHEN NOT is_whole AND NOT is_set THEN operations::text END AS operations
FROM (
  SELECT *, operations->-1 AS last,
    coalesce(operations->-1->>'op' IN ('add', 'replace', 'remove') AND operations->-1->>'path' = ANY ({above}), false)
      AS is_set
  FROM (
    SELECT s.execution_id AS run, s.step_number::bigint AS step, s.keyframe_step = s.step_number AS is_whole,
      CASE WHEN s.keyframe_step = s.step_number THEN (s.state #> {keys}::text[])::text END AS value,
      CASE WHEN s.keyframe_step <> s.step_number
        THEN jsonb_path_query_array(s.state, {picked}::jsonpath, {names}::jsonb) END AS operations
    FROM workbench.execution_snapshots s {where} OFFSET 0
  ) picked
) known
"""
_PICKED = (
    '$[*] ? (@.op != "test" && (@.path == $above[*] || @.path starts with $below'
    " || @.from == $above[*] || @.from starts with $below))"
)
_SCHEMA: dict[str, Any] = {
    "run": pl.String, "step": pl.Int64, "is_whole": pl.Boolean, "value": pl.String, "operations": pl.String,
}  # fmt: skip
_WHOLE = """
SELECT s.execution_id AS run, s.step_number::bigint AS step, s.keyframe_step::bigint AS keyframe_step,
  s.state::text AS state
FROM workbench.execution_snapshots s WHERE s.execution_id = ANY ({runs}::uuid[])
"""
_WHOLE_SCHEMA: dict[str, Any] = {"run": pl.String, "step": pl.Int64, "keyframe_step": pl.Int64, "state": pl.String}
_AT_ONCE = 50  # runs whose whole states are rebuilt


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
    above = [pointer(part[:n]) for n in range(len(part) + 1)]
    names = orjson.dumps({"above": above, "below": above[-1] + "/"}).decode()
    words: dict[str, sql.Composable] = {
        "keys": sql.Literal(list(part)),
        "above": sql.SQL("{}::text[]").format(sql.Literal(above)),
        "below": sql.Literal(above[-1] + "/"),
        "picked": sql.Literal(_PICKED),
        "names": sql.Literal(names),
    }
    touches = sql.SQL("({})").format(sql.SQL(_TOUCHES).format(**words))
    query = sql.SQL(_HISTORY).format(**words, where=filters.all_of([*where, touches]))
    rows = transport.fetch(query, _SCHEMA).sort("run", "step")
    rest = keys[len(part) :]
    unknown = rows.filter(pl.col("operations").is_not_null())["run"].unique()
    known = rows.filter(~pl.col("run").is_in(unknown.implode())) if len(unknown) else rows
    found = [known.select("run", "step", looked_up(known["value"], rest))]
    if len(unknown):
        moved: list[str] = []
        found.append(_followed(rows.filter(pl.col("run").is_in(unknown.implode())), part, rest, moved))
        found += [_rebuilt(transport, moved[n : n + _AT_ONCE], keys) for n in range(0, len(moved), _AT_ONCE)]
    return pl.concat(found).sort("run", "step")


_FOUND: dict[str, Any] = {"run": pl.String, "step": pl.Int64, "value": pl.String}


def looked_up(values: pl.Series, rest: Keys) -> pl.Series:
    """The values below what was read; each distinct one is parsed once."""
    if not rest:
        return values
    distinct = values.drop_nulls().unique()
    below = [_written(at(orjson.loads(text), rest)) for text in distinct]
    return values.replace_strict(distinct, pl.Series(below, dtype=pl.String), default=None, return_dtype=pl.String)


def _written(value: Any) -> str | None:
    return None if value is MISSING else dumped(value)


def _followed(rows: pl.DataFrame, part: Keys, rest: Keys, moved: list[str]) -> pl.DataFrame:
    """Apply the operations run by run; runs that need their whole states are put into ``moved``."""
    found: dict[str, list[Any]] = {"run": [], "step": [], "value": []}
    for (run,), of_run in rows.group_by("run", maintain_order=True):
        try:
            steps, values = [], []
            for step, value in _follow(of_run.select("step", "is_whole", "value", "operations").iter_rows(), part):
                steps.append(step)
                values.append(_written(MISSING if value is MISSING else at(value, rest)))
        except _ElsewhereError:
            moved.append(str(run))
            continue
        found["run"] += [run] * len(steps)
        found["step"] += steps
        found["value"] += values
    return pl.DataFrame(found, schema=_FOUND)


class _ElsewhereError(Exception):
    """An operation brings a value from a part of the state that is not followed."""


def _follow(rows: Iterable[tuple[int, bool, str | None, str | None]], part: Keys) -> Iterator[tuple[int, Any]]:
    here = pointer(part)
    end = here + "/-"
    above = {pointer(part[:n]) for n in range(len(part) + 1)}
    document: Any = MISSING
    for step, _, value, operations in rows:
        if operations is None:
            document = MISSING if value is None else orjson.loads(value)
        else:
            # Nobody but us sees the document, and what an operation holds was parsed for it alone.
            for op in orjson.loads(operations):
                if op["path"] == end and op["op"] == "add" and type(document) is list:  # a conversation goes on
                    document.append(op["value"])
                else:
                    document = _after(document, op, here, above, part)
        yield step, document


def _after(document: Any, op: dict[str, Any], here: str, above: set[str], part: Keys) -> Any:
    """The part of the state at ``here`` after an operation on the whole."""
    path, source = op["path"], op.get("from", "")
    is_above, is_below = path in above, path.startswith(here + "/")
    if op["op"] in ("move", "copy"):
        if is_above or is_below:
            if path != here and is_below and source.startswith(here + "/") and document is not MISSING:
                return _inside(document, {**op, "path": path[len(here) :], "from": source[len(here) :]})
            raise _ElsewhereError
        if op["op"] == "copy":
            return document
        if source in above:
            return MISSING
        return document if document is MISSING else _inside(document, {"op": "remove", "path": source[len(here) :]})
    if is_above:
        return MISSING if op["op"] == "remove" else at(op["value"], part[path.count("/") :])
    if document is MISSING:  # a patch that does not fit its state; there is nothing it could change
        return MISSING
    return _inside(document, {**op, "path": path[len(here) :]})


def _inside(document: Any, op: dict[str, Any]) -> Any:
    return apply_owned(document, [op], None)


def _rebuilt(transport: Transport, runs: list[str], keys: Keys) -> pl.DataFrame:
    """The values from whole states."""
    query = sql.SQL(_WHOLE).format(runs=sql.Literal(runs))
    rows = transport.fetch(query, _WHOLE_SCHEMA).sort("run", "step")
    found = [
        (run, step, _written(at(state, keys)))
        for (run,), of_run in rows.group_by("run", maintain_order=True)
        for step, state in rebuild_all(of_run.select("step", "keyframe_step", "state").iter_rows())
    ]
    return pl.DataFrame(found, schema=_FOUND, orient="row")
