"""Rows of ``secrets``: where in the stored runs a secret stands, by which rule, and a digest that tells nothing of it.

Marks are made of what is stored, so they are the same whichever file brought it and in whatever order.
"""

from __future__ import annotations

import hmac
import uuid
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import psycopg

from workbench.data.secrets.passes import passes
from workbench.data.secrets.redact import Redactor
from workbench.data.secrets.scan import Place, in_json, in_text
from workbench.data.store.copy import copy_rows
from workbench.data.store.tables import secrets

if TYPE_CHECKING:
    from workbench.data.store.engine import Store

COLUMNS = ("execution_id", "event_id", "place", "rule", "digest", "shown")
_DIGEST_BYTES = 16
_BATCH = 500  # rows of stored events read at once

# What of a run's own row is scanned: column → whether it is JSON.
RUN_COLUMNS = {"name": False, "input": True, "output": True, "error": False, "metadata": True, "source_id": False}

_Row = Any  # a tuple of the values


class Marks:
    """Collects the marks of rows that are being written, and writes them.

    Parameters
    ----------
    connection
        Its transaction is the one that writes the rows.
    """

    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection
        self._key: bytes | None = None
        self._rows: list[tuple[Any, ...]] = []
        self._changed: dict[str, int] = {}  # run → the first step that has changed
        self.counts: Counter[str] = Counter()

    def add(self, kind: str, columns: Sequence[str], rows: Iterable[_Row]) -> None:
        """Find the secrets of some new rows.

        Parameters
        ----------
        kind
            ``runs``, ``events`` or ``states``.
        columns
            Names of the values in each row.
        """
        self._rows += _MAKERS[kind](self, columns, list(rows))

    def renew(self, executions: Iterable[Any], *, first_step: int = 0) -> None:
        """These runs have changed in the store, from a step on: their marks are made anew when all is written."""
        for execution in map(str, executions):
            self._changed[execution] = min(first_step, self._changed.get(execution, first_step))

    def write(self) -> None:
        """Write the marks of all rows that were added; the rows they point to have to be there."""
        rows = [row for row in self._rows if str(row[0]) not in self._changed]
        for execution, first in self._changed.items():
            self._connection.execute(_FORGET, {"run": execution, "first": first})
            rows += self._stored(execution, first)
        if rows:
            copy_rows(self._connection, secrets, COLUMNS, rows)
        self.counts.update(row[3] for row in rows)
        self._rows, self._changed = [], {}

    def _stored(self, execution: str, first: int) -> Iterator[tuple[Any, ...]]:
        """The marks of a run as it is stored, of its steps from ``first`` on."""
        for kind, (columns, query) in _STORED.items():
            with self._connection.cursor(f"wb_marks_{uuid.uuid4().hex}") as cursor:
                cursor.execute(query, {"run": execution, "first": first})
                while rows := cursor.fetchmany(_BATCH):
                    yield from _MAKERS[kind](self, columns, rows)

    def row(self, execution: Any, event: Any, column: str, place: Place) -> tuple[Any, ...]:
        """One row of ``secrets``."""
        where = f"{column}{place.pointer}"
        where = Redactor().text(where) if passes().any(where.encode("utf-8", "replace")) else where  # a key may be one
        return (execution, event, where, place.rule, self._digest(place.secret), place.shown)

    def _digest(self, secret: str) -> str:
        if self._key is None:
            row = self._connection.execute("SELECT value FROM workbench.store_keys WHERE name = 'secrets'").fetchone()
            assert row is not None
            self._key = bytes(row[0])
        return hmac.digest(self._key, secret.encode("utf-8", "replace"), "sha256")[:_DIGEST_BYTES].hex()


def _runs(marks: Marks, columns: Sequence[str], rows: list[_Row]) -> Iterator[tuple[Any, ...]]:
    for row in rows:
        given = dict(zip(columns, row, strict=True))
        for column, is_json in RUN_COLUMNS.items():
            if given[column] is not None:
                places = in_json(given[column]) if is_json else in_text(given[column])
                for place in places:
                    yield marks.row(given["id"], None, column, place)


