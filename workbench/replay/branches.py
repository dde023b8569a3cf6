"""Branches of a run: fork it, go back in it, and see how its branches hang together. Nothing is ever destroyed.

A branch is an execution of its own whose ``link`` is ``forked``. It shares the steps up to ``forked_at_step`` with the
run it left (they are stored there alone, so tokens and cost count once) and begins with one whole state, so what
happens to the other run later cannot change it. Going back (``rollback``) forks too, and moves the *head* of the
branches there: the steps after it stay where they are, in the run that is no longer the head. Every move of a head is
kept.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from workbench.data.ingest.writing.rows import SNAPSHOT_COLUMNS
from workbench.data.store.copy import copy_rows
from workbench.data.store.course import course
from workbench.data.store.snapshots import chain_to, last_step, rebuild
from workbench.data.store.storable import storable, storable_text
from workbench.data.store.tables import execution_snapshots, new_id
from workbench.errors import NotFoundError

if TYPE_CHECKING:
    from workbench.data.store.engine import Store

SAME: Any = object()  # "the state as it was", which None is not


def fork(store: Store, run: uuid.UUID | str, step: int, *, state: Any = SAME, name: str | None = None) -> uuid.UUID:
    """Make a branch that goes on from a step of a run.

    Parameters
    ----------
    run
        Its id; it may be running still, and may be a fork itself.
    step
        The last step that both share.
    state
        The branch's state after that step; left out, as it was. Anything that JSON can say.
    name
        What a person calls the branch; else the name of the run.

    Returns
    -------
    uuid.UUID
        The new execution, ``pending`` until something goes on in it.

    Raises
    ------
    NotFoundError
        No such run or step.
    """
    with store.raw() as connection:
        return _fork(connection, str(run), step, state=state, name=name)


def rollback(store: Store, run: uuid.UUID | str, step: int, *, reason: str | None = None) -> uuid.UUID:
    """Go back to a step: a branch from there becomes the head; what came after stays in the run it is in.

    Returns
    -------
    uuid.UUID
        The new head: a new execution, or the run itself where nothing comes after the step.
    """
    with store.raw() as connection:
        found = str(run)
        is_last = last_step(connection, found) == step
        target = uuid.UUID(found) if is_last else _fork(connection, found, step, state=SAME, name=None)
        _move_head(connection, target, reason)
        return target


def make_head(store: Store, run: uuid.UUID | str, *, reason: str | None = None) -> None:
    """Make a branch the head of all that were forked from the same run: an abandoned future is taken up again."""
    with store.raw() as connection:
        _move_head(connection, uuid.UUID(str(run)), reason)


def _fork(connection: Any, run: str, step: int, *, state: Any, name: str | None) -> uuid.UUID:
    last = last_step(connection, run)
    if last is None or not 0 <= step <= last:
        there_are = "there is no such run, or it has no steps" if last is None else f"its steps are 0 to {last}"
        raise NotFoundError(
            f"Execution {run} cannot be forked at step {step}: {there_are}.",
            execution_id=run,
            step=step,
            last_step=last,
        )
    stretches = reversed(course(connection, run))
    owner = next(
        one.execution_id for one in stretches if one.after <= step and (one.until is None or step <= one.until)
    )
    branch = new_id()
    rows = chain_to(connection, run, step)
    before = rebuild(rows, step) if rows else None
    connection.execute(_FORK, {"id": branch, "owner": owner, "step": step, "name": storable_text(name)})
    if rows or state is not SAME:
        stored = storable(before if state is SAME else state)
        is_derived = state is SAME and _is_derived(connection, owner, rows[-1][0])
        row = (new_id(), branch, step, None, stored.text, step, None, False, is_derived, None)
        copy_rows(connection, execution_snapshots, SNAPSHOT_COLUMNS, [row])
    return branch


def _is_derived(connection: Any, owner: uuid.UUID, step: int) -> bool:
    """Whether nobody recorded the state: it was made from the conversation."""
    found = connection.execute(_DERIVED, {"run": owner, "step": step}).fetchone()
    return bool(found and found[0])


def _move_head(connection: Any, to: uuid.UUID, reason: str | None) -> None:
    moved = connection.execute(_MOVE, {"run": to, "reason": storable_text(reason)}).rowcount
    if not moved:
        raise NotFoundError(f"No execution {to}. List them with bench.executions().", execution_id=str(to))


_FORK = """
INSERT INTO workbench.agent_executions (id, task_id, agent_type, name, model, status, input, metadata, trace_id, source,
  source_id, parent_execution_id, parent_event_id, forked_at_step)
SELECT %(id)s, task_id, agent_type, coalesce(%(name)s, name), model, 'pending', input,
  jsonb_build_object('link', 'forked'), NULL, 'fork', %(id)s::text, id,
  (SELECT event.id FROM workbench.observability_events event
   WHERE event.execution_id = x.id AND event.step_number = %(step)s ORDER BY event.id LIMIT 1), %(step)s
FROM workbench.agent_executions x WHERE id = %(owner)s
"""

_DERIVED = """
SELECT is_derived FROM workbench.execution_snapshots WHERE execution_id = %(run)s AND step_number = %(step)s
"""

# The head belongs to all branches of one root: the run that everything was forked from.
_MOVE = """
WITH RECURSIVE up (id, parent, link) AS (
  SELECT id, parent_execution_id, metadata->>'link' FROM workbench.agent_executions WHERE id = %(run)s
  UNION ALL
  SELECT x.id, x.parent_execution_id, x.metadata->>'link'
  FROM up JOIN workbench.agent_executions x ON x.id = up.parent WHERE up.link = 'forked'
) CYCLE id SET is_cycle USING way
INSERT INTO workbench.branch_heads (root_id, execution_id, reason)
SELECT id, %(run)s, %(reason)s FROM up WHERE NOT is_cycle AND (link IS DISTINCT FROM 'forked' OR parent IS NULL) LIMIT 1
"""
