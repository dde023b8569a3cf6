"""Find the secrets of a text or of a JSON document: the fast pass over all of it, exact patterns where it hit."""

from __future__ import annotations

import base64
import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson

from workbench.data.secrets.judge import is_harmless, is_password, is_user_and_password
from workbench.data.secrets.passes import ESCAPE, passes
from workbench.data.secrets.rules import NAMES, REACH, Rule

FIELD_RULE = "secret-field"
_MAX_VIEWS = 4  # encodings inside encodings
_MAX_BASE64 = 200_000
_ESCAPES = re.compile(ESCAPE)
_BASE64_RUN = re.compile(rb"[A-Za-z0-9+/]+={0,2}")
_SECRET_KEY = re.compile(rf"(?i){NAMES}[A-Za-z0-9_-]{{0,20}}$")
_SCHEME = re.compile(r"(?i)^(?:basic|bearer|token)\s+")


class Found(NamedTuple):
    """A secret in some bytes, from ``start`` to ``end``."""

    start: int
    end: int
    rule: str
    shows: bool


@dataclass(frozen=True, slots=True)
class Place:
    """A secret in a document: where, by which rule, what it is, and how much of it may be shown."""

    pointer: str
    rule: str
    secret: str
    shown: str


def find(data: bytes) -> list[Found]:
    """The secrets in some UTF-8 text, in order, none overlapping another."""
    return _merged(_find(data, _MAX_VIEWS), data)


def _find(data: bytes, views: int) -> list[Found]:
    fast = passes()
    hits = fast.hits(data)
    if not hits:
        return []
    found: list[Found] = []
    ends: dict[int, list[int]] = {}
    for number, end in hits:
        ends.setdefault(number, []).append(end)
    ends.pop(fast.named, None)
    encoded = ends.pop(fast.encoded, [])
    escaped = ends.pop(fast.escaped, [])
    for number, where in ends.items():
        found += _exact(fast.rules[number], data, where)
    if views and escaped:
        found += _unescaped(data, views - 1)
    if views and encoded:
        found += _decoded(data, encoded, views - 1)
    return found


def _exact(rule: Rule, data: bytes, ends: list[int]) -> Iterator[Found]:
    """Try the pattern around the hits; near ones are tried together, so that many hits cost no more than few."""
    low, high = -1, -1
    for end in [*sorted(ends), -1]:
        if end != -1 and low != -1 and end - REACH <= high:
            high = end + rule.ahead
            continue
        if low != -1:
            for match in rule.regex.finditer(data, low, min(high, len(data))):
                secret = match["secret"]
                if rule.accept(secret, match):
                    name = rule.naming(match) if rule.naming else rule.name
                    yield Found(*match.span("secret"), name, rule.shows)
        low, high = max(end - REACH, 0), end + rule.ahead


def _unescaped(data: bytes, views: int) -> Iterator[Found]:
    r"""What is found once ``\u0041``, ``\/``, ``%41`` and ``&#x41;`` are the characters that they stand for."""
    pieces: list[bytes] = []
    starts: list[int] = []  # of the pieces in the decoded bytes, and where these stand in the data
    places: list[int] = []
    at = size = 0
    for match in _ESCAPES.finditer(data):
        code = match["u"] or match["p"] or match["x"]
        said = bytes([int(code, 16)]) if code else b"/"
        for piece, stands in ((data[at : match.start()], at), (said, match.start())):
            starts.append(size)
            places.append(stands)
            pieces.append(piece)
            size += len(piece)
        at = match.end()
    starts.append(size)
    places.append(at)
    pieces.append(data[at:])

    def place(offset: int) -> int:
        piece = bisect_right(starts, offset) - 1
        # The single character of an escape stands where the escape begins; plain text, as far behind its start.
        return places[piece] + (offset - starts[piece] if piece % 2 == 0 else 0)

    for one in _find(b"".join(pieces), views):
        yield Found(place(one.start), place(one.end), one.rule, one.shows)


