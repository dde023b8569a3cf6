"""``connect()`` and :class:`Workbench`: wiring only. Each method names the room that does the work."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, Unpack

from ._typing import (
    EnvironmentFilters,
    EventFilters,
    ExecutionFilters,
    ImportFilters,
    QuarantineFilters,
    RunFilters,
    SnapshotFilters,
    TaskFilters,
    takes,
)
from .errors import ConfigurationError

if TYPE_CHECKING:
    from uuid import UUID

    import polars as pl

    from ._predicates import Predicate
    from .data.costs.pricing import Priced
    from .data.export.disclosure import Disclosure
    from .data.frames.load import Frames
    from .data.ingest import FileReport, IngestReport
    from .data.ingest.prune import Pruned
    from .data.ingest.undo import Undo
    from .data.ingest.watch import Watch
    from .data.store.engine import Store
    from .data.store.health import Health
    from .data.store.records import Execution
    from .data.store.repository import Repository
    from .memory import MemoryStore
    from .replay.capture.delivery import Delivered
    from .replay.capture.recording import Recording
    from .replay.cohort import Cohort
    from .replay.compare import Diff
    from .replay.player import Replay
    from .replay.rerun import Rerun


def connect(
    url: str | None = None,
    *,
    home: str | Path | None = None,
    read_only: bool = False,
    lazy: bool = False,
    **settings: Any,
) -> Workbench:
    """Open a workbench.

    Parameters
    ----------
    url
        Any Postgres, ``postgresql://user:password@host/database``. Without it (and without ``WORKBENCH_DATABASE_URL``)
        an embedded Postgres is started, or attached to when it runs already.
    home
        Folder of the embedded server's data; else ``WORKBENCH_HOME``, else the platform's data folder. Given, it means
        that server, whatever ``WORKBENCH_DATABASE_URL`` says.
    read_only
        Refuse every write, here and in the server; the schema is not upgraded.
    lazy
        Do not ask the database now: for an agent that has to start also while it is away. What ``bench.record()``
        captures waits on disk; the first delivery brings the schema up to date. An embedded server is started all the
        same.
    **settings
        Any field of :class:`workbench.settings.Settings`, e.g. ``statement_timeout_s=30``.

    Returns
    -------
    Workbench
        Open, its schema up to date, with what killed processes had captured for this database. Close it with
        ``close()`` or use it in a ``with``.

    Raises
    ------
    ConfigurationError
        A setting or the URL cannot be used; ``url`` and ``home`` were both given.
    StoreUnavailableError, ServerError
        No answer from the database; the embedded server did not start.
    SchemaError
        The schema is newer than this version, or (``read_only``) older.
    """
    from .data.store.engine import Store
    from .settings import Settings

    if url is not None and home is not None:
        raise ConfigurationError("url and home exclude each other: a server, or the embedded one in a folder.")
    given = {"database_url": url, "home": home, **settings}
    loaded = Settings.load(**{k: v for k, v in given.items() if v is not None})
    store = Store.open(loaded, read_only=read_only, migrate=not lazy)
    if not read_only and not lazy and loaded.spool_dir.is_dir():
        from .replay.capture import deliver_soon

        deliver_soon(store)
    return Workbench(store)


class Workbench:
    """An open connection with its rooms. Made by :func:`connect`."""

    def __init__(self, store: Store) -> None:
        self.store = store

    # -- the connection ------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Let go of the database; the last one out stops an embedded server."""
        self.store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Workbench({self.store})"

    def health(self) -> Health:
        """What works and what does not, each with the reason and what to do."""
        from .data.store.health import health

        return health(self.store)

    # -- frames --------------------------------------------------------------------------------------------------

    @property
    def frames(self) -> Frames:
        """Postgres → Polars."""
        from .data.frames.load import Frames
        from .data.frames.settled import settle

        settle(self.store)
        return Frames(self.store)

    @takes(ExecutionFilters)
    def executions(self, **filters: Unpack[ExecutionFilters]) -> pl.DataFrame:
        """Runs, newest first; those without times last. See :meth:`workbench.data.frames.load.Frames.executions`."""
        return self.frames.executions(**filters)

    def tree(self, run: Any) -> pl.DataFrame:
        """A run and all runs below it. See :meth:`workbench.data.frames.load.Frames.tree`."""
        return self.frames.tree(run)

    @takes(EventFilters)
    def events(self, run: Any = None, **filters: Unpack[EventFilters]) -> pl.DataFrame:
        """Events in step order. See :meth:`workbench.data.frames.load.Frames.events`."""
        return self.frames.events(run, **filters)

    @takes(SnapshotFilters)
    def snapshots(self, run: Any = None, **filters: Unpack[SnapshotFilters]) -> pl.DataFrame:
        """States in step order. See :meth:`workbench.data.frames.load.Frames.snapshots`."""
        return self.frames.snapshots(run, **filters)

    @takes(TaskFilters)
    def tasks(self, **filters: Unpack[TaskFilters]) -> pl.DataFrame:
        """Tasks, newest first. See :meth:`workbench.data.frames.load.Frames.tasks`."""
        return self.frames.tasks(**filters)

    @takes(EnvironmentFilters)
    def environments(self, **filters: Unpack[EnvironmentFilters]) -> pl.DataFrame:
        """Environments. See :meth:`workbench.data.frames.load.Frames.environments`."""
        return self.frames.environments(**filters)

    @takes(ImportFilters)
    def imports(self, **filters: Unpack[ImportFilters]) -> pl.DataFrame:
        """Files that were ingested, newest first. See :meth:`workbench.data.frames.load.Frames.imports`."""
        return self.frames.imports(**filters)

    @takes(QuarantineFilters)
    def quarantine(self, **filters: Unpack[QuarantineFilters]) -> pl.DataFrame:
        """What could not be read, newest first. See :meth:`workbench.data.frames.load.Frames.quarantine`."""
        return self.frames.quarantine(**filters)

    @takes(ExecutionFilters)
    def costs(self, *, by: str | None = None, **filters: Unpack[ExecutionFilters]) -> pl.DataFrame:
        """Tokens and cost by run or group, and what is unpriced. See :func:`workbench.data.costs.ledger.costs`."""
        return self.frames.costs(by=by, **filters)

    @takes(RunFilters)
    def find(
        self,
        predicate: Predicate | str,
        run: Any = None,
        *,
        first: bool = False,
        limit: int | None = None,
        after: Any = None,
        labels: bool = True,
        **filters: Unpack[RunFilters],
    ) -> pl.DataFrame:
        """The steps of all runs at which a predicate holds. See :func:`workbench.data.frames.find.find`."""
        return self.frames.find(predicate, run, first=first, limit=limit, after=after, labels=labels, **filters)

    def pages(self, frame: str, run: Any = None, *, size: int | None = None, **filters: Any) -> Iterator[pl.DataFrame]:
        """A frame of any size, page by page. See :meth:`workbench.data.frames.load.Frames.pages`."""
        return self.frames.pages(frame, run, size=size, **filters)

    def scan(self, frame: str, run: Any = None, **filters: Any) -> pl.LazyFrame:
        """A frame larger than memory, lazily. See :meth:`workbench.data.frames.load.Frames.scan`."""
        return self.frames.scan(frame, run, **filters)

    def sql(self, query: str, params: Sequence[Any] | None = None, *, limit: int | None = None) -> pl.DataFrame:
        """Read-only SQL on Postgres. See :meth:`workbench.data.frames.load.Frames.sql`."""
        return self.frames.sql(query, params, limit=limit)

    def duckdb(self, query: str, params: Sequence[Any] | None = None, /, **frames: pl.DataFrame) -> pl.DataFrame:
        """DuckDB's SQL over the frames given by name. See :meth:`workbench.data.frames.load.Frames.duckdb`."""
        return self.frames.duckdb(query, params, **frames)

    # -- records -------------------------------------------------------------------------------------------------

    @property
    def records(self) -> Repository:
        """Validated create, get, list, update and delete: ``bench.records.tasks.create(…)``."""
        from .data.store.repository import Repository

        return Repository(self.store)

    def execution(self, run: Any) -> Execution:
        """One run by id, id prefix (4 characters or more), record, or a frame or series of one row.

        Raises
        ------
        NotFoundError
            No such run, or several share the prefix.
        ConfigurationError
            A frame or series of no row or several.
        """
        return self.records.executions.get(self.frames.run_id(run))

    # -- history in, comparison out --------------------------------------------------------------------------------

    def ingest(
        self,
        paths: str | Path | Iterable[str | Path],
        *,
        format: str | None = None,
        columns: Mapping[str, str] | None = None,
        progress: bool = True,
        keep_originals: bool = True,
        workers: int | None = None,
    ) -> IngestReport:
        """Read agent history from files and folders. See :func:`workbench.data.ingest.ingest`."""
        from .data.ingest import ingest

        return ingest(
            self.store,
            paths,
            format=format,
            columns=columns,
            progress=progress,
            keep_originals=keep_originals,
            workers=workers,
        )

    def watch(
        self,
        folder: str | Path,
        *,
        once: bool = False,
        force_polling: bool = False,
        keep_originals: bool = True,
        on_notice: Callable[[str], object] | None = None,
    ) -> Watch:
        """Keep importing the files of a folder as they grow. See :class:`workbench.data.ingest.watch.Watch`."""
        from .data.ingest.watch import Watch

        return Watch(
            self.store,
            folder,
            once=once,
            force_polling=force_polling,
            keep_originals=keep_originals,
            on_notice=on_notice,
        )

    def price(self, *, again: bool = False) -> Priced:
        """Give unpriced runs a cost from the table of prices. See :func:`workbench.data.costs.pricing.price`."""
        from .data.costs.pricing import price

        return price(self.store, again=again)

    def import_report(self, import_id: Any) -> FileReport:
        """What became of a file when it was read last, by the id of its import or the first characters of it.

        Raises
        ------
        NotFoundError
            No such import, or several begin so.
        """
        from .data.ingest.retry import report_of

        return report_of(self.store, import_id)

    def retry(self, which: Any = None) -> IngestReport:
        """Read again what is in the quarantine, with this version. See :func:`workbench.data.ingest.retry.retry`."""
        from .data.ingest.retry import retry

        return retry(self.store, which)

    def export(
        self, run: Any, output: str | Path | None = None, *, format: str = "original", **options: Any
    ) -> bytes | Path:
        """Write one run as a file that other tools read. See :func:`workbench.data.export.export`."""
        from .data.export import export

        return export(self.store, self.frames.run_id(run), output, format=format, **options)

    def export_bundle(
        self, run: Any, output: str | Path | None = None, *, originals: bool = False, preview: bool = False
    ) -> Path | Disclosure:
        """Write one run as one file to hand on, without secrets. See :func:`workbench.data.export.bundle.bundle`."""
        from .data.export.bundle import bundle, disclosure

        of = self.frames.run_id(run)
        if preview:
            return disclosure(self.store, of, originals=originals)
        return bundle(self.store, of, output, originals=originals)

    def undo(self, import_id: Any, *, dry_run: bool = False) -> Undo:
        """Take an import back, as if it had never been. See :func:`workbench.data.ingest.undo.undo`."""
        from .data.ingest.undo import undo

        return undo(self.store, import_id, dry_run=dry_run)

    def secrets(self, run: Any = None) -> pl.DataFrame:
        """Where passwords, tokens and keys stand in the runs; never what they are.

        Parameters
        ----------
        run
            As in :meth:`events`; ``None`` = all.

        Returns
        -------
        polars.DataFrame
            ``execution_id``, ``event_id`` (null: in the run's own row or in a state), ``step_number``, ``place`` (JSON
            pointer into the event's data; else ``input/…``, ``error``, ``state/STEP/…``), ``rule``, ``digest`` (equal
            for equal secrets of one store, keyed with a secret of the store), ``shown`` (the issuer's public prefix,
            four characters at most, and the length).
        """
        from .data.frames.secrets import secrets

        return secrets(self.frames.transport, run)

    def rescan(self, run: Any = None) -> pl.DataFrame:
        """Look for secrets again: in runs written before there were marks, by a live capture, or under older rules.

        Returns what :meth:`secrets` then returns.
        """
        from .data.frames.runs import run_ids
        from .data.secrets.marks import rescan

        rescan(self.store, None if run is None else run_ids(self.frames.transport, run))
        return self.secrets(run)

    def record(self, *, agent_type: str | None = None, into: Any = None, **about: Any) -> Recording:
        """Capture a live run: a new one, or what goes on in a branch, as ``record(into=bench.fork(run, 12))``.

        See :class:`workbench.replay.capture.recording.Recording`, and
        :class:`workbench.replay.capture.continuing.Continued` for what is raised where the branch is taken already.
        """
        from .data.store.forks import importing

        with importing():
            from .replay.capture import record
        branch = None if into is None else self.frames.run_id(into)
        return record(self.store, agent_type=agent_type, into=branch, **about)

    def trace(self, function: Any = None, /, **about: Any) -> Any:
        """Decorate what is to be captured. See :func:`workbench.replay.capture.decorators.trace`."""
        from .data.store.forks import importing

        with importing():
            from .replay.capture.decorators import trace
        decorate = trace(store=self.store, **about)
        return decorate if function is None else decorate(function)

    def deliver(self) -> Delivered:
        """Bring what ended processes captured and could not deliver. See :mod:`workbench.replay.capture`.

        Raises
        ------
        StoreError
            The database is not there; nothing is lost.
        """
        from .replay.capture.delivery import delivery_of

        return delivery_of(self.store).deliver_left()

    def state(self, run: Any, step: int) -> Any:
        """The state of a run after a step, that of its last snapshot until then, as plain Python data.

        Raises
        ------
        NotFoundError
            No such run or step, or no snapshot at or before the step.
        """
        from .data.secrets.known import cleared
        from .data.store.snapshots import state_at

        return cleared(self.store, state_at(self.store, self.frames.run_id(run), step))

    def compare(self, a: Any, b: Any) -> Diff:
        """Align the steps of two runs and say where they part. See :func:`workbench.replay.compare.compare`."""
        from .replay.compare import compare_runs

        return compare_runs(self.frames, a, b)

    def replay(self, run: Any) -> Replay:
        """A cursor on a run; of a row of :meth:`find`, on its step. See :class:`workbench.replay.player.Replay`."""
        from .replay.player import Replay

        return Replay.of(self.frames, run)

    def fork(self, run: Any, step: int, **given: Any) -> UUID:
        """Make a branch that goes on from a step of a run. See :func:`workbench.replay.branches.fork`."""
        from .replay.branches import fork

        return fork(self.store, self.frames.run_id(run), step, **given)

    def rollback(self, run: Any, step: int, *, reason: str | None = None) -> UUID:
        """Go back to a step, destroying nothing. See :func:`workbench.replay.branches.rollback`."""
        from .replay.branches import rollback

        return rollback(self.store, self.frames.run_id(run), step, reason=reason)

    def prune(self, run: Any, **given: Any) -> Pruned:
        """Leave out stored states that nobody needs any more. See :func:`workbench.data.ingest.prune.prune`."""
        from .data.frames.runs import run_ids
        from .data.ingest.prune import prune

        return prune(self.frames, run_ids(self.frames.transport, run), **given)

    def rerun(self, run: Any, agent: Any, **given: Any) -> Rerun:
        """Run an agent again from a step of a run. See :func:`workbench.replay.rerun.rerun.rerun`."""
        from .replay.rerun import rerun

        return rerun(self.frames, self.frames.run_id(run), agent, **given)

    def to_pytest(self, run: Any, path: str | Path, **given: Any) -> Path:
        """Write a run as a test of its agent. See :func:`workbench.replay.to_test.to_pytest`."""
        from .replay.to_test import to_pytest

        return to_pytest(self.frames, self.frames.run_id(run), path, **given)

    def branches(self, run: Any) -> pl.DataFrame:
        """All branches of a run's root. See :meth:`workbench.data.frames.load.Frames.branches`."""
        return self.frames.branches(run)

    def notes(self, run: Any) -> pl.DataFrame:
        """Notes, pins and checkpoints of a run. See :meth:`workbench.data.frames.load.Frames.notes`."""
        return self.frames.notes(run)

    def origin(self, run: Any, path: str, *, step: int | None = None, **options: Any) -> pl.DataFrame:
        """Who wrote a value of the state, and what that came from. See :func:`workbench.replay.provenance.origin`."""
        from .replay.provenance import origin

        return origin(self.frames, run, path, step=step, **options)

    @takes(ExecutionFilters)
    def cohort(self, *, runs: Any = None, good: Any = None, **filters: Unpack[ExecutionFilters]) -> Cohort:
        """Align the good and the failed runs of one task: ``cohort(task="…")`` or ``cohort(runs=frame)``.

        See :func:`workbench.replay.cohort.cohort_of` for what is good and what is raised.
        """
        from .replay.cohort import cohort_of

        return cohort_of(self.frames, runs=runs, good=good, **filters)

    def suspects(self, run: Any, **given: Any) -> pl.DataFrame:
        """Rank the steps of a failed run: where to begin to read. See :func:`workbench.replay.suspects.suspects`."""
        from .replay.suspects import suspects

        return suspects(self.frames, run, **given)

    def note(self, run: Any, step: int, **given: Any) -> UUID:
        """Put a note, pin or named checkpoint on a step. See :func:`workbench.replay.notes.add_note`."""
        from .replay.notes import add_note

        return add_note(self.store, self.frames.run_id(run), step, **given)

    def context(self, run: Any, step: int | None = None, **options: Any) -> pl.DataFrame:
        """What the model saw at a step, or one row per model call. See :func:`workbench.replay.context.context`."""
        from .replay.context import context

        return context(self.frames, run, step, **options)

    @property
    def memory(self) -> MemoryStore:
        """What agents remember."""
        from .memory import MemoryStore

        return MemoryStore(self.store)

    def report(
        self,
        run: Any = None,
        *,
        output: str | Path,
        since: str | datetime | None = None,
        redact: bool = True,
        **parameters: Any,
    ) -> Path:
        """Write one self-contained HTML file about a run, or about all runs. See :func:`workbench.reports.report`."""
        from .reports import report

        return report(self, run, output=output, since=since, redact=redact, **parameters)
