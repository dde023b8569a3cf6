"""Spans, or steps made of spans, as a tree: parents, depth, and which of them are around others."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Generic, Protocol, TypeVar


class Nested(Protocol):
    """What knows its own id and that of what is around it."""

    @property
    def span_id(self) -> str | None: ...  # noqa: D102
    @property
    def parent_span_id(self) -> str | None: ...  # noqa: D102


T = TypeVar("T", bound=Nested)


class Tree(Generic[T]):
    """The items of one trace with their parents; repeated ids, missing parents and circles are survived.

    Every question about ancestors is answered in one walk from the top, so a chain of any length costs its length.

    Attributes
    ----------
    by_id
        The first item of each id.
    tops
        The items that have no parent here; a circle is entered at its first item, which then counts as one of them.
    walked
        Every item with its parent, parents before children.
    """

    def __init__(self, items: Iterable[T]) -> None:
        self.items = list(items)
        self.by_id: dict[str, T] = {}
        for item in self.items:
            self.by_id.setdefault(item.span_id or "", item)
        self.by_id.pop("", None)
        self._inside: dict[int, list[T]] = {}
        self.tops: list[T] = []
        for item in self.items:
            parent = self.by_id.get(item.parent_span_id or "")
            if parent is None or parent is item:
                self.tops.append(item)
            else:
                self._inside.setdefault(id(parent), []).append(item)
        self._depth: dict[int, int] = {}
        self.walked: list[tuple[T, T | None]] = []
        self._walk()

    def depth(self, item: T) -> int:
        """How many items are around it."""
        return self._depth[id(item)]

    def children(self, item: T) -> list[T]:
        """The items directly inside it."""
        return self._inside.get(id(item), [])

    def around(self, is_marked: Callable[[T], bool]) -> set[int]:
        """The identities (``id(item)``) of the items around a marked one."""
        found: set[int] = set()
        for item, parent in reversed(self.walked):
            if parent is not None and (id(item) in found or is_marked(item)):
                found.add(id(parent))
        return found

    def inherited(self, own: Callable[[T], str | None]) -> dict[int, str | None]:
        """By identity: what an item says itself, or else the nearest one around it that says anything."""
        said: dict[int, str | None] = {}
        for item, parent in self.walked:
            said[id(item)] = own(item) or (said[id(parent)] if parent is not None else None)
        return said

    def _walk(self) -> None:
        pending: list[tuple[T, T | None]] = [(item, None) for item in reversed(self.tops)]
        rest = iter(self.items)
        while True:
            while pending:
                item, parent = pending.pop()
                if id(item) in self._depth:
                    continue
                self.walked.append((item, parent))
                self._depth[id(item)] = self._depth[id(parent)] + 1 if parent is not None else 0
                pending.extend((child, item) for child in self.children(item))
            circled = next((item for item in rest if id(item) not in self._depth), None)
            if circled is None:
                return
            self.tops.append(circled)
            pending.append((circled, None))
