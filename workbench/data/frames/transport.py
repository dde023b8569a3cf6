"""How rows travel from Postgres to Polars: ADBC (Arrow, by binary COPY), or plain psycopg where ADBC cannot be loaded.

Both give the same rows and dtypes. ADBC takes no parameters on its COPY path, so a query comes with its literals quoted
in (:mod:`psycopg.sql`).

Every reading is a transaction of its own that begins ``READ ONLY`` and ends with ``ROLLBACK``: between readings a
session is idle (an open transaction would hold a pooler's connection, and servers may end sessions that idle in one),
and whatever a query set with ``set_config`` is gone.
"""

from __future__ import annotations

import os
import threading
import uuid
import weakref
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import polars as pl
import psycopg
from psycopg import sql
from psycopg.abc import Buffer
from psycopg.adapt import Loader
from psycopg.pq import Format

from workbench.data.frames.arrow import shaped
from workbench.data.store.address import without_password
from workbench.data.store.failures import errors_translated, translated
from workbench.data.store.tables import SCHEMA
from workbench.errors import StoreUnavailableError

if TYPE_CHECKING:
    from workbench.data.store.engine import Store

Schema = Mapping[str, pl.DataType | type[pl.DataType]]

_BEGIN = "BEGIN TRANSACTION READ ONLY"
_BEGIN_AT = "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"
_GONE_STATES = ("08", "57P")  # connection lost; server shutting down


class Transport:
    """Runs read-only queries of one store. Safe to use from several threads: each borrows a connection.

    Parameters
    ----------
    store
        Where to read.
    way
        ``adbc`` or ``psycopg``; ``None`` = the fastest that loads.
    """

    def __init__(self, store: Store, *, way: str | None = None) -> None:
        self._store = weakref.ref(store)  # it closes us, and may be forgotten without
        self.way = way or _fastest()
        self._idle: list[Any] = []
        self._lock = threading.Lock()
        self._pid = os.getpid()
        # Not left to the URL: a pooler refuses options there. For the transaction only.
        self._settings = sql.SQL(
            "SELECT set_config('search_path', {}, true), set_config('statement_timeout', {}, true),"
            " set_config('timezone', 'UTC', true)"
        ).format(
            sql.Literal(f"{SCHEMA}, public"), sql.Literal(str(int(store.settings.statement_timeout_s * 1000)))
        )  # fmt: skip

    @property
    def store(self) -> Store:
        """Where it reads."""
        store = self._store()
        if store is None:
            raise StoreUnavailableError("The workbench of these frames is gone. Connect again.")
        return store

    def fetch(self, query: sql.Composable, schema: Schema) -> pl.DataFrame:
        """Rows of a query as a frame of exactly this schema.

        Raises
        ------
        QueryError, StoreUnavailableError
            The server refused the query; it does not answer.
        """
        text = query.as_string(None)
        if self.way == "adbc":
            try:
                return shaped(self._by_adbc(text), schema)
            except _DriverError:
                self.way = "psycopg"
        return self._by_psycopg(text, schema)

    def fetch_parts(self, queries: Sequence[sql.Composable], schema: Schema) -> pl.DataFrame:
        """The rows of several queries, one after the other, read at once over as many connections.

        All see the store at one moment.
        """
        texts = [query.as_string(None) for query in queries]
        with self.reading(snapshot=True) as connection, ThreadPoolExecutor(len(texts)) as threads:
            row = connection.execute("SELECT pg_export_snapshot()").fetchone()
            assert row is not None
            others = [threads.submit(self._part, text, row[0], schema) for text in texts[1:]]
            first = self._part(texts[0], row[0], schema)  # in this thread, which an interrupt reaches
            return pl.concat([first, *(other.result() for other in others)], rechunk=False)

    def _part(self, text: str, snapshot: str, schema: Schema) -> pl.DataFrame:
        import adbc_driver_manager

        with _adbc_errors(adbc_driver_manager.Error):
            return shaped(self._read(self._take() or self._connect(), text, snapshot), schema)

    @contextmanager
    def reading(self, *, snapshot: bool = False) -> Iterator[psycopg.Connection]:
        """A psycopg connection in a read-only transaction, for what is not a frame; of one moment with ``snapshot``."""
        with errors_translated(), psycopg.connect(self.store.reader_uri, prepare_threshold=None) as connection:
            connection.read_only = True
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ if snapshot else None
            connection.execute(self._settings)
            yield connection
            connection.rollback()

    def close(self) -> None:
        """Close the idle connections."""
        with self._lock:
            idle, self._idle = self._idle, []
        if self._pid != os.getpid():
            _inherited.extend(idle)
            return
        for connection in idle:
            connection.close()

    # -- ADBC ----------------------------------------------------------------------------------------------------------

    def _by_adbc(self, text: str) -> Any:
        import adbc_driver_manager

        try:
            with _adbc_errors(adbc_driver_manager.Error):
                return self._read(self._take() or self._connect(), text)
        except StoreUnavailableError:
            # The connection may have died while it was idle (server restart, timeout), and the others with it. The
            # store waits for a server that is starting, and starts the embedded one. Reading twice changes nothing.
            self.close()
            with self.store.connection():
                pass
            with _adbc_errors(adbc_driver_manager.Error):
                return self._read(self._connect(), text)

    def _read(self, connection: Any, text: str, snapshot: str | None = None) -> Any:
        is_well = False
        try:
            with connection.cursor() as cursor:
                cursor.execute(_BEGIN if snapshot is None else _BEGIN_AT)
                try:
                    if snapshot is not None:
                        cursor.execute(f"SET TRANSACTION SNAPSHOT '{snapshot}'")
                    cursor.execute(self._settings.as_string(None))
                    cursor.fetchall()
                    cursor.execute(text)
                    return cursor.fetch_arrow_table()
                finally:
                    cursor.execute("ROLLBACK")
                    is_well = True
        finally:
            # Also after an interrupt in the middle: only a connection that was rolled back goes to the next reader.
            if is_well:
                self._put_back(connection)
            else:
                connection.close()

    def _connect(self) -> Any:
        import adbc_driver_manager
        import adbc_driver_postgresql.dbapi

        try:
            return adbc_driver_postgresql.dbapi.connect(self.store.reader_uri, autocommit=True)
        except adbc_driver_manager.Error as error:
            # The library is loaded at the first connection; one built for another platform fails only here.
            if "dlopen" in str(error) or "LoadLibrary" in str(error):
                raise _DriverError(str(error)) from error
            raise

    def _take(self) -> Any:
        with self._lock:
            if self._pid != os.getpid():
                # Forked: the connections belong to the parent. Kept, for a connection that is forgotten says goodbye.
                _inherited.extend(self._idle)
                self._pid, self._idle = os.getpid(), []
            return self._idle.pop() if self._idle else None

    def _put_back(self, connection: Any) -> None:
        with self._lock:
            if len(self._idle) < self.store.settings.pool_size:
                self._idle.append(connection)
                return
        connection.close()

    # -- psycopg -------------------------------------------------------------------------------------------------------

    def _by_psycopg(self, text: str, schema: Schema) -> pl.DataFrame:
        with self.reading() as connection, connection.cursor(binary=True) as cursor:
            cursor.adapters.register_loader("uuid", _UuidText)
            cursor.execute(text.encode())
            rows = cursor.fetchall()
        return pl.DataFrame(rows, schema=dict(schema), orient="row")


