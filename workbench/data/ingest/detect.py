"""Which files there are and which reader each of them needs, told by what is in the file."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

from workbench.data.ingest.ids import import_id
from workbench.data.ingest.reading.damage import damage, emptiness
from workbench.data.ingest.reading.source import Head, Source
from workbench.data.ingest.reading.table import TABLE_NAMES
from workbench.data.ingest.registry import READERS, Reader, broken, names, reader, usable
from workbench.errors import IngestError, UnknownFormatError

__all__ = [
    "READERS",
    "SURE_ENOUGH",
    "Found",
    "Reader",
    "Skipped",
    "choose",
    "database_reader",
    "find",
    "import_of",
    "reader",
]

# Those that read the tables of a database too: their module has ``parts(url) -> Iterator[Part]``.
_OF_DATABASES = ("langgraph",)
SURE_ENOUGH = 0.5
_LATER_LINES = 10


@dataclass(slots=True, frozen=True)
class Found:
    """A file to look at. ``is_named``: the user named it, it was not met while walking a folder."""

    path: Path
    is_named: bool


@dataclass(slots=True, frozen=True)
class Skipped:
    """A file or folder that was passed over, and why."""

    path: str
    reason: str


class DatabaseReader(Reader, Protocol):
    """The shape of a module that reads a database too."""

    parts: Callable[[str], Iterator[Source]]


def database_reader(name: str | None) -> DatabaseReader:
    """The reader of the tables behind a URL.

    Raises
    ------
    UnknownFormatError
        There is no such format, or it is one of files.
    """
    if name is not None and name not in _OF_DATABASES:
        raise UnknownFormatError(
            f"The format {name!r} is read from files, not over a connection. Formats read from a database: "
            f"{', '.join(_OF_DATABASES)}.",
            format=name,
            known=_OF_DATABASES,
        )
    return cast(DatabaseReader, reader(name or _OF_DATABASES[0]))


def import_of(chosen: Reader, source: Source) -> uuid.UUID:
    """The id of the import of a file: of its bytes, and of what a reader takes from its path (``placed(source)``).

    Where the path says which run a file is of, the same bytes elsewhere are of another run: no copy.
    """
    placed = getattr(chosen, "placed", None)
    place = None if placed is None else placed(source)
    return import_id(chosen.FORMAT, source.import_key if place is None else f"{source.import_key}?{place}")


def choose(source: Source, *, format: str | None = None) -> Reader:
    """The reader for a file: the named format, or the one that recognises the file most surely.

    Raises
    ------
    UnknownFormatError
        No reader recognises the file; the text says how to force one.
    IngestError
        The file is damaged; the text says how.
    """
    nothing = emptiness(source)
    if nothing is None:
        if format is not None:
            return reader(format)
        for head in _heads(source.head):
            sure, best = max(((each.detect(head), each) for each in usable()), key=lambda found: found[0])
            if sure >= SURE_ENOUGH:
                return best
    broken = nothing if format is not None else damage(source)
    if broken is not None:
        raise IngestError(f"{source.name}: {broken}.", path=source.name)
    reason = (nothing or _looks_like(source.head)) + _broken()
    raise UnknownFormatError(
        f"{source.name}: {reason}. Known formats: {', '.join(names())}. "
        f"If it is one of these, name it: ingest(path, format={names()[0]!r}).",
        path=source.name,
        reason=reason,
        known=names(),
    )


def _heads(head: Head) -> Iterator[Head]:
    """The beginning of a file and, if that tells nothing, of JSON lines what begins at a later line.

    Readers tell a file by its first line, which may be the damaged one.
    """
    yield head
    lines = head.data.splitlines(keepends=True)
    if 2 * sum(line.startswith(b"{") for line in lines) < max(len(lines), 3):
        return
    at = 0
    for line in lines[:_LATER_LINES]:
        at += len(line)
        if head.data.startswith(b"{", at):
            yield Head(head.name, head.data[at:], is_whole=head.is_whole)


def _broken() -> str:
    """The readers of packages that could have known the file, had they worked."""
    return "".join(f"; the reader {each.name!r} was left out: {(each.error or '').rstrip('.')}" for each in broken())


# Formats that other tools write and that have no reader here yet: they are named, so that a skipped file is no riddle.
_NO_READER_YET: tuple[tuple[str, Callable[[frozenset[str]], Any]], ...] = (
    ("a browser's localStorage", lambda keys: {"task-store", "origins.localStorage"} & keys),
)


def _looks_like(head: Head) -> str:
    for name, is_it in _NO_READER_YET:
        if is_it(head.keys):
            return f"looks like {name}, which this version cannot read"
    if head.name.lower().endswith(TABLE_NAMES):
        return "a table: name its columns, ingest(path, columns={'text': 'message'}), where it holds agent history"
    return "not agent history in any format this version reads"


def find(paths: str | Path | Iterable[str | Path]) -> tuple[list[Found], list[Skipped]]:
    """The files under some paths, each once, folders walked in the order of names.

    Hidden files and folders below a named folder are left out, and so is whatever is no regular file. A link to a
    folder is followed once.

    Raises
    ------
    IngestError
        A path does not exist.
    """
    named: Sequence[str | Path] = [paths] if isinstance(paths, (str, Path)) else list(paths)
    found: list[Found] = []
    skipped: list[Skipped] = []
    seen: set[Path] = set()
    for path in (Path(p).expanduser() for p in named):
        if path.is_dir():
            candidates = [Found(p, is_named=False) for p in _walk(path, skipped)]
        elif path.is_file():
            candidates = [Found(path, is_named=True)]
        elif path.exists():
            raise IngestError(f"{path} is neither a file nor a folder.", path=str(path))
        else:
            raise IngestError(f"There is no file or folder {path}.", path=str(path))
        for candidate in candidates:
            real = candidate.path.resolve()
            if real not in seen:
                seen.add(real)
                found.append(candidate)
    return found, skipped


def _walk(root: Path, skipped: list[Skipped]) -> Iterator[Path]:
    seen: set[tuple[int, int]] = set()

    def refused(error: OSError) -> None:
        skipped.append(Skipped(str(error.filename), f"cannot be opened: {error.strerror}"))

    for folder, inner, files in os.walk(root, followlinks=True, onerror=refused):
        stat = Path(folder).stat()
        if (stat.st_dev, stat.st_ino) in seen:  # a link back to a folder above, or a second way to this one
            inner.clear()
            continue
        seen.add((stat.st_dev, stat.st_ino))
        inner[:] = sorted(name for name in inner if not name.startswith("."))
        for name in sorted(files):
            path = Path(folder, name)
            if not name.startswith(".") and path.is_file():
                yield path
