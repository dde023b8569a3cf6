"""SQL of the user's own, read-only: on Postgres, and on DuckDB over frames."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

import polars as pl
import psycopg
from psycopg import sql

from workbench.data.frames.columns import UTC, columns
from workbench.data.frames.transport import transport_of
from workbench.data.store.failures import translated
from workbench.data.store.storable import dumped
from workbench.errors import ConfigurationError, QueryError, ReadOnlyError, WorkbenchError

if TYPE_CHECKING:
    from workbench.data.store.engine import Store

# Postgres types that travel as they are: oid → dtype. The rest is cast in SQL, numeric to float8, all else to text.
_DTYPES: dict[int, pl.DataType | type[pl.DataType]] = {
    16: pl.Boolean, 17: pl.Binary, 20: pl.Int64, 21: pl.Int16, 23: pl.Int32, 25: pl.String, 700: pl.Float32,
    701: pl.Float64, 1042: pl.String, 1043: pl.String, 1082: pl.Date, 1114: pl.Datetime("us"), 1184: UTC,
}  # fmt: skip
_NUMERIC = 1700
_JSON = (114, 3802)
# What Python's times can hold. Postgres goes further, and to infinity, which Polars stores but cannot show.
_YEARS = {
    1082: sql.SQL("CASE WHEN {c} BETWEEN '0001-01-01'::date AND '9999-12-31'::date THEN {c} END"),
    1114: sql.SQL("CASE WHEN {c} >= '0001-01-01'::timestamp AND {c} < '10000-01-01'::timestamp THEN {c} END"),
    1184: sql.SQL(
        "CASE WHEN {c} >= '0001-01-01 00:00+00'::timestamptz AND {c} < '10000-01-01 00:00+00'::timestamptz THEN {c} END"
    ),
}
_FIRST_DAY, _LAST_DAY = (day.toordinal() - date(1970, 1, 1).toordinal() for day in (date.min, date.max))
_GIVES_ROWS = ("SELECT", "WITH", "VALUES", "TABLE")
_WRONG_PARAMS = ("08P01", "42P02", "42P18")  # too few; none at all; too many, or one whose type nothing tells
_NO_COLUMN = re.compile(r'column (?:"(.+)"|(?:\S+\.)?(\S+)) does not exist')
_OF_DUCKDB = ("FROM", "SUMMARIZE", "DESCRIBE", "PIVOT", "UNPIVOT", "PRAGMA")  # how only its statements begin
_UNKNOWN_TO_POSTGRES = ("42601", "42883")  # syntax, function
_DUCKDB = "This is Postgres's SQL; for DuckDB's, over frames: bench.duckdb('…', runs=bench.executions())."
_SPEAKS_FOR_ITSELF = ("EXPLAIN", "SHOW")  # gives rows, but cannot stand in a sub-query
_WRAP = "SELECT * FROM (\n"
_EXPLAIN = "EXPLAIN\n"
_FIRST_WORD = re.compile(r"(?:\s|\(|--[^\n]*(?:\n|$)|/\*.*?\*/)*(\w+)", re.DOTALL)


def run_sql(store: Store, query: str, *, params: Sequence[Any] | None = None, limit: int | None = None) -> pl.DataFrame:
    """See :meth:`workbench.data.frames.load.Frames.sql`."""
    return sql_and_json(store, query, params=params, limit=limit)[0]


def sql_and_json(
    store: Store, query: str, *, params: Sequence[Any] | None = None, limit: int | None = None
) -> tuple[pl.DataFrame, list[str]]:
    """The frame of :func:`run_sql`, and which of its text columns are ``json`` or ``jsonb`` in the server."""
    values = _values(params)
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 0):
        raise ConfigurationError(f"limit={limit!r} must be a whole number, 0 or more.", value=limit)
    if not isinstance(query, str):
        raise ConfigurationError(f"sql() takes a query as text, not {type(query).__name__}.", value=query)
    text = query.strip().rstrip(";").rstrip()
    verb = _verb(text)
    transport = transport_of(store)
    with transport.reading() as connection:
        if verb in _SPEAKS_FOR_ITSELF:
            return _small(connection, text, values, limit)
        described = _describe(connection, text, values)
    names = [name for name, _ in described]
    if not names:
        return pl.DataFrame(), []
    casts, schema = [], {}
    for position, (_, oid) in enumerate(described):
        column = sql.Identifier(f"c{position}")
        casts.append(_sent(column, oid) + sql.SQL(" AS ") + column)
        schema[f"c{position}"] = _DTYPES.get(oid, pl.Float64 if oid == _NUMERIC else pl.String)
    whole = sql.SQL("SELECT {} FROM (\n{}\n) AS q({})").format(
        sql.SQL(", ").join(casts),
        sql.SQL(text),  # pyright: ignore[reportArgumentType]
        sql.SQL(", ").join(sql.Identifier(f"c{position}") for position in range(len(names))),
    )
    if limit is not None:
        whole += sql.SQL(" LIMIT {}").format(sql.Literal(limit))
    if values:  # ADBC's COPY takes none
        with transport.reading() as connection:
            rows = _execute(connection, whole.as_string(None), values).fetchall()
        frame = pl.DataFrame(rows, schema=schema, orient="row")
    else:
        frame = transport.fetch(whole, schema)
    names = _unique(names)
    return frame.rename(dict(zip(schema, names, strict=True))), _json(names, [oid for _, oid in described])


def _json(names: list[str], oids: list[int]) -> list[str]:
    return [name for name, oid in zip(names, oids, strict=True) if oid in _JSON]


def _sent(column: sql.Composable, oid: int) -> sql.Composable:
    """A column in the type it travels in."""
    if oid in _YEARS:
        return _YEARS[oid].format(c=column)
    return column + sql.SQL("" if oid in _DTYPES else "::float8" if oid == _NUMERIC else "::text")


def _values(params: Sequence[Any] | None) -> list[Any]:
    """The values of ``$1, $2, …``; a Polars series is a list of values."""
    if isinstance(params, str | bytes | Mapping) or not isinstance(params, Sequence | None):
        raise ConfigurationError(
            f"params={params!r} is no list. Write $1, $2, … in the query and give their values in order:"
            " bench.sql('SELECT * FROM agent_executions WHERE status = $1', ['failed'])",
            value=params,
        )
    return [value.to_list() if isinstance(value, pl.Series) else value for value in params or ()]


def _execute(connection: psycopg.Connection, text: str, values: list[Any]) -> psycopg.Cursor[Any]:
    """Run in binary, where the protocol takes one statement only; ``$1`` is the server's own spelling."""
    cursor = psycopg.RawCursor(connection)
    return cursor.execute(text.encode(), values, binary=True)


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
            f" {found[1]!r}. "
            + (_DUCKDB if verb in _OF_DUCKDB else "To write use bench.records, bench.record() or bench.ingest()."),
            value=found[1],
        )
    return verb


