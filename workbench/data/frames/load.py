""":class:`Frames`: the rows of the store as Polars frames of documented columns.

Filters, column choice and JSON paths become SQL; what is not asked for is not read. ``where`` takes a condition in SQL
over the columns of the frame (its JSON columns as ``jsonb``: ``where="data->'tool'->>'name' = 'refund'"``).

Long, because half of it is the manual of one class: what a method does beyond naming its query is in the files beside.
"""

from __future__ import annotations

import base64
import difflib
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Unpack

import polars as pl
import zstandard
from psycopg import sql

from workbench._typing import (
    EnvironmentFilters,
    EventFilters,
    ExecutionFilters,
    Fields,
    ImportFilters,
    QuarantineFilters,
    SnapshotFilters,
    TaskFilters,
    takes,
)
from workbench.data.frames import filters
from workbench.data.frames.columns import columns as all_columns
from workbench.data.frames.columns import schema
from workbench.data.frames.fields import Field, decode
from workbench.data.frames.predicate import as_sql
from workbench.data.frames.query import PAGE_KEYS, Query
from workbench.data.frames.runs import run_id, run_ids
from workbench.data.frames.transport import transport_of
from workbench.data.store.tables import EXECUTION_STATUSES, PRIORITIES, SEVERITIES, TASK_STATUSES
from workbench.errors import ConfigurationError, StoreUnavailableError

if TYPE_CHECKING:
    from workbench._predicates import Predicate
    from workbench.data.store.engine import Store

_PARTS = 4  # connections for one frame
_PART_BLOCKS = 4096  # of 8 KB, at least; below that a second connection gains nothing


