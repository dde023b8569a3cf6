"""Make any value storable as jsonb, and say what had to change.

jsonb refuses NUL, lone surrogates, NaN, nesting beyond a few thousand levels and strings beyond 256 MB. Ordinary values
pass through orjson untouched; the slow way is taken only when orjson refuses or its text shows one of those. Whoever
stores a value whose ``changed`` is not empty keeps the source's own bytes in the row's ``raw`` column.
"""

from __future__ import annotations

import json
import marshal
import math
import re
from collections.abc import Callable, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import is_dataclass
from datetime import date, time
from enum import Enum
from typing import Any, NamedTuple
from uuid import UUID

import orjson
import zstandard

MAX_CHARS = 1_000_000
MAX_DEPTH = 500
# Inside a deep caller (a notebook's event loop, a test runner) 500 more frames may not be left.
_SHALLOW_DEPTH = 150

NUL = "NUL character"
SURROGATE = "lone surrogate"
NOT_FINITE = "NaN or infinity"
BIG_INT = "integer over 64 bits"
LONG = "long string cut"
DEEP = "deep nesting cut"
FOREIGN = "not a JSON type"
KEY = "object key not a string"

# marshal's float: "g" (with its first bit set, where others may refer to it), then 8 bytes, the lowest first, of which
# the exponent is all ones.
_NO_NUMBER = re.compile(rb"[g\xe7].{6}[\xf0-\xff][\x7f\xff]", re.DOTALL)

_OPTIONS = orjson.OPT_SERIALIZE_UUID


class Stored(NamedTuple):
    """JSON text that Postgres accepts, and the kinds of change that were needed (empty: none)."""

    text: str
    changed: tuple[str, ...] = ()


def storable(value: Any, *, limit: int = MAX_CHARS, finite: bool = False) -> Stored:
    """JSON text of a value for a jsonb column.

    Parameters
    ----------
    value
        Anything; what JSON cannot say is stored as its ``str`` and reported.
    limit
        Strings longer than this many characters are cut, with a marker that says how long they were.
    finite
        The value holds no NaN or infinity for certain (it was parsed from strict JSON): saves one check.

    Returns
    -------
    Stored
        ``changed`` names each kind of change once, in the order met.
    """
    try:
        data = orjson.dumps(value, option=_OPTIONS)
    except (TypeError, RecursionError):  # orjson's error for every refusal is a TypeError
        return _changed(value, limit)
    if b"\\u0000" in data or has_long_text(data, limit):
        return _changed(value, limit)
    if not finite and b"null" in data and not is_finite(value):
        return _changed(value, limit)
    return Stored(data.decode())


def dumped(value: Any) -> str:
    """JSON text of a stored value; orjson refuses what is deeper than some 250 levels, which it may be."""
    try:
        return orjson.dumps(value).decode()
    except TypeError:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def storable_text(text: str | None, *, limit: int = MAX_CHARS) -> str | None:
    """Text for a ``text`` column: the same rules for NUL, lone surrogates and length as in :func:`storable`."""
    if text is None or (len(text) <= limit and "\0" not in text and (text.isascii() or _is_utf8(text))):
        return text
    return _Cleaner(limit, MAX_DEPTH).text(text)


def pack(raw: bytes) -> bytes:
    """The bytes of a ``raw`` column: zstd."""
    return zstandard.compress(raw)


def unpack(packed: bytes) -> bytes:
    """The bytes that :func:`pack` was given."""
    return zstandard.ZstdDecompressor().decompressobj().decompress(packed)


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def has_long_text(data: bytes, limit: int = MAX_CHARS) -> bool:
    """Whether JSON may hold a string of more than ``limit`` bytes: some stretch of that length is without a quote."""
    at = 0
    while len(data) - at > limit:
        quote = data.rfind(b'"', at, at + limit + 1)
        if quote < 0:
            return True
        at = quote + 1
    return False


def is_finite(value: Any, *, default: Callable[[Any], Any] = str) -> bool:
    """Whether no float of the value is NaN or infinite; orjson writes those as ``null`` without a word.

    What JSON cannot say is looked at as ``default`` makes it.
    """
    # Many times as fast as JSON. What marshal does not know, and text that looks like such a float, is looked at again.
    with suppress(ValueError):
        if _NO_NUMBER.search(marshal.dumps(value)) is None:
            return True
    try:
        json.dumps(value, allow_nan=False, default=default)
    except (TypeError, ValueError, RecursionError):
        return False
    return True


