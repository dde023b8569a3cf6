"""Take an import back: afterwards the store is as if the file had never been ingested.

Runs that no other import holds go. Runs that others hold too are built anew from the originals of those, in their
order. All of it is one transaction.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

import psycopg

from workbench.data.ingest.detect import reader
from workbench.data.ingest.ledger.originals import drop_unnamed, opened
from workbench.data.ingest.ledger.turns import BLOCKS, Turn, exclusive
from workbench.data.ingest.normal import BadLine
from workbench.data.ingest.reading.source import Source
from workbench.data.ingest.report import Counts
from workbench.data.ingest.retry import found
from workbench.data.ingest.writing.absent import Absent
from workbench.data.ingest.writing.links import Links
from workbench.data.ingest.writing.writer import Rebuilt, Writer
from workbench.errors import IngestError, MissingExtraError, NotFoundError

if TYPE_CHECKING:
    from workbench.data.store.engine import Store

_SHOWN = 5


@dataclass(slots=True, frozen=True)
class Undo:
    """What undoing an import did, or (``is_preview``) would do.

    Attributes
    ----------
    removed
        Runs, events and states that the store has fewer now.
    n_rebuilt
        Runs that other imports hold too: built anew from these.
    n_tasks, n_bad
        Tasks that only its runs tried; lines of it in the quarantine.
    n_blocks, freed_bytes
        Blocks of kept files that nobody else names, and the room they took.
    changed
        Ids of runs that were changed since by hand or by a later price: these changes go too.
    n_added
        Events and states that were added to its runs by hand: they go too.
    children
        Ids of runs recorded here that hang on a run that goes: they stay, without a parent.
    """

    import_id: str
    path: str
    format: str
    removed: Counts = field(default_factory=Counts)
    n_rebuilt: int = 0
    n_tasks: int = 0
    n_bad: int = 0
    n_blocks: int = 0
    freed_bytes: int = 0
    changed: tuple[str, ...] = ()
    n_added: int = 0
    children: tuple[str, ...] = ()
    is_preview: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        does, goes = ("Would remove", "would go") if self.is_preview else ("Removed", "went")
        lines = [f"{does} the import of {self.path} [{self.format}]: {self.removed}"]
        if self.n_rebuilt:
            lines.append(f"  {_n(self.n_rebuilt, 'run')} that other imports hold too: built anew from their originals")
        if self.n_tasks:
            lines.append(f"  {_n(self.n_tasks, 'task')} that only its runs tried")
        if self.n_bad:
            lines.append(f"  {_n(self.n_bad, 'line')} in the quarantine")
        if self.n_blocks:
            lines.append(f"  {_n(self.n_blocks, 'block')} of the kept file, {self.freed_bytes:,} bytes")
        if self.changed:
            lines.append(f"  changes made since to {_some(self.changed)} {goes} too")
        if self.n_added:
            lines.append(f"  {self.n_added:,} events and states added since by hand {goes} too")
        if self.children:
            lines.append(f"  without a parent then: {_some(self.children)}")
        return "\n".join(lines)


def undo(store: Store, which: Any, *, dry_run: bool = False) -> Undo:
    """Take an import back.

    Parameters
    ----------
    which
        Its id, or the first characters of it (4 or more); see ``bench.imports()``.
    dry_run
        Change nothing: do it all and roll it back.

    Returns
    -------
    Undo
        What went, what was built anew, and what of it had been changed since.

    Raises
    ------
    NotFoundError
        There is no such import; or a run is held by another import whose original is neither kept nor still at its
        path: nothing was changed.
    """
    with store.raw() as connection, connection.transaction() as transaction:
        connection.execute("SET LOCAL statement_timeout = 0")
        connection.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
        done = _Undoing.of(connection, which).do(is_preview=dry_run)
        if dry_run:
            raise psycopg.Rollback(transaction)
    return done


@dataclass(slots=True, frozen=True)
class _Import:
    id: uuid.UUID
    format: str
    path: str
    sha256: str
    blocks: Sequence[bytes]
    columns: Mapping[str, str] | None


class _Undoing:
    """One import on its way out, inside a transaction."""

    def __init__(self, connection: psycopg.Connection, own: _Import) -> None:
        self._connection = connection
        self._own = own
        self._turn = Turn(connection, own.format, is_alone=True)
        self._turn.take()
        exclusive(connection, BLOCKS)
        self._runs = self._ids(_RUNS)
        self._shared = set(self._ids(_SHARED, runs=self._runs))

    @classmethod
    def of(cls, connection: psycopg.Connection, which: Any) -> _Undoing:
        """The import that is named so."""
        row = connection.execute(_IMPORT, [[found(connection, which, only_imports=True)]]).fetchone()
        assert row is not None
        return cls(connection, _Import(*row))

    def do(self, *, is_preview: bool) -> Undo:
        """All of it."""
        own, connection = self._own, self._connection
        before = self._counts()
        changed = tuple(map(str, self._ids(_CHANGED, runs=self._runs)))
        (n_added,) = self._one(_ADDED, runs=self._runs)
        (n_bad,) = self._one("SELECT count(*) FROM workbench.quarantine WHERE import_id = %(own)s")
        times = self._rows(_TIMES, runs=self._runs)
        children = self._rows(_CHILDREN, runs=self._runs)
        absent = Absent(connection, self._runs)
        links = Links(reader(own.format))
        for source_id, run in self._rows(_SOURCE_IDS, runs=self._runs):
            links.add_stored(source_id, run)
        links.go(connection)
        tasks = _Tasks(connection, own.id, self._runs)
        others = [_Import(*row) for row in self._rows(_OTHERS, runs=[*self._shared, *tasks.wanted_by])]
        with_prices = bool(self._one(_PRICED, runs=self._runs)[0])
        with ExitStack() as stack:
            sources = [(other, self._open(other, stack)) for other in others]  # before anything is taken away
            self._execute("DELETE FROM workbench.agent_executions WHERE id = ANY(%(runs)s)", runs=self._runs)
            tasks.take_away()
            self._execute("DELETE FROM workbench.imports WHERE id = %(own)s")
            for other, source in sources:
                self._rebuild(other, source, tasks, with_prices=with_prices)
        absent.again()
        n_tasks = tasks.give_back()
        self._restore(times)
        links.write(connection, self._turn)
        orphans = self._rehang(children)
        n_blocks, freed = drop_unnamed(connection, own.blocks)
        return Undo(
            str(own.id), own.path, own.format,
            removed=_less(before, self._counts()), n_rebuilt=len(self._ids(_THERE, runs=self._runs)), n_tasks=n_tasks,
            n_bad=n_bad, n_blocks=n_blocks, freed_bytes=freed, changed=changed, n_added=n_added, children=orphans,
            is_preview=is_preview,
        )  # fmt: skip

    # -- its parts -----------------------------------------------------------------------------------------------------

    def _open(self, other: _Import, stack: ExitStack) -> Source:
        try:
            kept = opened(self._connection, other.blocks, path=other.path, sha256=other.sha256)
            source = stack.enter_context(kept)
            source.columns = other.columns
            return source
        except (NotFoundError, IngestError) as error:
            raise NotFoundError(
                f"The import of {self._own.path} cannot be undone, and nothing was changed: runs of it are also held by"
                f" the import {other.id} and would have to be built anew from that. {error} Undo that import first, or"
                " put its file back in its place.",
                import_id=str(other.id),
                path=other.path,
            ) from error

    def _rebuild(self, other: _Import, source: Source, tasks: _Tasks, *, with_prices: bool) -> None:
        chosen = reader(other.format)
        anew = Rebuilt(frozenset(self._shared), frozenset(tasks.source_ids))
        writer = Writer(self._connection, chosen, source, self._turn, with_prices=with_prices, rebuilt=anew)
        try:
            with writer:
                for item in chosen.read(source):
                    if not isinstance(item, BadLine):
                        writer.add(item)
                writer.finish()
        except (IngestError, MissingExtraError) as error:
            raise IngestError(
                f"The import of {self._own.path} cannot be undone, and nothing was changed: {other.path}, which holds"
                f" runs of it too, cannot be read again. {error}",
                import_id=str(other.id),
                path=other.path,
            ) from error

    def _restore(self, times: Iterable[tuple[uuid.UUID, datetime]]) -> None:
        """Runs without times are listed in the order in which they were written first."""
        self._connection.cursor().executemany(
            "UPDATE workbench.agent_executions SET created_at = %s WHERE id = %s", [(at, run) for run, at in times]
        )

    def _rehang(self, children: list[tuple[Any, ...]]) -> tuple[str, ...]:
        """Hang the runs recorded here back on those that other imports brought again; the others are told."""
        return tuple(
            str(child) for child, run, event in children if not self._execute(_HANG, child=child, run=run, event=event)
        )

    # -- asking --------------------------------------------------------------------------------------------------------

    def _counts(self) -> Counts:
        return Counts(*self._one(_COUNTS, runs=self._runs))

    def _ids(self, query: str, **values: Any) -> list[uuid.UUID]:
        return [row[0] for row in self._rows(query, **values)]

    def _one(self, query: str, **values: Any) -> tuple[Any, ...]:
        [row] = self._rows(query, **values)
        return row

    def _rows(self, query: str, **values: Any) -> list[tuple[Any, ...]]:
        return self._connection.execute(query.encode(), {"own": self._own.id, **values}).fetchall()

    def _execute(self, query: str, **values: Any) -> int:
        return self._connection.execute(query.encode(), {"own": self._own.id, **values}).rowcount


class _Tasks:
    """The tasks that an import brought: some go with it, some another import brings too.

    Attributes
    ----------
    source_ids
        Of the tasks that are taken away for now.
    wanted_by
        Runs that stay and try one of these.
    """

    def __init__(self, connection: psycopg.Connection, own: uuid.UUID, runs: Sequence[uuid.UUID]) -> None:
        self._connection = connection
        # A task that somebody changed since stays as it is.
        rows = connection.execute(_TASKS, [own]).fetchall()
        self._times: Mapping[uuid.UUID, datetime] = {row[0]: row[2] for row in rows}
        self.source_ids = [row[1] for row in rows]
        self._tries = connection.execute(_TRIES, [list(self._times), list(runs)]).fetchall()
        self.wanted_by = [run for run, _ in self._tries]

    def take_away(self) -> None:
        """Delete them all."""
        self._connection.execute("DELETE FROM workbench.tasks WHERE id = ANY(%s)", [list(self._times)])

    def give_back(self) -> int:
        """Let the runs that stay point to their tasks again; how many tasks did not come back."""
        cursor = self._connection.cursor()
        cursor.executemany(_TRY_AGAIN, [(task, run, task) for run, task in self._tries])
        cursor.executemany(
            "UPDATE workbench.tasks SET created_at = %s, updated_at = %s WHERE id = %s",
            [(at, at, task) for task, at in self._times.items()],
        )
        query = "SELECT count(*) FROM workbench.tasks WHERE id = ANY(%s)"
        row = self._connection.execute(query, [list(self._times)]).fetchone()
        return len(self._times) - (row[0] if row else 0)


def _less(before: Counts, after: Counts) -> Counts:
    return Counts(
        before.executions - after.executions, before.events - after.events, before.snapshots - after.snapshots
    )


def _n(count: int, what: str) -> str:
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


def _some(ids: Sequence[str]) -> str:
    shown = ", ".join(ids[:_SHOWN])
    return shown if len(ids) <= _SHOWN else f"{shown} and {len(ids) - _SHOWN:,} more"


_COLUMNS = "id, source, path, sha256, blocks, report->'columns'"
_IMPORT = f"SELECT {_COLUMNS} FROM workbench.imports WHERE id = ANY(%s)"
# Imports of older versions did not note which runs a file holds, only who brought a run first.
_RUNS = """
SELECT execution_id FROM workbench.import_runs WHERE import_id = %(own)s
UNION SELECT id FROM workbench.agent_executions WHERE import_id = %(own)s
"""
_SHARED = """
SELECT DISTINCT execution_id FROM workbench.import_runs WHERE execution_id = ANY(%(runs)s) AND import_id <> %(own)s
"""
_OTHERS = f"""
SELECT {_COLUMNS} FROM workbench.imports WHERE id <> %(own)s AND id IN (
  SELECT import_id FROM workbench.import_runs WHERE execution_id = ANY(%(runs)s))
