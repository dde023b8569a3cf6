"""SQL of the user's own, read-only: on Postgres, and on DuckDB over frames."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import polars as pl
import psycopg
from psycopg import sql

from workbench.data.frames.columns import UTC
from workbench.data.frames.transport import transport_of
from workbench.data.store.failures import translated
from workbench.errors import ConfigurationError, QueryError, ReadOnlyError, WorkbenchError

if TYPE_CHECKING:
    from workbench.data.store.engine import Store

# Postgres types that travel as they are: oid → dtype. The rest is cast in SQL, numeric to float8, all else to text.
_DTYPES: dict[int, pl.DataType | type[pl.DataType]] = {
    16: pl.Boolean, 17: pl.Binary, 20: pl.Int64, 21: pl.Int16, 23: pl.Int32, 25: pl.String, 700: pl.Float32,
    701: pl.Float64, 1042: pl.String, 1043: pl.String, 1082: pl.Date, 1114: pl.Datetime("us"), 1184: UTC,
}  # fmt: skip
_NUMERIC = 1700
_GIVES_ROWS = ("SELECT", "WITH", "VALUES", "TABLE")
_SPEAKS_FOR_ITSELF = ("EXPLAIN", "SHOW")  # gives rows, but cannot stand in a sub-query
_FIRST_WORD = re.compile(r"(?:\s|\(|--[^\n]*(?:\n|$)|/\*.*?\*/)*(\w+)", re.DOTALL)


def run_sql(store: Store, query: str, *, limit: int | None = None) -> pl.DataFrame:
    """See :meth:`workbench.data.frames.load.Frames.sql`."""
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 0):
        raise ConfigurationError(f"limit={limit!r} must be a whole number, 0 or more.", value=limit)
    text = query.strip().rstrip(";").rstrip()
    verb = _verb(text)
    transport = transport_of(store)
    with transport.reading() as connection:
        if verb in _SPEAKS_FOR_ITSELF:
            return _small(connection, text, limit)
        described = _describe(connection, text)
    names = [name for name, _ in described]
    if not names:
        return pl.DataFrame()
    casts, schema = [], {}
    for position, (_, oid) in enumerate(described):
        column = sql.Identifier(f"c{position}")
        cast = sql.SQL("") if oid in _DTYPES else sql.SQL("::float8" if oid == _NUMERIC else "::text")
        casts.append(column + cast + sql.SQL(" AS ") + column)
        schema[f"c{position}"] = _DTYPES.get(oid, pl.Float64 if oid == _NUMERIC else pl.String)
    whole = sql.SQL("SELECT {} FROM (\n{}\n) AS q({})").format(
        sql.SQL(", ").join(casts),
        sql.SQL(text),  # pyright: ignore[reportArgumentType]
        sql.SQL(", ").join(sql.Identifier(f"c{position}") for position in range(len(names))),
    )
    if limit is not None:
        whole += sql.SQL(" LIMIT {}").format(sql.Literal(limit))
    frame = transport.fetch(whole, schema)
    return frame.rename(dict(zip(schema, _unique(names), strict=True)))


def _verb(text: str) -> str:
    """The first word; a friendly refusal of what gives no rows. The fence is the server's: role and transaction."""
    if "\0" in text:
        raise ConfigurationError("The query holds a NUL character.")
    found = _FIRST_WORD.match(text)
    if found is None:
        raise ConfigurationError("The query is empty. Try: SELECT status, count(*) FROM agent_executions GROUP BY 1")
    verb = found[1].upper()
    if verb not in (*_GIVES_ROWS, *_SPEAKS_FOR_ITSELF):
        raise ReadOnlyError(
            f"sql() only reads: one {', '.join(_GIVES_ROWS)}, EXPLAIN or SHOW statement. This one begins with"
            f" {found[1]!r}. To write use bench.records, bench.record() or bench.ingest().",
            value=found[1],
        )
    return verb


