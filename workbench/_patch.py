"""Apply RFC 6902 JSON patches, and tell whether two JSON values are the same. Pure; see :mod:`workbench._delta`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from typing import Any, NoReturn

import orjson

from workbench.errors import PatchError

_MISSING: Any = object()


def apply(document: Any, patch: Iterable[Mapping[str, Any]]) -> Any:
    """Return the document after all operations of `patch`; `document` and `patch` stay as they are.

    Raises
    ------
    PatchError
        An operation is malformed or does not fit the document. ``.op_index`` (0-based), ``.pointer`` and ``.reason``
        say which and why; there is no partial result.

    Examples
    --------
    >>> apply({"n": 1}, [{"op": "test", "path": "/n", "value": 1}, {"op": "add", "path": "/m", "value": 2}])
    {'n': 1, 'm': 2}
    """
    return apply_owned(document, patch, {})


def same(a: Any, b: Any) -> bool:
    """Whether `a` and `b` are the same JSON value (``True`` ≠ ``1``, ``1`` = ``1.0``, key order free)."""
    if a is b:
        return True
    try:
        if a != b:
            return False
    except RecursionError:
        return _same_deep(a, b)
    if not isinstance(a, (dict, list)):
        return isinstance(a, bool) is isinstance(b, bool)
    # Python says equal; what is left to look for is a bool that met a number. The bytes settle it in most cases.
    try:
        if orjson.dumps(a) == orjson.dumps(b):
            return True
    except TypeError:  # more than 64 bits, too deep, or not JSON
        pass
    return _same_deep(a, b)


def _same_deep(a: Any, b: Any) -> bool:
    stack = [(a, b)]
    while stack:
        x, y = stack.pop()
        if x is y:
            continue
        if isinstance(x, dict):
            if not isinstance(y, dict) or x.keys() != y.keys():
                return False
            stack.extend((value, y[key]) for key, value in x.items())
        elif isinstance(x, list):
            if not isinstance(y, list) or len(x) != len(y):
                return False
            stack.extend(zip(x, y, strict=True))
        elif isinstance(y, (dict, list)) or x != y or isinstance(x, bool) is not isinstance(y, bool):
            return False
    return True


def apply_owned(document: Any, patch: Iterable[Mapping[str, Any]], owned: dict[int, Any] | None) -> Any:
    """Apply `patch`, changing in place only the containers in `owned` (id → container).

    Every container on the way to a change is copied once and then owned, so a patch of many operations on one array
    copies it once. Who passes the same `owned` again with the result gives up the earlier result: its containers are
    changed. That makes a run of 5,000 appends linear.

    ``owned=None``: everything is, the parts of the patch too, as when all of it was just parsed. Nothing is copied.
    """
    if isinstance(patch, (str, bytes, Mapping)) or not isinstance(patch, Iterable):
        reason = f"a patch is an array of operations, not {_json_name(patch)}"
        raise PatchError(f"The patch does not apply: {reason}.", op_index=None, pointer=None, reason=reason)
    for index, op in enumerate(patch):
        try:
            document = _apply_one(document, op, owned)
        except _PointerError as error:
            pointer = op.get("path") if isinstance(op, Mapping) else None
            name = op.get("op") if isinstance(op, Mapping) else None
            raise PatchError(
                f"Operation {index} of the patch ({name} {pointer!r}) does not apply: {error}.",
                op_index=index,
                pointer=pointer,
                reason=str(error),
            ) from None
    return document


class _PointerError(Exception):
    """The reason alone; :func:`apply_owned` adds the operation's index and pointer."""


def _fail(reason: str) -> NoReturn:
    raise _PointerError(reason)


def _apply_one(document: Any, op: Mapping[str, Any], owned: dict[int, Any] | None) -> Any:
    if type(op) is not dict and not isinstance(op, Mapping):
        _fail(f"an operation is an object, not {_json_name(op)}")
    name = op.get("op", _MISSING)
    parts = _parts(op.get("path", _MISSING), "path")
    if name == "add":
        return _add(document, parts, _value(op), owned)
    if name == "replace":
        return _replace(document, parts, _value(op), owned)
    if name == "remove":
        return _remove(document, parts, owned)
    if name == "test":
        found, wanted = _get(document, parts), _value(op)
        if not same(found, wanted):
            _fail(f"the value there is {_short(found)}, not {_short(wanted)}")
        return document
    if name in ("move", "copy"):
        return _move_or_copy(document, name, _parts(op.get("from", _MISSING), "from"), parts, owned)
    return _fail(
        "'op' is missing" if name is _MISSING else f"unknown op {name!r}; known: add remove replace move copy test"
    )


