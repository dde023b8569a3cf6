"""UTF-16 text (what a Windows PowerShell writes with ``>``) as the UTF-8 that every reader expects."""

from __future__ import annotations

import codecs
import io
from typing import Any, BinaryIO

# The first two bytes of a file: a mark, or the first character of a JSON text (not that of the other byte order: a
# protobuf file may begin with NUL).
_CODECS = {
    b"\xff\xfe": "utf-16-le",
    b"{\0": "utf-16-le",
    b"[\0": "utf-16-le",
    b"\xfe\xff": "utf-16-be",
}


def codec_of(first: bytes) -> str | None:
    """The codec of a file that begins with these bytes; ``None`` where it is no UTF-16."""
    return _CODECS.get(first[:2])


class Utf16(io.RawIOBase):
    """The bytes of a UTF-16 stream as UTF-8; the mark becomes that of UTF-8.

    A lone surrogate stays one: it makes bytes that are not UTF-8, which the JSON parser replaces and reports.
    """

    def __init__(self, raw: BinaryIO, codec: str) -> None:
        super().__init__()
        self._raw = raw
        self._decoder = codecs.getincrementaldecoder(codec)("surrogatepass")
        self._ready = b""

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Decode into the buffer; 0 at the end, where half a character is left out."""
        while not self._ready:
            data = self._raw.read(len(buffer))
            if not data:
                return 0
            self._ready = self._decoder.decode(data).encode("utf-8", "surrogatepass")
        given, self._ready = self._ready[: len(buffer)], self._ready[len(buffer) :]
        buffer[: len(given)] = given
        return len(given)

    def close(self) -> None:
        """Close the stream below too."""
        self._raw.close()
        super().close()
