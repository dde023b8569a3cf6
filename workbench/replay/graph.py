"""Many runs on one line: the step graph, a multiple alignment by a growing profile.

A star alignment (Gusfield 1993) whose centre is the run most like the others, grown like a partial-order alignment
(Lee, Grasso & Sharlow 2002): the runs come in the order of their likeness to all others, each is aligned with the
columns so far, in order (:func:`workbench.replay.align.best_path`), and what finds no column there makes one. So n runs
take n alignments, not n²/2. The outcome of a run is not looked at.

* *Retries*: a call that is the one before once more, word for word, is a repeat at the column of the first time, and so
  is its result. Done again after other calls, as to see what has changed, it is a step of its own.
* *Reordering*: a step that other runs do elsewhere, word for word, is put to their column and marked as moved.

How alike two texts are is the cosine of their words' random projections (Johnson & Lindenstrauss 1984), which is a
matrix product for all columns at once.
"""

from __future__ import annotations

import re
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any

import numpy as np

from workbench._align import matching_blocks

from .align import EQUAL, EQUAL_CALL, MAX_KIND_CELLS, MAX_TABLE, OTHER_TOOL, SAME_CALL, SAME_KIND, best_path
from .steps import Step

_DIMENSIONS = 64
_WORD_SLOTS = 1 << 14
_COMMON = 0.05  # what it is worth that all runs so far have the column: settles ties
MIN_MOVED = 40  # characters; a shorter message ("yes") is equal by chance
MAX_COLUMNS = 3  # times the longest run; what finds no column after that stays without one

_words = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Place:
    """Where one step of one run stands in the graph; ``column`` is −1 where there was no room for it."""

    run: int
    step: Step
    column: int
    is_repeat: bool = False
    is_moved: bool = False


