"""Which step of one run corresponds to which of another.

An alignment in order (Needleman & Wunsch 1970) that maximises the worth of its pairs: equal steps most, steps of one
kind (message of a role, call of a tool) by their likeness, calls of different tools a little; nothing else is paired. A
step without partner costs nothing, so inserted steps and retries stay alone instead of pushing the rest apart. Without
gap cost a row of the table is a running maximum, which numpy does at once.

The table and the likenesses are quadratic, so long runs are cut at stretches that are equal on both sides first, and
what is still too large is aligned by kind alone (a longest common subsequence).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np

from workbench._align import Block, gaps, matching_blocks

from .steps import Step

MAX_LIKENESS = 400_000  # pairs whose likeness is measured in one part, about 0.3 s
MAX_TABLE = 9_000_000  # cells of a part's table, 36 MB
MAX_KIND_CELLS = 1_200_000_000  # of the bit table by kind: 150 MB at 33,000 × 33,000 steps

# The worth of a pair. The same call with the same arguments, or the same answer, is the best evidence that two runs are
# at the same point; that both have an assistant message there is the weakest.
EQUAL_CALL, EQUAL, SAME_CALL, SAME_KIND, OTHER_TOOL = 5.0, 3.0, 1.0, 0.5, 0.25

Pair = tuple[int | None, int | None]


def align(a: Sequence[Step], b: Sequence[Step]) -> list[Pair]:
    """Return pairs of indices in order; ``None`` stands where a step has no partner."""
    pairs: list[Pair] = []
    for (i1, i2, j1, j2), block in gaps(_anchors(a, b), len(a), len(b)):
        pairs.extend(_align_part(a, b, i1, i2, j1, j2))
        if block is not None:
            pairs.extend((block[0] + k, block[1] + k) for k in range(block[2]))
    return pairs


def _anchors(a: Sequence[Step], b: Sequence[Step]) -> list[Block]:
    keys_a, keys_b = [step.key for step in a], [step.key for step in b]
    n = min(len(a), len(b))
    head = next((k for k in range(n) if keys_a[k] != keys_b[k]), n)
    tail = next((k for k in range(n - head) if keys_a[-1 - k] != keys_b[-1 - k]), n - head)
    if (len(a) - head - tail) * (len(b) - head - tail) <= MAX_LIKENESS:
        # Small enough to weigh everything at once: a chance equality ("yes") must not cut the runs apart.
        return [block for block in ((0, 0, head), (len(a) - tail, len(b) - tail, tail)) if block[2]]
    blocks = matching_blocks(keys_a, keys_b)
    return [(i, j, n) for i, j, n in blocks if n > 1 or len(a[i].content) >= 40]


def _align_part(a: Sequence[Step], b: Sequence[Step], i1: int, i2: int, j1: int, j2: int) -> Iterator[Pair]:
    n, m = i2 - i1, j2 - j1
    if n * m > MAX_TABLE:
        kinds = matching_blocks(
            [step.kind for step in a[i1:i2]], [step.kind for step in b[j1:j2]], max_cells=MAX_KIND_CELLS
        )
    elif n and m:
        kinds = _weighted(a[i1:i2], b[j1:j2])
    else:
        kinds = []
    for (p1, p2, q1, q2), block in gaps(kinds, n, m):
        yield from ((i1 + p, None) for p in range(p1, p2))
        yield from ((None, j1 + q) for q in range(q1, q2))
        if block is not None:
            yield from ((i1 + block[0] + k, j1 + block[1] + k) for k in range(block[2]))


def _weighted(a: Sequence[Step], b: Sequence[Step]) -> list[Block]:
    return best_path(_worth(a, b))


def best_path(worth: np.ndarray) -> list[Block]:
    """The pairs in order, each a block of one, whose worth together is the highest; ``worth`` is n × m, float32."""
    n, m = worth.shape
    best = np.zeros((n + 1, m + 1), dtype=np.float32)
    for i in range(n - 1, -1, -1):
        row = np.maximum(best[i + 1, :m], best[i + 1, 1:] + worth[i])
        # From the right: a row is the running maximum of its cells, because leaving a step alone costs nothing.
        best[i, :m] = np.maximum.accumulate(row[::-1])[::-1]
    blocks: list[Block] = []
    i = j = 0
    while i < n and j < m:
        here = best[i, j]
        if worth[i, j] > 0 and here == best[i + 1, j + 1] + worth[i, j]:
            blocks.append((i, j, 1))
            i, j = i + 1, j + 1
        elif here == best[i + 1, j]:
            i += 1
        else:
            j += 1
    return blocks


def _worth(a: Sequence[Step], b: Sequence[Step]) -> np.ndarray:
    ids: dict[object, int] = {}

    def numbered(values: list[object]) -> np.ndarray:
        return np.array([ids.setdefault(value, len(ids)) for value in values])

    worth = np.zeros((len(a), len(b)), dtype=np.float32)
    calls = [
        numbered([step.event_type if step.is_call else (side, k) for k, step in enumerate(steps)])
        for side, steps in enumerate((a, b))
    ]
    worth[calls[0][:, None] == calls[1][None, :]] = OTHER_TOOL
    _same_kinds(a, b, worth)
    # What an agent says while it calls a tool is wording.
    keys = [numbered([(*step.key[:3], not step.is_call and step.key[3]) for step in steps]) for steps in (a, b)]
    is_equal = keys[0][:, None] == keys[1][None, :]
    worth[is_equal] = EQUAL
    worth[is_equal & np.array([step.is_call for step in a])[:, None]] = EQUAL_CALL
    return worth


def _same_kinds(a: Sequence[Step], b: Sequence[Step], worth: np.ndarray) -> None:
    """Write the worth of steps of one kind, up to 1 more by likeness while the budget of likenesses lasts."""
    from rapidfuzz.distance import LCSseq
    from rapidfuzz.process import cdist

    where_a: dict[object, list[int]] = defaultdict(list)
    where_b: dict[object, list[int]] = defaultdict(list)
    for where, steps in ((where_a, a), (where_b, b)):
        for k, step in enumerate(steps):
            where[step.kind].append(k)
    common = sorted(where_a.keys() & where_b.keys(), key=lambda kind: len(where_a[kind]) * len(where_b[kind]))
    budget = MAX_LIKENESS
    for kind in common:
        rows, cols = where_a[kind], where_b[kind]
        cells = np.ix_(rows, cols)
        worth[cells] = SAME_CALL if a[rows[0]].is_call else SAME_KIND
        budget -= len(rows) * len(cols)
        if budget >= 0:
            contents = [a[i].content for i in rows], [b[j].content for j in cols]
            like = cdist(*contents, scorer=LCSseq.normalized_similarity, dtype=np.float32)
            # Unrelated sentences of one language are about 0.4 alike; that must not pull a step away from its place.
            worth[cells] += np.maximum(2 * like - 1, 0)