def _events(marks: Marks, columns: Sequence[str], rows: list[_Row]) -> Iterator[tuple[Any, ...]]:
    event, execution, data = (columns.index(name) for name in ("id", "execution_id", "data"))
    for row in _hit(rows, data):
        for place in in_json(row[data]):
            yield marks.row(row[execution], row[event], "", place)


def _states(marks: Marks, columns: Sequence[str], rows: list[_Row]) -> Iterator[tuple[Any, ...]]:
    execution, step, state, is_derived = (
        columns.index(name) for name in ("execution_id", "step_number", "state", "is_derived")
    )
    # What is derived says nothing that the events do not say.
    for row in _hit([row for row in rows if not row[is_derived]], state):
        for place in in_json(row[state]):
            yield marks.row(row[execution], None, f"state/{row[step]}", place)


def _hit(rows: list[_Row], column: int) -> list[_Row]:
    """The rows in which the fast pass met something: one pass over all of them together."""
    texts = [row[column].encode("utf-8", "surrogatepass") for row in rows]
    hits = passes().hits(b"\n".join(texts))
    if not hits:
        return []
    ends: list[int] = []
    size = 0
    for text in texts:
        size += len(text) + 1
        ends.append(size)
    return [rows[number] for number in sorted({bisect_left(ends, end) for _, end in hits} - {len(rows)})]


_MAKERS: dict[str, Callable[[Marks, Sequence[str], list[_Row]], Iterator[tuple[Any, ...]]]] = {
    "runs": _runs,
    "events": _events,
    "states": _states,
}
_STORED: dict[str, tuple[tuple[str, ...], Any]] = {
    "runs": (
        ("id", *RUN_COLUMNS),
        "SELECT id, name, input::text, output::text, error, metadata::text, source_id"
        " FROM workbench.agent_executions WHERE id = %(run)s",
    ),
    "events": (
        ("id", "execution_id", "data"),
        "SELECT id, execution_id, data::text FROM workbench.observability_events WHERE execution_id = %(run)s"
        " AND step_number >= %(first)s ORDER BY step_number, id",
    ),
    "states": (
        ("execution_id", "step_number", "state", "is_derived"),
        "SELECT execution_id, step_number, state::text, is_derived FROM workbench.execution_snapshots"
        " WHERE execution_id = %(run)s AND step_number >= %(first)s AND NOT is_derived ORDER BY step_number",
    ),
}

# Those of the run's own row are made anew with any of its steps.
_FORGET = """
DELETE FROM workbench.secrets AS old WHERE execution_id = %(run)s AND CASE
  WHEN event_id IS NOT NULL THEN EXISTS (
    SELECT FROM workbench.observability_events AS event WHERE event.id = old.event_id AND step_number >= %(first)s)
  ELSE place NOT LIKE 'state/%%' OR split_part(place, '/', 2)::int >= %(first)s END
"""


def rescan(store: Store, executions: Sequence[str] | None = None) -> Counter[str]:
    """Make the marks of stored runs anew: of runs written before there were marks, or by older rules.

    Parameters
    ----------
    executions
        Ids of runs; ``None`` = all. Each is a transaction of its own.

    Returns
    -------
    collections.Counter
        How many secrets stand in these runs, by rule.
    """
    counts: Counter[str] = Counter()
    with store.raw() as connection:
        if executions is None:
            executions = [str(row[0]) for row in connection.execute("SELECT id FROM workbench.agent_executions")]
    for execution in executions:
        with store.raw() as connection, connection.transaction():
            connection.execute("SET LOCAL statement_timeout = 0")
            marks = Marks(connection)
            marks.renew([execution])
            marks.write()
            counts += marks.counts
    return counts
