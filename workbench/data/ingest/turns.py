"""Turns of the ingests of one store, taken for the rest of a transaction.

A lock is asked for again and again rather than waited for: a waiting statement would hold back concurrent index builds.
Whoever takes several takes the one of the format first, then that of the blocks, so that none waits for another.
"""

from __future__ import annotations

import hashlib
import time

import psycopg

BLOCKS = "file blocks"  # no format has a name with a space
_POLL_S = (0.02, 0.5)


def exclusive(connection: psycopg.Connection, what: str) -> None:
    """Be the only one at it: a format's runs, or the blocks of kept files."""
    _take(connection, "pg_try_advisory_xact_lock", what)


def shared(connection: psycopg.Connection, what: str) -> None:
    """Be one of several at it, and keep out whoever wants to be alone."""
    _take(connection, "pg_try_advisory_xact_lock_shared", what)


def _take(connection: psycopg.Connection, function: str, what: str) -> None:
    key = int.from_bytes(hashlib.blake2b(f"workbench.ingest.{what}".encode(), digest_size=8).digest(), signed=True)
    pause, longest = _POLL_S
    while True:
        row = connection.execute(f"SELECT {function}(%s)", [key]).fetchone()  # pyright: ignore[reportArgumentType]
        if row and row[0]:
            return
        time.sleep(pause)
        pause = min(pause * 2, longest)
