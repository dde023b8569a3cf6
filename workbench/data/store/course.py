"""The course of a run: its own steps and, of a fork, those up to the fork, which are stored in the run it left.

A fork holds no copy of its past. It begins with one whole state, that of the step it was forked at (edited, if so), and
goes on with the step after. Whatever happens to either afterwards changes nothing in the other.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
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


def realign(connection: psycopg.Connection, runs: Iterable[uuid.UUID]) -> int:
    """Renumber the forks of runs whose steps were given other numbers, by what their files told later.

    A fork hangs on an event. Where that is another step now, all steps of the fork move along, and with them the forks
    of the fork; what they hold stays as it is.

    Returns
    -------
    int
        How many forks moved.
    """
    moved = dict(connection.execute(_ASTRAY, {"runs": list(runs)}).fetchall())
    n_moved = 0
    while moved:
        n_moved += len(moved)
        for fork, by in moved.items():
            for statement in _MOVE:
                connection.execute(statement, {"fork": fork, "by": by, "away": _AWAY})
        below = connection.execute(_ASTRAY, {"runs": list(moved)}).fetchall()
        # A fork at the very beginning of another one hangs on no event of that.
        eventless = connection.execute(_EVENTLESS, {"runs": list(moved)}).fetchall()
        moved = dict(below) | {fork: moved[parent] for fork, parent in eventless}
    return n_moved


_AWAY = 1_000_000_000  # no step is there; steps that move by a few places would meet each other on the way

_ASTRAY = """
SELECT fork.id, event.step_number - fork.forked_at_step
FROM workbench.agent_executions fork JOIN workbench.observability_events event ON event.id = fork.parent_event_id
WHERE fork.parent_execution_id = ANY(%(runs)s) AND event.step_number <> fork.forked_at_step
"""

_EVENTLESS = """
SELECT id, parent_execution_id FROM workbench.agent_executions
WHERE parent_execution_id = ANY(%(runs)s) AND forked_at_step IS NOT NULL AND parent_event_id IS NULL
"""

_MOVE = (
    "UPDATE workbench.agent_executions SET forked_at_step = forked_at_step + %(by)s WHERE id = %(fork)s",
    "UPDATE workbench.observability_events SET step_number = step_number + %(by)s WHERE execution_id = %(fork)s",
    "UPDATE workbench.execution_snapshots SET step_number = step_number + %(away)s,"
    " keyframe_step = keyframe_step + %(away)s WHERE execution_id = %(fork)s",
    "UPDATE workbench.execution_snapshots SET step_number = step_number - %(away)s + %(by)s,"
    " keyframe_step = keyframe_step - %(away)s + %(by)s WHERE execution_id = %(fork)s",
    "UPDATE workbench.pruned_states SET first_step = first_step + %(by)s, last_step = last_step + %(by)s"
    " WHERE execution_id = %(fork)s",
)
