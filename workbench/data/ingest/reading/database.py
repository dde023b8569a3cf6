"""Agent history that lies in tables of a database: read over a connection, one part (a thread) after the other.

A part stands where a file stands: it has a name, a size, and a digest that changes when there is something new in it,
so that what was read before is "already there". Nothing is ever written: each part is read in one read-only transaction
that sees the database as it was when the part was begun. The password is used to connect and kept nowhere.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

import orjson
import psycopg
from psycopg import IsolationLevel, conninfo

from workbench.data.ingest.reading.source import Head, Source
from workbench.errors import ConfigurationError, IngestError

_SCHEMES = ("postgresql", "postgres")
_OWN = ("thread", "schema")  # parameters of a URL that are ours, not libpq's
_CONNECT_S = 15
_STATEMENT_MS = 300_000  # a statement of the reader fetches one chunk; one that takes longer waits for a lock


def is_url(path: object) -> bool:
    """Whether something named to be read is the URL of a database, told by its scheme."""
    return isinstance(path, str) and path.partition("://")[0].partition("+")[0].lower() in _SCHEMES and "://" in path


def url_name(url: str) -> str:
    """The URL as it is shown and stored: without the password."""
    try:
        return Address.of(url).name
    except ConfigurationError:
        return url.partition("://")[0] + "://…"


@dataclass(slots=True)
class Address:
    """Where the tables lie and what of them is wanted; its text has no password.

    ``postgresql://user:password@host:5432/db?schema=agents&thread=a&thread=b``: ``thread`` may be repeated and chooses
    threads, ``schema`` is where the tables lie (else the connection's search path tells); the rest is libpq's.
    """

    connect_to: str = field(repr=False)
    name: str
    schema: str | None = None
    threads: tuple[str, ...] = ()

    @classmethod
    def of(cls, url: str) -> Address:
        """Take a URL apart.

        Raises
        ------
        ConfigurationError
            It is no URL that Postgres understands; the text does not repeat the password.
        """
        try:
            parts = urlsplit(url)
            given = parse_qsl(parts.query, keep_blank_values=True)
            theirs = urlencode([(key, value) for key, value in given if key not in _OWN], quote_via=quote)
            connect_to = urlunsplit(("postgresql", parts.netloc, parts.path, theirs, ""))
            known = conninfo.conninfo_to_dict(connect_to)
        except (psycopg.ProgrammingError, ValueError) as error:
            raise ConfigurationError(
                "The URL of the database cannot be used; it must be like "
                "postgresql://user:password@host:5432/database?thread=…&schema=… (a special character in a password is "
                "written as %xx).",
                setting="paths",
            ) from error
        ours: dict[str, list[str]] = {key: [value for name, value in given if name == key and value] for key in _OWN}
        return cls(connect_to, _shown(known), (ours["schema"] or [None])[-1], tuple(ours["thread"]))

    @contextmanager
    def connect(self) -> Iterator[psycopg.Connection]:
        """A connection that cannot write.

        Raises
        ------
        IngestError
            No answer, or the database refused.
        """
        try:
            connection = psycopg.connect(
                self.connect_to, connect_timeout=_CONNECT_S, application_name="workbench ingest", prepare_threshold=None
            )
        except psycopg.Error as error:
            raise IngestError(f"{self.name}: cannot connect: {_reason(error)}", path=self.name) from None
        with connection:
            connection.read_only = True
            connection.isolation_level = IsolationLevel.REPEATABLE_READ
            yield connection


@contextmanager
def snapshot(connection: psycopg.Connection, name: str) -> Iterator[psycopg.Connection]:
    """One transaction that sees the database as it is now, and changes nothing.

    Raises
    ------
    IngestError
        The database failed or refused, with its reason.
    """
    try:
        with connection.transaction():
            connection.execute("SELECT set_config('statement_timeout', %s, true)", [str(_STATEMENT_MS)])
            # The store is written between two fetches, which may take longer than a session may idle.
            connection.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
            yield connection
    except psycopg.Error as error:
        raise IngestError(f"{name}: the database failed: {_reason(error)}", path=name) from None


class Part(Source):
    """One part of a database in the place of a file.

    Parameters
    ----------
    address
        Of the database.
    part
        What the part is called there.
    state
        What tells one state of the part from another.
    size_bytes
        What its values weigh there.
    tables
        What reads it; known to the format's reader.
    """

    def __init__(self, address: Address, part: str, state: Any, size_bytes: int, tables: Any) -> None:
        super().__init__(name=f"{address.name}#{part}")
        self.part = part
        self.tables = tables
        # In place of the cached properties of a file.
        self.__dict__["size_bytes"] = size_bytes
        self.__dict__["sha256"] = hashlib.sha256(orjson.dumps([part, state])).hexdigest()
        self.__dict__["is_gzip"] = False

    @property
    def file_name(self) -> str:
        """The part's own name."""
        return self.name

    @property
    def head(self) -> Head:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Nothing: what it is was known before it was opened."""
        return Head(self.name, b"", is_whole=True)


def _shown(known: dict[str, Any]) -> str:
    user = f"{quote(known['user'], safe='')}@" if known.get("user") else ""
    host = str(known.get("host") or known.get("hostaddr") or "localhost")
    host = quote(host, safe="") if host.startswith("/") else f"[{host}]" if ":" in host else host
    port = f":{known['port']}" if known.get("port") else ""
    return f"postgresql://{user}{host}{port}/{quote(str(known.get('dbname') or ''), safe='')}"


def _reason(error: psycopg.Error) -> str:
    """What libpq or the server says, on one line; neither repeats a password."""
    return " ".join(str(error).split()) or type(error).__name__