@dataclass(frozen=True)
class Graph:
    """Where every step of every run stands.

    Attributes
    ----------
    places
        A place for every step, run by run in their order.
    position
        Of each column its place in the sequence.
    n_runs
        How many runs there are; some may have no steps.
    """

    places: list[Place]
    position: list[int]
    n_runs: int

    @cached_property
    def nodes(self) -> dict[tuple[int, tuple[Any, ...]], int]:
        """(position, kind of step) → node, in the order of the sequence and then of first appearance."""
        found = dict.fromkeys((self.position[one.column], one.step.kind) for one in self.placed)
        return {about: node for node, about in enumerate(sorted(found, key=lambda about: about[0]))}

    @cached_property
    def placed(self) -> list[Place]:
        """The places that have a column."""
        return [one for one in self.places if one.column >= 0]

    @cached_property
    def by_column(self) -> dict[int, dict[int, Step]]:
        """Column → run → its first step there."""
        found: dict[int, dict[int, Step]] = {}
        for one in self.placed:
            found.setdefault(one.column, {}).setdefault(one.run, one.step)
        return found

    @cached_property
    def course(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Of each run the numbers and positions of its steps, those that stand where the sequence has them."""
        found: list[tuple[list[int], list[int]]] = [([], []) for _ in range(self.n_runs)]
        for one in self.placed:
            if not one.is_moved and not one.is_repeat:
                found[one.run][0].append(one.step.number)
                found[one.run][1].append(self.position[one.column])
        return [(np.array(numbers), np.array(positions)) for numbers, positions in found]


@dataclass(slots=True)
class _Columns:
    """The profile: what the runs so far do at each column. Columns keep their number; ``order`` is their sequence."""

    kinds: dict[tuple[Any, ...], int] = field(default_factory=dict)
    order: list[int] = field(default_factory=list)
    by_key: dict[tuple[Any, ...], list[int]] = field(default_factory=dict)
    n_columns: int = 0
    # One row a column: the kinds that it has, whether it has calls or results, the sum of its texts, its runs.
    has_kind: np.ndarray = field(default_factory=lambda: np.zeros((64, 16), dtype=bool))
    has_type: np.ndarray = field(default_factory=lambda: np.zeros((64, 2), dtype=bool))
    texts: np.ndarray = field(default_factory=lambda: np.zeros((64, _DIMENSIONS), dtype=np.float32))
    n_runs: np.ndarray = field(default_factory=lambda: np.zeros(64, dtype=np.float32))

    def kind(self, step: Step) -> int:
        """The number of a step's kind."""
        number = self.kinds.setdefault(step.kind, len(self.kinds))
        if number >= self.has_kind.shape[1]:
            self.has_kind = np.hstack([self.has_kind, np.zeros_like(self.has_kind)])
        return number

    def new(self) -> int:
        """The number of one more column, not yet in the sequence."""
        column, self.n_columns = self.n_columns, self.n_columns + 1
        if column == len(self.n_runs):
            for name in ("has_kind", "has_type", "texts", "n_runs"):
                old = getattr(self, name)
                setattr(self, name, np.concatenate([old, np.zeros_like(old)]))
        return column

    def add(self, column: int, step: Step, key: tuple[Any, ...], text: np.ndarray) -> None:
        kind = self.kind(step)  # before the array is looked at: it may be a wider one then
        self.has_kind[column, kind] = True
        if step.is_call:
            self.has_type[column, int(step.event_type == "tool_result")] = True
        self.texts[column] += text
        self.n_runs[column] += 1
        known = self.by_key.setdefault(key, [])
        if column not in known:
            known.append(column)


def graph(runs: Sequence[Sequence[Step]]) -> Graph:
    """Align runs, each a list of steps in order."""
    columns = _Columns()
    keys = [[key_of(step) for step in steps] for steps in runs]
    limit = MAX_COLUMNS * max(map(len, runs), default=0)
    found: list[list[Place]] = [[] for _ in runs]
    for n_before, run in enumerate(_by_likeness(runs, keys)):
        found[run] = _place(columns, run, runs[run], keys[run], n_before, limit)
    position = [0] * columns.n_columns
    for at, column in enumerate(columns.order):
        position[column] = at
    return Graph([one for places in found for one in places], position, len(runs))


def key_of(step: Step) -> tuple[Any, ...]:
    """What makes steps of several runs the same one; what an agent says while it calls a tool is wording."""
    return (*step.key[:3], not step.is_call and step.key[3])


def _by_likeness(runs: Sequence[Sequence[Step]], keys: Sequence[Sequence[tuple[Any, ...]]]) -> list[int]:
    """The runs, those first whose steps most other runs have too: the first one is the centre of the star."""
    has: list[set[Any]] = []
    for steps, own in zip(runs, keys, strict=True):
        counted: Counter[Any] = Counter()
        found: set[Any] = set(own)
        for step in steps:
            counted[step.kind] += 1
            found.add((step.kind, counted[step.kind]))
        has.append(found)
    of = Counter(one for found in has for one in found)
    likeness = [sum(of[one] for one in found) / max(len(found), 1) ** 0.5 for found in has]
    return sorted(range(len(runs)), key=lambda run: -likeness[run])


def _place(
    columns: _Columns, run: int, steps: Sequence[Step], keys: Sequence[tuple[Any, ...]], n_before: int, limit: int
) -> list[Place]:
    texts, again = _texts(steps), _retries(steps, keys)
    order = np.array(columns.order, dtype=np.intp)
    once = [i for i in range(len(steps)) if i not in again]
    found = _paired(columns, order, [steps[i] for i in once], [keys[i] for i in once], texts[once], n_before)
    pairs = {once[i]: columns.order[j] for i, j in found}
    done = {(column, keys[i]) for i, column in pairs.items() if column in columns.by_key.get(keys[i], ())}
    places: list[Place] = []
    behind: dict[int, list[int]] = {}  # column → the new ones that follow it
    last = -1
    for i, step in enumerate(steps):
        if i in again:
            places.append(Place(run, step, places[again[i]].column, is_repeat=True))
            continue
        column, is_moved = pairs.get(i, -1), False
        known = columns.by_key.get(keys[i], [])
        free = [one for one in known if (one, keys[i]) not in done] if column not in known and _is_telling(step) else []
        if free:
            column, is_moved = free[0], True
        elif column >= 0:
            last = column
        elif columns.n_columns < limit:
            column = columns.new()
            behind.setdefault(last, []).append(column)
        if column >= 0:
            columns.add(column, step, keys[i], texts[i])
            done.add((column, keys[i]))
        places.append(Place(run, step, column, is_moved=is_moved))
    columns.order = [one for column in (-1, *columns.order) for one in (column, *behind.get(column, ())) if one >= 0]
    return places


def _retries(steps: Sequence[Step], keys: Sequence[tuple[Any, ...]]) -> dict[int, int]:
    """Steps that are the one before of their kind of event once more → that one."""
    found: dict[int, int] = {}
    before: dict[tuple[Any, ...], int] = {}
    call = -1
    for i, step in enumerate(steps):
        last = before.get((step.event_type, step.role))
        call = i if step.event_type == "tool_call" else call
        # Two different calls may well have the same answer.
        may_be = _is_telling(step) and (step.event_type != "tool_result" or call in found)
        if may_be and last is not None and keys[last] == keys[i]:
            found[i] = last
        before[step.event_type, step.role] = i
    return found


def _is_telling(step: Step) -> bool:
    return step.is_call or len(step.content) >= MIN_MOVED


def _paired(
    columns: _Columns,
    order: np.ndarray,
    steps: Sequence[Step],
    keys: Sequence[tuple[Any, ...]],
    texts: np.ndarray,
    n_before: int,
) -> list[tuple[int, int]]:
    """Which step goes with which column, as indices into ``steps`` and ``order``."""
    if not steps or not len(order):
        return []
    if len(steps) * len(order) > MAX_TABLE:
        main = columns.has_kind[order].argmax(axis=1).tolist()
        blocks = matching_blocks([columns.kind(step) for step in steps], main, max_cells=MAX_KIND_CELLS)
        return [(i + k, j + k) for i, j, n in blocks for k in range(n)]
    return [(i, j) for i, j, _ in best_path(_worth(columns, order, steps, keys, texts, n_before))]


def _worth(
    columns: _Columns,
    order: np.ndarray,
    steps: Sequence[Step],
    keys: Sequence[tuple[Any, ...]],
    texts: np.ndarray,
    n_before: int,
) -> np.ndarray:
    """The worth of each pair, as two runs have it (:mod:`workbench.replay.align`)."""
    kinds = np.array([columns.kind(step) for step in steps])
    is_call = np.array([step.is_call for step in steps])
    is_result = np.array([step.event_type == "tool_result" for step in steps], dtype=np.intp)
    worth = np.where(columns.has_type[order].T[is_result] & is_call[:, None], np.float32(OTHER_TOOL), np.float32(0))
    profile = columns.texts[order]
    profile /= np.maximum(np.linalg.norm(profile, axis=1, keepdims=True), 1e-6)
    # No matrix product: for one as small as this BLAS wakes threads, and on a busy machine waits for them much longer.
    like = np.maximum(2 * np.einsum("id,jd->ij", texts, profile) - 1, 0)
    same = columns.has_kind[order].T[kinds]
    worth = np.where(same, np.where(is_call, SAME_CALL, SAME_KIND).astype(np.float32)[:, None] + like, worth)
    at = np.empty(columns.n_columns, dtype=np.intp)
    at[order] = np.arange(len(order))
    for i, key in enumerate(keys):
        for column in columns.by_key.get(key, ()):
            worth[i, at[column]] = EQUAL_CALL if steps[i].is_call else EQUAL
    return worth + np.where(worth > 0, np.float32(_COMMON / max(n_before, 1)) * columns.n_runs[order], np.float32(0))


def _texts(steps: Sequence[Step]) -> np.ndarray:
    """A unit vector for the words of each step."""
    slots = [
        [zlib.crc32(word.encode()) % _WORD_SLOTS for word in _words.findall(step.content)] or [0] for step in steps
    ]
    starts = np.cumsum([0, *(len(one) for one in slots[:-1])])
    sums = np.add.reduceat(_projection()[np.concatenate(slots)], starts, axis=0) if slots else np.zeros((0, 1))
    sums = sums.astype(np.float32)
    return sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-6)


@cache
def _projection() -> np.ndarray:
    return np.random.default_rng(1).choice(np.array([-1, 1], dtype=np.float32), (_WORD_SLOTS, _DIMENSIONS))
