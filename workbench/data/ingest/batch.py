"""Read files of agent history into the store: each file in one transaction, each run once however often it is read."""

from __future__ import annotations

import gc
import sys
import traceback
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg

from workbench.data.ingest.crew import Crew, Task, n_workers
from workbench.data.ingest.detect import Found, Reader, Skipped, choose, database_reader, find, import_of, reader
from workbench.data.ingest.ids import clean
from workbench.data.ingest.ledger import originals
from workbench.data.ingest.ledger.quarantine import put_aside
from workbench.data.ingest.ledger.turns import BLOCKS, NeedsTurn, Turn, is_collision, shared
from workbench.data.ingest.normal import BadLine
from workbench.data.ingest.reading.columns import checked
from workbench.data.ingest.reading.database import is_url, url_name
from workbench.data.ingest.reading.source import Source
from workbench.data.ingest.registry import HERE, Guarded
from workbench.data.ingest.report import Counts, FileReport, IngestReport
from workbench.data.ingest.writing.links import Links
from workbench.data.ingest.writing.writer import Writer
from workbench.errors import (
    ConfigurationError,
    ConflictError,
    IngestError,
    MissingExtraError,
    QueryError,
    StoreUnavailableError,
    UnknownFormatError,
    WorkbenchError,
)

if TYPE_CHECKING:
    from workbench.data.store.engine import Store

DEFECT = "a defect of Workbench kept it from being read"
_TRIES = 4  # of a file that meets others


def ingest(
    store: Store,
    paths: str | Path | Iterable[str | Path],
    *,
    format: str | None = None,
    columns: Mapping[str, str] | None = None,
    progress: bool = True,
    keep_originals: bool = True,
    workers: int | None = None,
) -> IngestReport:
    """Read agent history from files and folders.

    Each file is written in one transaction: it is in the store as a whole or not at all. Ids are made from the source's
    own ids, so reading a file again adds nothing, and reading a session that went on adds what is new.

    Parameters
    ----------
    store
        Where to.
    paths
        Files, or folders to walk (hidden files left out); ``.gz`` is read as it is. Or the URL of a Postgres in which
        LangGraph keeps its checkpoints (``postgresql://user:password@host/db?schema=…&thread=…``), where nothing is
        written.
    format
        A name that ``workbench formats`` lists (``tau2``, ``claude-code``, …); told from the content when not given.
    columns
        Which column of a table (CSV, TSV, JSON lines, Parquet) holds what, as ``{field: column}``; the fields are those
        of ``workbench.data.ingest.FIELDS``, a column may be a dotted path into nested JSON.
    progress
        Show a bar on stderr, in a terminal or notebook.
    keep_originals
        Keep the files themselves too, compressed, so that an import can be exported as it was, read again and undone.
    workers
        Processes that read files beside each other; 1 = this process alone. When not given: as many as there are
        processors, and this process alone for less than 50 MB.

    Returns
    -------
    IngestReport
        Per file: what it holds, what of it is new, what was kept, changed or lost, and the lines that cannot be read.

    Raises
    ------
    UnknownFormatError
        The one file that was named is in no known format, or ``format`` names none.
    ConfigurationError
        ``columns`` names a field that there is not, or comes with another ``format``.
    IngestError
        A path does not exist, or the one file that was named cannot be read at all; the error's ``report`` says so in
        the shape that several files have.
    StoreUnavailableError
        The database went away; the text says which files are complete. Doing the same again completes the rest.
    """
    if columns is not None:
        if format not in (None, "columns"):
            raise ConfigurationError(f"columns= names the columns of a table; format={format!r} needs none.")
        format, columns = "columns", checked(columns)
    if format is not None:
        reader(format)  # a wrong name is an error before anything is read
    urls, paths = _urls(paths)
    try:
        found, skipped = find(paths)
    except IngestError as error:
        path = getattr(error, "path", "")
        _attach(error, _failed(error, path, None, format))
        raise
    is_alone = len(found) == 1 and found[0].is_named and not urls
    aside = partial(put_aside, store, keep_original=keep_originals)
    jobs, files = _plan(found, skipped, format, columns, is_alone=is_alone, aside=aside)
    is_wanted = progress and bool(jobs)
    with closing(_bar(sum(job.source.size_bytes for job in jobs), is_wanted=is_wanted)) as bar:
        batch = _Batch(store, files, bar, is_alone=is_alone, keep_originals=keep_originals)
        n = n_workers(workers, [job.source.size_bytes for job in jobs])
        if n > 1:
            batch.read_with(n, [job for job in jobs if _has_name(job.reader)])
        batch.read(job for job in jobs if files[job.place] is None)
    for url in urls:
        _ingest_database(store, url, format, files, is_alone=len(urls) == 1 and not paths)
    return IngestReport(tuple(file for file in files if file is not None), tuple(skipped))