def _decoded(data: bytes, ends: list[int], views: int) -> Iterator[Found]:
    """What is found in the runs of base64 in which a telling beginning was met."""
    done = -1
    for end in sorted(ends):
        if end <= done:
            continue
        low = max(end - _MAX_BASE64, done, 0)
        before = re.search(rb"[A-Za-z0-9+/]*\Z", data[low:end])
        start = low + (before.start() if before else 0)
        run = _BASE64_RUN.match(data, start, start + 2 * _MAX_BASE64)
        if run is None or run.end() - start < 16:
            continue
        done = run.end()
        whole = run[0].rstrip(b"=")
        whole = whole[: len(whole) - (len(whole) % 4 == 1)]

        for one in _find(base64.b64decode(whole + b"=" * (-len(whole) % 4)), views):
            yield Found(start + one.start // 3 * 4, min(start + -(-one.end // 3) * 4, run.end()), one.rule, shows=False)


def _merged(found: list[Found], data: bytes) -> list[Found]:
    """Overlapping finds as one, named by the one that begins first."""
    merged: list[Found] = []
    for one in sorted(found, key=lambda one: (one.start, -one.end)):
        end = one.end
        while end < len(data) and 0x80 <= data[end] < 0xC0:  # never half a character
            end += 1
        if merged and one.start < merged[-1].end:
            last = merged[-1]
            # A general rule may have found a little more of what a telling one found: the telling one names it.
            name, shows = (last.rule, last.shows) if last.shows or not one.shows else (one.rule, False)
            merged[-1] = Found(last.start, max(end, last.end), name, shows)
        else:
            merged.append(Found(one.start, end, one.rule, one.shows))
    return merged


# ---------------------------------------------------------------- documents


def in_json(text: str | bytes) -> list[Place]:
    """The secrets of a document given as JSON text, with the JSON pointer of the string that each stands in."""
    data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    if not passes().any(data):
        return []
    return list(in_value(orjson.loads(data)))


def in_value(value: Any) -> Iterator[Place]:
    """The secrets of a parsed document."""
    for pointer, text, key in strings(value):
        yield from in_text(text, pointer, key)


def in_text(text: str, pointer: str = "", key: str | None = None) -> Iterator[Place]:
    """The secrets of one string; ``key`` is the name of the field that holds it."""
    if key is not None and is_secret_field(key, text):
        finds = find(text.encode("utf-8", "surrogatepass"))
        rule, shows = (finds[0].rule, finds[0].shows) if finds else (FIELD_RULE, False)
        yield Place(pointer, rule, text, shown(text, shows))
        return
    data = text.encode("utf-8", "surrogatepass")
    for one in find(data):
        secret = data[one.start : one.end].decode("utf-8", "replace")
        yield Place(pointer, one.rule, secret, shown(secret, one.shows))
    if nested := nested_json(text):
        for place in in_value(nested):
            if place.rule == FIELD_RULE:
                yield Place(pointer, place.rule, place.secret, place.shown)


def shown(secret: str, shows: bool) -> str:
    """The first four characters where they are the issuer's public prefix, and the length."""
    return f"{secret[:4] if shows else ''}… ({len(secret)})"


def is_secret_field(key: str, text: str) -> bool:
    """Whether a string is a secret because of the name of the field that holds it."""
    if not 6 <= len(text) <= 4096 or key.isspace():
        return False
    if key.lower() == "auth":  # of a container registry
        return is_user_and_password(text.encode("utf-8", "replace"))
    if not _SECRET_KEY.search(key):
        return False
    if key.lower().endswith("authorization"):
        secret = _SCHEME.sub("", text).encode("utf-8", "replace")
        return is_user_and_password(secret) or is_password(secret, key=b"token")
    if is_harmless(key.encode("utf-8", "replace")) or any(char.isspace() for char in text):
        return False
    return is_password(text.encode("utf-8", "replace"), key=key.encode("utf-8", "replace"))


def strings(value: Any, pointer: str = "", key: str | None = None) -> Iterator[tuple[str, str, str | None]]:
    """Every string of a document, keys too: its pointer, itself, and the name of the field that holds it."""
    stack: list[tuple[Any, str, str | None]] = [(value, pointer, key)]
    while stack:
        value, pointer, key = stack.pop()
        if isinstance(value, str):
            yield pointer, value, key
        elif isinstance(value, Mapping):
            named = name_of(value) or key
            for name, item in value.items():
                here = f"{pointer}/{escaped(name)}"
                yield here, name, None
                stack.append((item, here, named if named and name in VALUES else name))
        elif isinstance(value, (list, tuple)):
            flag: str | None = None
            for number, item in enumerate(value):
                # A command line: ["--password", "…"].
                stack.append((item, f"{pointer}/{number}", flag or key))
                flag = item.lstrip("-") if isinstance(item, str) and item.startswith("--") else None


# What holds the value where another member holds its name.
VALUES = ("value", "stringValue", "val")


def name_of(value: Mapping[str, Any]) -> str | None:
    """What an object names its ``value``: ``{"key": "db.password", "value": …}``, or the path of a patch operation."""
    for name in ("key", "name", "path"):
        text = value.get(name)
        if isinstance(text, str) and any(part in value for part in VALUES):
            return text.rsplit("/", 1)[-1]
    return None


def nested_json(text: str) -> Any:
    """The object or list that a string holds as JSON text, else ``None``."""
    stripped = text.lstrip()
    if len(stripped) < 8 or stripped[0] not in "{[":
        return None
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, (dict, list)) else None


def escaped(name: str) -> str:
    """A name as a part of a JSON pointer (RFC 6901)."""
    return name.replace("~", "~0").replace("/", "~1")


def is_clean(data: bytes) -> bool:
    """Whether no secret is found in some bytes."""
    return not find(data)
