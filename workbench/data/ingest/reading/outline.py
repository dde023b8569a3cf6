"""The key paths of a JSON document of which only the beginning is at hand."""

from __future__ import annotations

import re

import orjson

# A string that is cut off takes all the rest: looking for its end again from every quote inside would be quadratic.
_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)|[\[\]{},:]|[^\s"\[\]{},:]++', re.DOTALL)


def outline(data: bytes, depth: int = 3) -> frozenset[str]:
    """Dotted paths of object keys down to ``depth``; lists are looked through, first element only.

    The text may break off anywhere. What is not JSON gives whatever keys came before the break.
    """
    found: set[str] = set()
    stack: list[_Level] = []
    pending: bytes | None = None
    for match in _TOKEN.finditer(data):
        token = match.group()
        if token in (b"{", b"["):
            stack.append(_child(stack, is_object=token == b"{"))
        elif token in (b"}", b"]"):
            if stack:
                stack.pop()
            if not stack:
                break  # the first document of the file is enough
        elif token == b":":
            if stack and stack[-1].is_object and pending is not None:
                stack[-1].enter(pending, found, depth)
        elif token == b"," and stack and not stack[-1].is_object:
            stack[-1].element += 1
        pending = token if token[:1] == b'"' else None
    return frozenset(found)


class _Level:
    """One open bracket: the path of the value being read in it."""

    __slots__ = ("base", "depth", "element", "is_object", "path")

    def __init__(self, base: str | None, depth: int, *, is_object: bool) -> None:
        self.depth = depth  # keys in the base
        self.base = base  # None: below here nothing is collected
        self.path = base
        self.is_object = is_object
        self.element = 0

    def enter(self, key: bytes, found: set[str], depth: int) -> None:
        if self.base is None or self.depth >= depth:
            self.path = None
            return
        try:
            name = orjson.loads(key)
        except orjson.JSONDecodeError:
            self.path = None
            return
        self.path = f"{self.base}.{name}" if self.base else name
        found.add(self.path)


def _child(stack: list[_Level], *, is_object: bool) -> _Level:
    if not stack:
        return _Level("", 0, is_object=is_object)
    parent = stack[-1]
    if parent.is_object:
        return _Level(parent.path, parent.depth + 1, is_object=is_object)
    return _Level(parent.base if parent.element == 0 else None, parent.depth, is_object=is_object)
