"""Read again, with the readers of today, what an earlier version or state could not read."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg

from workbench.data.ingest.batch import read_again
from workbench.data.ingest.detect import choose, reader
from workbench.data.ingest.ledger.originals import opened
from workbench.data.ingest.report import FileReport, IngestReport
from workbench.errors import IngestError, MissingExtraError, NotFoundError

if TYPE_CHECKING:
    from workbench.data.store.engine import Store

_ID_CHARS = 4  # of an abbreviated id


def retry(store: Store, which: Any = None) -> IngestReport:
    """Read the kept originals of what is in the quarantine again.

    Parameters
    ----------
    which
        The id of an import, or of a row of the quarantine, or its first characters (4 or more); without it, all files
        with a row in the quarantine that is not solved.

    Returns
    -------
    IngestReport
        As of an ingest. Lines that could be read leave the quarantine; files that failed again are ``failed``.

    Raises
    ------
    NotFoundError
        No import and no row begins so, or several do.
    """
    with store.raw() as connection:
        if which is None:
            rows = connection.execute(_ALL).fetchall()
        else:
            rows = connection.execute(_ONE, {"id": found(connection, which)}).fetchall()
    return IngestReport(tuple(_again(store, _File(*row)) for row in rows))


def report_of(store: Store, which: Any) -> FileReport:
    """The report of an import, as it was when its file was read last.

    Raises
    ------
    NotFoundError
        No import begins so, or several do.
    """
    with store.raw() as connection:
        own = found(connection, which, only_imports=True)
        row = connection.execute("SELECT report FROM workbench.imports WHERE id = %s", [own]).fetchone()
    assert row is not None
    return FileReport.from_dict(row[0])


@dataclass(slots=True, frozen=True)
class _File:
    is_import: bool
    format: str | None
    path: str
    sha256: str
    size_bytes: int
    blocks: Sequence[bytes]
    columns: Mapping[str, str] | None  # of a table, as they were named


def _again(store: Store, file: _File) -> FileReport:
    try:
        with ExitStack() as stack:
            with store.raw() as connection:  # given back before the reading
                kept = opened(connection, file.blocks, path=file.path, sha256=file.sha256)
                source = stack.enter_context(kept)
            source.columns = file.columns
            assert file.format is not None or not file.is_import
            chosen = reader(file.format or "") if file.is_import else choose(source, format=file.format)
            return read_again(store, source, chosen, keep_originals=bool(file.blocks))
    except (IngestError, NotFoundError, MissingExtraError) as error:
        said = str(error).removeprefix(file.path).lstrip(": ")
        return FileReport(file.path, file.format, error=said, sha256=file.sha256, size_bytes=file.size_bytes)


def found(connection: psycopg.Connection, given: Any, *, only_imports: bool = False) -> uuid.UUID:
    """The id of the import or the row of the quarantine that begins so.

    Raises
    ------
    NotFoundError
        None, or several.
    """
    text = str(getattr(given, "id", given)).strip().lower()
    bare = text.replace("-", "")
    what, where = ("import", "bench.imports()") if only_imports else (
        "import or row of the quarantine", "bench.imports() and bench.quarantine()"
    )  # fmt: skip
    if not _ID_CHARS <= len(bare) <= 32 or not all(c in "0123456789abcdef" for c in bare):
        raise NotFoundError(
            f"No {what} {text!r}. Give an id, or its first {_ID_CHARS} characters or more. List them with {where}.",
            id=text,
        )
    bounds = {"low": bare.ljust(32, "0"), "high": bare.ljust(32, "f"), "imports": only_imports}
    ids = [row[0] for row in connection.execute(_FOUND, bounds)]
    if len(ids) == 1:
        return ids[0]
    if ids:
        raise NotFoundError(f"{len(ids)} or more begin with {text!r}: {', '.join(map(str, ids))}.", id=text)
    raise NotFoundError(f"No {what} {text!r}. List them with {where}.", id=text)


_COLUMNS = "source, path, sha256, size_bytes, blocks"
_FOUND = """
SELECT id FROM workbench.imports WHERE id BETWEEN %(low)s::uuid AND %(high)s::uuid
UNION ALL
SELECT id FROM workbench.quarantine WHERE NOT %(imports)s AND id BETWEEN %(low)s::uuid AND %(high)s::uuid
ORDER BY 1 LIMIT 6
"""
_ALL = f"""
SELECT true AS is_import, {_COLUMNS}, report->'columns' FROM workbench.imports own
WHERE EXISTS (SELECT FROM workbench.quarantine q WHERE q.import_id = own.id)
  AND NOT EXISTS (SELECT FROM workbench.imports i
    WHERE i.path = own.path AND i.sha256 <> own.sha256 AND i.created_at > own.created_at)
UNION ALL
SELECT false, {_COLUMNS}, NULL FROM workbench.quarantine q
WHERE q.import_id IS NULL AND NOT EXISTS (
  SELECT FROM workbench.imports i WHERE i.sha256 = q.sha256
    OR (i.path = q.path AND i.created_at > q.created_at))
ORDER BY path
"""
_ONE = f"""
SELECT true AS is_import, {_COLUMNS}, report->'columns' FROM workbench.imports
WHERE id = %(id)s OR id = (SELECT import_id FROM workbench.quarantine WHERE id = %(id)s)
UNION ALL
SELECT false, {_COLUMNS}, NULL FROM workbench.quarantine WHERE id = %(id)s AND import_id IS NULL
"""
