"""Turns of the ingests of one store, taken for the rest of a transaction.

Files of one format may hold the same runs and tasks, in different orders. So a file is first read beside the others;
where it meets what another brought, it is rolled back and read again alone. Nothing is lost by that: a file is one
transaction. Formats share no rows.

A lock is asked for again and again rather than waited for: a waiting statement would hold back concurrent index builds.
Whoever takes several takes the one of the format first, then that of the blocks, so that none waits for another.
"""

from __future__ import annotations

import hashlib
import time

import psycopg

from workbench.errors import ConflictError, WorkbenchError

BLOCKS = "file blocks"  # no format has a name with a space
_POLL_S = (0.02, 0.5)
# unique_violation, foreign_key_violation, serialization_failure, deadlock_detected
_COLLISIONS = {"23505", "23503", "40001", "40P01"}


def exclusive(connection: psycopg.Connection, what: str) -> None:
    """Be the only one at it: a format's runs, or the blocks of kept files."""
    _take(connection, "SELECT pg_try_advisory_xact_lock(%(what)s)", what)


def shared(connection: psycopg.Connection, what: str) -> None:
    """Be one of several at it, and keep out whoever wants to be alone."""
    _take(connection, "SELECT pg_try_advisory_xact_lock_shared(%(what)s)", what)


class NeedsTurn(Exception):  # noqa: N818 (no error: the file is read again)
    """The file holds a run that is there already, which only one file at a time may add to."""


class Turn:
    """The turn of one transaction to write runs of a format.

    Parameters
    ----------
    is_alone
        No other file of the format is written meanwhile, in any process; else beside others that want no turn alone.
    """

    def __init__(self, connection: psycopg.Connection, format: str, *, is_alone: bool) -> None:
        self.is_alone = is_alone
        self._connection = connection
        self._format = format

    def take(self) -> None:
        """Wait for it."""
        gate = f"{self._format} gate"
        if self.is_alone:
            # Whoever holds the gate is next: others that come meanwhile do not go first.
            exclusive(self._connection, gate)
            exclusive(self._connection, self._format)
        else:
            _take(self._connection, _BESIDE, self._format, gate)

    def meets_known(self) -> None:
        """Say that the file holds a run that is stored already.

        Raises
        ------
        NeedsTurn
            Others are writing: roll back, and read the file again alone.
        """
        if not self.is_alone:
            raise NeedsTurn(self._format)

    def take_links(self) -> None:
        """Wait until no other file links its runs to those of others; from here on all it commits is seen.

        Two files read at once see nothing of each other: the second to come here sees the first, and makes their link.
        """
        if not self.is_alone:
            exclusive(self._connection, f"{self._format} links")


def is_collision(error: WorkbenchError) -> bool:
    """Whether two transactions got into each other's way, so that the one that was rolled back can be done again."""
    return isinstance(error, ConflictError) and getattr(error, "sqlstate", None) in _COLLISIONS


_BESIDE = """
SELECT CASE WHEN pg_try_advisory_lock_shared(%(gate)s)
  THEN pg_advisory_unlock_shared(%(gate)s) AND pg_try_advisory_xact_lock_shared(%(what)s) ELSE false END
"""


def _take(connection: psycopg.Connection, question: str, what: str, gate: str = "") -> None:
    keys = {"what": _key(what), "gate": _key(gate)}
    pause, longest = _POLL_S
    while True:
        row = connection.execute(question.encode(), keys).fetchone()
        if row and row[0]:
            return
        time.sleep(pause)
        pause = min(pause * 2, longest)


def _key(what: str) -> int:
    return int.from_bytes(hashlib.blake2b(f"workbench.ingest.{what}".encode(), digest_size=8).digest(), signed=True)
