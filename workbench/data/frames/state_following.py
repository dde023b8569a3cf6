"""What the operations on a part of the state make of it: applied here, to the part alone.

An operation that brings a value from elsewhere in the state (``move``, ``copy``) needs the whole state: then states are
rebuilt, from that keyframe to the next.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from operator import itemgetter
from typing import Any

import orjson
import polars as pl
from psycopg import sql

from workbench._delta import apply_owned
from workbench._predicates.paths import MISSING, Keys, at, pointer
from workbench.data.frames.transport import Transport
from workbench.data.store.snapshots import rebuild_all
from workbench.data.store.storable import dumped

FOUND: dict[str, Any] = {"run": pl.String, "step": pl.Int64, "value": pl.String}
STRETCH = ["run", "keyframe"]  # a keyframe and the patches behind it: nothing before it has to be known
_WHOLE = """
SELECT s.execution_id AS run, s.step_number::bigint AS step, s.keyframe_step::bigint AS keyframe, s.state::text AS state
FROM workbench.execution_snapshots s WHERE s.execution_id = ANY ({runs}::uuid[])
"""
_WHOLE_SCHEMA: dict[str, Any] = {"run": pl.String, "step": pl.Int64, "keyframe": pl.Int64, "state": pl.String}
_AT_ONCE = 50  # runs whose whole states are rebuilt
_READ = ("run", "keyframe", "step", "op", "path", "source", "value")


def written(value: Any) -> str | None:
    """A value as JSON text; None where it is missing."""
    return None if value is MISSING else dumped(value)


class _ElsewhereError(Exception):
    """An operation brings a value from a part of the state that is not followed."""


def follow(operations: pl.DataFrame, part: Keys, rest: Keys) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The values at `rest` of a part of the state; and the stretches of which whole states are needed."""
    found: dict[str, list[Any]] = {"run": [], "step": [], "value": []}
    elsewhere: list[tuple[str, int]] = []
    for (run, keyframe), rows in groupby(operations.select(_READ).iter_rows(), key=itemgetter(0, 1)):
        try:
            followed = [(step, written(at_or_missing(value, rest))) for step, value in _followed(rows, part)]
        except _ElsewhereError:
            elsewhere.append((run, keyframe))
            continue
        found["run"] += [run] * len(followed)
        found["step"] += [step for step, _ in followed]
        found["value"] += [value for _, value in followed]
    stretches = pl.DataFrame(elsewhere, schema={"run": pl.String, "keyframe": pl.Int64}, orient="row")
    return pl.DataFrame(found, schema=FOUND), stretches


def at_or_missing(value: Any, rest: Keys) -> Any:
    """What stands at `rest` of a value that may itself be missing."""
    return value if value is MISSING or not rest else at(value, rest)


def _followed(rows: Iterator[tuple[Any, ...]], part: Keys) -> Iterator[tuple[int, Any]]:
    """The part of the state after each step of a stretch. It goes on to change."""
    here = pointer(part)
    end = here + "/-"
    above = {pointer(part[:n]) for n in range(len(part) + 1)}
    document: Any = MISSING
    for step, of_step in groupby(rows, key=itemgetter(2)):
        for _, _, _, op, path, source, value in of_step:
            # Nobody but us sees the document, and what an operation holds was parsed for it alone.
            if path == end and op == "add" and type(document) is list:  # a conversation goes on
                document.append(orjson.loads(value))
            else:
                document = _after(document, op, path, source, value, here, above)
        yield step, document


def _after(document: Any, op: str, path: str, source: str | None, value: str | None, here: str, above: set[str]) -> Any:
    """The part of the state at ``here`` after an operation on the whole. Of one above it, ``value`` is that part."""
    is_above, is_below = path in above, path.startswith(here + "/")
    if source is not None:
        if is_above or is_below:
            if is_below and source.startswith(here + "/") and document is not MISSING:
                return _inside(document, {"op": op, "path": path[len(here) :], "from": source[len(here) :]})
            raise _ElsewhereError
        if source in above:  # moved away
            return MISSING
        return document if document is MISSING else _inside(document, {"op": "remove", "path": source[len(here) :]})
    if is_above:
        return MISSING if value is None else orjson.loads(value)
    if document is MISSING:  # a patch that does not fit its state; there is nothing it could change
        return MISSING
    operation = {"op": op, "path": path[len(here) :]}
    return _inside(document, operation if value is None else {**operation, "value": orjson.loads(value)})


def _inside(document: Any, operation: dict[str, Any]) -> Any:
    return apply_owned(document, [operation], None)


def rebuilt(transport: Transport, stretches: pl.DataFrame, keys: Keys) -> Iterator[pl.DataFrame]:
    """The values from whole states."""
    runs = stretches["run"].unique()
    for n in range(0, len(runs), _AT_ONCE):
        query = sql.SQL(_WHOLE).format(runs=sql.Literal(runs[n : n + _AT_ONCE].to_list()))
        rows = transport.fetch(query, _WHOLE_SCHEMA).join(stretches, on=STRETCH, how="semi").sort("run", "step")
        found = [
            (run, step, written(at(state, keys)))
            for (run,), of_run in rows.group_by("run", maintain_order=True)
            for step, state in rebuild_all(of_run.select("step", "keyframe", "state").iter_rows())
        ]
        yield pl.DataFrame(found, schema=FOUND, orient="row")
