"""The past of forks, many at once: which steps of which runs are a fork's own too, though stored there alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
from psycopg import sql

if TYPE_CHECKING:
    from workbench.data.frames.transport import Transport

# As workbench.data.store.course has it for one run: up from a fork, through forks of forks.
_PAST = """
WITH RECURSIVE up (fork, id, parent, event, at, until, depth) AS (
  SELECT x.id, x.id, x.parent_execution_id, x.parent_event_id, x.forked_at_step, NULL::int, 0
  FROM workbench.agent_executions x WHERE x.forked_at_step IS NOT NULL{chosen}
  UNION ALL
  SELECT up.fork, x.id, x.parent_execution_id, x.parent_event_id, x.forked_at_step,
    least(up.until, coalesce((SELECT step_number FROM workbench.observability_events WHERE id = up.event), up.at)),
    up.depth + 1
  FROM up JOIN workbench.agent_executions x ON x.id = up.parent WHERE up.at IS NOT NULL
) CYCLE id SET is_cycle USING way
SELECT fork, id AS run, coalesce(at, -1)::bigint AS after, until::bigint AS until
FROM up WHERE NOT is_cycle AND fork <> id ORDER BY fork, depth DESC
"""
_SCHEMA: dict[str, Any] = {"fork": pl.String, "run": pl.String, "after": pl.Int64, "until": pl.Int64}


def past(transport: Transport, chosen: sql.Composable | None) -> pl.DataFrame:
    """The stretches of other runs that forks go on from.

    Parameters
    ----------
    chosen
        SQL of the ids of the runs that are looked at; ``None`` = all.

    Returns
    -------
    polars.DataFrame
        One row per stretch, of a fork the oldest first: the ``fork``, the ``run`` that holds its steps, those behind
        ``after`` up to ``until``.
    """
    only = sql.SQL("") if chosen is None else sql.SQL(" AND x.id IN ({})").format(chosen)
    return transport.fetch(sql.SQL(_PAST).format(chosen=only), _SCHEMA)