def read_one(
    store: Store,
    path: str,
    format: str,
    *,
    columns: Mapping[str, str] | None,
    keep_originals: bool,
    on_read: Callable[[int], object],
) -> FileReport:
    """Read one file of several, in a process that was started for it; its failure is in its report."""
    try:
        source = Source.of(path)
    except IngestError as error:
        return _failed(error, path, None, format)
    assert source.sha256  # read before what is read counts
    source.columns = columns
    source.on_read = on_read
    return _guarded(store, _Job(source, reader(format), 0), is_alone=False, keep_originals=keep_originals)


def ingest_source(store: Store, source: Source, *, keep_originals: bool = True) -> FileReport:
    """Read one source in this process.

    Raises
    ------
    UnknownFormatError
        It is in no known format.
    IngestError
        It cannot be read at all; the error's ``report`` has what is known of the file.
    StoreUnavailableError
        The database went away; nothing of it was stored.
    """
    try:
        chosen = choose(source)
    except UnknownFormatError:
        raise
    except IngestError as error:
        _attach(error, _failed(error, source.name, source))
        raise
    return _guarded(store, _Job(source, chosen, 0), is_alone=True, keep_originals=keep_originals)


class _Batch:
    """The files of one ingest: the reports of those that are done, and the ways to read the others."""

    def __init__(
        self, store: Store, files: list[FileReport | None], bar: Any, *, is_alone: bool, keep_originals: bool
    ) -> None:
        self._store = store
        self._files = files
        self._bar = bar
        self._is_alone = is_alone
        self._keep_originals = keep_originals

    def read(self, jobs: Iterable[_Job]) -> None:
        """Read files in this process, one after the other."""
        bar = self._bar
        for job in jobs:
            bar.set_postfix_str(job.source.file_name[-40:], refresh=False)
            assert job.source.sha256  # read before the bar counts
            job.source.on_read = bar.update
            until = bar.n + job.source.size_bytes
            try:
                self._files[job.place] = _guarded(
                    self._store, job, is_alone=self._is_alone, keep_originals=self._keep_originals
                )
            except StoreUnavailableError as error:
                raise _broken_off(job, str(error), self._files) from error
            bar.update(until - bar.n)  # what is known is not read again
            job.source.forget()

    def read_with(self, n: int, jobs: list[_Job]) -> None:
        """Let other processes read files; what one of them fails at unexpectedly is left to this one."""
        by_place = {job.place: job for job in jobs}
        tasks = [
            Task(
                job.place,
                job.source.size_bytes,
                {
                    "path": job.source.name,
                    "format": job.reader.FORMAT,
                    "columns": job.source.columns and dict(job.source.columns),
                    "keep_originals": self._keep_originals,
                },
            )
            for job in jobs
        ]
        with Crew(self._store.settings_for_others(), n) as crew:
            for task, answer in crew.read(tasks, self._bar.update):
                job = by_place[task.place]
                self._bar.set_postfix_str(job.source.file_name[-40:], refresh=False)
                match answer.kind:
                    case "report":
                        self._files[job.place] = FileReport.from_dict(answer.value)
                    case "unavailable":
                        raise _broken_off(job, answer.value, self._files)
                    case "killed":
                        self._files[job.place] = _killed(job, answer.value)
                    case _:
                        self._bar.update(-task.size_bytes)  # read below, in this process


def _broken_off(job: _Job, said: str, files: Iterable[FileReport | None]) -> StoreUnavailableError:
    done = [file for file in files if file is not None and file.error is None]
    names = ", ".join(file.path for file in done) or "none"
    return StoreUnavailableError(
        f"The database failed while {job.source.name} was being read. {said} Nothing of that file was stored. "
        f"Complete: {names}. Ingest the same paths again to complete the rest.",
        path=job.source.name,
        complete=tuple(file.path for file in done),
        report=IngestReport(tuple(done)),
    )


def _has_name(chosen: Reader) -> bool:
    """Whether another process finds this reader by the name of its format."""
    return not (isinstance(chosen, Guarded) and chosen.origin == HERE)


