"""Values of an agent as JSON that the store takes: encoded at once, so that the agent may change them afterwards.

What JSON can say is said as it is. What it cannot is kept as a typed placeholder, an object with ``$type``:

=====================  =================================================================================
bytes                  ``{"$type": "bytes", "base64": …, "size_bytes": n}`` (the first 48 kB)
exception              ``{"$type": "builtins.KeyError", "message": …}``
integer of 4,000 bits  its hexadecimal digits, as text
array up to 10,000     a list; a larger one ``{"$type": "numpy.ndarray", "shape", "dtype", "repr"}``
data frame             ``{"$type", "shape", "columns": {name: dtype}, "head": first rows}``
a value inside itself  ``{"$type": "cycle", "path": "/where/it/began"}``
nested too deep        ``{"$type": "deep", "repr": …}``
anything else          ``{"$type": "module.Class", "repr": …}``
=====================  =================================================================================

Pydantic models, dataclasses, enums, dates, UUIDs, sets and mappings become what they say; keys that are the same as
text are told apart by their types. Nothing that a value does when it is asked (an error in its ``__repr__``, a property
that raises, ``sys.exit()``) reaches the agent; the user's own Ctrl-C does.
"""

from __future__ import annotations

import base64
import json
import re
from collections import deque
from collections.abc import Mapping, Set
from dataclasses import is_dataclass
from datetime import date, time, timedelta
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from pathlib import PurePath
from typing import Any
from uuid import UUID

import orjson

from workbench.data.store.storable import MAX_CHARS, has_long_text, is_finite, pack, storable

MAX_DEPTH = 200
MAX_ITEMS = 10_000  # of an array
HEAD_ROWS = 20  # of a data frame
_BYTES = 48_000
_REPR = 2_000
_MAX_BITS = 4_000  # of an integer: Python refuses to write out more than 4,300 digits
# A time zone that raises when it is asked for its offset makes orjson 3.x end the process with a segmentation fault.
_OPTIONS = orjson.OPT_PASSTHROUGH_DATETIME
_TEXTS = (Decimal, Fraction, PurePath, timedelta, complex, re.Pattern, type(NotImplemented))