def _changed(value: Any, limit: int) -> Stored:
    cleaner = _Cleaner(limit, MAX_DEPTH)
    for depth in (MAX_DEPTH, _SHALLOW_DEPTH):
        cleaner = _Cleaner(limit, depth)
        try:
            clean = cleaner.value(value, 0)
            text = json.dumps(clean, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        except RecursionError:
            continue
        return Stored(text, tuple(cleaner.changed))
    return Stored(json.dumps(cleaner.text(_flat(value, limit))), (DEEP,))


class _Cleaner:
    """Copies a value into plain JSON types, noting each kind of change."""

    def __init__(self, limit: int, depth: int) -> None:
        self._limit = limit
        self._depth = depth
        self.changed: dict[str, None] = {}  # an ordered set

    def _note(self, kind: str) -> None:
        self.changed[kind] = None

    def value(self, value: Any, depth: int) -> Any:
        if isinstance(value, str):
            return self.text(value.value if isinstance(value, Enum) else value)
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, Enum):
            return self.value(value.value, depth)
        if isinstance(value, int):
            return self._integer(int(value))
        if isinstance(value, float):
            return self._float(float(value))
        if depth >= self._depth and isinstance(value, (Mapping, Sequence, Set)):
            self._note(DEEP)
            return self.text(_flat(value, self._limit))
        if isinstance(value, Mapping):
            return {self._key(key): self.value(item, depth + 1) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.value(item, depth + 1) for item in value]
        return self._foreign(value, depth)

    def text(self, text: str) -> str:
        if len(text) > self._limit:
            self._note(LONG)
            text = f"{text[: self._limit]} … [cut: {len(text)} characters]"
        if "\0" in text:
            self._note(NUL)
            text = text.replace("\0", "\u2400")
        if not _is_utf8(text):
            self._note(SURROGATE)
            # A pair written as two escapes is one character; what is left alone is not text.
            text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        return text

    def _key(self, key: Any) -> str:
        if isinstance(key, str):
            return self.text(key)
        self._note(KEY)
        return self.text(str(key))

    def _integer(self, value: int) -> int | str:
        if -(2**63) <= value < 2**64:
            return value
        self._note(BIG_INT)
        try:
            return str(value)
        except ValueError:  # Python refuses to write out more than 4,300 digits
            return hex(value)

    def _float(self, value: float) -> float | str:
        if math.isfinite(value):
            return value
        self._note(NOT_FINITE)
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"

    def _foreign(self, value: Any, depth: int) -> Any:
        if isinstance(value, UUID):
            return str(value)
        if isinstance(value, (date, time)):  # datetime is a date
            return value.isoformat()
        if is_dataclass(value) and not isinstance(value, type):
            return self.value({name: getattr(value, name) for name in value.__dataclass_fields__}, depth)
        self._note(FOREIGN)
        if isinstance(value, (set, frozenset)):
            return [self.value(item, depth + 1) for item in sorted(value, key=repr)]
        if isinstance(value, (bytes, bytearray)):
            return self.text(bytes(value).decode(errors="replace"))
        dump = getattr(value, "model_dump", None)  # pydantic, without importing it
        if callable(dump):
            return self.value(dump(mode="json"), depth)
        return self.text(str(value))


def _flat(value: Any, limit: int) -> str:
    """The JSON text of a value of any depth, without recursion; it stops a little after ``limit`` characters."""
    pieces: list[str] = []
    size = 0
    stack: list[Any] = [value]
    while stack and size <= limit:
        item = stack.pop()
        if isinstance(item, _Token):
            piece = str(item)
        elif isinstance(item, Mapping):
            stack.append(_Token("}"))
            stack.extend(_members(item))
            piece = "{"
        elif isinstance(item, (Sequence, Set)) and not isinstance(item, (str, bytes, bytearray)):
            stack.append(_Token("]"))
            stack.extend(_elements(list(item)))
            piece = "["
        else:
            piece = json.dumps(item, ensure_ascii=False, default=str)
        pieces.append(piece)
        size += len(piece)
    return "".join(pieces)


class _Token(str):
    """Punctuation on the stack of :func:`_flat`, told apart from the value's own strings."""

    __slots__ = ()


def _members(value: Mapping) -> list[Any]:
    out: list[Any] = []
    for number, (key, item) in enumerate(reversed(list(value.items()))):
        if number:
            out.append(_Token(","))
        out += [item, _Token(f"{json.dumps(str(key), ensure_ascii=False)}:")]
    return out


def _elements(value: list[Any]) -> list[Any]:
    out: list[Any] = []
    for number, item in enumerate(reversed(value)):
        if number:
            out.append(_Token(","))
        out.append(item)
    return out
