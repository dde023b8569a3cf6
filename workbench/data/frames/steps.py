"""The steps of runs as arrays, and what a predicate says of all of them at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workbench._predicates import nodes
from workbench._predicates.nodes import Predicate

Keys = NDArray[np.int64]
Flags = NDArray[np.bool_]
STEPS = 1 << 32  # a key is the number of the run times this, plus the step


def joined(keys: Sequence[Keys]) -> Keys:
    """All keys, sorted, each once. The parts are mostly sorted: a stable sort merges them, hashing would not."""
    found = np.sort(np.concatenate(keys), kind="stable") if keys else np.zeros(0, np.int64)
    return found if len(found) < 2 else found[np.append(True, found[1:] != found[:-1])]


@dataclass
class Steps:
    """Steps by run and number, each once."""

    keys: Keys
    runs: NDArray[np.int64] = field(init=False)
    first: NDArray[np.int64] = field(init=False)  # index of the first step of the same run

    def __post_init__(self) -> None:
        self.runs = self.keys // STEPS
        begins = np.ones(len(self.keys), bool)
        begins[1:] = self.runs[1:] != self.runs[:-1]
        self.first = np.maximum.accumulate(np.where(begins, np.arange(len(self.keys)), 0))

    def among(self, keys: Keys) -> Flags:
        """Which steps are among these keys, which are sorted."""
        if not len(keys):
            return np.zeros(len(self.keys), bool)
        found = np.searchsorted(keys, self.keys)
        return keys[np.minimum(found, len(keys) - 1)] == self.keys

    def filled(self, keys: Keys) -> NDArray[np.int64]:
        """For each step the index of the last key until it, of the same run; -1 = there is none."""
        found = np.searchsorted(keys, self.keys, side="right") - 1
        if not len(keys):
            return found
        return np.where((found >= 0) & (keys[np.maximum(found, 0)] // STEPS == self.runs), found, -1)

    def last(self, flags: Flags) -> NDArray[np.int64]:
        """For each step the index of the last step of its run, itself included, that has the flag; -1 = none."""
        found = np.maximum.accumulate(np.where(flags, np.arange(len(flags)), -1)) if len(flags) else np.zeros(0, int)
        return np.where(found >= self.first, found, -1)

    def counted(self, flags: Flags) -> NDArray[np.int64]:
        """For each step how many steps of its run until it, itself included, have the flag."""
        total = np.concatenate([[0], np.cumsum(flags)])
        return total[1:] - total[self.first]


Leaf = Callable[[Steps], Flags]


def holds(predicate: Predicate, steps: Steps, leaf: Callable[[Predicate], Leaf]) -> Flags:
    """At which of the steps a predicate holds; `leaf` knows of those that look at values."""

    def of(node: Predicate) -> Flags:
        name = repr(node)
        if name not in known:
            known[name] = _COMBINED[type(node)](node, steps, of) if type(node) in _COMBINED else leaf(node)(steps)
        return known[name]

    known: dict[str, Flags] = {}
    return of(predicate)


Of = Callable[[Predicate], Flags]


def _then(node: nodes.Then, steps: Steps, of: Of) -> Flags:
    before = steps.last(of(node.first))
    before = np.where(np.arange(len(before)) > steps.first, np.roll(before, 1), -1)  # strictly before
    found = of(node.second) & (before >= 0)
    return found if node.within is None else found & (steps.keys - steps.keys[before] <= node.within)


def _without(node: nodes.Without, steps: Steps, of: Of) -> Flags:
    places = np.flatnonzero(of(node.first))
    ends = steps.keys[places] + node.within
    at = np.searchsorted(steps.keys, ends)  # the first step there or behind
    seen = np.concatenate([[0], np.cumsum(of(node.second))])
    is_late = seen[np.searchsorted(steps.keys, ends, side="right")] == seen[places + 1]
    is_there = at < len(steps.keys)
    at = np.where(is_there, at, 0)
    found = np.zeros(len(steps.keys), bool)
    found[at[is_there & is_late & (steps.runs[at] == steps.runs[places])]] = True
    return found


def _before(node: nodes.Before, steps: Steps, of: Of) -> Flags:
    return of(node.first) & (steps.counted(of(node.second)) == 0)


def _at_least(node: nodes.AtLeast, steps: Steps, of: Of) -> Flags:
    flags = of(node.inner)
    found = flags & (steps.counted(flags) >= node.n)
    if node.within is None:
        return found
    places = np.flatnonzero(flags)
    earlier = np.zeros(len(flags), np.int64)  # where it was the n-th last time; of use where there were n
    earlier[places[node.n - 1 :]] = places[: len(places) - node.n + 1]
    return found & (steps.keys - steps.keys[earlier] <= node.within)


def _begins(node: nodes.Begins, steps: Steps, of: Of) -> Flags:
    flags = of(node.inner)
    before = np.roll(flags, 1) & (np.arange(len(flags)) > steps.first)
    return flags & ~before


def _never(node: nodes.Never, steps: Steps, of: Of) -> Flags:
    broken = of(node.inner)
    if node.release is not None:
        broken = broken & (steps.last(of(node.release)) < 0)
    return steps.last(broken) < 0


_COMBINED: dict[type, Callable[[Any, Steps, Of], Flags]] = {
    nodes.And: lambda node, steps, of: of(node.left) & of(node.right),
    nodes.Or: lambda node, steps, of: of(node.left) | of(node.right),
    nodes.Not: lambda node, steps, of: ~of(node.inner),
    nodes.Then: _then,
    nodes.Without: _without,
    nodes.Before: _before,
    nodes.AtLeast: _at_least,
    nodes.Begins: _begins,
    nodes.Never: _never,
}


# ---------------------------------------------------------------- which steps have to be looked at


def is_bound(node: Predicate) -> bool:
    """Whether it holds only in steps that an event, or a change of the state, made: not in any step in between."""
    match node:
        case nodes.Comparison():
            return node.event is not None
        case nodes.And():
            return is_bound(node.left) or is_bound(node.right)
        case nodes.Or():
            return is_bound(node.left) and is_bound(node.right)
        case nodes.Then():
            return is_bound(node.second)
        case nodes.Before():
            return is_bound(node.first)
        case nodes.AtLeast() | nodes.Begins():
            return is_bound(node.inner)
        case nodes.Not() | nodes.Never() | nodes.Without():
            return False
    return True


def is_sparse(node: Predicate) -> bool:
    """Whether the steps of its events and changes are all that has to be looked at."""
    return is_bound(node) and all(_stays(part) for part in node.walk() if isinstance(part, Predicate))


def _stays(node: Predicate) -> bool:
    """Whether leaving steps out, at which nothing that it is made of happens, changes nothing."""
    match node:
        case nodes.Then():
            return is_bound(node.first)
        case nodes.Before():
            return is_bound(node.second)
        case nodes.AtLeast():
            return is_bound(node.inner)
        case nodes.Begins() | nodes.Without():
            return False
        case nodes.Never():
            return is_bound(node.inner) and (node.release is None or is_bound(node.release))
    return True


def candidates(node: Predicate, leaf: Callable[[Predicate], Flags]) -> Flags:
    """The runs in which it may hold somewhere; `leaf` knows those of the parts that look at values."""
    match node:
        case nodes.And():
            return candidates(node.left, leaf) & candidates(node.right, leaf)
        case nodes.Or():
            return candidates(node.left, leaf) | candidates(node.right, leaf)
        case nodes.Then():
            return candidates(node.first, leaf) & candidates(node.second, leaf)
        case nodes.Before() | nodes.Without():
            return candidates(node.first, leaf)
        case nodes.AtLeast() | nodes.Begins():
            return candidates(node.inner, leaf)
        case nodes.Not() | nodes.Never():
            # Not of a leaf of the run could be told, and is not worth it.
            return np.ones_like(leaf(next(_leaves(node))))
    return leaf(node)


def _leaves(node: Predicate) -> Any:
    return (part for part in node.walk() if isinstance(part, LEAVES))


LEAVES = (nodes.Event, nodes.Comparison, nodes.Changed, nodes.Repeats)