def _killed(job: _Job, how: str) -> FileReport:
    error = (
        f"the process that read it was killed twice ({how}), perhaps because memory ran out. Nothing of this file was "
        "stored. Ingest it again, with workers=1."
    )
    return FileReport(job.source.name, job.reader.FORMAT, error=error, size_bytes=job.source.size_bytes)


def _urls(paths: str | Path | Iterable[str | Path]) -> tuple[list[str], list[str | Path]]:
    """What was named, URLs of databases apart."""
    named = [paths] if isinstance(paths, (str, Path)) else list(paths)
    urls = [path for path in named if isinstance(path, str) and is_url(path)]
    return urls, [path for path in named if path not in urls]


def _ingest_database(
    store: Store, url: str, format: str | None, files: list[FileReport | None], *, is_alone: bool
) -> None:
    """Read the parts of a database, each as if it were a file."""
    chosen = database_reader(format)
    try:
        for part in chosen.parts(url):
            files.append(None)
            job = _Job(part, chosen, len(files) - 1)
            # There are no bytes to keep: the original is the tables.
            try:
                files[-1] = _guarded(store, job, is_alone=False, keep_originals=False)
            except StoreUnavailableError as error:
                raise _broken_off(job, str(error), files) from error
    except IngestError as error:
        failed = _failed(error, url_name(url), None, chosen.FORMAT)
        if is_alone:
            _attach(error, failed)
            raise
        files.append(failed)


@dataclass(slots=True)
class _Job:
    source: Source
    reader: Reader
    place: int  # in the report


def _plan(
    found: list[Found],
    skipped: list[Skipped],
    format: str | None,
    columns: Mapping[str, str] | None,
    *,
    is_alone: bool,
    aside: Callable[[Source, str | None, str], None],
) -> tuple[list[_Job], list[FileReport | None]]:
    """Choose the readers. A file of another kind met in a folder is skipped; a damaged or a named one is a failure."""
    jobs: list[_Job] = []
    files: list[FileReport | None] = []
    for item in found:
        source = None
        try:
            source = Source.of(item.path)
            source.columns = columns
            chosen = choose(source, format=format)
            if columns is not None and not item.is_named and not chosen.detect(source.head):
                skipped.append(Skipped(str(item.path), "no table by its name"))
                continue
        except IngestError as error:
            if isinstance(error, UnknownFormatError) and not item.is_named:
                skipped.append(Skipped(str(item.path), getattr(error, "reason", None) or str(error)))
                continue
            failed = _failed(error, item.path, source)
            if source is not None and not isinstance(error, UnknownFormatError):
                aside(source, format, failed.error or str(error))
            if is_alone:
                _attach(error, failed)
                raise
            files.append(failed)
            continue
        source.forget()  # a folder may hold many thousand files
        jobs.append(_Job(source, chosen, len(files)))
        files.append(None)
    return jobs, files


def read_again(store: Store, source: Source, reader: Reader, *, keep_originals: bool) -> FileReport:
    """Read a file whose bytes were met before, for what this version finds in it and that one did not."""
    job = _Job(source, reader, 0)
    try:
        return _guarded(store, job, is_alone=False, keep_originals=keep_originals, is_retry=True)
    except StoreUnavailableError as error:
        raise _broken_off(job, str(error), []) from error


def _guarded(store: Store, job: _Job, *, is_alone: bool, keep_originals: bool, is_retry: bool = False) -> FileReport:
    try:
        report = _ingest_file(store, job.source, job.reader, keep_originals=keep_originals, is_retry=is_retry)
        if report.outcome == "failed":
            put_aside(store, job.source, job.reader.FORMAT, _nothing_in(report), keep_original=keep_originals)
        return report
    except (IngestError, MissingExtraError) as error:
        failed = _failed(error, job.source.name, job.source, job.reader.FORMAT)
        if isinstance(error, IngestError) and not hasattr(error, "columns"):  # a wrong column is no damage of the file
            put_aside(store, job.source, job.reader.FORMAT, failed.error or "", keep_original=keep_originals)
        if is_alone:
            _attach(error, failed)
            raise
        return failed
    except Exception as error:
        blamed = _blamed(error, job)
        if blamed is None:
            raise
        failed = _failed(blamed, job.source.name, job.source, job.reader.FORMAT)
        put_aside(store, job.source, job.reader.FORMAT, failed.error or "", keep_original=keep_originals)
        if is_alone:
            _attach(blamed, failed)
            raise blamed from error
        return failed


