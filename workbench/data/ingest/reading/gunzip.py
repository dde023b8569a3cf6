"""A gzip stream that hands on everything before the place where it is cut off or damaged."""

from __future__ import annotations

import io
import zlib
from typing import Any, BinaryIO

_CHUNK_BYTES = 256 * 1024
_GZIP = 31  # zlib's window size with a gzip header


class Gunzip(io.RawIOBase):
    """Decompressed bytes; instead of raising at the damage it ends there and sets ``is_damaged``.

    The standard library's reader raises before handing on what its buffer already holds, up to a whole buffer.
    """

    def __init__(self, raw: BinaryIO) -> None:
        super().__init__()
        self._raw = raw
        self._stream = zlib.decompressobj(_GZIP)
        self._input = b""
        self._is_begun = False
        self._is_over = False
        self.is_damaged = False

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Decompress into the buffer; 0 at the end."""
        while not self._is_over:
            data = self._next(len(buffer))
            if data:
                buffer[: len(data)] = data
                return len(data)
        return 0

    def _next(self, size: int) -> bytes:
        if not self._input:
            self._input = self._raw.read(_CHUNK_BYTES)
            if not self._input:
                self._is_over = True
                self.is_damaged = self._is_begun  # the stream had begun and has not ended
                return b""
        if not self._is_begun and not self._input.strip(b"\0"):
            self._input = b""  # padding behind the last member
            return b""
        self._is_begun = True
        before = self._stream.copy()
        try:
            data = self._stream.decompress(self._input, size)
        except zlib.error:
            self._is_over = self.is_damaged = True
            return _until_damage(before, self._input)
        self._input = self._stream.unconsumed_tail
        if self._stream.eof:
            self._input = self._stream.unused_data
            self._stream, self._is_begun = zlib.decompressobj(_GZIP), False
        return data

    def close(self) -> None:
        """Close the file below too."""
        self._raw.close()
        super().close()


def _until_damage(stream: Any, damaged: bytes) -> bytes:
    """What a piece gives up to its damage: zlib keeps that to itself when it raises, so it is fed byte by byte."""
    out = bytearray()
    try:
        for n in range(len(damaged)):
            out += stream.decompress(damaged[n : n + 1])
    except zlib.error:
        pass
    return bytes(out)
