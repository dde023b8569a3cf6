"""Paths into a state: ``cart.items[0].price`` for people, ``/cart/items/0/price`` (RFC 6901) for machines."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import orjson

from workbench.errors import ConfigurationError, NotFoundError

_KEY = re.compile(r'\.?"((?:[^"\\]|\\.)*)"|\["((?:[^"\\]|\\.)*)"\]|\[(-?\d+)\]|\.?([^.\[\]"]+)')
_PLAIN = re.compile(r"[^.\[\]\"/\s]+")
_NEAR = 5  # paths that an error names
_SEEN = 20_000  # values of a state that are looked at for them


def keys_of(path: str) -> list[str]:
    """The keys that a path names; ``""`` is the whole document.

    A path that begins with ``/`` is a JSON pointer. Else keys are joined by dots, positions stand in brackets, and a
    key with a dot in it is quoted: ``meta["a.b"][0]``.

    Raises
    ------
    ConfigurationError
        It is no path.

    Examples
    --------
    >>> keys_of('cart.items[0]["unit.price"]'), keys_of("/a~1b/0")
    (['cart', 'items', '0', 'unit.price'], ['a/b', '0'])
    """
    if not isinstance(path, str):
        raise ConfigurationError(f"{path!r} is no path. {_HOW}", path=path)
    if path[:1] in ("", "/"):
        return [part.replace("~1", "/").replace("~0", "~") for part in path.split("/")[1:]]
    found = list(_KEY.finditer(path))
    if "".join(match[0] for match in found) != path:
        raise ConfigurationError(f"{path!r} is no path. {_HOW}", path=path)
    return [_unquoted(match) for match in found]


_HOW = 'Write one like cart.items[0].price, meta["a.b"], or a JSON pointer like /cart/items/0/price.'


def _unquoted(match: re.Match[str]) -> str:
    quoted = match[1] if match[1] is not None else match[2]
    return re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else match[3] or match[4]


def pointer(keys: Iterable[str]) -> str:
    """The JSON pointer of some keys.

    >>> pointer(["a/b", "0"])
    '/a~1b/0'
    """
    return "".join("/" + key.replace("~", "~0").replace("/", "~1") for key in keys)


def dotted(document: Any, keys: Sequence[str]) -> str:
    """The path as a person writes it: positions of lists in brackets, as the document tells them.

    >>> dotted({"a": [{"b.c": 1}]}, ["a", "0", "b.c"])
    'a[0]["b.c"]'
    """
    text, at = "", document
    for key in keys:
        if isinstance(at, list):
            text += f"[{key}]"
        elif _PLAIN.fullmatch(key):
            text += f".{key}" if text else key
        else:
            text += f"[{orjson.dumps(key).decode()}]"
        at = _member(at, key, None)
    return text


_MISSING: Any = object()


def find(document: Any, keys: Iterable[str], default: Any = _MISSING) -> Any:
    """The value at some keys.

    Raises
    ------
    LookupError
        There is none, and no default.
    """
    for key in keys:
        document = _member(document, key, _MISSING)
        if document is _MISSING:
            if default is _MISSING:
                raise LookupError(key)
            return default
    return document


def located(document: Any, keys: Sequence[str], *, what: str) -> tuple[list[str], Any]:
    """The keys, positions counted from the end made plain, and the value there.

    Raises
    ------
    NotFoundError
        Nothing is there; the text names paths that are near. ``what`` is what the text calls the document.
    """
    at, plain = document, []
    for key in keys:
        if isinstance(at, list) and key.startswith("-") and key[1:].isdigit() and int(key[1:]) <= len(at):
            key = str(len(at) + int(key))
        found = _member(at, key, _MISSING)
        if found is _MISSING:
            raise _nothing(document, keys, at, plain, key, what)
        plain.append(key)
        at = found
    return plain, at


def _nothing(document: Any, keys: Sequence[str], at: Any, to: list[str], key: str, what: str) -> NotFoundError:
    path = _written(keys)
    near = _near(document, at, to, key, keys)
    said = f"{what} has no {path!r}."
    if near:
        said += f" Near: {', '.join(near)}."
    where = dotted(document, to) or "the state"
    if isinstance(at, dict):
        names = ", ".join(_cut(name) for name in list(at)[:12]) or "nothing"
        said += f" {where} holds: {names}{', …' if len(at) > 12 else ''}."
    elif isinstance(at, list):
        said += f" {where} is a list of {len(at)}."
    else:
        said += f" {where} is {_kind(at)}, which holds nothing."
    return NotFoundError(said, path=path, near=near)


def _near(document: Any, at: Any, to: list[str], key: str, keys: Sequence[str]) -> list[str]:
    """Paths like the one that is not there: a like key at the same place, or the same last key elsewhere."""
    found: list[str] = []
    if isinstance(at, dict):
        by_lower = {str(name).casefold(): name for name in reversed(list(at))}
        for close in difflib.get_close_matches(key.casefold(), by_lower, 3, cutoff=0.65):
            rest = [*to, by_lower[close], *keys[len(to) + 1 :]]
            whole = rest if find(document, rest, None) is not None else rest[: len(to) + 1]
            found.append(dotted(document, whole))
    last = next((one for one in reversed(keys) if not one.lstrip("-").isdigit()), key)
    for n, (path, _) in enumerate(walk(document)):
        if len(found) >= _NEAR or n > _SEEN:
            break
        if path and path[-1] == last:
            found.append(dotted(document, path))
    return [_cut(path) for path in dict.fromkeys(found)][:_NEAR]


def walk(document: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every value of a document with its keys, a container before what it holds."""
    stack: list[tuple[tuple[str, ...], Any]] = [((), document)]
    while stack:
        keys, value = stack.pop()
        yield keys, value
        if isinstance(value, dict):
            stack.extend([((*keys, name), item) for name, item in value.items()][::-1])
        elif isinstance(value, list):
            stack.extend([((*keys, str(n)), item) for n, item in enumerate(value)][::-1])


def _member(at: Any, key: str, default: Any) -> Any:
    if isinstance(at, dict):
        return at.get(key, default)
    if isinstance(at, list) and key.isascii() and key.isdigit() and int(key) < len(at):
        return at[int(key)]
    return default


def _written(keys: Sequence[str]) -> str:
    """As a person would write it where the document does not tell what is a list."""
    return _cut(dotted(None, keys) if not any(key.isdigit() for key in keys) else pointer(keys))


def _cut(text: str) -> str:
    return text if len(text) <= 80 else text[:79] + "…"


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    return {bool: "true or false", int: "a number", float: "a number", str: "a text"}.get(type(value), "a value")
