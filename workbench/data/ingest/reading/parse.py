"""Read JSON that a strict parser would refuse, and say what was wrong with it.

Ordinary JSON is read by orjson at its speed. Real transcripts also hold NaN, lone surrogates, integers of any size,
repeated keys, bytes that are not UTF-8 and nesting deeper than any parser's stack; each is read as far as it can be.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, NamedTuple

import orjson

from workbench.data.store.storable import BIG_INT, DEEP, MAX_DEPTH

DUPLICATE_KEY = "object key repeated"
NOT_UTF8 = "bytes that are not UTF-8"
BAD_NUMBER = "number JSON does not allow"
CONTROL = "control character inside a string"

# A long integer, not one in quotes: the times of traces are 19 digits of text.
_LONG_DIGITS = re.compile(rb"[\s:,\[-][0-9]{19}")
_ZEROED = bytes.maketrans(b"123456789", b"0" * 9)
_LONG_ZEROES = b"0" * 19
# A JSON string, or one bracket: enough to know how deep a place is nested. A string that is cut off takes all the rest.
_STRING_OR_BRACKET = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)|[\[\]{}]', re.DOTALL)


class Parsed(NamedTuple):
    """A parsed value and the ways in which it is not what the text said (empty: it is).

    ``is_plain`` where orjson alone reads it the same.
    """

    value: Any
    changed: tuple[str, ...] = ()
    is_plain: bool = True


def parse(data: bytes) -> Parsed:
    """Parse one JSON document from bytes.

    Raises
    ------
    ValueError
        The bytes are not JSON even by the most patient reading; the text says where and why.
    """
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError:
        return _patient(data)
    if type(value) is dict or type(value) is list:
        if _is_faithful(data, value):
            return Parsed(value)
        return _patient(data)
    return Parsed(value)


def _is_faithful(data: bytes, value: Any) -> bool:
    """Whether orjson lost nothing: it keeps the last of repeated keys and rounds long integers, both silently.

    Writing the value out again is cheap and gives the number of its keys: the count of ``":`` inside strings is the
    same on both sides.
    """
    try:
        again = orjson.dumps(value)
    except TypeError:  # deeper than orjson writes
        return False
    if len(again) == len(data):
        return True
    return again.count(b'":') == data.count(b'":') and not _has_long_digits(data)


def _has_long_digits(data: bytes) -> bool:
    # As a rule there are none: to search for one text is many times as fast as to search for a pattern.
    return _LONG_ZEROES in data.translate(_ZEROED) and _LONG_DIGITS.search(data) is not None


def _patient(data: bytes) -> Parsed:
    changed: dict[str, None] = {}
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("utf-8", "replace").removeprefix("\ufeff")
        changed[NOT_UTF8] = None
    value = _loads(text, changed)
    return Parsed(value, tuple(changed), is_plain=False)


def _loads(text: str, changed: dict[str, None]) -> Any:
    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        out = dict(items)
        if len(out) != len(items):
            changed[DUPLICATE_KEY] = None
        return out

    def constant(name: str) -> float:
        changed[BAD_NUMBER] = None
        return float(name.replace("Infinity", "inf"))

    def number(digits: str) -> float:
        value = float(digits)
        if math.isinf(value):  # 1e400
            changed[BAD_NUMBER] = None
        return value

    def integer(digits: str) -> int | str:
        if len(digits) < 19:
            return int(digits)
        if len(digits) > 4000:  # Python itself refuses to convert beyond 4,300 digits
            changed[BIG_INT] = None
            return digits
        return int(digits)

    decoder = json.JSONDecoder(object_pairs_hook=pairs, parse_constant=constant, parse_int=integer, parse_float=number)
    try:
        return decoder.decode(text)
    except RecursionError:
        pass
    except json.JSONDecodeError as error:
        if not error.msg.startswith("Invalid control character"):
            raise ValueError(_reason(error)) from error
        return _lenient(text, decoder, changed)
    changed[DEEP] = None
    try:
        return decoder.decode(_flattened(text))
    except RecursionError:
        raise ValueError("nested too deeply to be read") from None
    except json.JSONDecodeError as error:
        raise ValueError(_reason(error)) from error


def _lenient(text: str, decoder: json.JSONDecoder, changed: dict[str, None]) -> Any:
    lenient = json.JSONDecoder(
        object_pairs_hook=decoder.object_pairs_hook,
        parse_constant=decoder.parse_constant,
        parse_int=decoder.parse_int,
        parse_float=decoder.parse_float,
        strict=False,
    )
    try:
        value = lenient.decode(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(_reason(error)) from error
    changed[CONTROL] = None
    return value


def _reason(error: Exception) -> str:
    if not isinstance(error, json.JSONDecodeError):
        return "nested too deeply to be read"
    # The text ended before the value did: the usual mark of a writer that was killed.
    at_end = error.pos >= len(error.doc.rstrip()) or error.msg.startswith("Unterminated string")
    what = "cut off" if at_end and error.doc.strip() else "not JSON"
    # json's own text of a string that does not end is "Unterminated string starting at".
    return f"{what}: {error.msg.removesuffix(' at')} at character {error.pos + 1}"


def _flattened(text: str, depth_limit: int = MAX_DEPTH // 2) -> str:
    """The same JSON with everything deeper than ``depth_limit`` turned into strings that hold its text."""
    data = text.encode("utf-8", "surrogatepass")
    pieces: list[bytes] = []
    depth = 0
    copied = deep_from = 0
    for match in _STRING_OR_BRACKET.finditer(data):
        mark = match.group()
        if mark in b"[{":
            depth += 1
            if depth == depth_limit + 1:
                deep_from = match.start()
                pieces.append(data[copied:deep_from])
        elif mark in b"]}":
            depth -= 1
            if depth == depth_limit:
                copied = match.end()
                pieces.append(json.dumps(data[deep_from:copied].decode("utf-8", "surrogatepass")).encode())
    pieces.append(data[copied:])
    return b"".join(pieces).decode("utf-8", "surrogatepass")
