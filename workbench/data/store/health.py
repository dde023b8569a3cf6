"""Is everything well? Each check with its reason and what to do: ``bench.health()``, ``workbench doctor``."""

from __future__ import annotations

import html
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import psycopg
import sqlalchemy as sa
from psycopg import sql

from workbench.data.store import schema
from workbench.data.store.address import Address
from workbench.data.store.tables import SCHEMA
from workbench.errors import StoreError

if TYPE_CHECKING:
    from workbench.data.store.engine import Store

OLDEST_MAJOR = 13
LOW_SPACE = 0.10  # of the disk
_ADVICE = "See the server's log."


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at. A check that is not ``ok`` but ``is_optional`` costs a feature, not the workbench."""

    name: str
    ok: bool
    detail: str
    advice: str = ""
    is_optional: bool = False


@dataclass(frozen=True, slots=True)
class Health:
    """What was found; ``ok`` when every check that is not optional is."""

    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Whether the workbench works."""
        return all(check.ok or check.is_optional for check in self.checks)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for ``--json``."""
        return {"ok": self.ok, "checks": [asdict(check) for check in self.checks]}

    def __str__(self) -> str:
        lines = [f"{'healthy' if self.ok else 'NOT healthy'}"]
        for check in self.checks:
            mark = "✓" if check.ok else "–" if check.is_optional else "✗"
            lines.append(f"  {mark} {check.name}: {check.detail}{f' → {check.advice}' if check.advice else ''}")
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(str(self))}</pre>"


def health(store: Store) -> Health:
    """Look at the database, the schema, and the disk; never raises for what it finds."""
    first = _looked(_server, store)
    assert first is not None
    rest = (_schema, _vector, _reader, _connections, _checksums) if first.ok else ()  # nothing else can be asked
    found = (_looked(look, store) for look in (*rest, _embedded, _disk, _readers))
    return Health((first, *(check for check in found if check is not None)))


def _looked(look: Callable[[Store], Check | None], store: Store) -> Check | None:
    try:
        return look(store)
    except StoreError as error:
        advice = "Start the server, or give another with connect('postgresql://…')." if look is _server else _ADVICE
        return Check(look.__name__.strip("_"), False, str(error), advice)


def _server(store: Store) -> Check:
    began = time.perf_counter()
    number = int(_one(store, "SHOW server_version_num") or 0)
    took = (time.perf_counter() - began) * 1000
    version = str(_one(store, "SHOW server_version")).split()[0]
    ok = number >= OLDEST_MAJOR * 10_000
    advice = "" if ok else f"Workbench needs {OLDEST_MAJOR} or newer."
    return Check("server", ok, f"PostgreSQL {version}, answers in {took:.0f} ms", advice)


def _schema(store: Store) -> Check:
    found = schema.current(store)
    ok = found == schema.HEAD
    return Check("schema", ok, f"revision {found}", "" if ok else "Run: workbench db upgrade")


def _vector(store: Store) -> Check:
    version = _one(store, "SELECT extversion FROM pg_extension WHERE extname = 'vector'")
    if version:
        return Check("pgvector", True, f"version {version}")
    advice = "Vectors are searched in this process, exactly. For an index: CREATE EXTENSION vector (as its owner)."
    return Check("pgvector", False, "not in this database", advice, is_optional=True)


def _reader(store: Store) -> Check:
    if store.server is not None or store.settings.reader_url is not None:
        role = Address.parse(store.reader_uri).parameters.get("user", "")
        try:
            with psycopg.connect(store.reader_uri) as connection:
                connection.execute(sql.SQL("SELECT 1 FROM {}.imports LIMIT 1").format(sql.Identifier(SCHEMA)))
        except psycopg.Error as error:
            advice = f"GRANT USAGE ON SCHEMA {SCHEMA} and SELECT on its tables to {role}, as their owner."
            return Check("read-only SQL", False, f"{role}: {str(error).strip()}", advice)
        return Check("read-only SQL", True, f"bench.sql() runs as {role}, who may only read")
    return Check(
        "read-only SQL", False, "bench.sql() runs in read-only transactions of your own role",
        "That stops writes. To fence files and functions too, name a role without such rights: WORKBENCH_READER_URL.",
        is_optional=True,
    )  # fmt: skip


def _connections(store: Store) -> Check:
    used = int(_one(store, "SELECT sum(numbackends) FROM pg_stat_database") or 0)
    most = int(_one(store, "SHOW max_connections") or 0)
    ok = used < 0.9 * most
    return Check("connections", ok, f"{used} of {most}", "" if ok else "Close notebooks, or raise max_connections.")


def _checksums(store: Store) -> Check:
    on = _one(store, "SHOW data_checksums") == "on"
    return Check("data checksums", on, "on" if on else "off", "" if on else "Damage to the disk goes unseen.", True)


def _embedded(store: Store) -> Check | None:
    if store.server is None:
        return None
    pid, clients = store.server.pid, store.server.n_clients
    if pid is None:
        advice = f"It starts with the next query; its log: {store.server.log_path}"
        return Check("embedded server", False, "not running", advice)
    attached = f"{clients} attached, " if clients else ""
    return Check("embedded server", True, f"process {pid}, {attached}data in {store.server.data_dir}")


def _disk(store: Store) -> Check | None:
    if store.server is None:
        return None
    found = os.statvfs(store.server.root)
    free = found.f_bavail * found.f_frsize
    share = found.f_bavail / max(found.f_blocks, 1)
    ok = share >= LOW_SPACE
    detail = f"{free / 1e9:.1f} GB free ({share:.0%})"
    return Check("disk", ok, detail, "" if ok else f"Free some space on {store.server.root}.", is_optional=free > 2e9)


def _one(store: Store, query: str) -> Any:
    with store.connection() as connection:
        return connection.scalar(sa.text(query))


def _readers(store: Store) -> Check | None:
    """The formats that installed packages add; nothing is said where none does."""
    from workbench.data.ingest.registry import GROUP, broken, plugins

    added, failed = plugins(), broken()
    if not added and not failed:
        return None
    if failed:
        told = "; ".join(f"{each.name} ({each.origin}): {each.error}" for each in failed)
        advice = f"Update or uninstall these packages; they add formats through the entry points {GROUP}."
        return Check("readers", ok=False, detail=told, advice=advice, is_optional=True)
    return Check("readers", ok=True, detail=", ".join(f"{each.name} ({each.origin})" for each in added))