ORDER BY created_at, id
"""
_CHANGED = """
SELECT x.id FROM workbench.agent_executions x JOIN workbench.import_runs r ON r.execution_id = x.id
WHERE x.id = ANY(%(runs)s) GROUP BY x.id HAVING x.row_version > max(r.row_version) ORDER BY x.id
"""
# What an ingest writes has ids made of the source's own (version 5); what is written here has ids of its time.
_ADDED = """
SELECT (SELECT count(*) FROM workbench.observability_events
        WHERE execution_id = ANY(%(runs)s) AND substr(id::text, 15, 1) <> '5')
  + (SELECT count(*) FROM workbench.execution_snapshots
     WHERE execution_id = ANY(%(runs)s) AND substr(id::text, 15, 1) <> '5')
"""
_TIMES = "SELECT id, created_at FROM workbench.agent_executions WHERE id = ANY(%(runs)s)"
_THERE = "SELECT id FROM workbench.agent_executions WHERE id = ANY(%(runs)s)"
_SOURCE_IDS = "SELECT source_id, id FROM workbench.agent_executions WHERE id = ANY(%(runs)s)"
# What hangs on them and no reader hung there: recorded here, of another format or of none.
_CHILDREN = """
SELECT child.id, child.parent_execution_id, child.parent_event_id
FROM workbench.agent_executions AS child
JOIN workbench.agent_executions AS above ON above.id = child.parent_execution_id
WHERE above.id = ANY(%(runs)s) AND NOT child.id = ANY(%(runs)s) AND child.source IS DISTINCT FROM above.source
ORDER BY child.id
"""
_PRICED = "SELECT EXISTS (SELECT FROM workbench.agent_executions WHERE id = ANY(%(runs)s) AND cost_source = 'prices')"
_HANG = """
UPDATE workbench.agent_executions SET parent_execution_id = %(run)s,
  parent_event_id = (SELECT id FROM workbench.observability_events WHERE id = %(event)s)
WHERE id = %(child)s AND EXISTS (SELECT FROM workbench.agent_executions WHERE id = %(run)s)
"""
_COUNTS = """
SELECT (SELECT count(*) FROM workbench.agent_executions WHERE id = ANY(%(runs)s)),
  (SELECT count(*) FROM workbench.observability_events WHERE execution_id = ANY(%(runs)s)),
  (SELECT count(*) FROM workbench.execution_snapshots WHERE execution_id = ANY(%(runs)s))
"""
_TASKS = "SELECT id, source_id, created_at FROM workbench.tasks WHERE import_id = %s AND row_version = 1"
_TRIES = """
SELECT id, task_id FROM workbench.agent_executions WHERE task_id = ANY(%s) AND NOT id = ANY(%s)
"""
_TRY_AGAIN = """
UPDATE workbench.agent_executions SET task_id = %s
WHERE id = %s AND EXISTS (SELECT FROM workbench.tasks WHERE id = %s)
"""
