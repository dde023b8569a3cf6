"""One source file as the readers see it: its first bytes, its lines, its whole document, its checksum.

A ``.gz`` file is read transparently, and so is UTF-16 text. Damage (a cut gzip stream, a line that is not JSON) is
collected with its line number while everything readable is still handed on.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple, TypeVar

import orjson

from workbench.data.ingest.normal import BadLine
from workbench.data.ingest.reading.columns import variant
from workbench.data.ingest.reading.gunzip import Gunzip
from workbench.data.ingest.reading.outline import outline
from workbench.data.ingest.reading.parse import BAD_NUMBER, DUPLICATE_KEY, NOT_UTF8, Parsed, parse
from workbench.data.ingest.reading.utf16 import Utf16, codec_of
from workbench.data.store.storable import BIG_INT, DEEP
from workbench.errors import IngestError

T = TypeVar("T")

HEAD_BYTES = 64 * 1024
_GZIP_MAGIC = b"\x1f\x8b"
_BUFFER_BYTES = 1024 * 1024
_PARQUET = b"PAR1"
_UTF8_BOM = b"\xef\xbb\xbf"
_SHOWN_BYTES = 8


def bare(number: int, line: bytes) -> bytes:
    """A line without its end, the first without the mark of UTF-8."""
    return (line.removeprefix(_UTF8_BOM) if number == 1 else line).rstrip(b"\r\n")


# One of each is made for every line of every file: a frozen dataclass takes twice as long.
class Line(NamedTuple):
    """One line: its 1-based number and its bytes, without the line end."""

    number: int
    data: bytes


class Record(NamedTuple):
    """One parsed line. ``changed`` says how the value differs from the text (empty: it does not)."""

    line: int
    value: Any
    data: bytes
    changed: tuple[str, ...] = ()


class Ordered(NamedTuple):
    """A line and what tells its place: its own id, that of the line it says it stands behind, its time."""

    data: bytes
    own: str | None = None
    above: str | None = None
    at: datetime | None = None


class Note(NamedTuple):
    """One thing a reader kept in another place, changed or lost, and why."""

    kind: Literal["kept", "changed", "lost"]
    what: str
    why: str


@dataclass(frozen=True)
class Head:
    """The beginning of a file, from which a reader tells whether the file is one of its own.

    Attributes
    ----------
    name
        File name without a ``.gz`` ending.
    data
        The first 64 KiB, decompressed.
    is_whole
        ``data`` is the whole file.
    tail
        The last 64 KiB of a Parquet file, whose index is at its end; of other files nothing.
    """

    name: str
    data: bytes
    is_whole: bool
    tail: bytes = b""

    @property
    def first_bytes(self) -> str:
        """The first bytes, for the text of an error: they often tell what a file really is."""
        shown = self.data[:_SHOWN_BYTES]
        return f"first bytes {shown.hex(' ')}" + (" …" if len(shown) < len(self.data) else "")

    @cached_property
    def records(self) -> list[Any]:
        """The values of the complete lines in the head that are JSON; a document over many lines gives none."""
        lines = self.data.split(b"\n")
        if not self.is_whole:
            lines = lines[:-1]
        values = []
        for line in lines[:50]:
            try:
                values.append(parse(line).value)
            except ValueError:
                continue
        return values

    @cached_property
    def keys(self) -> frozenset[str]:
        """Dotted paths of the object keys in the head, down to three levels; a list counts as its first element.

        Works on a document that goes on behind the head: ``{"info": {"seed": 1, …`` gives ``{"info", "info.seed"}``.
        """
        return outline(self.data)


@dataclass
class Source:
    """A file, or bytes that stand for one.

    Parameters
    ----------
    name
        What the user named it: shown in reports, stored in ``imports.path``.
    path
        Where it lies; ``None`` when ``content`` is given.
    content
        Its bytes as they would lie on disk (tests, uploads).
    is_strict
        The reader vouches that no value it hands on holds NaN or infinity unless ``parse`` reported one: storing is
        then cheaper. Taken back when a number JSON does not allow is met.
    on_read
        Called with the number of bytes whenever some were read from disk (progress).
    origin
        Where it lay once; ``path`` is then a copy made for reading.
    columns
        Field → column of a table, where the user named them.

    Attributes
    ----------
    damage
        What could not be read although the reader never saw it (a cut gzip stream).
    notes
        What the reader kept elsewhere, changed or lost → how often.
    """

    name: str
    path: Path | None = None
    content: bytes | None = None
    is_strict: bool = False
    on_read: Callable[[int], object] | None = None
    damage: list[BadLine] = field(default_factory=list)
    notes: dict[Note, int] = field(default_factory=dict)
    origin: str | None = None
    columns: Mapping[str, str] | None = None
    _is_noting: bool = True
    _stamp: tuple[int, ...] = ()  # of the file when its checksum was taken
    _unlike: set[int] = field(default_factory=set)  # numbers of the lines that orjson alone would not read the same

    @classmethod
    def of(cls, path: str | Path, *, size_bytes: int | None = None) -> Source:
        """The file at a path, or its first ``size_bytes``.

        Raises
        ------
        IngestError
            There is no such file, or it cannot be read.
        """
        path = Path(path)
        try:
            with path.open("rb"):
                pass
        except OSError as error:
            raise IngestError(f"Cannot read {path}: {error.strerror}.", path=str(path)) from error
        source = cls(name=str(path), path=path)
        if size_bytes is not None:
            source.size_bytes = size_bytes
        return source

    @classmethod
    def from_bytes(cls, content: bytes, name: str = "trace.jsonl") -> Source:
        """Bytes that stand for a file of that name."""
        return cls(name=name, content=content)

    # What it is

    @cached_property
    def size_bytes(self) -> int:
        """Size as it lies on disk, when first asked: what a live session appends later is left to the next ingest."""
        return self.path.stat().st_size if self.path else len(self.content or b"")

    @cached_property
    def sha256(self) -> str:
        """Checksum of the first ``size_bytes`` bytes as they lie on disk."""
        self._stamp = self._stamped()
        return self._digest()

    def _digest(self) -> str:
        digest = hashlib.sha256()
        for chunk in self.chunks(_BUFFER_BYTES):
            digest.update(chunk)
        return digest.hexdigest()

    def _stamped(self) -> tuple[int, ...]:
        """What differs when a file was written to, or another one has taken its place."""
        if self.path is None:
            return ()
        try:
            found = self.path.stat()
        except OSError as error:
            raise self._unreadable(error) from error
        return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns

    def check(self) -> None:
        """Make sure that the file still begins with the bytes whose checksum was taken; it may have grown.

        Raises
        ------
        IngestError
            It was rewritten, or it is gone.
        """
        if "sha256" not in self.__dict__ or (stamp := self._stamped()) == self._stamp:
            return
        if self._digest() != self.sha256:
            raise self.rewritten()
        self._stamp = stamp

    def rewritten(self) -> IngestError:
        """The error of a file that is not what it was when its checksum was taken."""
        return IngestError(
            f"{self.name} was rewritten while it was being read; nothing of it was stored. Ingest it again.",
            path=self.name,
        )

    def _unreadable(self, error: OSError) -> IngestError:
        return IngestError(f"Cannot read {self.name}: {error.strerror}.", path=self.name)

    @cached_property
    def is_gzip(self) -> bool:
        """Told by the first two bytes, not by the name."""
        with self._raw() as raw:
            return raw.read(2) == _GZIP_MAGIC

    @property
    def is_plain(self) -> bool:
        """Whether its text is what lies on disk, byte for byte."""
        return not self.is_gzip and self._utf16 is None

    @cached_property
    def head(self) -> Head:
        """The first 64 KiB, decompressed."""
        tail = b""
        with self.open() as stream:
            data = stream.read(HEAD_BYTES + 1)
            if data[:4] == _PARQUET and len(data) > HEAD_BYTES and stream.seekable():
                stream.seek(max(self.size_bytes - HEAD_BYTES, 0))
                tail = stream.read()
        data, is_whole = data[:HEAD_BYTES], len(data) <= HEAD_BYTES
        return Head(name=self.file_name, data=data.removeprefix(_UTF8_BOM), is_whole=is_whole, tail=tail)

    @property
    def file_name(self) -> str:
        """Last part of the name, without ``.gz``."""
        return self.name.replace("\\", "/").rsplit("/", 1)[-1].removesuffix(".gz")

    @property
    def stored_path(self) -> str:
        """Where the store says it lies, or lay: links resolved, the same however it was named."""
        return self.origin or (str(self.path.resolve()) if self.path is not None else self.name)

    @property
    def import_key(self) -> str:
        """What its import is told by: its bytes, and the columns that were named, for others may find other runs."""
        return self.sha256 if not self.columns else f"{self.sha256}?{variant(self.columns)}"

    def forget(self) -> None:
        """Let go of the head; it is read again when asked for."""
        self.__dict__.pop("head", None)

    def restart(self) -> None:
        """Let go of what was noted while it was read: the very same bytes are read once more."""
        self.forget()
        self.damage.clear()
        self.notes.clear()
        self.is_strict = False

    def anew(self) -> Source:
        """The very same bytes for another reading, of which nothing is noted here."""
        source = Source(self.name, path=self.path, content=self.content, origin=self.origin, columns=self.columns)
        source.size_bytes, source.sha256, source._stamp = self.size_bytes, self.sha256, self._stamp
        return source

    # What is in it

    def open(self) -> BinaryIO:
        """The decompressed bytes as a stream, text as UTF-8; seekable unless something had to be done for that.

        A damaged gzip stream ends where the damage is; only :meth:`lines` and :meth:`read_bytes` report that.
        """
        return self._open()[0]

    def _open(self) -> tuple[io.BufferedReader, Gunzip | None]:
        codec = self._utf16
        stream, unzipped = self._unzipped()
        return (io.BufferedReader(Utf16(stream, codec), _BUFFER_BYTES) if codec else stream), unzipped

    def _unzipped(self) -> tuple[io.BufferedReader, Gunzip | None]:
        raw = self._raw()
        if not self.is_gzip:
            return raw, None
        unzipped = Gunzip(raw)
        return io.BufferedReader(unzipped, _BUFFER_BYTES), unzipped

    @cached_property
    def _utf16(self) -> str | None:
        """The codec of a file that is UTF-16, told by its first two bytes."""
        with self._unzipped()[0] as stream:
            return codec_of(stream.read(2))

    def _open_noted(self) -> tuple[io.BufferedReader, Gunzip | None]:
        stream, unzipped = self._open()
        if self._utf16 and self._is_noting:
            self.notes[_UTF16] = 1
        return stream, unzipped

    def chunks(self, size: int) -> Iterator[bytes]:
        """The bytes as they lie on disk, in pieces of ``size`` and a rest; not counted as progress."""
        with io.BufferedReader(self._unbuffered(None), size) as stream:  # pyright: ignore[reportArgumentType]
            while chunk := stream.read(size):
                yield chunk

    def read_bytes(self) -> bytes:
        """The whole file, decompressed; of a cut gzip stream, what there is (see ``damage``)."""
        stream, unzipped = self._open_noted()
        with stream:
            data = stream.read()
            if unzipped is not None and unzipped.is_damaged:
                self._cut(data.count(b"\n") + 1)
        return data

    def lines(self) -> Iterator[Line]:
        """Every line that is not blank, with its number; of a cut gzip stream, every complete line."""
        stream, unzipped = self._open_noted()
        number = 0
        with stream:
            for number, line in enumerate(stream, start=1):
                if unzipped is not None and unzipped.is_damaged and not line.endswith(b"\n"):
                    number -= 1  # the line in which the stream breaks off
                    break
                data = bare(number, line)
                if data and not data.isspace():
                    yield Line(number, data)
            if unzipped is not None and unzipped.is_damaged:
                self._cut(number + 1)

    def raw_lines(self) -> Iterator[Line]:
        """Every line with its end, blank ones too: a cell of a table may hold several. Damage as in :meth:`lines`."""
        stream, unzipped = self._open_noted()
        number = 0
        with stream:
            for number, line in enumerate(stream, start=1):
                if unzipped is not None and unzipped.is_damaged and not line.endswith(b"\n"):
                    number -= 1
                    break
                yield Line(number, line.removeprefix(_UTF8_BOM) if number == 1 else line)
            if unzipped is not None and unzipped.is_damaged:
                self._cut(number + 1)

    def records(self, lines: Iterable[Line] | None = None) -> Iterator[Record | BadLine]:
        """Every line parsed as JSON, or each of these; one that is not JSON, or a bare scalar or list, is a BadLine."""
        for line in self.lines() if lines is None else lines:
            if not self._is_noting and line.number not in self._unlike:
                try:
                    value = orjson.loads(line.data)
                except ValueError:
                    raise self.rewritten() from None
                yield Record(line.number, value, line.data)
                continue
            try:
                parsed = parse(line.data)
            except ValueError as error:
                self._unlike.add(line.number)
                yield BadLine(line.number, str(error), line.data)
                continue
            if not parsed.is_plain or type(parsed.value) is not dict:
                self._unlike.add(line.number)
            if parsed.changed:
                self.is_strict = self.is_strict and BAD_NUMBER not in parsed.changed
            if type(parsed.value) is dict:
                yield Record(line.number, parsed.value, line.data, parsed.changed)
            else:
                yield BadLine(line.number, f"expected a JSON object, found {kind_of(parsed.value)}", line.data)

    def document(self) -> Parsed:
        """The whole file parsed as one JSON document.

        Raises
        ------
        IngestError
            It is empty or not JSON; the text says where it breaks off.
        """
        data = self.read_bytes().removeprefix(_UTF8_BOM)
        if not data.strip():
            reason = f"cannot be read: {self.damage.pop().reason}" if self.damage else "is empty"
            raise IngestError(f"{self.name} {reason}.", path=self.name)
        try:
            parsed = parse(data)
        except ValueError as error:
            reason = self.damage.pop().reason if self.damage else str(error)
            raise IngestError(f"{self.name} cannot be read: {reason}.", path=self.name) from None
        if BAD_NUMBER in parsed.changed:
            self.is_strict = False
        for change in parsed.changed:
            self.changed(JSON, f"{change}: {_CHANGES.get(change, 'read as far as it can be')}")
        return parsed

    # What became of it

    def kept(self, what: str, why: str = "", n: int = 1) -> None:
        """Note that ``n`` things were kept, where it is worth saying (in another place, inferred, …)."""
        self._note("kept", what, why, n)

    def changed(self, what: str, why: str, n: int = 1) -> None:
        """Note that ``n`` things are stored otherwise than the source has them."""
        self._note("changed", what, why, n)

    def own_bytes(self, record: Record) -> bytes | None:
        """The bytes of a line whose value is not what they say, noted; ``None`` where it is."""
        for change in record.changed:
            self.changed(JSON, f"{change}: the line's own bytes are kept in raw")
        return record.data if record.changed else None

    @property
    def n_mended(self) -> int:
        """How much of it had to be mended to be read, as far as it was read."""
        return len(self.damage) + sum(
            n for note, n in self.notes.items() if (note.kind, note.what) == ("changed", JSON)
        )

    def lost(self, what: str, why: str, n: int = 1) -> None:
        """Note that ``n`` things are not stored."""
        self._note("lost", what, why, n)

    def again(self, items: Iterable[T]) -> Iterator[T]:
        """Go through what is read a second time: what there is to note was noted the first time.

        Records were parsed with care the first time; what was found to be plain JSON is now read at full speed.

        Raises
        ------
        IngestError
            The file is not what it was the first time, or it is gone.
        """
        waiting = iter(items)
        while True:
            self._is_noting = False
            try:
                item = next(waiting)
            except StopIteration:
                break
            finally:
                self._is_noting = True
            yield item
        self.check()

    def _note(self, kind: Literal["kept", "changed", "lost"], what: str, why: str, n: int) -> None:
        if not self._is_noting:
            return
        note = Note(kind, what, why)
        self.notes[note] = self.notes.get(note, 0) + n

    def _cut(self, line: int) -> None:
        bad = BadLine(line, "the gzip stream is cut off or damaged from here")
        if bad not in self.damage:
            self.damage.append(bad)

    def _raw(self) -> io.BufferedReader:
        raw = self._unbuffered(self.on_read if self._is_noting else None)
        size = io.DEFAULT_BUFFER_SIZE if self.path is None else _BUFFER_BYTES
        return io.BufferedReader(raw, size)  # pyright: ignore[reportArgumentType]

    def _unbuffered(self, on_read: Callable[[int], object] | None) -> io.BytesIO | _BoundedFile:
        if self.path is None:
            return io.BytesIO(self.content or b"")
        try:
            return _BoundedFile(self.path, self.size_bytes, on_read)
        except OSError as error:
            raise self._unreadable(error) from error


JSON = "JSON"  # of what is noted: text that is no JSON by the letter
_UTF16 = Note("changed", "text", "decoded from UTF-16, stored as UTF-8")
_CHANGES = {
    DUPLICATE_KEY: "the last value of a key is kept",
    NOT_UTF8: "replaced by U+FFFD",
    BIG_INT: "stored as text",
    DEEP: "what lies deeper is stored as its text",
}


class _BoundedFile(io.FileIO):
    """A file that ends where it ended when first looked at, however much is appended meanwhile."""

    def __init__(self, path: Path, size: int, on_read: Callable[[int], object] | None) -> None:
        super().__init__(path, "rb")
        self._size = size
        self._on_read = on_read

    def readinto(self, buffer: Any) -> int:
        left = max(self._size - self.tell(), 0)
        n = super().readinto(memoryview(buffer)[:left])
        if self._on_read is not None:
            self._on_read(n)
        return n

    def readall(self) -> bytes:
        out = bytearray()
        while chunk := self.read(_BUFFER_BYTES):
            out += chunk
        return bytes(out)

    def read(self, size: int | None = -1) -> bytes:  # FileIO.read does not come by readinto
        if size is None or size < 0:
            return self.readall()
        buffer = bytearray(size)
        return bytes(buffer[: self.readinto(buffer)])


def kind_of(value: Any) -> str:
    """What a JSON value is, in words."""
    if value is None:
        return "null"
    names = {dict: "an object", list: "a list", str: "a string", bool: "a boolean", int: "a number", float: "a number"}
    return names.get(type(value), type(value).__name__)