class _UuidText(Loader):
    """A uuid as frames have it: text."""

    format = Format.BINARY

    def load(self, data: Buffer) -> str:
        return str(uuid.UUID(bytes=bytes(data)))


class _DriverError(Exception):
    """ADBC's shared library does not load on this machine."""


@contextmanager
def _adbc_errors(kind: type[Exception]) -> Iterator[None]:
    """ADBC's errors as ours. Its text repeats the whole query; the parts of the server's are beside it."""
    try:
        yield
    except kind as error:
        said = {key.decode(): value.decode() for key, value in getattr(error, "details", None) or () if key}
        state = getattr(error, "sqlstate", None)
        if not state or state.startswith(_GONE_STATES):
            text = without_password(str(error)).partition("\n\nQuery was:")[0]
            raise StoreUnavailableError(f"No answer from the database: {text}") from error
        parts = [said.get(f"PG_DIAG_MESSAGE_{part}") for part in ("PRIMARY", "DETAIL", "HINT")]
        text = "\n".join(part for part in parts if part) or str(error)
        raise translated(_as_psycopg(text, state)) from error


def _as_psycopg(text: str, state: str) -> psycopg.Error:
    try:
        return psycopg.errors.lookup(state)(text)
    except KeyError:
        return psycopg.DatabaseError(text)


def _fastest() -> str:
    try:
        import adbc_driver_postgresql.dbapi  # noqa: F401  # a wheel without its shared library fails here
    except (ImportError, OSError):
        return "psycopg"
    return "adbc"


_inherited: list[Any] = []
_transports: weakref.WeakKeyDictionary[Store, Transport] = weakref.WeakKeyDictionary()


def transport_of(store: Store) -> Transport:
    """The one transport of a store, made at first use and closed with it."""
    found = _transports.get(store)
    if found is None:
        found = _transports[store] = Transport(store)
        store.on_close(found.close)
    return found
