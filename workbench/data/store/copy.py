"""The one bulk writer: COPY, with or without what to do about rows that are there already."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import psycopg
import sqlalchemy as sa
from psycopg import sql

from workbench.data.store.tables import SCHEMA

OnConflict = Literal["nothing", "update"]
_numbers = itertools.count()


def copy_rows(
    connection: psycopg.Connection,
    table: sa.Table,
    columns: Sequence[str],
    rows: Iterable[Sequence[Any]],
    *,
    on_conflict: OnConflict | None = None,
) -> int:
    """Write rows by COPY inside the connection's transaction.

    Parameters
    ----------
    connection
        psycopg's own; see :meth:`workbench.data.store.engine.Store.raw`.
    table
        One of :mod:`workbench.data.store.tables`.
    columns
        Names of the columns that each row holds, in order. The others take their defaults.
    rows
        Values as psycopg adapts them; JSON as encoded text (see :mod:`workbench.data.store.storable`).
    on_conflict
        What to do with a row whose id is there already: ``None`` raises, ``nothing`` keeps the old row, ``update``
        writes the given columns over it and counts up ``row_version``.

    Returns
    -------
    int
        Rows written: new ones, and with ``update`` those that were there and are different now.
    """
    target = sql.Identifier(table.schema or SCHEMA, table.name)
    names = sql.SQL(", ").join(map(sql.Identifier, columns))
    if on_conflict is None:
        return _copy(connection, target, names, rows)
    staging = sql.Identifier(f"staging_{table.name}_{next(_numbers)}")
    connection.execute(
        sql.SQL("CREATE TEMP TABLE {} ON COMMIT DROP AS SELECT {} FROM {} WITH NO DATA").format(staging, names, target)
    )
    if not _copy(connection, staging, names, rows):
        return 0
    return connection.execute(
        sql.SQL("INSERT INTO {} AS old ({}) SELECT {} FROM {} ON CONFLICT (id) DO {}").format(
            target, names, names, staging, _resolution(table, columns, on_conflict)
        )
    ).rowcount


def _copy(
    connection: psycopg.Connection, target: sql.Identifier, names: sql.Composed, rows: Iterable[Sequence[Any]]
) -> int:
    n_rows = 0
    with (
        connection.cursor() as cursor,
        cursor.copy(sql.SQL("COPY {} ({}) FROM STDIN").format(target, names)) as copy,
    ):
        write = copy.write_row
        for row in rows:
            write(row)
            n_rows += 1
    return n_rows


def _resolution(table: sa.Table, columns: Sequence[str], on_conflict: OnConflict) -> sql.Composable:
    if on_conflict == "nothing":
        return sql.SQL("NOTHING")
    changed = [sql.Identifier(name) for name in columns if name != "id"]
    sets: list[sql.Composable] = [sql.SQL("{0} = excluded.{0}").format(name) for name in changed]
    if "row_version" in table.columns:
        sets.append(sql.SQL("row_version = old.row_version + 1"))
    return sql.SQL("UPDATE SET {} WHERE ({}) IS DISTINCT FROM ({})").format(
        sql.SQL(", ").join(sets),
        sql.SQL(", ").join(sql.SQL("old.{}").format(name) for name in changed),
        sql.SQL(", ").join(sql.SQL("excluded.{}").format(name) for name in changed),
    )