def _describe(connection: psycopg.Connection, text: str, values: list[Any]) -> list[tuple[str, int]]:
    """Names and type oids, by the server itself."""
    try:
        cursor = _execute(connection, f"{_WRAP}{text}\n) AS q LIMIT 0", values)
    except psycopg.errors.SyntaxError as error:
        raise _misspelt(connection, text, values, error) from error
    except psycopg.Error as error:
        raise _refused(error, text, shift=len(_WRAP)) from error
    return [(column.name, column.type_code) for column in cursor.description or ()]


def _misspelt(
    connection: psycopg.Connection, text: str, values: list[Any], wrapped: psycopg.errors.SyntaxError
) -> WorkbenchError:
    """What is wrong with the text itself: in our sub-query the error may be at a bracket that the user never wrote."""
    connection.rollback()
    try:
        _execute(connection, _EXPLAIN + text, values)  # is read, and not run
    except psycopg.errors.SyntaxError as bare:
        if bare.diag.statement_position:
            return _refused(bare, text, shift=len(_EXPLAIN))
    except psycopg.Error:
        pass  # not of the spelling
    return _refused(wrapped, text, shift=len(_WRAP))


def _small(
    connection: psycopg.Connection, text: str, values: list[Any], limit: int | None
) -> tuple[pl.DataFrame, list[str]]:
    try:
        cursor = _execute(connection, text, values)
    except psycopg.Error as error:
        raise _refused(error, text) from error
    rows = cursor.fetchall() if limit is None else cursor.fetchmany(limit)
    described = cursor.description or ()
    names = _unique([column.name for column in described])
    frame = pl.DataFrame(
        [[value if isinstance(value, str) else dumped(value) for value in row] for row in rows],
        schema=dict.fromkeys(names, pl.String),
        orient="row",
    )
    return frame, _json(names, [column.type_code for column in described])


def _refused(error: psycopg.Error, text: str, *, shift: int = 0) -> WorkbenchError:
    """Our error, with the server's message, the place in the user's own text, and the hint."""
    ours = translated(error)
    if error.sqlstate in _WRONG_PARAMS:
        message = error.diag.message_primary
        return QueryError(
            f"The database refused the query: {message}.\nGive params one value for each of $1, $2, … in the query:"
            " params=['failed', 10]. Where nothing tells a type, write it: $1::text.",
            sqlstate=error.sqlstate,
        )
    if isinstance(ours, ReadOnlyError):
        return ReadOnlyError(f"sql() only reads: {error.diag.message_primary}.", sqlstate=error.sqlstate)
    return QueryError(_explained(error, text, shift), sqlstate=error.sqlstate) if type(ours) is QueryError else ours


