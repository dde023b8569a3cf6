"""Runs that hang on each other: any order of their files makes the same tree, and an undo that of the others alone."""

from __future__ import annotations

import random
from collections.abc import Iterable
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from tests.data.ingest.link_families import FAMILIES, Write
from tests.data.ingest.test_any_order import empty, tree
from workbench.data.ingest import ingest
from workbench.data.ingest.undo import undo
from workbench.data.store.engine import Store

_ORDERS = 2  # beside the first and the last of the many that five files have
_MANY = 5  # files, of which not each is taken back


def orders(writes: list[Write]) -> list[tuple[Write, ...]]:
    """Some permutations: as given, backwards, and others by chance, the same each time."""
    found = list(permutations(writes))
    chosen = random.Random(len(found)).sample(found, min(_ORDERS, len(found)))
    return list(dict.fromkeys([found[0], found[-1], *chosen]))


def read(store: Store, folder: Path, writes: Iterable[Write]) -> dict[str, list[tuple[Any, ...]]]:
    """The rows of some files, each written and read before the next, in a store that was empty."""
    empty(store)
    for path, data in writes:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
        ingest(store, folder / path, progress=False)
    return tree(store)


@pytest.mark.parametrize("kind", FAMILIES)
def test_any_order_makes_the_same_tree(store: Store, tmp_path: Path, kind: str) -> None:
    """Linked files in any order, copies and files written anew among them, make the same rows."""
    writes = FAMILIES[kind]()
    expected = read(store, tmp_path, writes)

    for order in orders(writes):
        assert read(store, tmp_path, order) == expected, [path for path, _ in order]


@pytest.mark.parametrize("kind", FAMILIES)
def test_an_undo_makes_the_tree_of_the_others(store: Store, tmp_path: Path, kind: str) -> None:
    """Each import taken back leaves what the others make alone: links go back to whom they were for without it."""
    writes = FAMILIES[kind]()
    for name, data in writes if len(writes) < _MANY else (writes[0], writes[-1]):
        read(store, tmp_path, writes)
        with store.raw() as connection:
            [(own, *paths)] = connection.execute(_IMPORT, {"data": data, "path": str((tmp_path / name).resolve())})
        undo(store, own)
        left = tree(store)
        others = [
            (path, said) for path, said in writes if said != data or str((tmp_path / path).resolve()) not in paths
        ]

        assert left == read(store, tmp_path, others), name


_IMPORT = """
SELECT id, path, unnest(CASE WHEN copies = '{}' THEN '{""}' ELSE copies END) FROM workbench.imports
WHERE sha256 = encode(sha256(%(data)s), 'hex') AND (path = %(path)s OR %(path)s = ANY(copies))
"""
