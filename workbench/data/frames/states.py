"""Whole states for the rows of the snapshots frame, rebuilt from the patches that the store holds."""

from __future__ import annotations

import polars as pl
from psycopg import sql

from workbench.data.frames.transport import Transport
from workbench.data.store.snapshots import rebuild_all
from workbench.data.store.storable import dumped

_CHAIN = sql.SQL(
    """
SELECT s.execution_id::text AS execution_id, s.step_number::bigint AS step_number,
       s.keyframe_step::bigint AS keyframe_step, s.state::text AS state
FROM workbench.execution_snapshots s
JOIN (SELECT c.execution_id, min(c.keyframe_step) AS first, max(c.step_number) AS last
      FROM workbench.execution_snapshots c
      JOIN unnest({runs}::uuid[], {steps}::int[]) AS w(execution_id, step_number) USING (execution_id, step_number)
      GROUP BY 1) part
  ON s.execution_id = part.execution_id AND s.step_number BETWEEN part.first AND part.last
"""
)
_SCHEMA = {"execution_id": pl.String, "step_number": pl.Int64, "keyframe_step": pl.Int64, "state": pl.String}


def with_states(transport: Transport, rows: pl.DataFrame) -> pl.DataFrame:
    """The same rows, ``state`` whole. Reads the rows between the keyframes and the last step wanted of each run."""
    if rows.is_empty():
        return rows
    first = rows.group_by("execution_id").agg(pl.col("step_number").min(), pl.col("step_number").max().alias("last"))
    runs = first["execution_id"].to_list() * 2
    steps = first["step_number"].to_list() + first["last"].to_list()
    chain = transport.fetch(_CHAIN.format(runs=sql.Literal(runs), steps=sql.Literal(steps)), _SCHEMA)
    wanted = set(zip(rows["execution_id"], rows["step_number"], strict=True))
    built: dict[tuple[str, int], str] = {}
    for (run,), part in chain.sort("step_number").group_by("execution_id", maintain_order=True):
        links = part.select("step_number", "keyframe_step", "state").rows()
        for step, state in rebuild_all(links):
            if (run, step) in wanted:
                built[run, step] = dumped(state)
    states = [built[key] for key in zip(rows["execution_id"], rows["step_number"], strict=True)]
    return rows.with_columns(pl.Series("state", states, dtype=pl.String))
