""":class:`Store`: an open connection to Postgres, pooled, with the errors of the database told in our words."""

from __future__ import annotations

import atexit
import os
import sys
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Self

import orjson
import psycopg
import sqlalchemy as sa
from psycopg.types.json import set_json_loads
from pydantic import SecretStr
from sqlalchemy import event

from workbench.data.store.address import Address, plain
from workbench.data.store.failures import errors_translated
from workbench.data.store.tables import SCHEMA
from workbench.errors import ConfigurationError, StoreUnavailableError

if TYPE_CHECKING:
    from workbench.data.store.server import EmbeddedServer
    from workbench.settings import Settings

# libpq gives no code for these: a server that is on its way up or down, or a cloud database waking from its sleep.
_NOT_YET = ("starting up", "shutting down", "recovery", "not yet accepting")
_RETRY_S = 0.2


class Store:
    """A pool of connections to one database. Made by :meth:`open`.

    Attributes
    ----------
    url
        libpq URL, password included; never shown.
    address
        The same, taken apart; shows itself without the password.
    read_only
        Every transaction is read-only, in the server too.
    server
        The embedded server; ``None`` where a URL was given.
    """

    def __init__(
        self, settings: Settings, *, url: str, read_only: bool = False, server: EmbeddedServer | None = None
    ) -> None:
        self.settings = settings
        self.url = plain(url)
        self.address = Address.parse(url)
        self.read_only = read_only
        self.server = server
        self._closed = False
        self._at_close: list[Callable[[], None]] = []
        self._at_read: list[Callable[[], None]] = []
        _open.add(self)
        if server is not None:
            _servers.add(server)

    @classmethod
    def open(cls, settings: Settings, *, read_only: bool = False, migrate: bool = True) -> Self:
        """Connect, starting the embedded server where no URL is set, and bring the schema up to date.

        ``migrate=False`` leaves the schema alone and unchecked, for what looks at it or takes it back.

        Raises
        ------
        ServerError, StoreUnavailableError
            The embedded server does not start; the database does not answer.
        SchemaError
            The schema is newer than this version, or, with ``read_only``, missing or older.
        """
        from workbench.data.store import schema

        server = None
        if settings.database_url is None:
            if sys.platform == "win32":
                raise ConfigurationError(
                    "The embedded Postgres does not run on Windows. Give a server: connect('postgresql://…') or"
                    " WORKBENCH_DATABASE_URL."
                )
            from workbench.data.store.server import EmbeddedServer

            server = EmbeddedServer(settings.home, start_timeout_s=settings.start_timeout_s)
            server.start()
            url = server.url()
        else:
            url = settings.database_url.get_secret_value()
        store = cls(settings, url=url, read_only=read_only, server=server)
        try:
            if migrate:
                schema.ensure(store)
        except BaseException:
            store.close()
            raise
        return store

    # -- URLs --------------------------------------------------------------------------------------------------------

    @property
    def is_pooled(self) -> bool:
        """Whether a transaction pooler stands before the server: no session settings, no prepared statements."""
        return self.address.is_pooled

    @cached_property
    def direct_url(self) -> str:
        """The server behind a pooler, for migrations and all that needs a session of its own; else as ``url``."""
        given = self.settings.direct_url
        direct = Address.parse(given.get_secret_value()) if given else self.address.direct()
        return direct.url(**self._ours())

    @cached_property
    def adbc_uri(self) -> str:
        """Libpq URL with our session settings, for drivers that take nothing but a URL. Never through a pooler."""
        return self._with_session(self.direct_url, read_only=self.read_only)

    @property
    def reader_uri(self) -> str:
        """As ``adbc_uri``, always read-only, and as the role that may only read where there is one.

        That is the embedded server's own role, or who ``WORKBENCH_READER_URL`` names; else the user of ``url``, of whom
        the server then only knows that the session is to be read-only.

        Raises
        ------
        StoreUnavailableError
            This store is closed: readers come here for each connection that they make.
        """
        self._check_open()
        return self._reader_uri

    @cached_property
    def _reader_uri(self) -> str:
        given, url = self.settings.reader_url, self.direct_url
        if given is not None:
            url = given.get_secret_value()
        elif self.server is not None:
            from workbench.data.store.server import READER

            url = self.server.url(user=READER, database=self.address.database)
        return self._with_session(url, read_only=True)

    def _with_session(self, url: str, *, read_only: bool) -> str:
        settings = self._session | ({"default_transaction_read_only": "on"} if read_only else {})
        options = " ".join(f"-c {name}={value}" for name, value in settings.items())
        return Address.parse(url).url(options=options, **self._ours())

    @property
    def _session(self) -> dict[str, str]:
        return {
            "search_path": f"{SCHEMA},public",
            "statement_timeout": str(int(self.settings.statement_timeout_s * 1000)),
        }

    def _ours(self) -> dict[str, str]:
        """What the server is told of us, and how long we wait for it."""
        return {
            "application_name": f"{self.settings.application_name}/{version('agent-workbench')} {os.getpid()}",
            "connect_timeout": str(self.settings.connect_timeout_s),
        }

    # -- connections -------------------------------------------------------------------------------------------------

    @cached_property
    def engine(self) -> sa.Engine:
        """SQLAlchemy's engine over psycopg 3: the one pool."""
        engine = sa.create_engine(
            "postgresql+psycopg://",
            creator=self._connect,
            pool_size=self.settings.pool_size,
            max_overflow=self.settings.pool_size,
            pool_pre_ping=True,
            pool_timeout=self.settings.connect_timeout_s,
        )
        if self.is_pooled:
            event.listen(engine, "begin", self._begin_pooled)
        return engine

    def _connect(self) -> psycopg.Connection:
        connection = self._connected()
        # Postgres writes 1e30 as 31 digits: read as an integer, it could not be written again as what it was.
        set_json_loads(orjson.loads, connection)
        return connection

    def _connected(self) -> psycopg.Connection:
        """A new connection; waits for a server that is starting, and starts the embedded one again if it died."""
        deadline = time.monotonic() + self.settings.connect_timeout_s
        while True:
            try:
                if self.is_pooled:
                    return psycopg.connect(self.address.url(**self._ours()), prepare_threshold=None)
                return psycopg.connect(self.adbc_uri)
            except psycopg.OperationalError as error:
                if self.server is not None and not self._closed and self.server.pid is None:
                    self.server.revive()
                elif time.monotonic() > deadline or not any(reason in str(error) for reason in _NOT_YET):
                    raise
                else:
                    time.sleep(_RETRY_S)

    def _begin_pooled(self, connection: sa.Connection) -> None:
        """Behind a pooler the next transaction may have another session: settings hold for one transaction."""
        settings = self._session | ({"transaction_read_only": "on"} if self.read_only else {})
        calls = ", ".join(f"set_config('{name}', '{value}', true)" for name, value in settings.items())
        connection.exec_driver_sql(f"SELECT {calls}")

    @contextmanager
    def connection(self) -> Iterator[sa.Connection]:
        """A transaction on a pooled connection; committed at the end, rolled back on an error."""
        self._check_open()
        with errors_translated(), self.engine.begin() as connection:
            yield connection

    @contextmanager
    def raw(self) -> Iterator[psycopg.Connection]:
        """As :meth:`connection`, psycopg's own connection: for COPY."""
        with self.connection() as connection:
            yield driver_of(connection)

    @cached_property
    def has_vector(self) -> bool:
        """Whether the server has pgvector, in this database."""
        with self.connection() as connection:
            return bool(connection.scalar(sa.text("SELECT 1 FROM pg_extension WHERE extname = 'vector'")))

    def settings_for_others(self) -> dict[str, Any]:
        """What another process opens a store on this database with, as JSON values; passwords included."""
        secrets = {name: value.get_secret_value() for name, value in self.settings if isinstance(value, SecretStr)}
        return self.settings.model_dump(mode="json") | secrets | {"database_url": self.url}

    def on_close(self, action: Callable[[], None]) -> None:
        """Call ``action`` before the pool is closed: for what a room keeps open on this store."""
        self._at_close.append(action)

    def before_read(self, action: Callable[[], None]) -> None:
        """Call ``action`` before frames are read: for what a room writes behind the back of its caller."""
        self._at_read.append(action)

    def settle(self) -> None:
        """Write what waits to be written, so that who reads now sees all that was done before in this process."""
        for action in list(self._at_read):
            action()

    def _check_open(self) -> None:
        if self._closed:
            raise StoreUnavailableError("This workbench is closed. Open it again with workbench.connect().")

    def close(self) -> None:
        """Close the pool; the last one out stops an embedded server. Closing twice is nothing."""
        if self._closed:
            return
        actions, self._at_close = self._at_close, []
        for action in actions:  # they may still write
            action()
        self._closed = True
        _open.discard(self)
        if "engine" in self.__dict__:
            self.engine.dispose()
        if self.server is not None:
            _servers.discard(self.server)
            self.server.stop()

    def __repr__(self) -> str:
        where = self.server or self.address
        return f"Store({where}{', read_only=True' if self.read_only else ''}{', closed' if self._closed else ''})"


def driver_of(connection: sa.Connection) -> psycopg.Connection:
    """Psycopg's own connection inside SQLAlchemy's, in the same transaction."""
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)
    return driver


_open: weakref.WeakSet[Store] = weakref.WeakSet()
_servers: set[EmbeddedServer] = set()  # a store may be forgotten without being closed; its server is let go at exit


@atexit.register
def _close_all() -> None:
    for store in list(_open):
        store.close()
    for server in list(_servers):
        server.stop()


def _forget_in_child() -> None:
    """A forked child shares its parent's sockets: it makes connections of its own, and closes none of the parent's."""
    for store in list(_open):
        store._at_close.clear()
        store._at_read.clear()
        for name in ("direct_url", "adbc_uri", "_reader_uri"):  # they hold the parent's process id
            store.__dict__.pop(name, None)
        if "engine" in store.__dict__:
            store.engine.dispose(close=False)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_child)
