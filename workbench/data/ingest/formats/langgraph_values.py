"""Values as LangGraph's checkpointers store them, as plain JSON: nothing that the data names is imported or executed.

``JsonPlusSerializer`` writes ``(type, bytes)``: ``msgpack`` with extension types for what is no plain value (a module,
a class and its arguments), ``json`` with LangChain's constructors (older versions, and LangGraph.js), or ``pickle``.
Its own reader imports the class and calls it. Here a value of the standard library becomes its text or list, a message
the object of its fields, and any other class ``{"__type__": "module.Class", …fields}``. What cannot be decoded is kept
as its bytes in base64; a pickle always is.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

import orjson

from workbench.data.ingest.reading.identity import digest
from workbench.data.ingest.reading.parse import parse

TYPE = "__type__"
BYTES = "base64"

# Extension types of langgraph.checkpoint.serde.jsonplus.
_ONE, _POSITIONAL, _NAMED, _METHOD, _PYDANTIC_1, _PYDANTIC_2, _ARRAY, _DELTA = range(8)
_HEX = re.compile("[0-9a-f]{32}")
_DEEPEST = 64  # extension types inside each other; each is a call of Python
_TIMESTAMP = -1

# Classes whose one argument says everything: a text, or the items of a set.
_AS_IS = {
    ("datetime", "datetime"),
    ("uuid", "UUID"),
    ("decimal", "Decimal"),
    ("builtins", "set"),
    ("builtins", "frozenset"),
    ("collections", "deque"),
    ("zoneinfo", "ZoneInfo"),
    *(("ipaddress", f"IPv{n}{kind}") for n in (4, 6) for kind in ("Address", "Interface", "Network")),
}
_MESSAGES = ("langchain_core.messages", "langchain.schema", "langchain_core", "langchain")
_ROLES = {
    "HumanMessage": "human",
    "AIMessage": "ai",
    "SystemMessage": "system",
    "ToolMessage": "tool",
    "FunctionMessage": "function",
    "ChatMessage": "chat",
    "RemoveMessage": "remove",
}


class Memo:
    """Objects that were decoded before: a channel that grows has the same messages in each of its versions.

    What is found here is shared by all values that hold it: treat it as frozen.
    """

    def __init__(self) -> None:
        self._found: dict[tuple[int, bytes], Any] = {}
        self._older: dict[tuple[int, bytes], Any] = {}  # not asked for since what is older still was let go
        self._digests: dict[int, str | None] = {}  # by the identity of what is kept in the others

    def of(self, code: int, data: bytes, decoded: Callable[[int, bytes], Any]) -> Any:
        """The object of these bytes."""
        key = (code, data)
        if key in self._found:
            return self._found[key]
        if key in self._older:
            found = self._found[key] = self._older.pop(key)
            return found
        found = self._found[key] = decoded(code, data)
        if isinstance(found, (dict, list)):
            self._digests[id(found)] = None
        return found

    def let_go(self) -> None:
        """Forget what was not asked for since this was last called."""
        for found in self._older.values():
            self._digests.pop(id(found), None)
        self._older, self._found = self._found, {}

    def has(self, value: Any) -> bool:
        """Whether a value is one of them."""
        return id(value) in self._digests

    def digest(self, value: Any) -> str:
        """As :func:`workbench.data.ingest.reading.identity.digest`, worked out once."""
        known = self._digests.get(id(value))
        if known is None:
            known = digest(value)
            if id(value) in self._digests:
                self._digests[id(value)] = known
        return known


def decode(kind: str | None, data: bytes | None, noted: Callable[[str], object], memo: Memo | None = None) -> Any:
    """The value of ``(type, bytes)`` as JSON.

    Parameters
    ----------
    noted
        Told, once per value, what is stored otherwise than it was.
    memo
        What was decoded before; without one, everything is decoded anew.

    Raises
    ------
    ValueError
        The bytes are not what the type says; :func:`opaque` shows them nevertheless.
    """
    data = bytes(data or b"")
    if kind in (None, "null", "empty"):
        return None
    if kind == "msgpack":
        return _Msgpack(noted, memo).value(data)
    if kind == "json":
        parsed = parse(data)
        for change in parsed.changed:
            noted(f"JSON: {change}")
        return _revived(parsed.value)
    if kind not in ("bytes", "bytearray"):
        noted(f"a value of type {kind!r} is not decoded: kept as its bytes in base64")
    return opaque(kind, data)


def opaque(kind: str | None, data: bytes | None, reason: str | None = None) -> dict[str, Any]:
    """Bytes that are not decoded, as data that can be looked at."""
    shown = {TYPE: kind, BYTES: b64encode(bytes(data or b"")).decode()}
    return shown if reason is None else {**shown, "error": reason}


def is_message(value: Any) -> bool:
    """Whether a decoded value is a message of LangChain."""
    if not isinstance(value, dict) or "content" not in value:
        return False
    return _ROLE_OF.get(str(value.get("type"))) is not None


def role_of(message: Mapping[str, Any]) -> str | None:
    """``human``, ``ai``, ``system``, ``tool``, ``function`` or ``chat``; a chunk counts as its message."""
    return _ROLE_OF.get(str(message.get("type")))


_ROLE_OF = {role: role for role in _ROLES.values() if role != "remove"}
_ROLE_OF |= {f"{name}Chunk": role for name, role in _ROLES.items() if role != "remove"}


class _Msgpack:
    """One value: how deep its extension types are nested, and what was noted of it."""

    def __init__(self, noted: Callable[[str], object], memo: Memo | None = None) -> None:
        self._noted = noted
        self._memo = memo
        self._depth = 0

    def value(self, data: bytes) -> Any:
        import ormsgpack

        try:
            found = ormsgpack.unpackb(data, ext_hook=self._known, option=ormsgpack.OPT_NON_STR_KEYS)
            return self._plain(found)
        except RecursionError:
            raise ValueError("not msgpack that can be read: nested too deeply") from None
        except ValueError as error:  # MsgpackDecodeError, and what was raised inside
            raise ValueError(f"not msgpack: {str(error).removeprefix('not msgpack: ')}") from error

    def _known(self, code: int, data: bytes) -> Any:
        return self._extension(code, data) if self._memo is None else self._memo.of(code, data, self._extension)

    def _extension(self, code: int, data: bytes) -> Any:
        if not _ONE <= code <= _DELTA:
            self._noted(f"an extension type {code} is not known: kept as its bytes in base64")
            return opaque(f"msgpack extension {code}", data)
        self._depth += 1
        try:
            if self._depth > _DEEPEST:
                self._noted(f"extension types nested more than {_DEEPEST} deep: kept as their bytes in base64")
                return opaque(f"msgpack extension {code}", data)
            inside = self.value(data)
        finally:
            self._depth -= 1
        if code == _DELTA:
            return inside
        if code == _ARRAY:
            return _array(inside, data)
        if not isinstance(inside, list) or len(inside) < 3 or not all(isinstance(name, str) for name in inside[:2]):
            self._noted("an object that does not name its class: kept as its bytes in base64")
            return opaque(f"msgpack extension {code}", data)
        return self._object(code, inside)

    def _object(self, code: int, inside: list[Any]) -> Any:
        module, name, given = inside[:3]
        if (module, name) == ("uuid", "UUID") and isinstance(given, str) and _HEX.fullmatch(given):
            return str(UUID(given))
        if (module, name) in _AS_IS:
            return given
        if code == _POSITIONAL and module.startswith("pathlib") and isinstance(given, list):
            return _path(given)
        if code == _POSITIONAL and (module, name) == ("datetime", "date") and _are_numbers(given, 3):
            return "-".join(f"{n:02d}" for n in given)
        if (module, name) == ("langgraph.types", "Send") and isinstance(given, list) and len(given) >= 2:
            more = {"timeout": given[2]} if len(given) > 2 else {}
            return {TYPE: f"{module}.{name}", "node": given[0], "arg": given[1], **more}
        if isinstance(given, dict) and code in (_NAMED, _PYDANTIC_1, _PYDANTIC_2):
            return _fields(module, name, given)
        key = "value" if code in (_ONE, _METHOD) else "args"
        return {TYPE: f"{module}.{name}", key: given}

    def _plain(self, value: Any) -> Any:
        """The value with keys that JSON has; bytes and what else JSON lacks are told apart from texts."""
        if self._memo is not None and self._memo.has(value):
            return value
        if isinstance(value, dict):
            return self._keyed(value)
        if isinstance(value, (list, tuple)):
            return [self._plain(item) for item in value]
        if isinstance(value, (bytes, bytearray)):
            return opaque("bytes", bytes(value))
        return value

    def _keyed(self, value: dict[Any, Any]) -> dict[str, Any]:
        if all(type(key) is str for key in value):
            return {key: self._plain(item) for key, item in value.items()}
        self._noted("object key not a string: stored as its text")
        found: dict[str, Any] = {}
        for key, item in value.items():
            text = key if isinstance(key, str) else orjson.dumps(self._plain(key), default=str).decode()
            while text in found:  # 1 and "1" are two keys
                text += "'"
            found[text] = self._plain(item)
        return found


def _fields(module: str, name: str, fields: dict[str, Any]) -> dict[str, Any]:
    role = _ROLES.get(name.removesuffix("Chunk"))
    if role is not None and module.startswith(_MESSAGES):
        return {**fields, "type": fields.get("type") or role}
    return {TYPE: f"{module}.{name}", **fields}


def _array(inside: Any, data: bytes) -> Any:
    if not isinstance(inside, list) or len(inside) != 4:
        return opaque("numpy.ndarray", data)
    dtype, shape, order, values = inside
    return (
        {TYPE: "numpy.ndarray", "dtype": dtype, "shape": shape, "order": order, BYTES: values.get(BYTES)}
        if (isinstance(values, dict))
        else opaque("numpy.ndarray", data)
    )


def _path(parts: list[Any]) -> str:
    first, *others = [str(part) for part in parts] or ["."]
    return (first.rstrip("/") + "/" if first == "/" and others else first + "/" if others else first) + "/".join(others)


def _are_numbers(values: Any, n: int) -> bool:
    return isinstance(values, list) and len(values) == n and all(type(value) is int for value in values)


def _revived(value: Any) -> Any:
    """A value of JSON with LangChain's constructors as the objects they are; walked without recursion of its own."""
    holder = [value]
    pending: list[tuple[Any, Any]] = [(holder, 0)]
    while pending:
        place, key = pending.pop()
        found = place[key]
        if isinstance(found, dict) and found.get("lc") and found.get("type") == "constructor":
            found = place[key] = _constructed(found)
        if isinstance(found, dict):
            pending += [(found, name) for name in found]
        elif isinstance(found, list):
            pending += [(found, index) for index in range(len(found))]
    return holder[0]


def _constructed(value: dict[str, Any]) -> Any:
    path, fields, args = value.get("id"), value.get("kwargs"), value.get("args")
    if not isinstance(path, list) or not path or not all(isinstance(part, str) for part in path):
        return {TYPE: "lc", **{key: item for key, item in value.items() if key != "lc"}}
    *module, name = path
    if (".".join(module), name) in _AS_IS and isinstance(args, list) and len(args) == 1:
        return args[0]
    found = _fields(".".join(module), name, fields if isinstance(fields, dict) else {})
    return {**found, "args": args} if args else found
