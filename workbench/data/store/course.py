"""The course of a run: its own steps and, of a fork, those up to the fork, which are stored in the run it left.

A fork holds no copy of its past. It begins with one whole state, that of the step it was forked at (edited, if so), and
goes on with the step after. Whatever happens to either afterwards changes nothing in the other.
"""

from __future__ import annotations

import uuid
from typing import NamedTuple

import psycopg


class Stretch(NamedTuple):
    """Steps of a course that are stored in one run: those after ``after`` up to ``until``."""

    execution_id: uuid.UUID
    after: int  # -1: from the first on
    until: int | None  # None: to the last


# The step that a fork hangs on may have been given another number since, by what its file told later.
_UP = """
WITH RECURSIVE up (id, parent, event, at, until, depth) AS (
  SELECT id, parent_execution_id, parent_event_id, forked_at_step, NULL::int, 0
  FROM workbench.agent_executions WHERE id = %(run)s
  UNION ALL
  SELECT x.id, x.parent_execution_id, x.parent_event_id, x.forked_at_step,
    least(up.until, coalesce((SELECT step_number FROM workbench.observability_events WHERE id = up.event), up.at)),
    up.depth + 1
  FROM up JOIN workbench.agent_executions x ON x.id = up.parent WHERE up.at IS NOT NULL
) CYCLE id SET is_cycle USING way
SELECT id, coalesce(at, -1), until FROM up WHERE NOT is_cycle ORDER BY depth DESC
"""


def course(connection: psycopg.Connection, run: uuid.UUID | str) -> list[Stretch]:
    """The stretches of a run's course, the oldest first; of a run that is no fork, one; of no run, none."""
    return [Stretch(*row) for row in connection.execute(_UP, {"run": str(run)})]
