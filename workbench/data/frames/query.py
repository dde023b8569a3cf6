"""The SQL of a frame: which tables, which columns, in what order, from where on.

Rows are chosen first, in a sub-query of the one table; names and counts from other tables are looked up for the chosen
rows only. So ``limit=20`` counts the events of twenty runs, whatever the store holds.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import polars as pl
from psycopg import sql

from workbench.data.frames import filters
from workbench.data.frames.columns import columns as all_columns
from workbench.data.frames.columns import schema
from workbench.data.frames.fields import Field


def _sql(text: str) -> sql.SQL:
    """SQL made of this package's own constants; values and names of users never come this way."""
    return sql.SQL(text)  # pyright: ignore[reportArgumentType]


@dataclass(frozen=True, slots=True)
class _Table:
    name: str
    alias: str
    json: tuple[str, ...]
    joins: dict[str, str]  # column of the frame → the join that gives it


_COUNT = (
    "LEFT JOIN LATERAL (SELECT count(*) AS {name} FROM workbench.{table} c WHERE c.execution_id = x.id{more}) {alias}"
    " ON true"
)

_TABLES = {
    "executions": _Table(
        "agent_executions",
        "x",
        ("metadata", "input", "output", "token_usage"),
        {
            "task": "LEFT JOIN workbench.tasks t ON t.id = x.task_id",
            "n_events": _COUNT.format(name="n_events", table="observability_events", alias="e", more=""),
            "n_errors": _COUNT.format(
                name="n_errors",
                table="observability_events",
                alias="f",
                more=" AND c.severity = ANY (ARRAY['error', 'critical'])",
            ),
            "n_snapshots": _COUNT.format(name="n_snapshots", table="execution_snapshots", alias="s", more=""),
        },
    ),
    "events": _Table("observability_events", "e", ("data",), {}),
    "snapshots": _Table("execution_snapshots", "s", ("state",), {}),
    "tasks": _Table("tasks", "t", ("metadata",), {}),
    "environments": _Table("environments", "v", ("config",), {}),
    "imports": _Table("imports", "i", ("report",), {}),
    "quarantine": _Table("quarantine", "q", (), {}),
}

_UNDATED = "-infinity"  # behind every date

#: What the order of a frame is made of, how a key travels to the client and back, and whether it falls.
PAGE_KEYS: dict[str, tuple[tuple[str, str, bool], ...]] = {
    "executions": (
        (f"coalesce(x.started_at, '{_UNDATED}'::timestamptz)", "timestamptz", True),
        ("x.created_at", "timestamptz", False),  # of undated runs the order of their source
        ("x.id", "uuid", False),
    ),
    "events": (("e.execution_id", "uuid", False), ("e.step_number", "int", False), ("e.id", "uuid", False)),
    "snapshots": (("s.execution_id", "uuid", False), ("s.step_number", "int", False)),
    "tasks": (("t.created_at", "timestamptz", True), ("t.id", "uuid", True)),
    "environments": (("v.created_at", "timestamptz", True), ("v.id", "uuid", True)),
    "imports": (("i.created_at", "timestamptz", True), ("i.id", "uuid", True)),
    "quarantine": (("q.created_at", "timestamptz", True), ("q.id", "uuid", True)),
}


