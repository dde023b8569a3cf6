"""Real sessions cut at random: their parts, read in any order, give the rows of the whole."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from tests.data.ingest.cuts import Cut, cut, cut_at, differences, sessions, stored
from tests.data.ingest.test_any_order import tree
from workbench.data.ingest.undo import undo
from workbench.data.store.engine import Store

_CUTS, _SEED = int(os.environ.get("WORKBENCH_CUTS", "8")), int(os.environ.get("WORKBENCH_SEED", "7"))
_UNDONE = 2
# Each of these once gave other rows than its whole.
_KNOWN = [
    ("claude-code/viewer.session-1.0.108-subagents.jsonl", [(0, 25), (13, 51)]),  # side chains cut in two
    ("claude-code/claude-code-log.edge_cases.jsonl", [(0, 4), (3, 19)]),
    ("codex/codemie.incremental.turn-2.jsonl", [(0, 6), (6, 24)]),  # inside a turn
    ("codex/codemie.rollout-2026-01-02T18-39-45.jsonl", [(0, 20), (19, 90)]),
    ("pi/large-session.jsonl.gz", [(0, 26), (25, 45), (44, 60)]),
]


def cuts(folder: Path, n: int, seed: int) -> list[Cut]:
    """Cuts of the real sessions, one of each and again from the first."""
    chance, files, found = random.Random(seed), sessions(folder), []
    while len(found) < n:
        for format, path in files:
            one = cut(format, path, chance)
            found += [] if one is None else [one]
    return found[:n]


def test_random_cuts_of_real_sessions(store: Store, tmp_path: Path, shared_data: Path) -> None:
    """Two to four parts, overlapping or not, of a stretch of a real session, in all their orders."""
    chance, wrong = random.Random(_SEED), []
    for one in cuts(shared_data, _CUTS, _SEED):
        wrong += list(differences(store, tmp_path, one, chance))[:1]
    print(f"{len(wrong)} of {_CUTS} cuts differ")

    assert wrong == []


@pytest.mark.parametrize(("name", "spans"), _KNOWN, ids=[name for name, _ in _KNOWN])
def test_known_cuts(store: Store, tmp_path: Path, shared_data: Path, name: str, spans: list[tuple[int, int]]) -> None:
    """Cuts inside a turn, through side chains and through a session that names another."""
    path = shared_data / name
    one = cut_at(name.split("/")[0], path, (0, spans[-1][1]), spans)

    assert one is not None
    assert list(differences(store, tmp_path, one, random.Random(1))) == []


def test_a_part_that_is_undone(store: Store, tmp_path: Path, shared_data: Path) -> None:
    """Undoing the import of one part leaves the rows that the others alone give."""
    for one in cuts(shared_data, _UNDONE, _SEED + 1):
        for gone in range(len(one.parts)):
            expected = stored(store, tmp_path, one, [part for n, part in enumerate(one.parts) if n != gone])
            stored(store, tmp_path, one, one.parts)
            with store.raw() as connection:
                rows = connection.execute("SELECT id, path FROM workbench.imports").fetchall()
            [own] = [own for own, path in rows if Path(path).parent.name == str(gone)]
            undo(store, own)

            assert tree(store) == expected, f"{one.about} without {gone}"