def _blamed(error: Exception, job: _Job) -> IngestError | None:
    """An error that costs its file and no other; ``None`` where it is not the file's."""
    if isinstance(job.reader, Guarded):  # a reader of another package handed on what nobody can store
        return job.reader.blamed(error, job.source)
    said = " ".join(str(error).split())[:300]
    if isinstance(error, QueryError) and not getattr(error, "is_cancelled", False):
        why = f"the database refused what was read of it. {said}"
    elif isinstance(error, WorkbenchError):
        return None
    else:
        try:
            job.source.check()  # a file that is rewritten while it is read can make any reader fail
        except IngestError as rewritten:
            return rewritten
        places = [frame for frame in traceback.extract_tb(error.__traceback__) if "workbench" in frame.filename]
        where = f" at {Path(places[-1].filename).name}:{places[-1].lineno}" if places else ""
        why = f"{DEFECT}: {type(error).__name__}{where}{said and f': {said}'}"
    return IngestError(
        f"{job.source.name}: {why.rstrip('.')}. Nothing of the file is stored. It is in the quarantine: a version of "
        "Workbench that can read it does so on retry.",
        path=job.source.name,
    )


def _nothing_in(report: FileReport) -> str:
    """Why nothing of a file could be read: what is wrong with its first part."""
    first = report.bad[0]
    where = "" if first.line is None else f"line {first.line}: "
    return f"none of its {report.n_bad:,} parts can be read; {where}{first.reason}"


def _failed(error: Exception, path: str | Path, source: Source | None, format: str | None = None) -> FileReport:
    """The report of a file of which nothing is stored; ``source`` is ``None`` where it cannot even be opened."""
    said = _said(error, path)
    if source is None:
        return FileReport(str(path), format, error=said)
    return FileReport(str(path), format, error=said, sha256=source.sha256, size_bytes=source.size_bytes)


def _attach(error: WorkbenchError, file: FileReport) -> None:
    """Give an error the report that its file would have among others."""
    error.report = IngestReport((file,))  # pyright: ignore[reportAttributeAccessIssue]


def _said(error: Exception, path: str | Path) -> str:
    """What an error says beside the path, which a report of the file names anyway."""
    return str(error).removeprefix(str(path)).lstrip(": ")


def _ingest_file(
    store: Store, source: Source, reader: Reader, *, keep_originals: bool = True, is_retry: bool = False
) -> FileReport:
    """Read a file beside others; where it meets what they bring, or what it adds to is there already, alone."""
    is_alone = False
    for last in (False,) * (_TRIES - 1) + (True,):
        try:
            report = _read_file(
                store, source, reader, is_alone=is_alone, keep_originals=keep_originals, is_retry=is_retry
            )
            if report.copy_of is not None and getattr(reader, "NAMES_FILES", False):
                _lies_too(store, source, reader)
            return report
        except NeedsTurn:
            pass
        except ConflictError as error:
            if last or not is_collision(error):
                raise
        is_alone = True
        source.restart()
    raise AssertionError("the last try returns or raises")


def _read_file(
    store: Store, source: Source, reader: Reader, *, is_alone: bool, keep_originals: bool, is_retry: bool
) -> FileReport:
    own = import_of(reader, source)
    with _without_gc(), store.raw() as connection, connection.transaction() as transaction:
        # Parsing a long file takes longer than any statement may.
        connection.execute("SET LOCAL statement_timeout = 0")
        connection.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
        if not is_retry and (known := _known(connection, own)):
            if keep_originals and source.size_bytes:
                _keep(connection, own, source)
            return _as_copy(connection, own, source, known)
        # A file that was read before has grown: its runs are there already.
        turn = Turn(connection, reader.FORMAT, is_alone=is_alone or _was_read(connection, source, reader.FORMAT))
        turn.take()
        if keep_originals:
            shared(connection, BLOCKS)  # asked for in this thread, which Ctrl+C reaches: an undo may take minutes
        keep = partial(_keep, connection, own, source) if keep_originals else None
        with Writer(connection, reader, source, turn, with_prices=store.settings.prices, keep=keep) as writer:
            for item in reader.read(source):
                if isinstance(item, BadLine):
                    writer.bad(item)
                else:
                    writer.add(item)
            report = writer.finish()
        if not writer.is_first:
            report = _as_copy(connection, own, source, report)
        is_nothing_new = report.outcome == "already there" and not writer.is_first and not is_retry
        if report.outcome in ("nothing found", "failed") or is_nothing_new:
            raise psycopg.Rollback(transaction)  # leaves no trace, not even a record of the import
        if keep is not None:
            keep()
    return report


