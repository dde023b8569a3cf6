"""The entries of a ``.eval`` file: a zip of JSON documents, whole or cut off.

Inspect writes the start of an evaluation first, then each sample as it ends, then the header: what a killed evaluation
or a broken copy leaves has no central directory. Its samples are found by their local headers instead.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import zstandard

from workbench.data.ingest.reading.source import Source

ZIP_MAGIC = b"PK\x03\x04"
# APPNOTE 4.4.5; Python reads zstd itself from 3.14 on, and newer Inspect logs are zstd.
_STORED, _DEFLATED, _ZSTD = 0, 8, 93
_LOCAL = struct.Struct("<4sHHHHHLLLHH")
_HAS_DESCRIPTOR = 0x08
# ValueError and OverflowError: the directory says that an entry lies before the file begins, or has no number at all.
_DAMAGES = (
    zipfile.BadZipFile, zlib.error, EOFError, OSError, struct.error, zstandard.ZstdError, ValueError, OverflowError,
)  # fmt: skip


@dataclass(slots=True, frozen=True)
class Entry:
    """One file in the archive: its bytes, or why they cannot be read."""

    name: str
    data: bytes = b""
    problem: str | None = None


class Archive:
    """A ``.eval`` file.

    Attributes
    ----------
    problem
        What is wrong with the archive as a whole; None when it is whole.
    """

    def __init__(self, source: Source) -> None:
        self.problem: str | None = None
        self._stream: BinaryIO = source.open()
        if not self._stream.seekable():  # packed once more, or taken for text
            self._stream.close()
            self._stream = io.BytesIO(source.read_bytes())
        self._zip: zipfile.ZipFile | None = None
        self._found: dict[str, Entry] = {}
        try:
            self._zip = zipfile.ZipFile(self._stream)
        except (zipfile.BadZipFile, struct.error, ValueError, OverflowError) as error:
            self.problem = f"the zip file is cut off or damaged ({str(error).lower()})"
            self._stream.seek(0)
            self._found = {entry.name: entry for entry in _salvaged(self._stream.read())}
            if not self._found and not source.head.data.startswith(ZIP_MAGIC):
                self.problem = f"it is not a zip: {source.head.first_bytes}"

    def names(self) -> list[str]:
        """Names of all entries, in the order in which they were written."""
        if self._zip is None:
            return list(self._found)
        return list(dict.fromkeys(info.filename for info in self._zip.infolist()))

    def read(self, name: str) -> Entry:
        """The bytes of an entry; of several with one name, the last."""
        if self._zip is None:
            return self._found.get(name, Entry(name, problem="it is not in the archive"))
        try:
            info = self._zip.getinfo(name)
        except KeyError:
            return Entry(name, problem="it is not in the archive")
        try:
            return Entry(name, self._zstd(info) if info.compress_type == _ZSTD else self._zip.read(info))
        except NotImplementedError:
            return Entry(name, problem=f"it is compressed by method {info.compress_type}, which cannot be read here")
        except RuntimeError as error:  # encrypted
            return Entry(name, problem=str(error))
        except _DAMAGES as error:
            return Entry(name, problem=f"its data is damaged ({error})")

    def close(self) -> None:
        """Let go of the file."""
        if self._zip is not None:
            self._zip.close()
        self._stream.close()

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _zstd(self, info: zipfile.ZipInfo) -> bytes:
        self._stream.seek(info.header_offset)
        header = _LOCAL.unpack(self._stream.read(_LOCAL.size))
        self._stream.seek(header[9] + header[10], io.SEEK_CUR)
        data = _unzstd(self._stream.read(info.compress_size))
        if zlib.crc32(data) != info.CRC:
            raise zipfile.BadZipFile("wrong checksum")
        return data


def _salvaged(data: bytes) -> Iterator[Entry]:
    """Read entries one after the other by their local headers, as far as they go."""
    at = data.find(ZIP_MAGIC)
    while at >= 0 and len(data) - at >= _LOCAL.size:
        _, _, flags, method, _, _, crc, size, _, n_name, n_extra = _LOCAL.unpack_from(data, at)
        begin = at + _LOCAL.size + n_name + n_extra
        name = data[at + _LOCAL.size : at + _LOCAL.size + n_name].decode("utf-8", "replace")
        if begin > len(data):
            return
        # With a descriptor, the sizes stand behind the data: the compressed stream itself says where it ends.
        known = None if flags & _HAS_DESCRIPTOR or size == 0xFFFFFFFF else size
        entry, end = _one(name, data, begin, method, known)
        if entry.problem is None and known is not None and zlib.crc32(entry.data) != crc:
            entry = Entry(name, problem="its data is damaged (wrong checksum)")
        yield entry
        at = data.find(ZIP_MAGIC, end)


def _one(name: str, data: bytes, begin: int, method: int, size: int | None) -> tuple[Entry, int]:
    """An entry of a damaged archive, and where to look for the next."""
    end = begin + size if size is not None else len(data)
    if end > len(data) or (size is None and method == _STORED):
        return Entry(name, problem="the file is cut off inside it"), begin
    body = memoryview(data)[begin:end]
    try:
        if method == _STORED:
            return Entry(name, bytes(body)), end
        if method not in (_DEFLATED, _ZSTD):
            return Entry(name, problem=f"it is compressed by method {method}, which cannot be read here"), end
        decoder: Any = zlib.decompressobj(-15) if method == _DEFLATED else zstandard.ZstdDecompressor().decompressobj()
        out = decoder.decompress(body)
        if not decoder.eof:
            return Entry(name, problem="the file is cut off inside it"), begin
        return Entry(name, out), end - len(decoder.unused_data)
    except (zlib.error, zstandard.ZstdError) as error:
        return Entry(name, problem=f"its data is damaged ({error})"), begin


def _unzstd(data: bytes) -> bytes:
    with zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True) as reader:
        return reader.read()
