""":func:`find`: the steps at which a predicate holds, over every step of every run.

The values that the predicate looks at are read by path (:mod:`facts`, :mod:`state_paths`); what it makes of them, in
order and together, is computed over the steps of all runs at once (:mod:`steps`). Where a predicate can hold only at
steps that the server already picked, no other step is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from psycopg import sql

from workbench._predicates import nodes, parse
from workbench._predicates.nodes import Comparison, Predicate, Run
from workbench.data.frames import filters
from workbench.data.frames.facts import Facts
from workbench.data.frames.runs import run_ids
from workbench.data.frames.steps import LEAVES, STEPS, Flags, Steps, candidates, holds, is_sparse
from workbench.data.store.storable import dumped
from workbench.errors import ConfigurationError, NotFoundError

if TYPE_CHECKING:
    from workbench.data.frames.load import Frames

#: Name → dtype of the frame of matches.
SCHEMA: dict[str, pl.DataType | type[pl.DataType]] = {
    "execution_id": pl.String,
    "step_number": pl.Int64,
    "event_type": pl.String,
    "name": pl.String,
    "label": pl.String,
    "matched": pl.String,
    "agent_type": pl.String,
    "task": pl.String,
}
_NAMED = 1_000  # runs that are named one by one in SQL
_LABELLED = 20_000  # steps whose events are asked for in one query
_LABEL_LENGTH = 160
_VALUE_LENGTH = 60


def find(
    frames: Frames,
    predicate: Predicate | str,
    run: Any = None,
    *,
    first: bool = False,
    limit: int | None = None,
    after: Any = None,
    labels: bool = True,
    **chosen: Any,
) -> pl.DataFrame:
    """The steps at which a predicate holds.

    Parameters
    ----------
    predicate
        What to look for: ``wb.state("cart.total") > 100``, or the same as text.
    run
        A run, several, or a frame of them, as in ``bench.events()``; ``None`` = all.
    first
        Only the first such step of each run.
    limit
        Rows at most.
    after
        The row to go on behind: the last one of the page before (``page.row(-1, named=True)``), or
        ``(execution_id, step_number)``.
    labels
        ``False`` leaves ``event_type``, ``name`` and ``label`` null, which saves reading the events of the matches.
    **chosen
        Which runs, as in ``bench.executions()``: ``status``, ``agent_type``, ``model``, ``task``, ``source``,
        ``parent``, ``since``, ``until``, ``ids``, ``where``.

    Returns
    -------
    polars.DataFrame
        By run, newest first, and step: ``execution_id``, ``step_number``; of the step's event (the first, where it has
        several; null where it has none) ``event_type``, ``name``, and ``label``, one line of what it says; ``matched``,
        what of the predicate holds there, with the values of the state; ``agent_type`` and ``task`` of the run.

    Examples
    --------
    ::

        found = bench.find(wb.event("tool_call", name="refund").before(wb.event("tool_call", name="lookup")))
        bench.replay(found[0])  # a cursor on the first match; wb.ReplayPlayer(bench.replay(found[0])) shows it

    Notes
    -----
    A fork is looked at from its very beginning, in the run it left; its rows are those behind the step it was forked
    at, so a shared step is told once.

    Raises
    ------
    ConfigurationError
        The predicate or a filter cannot be used; the text says what can.
    """
    asked = _asked(predicate)
    limit = _checked(limit)
    runs, facts = _facts(frames, asked, run, chosen)
    if after is not None:
        runs, facts, behind = _go_on(runs, facts, facts.chosen, after)
    else:
        behind = -1
    facts.read(asked)
    keys = facts.happened(asked) if is_sparse(asked) else facts.all_steps(candidates(asked, facts.may_hold))
    steps = Steps(keys)
    flags = holds(asked, steps, facts.leaf)
    flags = flags & facts.own(keys)
    if first:
        flags = flags & (steps.counted(flags) == 1)
    flags &= keys > behind
    found = np.flatnonzero(flags)[:limit]
    return _rows(frames, asked, facts, keys[found], labels=labels)


def _asked(predicate: Any) -> Predicate:
    if isinstance(predicate, str):
        return parse(predicate)
    return nodes.as_predicate(predicate)


def _checked(limit: Any) -> int | None:
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 0):
        raise ConfigurationError(f"limit={limit!r} must be a whole number, 0 or more.", value=limit)
    return limit


def _facts(frames: Frames, predicate: Predicate, run: Any, chosen: Mapping[str, Any]) -> tuple[pl.DataFrame, Facts]:
    """The runs chosen, newest first, with the columns that the predicate asks of them."""
    refused = [name for name in chosen if name in ("fields", "columns", "limit")]
    if refused:
        raise TypeError(f"find() has no filter {refused[0]!r}: it chooses runs. limit= is of the matches.")
    given = {name: value for name, value in chosen.items() if value is not None}
    if run is not None:
        given["ids"] = _both(run_ids(frames.transport, run), given.get("ids"))
    asked = [column for column in predicate.columns() if isinstance(column, Run)]
    plain = [column.keys[0] for column in asked if column.keys[0] not in nodes.words.RUN_DOCUMENTS]
    names = list(dict.fromkeys(["id", "agent_type", "task", *plain]))
    rows = frames.executions(**given, columns=names)
    own = {repr(column): _as_json(rows[column.keys[0]]) for column in asked if column.keys[0] in plain}
    runs = rows.with_columns(pl.Series(name, texts, dtype=pl.String) for name, texts in own.items())
    for column in asked:
        if column.keys[0] not in plain:
            runs = runs.join(_document(frames, column, given), on="id", how="left", maintain_order="left")
    return runs, Facts(frames.transport, runs, _ids(frames, runs, given))


def _both(ids: list[str], others: Any) -> list[str]:
    if others is None:
        return ids
    wanted = {str(filters.as_uuid(one)) for one in ([others] if isinstance(others, str) else others)}
    return [one for one in ids if one in wanted]


def _as_json(column: pl.Series) -> list[str | None]:
    return [None if value is None else dumped(value) for value in column]


def _document(frames: Frames, column: Run, given: Mapping[str, Any]) -> pl.DataFrame:
    query = sql.SQL("SELECT x.id, (x.{} #> {}::text[])::text AS value FROM ({}) x").format(
        sql.Identifier(column.keys[0]), sql.Literal(list(column.keys[1:])), frames.chosen("executions", given)
    )
    return frames.transport.fetch(query, {"id": pl.String, "value": pl.String}).rename({"value": repr(column)})


def _ids(frames: Frames, runs: pl.DataFrame, given: Mapping[str, Any]) -> sql.Composable | None:
    if not given:
        return None
    if len(runs) <= _NAMED:
        return sql.SQL("SELECT unnest({}::uuid[])").format(sql.Literal(runs["id"].to_list()))
    return sql.SQL("SELECT x.id FROM ({}) x").format(frames.chosen("executions", given))


def _go_on(
    runs: pl.DataFrame, facts: Facts, chosen: sql.Composable | None, after: Any
) -> tuple[pl.DataFrame, Facts, int]:
    """The runs from that of the last row on, and the key of that row among them."""
    try:
        run, step = (after["execution_id"], after["step_number"]) if isinstance(after, Mapping) else after
        last = int(step)
    except (KeyError, TypeError, ValueError):
        raise ConfigurationError(
            f"after={after!r} is no row of matches: give page.row(-1, named=True), or (execution_id, step_number).",
            value=after,
        ) from None
    places = runs["id"].index_of(str(run))
    if places is None:
        raise NotFoundError(f"after={after!r}: the run is not among those chosen. Keep the filters of the first page.")
    rest = runs.slice(places)
    return rest, Facts(facts.transport, rest, chosen), last


# ---------------------------------------------------------------- the frame


def _rows(frames: Frames, predicate: Predicate, facts: Facts, keys: Any, *, labels: bool) -> pl.DataFrame:
    of_run = facts.runs.select("id", "agent_type", "task")[keys // STEPS]
    rows = of_run.rename({"id": "execution_id"}).with_columns(
        step_number=pl.Series(keys % STEPS, dtype=pl.Int64), matched=_matched(predicate, facts, Steps(keys))
    )
    if labels and len(rows):
        rows = rows.join(_labels(frames, rows), on=["execution_id", "step_number"], how="left", maintain_order="left")
    missing = [pl.lit(None, dtype=dtype).alias(name) for name, dtype in SCHEMA.items() if name not in rows.columns]
    return rows.with_columns(missing).select(pl.col(name).cast(dtype) for name, dtype in SCHEMA.items())


def _matched(predicate: Predicate, facts: Facts, steps: Steps) -> pl.Series:
    """What of the predicate holds at each step: its parts that look at values."""
    parts = {repr(node): node for node in predicate.walk() if isinstance(node, LEAVES)}
    said = {}
    for name, node in parts.items():
        flags: Flags = facts.leaf(node)(steps)
        text = _with_values(node, facts, steps) if isinstance(node, Comparison) and node.event is None else pl.lit(name)
        said[name] = pl.when(pl.Series(flags, dtype=pl.Boolean)).then(text)
    if not said or not len(steps.keys):
        return pl.Series("matched", [None] * len(steps.keys), dtype=pl.String)
    return pl.select(pl.concat_str(*said.values(), separator=" · ", ignore_nulls=True)).to_series().alias("matched")


def _with_values(node: Comparison, facts: Facts, steps: Steps) -> pl.Expr:
    """The values of the columns: ``state("cart.total") = 120``."""
    told = []
    for column in node.columns():
        texts = pl.Series([*map(_short, facts.values(column)), None], dtype=pl.String)
        told += [pl.lit(f"{column!r} = "), pl.lit(texts[facts.codes(column, steps)].fill_null("…")), pl.lit(", ")]
    return pl.concat_str(*told[:-1])


def _short(value: Any) -> str:
    text = dumped(value)
    return text if len(text) <= _VALUE_LENGTH else text[: _VALUE_LENGTH - 1] + "…"


_SAID = (
    "coalesce(e.data->>'text', e.data#>>'{{tool,arguments}}', e.data#>>'{{tool,result}}', e.data#>>'{{error,message}}')"
)
_LABELS = (
    "SELECT DISTINCT ON (e.execution_id, e.step_number) e.execution_id, e.step_number::bigint AS step_number,"
    " e.event_type, e.name, left(regexp_replace(left(" + _SAID + ", {}), '\\s+', ' ', 'g'), {}) AS label"
    " FROM workbench.observability_events e JOIN unnest({}::uuid[], {}::int[]) AS w(run, step)"
    " ON e.execution_id = w.run AND e.step_number = w.step ORDER BY e.execution_id, e.step_number, e.id"
)


def _labels(frames: Frames, rows: pl.DataFrame) -> pl.DataFrame:
    """One line for the event of each step."""
    schema = {name: SCHEMA[name] for name in ("execution_id", "step_number", "event_type", "name", "label")}
    length = sql.Literal(_LABEL_LENGTH * 4), sql.Literal(_LABEL_LENGTH)
    found = []
    for part in rows.select("execution_id", "step_number").iter_slices(_LABELLED):
        runs, steps = (sql.Literal(column.to_list()) for column in part)
        found.append(frames.transport.fetch(sql.SQL(_LABELS).format(*length, runs, steps), schema))
    return pl.concat(found)
