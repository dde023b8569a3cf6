"""To go on in a branch: :class:`Continued`, what ``bench.record(into=branch)`` gives."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from workbench.data.store.snapshots import chain_to, rebuild
from workbench.errors import ConfigurationError, ConflictError, NotFoundError
from workbench.replay.capture.recording import Recording
from workbench.replay.capture.values import encoded

if TYPE_CHECKING:
    from workbench.data.store.engine import Store
    from workbench.replay.capture.delivery import Delivery


class Continued(Recording):
    """A recording that goes on in a branch: its first step is the one behind the step that the branch was forked at.

    It takes the branch for itself when it begins, in the database and at once: of several who want the same branch one
    gets it, in whatever process they are. Kind, name, task, model and input are those of the run that was forked.

    Parameters
    ----------
    delivery
        Where to.
    store
        Where the branch is.
    branch
        What a fork or a rollback made, and nobody has begun yet.
    metadata
        Is added to that of the branch.

    Raises
    ------
    NotFoundError
        No such run.
    ConfigurationError
        It is a run that was recorded from its beginning, and no branch.
    ConflictError
        Another writer goes on in it already, or has done so.
    """

    def __init__(
        self, delivery: Delivery, store: Store, branch: uuid.UUID, *, metadata: Mapping[str, Any] | None = None
    ) -> None:
        self._store = store
        with store.raw() as connection:
            found = connection.execute(_ABOUT, [branch]).fetchone()
        agent_type, model = _begun_by_nobody(branch, found)
        super().__init__(delivery, agent_type=agent_type, model=model, metadata=metadata)
        self._account.be(branch)

    def _begin_here(self) -> None:
        """Take the branch, and begin.

        Raises
        ------
        ConflictError
            Another writer has taken it.
        StoreUnavailableError
            The database is not there, without which nobody can know.
        """
        try:
            with self._taken_over():
                self._begin()
        except BaseException as error:
            self.end(error)  # the connection broke before it was known whether the branch is ours
            raise

    @contextmanager
    def _taken_over(self) -> Iterator[None]:
        # What begins lies in the spool before anybody can see that the branch is taken: should the process die between
        # the two, its run is abandoned like any other, and not running for ever.
        with self._store.raw() as connection:
            found = connection.execute(_TAKE, [self.id]).fetchone()
            if found is None:
                _begun_by_nobody(self.id, connection.execute(_ABOUT, [self.id]).fetchone())
                raise AssertionError("unreachable")
            (after,) = found
            rows = chain_to(connection, self.id, after)
            if rows:
                self._state, self._state_raw = encoded(rebuild(rows, after))
            self._account.first = self._account.n_events = after + 1
            yield


def _begun_by_nobody(branch: uuid.UUID, found: tuple[Any, ...] | None) -> tuple[str, str | None]:
    """Kind of agent and model of a branch in which nothing has gone on yet.

    Raises
    ------
    NotFoundError, ConfigurationError, ConflictError
        As in :class:`Continued`.
    """
    if found is None:
        raise NotFoundError(f"No execution {branch}. List them with bench.executions().", execution_id=str(branch))
    agent_type, model, status, is_fork, last = found
    if not is_fork:
        raise ConfigurationError(
            f"Execution {branch} is no branch: what was recorded from its beginning stays as it is. Make one with"
            f" bench.fork({str(branch)!r}, step), and record into that.",
            execution_id=str(branch),
        )
    if status != "pending":
        is_on = status == "running"
        then = "It has one writer." if is_on else f"Go on behind it with bench.fork({str(branch)!r}, {last})."
        raise ConflictError(
            f"Branch {branch} is {status}: {'another writer goes on in it' if is_on else 'it was gone on in'} already."
            f" {then}",
            execution_id=str(branch),
            status=status,
        )
    return agent_type, model


_ABOUT = """
SELECT agent_type, model, status, forked_at_step IS NOT NULL AND metadata->>'link' = 'forked', greatest(forked_at_step,
  (SELECT max(step_number) FROM workbench.observability_events WHERE execution_id = x.id),
  (SELECT max(step_number) FROM workbench.execution_snapshots WHERE execution_id = x.id))
FROM workbench.agent_executions x WHERE id = %s
"""

_TAKE = """
UPDATE workbench.agent_executions SET status = 'running', row_version = row_version + 1
WHERE id = %s AND status = 'pending' AND forked_at_step IS NOT NULL AND metadata->>'link' = 'forked'
RETURNING forked_at_step
"""
