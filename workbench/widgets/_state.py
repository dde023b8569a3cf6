"""A JSON state of any size for the browser: a page of a container at a time, found text, and what a step changed.

Nothing here sends a state whole: a container gives :data:`PAGE` entries of one line each, a text its next piece. The
browser keeps which containers are open and asks for those alone (``static/_lib/state_tree.js``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, NamedTuple

import orjson

from workbench._delta import same, unequal_items

PAGE = 100  # entries of a list or object in one answer
KEY = 4_000  # characters of a name in a line of the tree
LINE = 240  # characters of a value in a line of the tree
PIECE = 20_000  # characters of an answer to "show more"
PAGES = 200  # pages of all open containers in one answer
HITS = 200  # found places that are listed
VISITED = 3_000_000  # values that one search looks at
CHANGES = 300  # differences that are listed
DEPTH = 60

MISSING: Any = object()

Entry = tuple[str, str, int, str]
"""Key, kind (object array string number boolean null), size (entries or characters) and what a line shows."""


def entry(key: str, value: Any, limit: int = LINE) -> Entry:
    """One line about a value."""
    if isinstance(value, str):
        return key[:KEY], "string", len(value), value[:limit]
    if isinstance(value, Mapping):
        names = ", ".join(str(name)[:24] or '""' for name in islice(value, 5))
        return key[:KEY], "object", len(value), names[:limit] + (", …" if len(value) > 5 else "")
    if isinstance(value, list | tuple):
        return key[:KEY], "array", len(value), ""
    if value is None:
        return key[:KEY], "null", 0, "null"
    if isinstance(value, bool):
        return key[:KEY], "boolean", 0, "true" if value else "false"
    text = repr(value)
    return key[:KEY], "number", len(text), text[:limit]


def page(state: Any, pointer: str, number: int) -> dict[str, Any]:
    """One page of the entries of a container.

    Raises
    ------
    LookupError
        There is no container at that pointer.
    """
    value = at(state, pointer)
    if isinstance(value, Mapping):
        listed: Iterable[tuple[Any, Any]] = islice(value.items(), number * PAGE, (number + 1) * PAGE)
    elif isinstance(value, list):
        listed = zip(range(number * PAGE, len(value)), value[number * PAGE : (number + 1) * PAGE], strict=False)
    else:
        raise LookupError(f"There is no list or object at {pointer!r} of this state.")
    return {"size": len(value), "entries": [entry(str(key), item) for key, item in listed]}


def pages(state: Any, wanted: Mapping[str, Iterable[int]]) -> dict[str, dict[str, Any]]:
    """The pages of all open containers: pointer → ``{"kind", "size", "pages": {number: entries}}``.

    What is no longer there, or no container any more, is left out.
    """
    found: dict[str, dict[str, Any]] = {}
    left = PAGES
    for pointer, numbers in wanted.items():
        for number in numbers:
            if left <= 0:
                return found
            try:
                got = page(state, pointer, int(number))
            except LookupError:
                break
            left -= 1
            node = found.setdefault(pointer, {"size": got["size"], "pages": {}})
            node["pages"][str(number)] = got["entries"]
    return found


def near(state: Any) -> dict[str, list[int]]:
    """What a reader without a kernel may open: the first page of the whole, and of what is small in it."""
    wanted = {"": [0]}
    if isinstance(state, Mapping | list):
        listed = islice(state.items() if isinstance(state, Mapping) else enumerate(state), PAGE)
        small = [below("", key) for key, value in listed if isinstance(value, Mapping | list) and 0 < len(value) <= 20]
        wanted.update({pointer: [0] for pointer in small[:12]})
    return wanted


def at(state: Any, pointer: str) -> Any:
    """The value at a JSON pointer (RFC 6901).

    Raises
    ------
    LookupError
        There is nothing; the text says so.
    """
    value = state
    for part in keys(pointer):
        try:
            value = value[int(part)] if isinstance(value, list) else value[part]
        except (LookupError, ValueError, TypeError):
            raise LookupError(f"There is nothing at {pointer!r} of this state.") from None
    return value


def keys(pointer: str) -> list[str]:
    """The parts of a JSON pointer."""
    return [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]


def below(pointer: str, key: object) -> str:
    """The pointer of a member."""
    return f"{pointer}/{str(key).replace('~', '~0').replace('/', '~1')}"


def text_piece(state: Any, pointer: str, offset: int) -> str:
    """The next piece of a long string.

    Raises
    ------
    LookupError
        There is no string at that pointer.
    """
    value = at(state, pointer)
    if not isinstance(value, str):
        raise LookupError(f"There is no text at {pointer!r} of this state.")
    return value[offset : offset + PIECE]


def way(state: Any, pointer: str) -> dict[str, int]:
    """The pages of the ancestors of a value that hold it, by pointer; as far as there is a value."""
    found: dict[str, int] = {}
    here, value = "", state
    for key in keys(pointer):
        if isinstance(value, Mapping) and key in value:
            place, below_it = next(n for n, name in enumerate(value) if name == key), value[key]
        elif isinstance(value, list) and key.isdecimal() and int(key) < len(value):
            place, below_it = int(key), value[int(key)]
        else:
            break
        found[here] = place // PAGE
        here, value = below(here, key), below_it
    return found


class Found(NamedTuple):
    """What a search found: places in the order of the document."""

    hits: list[dict[str, Any]]
    n: int
    is_whole: bool
    """False: the state holds more than :data:`VISITED` values, and the rest was not looked at."""


def find(state: Any, text: str) -> Found:
    """Keys and values that hold a text, whatever its case.

    Each hit has ``pointer``, ``where`` (key · value) and ``pages``: those of its ancestors that hold it, by pointer.
    """
    needle = text.casefold()
    is_scalar = needle in "true false null" or set(needle) <= set("0123456789+-.einfa")
    hits: list[dict[str, Any]] = []
    n = visited = 0
    # Of each open container: its entries that are left, whether they have names, where in it we are.
    levels: list[Iterator[tuple[Any, Any]]] = [iter([("", state)])]
    named, here = [False], [("", -1)]
    while levels:
        for key, value in levels[-1]:
            here[-1] = (key, here[-1][1] + 1)
            visited += 1
            if named[-1] and needle in str(key).casefold():
                where = "key"
            elif isinstance(value, str):
                where = "value" if needle in value.casefold() else None
            elif isinstance(value, Mapping | list):
                where = None
            else:
                where = "value" if is_scalar and needle in entry("", value)[3].casefold() else None
            if where:
                n += 1
                if len(hits) < HITS:
                    hits.append({"where": where, **_place(here)})
            if visited >= VISITED:
                return Found(hits, n, False)
            if isinstance(value, Mapping | list):
                levels.append(iter(value.items()) if isinstance(value, Mapping) else iter(enumerate(value)))
                named.append(isinstance(value, Mapping))
                here.append(("", -1))
                break
        else:
            levels.pop()
            named.pop()
            here.pop()
    return Found(hits, n, True)


def _place(here: list[tuple[Any, int]]) -> dict[str, Any]:
    pointer, found = "", {}
    for key, place in here[1:]:
        found[pointer] = place // PAGE
        pointer = below(pointer, key)
    return {"pointer": pointer, "pages": found}


class Difference(NamedTuple):
    """One thing that a step changed."""

    kind: str  # added · removed · changed
    pointer: str  # into the state after; of what was removed into the state before
    before: Any
    after: Any


def differences(before: Any, after: Any, pointer: str = "", depth: int = 0) -> Iterator[Difference]:
    """What changed from one state to the next, the smallest parts, in the order of the document."""
    if same(before, after):
        return
    if depth < DEPTH and isinstance(before, dict) and isinstance(after, dict):
        for name in dict.fromkeys([*before, *after]):
            old, new = before.get(name, MISSING), after.get(name, MISSING)
            yield from _member(old, new, below(pointer, name), depth + 1)
    elif depth < DEPTH and isinstance(before, list) and isinstance(after, list):
        for i, j, _ in unequal_items(before, after):
            old, new = MISSING if i is None else before[i], MISSING if j is None else after[j]
            yield from _member(old, new, below(pointer, i if j is None else j), depth + 1)
    else:
        yield Difference("changed", pointer, before, after)


def _member(old: Any, new: Any, pointer: str, depth: int) -> Iterator[Difference]:
    if old is MISSING or new is MISSING:
        yield Difference("added" if old is MISSING else "removed", pointer, old, new)
    else:
        yield from differences(old, new, pointer, depth)


def told(before: Any, after: Any) -> dict[str, Any]:
    """The differences for the browser: ``changes`` of at most :data:`CHANGES`, and whether there are more."""
    found = list(islice(differences(before, after), CHANGES + 1))
    return {
        "changes": [
            {
                "kind": one.kind,
                "pointer": one.pointer,
                "before": None if one.before is MISSING else entry("", one.before)[1:],
                "after": None if one.after is MISSING else entry("", one.after)[1:],
            }
            for one in found[:CHANGES]
        ],
        "has_more_changes": len(found) > CHANGES,
    }


def editable(state: Any, pointer: str, most: int) -> str | None:
    """A value as JSON to edit by hand; ``None`` where it is larger than that makes sense."""
    value = at(state, pointer)
    try:
        text = orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS).decode()
    except TypeError:
        return None
    return text if len(text) <= most else None