def _explained(error: psycopg.Error, text: str, shift: int) -> str:
    diagnosis = error.diag
    said = diagnosis.message_primary or str(error).strip()
    position = int(diagnosis.statement_position or 0) - shift
    if 0 < position <= len(text) + 1:  # the end is a place, too
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
    if error.sqlstate in _UNKNOWN_TO_POSTGRES:
        said += f"\n{_DUCKDB}"
    if error.sqlstate == "42703":  # undefined column
        said += _of_frames(diagnosis.message_primary or "")
    return f"The database refused the query: {said}"


def _of_frames(message: str) -> str:
    """What a column that only frames have is made of."""
    found = _NO_COLUMN.search(message)
    hints = [
        f"\nThe column {column.name} of bench.{frame}() is made of the tables; in SQL: {column.in_sql}"
        for frame, of_frame in columns.items()
        for column in of_frame
        if found and column.in_sql and column.name == (found[1] or found[2]).strip('"')
    ]
    return "".join(hints)


def _unique(names: list[str]) -> list[str]:
    """Names made different where two columns share one: ``id``, ``id_1``."""
    seen: dict[str, int] = {}
    found = []
    for name in names:
        number = seen.get(name, 0)
        seen[name] = number + 1
        found.append(f"{name}_{number}" if number else name)
    return found


def run_duckdb(
    query: str, frames: Mapping[str, pl.DataFrame | pl.LazyFrame], *, params: Sequence[Any] | None = None
) -> pl.DataFrame:
    """See :meth:`workbench.data.frames.load.Frames.duckdb`."""
    import duckdb

    values = _values(params)
    for name, frame in frames.items():
        if not isinstance(frame, pl.DataFrame | pl.LazyFrame):
            raise ConfigurationError(
                f"{name}={type(frame).__name__} is no Polars frame; make one of it: {name}=pl.DataFrame({name})."
                " Values of $1, $2, … come second: bench.duckdb('SELECT … WHERE n > $1', [3], runs=runs).",
                value=frame,
            )
    with duckdb.connect(":memory:") as connection:
        for name, frame in frames.items():
            connection.register(name, _arrow(frame))
        # Nor the variables of this process, which DuckDB would look up by name.
        connection.execute(
            "SET TimeZone = 'UTC'; SET python_enable_replacements = false; SET enable_external_access = false;"
            " SET lock_configuration = true"
        )
        try:
            answer = (
                connection.sql(query, params=values) if values else connection.sql(query)
            )  # a statement that is no query answers None
            found = pl.DataFrame() if answer is None else pl.from_arrow(answer.to_arrow_table())
            assert isinstance(found, pl.DataFrame)
            return found.with_columns(map(_plain, found))
        except duckdb.Error as error:
            known = ", ".join(frames) or "none: give them by name, duckdb('…', runs=runs)"
            raise QueryError(f"DuckDB refused the query: {error}\nFrames here: {known}.") from error


def _arrow(frame: pl.DataFrame | pl.LazyFrame) -> Any:
    return (frame.collect() if isinstance(frame, pl.LazyFrame) else frame).to_arrow()


def _plain(column: pl.Series) -> pl.Series:
    """A column as frames have it: no 128-bit numbers where Int64 does, no times that Python cannot hold."""
    if column.dtype == pl.Decimal(38, 0):
        # DuckDB's sums of integers are 128 bits wide, which Arrow only has as decimals.
        narrow = column.cast(pl.Int64, strict=False)
        return narrow if narrow.null_count() == column.null_count() else column
    bounds = _bounds(column.dtype)
    if bounds is None:
        return column
    return column.to_frame().select(pl.when(pl.first().to_physical().is_between(*bounds)).then(pl.first())).to_series()


def _bounds(dtype: pl.DataType) -> tuple[int, int] | None:
    """The first and the last of a dtype that Python's times can hold; ``None`` where all can be held."""
    if dtype == pl.Date:
        return _FIRST_DAY, _LAST_DAY
    if isinstance(dtype, pl.Datetime) and dtype.time_unit != "ns":
        in_day = 86_400_000 * (1000 if dtype.time_unit == "us" else 1)
        return _FIRST_DAY * in_day, (_LAST_DAY + 1) * in_day - 1
    return None