def _keep(connection: psycopg.Connection, own: uuid.UUID, source: Source) -> None:
    """Keep the file of an import that has not got it yet."""
    row = connection.execute("SELECT blocks = '{}' FROM workbench.imports WHERE id = %s", [own]).fetchone()
    if row and row[0]:
        originals.record(connection, own, originals.keep(connection, source))


def _as_copy(connection: psycopg.Connection, own: uuid.UUID, source: Source, report: FileReport) -> FileReport:
    """The report of bytes that were ingested before: as what they are named now, and where they came from then."""
    row = connection.execute("SELECT path FROM workbench.imports WHERE id = %s", [own]).fetchone()
    first = row[0] if row and row[0] != clean(source.stored_path) else None
    return replace(report, path=source.name, copy_of=first)


def _lies_too(store: Store, source: Source, reader: Reader) -> None:
    """Note where a copy of known bytes lies, and link its runs by that path too: others may name that one."""
    path = clean(source.stored_path)
    about = {"own": import_of(reader, source), "path": path}
    with store.raw() as connection, connection.transaction():
        if not Path(path).is_absolute() or connection.execute(_IS_ELSEWHERE, about).fetchone() is None:
            return
        turn = Turn(connection, reader.FORMAT, is_alone=True)
        turn.take()
        links = Links(reader)
        for source_id, run in connection.execute(_HELD, about):
            links.add_stored(source_id, run)
        connection.execute(_LIES_TOO, about)
        links.write(connection, turn)


def _was_read(connection: psycopg.Connection, source: Source, format: str) -> bool:
    """Whether another state of the file was read before."""
    query = "SELECT EXISTS (SELECT FROM workbench.imports WHERE path = %s AND source = %s)"
    row = connection.execute(query, [clean(source.stored_path), format]).fetchone()
    return bool(row and row[0])


@contextmanager
def _without_gc() -> Iterator[None]:
    """Do not look for cycles among the values of a file: there are none, and the looking grows with the file.

    It takes a quarter of the client's time at 60 MB. The setting is the process's and is given back after each file.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _known(connection: psycopg.Connection, own: uuid.UUID) -> FileReport | None:
    """The report of the file if these very bytes were read before and all that came of them is still there.

    Only where every run of the file came from it first, so that counting its rows tells; and only if this version of
    Workbench read it, since another may find more in it.
    """
    row = connection.execute(_KNOWN, [own, own]).fetchone()
    if row is None:
        return None
    stored, *counts = row
    report = FileReport.from_dict(stored)
    if stored.get("version") != version("agent-workbench") or report.counts != Counts(*counts) or not report.executions:
        return None
    return replace(report, new=Counts(), updated=0)


_IS_ELSEWHERE = "SELECT FROM workbench.imports WHERE id = %(own)s AND path <> %(path)s AND NOT %(path)s = ANY(copies)"
_LIES_TOO = """
UPDATE workbench.imports SET copies = copies || %(path)s::text
WHERE id = %(own)s AND path <> %(path)s AND NOT %(path)s = ANY(copies)
"""
_HELD = """
SELECT run.source_id, run.id FROM workbench.import_runs AS held
JOIN workbench.agent_executions AS run ON run.id = held.execution_id WHERE held.import_id = %(own)s
"""

_KNOWN = """
WITH runs AS (SELECT id FROM workbench.agent_executions WHERE import_id = %s)
SELECT report, (SELECT count(*) FROM runs),
  (SELECT count(*) FROM workbench.observability_events WHERE execution_id IN (SELECT id FROM runs)),
  (SELECT count(*) FROM workbench.execution_snapshots WHERE execution_id IN (SELECT id FROM runs))
FROM workbench.imports WHERE id = %s
"""


def _bar(total: int, *, is_wanted: bool) -> Any:
    """A progress bar over bytes on stderr: text in a terminal, a widget in a notebook, nothing elsewhere."""
    if is_wanted and _in_notebook():
        from tqdm.auto import tqdm
    else:
        from tqdm import tqdm

        is_wanted = is_wanted and sys.stderr.isatty()
    return tqdm(total=total, unit="B", unit_scale=True, desc="ingest", disable=not is_wanted, file=sys.stderr)


def _in_notebook() -> bool:
    """Whether this runs in a Jupyter kernel that has widgets; tqdm warns where it has none."""
    return "ipykernel.kernelapp" in sys.modules and find_spec("ipywidgets") is not None
