"""Rows on their way into a table that may hold them already: what is new, what differs, what is older."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, cast

import psycopg
import sqlalchemy as sa
from psycopg import sql

from workbench.data.ingest.writing.rows import EXECUTION_COLUMNS
from workbench.data.store.copy import copy_rows
from workbench.data.store.tables import agent_executions

# Never rewritten: what the row is.
_IDENTITY = {"id", "execution_id", "source", "source_id", "import_id"}
# What a file does not say is not taken away: a price that was worked out here, a total that another part reported.
_IS_PRICED_HERE = "excluded.cost_source IS NULL AND old.cost_source = 'prices'"
_KEPT = {
    "cost": f"CASE WHEN {_IS_PRICED_HERE} THEN old.cost ELSE excluded.cost END",
    "cost_source": f"CASE WHEN {_IS_PRICED_HERE} THEN old.cost_source ELSE excluded.cost_source END",
    "metadata": f"CASE WHEN {_IS_PRICED_HERE} AND old.metadata ? 'price_table' THEN excluded.metadata || "
    "jsonb_build_object('price_table', old.metadata->'price_table') ELSE excluded.metadata END",
    "reported": "coalesce(excluded.reported, old.reported)",
}
# A file that grew may name another step than it did; the links are made again at its end.
_PARENT_EVENT = (
    "CASE WHEN old.metadata->>'spawned_by' IS DISTINCT FROM excluded.metadata->>'spawned_by' THEN NULL "
    "ELSE old.parent_event_id END"
)


class Incoming:
    """A temporary table with the rows of one run on their way into a table."""

    def __init__(self, connection: psycopg.Connection, table: sa.Table, columns: Sequence[str]) -> None:
        self._connection = connection
        self._table = table
        self._columns = columns
        self._temporary = table.to_metadata(sa.MetaData(), schema="pg_temp", name=f"incoming_{table.name}")
        self._is_there = False

        self._parts = {
            "table": _name(table),
            "temporary": _name(self._temporary),
            "short": sql.Identifier(self._temporary.name),  # CREATE TEMPORARY TABLE takes no schema
            "columns": column_names(columns),
            **_assignments(columns),
        }

    def fill(self, rows: Iterable[Sequence[Any]]) -> None:
        """Replace what is in it."""
        if self._is_there:
            self._run("TRUNCATE {temporary}")
        else:
            self._run("DROP TABLE IF EXISTS {temporary}")  # of another file in this transaction
            self._run("CREATE TEMPORARY TABLE {short} (LIKE {table} INCLUDING DEFAULTS) ON COMMIT DROP")
            self._run("CREATE INDEX ON {temporary} (id)")
            self._is_there = True
        copy_rows(self._connection, self._temporary, self._columns, rows)
        self._run("ANALYZE {temporary}")

    def compare(self, executions: list[uuid.UUID]) -> dict[uuid.UUID, tuple[int, int, int, int]]:
        """By run: how many incoming rows are unknown, how many stored ones are missing among the incoming.

        And of those on both sides, how many are older in the file, begun only where the stored one has ended, and how
        many are newer there.
        """
        rows = self._run(
            "SELECT coalesce(new.execution_id, old.execution_id), count(*) FILTER (WHERE old.id IS NULL), "
            "count(*) FILTER (WHERE new.id IS NULL), "
            "count(*) FILTER (WHERE new.mark = 'unfinished' AND old.mark IS DISTINCT FROM 'unfinished' "
            "AND old.id = new.id AND old.duration_ms IS NOT NULL AND new.duration_ms IS NULL), "
            "count(*) FILTER (WHERE old.mark = 'unfinished' AND new.mark IS DISTINCT FROM 'unfinished' "
            "AND old.id = new.id AND new.duration_ms IS NOT NULL AND old.duration_ms IS NULL) "
            "FROM {temporary} new FULL JOIN (SELECT id, execution_id, mark, duration_ms FROM {table} "
            "WHERE execution_id = ANY(%s)) old ON old.id = new.id GROUP BY 1",
            executions,
        ).fetchall()
        return {execution: (unknown, missing, older, newer) for execution, unknown, missing, older, newer in rows}

    def upsert(self, executions: list[uuid.UUID]) -> tuple[int, int]:
        """Insert the unknown rows of some runs and update those that differ; how many of each."""
        row = self._run(
            "WITH written AS (INSERT INTO {table} AS old ({columns}) "
            "SELECT {columns} FROM {temporary} WHERE execution_id = ANY(%s) "
            "ON CONFLICT (id) DO UPDATE SET {assign}, row_version = old.row_version + 1 "
            # Not by xmax: an updated row that somebody had locked for a foreign key may have none either.
            "WHERE ({old}) IS DISTINCT FROM ({new}) RETURNING old.row_version = 1 AS is_new) "
            "SELECT count(*) FILTER (WHERE is_new), count(*) FILTER (WHERE NOT is_new) FROM written",
            executions,
        ).fetchone()
        return cast(tuple[int, int], row)

    def n_torn(self, execution: uuid.UUID) -> int:
        """How many stored events that are not among the incoming ones were read of lines that are not quite JSON."""
        # Such lines are kept as they are. Ids of version 5 are made of a file; what was added by hand has others.
        row = self._run(
            "SELECT count(*) FROM {table} old WHERE execution_id = %s AND raw IS NOT NULL "
            "AND substr(id::text, 15, 1) = '5' AND NOT EXISTS (SELECT FROM {temporary} new WHERE new.id = old.id)",
            execution,
        ).fetchone()
        return row[0] if row else 0

    def unknown(self, executions: list[uuid.UUID]) -> dict[uuid.UUID, set[str]]:
        """By run: the ids of the rows that are not stored."""
        rows = self._run(
            "SELECT execution_id, array_agg(id::text) FROM {temporary} new WHERE execution_id = ANY(%s) "
            "AND NOT EXISTS (SELECT FROM {table} old WHERE old.id = new.id) GROUP BY 1",
            executions,
        ).fetchall()
        return {execution: set(ids) for execution, ids in rows}

    def insert(self, executions: list[uuid.UUID]) -> int:
        """Insert the unknown rows of some runs; how many."""
        return self._run(
            "INSERT INTO {table} ({columns}) SELECT {columns} FROM {temporary} WHERE execution_id = ANY(%s) "
            "ON CONFLICT DO NOTHING",
            executions,
        ).rowcount

    def finish_begun(self, executions: list[uuid.UUID]) -> set[str]:
        """Update the stored rows of some runs that had begun only, where the incoming ones have ended; which."""
        rows = self._run(
            "UPDATE {table} AS old SET {assign}, row_version = old.row_version + 1 FROM {temporary} AS excluded "
            "WHERE old.id = excluded.id AND old.execution_id = ANY(%s) AND old.mark = 'unfinished' "
            "AND excluded.mark IS DISTINCT FROM 'unfinished' AND excluded.duration_ms IS NOT NULL "
            "RETURNING old.id::text",
            executions,
        ).fetchall()
        return {own for (own,) in rows}

    def delete_stale(self, executions: list[uuid.UUID]) -> int:
        """Delete rows of some runs that were derived once, or recorded at another step, and are no longer; how many."""
        return self._run(
            "DELETE FROM {table} old WHERE execution_id = ANY(%s) "
            "AND NOT EXISTS (SELECT FROM {temporary} new WHERE new.id = old.id) AND (is_derived "
            # The steps were numbered anew: what the source recorded stands at other numbers now.
            "OR EXISTS (SELECT FROM {temporary} new WHERE new.execution_id = old.execution_id AND NOT new.is_derived))",
            executions,
        ).rowcount

    def delete_missing(self, first_steps: Mapping[uuid.UUID, int]) -> int:
        """Delete the stored rows of some runs, from a step on, that are not among the incoming ones; how many."""
        return self._run(
            "DELETE FROM {table} old USING unnest(%s::uuid[], %s::int[]) AS told (run, first) "
            "WHERE old.execution_id = told.run AND old.step_number >= told.first "
            "AND NOT EXISTS (SELECT FROM {temporary} new WHERE new.id = old.id)",
            [*first_steps],
            [*first_steps.values()],
        ).rowcount

    def _run(self, text: str, *values: Any) -> psycopg.Cursor:
        return self._connection.execute(sql.SQL(cast(Any, text)).format(**self._parts), values or None)


def upsert_execution(connection: psycopg.Connection, row: Sequence[Any], *, is_whole: bool = False) -> bool:
    """Write a row of ``agent_executions``, in the order of ``EXECUTION_COLUMNS``, where it differs; whether it did.

    ``is_whole``: it follows from all lines of the run. A total that a part of them reported counts no more.
    """
    table = agent_executions
    query = sql.SQL(
        "INSERT INTO {table} AS old ({columns}) VALUES ({values}) ON CONFLICT (id) DO UPDATE SET {assign}, "
        "row_version = old.row_version + 1, parent_event_id = {parent_event} WHERE ({old}) IS DISTINCT FROM ({new})"
    ).format(
        parent_event=sql.SQL(_PARENT_EVENT),
        table=_name(table),
        columns=column_names(EXECUTION_COLUMNS),
        values=sql.SQL(", ").join(
            sql.SQL("%s::jsonb") if isinstance(table.c[name].type, sa.JSON) else sql.SQL("%s")
            for name in EXECUTION_COLUMNS
        ),
        **_assignments(EXECUTION_COLUMNS, but={"reported"} if is_whole else ()),
    )
    return connection.execute(query, row).rowcount > 0


def _name(table: sa.Table) -> sql.Composable:
    return sql.Identifier(*([table.schema] if table.schema else []), table.name)


def column_names(names: Iterable[str]) -> sql.Composable:
    """Names of columns, separated by commas."""
    return sql.SQL(", ").join(map(sql.Identifier, names))


def _assignments(names: Iterable[str], *, but: Collection[str] = ()) -> dict[str, sql.Composable]:
    """The parts of an upsert: what is set, and the old and new values that are compared; of ``but`` nothing is kept."""
    values = [name for name in names if name not in _IDENTITY]
    new = {name: sql.Identifier("excluded", name) if name in but else _new(name) for name in values}
    comma = sql.SQL(", ")
    return {
        "assign": comma.join(sql.SQL("{} = {}").format(sql.Identifier(name), new[name]) for name in values),
        "old": comma.join(sql.Identifier("old", name) for name in values),
        "new": comma.join(new.values()),
    }


def _new(name: str) -> sql.Composable:
    return sql.SQL(cast(Any, _KEPT[name])) if name in _KEPT else sql.Identifier("excluded", name)
