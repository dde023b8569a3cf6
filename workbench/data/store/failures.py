"""The errors of the database, told in our words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from sqlalchemy import exc

from workbench.data.store.address import without_password
from workbench.errors import ConflictError, QueryError, ReadOnlyError, StoreUnavailableError, WorkbenchError

_READ_ONLY_STATES = {"25006"}  # read_only_sql_transaction
_CONFLICT_STATES = {"23505", "23503", "23514", "23502", "23P01", "40001", "40P01"}
_DISK_FULL, _TIMEOUT = "53100", "57014"
_BY_USER = "due to user request"  # the same code as of a timeout
_NO_ROOM = ("File too large", "Disk quota exceeded")  # Postgres has no code of its own for these limits
_NO_RIGHT = "42501"
_REFUSED = "FATAL:"  # libpq gives no code of what a server says instead of opening a session
_FOR_GOOD_CLASSES = ("22", "23")  # a value, or a constraint
_GONE_CLASSES = ("08", "57P", "53")  # connection, shutdown, out of resources (disk, memory, connections)


@contextmanager
def errors_translated() -> Iterator[None]:
    """Turn the drivers' errors into ours; the driver's own is the cause."""
    try:
        yield
    except WorkbenchError:
        raise
    except exc.TimeoutError as error:
        raise StoreUnavailableError(
            f"No free connection: {error.args[0]}. Close some, or raise pool_size (WORKBENCH_POOL_SIZE)."
        ) from error
    except (exc.DBAPIError, psycopg.Error) as error:
        raise translated(error) from error


def is_for_good(error: WorkbenchError) -> bool:
    """Whether the database refused what it was given, and will do so again: not the moment, but a value is to blame."""
    return str(getattr(error, "sqlstate", "") or "").startswith(_FOR_GOOD_CLASSES)


def translated(error: exc.DBAPIError | psycopg.Error) -> WorkbenchError:
    """Our error for one of psycopg, wrapped by SQLAlchemy or not."""
    original = error if isinstance(error, psycopg.Error) else error.orig
    text = without_password(str(original).strip())
    state = getattr(original, "sqlstate", None) or ""
    if state in _READ_ONLY_STATES:
        kind, said = ReadOnlyError, f"This connection is read-only: {text}. Open it without read_only=True to write."
    elif state in _CONFLICT_STATES:
        kind, said = ConflictError, f"The database refused the change: {text}"
    elif state == _DISK_FULL or any(reason in text for reason in _NO_ROOM):
        kind, said = (
            StoreUnavailableError,
            f"The disk of the database is full: {text}. Free some space, then try again.",
        )
    elif state == _TIMEOUT and _BY_USER in text:
        # ADBC makes this of Ctrl+C, for which psycopg raises KeyboardInterrupt.
        return QueryError(
            f"The query was cancelled, by Ctrl+C or in the server: {text}.", sqlstate=state, is_cancelled=True
        )
    elif state == _TIMEOUT:
        kind, said = (
            QueryError,
            f"Stopped after the statement timeout: {text}. Raise statement_timeout_s, or ask for less.",
        )
    elif state.startswith(_GONE_CLASSES) or (not state and isinstance(original, psycopg.OperationalError)):
        kind, said = StoreUnavailableError, _no_session(text)
    elif state == _NO_RIGHT:
        kind, said = (
            QueryError,
            f"The database role lacks a right: {text.splitlines()[0]}. Connect as another role, or GRANT it.",
        )
    else:
        kind, said = QueryError, f"The database refused the query: {text}"
    return kind(said, sqlstate=state)


def _no_session(text: str) -> str:
    """Why there is no session: the server said no, or nothing."""
    line = " ".join(text.split()).rstrip(".?!")
    if _REFUSED in line:
        return f"The database refused the connection: {line}. Are user, password and database of the URL right?"
    return f"No answer from the database: {line}. Does it run, and is the URL right?"