def _describe(connection: psycopg.Connection, text: str) -> list[tuple[str, int]]:
    """Names and type oids, by the server itself. The extended protocol (binary) takes one statement only."""
    with connection.cursor(binary=True) as cursor:
        try:
            cursor.execute(f"SELECT * FROM (\n{text}\n) AS q LIMIT 0".encode())
        except psycopg.Error as error:
            raise _refused(error, text, shift=len("SELECT * FROM (\n")) from error
        return [(column.name, column.type_code) for column in cursor.description or ()]


def _small(connection: psycopg.Connection, text: str, limit: int | None) -> pl.DataFrame:
    with connection.cursor(binary=True) as cursor:
        try:
            cursor.execute(text.encode())
        except psycopg.Error as error:
            raise _refused(error, text) from error
        rows = cursor.fetchall() if limit is None else cursor.fetchmany(limit)
        names = _unique([column.name for column in cursor.description or ()])
    return pl.DataFrame(
        [[str(value) for value in row] for row in rows], schema=dict.fromkeys(names, pl.String), orient="row"
    )


def _refused(error: psycopg.Error, text: str, *, shift: int = 0) -> WorkbenchError:
    """Our error, with the server's message, the place in the user's own text, and the hint."""
    ours = translated(error)
    if isinstance(ours, ReadOnlyError):
        return ReadOnlyError(f"sql() only reads: {error.diag.message_primary}.", sqlstate=error.sqlstate)
    return QueryError(_explained(error, text, shift), sqlstate=error.sqlstate) if type(ours) is QueryError else ours


def _explained(error: psycopg.Error, text: str, shift: int) -> str:
    diagnosis = error.diag
    said = diagnosis.message_primary or str(error).strip()
    position = int(diagnosis.statement_position or 0) - shift
    if 0 < position <= len(text):
        before = text[: position - 1]
        line = before.count("\n") + 1
        column = position - 1 - (before.rfind("\n") + 1)
        shown = text.splitlines()[line - 1]
        said += f"\nline {line}: {shown}\n{' ' * (len(f'line {line}: ') + column)}^"
    for more in (diagnosis.message_detail, diagnosis.message_hint):
        if more:
            said += f"\n{more}"
    if error.sqlstate == "42P01":  # undefined table
        said += (
            "\nTables: agent_executions, observability_events, execution_snapshots, tasks, environments, agent_memory."
        )
    return f"The database refused the query: {said}"


def _unique(names: list[str]) -> list[str]:
    """Names made different where two columns share one: ``id``, ``id_1``."""
    seen: dict[str, int] = {}
    found = []
    for name in names:
        number = seen.get(name, 0)
        seen[name] = number + 1
        found.append(f"{name}_{number}" if number else name)
    return found


def run_duckdb(query: str, frames: Mapping[str, pl.DataFrame | pl.LazyFrame]) -> pl.DataFrame:
    """See :meth:`workbench.data.frames.load.Frames.duckdb`."""
    import duckdb

    with duckdb.connect(":memory:") as connection:
        for name, frame in frames.items():
            connection.register(name, _arrow(frame))
        # Nor the variables of this process, which DuckDB would look up by name.
        connection.execute(
            "SET TimeZone = 'UTC'; SET python_enable_replacements = false; SET enable_external_access = false;"
            " SET lock_configuration = true"
        )
        try:
            answer = connection.sql(query)  # a statement that is no query answers None
            found = pl.DataFrame() if answer is None else pl.from_arrow(answer.to_arrow_table())
            assert isinstance(found, pl.DataFrame)
            return found.with_columns(_whole(column) for column in found if column.dtype == pl.Decimal(38, 0))
        except duckdb.Error as error:
            known = ", ".join(frames) or "none: give them by name, duckdb('…', runs=runs)"
            raise QueryError(f"DuckDB refused the query: {error}\nFrames here: {known}.") from error


def _arrow(frame: pl.DataFrame | pl.LazyFrame) -> Any:
    return (frame.collect() if isinstance(frame, pl.LazyFrame) else frame).to_arrow()


def _whole(column: pl.Series) -> pl.Series:
    """DuckDB's sums of integers are 128 bits wide, which Arrow only has as decimals; Int64 where they fit."""
    narrow = column.cast(pl.Int64, strict=False)
    return narrow if narrow.null_count() == column.null_count() else column
