"""Versions of the schema, by alembic: ``upgrade downgrade current history check``.

At connect one query tells whether anything is to be done; alembic is not even imported when nothing is. Changes run on
a connection of their own under an advisory lock that is *polled*: a blocking lock would hold a snapshot that a
concurrent index build waits for, and both would wait for ever.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import sqlalchemy as sa
from psycopg.errors import InsufficientPrivilege, UndefinedTable
from sqlalchemy import exc

from workbench.data.store.address import Address
from workbench.data.store.failures import errors_translated
from workbench.data.store.forks import importing
from workbench.data.store.tables import SCHEMA, metadata
from workbench.errors import QueryError, ReadOnlyError, SchemaError, StoreUnavailableError

if TYPE_CHECKING:
    from alembic.config import Config

    from workbench.data.store.engine import Store

HEAD = "0004"
VERSION_TABLE = "schema_version"
RUNTIME_INDEXES = ("hnsw", "ivfflat")  # access methods of indexes made per embedding model, by the room of memories
_LOCK = 0x576F726B  # any number that no other application is likely to take
_LOCK_TIMEOUT_S = 300
_POLL_S = 0.1


def ensure(store: Store) -> None:
    """Bring the schema to this version, if it is not; with ``read_only`` only look.

    Raises
    ------
    SchemaError
        The schema is newer than this version of Workbench, or older and the store is read-only.
    """
    found = current(store)
    if found == HEAD:
        return
    if found is not None and found not in _known():
        raise SchemaError(
            f"The schema is at revision {found!r}, which this version of Workbench does not know (its own is {HEAD!r})."
            " A newer Workbench made it: upgrade with pip install -U agent-workbench.",
            found=found,
            expected=HEAD,
        )
    if store.read_only:
        raise SchemaError(
            f"The schema is {'missing' if found is None else f'at revision {found!r}'}; {HEAD!r} is needed, and a"
            " read-only connection changes nothing. Run: workbench db upgrade",
            found=found,
            expected=HEAD,
        )
    upgrade(store)


def current(store: Store) -> str | None:
    """The revision of the database; ``None`` where there is no schema yet."""
    try:
        with store.connection() as connection:
            return connection.scalar(sa.text(f"SELECT version_num FROM {SCHEMA}.{VERSION_TABLE}"))
    except QueryError as error:
        if isinstance(error.__cause__, exc.ProgrammingError) and isinstance(error.__cause__.orig, UndefinedTable):
            return None
        raise


def upgrade(store: Store, revision: str = "head") -> str | None:
    """Change the schema up to a revision, and return the one it is at."""
    _change(store, "upgrade", revision)
    return current(store)


def downgrade(store: Store, revision: str) -> str | None:
    """Change the schema back to a revision (``base`` = nothing left), and return the one it is at.

    What later revisions added is dropped, **with its data**.
    """
    _change(store, "downgrade", revision)
    return current(store)


def history(store: Store) -> list[dict[str, Any]]:
    """All revisions, newest first: ``revision``, ``down_revision``, ``doc``, ``is_current``."""
    from alembic.script import ScriptDirectory

    here = current(store)
    return [
        {
            "revision": script.revision,
            "down_revision": script.down_revision,
            "doc": script.doc,
            "is_current": script.revision == here,
        }
        for script in ScriptDirectory.from_config(_config()).walk_revisions()
    ]


def check(store: Store) -> list[str]:
    """What differs between the database and this version's tables; empty: nothing.

    Tables, columns, types, defaults, indexes, unique and foreign keys by alembic; check constraints, which it passes
    over, and our function by name. Partitions and the indexes that rooms make at run time are no difference.
    """
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    if (found := current(store)) != HEAD:
        return [f"the schema is at revision {found!r}, not at {HEAD!r}"]
    with errors_translated(), _engine(store).connect() as connection:
        context = MigrationContext.configure(connection, opts=compare_options(connection))
        differences = [_say(difference) for difference in compare_metadata(context, metadata)]
        return [*differences, *_unlike_checks(connection), *_missing_function(connection)]


def compare_options(connection: sa.Connection) -> dict[str, Any]:
    """What alembic looks at: our schema alone, without partitions and the indexes that rooms make at run time."""
    partitions = set(
        connection.scalars(
            sa.text("SELECT relname FROM pg_class WHERE relispartition AND relnamespace = to_regnamespace(:schema)"),
            {"schema": SCHEMA},
        )
    )

    def include_name(name: str | None, kind: str, parents: Any) -> bool:
        if kind == "schema":
            return name == SCHEMA
        return kind != "table" or (name not in partitions and name != VERSION_TABLE)

    def include_object(thing: Any, name: str | None, kind: str, reflected: bool, compare_to: Any) -> bool:
        if kind != "index" or not reflected or compare_to is not None:
            return True
        return thing.dialect_options["postgresql"]["using"] not in RUNTIME_INDEXES

    return {
        "target_metadata": metadata,
        "include_schemas": True,
        "include_name": include_name,
        "include_object": include_object,
        "compare_type": True,
        "compare_server_default": True,
        "version_table": VERSION_TABLE,
        "version_table_schema": SCHEMA,
    }


def _unlike_checks(connection: sa.Connection) -> list[str]:
    rows = connection.execute(
        sa.text(
            "SELECT t.relname, c.conname FROM pg_constraint c JOIN pg_class t ON t.oid = c.conrelid"
            " WHERE c.contype = 'c' AND c.connamespace = to_regnamespace(:schema) AND NOT t.relispartition"
        ),
        {"schema": SCHEMA},
    )
    there = {(table, name) for table, name in rows}
    wanted = {
        (table.name, connection.dialect.identifier_preparer.format_constraint(constraint))
        for table in metadata.tables.values()
        for constraint in table.constraints
        if isinstance(constraint, sa.CheckConstraint)
    }
    return [
        *(f"add_check: {name} on {table}" for table, name in sorted(wanted - there)),
        *(f"remove_check: {name} on {table}" for table, name in sorted(there - wanted)),
    ]


def _missing_function(connection: sa.Connection) -> list[str]:
    there = connection.scalar(sa.text(f"SELECT to_regprocedure('{SCHEMA}.new_id()')"))
    return [] if there else [f"add_function: {SCHEMA}.new_id()"]


def _say(difference: Any) -> str:
    if isinstance(difference, list):
        return "; ".join(_say(one) for one in difference)
    kind, *what = difference
    return f"{kind}: {', '.join(str(part) for part in what if part is not None)}"


def _known() -> set[str]:
    return {path.name.partition("_")[0] for path in (Path(__file__).parent / "migrations" / "versions").glob("0*.py")}


def _config() -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    return config


def _engine(store: Store) -> sa.Engine:
    """An engine for the schema's own business: no statement timeout, past a pooler, our schema not in the search path.

    Postgres prints the names of what is outside the search path with their schema, as the tables' defaults are written.
    """
    url = Address.parse(store.direct_url).url(options="-c search_path=public -c statement_timeout=0")
    return sa.create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(url), poolclass=sa.NullPool)


def _change(store: Store, verb: str, revision: str) -> None:
    if store.read_only:
        raise ReadOnlyError(f"This connection is read-only; {verb} the schema with one that is not.")
    with importing():
        from alembic import command
        from alembic.util import CommandError

    with _locked(store), errors_translated(), _engine(store).connect() as connection:
        config = _config()
        config.attributes["connection"] = connection
        try:
            getattr(command, verb)(config, revision)
        except CommandError as error:
            raise SchemaError(f"Cannot {verb} to {revision!r}: {error}. See: workbench db history") from error
        except exc.ProgrammingError as error:
            if isinstance(error.orig, InsufficientPrivilege):
                raise SchemaError(
                    f"{store.address} may not {verb} the schema: {str(error.orig).strip()}. Let its owner run"
                    f" `workbench db {verb}`, or connect as one who may create in this database."
                ) from error
            raise


@contextmanager
def _locked(store: Store) -> Iterator[None]:
    with errors_translated():
        connection = psycopg.connect(store.direct_url, autocommit=True, application_name="workbench schema lock")
    with connection:
        deadline = time.monotonic() + _LOCK_TIMEOUT_S
        while not connection.execute("SELECT pg_try_advisory_lock(%s)", (_LOCK,)).fetchone()[0]:  # type: ignore[index]
            if time.monotonic() > deadline:
                raise StoreUnavailableError(
                    f"Another process has been changing the schema for {_LOCK_TIMEOUT_S} s (advisory lock {_LOCK}). See"
                    " SELECT * FROM pg_locks WHERE locktype = 'advisory'."
                )
            time.sleep(_POLL_S)
        yield