class Frames:
    """Reads frames from a store. All methods return Polars; an empty result keeps its columns and dtypes."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.transport = transport_of(store)

    def __repr__(self) -> str:
        return f"Frames({self.store})"

    # -- the frames --------------------------------------------------------------------------------------------------

    @takes(ExecutionFilters)
    def executions(self, **filters: Unpack[ExecutionFilters]) -> pl.DataFrame:
        """Runs, newest first by ``started_at``; behind them those without times, in the order of their source.

        Parameters
        ----------
        **filters
            ``status``, ``agent_type``, ``model``, ``source``: one or several values; ``task``: id or title; ``parent``:
            the run, or runs, that they hang on; ``since``,
            ``until``: ``"7d"``, ISO time or datetime, by start (by time of writing where a run has no times); ``ids``;
            ``where``: SQL; ``limit``; ``fields``: ``{"trial": "metadata.trial"}``; ``columns``: names to read.

        Returns
        -------
        polars.DataFrame
            Columns of ``workbench.columns["executions"]``, then the fields.

        Raises
        ------
        ConfigurationError
            A filter's value is not allowed; the text lists what is.
        QueryError
            The server refused ``where``.
        """
        return self._frame("executions", {**filters})

    @takes(EventFilters)
    def events(self, run: Any = None, **filters: Unpack[EventFilters]) -> pl.DataFrame:
        """Events, by run and step.

        Parameters
        ----------
        run
            A run (id, id prefix, record), a list or series of them, or a frame of runs (``browser.selected``: column
            ``id``) or of their events (column ``execution_id``); ``None`` = all.
        **filters
            ``event_type``, ``name``, ``agent``, ``category``, ``severity``: one or several values; ``since``, ``until``
            by the event's time; ``where``, ``limit``, ``fields``, ``columns`` as in :meth:`executions`. Leave ``data``
            out of ``columns`` where you do not need it: it is most of the bytes.

        Returns
        -------
        polars.DataFrame
            Columns of ``workbench.columns["events"]``, then the fields.
        """
        return self._frame("events", self._of_run(run, {**filters}))

    @takes(SnapshotFilters)
    def snapshots(self, run: Any = None, *, states: bool = True, **filters: Unpack[SnapshotFilters]) -> pl.DataFrame:
        """States, by run and step.

        Parameters
        ----------
        run
            As in :meth:`events`.
        states
            ``False`` leaves the column ``state`` out: rebuilding it is the cost of this frame.
        **filters
            ``checkpoint``, ``is_derived``: bool; ``since``, ``until``, ``where``, ``limit``, ``fields``, ``columns``.

        Returns
        -------
        polars.DataFrame
            Columns of ``workbench.columns["snapshots"]``, then the fields. ``state`` is the whole state of each step,
            although the store holds most of them as patches.
        """
        if not states:
            filters["columns"] = [n for n in filters.get("columns") or schema("snapshots") if n != "state"]
        return self._frame("snapshots", self._of_run(run, {**filters}))

    @takes(TaskFilters)
    def tasks(self, **filters: Unpack[TaskFilters]) -> pl.DataFrame:
        """Tasks, newest first. Filters: ``status``, ``priority``, ``source``, ``user_id``, ``since``, ``until``, …."""
        return self._frame("tasks", {**filters})

    @takes(EnvironmentFilters)
    def environments(self, **filters: Unpack[EnvironmentFilters]) -> pl.DataFrame:
        """Environments, newest first. Filters: ``name``, ``user_id``, ``is_active``, …."""
        return self._frame("environments", {**filters})

    @takes(ImportFilters)
    def imports(self, **filters: Unpack[ImportFilters]) -> pl.DataFrame:
        """Files that were ingested, newest first.

        Parameters
        ----------
        **filters
            ``format``, ``path``: one or several; ``has_original``: bool; ``since``, ``until``, ``ids``, ``where``,
            ``limit``, ``fields``, ``columns``.

        Returns
        -------
        polars.DataFrame
            Columns of ``workbench.columns["imports"]``, then the fields.
        """
        return self._frame("imports", {**filters})

    @takes(QuarantineFilters)
    def quarantine(self, **filters: Unpack[QuarantineFilters]) -> pl.DataFrame:
        """What could not be read, newest first: bad lines of ingested files, and files of which nothing was read.

        Parameters
        ----------
        **filters
            ``is_solved``: False (default) leaves out what was read since, True shows that alone, None both; ``format``,
            ``path``, ``since``, ``until``, ``ids``, ``where``, ``limit``, ``columns``.

        Returns
        -------
        polars.DataFrame
            Columns of ``workbench.columns["quarantine"]``. ``text`` is cut, and what is no text in it is replaced.
        """
        return self._frame("quarantine", {**filters})

    @takes(ExecutionFilters)
    def costs(self, *, by: str | None = None, **filters: Unpack[ExecutionFilters]) -> pl.DataFrame:
        """Tokens and cost by run or group, with what is unpriced. See :func:`workbench.data.costs.ledger.costs`."""
        from workbench.data.costs.ledger import costs

        return costs(self, by=by, **filters)

    def find(self, predicate: Predicate | str, run: Any = None, **options: Any) -> pl.DataFrame:
        """The steps at which a predicate holds. See :func:`workbench.data.frames.find.find`."""
        from workbench.data.frames.find import find

        return self._cleared(find(self, predicate, run, **options))

    def chosen(self, frame: str, filters: Mapping[str, Any]) -> sql.Composable:
        """SQL of the rows of a frame's table that pass its filters: what an aggregate is made of."""
        return self._query(frame, {**filters}).rows()

    # -- more than memory --------------------------------------------------------------------------------------------

    def pages(self, frame: str, run: Any = None, *, size: int | None = None, **filters: Any) -> Iterator[pl.DataFrame]:
        """A frame page by page, in a fixed order, each page starting where the one before ended (no OFFSET).

        Parameters
        ----------
        frame
            ``executions``, ``events``, ``snapshots``, ``tasks``, ``environments``, ``imports`` or ``quarantine``.
        size
            Rows of a page; 50,000, but of snapshots 500, which are whole states.
        **filters
            As of the frame; ``limit`` bounds all pages together. Each page is read at a time of its own: rows written
            meanwhile come when they lie behind the page that was read last.
        """
        _known_frame(frame)
        size = _page_size(frame, filters) if size is None else _checked_size(size)
        filters = self._of_run(run, filters) if frame in _OF_RUNS else filters
        left = filters.pop("limit", None)
        after: tuple[str, ...] | None = None
        while left is None or left > 0:
            rows = size if left is None else min(size, left)
            page, after = self._page(frame, {**filters, "limit": rows}, after)
            if page.height:
                yield page
            if page.height < rows or after is None:
                return
            left = None if left is None else left - page.height

    def scan(self, frame: str, run: Any = None, *, size: int | None = None, **filters: Any) -> pl.LazyFrame:
        """A frame as a lazy one that reads page by page: for more rows than memory.

        The columns that the lazy query uses are the columns that are read, ``head`` stops the reading, and comparisons
        of columns with values are made in the server. ``fields`` need their dtypes here, for nothing is read yet.
        """
        from polars.io.plugins import register_io_source

        _known_frame(frame)
        size = _page_size(frame, filters) if size is None else _checked_size(size)
        self._query(frame, {**filters})  # what is wrong with the filters is said now
        given = _known(filters.pop("columns", None) or list(schema(frame)), frame)
        fields = _fields(filters.get("fields"), frame)
        if any(field.dtype is None for field in fields):
            raise ConfigurationError(
                "A lazy frame needs to know its dtypes: fields={'tokens': ('data.usage.input_tokens', pl.Int64)}."
            )
        whole = {name: schema(frame)[name] for name in given} | {f.name: f.dtype for f in fields}

        def read(
            with_columns: list[str] | None, predicate: pl.Expr | None, n_rows: int | None, batch_size: int | None
        ) -> Iterator[pl.DataFrame]:
            wanted = [name for name in whole if with_columns is None or name in with_columns]
            columns = [name for name in wanted if name in given] or given[:1]
            options = {**filters, "columns": columns}
            # The first n rows are chosen before the predicate: then the predicate must not choose first, in the server.
            bounds = [n for n in (n_rows, filters.get("limit")) if n is not None]
            if bounds:
                options["limit"] = min(bounds)
            elif predicate is not None and (pushed := as_sql(predicate, frame)):
                options["where"] = f"({filters['where']}\n) AND {pushed}" if filters.get("where") else pushed
            for page in self.pages(frame, run, size=min(size, batch_size or size), **options):
                page = page.select(wanted)
                yield page if predicate is None else page.filter(predicate)

        return register_io_source(read, schema=whole)  # pyright: ignore[reportArgumentType]

    def tree(self, run: Any) -> pl.DataFrame:
        """A run and all runs below it: sub-agents, forks, sessions that go on from it, at any depth.

        Parameters
        ----------
        run
            One run, as in :meth:`run_id`.

        Returns
        -------
        polars.DataFrame
            Each run behind its parent: ``depth`` (0 = the run itself), ``link`` (spawned · forked · resumed ·
            continued), ``parent_step`` (step of the parent it hangs on; null where none is known), ids, name, status,
            times and cost as in :meth:`executions`.

        Raises
        ------
        NotFoundError
            No such run, or several share the prefix.
        """
        from workbench.data.frames.tree import tree

        return tree(self.transport, self.run_id(run))

    def branches(self, run: Any) -> pl.DataFrame:
        """The run that all was forked from and every branch of it. See :func:`workbench.data.frames.branches.branches`.

        Raises
        ------
        NotFoundError
            No such run, or several share the prefix.
        """
        from workbench.data.frames.branches import branches

        return self._cleared(branches(self.transport, self.run_id(run)))

    def notes(self, run: Any) -> pl.DataFrame:
        """Notes, pins and checkpoints on the steps of a run. See :func:`workbench.data.frames.notes.notes`.

        Raises
        ------
        NotFoundError
            No such run, or several share the prefix.
        """
        from workbench.data.frames.notes import notes

        return self._cleared(notes(self.transport, self.run_id(run)))

    @takes(EventFilters)
    def course(self, run: Any, **filters: Unpack[EventFilters]) -> pl.DataFrame:
        """Events of a run from its very beginning: of a fork, first those up to the fork, of the run it left.

        Parameters
        ----------
        run
            One run, as in :meth:`run_id`.
        **filters
            As in :meth:`events`.

        Returns
        -------
        polars.DataFrame
            As :meth:`events`; of a run that is no fork, the same.
        """
        from workbench.data.store.course import course

        with self.transport.reading() as connection:
            stretches = course(connection, self.run_id(run))
        parts, own = [], filters.get("where")
        for one in stretches:
            where = f"step_number > {one.after}" + ("" if one.until is None else f" AND step_number <= {one.until}")
            given = f"({own}\n) AND {where}" if own else where
            parts.append(self.events(one.execution_id, **{**filters, "where": given}))
        return pl.concat(parts)

    # -- ids and SQL -------------------------------------------------------------------------------------------------

    def run_id(self, run: Any) -> str:
        """The id of a run given as record, UUID, id, an abbreviation of 4 characters or more, or a frame of one run.

        Raises
        ------
        NotFoundError
            No run, or several, begin so.
        ConfigurationError
            A frame, series or list of no run or several.
        """
        return run_id(self.transport, run)

    def sql(self, query: str, params: Sequence[Any] | None = None, *, limit: int | None = None) -> pl.DataFrame:
        """One read-only SELECT on Postgres, as a frame.

        Names without a schema are ours. UUIDs, JSON and other types that Polars lacks arrive as text, ``numeric`` as
        Float64. A date or time outside the years 1 to 9999 (``infinity`` too) is null; ``::text`` shows it.

        Parameters
        ----------
        query
            One statement that gives rows: SELECT, WITH, VALUES, TABLE, EXPLAIN or SHOW.
        params
            Values of ``$1``, ``$2``, … in order, never read as SQL: ``sql("… WHERE id = $1", [run])``. A list or a
            Polars series is an array: ``id = ANY($1)``.
        limit
            Rows at most.

        Raises
        ------
        QueryError
            The server refused it, with its reason, place and hint.
        ConfigurationError
            ``params`` is no list.
        """
        from workbench.data.frames.sql import run_sql

        return self._cleared(run_sql(self.store, query, params=params, limit=limit))

    def duckdb(self, query: str, params: Sequence[Any] | None = None, /, **frames: pl.DataFrame) -> pl.DataFrame:
        """DuckDB's SQL over frames given by name: ``duckdb("SELECT … FROM runs", runs=runs)``.

        It sees these frames and nothing else: no files, no network. The values of ``$1``, ``$2``, … come second, as in
        :meth:`sql`: ``duckdb("SELECT … WHERE n > $1", [3], runs=runs)``. Times outside the years 1 to 9999 are null
        there too.

        Raises
        ------
        QueryError
            DuckDB refused it.
        """
        from workbench.data.frames.sql import run_duckdb

        return run_duckdb(query, frames, params=params)

    # -- how -----------------------------------------------------------------------------------------------------------

    def _of_run(self, run: Any, filters: dict[str, Any]) -> dict[str, Any]:
        if run is None:
            return filters
        return {**filters, "runs": run_ids(self.transport, run)}

    def _frame(self, frame: str, given: dict[str, Any]) -> pl.DataFrame:
        query = self._query(frame, given)
        rows = self._read_at_once(query)
        if rows is None:
            rows = self.transport.fetch(query.text(), query.schema)
        return self._finish(query, rows if query.is_ordered else query.sort(rows))

    def _read_at_once(self, query: Query) -> pl.DataFrame | None:
        """A large table in pieces over several connections; ``None`` where one reads it as fast."""
        if not query.is_divisible or self.transport.way != "adbc":
            return None
        n_blocks = self.transport.fetch(query.n_blocks(), {"n": pl.Int64}).item()
        n_parts = min(n_blocks // _PART_BLOCKS, os.cpu_count() or 1, _PARTS)
        if n_parts < 2:
            return None
        bounds = [n_blocks * part // n_parts for part in range(1, n_parts)]
        pieces = zip([None, *bounds], [*bounds, None], strict=True)  # the last one is open: for rows written meanwhile
        try:
            return self.transport.fetch_parts([query.text(blocks=piece) for piece in pieces], query.schema)
        except StoreUnavailableError:  # a connection died, or there are no more to be had
            return None

    def _page(
        self, frame: str, given: dict[str, Any], after: tuple[str, ...] | None
    ) -> tuple[pl.DataFrame, tuple[str, ...] | None]:
        query = self._query(frame, given)
        rows = self.transport.fetch(query.text(after=after, with_keys=True), query.schema_with_keys)
        keys = [f"_key_{position}" for position in range(len(PAGE_KEYS[frame]))]
        last = rows.select(keys).row(-1) if rows.height else None
        return self._finish(query, rows.drop(keys)), last

    def _finish(self, query: Query, rows: pl.DataFrame) -> pl.DataFrame:
        if query.frame == "snapshots" and "state" in rows.columns:
            from workbench.data.frames.states import with_states

            rows = with_states(self.transport, rows)
        if query.frame == "quarantine" and "text" in rows.columns:
            rows = rows.with_columns(rows["text"].map_elements(_as_text, return_dtype=pl.String))
        for field in query.fields:
            rows = rows.with_columns(decode(rows, field))
        return self._cleared(rows.select([*query.columns, *(field.name for field in query.fields)]))

    def _cleared(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows without secrets, where the settings ask for that: in the kernel of a report."""
        if not self.store.settings.redact:
            return rows
        from workbench.data.frames.redacted import redacted

        return redacted(self.store, rows)

    def _query(self, frame: str, given: dict[str, Any]) -> Query:
        given = {**_DEFAULTS.get(frame, {}), **given}
        given = {name: value for name, value in given.items() if value is not None}
        columns = _known(given.pop("columns", None) or list(schema(frame)), frame)
        fields = _fields(given.pop("fields", None), frame)
        query = Query(frame, columns=columns, fields=fields, limit=_limit(given.pop("limit", None)))
        if "where" in given:
            query.where = _condition_text(given.pop("where"), frame)
        query.of_runs = len(given.get("runs", ())) == 1
        query.conditions = self._conditions(frame, given)
        return query

    def _conditions(self, frame: str, given: dict[str, Any]) -> list[sql.Composable]:
        allowed = [name for name in _FILTERS[frame].__annotations__ if name not in _SHAPE]
        unknown = [name for name in given if name not in allowed and not (name == "runs" and frame in _OF_RUNS)]
        if unknown:
            begun = [name for name in allowed if name.startswith(unknown[0])]
            close = begun or difflib.get_close_matches(unknown[0], allowed, 1)
            raise TypeError(
                f"{frame}() has no filter {unknown[0]!r}."
                + (f" Did you mean {close[0]!r}?" if close else "")
                + f" It has: {', '.join([*allowed, *_SHAPE])}."
            )
        found: list[sql.Composable] = []
        when = {"since": given.pop("since", None), "until": given.pop("until", None)}
        if any(value is not None for value in when.values()):
            found += filters.since_until(_TIMES[frame], **when)
        for name, value in given.items():
            found.append(self._condition(frame, name, value))
        return found

    def _condition(self, frame: str, name: str, value: Any) -> sql.Composable:
        alias = Query.alias(frame)
        made = _MADE.get((frame, name))
        column = sql.SQL("({})").format(made) if made else sql.SQL("{}.{}").format(alias, sql.Identifier(name))
        if name == "ids":
            value = value["id"] if isinstance(value, pl.DataFrame) and "id" in value.columns else value
            one = isinstance(value, str) or not isinstance(value, Iterable)
            return filters.ids(sql.SQL("{}.id").format(alias), [value] if one else value)
        if name == "runs":
            return filters.ids(sql.SQL("{}.execution_id").format(alias), value)
        if name == "parent":
            return filters.ids(sql.SQL("{}.parent_execution_id").format(alias), run_ids(self.transport, value))
        if name == "task":
            titles = filters.one_of(sql.SQL("title"), value, name=name)
            tasks = sql.SQL("SELECT id FROM workbench.tasks WHERE {} OR {}").format(
                titles, filters.one_of(sql.SQL("id::text"), value, name=name)
            )
            return sql.SQL("{}.task_id IN ({})").format(alias, tasks)
        if isinstance(value, bool):
            return column if value else sql.SQL("NOT ") + column
        return filters.one_of(column, value, name=name, allowed=_ALLOWED.get((frame, name)))


def _known_frame(frame: str) -> None:
    if frame not in all_columns:
        close = difflib.get_close_matches(frame, all_columns, 1)
        raise ConfigurationError(
            f"There is no frame {frame!r}."
            + (f" Did you mean {close[0]!r}?" if close else "")
            + f" There are: {', '.join(all_columns)}.",
            value=frame,
        )


def _checked_size(size: Any) -> int:
    if not isinstance(size, int) or size < 1:
        raise ConfigurationError(f"size={size!r} must be a whole number, 1 or more.", size=size)
    return size


def _page_size(frame: str, given: Mapping[str, Any]) -> int:
    has_states = frame == "snapshots" and ("state" in (given.get("columns") or ("state",)) or bool(given.get("fields")))
    return 500 if has_states else 50_000


def _fields(given: Fields, frame: str) -> list[Field]:
    found = []
    if not isinstance(given, Mapping | None):
        raise ConfigurationError(f"fields={given!r}: give a name to each path, {_FIELDS}.", value=given)
    for name, path in (given or {}).items():
        if name in schema(frame):
            raise ConfigurationError(
                f"fields[{name!r}]: {frame} has a column {name!r} already. Give the field a name of its own, like"
                f" {'my_' + name!r}; the columns are: {', '.join(schema(frame))}.",
                value=name,
            )
        if isinstance(path, str):
            path = (path, None)
        if not isinstance(path, Sequence) or len(path) != 2 or not isinstance(path[0], str):
            raise ConfigurationError(f"fields[{name!r}]={path!r} is no path: write {_FIELDS}.", value=path)
        found.append(Field(name, *path))
    return found


def _condition_text(given: Any, frame: str) -> str:
    if not isinstance(given, str):
        raise ConfigurationError(
            f'where={given!r} is no text. Write a condition in SQL, like "cost_usd > 1", or filter the frame.',
            value=given,
        )
    if frame == "snapshots" and re.search(r"\bstate\b", re.sub(r"'[^']*'", "", given)):
        raise ConfigurationError(
            "where cannot speak of the state of a snapshot: most are stored as patches. Filter the frame instead:"
            " bench.snapshots(run, fields={'plan': 'state.plan'}).filter(…).",
            value=given,
        )
    return given


def _limit(given: Any) -> int | None:
    if given is not None and (isinstance(given, bool) or not isinstance(given, int) or given < 0):
        raise ConfigurationError(f"limit={given!r} must be a whole number, 0 or more.", value=given)
    return given


def _known(names: Any, frame: str) -> list[str]:
    one = isinstance(names, str) or not isinstance(names, Iterable)
    names = [names] if one else list(dict.fromkeys(names))
    for name in names:
        if name not in schema(frame):
            close = difflib.get_close_matches(str(name), schema(frame), 1)
            raise ConfigurationError(
                f"{frame} has no column {name!r}."
                + (f" Did you mean {close[0]!r}?" if close else "")
                + f" It has: {', '.join(schema(frame))}.",
                value=name,
            )
    return names


def _as_text(packed: str | None) -> str | None:
    """The beginning of what was put aside, as text, whatever bytes it is made of."""
    if packed is None:
        return None
    data = zstandard.ZstdDecompressor().decompressobj().decompress(base64.b64decode(packed))
    text = data[:_SHOWN_BYTES].decode("utf-8", "replace").replace("\0", "\u2400")
    return text if len(data) <= _SHOWN_BYTES else f"{text} … [cut: {len(data)} bytes]"


_SHOWN_BYTES = 2000
_MADE: dict[tuple[str, str], sql.SQL] = {
    (frame, column.name): sql.SQL(column.sql)  # pyright: ignore[reportArgumentType]
    for frame, names in {"imports": ("format", "has_original"), "quarantine": ("format", "is_solved")}.items()
    for column in all_columns[frame]
    if column.name in names
}
_DEFAULTS: dict[str, dict[str, Any]] = {"quarantine": {"is_solved": False}}
_FIELDS = "fields={'tokens': 'data.usage.input_tokens'} or {'tokens': ('data.usage.input_tokens', pl.Int64)}"
_FILTERS: dict[str, type] = {
    "executions": ExecutionFilters,
    "events": EventFilters,
    "snapshots": SnapshotFilters,
    "tasks": TaskFilters,
    "environments": EnvironmentFilters,
    "imports": ImportFilters,
    "quarantine": QuarantineFilters,
}
_SHAPE = ("where", "limit", "fields", "columns")
_OF_RUNS = ("events", "snapshots")
_ALLOWED = {
    ("executions", "status"): EXECUTION_STATUSES,
    ("events", "severity"): SEVERITIES,
    ("tasks", "status"): TASK_STATUSES,
    ("tasks", "priority"): PRIORITIES,
}
_TIMES: dict[str, sql.Composable] = {
    "executions": sql.SQL("coalesce(x.started_at, x.created_at)"),
    "events": sql.SQL('e."timestamp"'),
    "snapshots": sql.SQL('s."timestamp"'),
    "tasks": sql.SQL("t.created_at"),
    "environments": sql.SQL("v.created_at"),
    "imports": sql.SQL("i.created_at"),
    "quarantine": sql.SQL("q.created_at"),
}