def _move_or_copy(document: Any, name: str, source: list[str], target: list[str], owned: dict[int, Any] | None) -> Any:
    value = _get(document, source)
    if name == "copy":
        # The value now stands in two places: nothing below it may be changed in place any more.
        if owned is None:
            value = deepcopy(value)
        else:
            owned.clear()
    elif source == target:
        return document
    elif target[: len(source)] == source:
        _fail("a value cannot be moved into itself")
    else:
        document = _remove(document, source, owned)
    return _add(document, target, value, owned)


def _value(op: Mapping[str, Any]) -> Any:
    value = op.get("value", _MISSING)
    if value is _MISSING:
        _fail("'value' is missing")
    return value


def _parts(pointer: Any, member: str) -> list[str]:
    if not isinstance(pointer, str):
        _fail(f"'{member}' is missing" if pointer is _MISSING else f"'{member}' is {_json_name(pointer)}, not a string")
    if not pointer:
        return []
    if pointer[0] != "/":
        _fail(f"pointer {pointer!r} does not start with '/'")
    if "~" not in pointer:
        return pointer[1:].split("/")
    return [_unescaped(part) for part in pointer[1:].split("/")]


def _unescaped(part: str) -> str:
    rest = part.replace("~0", "").replace("~1", "")
    if "~" in rest:
        _fail("'~' must be followed by 0 or 1")
    return part.replace("~1", "/").replace("~0", "~")


def _index(part: str, n: int, *, for_add: bool = False) -> int:
    """Return the array index; ``-`` and ``n`` stand behind the last item and are only good for an add."""
    if for_add and part == "-":
        return n
    if not (part.isdigit() and part.isascii()) or (part[0] == "0" and part != "0"):
        _fail(f"{part!r} is not an index of an array" + (" that holds a value" if part == "-" else ""))
    # A longer number cannot be an index, and int() refuses more than 4300 digits with another error.
    index = int(part) if len(part) < 20 else n + 1
    if index > n or (index == n and not for_add):
        _fail(f"index {part} is out of range, the array has {n} items")
    return index


def _child(container: Any, part: str) -> Any:
    if isinstance(container, dict):
        value = container.get(part, _MISSING)
        if value is _MISSING:
            _fail(f"there is no member {part!r}")
        return value
    if isinstance(container, list):
        return container[_index(part, len(container))]
    return _fail(f"{part!r} asks for a part of {_json_name(container)}")


def _get(document: Any, parts: Sequence[str]) -> Any:
    for part in parts:
        document = document[part] if type(document) is dict and part in document else _child(document, part)
    return document


def _own(container: Any, owned: dict[int, Any]) -> Any:
    if id(container) in owned:
        return container
    copy = container.copy() if isinstance(container, (dict, list)) else container
    owned[id(copy)] = copy  # held, so that its id cannot be given to another object
    return copy


def _open(document: Any, parts: list[str], owned: dict[int, Any] | None) -> tuple[Any, Any]:
    """Make every container on the way to the last part our own; return the new document and the last container."""
    # The hot path of rebuilding a state, hence no calls for what is usual.
    if owned is None:
        return document, _get(document, parts[:-1])
    document = container = document if id(document) in owned else _own(document, owned)
    for part in parts[:-1]:
        key: Any = part
        if type(container) is dict:
            child = container.get(part, _MISSING)
        else:
            key = _index(part, len(container)) if isinstance(container, list) else part
            child = container[key] if isinstance(container, list) else _child(container, part)
        if child is _MISSING:
            _fail(f"there is no member {part!r}")
        if id(child) not in owned:
            child = container[key] = _own(child, owned)
        container = child
    return document, container


def _add(document: Any, parts: list[str], value: Any, owned: dict[int, Any] | None) -> Any:
    if not parts:
        return value
    document, container = _open(document, parts, owned)
    if isinstance(container, dict):
        container[parts[-1]] = value
    elif isinstance(container, list):
        container.insert(_index(parts[-1], len(container), for_add=True), value)
    else:
        _fail(f"{parts[-1]!r} asks for a part of {_json_name(container)}")
    return document


def _replace(document: Any, parts: list[str], value: Any, owned: dict[int, Any] | None) -> Any:
    if not parts:
        return value
    document, container = _open(document, parts, owned)
    _child(container, parts[-1])
    container[int(parts[-1]) if isinstance(container, list) else parts[-1]] = value
    return document


def _remove(document: Any, parts: list[str], owned: dict[int, Any] | None) -> Any:
    if not parts:
        _fail("the whole document cannot be removed, only replaced")
    document, container = _open(document, parts, owned)
    _child(container, parts[-1])
    del container[int(parts[-1]) if isinstance(container, list) else parts[-1]]
    return document


def _json_name(value: Any) -> str:
    names = {dict: "an object", list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number" if isinstance(value, (int, float)) else f"a {type(value).__name__}")


def _short(value: Any) -> str:
    if isinstance(value, (dict, list)):
        return f"{_json_name(value)} of {len(value)}"
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"