def encoded(value: Any) -> tuple[bytes, bytes | None]:
    """The value as JSON, and where that had to change it, the way it was (ASCII JSON, as ``raw`` columns hold it).

    Never raises.
    """
    data = _as_it_is(value)
    if data is not None:
        return data, None
    try:
        whole = tree(value)
        stored = storable(whole)
        raw = pack(json.dumps(whole).encode()) if stored.changed else None
        return stored.text.encode(), raw
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 (whatever an agent's values do must not reach the agent)
        return orjson.dumps(_lost(value, error)), None


def _as_it_is(value: Any) -> bytes | None:
    """The value's JSON where the store takes it unchanged."""
    try:
        data = orjson.dumps(value, default=placeholder, option=_OPTIONS)
    except (TypeError, RecursionError) as error:  # orjson's error for every refusal is a TypeError
        if isinstance(error.__cause__, KeyboardInterrupt):
            raise error.__cause__ from None
        return None
    is_storable = b"\\u0000" not in data and not has_long_text(data) and (b"null" not in data or _is_finite(value))
    return data if is_storable else None


def _is_finite(value: Any) -> bool:
    try:
        return is_finite(value, default=placeholder)
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001 (as below)
        return False


def plain(value: Any) -> Any:
    """The value as plain Python data, a copy of its own."""
    data, _ = encoded(value)
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:  # deeper than orjson reads
        return json.loads(data)


def placeholder(value: Any) -> Any:
    """What stands for a value that JSON cannot say; plain data one level deep at least."""
    try:
        return _said(value)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 (as above)
        return _lost(value, error)


def tree(value: Any) -> Any:
    """The value as plain Python data, with placeholders for cycles and for what is nested too deep."""
    return _Tree().plain(value, (), 0)


class _Tree:
    def __init__(self) -> None:
        self._above: dict[int, tuple[str, ...]] = {}  # containers that hold what is looked at → where they are

    def plain(self, value: Any, path: tuple[str, ...], depth: int) -> Any:
        if value is None or type(value) in (bool, str, int, float):
            return _scalar(value)
        if id(value) in self._above:
            return {"$type": "cycle", "path": "".join(f"/{_pointer(part)}" for part in self._above[id(value)])}
        if depth >= MAX_DEPTH:
            return {"$type": "deep", "repr": _safely(repr, value)}
        self._above[id(value)] = path
        try:
            return self._container(value, path, depth)
        except RecursionError:  # the agent itself is deep in its stack
            return {"$type": "deep", "repr": ""}
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 (as above)
            return _lost(value, error)
        finally:
            del self._above[id(value)]

    def _container(self, value: Any, path: tuple[str, ...], depth: int) -> Any:
        if isinstance(value, (bool, str, int, float)) and not isinstance(value, Enum):
            return _scalar(value)
        if isinstance(value, Mapping):
            return {key: self.plain(item, (*path, key), depth + 1) for key, item in _members(value).items()}
        if isinstance(value, (list, tuple)) and not hasattr(type(value), "_asdict"):
            return [self.plain(item, (*path, str(at)), depth + 1) for at, item in enumerate(list(value))]
        if isinstance(value, (UUID, date, time)):
            return str(value) if isinstance(value, UUID) else value.isoformat()
        if isinstance(value, Enum):
            return self.plain(value.value, path, depth + 1)
        return self.plain(_said(value), path, depth + 1)


def _said(value: Any) -> Any:
    if isinstance(value, BaseException):
        return {**_named(value), "message": _safely(str, value)}
    if isinstance(value, (bytes, bytearray, memoryview)):
        whole = bytes(value)
        return {"$type": "bytes", "base64": base64.b64encode(whole[:_BYTES]).decode(), "size_bytes": len(whole)}
    if isinstance(value, _TEXTS):
        return str(value)
    if isinstance(value, (date, time)):  # datetime is a date
        return value.isoformat()
    if isinstance(value, type):
        return {"$type": "type", "repr": f"{value.__module__}.{value.__qualname__}"}
    if is_dataclass(value):
        return {name: getattr(value, name) for name in value.__dataclass_fields__ if hasattr(value, name)}
    # Of the type: an object that says yes to every name it is asked for (a mock, a proxy) is none of these.
    if hasattr(type(value), "_asdict") or hasattr(type(value), "model_dump"):
        return _dumped(value)
    if isinstance(value, Mapping):
        return _members(value)
    if isinstance(value, Set):
        return sorted(value, key=_as_text)
    if isinstance(value, (list, tuple, deque)):
        return list(value)
    if isinstance(value, (str, int, float)):  # of a subclass, which orjson hands on
        return _scalar(value)
    if hasattr(type(value), "shape"):
        return _shaped(value)
    return {**_named(value), "repr": _safely(repr, value)}


def _dumped(value: Any) -> Any:
    if hasattr(type(value), "_asdict"):
        return dict(value._asdict())
    try:
        return value.model_dump(mode="json")
    except Exception:  # noqa: BLE001 (pydantic raises its own error for a field that it cannot say)
        return dict(value.model_dump())


def _shaped(value: Any) -> Any:
    """An array or a data frame, of whatever library: told by what it can, so that none has to be imported."""
    if hasattr(value, "columns") and hasattr(value, "head"):
        head = value.head(HEAD_ROWS)
        rows = head.to_dicts() if hasattr(head, "to_dicts") else head.to_dict("records")
        kinds = {_key(name): str(kind) for name, kind in zip(value.columns, value.dtypes, strict=True)}
        return {**_named(value), "shape": list(value.shape), "columns": kinds, "head": rows}
    size = 1
    for n in value.shape:
        size *= int(n)
    listed = getattr(value, "tolist", None) or getattr(value, "to_list", None)
    if size <= MAX_ITEMS and listed is not None:
        found = listed()
        return found if is_finite(found) else orjson.loads(storable(found).text)  # orjson says null for NaN
    told = {"shape": list(value.shape), "dtype": str(getattr(value, "dtype", None))}
    return {**_named(value), **told, "repr": _safely(repr, value)}


def _scalar(value: Any) -> Any:
    """A scalar as its JSON type, also of a subclass."""
    if value is None or type(value) in (bool, str, float):
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        number = int.__int__(value)
        return number if number.bit_length() <= _MAX_BITS else hex(number)
    return float.__float__(value)


def _named(value: Any) -> dict[str, str]:
    return {"$type": _safely(_name_of, type(value))}


def _name_of(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _lost(value: Any, error: BaseException) -> dict[str, str]:
    return {**_named(value), "repr": _safely(repr, value), "error": type(error).__name__}


def _safely(words: Any, value: Any) -> str:
    """``str`` or ``repr`` of a value, short; what it raises is told instead."""
    try:
        text = str.__str__(words(value))  # of a subclass, whose own methods may be anything
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 (as above)
        return f"<{type(error).__name__} in its {words.__name__}>"
    text = text if len(text) <= _REPR else f"{text[:_REPR]}… [{len(text)} characters]"
    return text.encode("utf-8", "replace").decode()


def _as_text(value: Any) -> str:
    return _safely(repr, value)


def _members(value: Mapping[Any, Any]) -> dict[str, Any]:
    """The members of a mapping by names, none lost: ``1`` and ``"1"`` are two."""
    named: dict[str, Any] = {}
    for key, item in list(value.items()):
        name, n = _key(key), 1
        while name in named:
            n += 1
            name = f"{_key(key)} ({type(key).__name__}{f' {n}' if n > 2 else ''})"
        named[name] = item
    return named


def _key(key: Any) -> str:
    return key if type(key) is str else _safely(str, key.value if isinstance(key, Enum) else key)


def _pointer(part: str) -> str:
    return part.replace("~", "~0").replace("/", "~1")


def described(error: BaseException) -> dict[str, str]:
    """An exception as events hold it."""
    return {"type": type(error).__name__, "message": _safely(str, error)}


__all__ = ["MAX_CHARS", "described", "encoded", "placeholder", "plain", "tree"]
