"""The store of whatever has one: rooms take an open workbench or its store, and know neither by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from workbench.data.store.engine import Store


class HasStore(Protocol):
    """An open workbench."""

    @property
    def store(self) -> Store:
        """What it is open on."""
        ...


def store_of(bench: HasStore | Store) -> Store:
    """The store of an open workbench, or the one that was given."""
    return getattr(bench, "store", bench)  # pyright: ignore[reportReturnType]
