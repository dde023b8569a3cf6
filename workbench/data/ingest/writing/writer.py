"""Write the runs of one file: tasks, executions, events, states, and the record of the import."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import Any, Self

import psycopg

from workbench.data.ingest.detect import Reader, import_of
from workbench.data.ingest.ids import clean, key
from workbench.data.ingest.ledger.quarantine import Quarantine
from workbench.data.ingest.ledger.turns import Turn
from workbench.data.ingest.normal import BadLine, Run, Steps
from workbench.data.ingest.reading.marks import mark
from workbench.data.ingest.reading.source import Source
from workbench.data.ingest.report import MAX_BAD_LINES, Counts, FileReport, Item
from workbench.data.ingest.writing.absent import Absent
from workbench.data.ingest.writing.ahead import Ahead
from workbench.data.ingest.writing.joined import Joiner
from workbench.data.ingest.writing.links import AMBIGUOUS, Links
from workbench.data.ingest.writing.merge import Merger
from workbench.data.ingest.writing.rows import (
    EVENT_COLUMNS,
    EXECUTION_COLUMNS,
    SNAPSHOT_COLUMNS,
    TASK_COLUMNS,
    Chunk,
    RowMaker,
    n_states,
)
from workbench.data.secrets.marks import Marks
from workbench.data.secrets.passes import passes
from workbench.data.secrets.redact import Redactor
from workbench.data.store.copy import copy_rows
from workbench.data.store.course import realign
from workbench.data.store.storable import storable
from workbench.data.store.tables import agent_executions, execution_snapshots, observability_events

_BATCH_STEPS = 5_000  # runs are written together up to this many steps; one long run is written alone


@dataclass(slots=True, frozen=True)
class Rebuilt:
    """What of a file is built anew although it was imported before: these runs, and the tasks of these names."""

    runs: frozenset[uuid.UUID]
    tasks: frozenset[str]


class Writer:
    """Writes the runs of one file inside the connection's transaction, and counts what it writes.

    Inside its ``with`` the connection is its own: rows are sent while the next runs are read.

    Parameters
    ----------
    keep
        Keeps the file itself, when the first new run of it is written.
    is_live
        There is no file: what a live program tells is written without a record of an import.
    """

    def __init__(
        self,
        connection: psycopg.Connection,
        reader: Reader,
        source: Source,
        turn: Turn,
        *,
        with_prices: bool = True,
        keep: Callable[[], None] | None = None,
        rebuilt: Rebuilt | None = None,
        is_live: bool = False,
    ) -> None:
        format = reader.FORMAT
        self._connection = connection
        self._ahead = Ahead(self._cancel)
        self._turn = turn
        self._with_prices = with_prices
        self._keep = keep
        self._format = format
        self._links = Links(reader)
        self._is_open = getattr(reader, "is_open", None)
        self._marks_itself = getattr(reader, "MARKS", False)
        self._secrets = Marks(connection)
        self._source = source
        self._import = None if is_live else import_of(reader, source)
        self._maker = RowMaker(format, source, self._import)
        self._runs: dict[uuid.UUID, Run] = {}
        self._seen: set[uuid.UUID] = set()
        self._n_steps = 0
        self._held = Counts()
        self._new = Counts()
        self._updated = 0
        self._bad: list[BadLine] = []
        self._quarantine = Quarantine(source, format)
        self._n_bad = 0
        self.is_first = is_live or self._begin()
        self._rebuilt = rebuilt
        joiner = Joiner(connection, reader, source, self._import)
        is_reread = not self.is_first and rebuilt is None
        self._merger = Merger(connection, self._maker, joiner, is_reread=is_reread, damage=self._damage)

    def _damage(self) -> int:
        """How much of the file was found damaged so far."""
        return self._n_bad + self._source.n_mended

    def _begin(self) -> bool:
        """Begin the record of the import; whether these bytes were never imported before."""
        source = self._source
        written = self._connection.execute(
            "INSERT INTO workbench.imports (id, source, path, sha256, size_bytes) VALUES (%s, %s, %s, %s, %s) "
            "ON CONFLICT (id) DO NOTHING",
            [self._import, self._format, clean(source.stored_path), source.sha256, source.size_bytes],
        ).rowcount
        return bool(written)

    def __enter__(self) -> Self:
        self._ahead.__enter__()
        self._ahead.do(passes)  # compiled while the first runs are read
        return self

    def __exit__(self, *error: Any) -> None:
        self._ahead.__exit__(*error)

    def _cancel(self) -> None:
        """Let the server give up what it is doing for this connection: it may be waiting for another ingest."""
        with suppress(psycopg.Error):  # a server that cannot be asked has nothing to give up; the first error is told
            self._connection.cancel_safe()

    def bad(self, bad: BadLine) -> None:
        """Note a part of the file that cannot be read."""
        self._n_bad += 1
        self._quarantine.add(bad)
        if len(self._bad) < MAX_BAD_LINES:
            self._bad.append(replace(bad, data=None))

    def add(self, run: Run) -> None:
        """Write a run, now or together with the next ones."""
        execution = self._maker.id_of(run)
        if self._rebuilt is not None and execution not in self._rebuilt.runs:
            if run.task is not None and key(run.task.source_id) in self._rebuilt.tasks:
                self._ahead.finish()
                self._write_tasks([run])
            return
        if execution in self._seen:
            self._add_repeated(execution, run)
            return
        self._seen.add(execution)
        self._mark(run)
        if self._runs and self._n_steps + len(run.steps) > _BATCH_STEPS:
            self._flush()
        self._runs[execution] = run
        self._n_steps += len(run.steps)
        self._links.add(run)

    def _mark(self, run: Run) -> None:
        if not self._marks_itself and not isinstance(run.steps, Steps):
            mark(run.steps, self._is_open)

    def _add_repeated(self, execution: uuid.UUID, run: Run) -> None:
        """A run that this file had before: whatever it says more becomes part of that one."""
        self._mark(run)
        self._source.changed("run id", "repeated in the file: the later run is taken as more of the earlier one")
        self._flush()
        self._ahead.finish()
        merged = self._merger.merge({execution: run})
        self._held += merged.new
        self._new += merged.new
        self._updated += merged.updated
        self._secrets.renew([execution])

    def finish(self) -> FileReport:
        """Write what is left and the record of the import."""
        self._flush()
        self._ahead.finish()
        if self._with_prices:
            self._price()
        if self._import is not None:
            self._name_runs()
        if n := self._links.write(self._connection, self._turn):  # a link may be told by the file that a run is of
            self._source.kept("link", AMBIGUOUS, n)
        self._secrets.write()
        for damage in self._source.damage:
            self.bad(damage)
        report = self._report()
        if self._rebuilt is not None or self._import is None:  # its record stays what it was, or there is none
            return report
        self._quarantine.write(self._connection, self._import)
        about: dict[str, object] = {"version": version("agent-workbench")}
        if self._source.columns:
            about["columns"] = dict(self._source.columns)  # without them the file could not be read again
        self._connection.execute(
            "UPDATE workbench.imports SET report = %s::jsonb WHERE id = %s",
            [storable(report.as_dict() | about).text, self._import],
        )
        return report

    def _price(self) -> None:
        """Give runs without a cost what the table of prices says, and note why others stay without."""
        from workbench.data.costs.pricing import price_runs

        priced = price_runs(self._connection, list(self._seen))
        if priced.priced:
            self._source.kept("run cost", f"not in the source: priced by {priced.prices}", priced.priced)
        for reason, n in priced.reasons.items():
            self._source.kept("run without cost", f"not in the source: unpriced, {reason}", n)

    def _flush(self) -> None:
        runs, self._runs, self._n_steps = self._runs, {}, 0
        self._ahead.finish()  # the connection does one thing at a time
        if not runs:
            return
        self._write_tasks(runs.values())
        known = {
            row[0]
            for row in self._connection.execute(
                "SELECT id FROM workbench.agent_executions WHERE id = ANY(%s)", [list(runs)]
            )
        }
        if known:
            self._turn.meets_known()
        self._write_known({execution: run for execution, run in runs.items() if execution in known})
        self._write_new([run for execution, run in runs.items() if execution not in known])

    def _write_tasks(self, runs: Iterable[Run]) -> None:
        tasks = {self._maker.task(run.task): None for run in runs if run.task is not None}
        if tasks:
            self._connection.cursor().executemany(_TASK, tasks)

    def _write_new(self, runs: list[Run]) -> None:
        if not runs:
            return
        maker, connection = self._maker, self._connection
        for run in runs:
            maker.count(run)
        rows = [maker.execution(run) for run in runs]
        copy_rows(connection, agent_executions, EXECUTION_COLUMNS, rows)
        self._secrets.add("runs", EXECUTION_COLUMNS, rows)
        added = Counts(len(runs))
        if self._keep is not None:  # packing the file costs the server nothing: rows are made meanwhile
            self._ahead.do(self._keep)
            self._keep = None
        for chunk in maker.chunks(runs):
            self._ahead.do(self._write_chunk, chunk)
            added += Counts(0, len(chunk.events), len(chunk.snapshots))
        for run in runs:
            if run.gaps:
                self._ahead.finish()
                Absent(connection, ()).add(maker.id_of(run), run.gaps)
        self._held += added
        self._new += added

    def _write_chunk(self, chunk: Chunk) -> None:
        if chunk.events:
            copy_rows(self._connection, observability_events, EVENT_COLUMNS, chunk.events)
            self._secrets.add("events", EVENT_COLUMNS, chunk.events)
        if chunk.snapshots:
            copy_rows(self._connection, execution_snapshots, SNAPSHOT_COLUMNS, chunk.snapshots)
            self._secrets.add("states", SNAPSHOT_COLUMNS, chunk.snapshots)

    def _write_known(self, runs: dict[uuid.UUID, Run]) -> None:
        if not runs:
            return
        merged = self._merger.merge(runs)
        if merged.updated or merged.new != Counts():
            self._secrets.renew(runs)
            realign(self._connection, runs)
        for run in runs.values():
            self._maker.count(run)
            self._maker.count_steps(run)
            self._held += Counts(1, len(run.steps), n_states(run))
        self._new += merged.new
        self._updated += merged.updated
        if merged.unions:
            self._source.changed("run", "other files hold other parts of it: stored as one run", merged.unions)

    def _name_runs(self) -> None:
        """Record which runs the file holds, whoever wrote them first, and how they are left by it."""
        self._connection.execute(
            "INSERT INTO workbench.import_runs (import_id, execution_id, row_version) "
            "SELECT %s, id, row_version FROM workbench.agent_executions WHERE id = ANY(%s) "
            "ON CONFLICT (import_id, execution_id) DO UPDATE SET row_version = excluded.row_version",
            [self._import, list(self._seen)],
        )

    def _report(self) -> FileReport:
        notes: dict[str, list[Item]] = {"kept": [], "changed": [], "lost": []}
        for what, n in self._maker.kept.items():
            if n:
                notes["kept"].append(Item(what, n))
        tell = Redactor().text  # a key or a model's name may be a secret, and reports are shown to others
        for note, n in self._source.notes.items():
            notes[note.kind].append(Item(tell(note.what), n, tell(note.why)))
        unknown: Counter[str] = Counter()
        for field, n in self._maker.fidelity.unknown.most_common():
            unknown[tell(field)] += n
        return FileReport(
            path=self._source.name,
            format=self._format,
            executions=self._held.executions,
            events=self._held.events,
            snapshots=self._held.snapshots,
            new=self._new,
            updated=self._updated,
            bad=tuple(replace(bad, reason=tell(bad.reason)) for bad in self._bad),
            n_bad=self._n_bad,
            sha256=self._source.sha256,
            size_bytes=self._source.size_bytes,
            secrets=dict(self._secrets.counts),
            fields=dict(self._maker.fidelity.fields),
            unknown=dict(unknown),
            kept=tuple(notes["kept"]),
            changed=tuple(notes["changed"]),
            lost=tuple(notes["lost"]),
        )


# Runs that tell a task differently: the fuller telling stays, whichever is read first; one changed by hand stays too.
_FULLNESS = (
    "length({0}.metadata::text) + coalesce(length({0}.description), 0), "
    '(concat_ws(chr(10), {0}.title, {0}.description, {0}.metadata::text)) COLLATE "C"'
)
_TASK = f"""
INSERT INTO workbench.tasks AS old ({", ".join(TASK_COLUMNS)}) VALUES (%s, %s, %s, %s::jsonb, %s, %s, %s)
ON CONFLICT (source, source_id) DO UPDATE SET title = excluded.title, description = excluded.description,
  metadata = excluded.metadata, import_id = excluded.import_id
WHERE old.row_version = 1 AND old.import_id IS NOT NULL
  AND ({_FULLNESS.format("excluded")}) > ({_FULLNESS.format("old")})
"""
