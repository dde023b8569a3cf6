"""Capture a live run: ``bench.record()`` and ``bench.trace``.

The rules:

- **Acknowledged is kept.** A call that has returned has put its record into the *spool*, an append-only file of the
  process. Whatever ends the process, ``kill -9`` included, the record is delivered: by the process itself a moment
  later, else by the next ``workbench.connect()`` to the same database, ``bench.deliver()`` or ``workbench deliver``. A
  power cut may cost the last seconds: nothing is synced to the disk.
- **Once.** Ids are made at capture, of the run's id and the step's number; one process at a time delivers a spool, by a
  lock that the kernel drops when its holder dies; what was written and not yet told so is written over itself.
- **The agent goes on.** No call waits for the database or raises because of a value. Where the disk or the spool's
  limit (``spool_limit_mb``) is reached, records are dropped whole, counted, told in the log once, and told with the run
  (``metadata.capture.n_dropped``); step numbers have no gap.
- **A run has one writer.** Threads and tasks of one process share a recording. A forked child gets a run of its own of
  the same kind, a child of the run it was forked in; another process names its ``parent=``. No run is opened again; a
  branch that :mod:`workbench.replay.branches` has made is begun once (``into=``), by whoever comes first.
- **Abandoned.** A run whose spool is free (its process is dead) and holds no end of it becomes ``failed`` with
  ``error_type`` ``abandoned``, ended at its last record, its totals summed up of its events; its steps under way keep
  the mark ``unfinished``. The same is said of a run that is open when its process ends in good order. A run whose end
  is known is never changed so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from workbench.errors import ConfigurationError, ReadOnlyError
from workbench.replay.capture.continuing import Continued
from workbench.replay.capture.delivery import delivery_of
from workbench.replay.capture.place import diverted
from workbench.replay.capture.recording import Recording, taken_up
from workbench.replay.capture.spool import folder_of, spools

if TYPE_CHECKING:
    from workbench.data.store.engine import Store

__all__ = ["Continued", "Recording", "deliver_soon", "record"]


def record(store: Store, *, agent_type: str | None = None, into: UUID | str | None = None, **about: Any) -> Recording:
    """Begin to capture a run, or go on in a branch; see :class:`Recording` and :class:`Continued`.

    Parameters
    ----------
    into
        Id of a branch that nobody has begun yet; ``None`` = a new run.

    Raises
    ------
    ReadOnlyError
        The connection is read-only.
    ConfigurationError
        Neither ``agent_type`` nor ``into`` is given, or ``into`` and what is the branch's already.
    NotFoundError, ConflictError
        As :class:`Continued`.
    """
    if store.read_only:
        raise ReadOnlyError("This connection is read-only. Open it without read_only=True to record.")
    delivery = diverted.get() or delivery_of(store)
    if into is None:
        own = taken_up(agent_type) if about.get("parent") is None else None
        return own or Recording(delivery, agent_type=agent_type or "", **about)
    given = [*(["agent_type"] if agent_type is not None else []), *(name for name in about if name != "metadata")]
    if given:
        raise ConfigurationError(
            f"{given[0]} and into exclude each other: a branch has it from the run that was forked. Only metadata can"
            " be added.",
        )
    return Continued(delivery, store, UUID(str(into)), **about)


def deliver_soon(store: Store) -> None:
    """Deliver what ended processes left for this database, if anything."""
    if spools(folder_of(store)):
        delivery_of(store).look_around()