@dataclass
class Query:
    """One reading of a frame."""

    frame: str
    columns: list[str]
    fields: list[Field]
    limit: int | None = None
    where: str | None = None
    of_runs: bool = False  # only events or states of named runs
    conditions: list[sql.Composable] = field(default_factory=list)

    @staticmethod
    def alias(frame: str) -> sql.SQL:
        """Name of the frame's table inside its SQL."""
        return _sql(_TABLES[frame].alias)

    @property
    def is_ordered(self) -> bool:
        """Whether the server orders the rows; else :meth:`sort` does, which is faster for many runs.

        The events of one run lie together in an index of that order.
        """
        return self.limit is not None or self.of_runs or self.frame not in ("events", "snapshots")

    @property
    def schema(self) -> dict[str, pl.DataType | type[pl.DataType]]:
        """Name → dtype as the rows arrive: the columns, what is needed to finish them, the fields as JSON text."""
        known = schema(self.frame)
        return {name: known.get(name, pl.String) for name in self._sent()} | {
            f.name: pl.String for f in self._sql_fields()
        }

    @property
    def schema_with_keys(self) -> dict[str, pl.DataType | type[pl.DataType]]:
        """As ``schema``, then the keys of the order, as text."""
        return self.schema | {f"_key_{position}": pl.String for position in range(len(PAGE_KEYS[self.frame]))}

    def _sent(self) -> list[str]:
        needed = list(self.columns)
        if self.frame == "snapshots" and self.fields and "state" not in needed:
            needed.append("state")
        if self.frame == "snapshots" and "state" in needed:
            needed += ["execution_id", "step_number"]  # what rebuilding goes by
        if not self.is_ordered:
            needed += ["execution_id", "step_number"]
        return list(dict.fromkeys(needed))

    def _sql_fields(self) -> list[Field]:
        # A snapshot's state is mostly a patch: its fields are taken from the rebuilt state.
        return [] if self.frame == "snapshots" else self.fields

    @property
    def is_divisible(self) -> bool:
        """Whether pieces of the table can be read at once: many rows of a large table, in no order."""
        return self.frame == "events" and not self.is_ordered and self.where is None

    def n_blocks(self) -> sql.Composable:
        """The size of the table."""
        return _sql("SELECT pg_relation_size({}::regclass) / current_setting('block_size')::bigint AS n").format(
            sql.Literal(f"workbench.{_TABLES[self.frame].name}")
        )

    def text(
        self,
        *,
        after: tuple[str, ...] | None = None,
        with_keys: bool = False,
        blocks: tuple[int | None, int | None] = (None, None),
    ) -> sql.Composable:
        """The whole query; with ``after``, of the rows behind that key; with ``blocks``, of that part of the table."""
        table = _TABLES[self.frame]
        ordered = self._order() if self.is_ordered or with_keys else _sql("")
        return _sql("SELECT {} FROM ({}) {} {}{}").format(
            _sql(", ").join(self._selected(with_keys)), self.rows(after=after, with_keys=with_keys, blocks=blocks),
            _sql(table.alias), _sql(" ").join(map(_sql, self._joins(self._sent()))), ordered,
        )  # fmt: skip

    def rows(
        self,
        *,
        after: tuple[str, ...] | None = None,
        with_keys: bool = False,
        blocks: tuple[int | None, int | None] = (None, None),
    ) -> sql.Composable:
        """The rows of the one table that are chosen, whole."""
        table = _TABLES[self.frame]
        conditions = list(self.conditions)
        for block, sign in zip(blocks, (">=", "<"), strict=True):
            if block is not None:
                place = sql.Literal(f"({block},0)")
                conditions.append(_sql("{}.ctid {} {}::tid").format(_sql(table.alias), _sql(sign), place))
        if after is not None:
            conditions.append(self._behind(after))
        ordered = _sql("") if not (self.is_ordered or with_keys) else self._order()
        limit = _sql("") if self.limit is None else _sql(" LIMIT {}").format(sql.Literal(self.limit))
        return _sql("SELECT {a}.* FROM {source} {a}{where}{order}{limit}").format(
            a=_sql(table.alias), source=self._source(), where=filters.all_of(conditions), order=ordered, limit=limit
        )

    def sort(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The order that the server was not asked for; runs are mostly written, and so read, in it."""
        keys = [name for name in ("execution_id", "step_number", "id") if name in rows.columns]
        return rows if _is_sorted(rows.select(keys)) else rows.sort(keys)

    # -- parts ---------------------------------------------------------------------------------------------------------

    def _source(self) -> sql.Composable:
        table = _TABLES[self.frame]
        if self.where is None:
            return _sql("workbench.") + sql.Identifier(table.name)
        # `where` speaks of the columns of the frame: those that are no column of the table are given by name here.
        own = {
            column.name: column.sql
            for column in all_columns[self.frame]
            if column.sql.partition("::")[0].strip('"').removeprefix(f"{table.alias}.").strip('"') != column.name
            and re.search(rf"\b{column.name}\b", self.where)
        }
        extra = [_sql(f", {expression} AS ") + sql.Identifier(name) for name, expression in own.items()]
        joins = _sql(" ").join(map(_sql, self._joins(own)))
        return _sql(
            "(SELECT {a}.* FROM (SELECT {a}.*{extra} FROM workbench.{t} {a} {joins}) {a} WHERE {where})"
        ).format(
            a=_sql(table.alias), extra=sql.Composed(extra), t=sql.Identifier(table.name), joins=joins,
            where=filters.where(self.where),
        )  # fmt: skip

    def _joins(self, names: Sequence[str] | dict[str, str]) -> list[str]:
        return [join for name, join in _TABLES[self.frame].joins.items() if name in names]

    def _selected(self, with_keys: bool) -> list[sql.Composable]:
        by_name = {column.name: column for column in all_columns[self.frame]}
        found: list[sql.Composable] = [_sql(f"{by_name[name].sql} AS ") + sql.Identifier(name) for name in self._sent()]
        table = _TABLES[self.frame]
        for wanted in self._sql_fields():
            root, keys = filters.json_path(wanted.path, name=wanted.name, roots=table.json)
            # As JSON where the values tell the dtype; else as text, which the server makes faster.
            value = "({}.{} #> {}::text[])::text AS {}" if wanted.dtype is None else "{}.{} #>> {}::text[] AS {}"
            found.append(
                _sql(value).format(
                    _sql(table.alias), sql.Identifier(root), sql.Literal(keys), sql.Identifier(wanted.name)
                )
            )
        if with_keys:
            for position, (expression, _, _) in enumerate(PAGE_KEYS[self.frame]):
                found.append(_sql(f"({expression})::text AS _key_{position}"))
        return found

    def _order(self) -> sql.Composable:
        keys = (f"{expression} DESC" if falls else expression for expression, _, falls in PAGE_KEYS[self.frame])
        return _sql(" ORDER BY " + ", ".join(keys))

    def _behind(self, after: tuple[str, ...]) -> sql.Composable:
        keys = PAGE_KEYS[self.frame]
        if len({falls for _, _, falls in keys}) == 1:
            return _beyond(keys, after)
        # The first key falls and the others rise. Said so that an index is read from the place on.
        first, rest = keys[:1], _beyond(keys[1:], after[1:])
        if after[0] == _UNDATED:
            return _sql("{} AND {}").format(_beyond(first, after[:1], "="), rest)
        return _sql("{} AND ({} OR {})").format(
            _beyond(first, after[:1], "<="), _beyond(first, after[:1]), rest
        )  # fmt: skip


def _beyond(keys: Sequence[tuple[str, str, bool]], after: Sequence[str], sign: str | None = None) -> sql.Composable:
    """``(keys) > (values)``, or ``<`` where they fall."""
    values = [
        _sql("{}::{}").format(sql.Literal(value), _sql(kind)) for value, (_, kind, _) in zip(after, keys, strict=True)
    ]
    return _sql("({}) {} ({})").format(
        _sql(", ").join(_sql(expression) for expression, _, _ in keys),
        _sql(sign or ("<" if keys[0][2] else ">")),
        _sql(", ").join(values),
    )


def _is_sorted(keys: pl.DataFrame) -> bool:
    if keys.height < 2:
        return True
    tie, behind = pl.lit(True), pl.lit(False)
    for name in keys.columns:
        behind = behind | (tie & (pl.col(name) < pl.col(name).shift(1)))
        tie = tie & (pl.col(name) == pl.col(name).shift(1))
    return not keys.select(behind.fill_null(False).any()).item()
