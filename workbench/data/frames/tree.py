"""A run and all runs below it: sub-agents, forks, sessions that go on from it, as a frame in the order of the tree."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
from psycopg import sql

from workbench.data.frames.columns import columns

if TYPE_CHECKING:
    from workbench.data.frames.transport import Transport

UTC = pl.Datetime("us", "UTC")
_RUN = ("id", "name", "agent_type", "status", "link", "parent_execution_id", "parent_event_id", "started_at",
        "execution_time_ms", "cost_usd", "source_id")  # fmt: skip

# UNION, not UNION ALL: a run that was met is not followed again, so runs in a circle end.
_QUERY = """
WITH RECURSIVE below (id) AS (
  SELECT {run}::uuid
  UNION
  SELECT child.id FROM workbench.agent_executions child JOIN below ON child.parent_execution_id = below.id
)
SELECT {columns}, step.step_number::bigint AS parent_step
FROM below JOIN workbench.agent_executions x ON x.id = below.id
LEFT JOIN workbench.observability_events step ON step.id = x.parent_event_id
ORDER BY step.step_number NULLS LAST, x.started_at NULLS LAST, x.created_at, x.id
"""

schema: dict[str, pl.DataType | type[pl.DataType]] = {
    "depth": pl.Int64,
    **{column.name: column.dtype for column in columns["executions"] if column.name in _RUN},
    "parent_step": pl.Int64,
}


def tree(transport: Transport, run: str) -> pl.DataFrame:
    """The run and all runs below it, each behind its parent, brothers in the order of the steps they hang on.

    Returns
    -------
    polars.DataFrame
        ``depth`` (0 = the run itself), then columns as of the executions, and ``parent_step``, the number of the step
        of the parent that started the run; null where no step is known.
    """
    told = [column for column in columns["executions"] if column.name in _RUN]
    selected: Any = ", ".join(f"{column.sql} AS {column.name}" for column in told)
    query = sql.SQL(_QUERY).format(run=sql.Literal(run), columns=sql.SQL(selected))
    sent = {column.name: column.dtype for column in told} | {"parent_step": pl.Int64}
    found = transport.fetch(query, sent)
    place = {own: number for number, own in enumerate(found["id"].to_list())}
    inside: dict[str, list[str]] = {}
    for own, parent in found.select("id", "parent_execution_id").iter_rows():
        inside.setdefault(parent, []).append(own)
    rows: list[int] = []
    depths: list[int] = []
    met: set[str] = set()
    pending = [(run, 0)]
    while pending:
        own, depth = pending.pop()
        if own in met or own not in place:
            continue
        met.add(own)
        rows.append(place[own])
        depths.append(depth)
        pending += [(child, depth + 1) for child in reversed(inside.get(own, []))]
    return found[rows].with_columns(depth=pl.Series(depths, dtype=pl.Int64)).select(*schema)
