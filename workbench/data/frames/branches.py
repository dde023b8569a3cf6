"""The branches of a run: everything forked from one root, as a frame in the order of the tree."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
from psycopg import sql

if TYPE_CHECKING:
    from workbench.data.frames.transport import Transport

UTC = pl.Datetime("us", "UTC")

schema: dict[str, Any] = {
    "depth": pl.Int64,
    "id": pl.String,
    "parent_execution_id": pl.String,
    "name": pl.String,
    "status": pl.String,
    "score": pl.Float64,
    "forked_at_step": pl.Int64,
    "last_step": pl.Int64,
    "is_head": pl.Boolean,
    "was_head": pl.Boolean,
    "head_until_step": pl.Int64,
    "created_at": UTC,
}

# The way of the head from the root tells of each run on it how far the head's course goes along with it.
_QUERY = """
WITH RECURSIVE up (id, parent, link) AS (
  SELECT id, parent_execution_id, metadata->>'link' FROM workbench.agent_executions WHERE id = {run}::uuid
  UNION
  SELECT x.id, x.parent_execution_id, x.metadata->>'link'
  FROM up JOIN workbench.agent_executions x ON x.id = up.parent WHERE up.link = 'forked'
), root AS (
  SELECT id FROM up WHERE link IS DISTINCT FROM 'forked' OR parent IS NULL LIMIT 1
), branch (id, at) AS (
  SELECT id, NULL::int FROM root
  UNION
  SELECT x.id, coalesce(event.step_number, x.forked_at_step)
  FROM branch JOIN workbench.agent_executions x ON x.parent_execution_id = branch.id AND x.metadata->>'link' = 'forked'
  LEFT JOIN workbench.observability_events event ON event.id = x.parent_event_id
), head AS (
  SELECT coalesce((SELECT moved.execution_id FROM workbench.branch_heads moved JOIN root ON root.id = moved.root_id
    ORDER BY moved.created_at DESC, moved.id DESC LIMIT 1), (SELECT id FROM root)) AS id
), way (id, until) AS (
  SELECT id, NULL::int FROM head
  UNION
  SELECT x.parent_execution_id, least(way.until, branch.at)
  FROM way JOIN branch ON branch.id = way.id JOIN workbench.agent_executions x ON x.id = way.id
  WHERE branch.at IS NOT NULL
)
SELECT x.id::text AS id, x.parent_execution_id::text AS parent_execution_id, x.name, x.status, x.score,
  branch.at::bigint AS forked_at_step, last.step::bigint AS last_step, x.id = (SELECT id FROM head) AS is_head,
  EXISTS (SELECT FROM workbench.branch_heads moved WHERE moved.execution_id = x.id) OR x.id = (SELECT id FROM root)
    AS was_head,
  CASE WHEN x.id = (SELECT id FROM head) THEN last.step ELSE way.until END::bigint AS head_until_step, x.created_at
FROM branch JOIN workbench.agent_executions x ON x.id = branch.id LEFT JOIN way ON way.id = x.id
CROSS JOIN LATERAL (SELECT greatest(
  (SELECT max(step_number) FROM workbench.observability_events WHERE execution_id = x.id),
  (SELECT max(step_number) FROM workbench.execution_snapshots WHERE execution_id = x.id), x.forked_at_step
  ) AS step) last
ORDER BY branch.at NULLS FIRST, x.created_at, x.id
"""


def branches(transport: Transport, run: str) -> pl.DataFrame:
    """The run that all was forked from and every branch of it, each behind the run it left.

    Returns
    -------
    polars.DataFrame
        Columns of :data:`schema`: ``depth`` (0 = the root), ids, name, status, score; ``forked_at_step`` (the last step
        shared with the parent; null of the root and of imported forks whose step nobody knows), ``last_step``,
        ``is_head``, ``was_head``, ``head_until_step`` (up to which step the head's course goes through this run; null:
        not at all), ``created_at``.
    """
    sent = {name: dtype for name, dtype in schema.items() if name != "depth"}
    found = transport.fetch(sql.SQL(_QUERY).format(run=sql.Literal(run)), sent)
    inside: dict[str | None, list[int]] = {}
    for place, parent in enumerate(found["parent_execution_id"]):
        inside.setdefault(parent, []).append(place)
    ids = found["id"].to_list()
    rows: list[int] = []
    depths: list[int] = []
    pending = [(place, 0) for place, parent in enumerate(found["parent_execution_id"]) if parent not in set(ids)]
    while pending:
        place, depth = pending.pop()
        rows.append(place)
        depths.append(depth)
        pending += [(child, depth + 1) for child in reversed(inside.get(ids[place], []))]
    return found[rows].with_columns(depth=pl.Series(depths, dtype=pl.Int64)).select(*schema)
