"""Where a database is: its URL taken apart, with and without a pooler, and shown without its password."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self
from urllib.parse import quote, urlencode

import psycopg
from psycopg.conninfo import conninfo_to_dict

from workbench.errors import ConfigurationError

_POOLER_PORT = "6543"  # Supabase's, and by habit PgBouncer's, for transaction pooling


@dataclass(frozen=True, slots=True)
class Address:
    """Connection parameters, by libpq's names. The password is never in ``repr``."""

    parameters: Mapping[str, str]

    @classmethod
    def parse(cls, url: str) -> Self:
        """Take a URL apart: ``postgresql://``, ``postgres://`` or SQLAlchemy's ``postgresql+psycopg://``.

        Raises
        ------
        ConfigurationError
            libpq cannot read it. The text quotes nothing of it, for it may hold a password.
        """
        try:
            return cls({name: str(value) for name, value in conninfo_to_dict(plain(url)).items() if value is not None})
        except psycopg.ProgrammingError:
            raise ConfigurationError(
                "The database URL cannot be read. Expected: postgresql://user:password@host:5432/database?sslmode=…,"
                " with special characters in user and password percent-encoded (@ is %40, / is %2F, % is %25)."
            ) from None  # the cause would show a part of the password

    @property
    def database(self) -> str:
        """Name of the database; libpq's default is the user's name."""
        return self.parameters.get("dbname") or self.parameters.get("user", "")

    @property
    def is_pooled(self) -> bool:
        """Whether a transaction pooler stands before the server: no session settings, no prepared statements."""
        return "-pooler" in self.parameters.get("host", "") or self.parameters.get("port") == _POOLER_PORT

    def direct(self) -> Address:
        """The server behind the pooler: Neon's host without ``-pooler``, the ordinary port on the same host."""
        if not self.is_pooled:
            return self
        changed = {**self.parameters, "host": self.parameters.get("host", "").replace("-pooler", "")}
        if changed.get("port") == _POOLER_PORT:
            changed["port"] = "5432"
        return Address({name: value for name, value in changed.items() if value})

    def url(self, **more: str) -> str:
        """As a libpq URL, password included. ``more`` is added where the address does not say otherwise."""
        rest = {**more, **self.parameters}
        options = " ".join(filter(None, (self.parameters.get("options"), more.get("options"))))
        if options:
            rest["options"] = options
        user, password = rest.pop("user", ""), rest.pop("password", "")
        who = quote(user, safe="") + (f":{quote(password, safe='')}" if password else "")
        database = quote(rest.pop("dbname", ""), safe="")
        return f"postgresql://{f'{who}@' if who else ''}/{database}?{urlencode(rest, quote_via=quote)}"

    def __str__(self) -> str:
        """Where it is, for people: no password, no options."""
        host, port = self.parameters.get("host", ""), self.parameters.get("port", "")
        user = self.parameters.get("user", "")
        where = f"{host}{f':{port}' if port else ''}/{self.database}"
        return f"postgresql://{f'{user}@' if user else ''}{where}"

    __repr__ = __str__


def plain(url: str) -> str:
    """A URL as libpq reads it: SQLAlchemy's driver suffix and the old scheme taken away."""
    scheme, separator, rest = url.partition("://")
    return f"postgresql{separator}{rest}" if scheme.partition("+")[0] in ("postgres", "postgresql") else url


def without_password(text: str) -> str:
    """A URL, or a text that quotes one, with the password left out."""
    text = re.sub(r"(postgres(?:ql)?(?:\+\w+)?://[^:@/\s]*):[^\s]*@", r"\1:…@", text)
    return re.sub(r"(\b(?:ssl)?password=)[^&\s]+", r"\1…", text)
