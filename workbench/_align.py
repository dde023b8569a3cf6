"""Longest common subsequence of two sequences, in blocks: what patches of arrays and comparisons of runs are built on.

Small inputs go to rapidfuzz's bit-parallel LCS (Hyyrö 2004: 64 cells of the table per machine word). Its table takes
``len(a) · len(b) / 8`` bytes, so larger inputs are first cut at *anchors*: items that occur once on each side, in the
same order on both (Cohen's patience diff).
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Hashable, Iterator, Sequence

MAX_CELLS = 200_000_000  # 25 MB of table, about 20 ms

Block = tuple[int, int, int]
Gap = tuple[int, int, int, int]


def matching_blocks(a: Sequence[Hashable], b: Sequence[Hashable], *, max_cells: int = MAX_CELLS) -> list[Block]:
    """Blocks ``(i, j, n)`` with ``a[i:i+n] == b[j:j+n]``, in order and not overlapping.

    Items are equal when they are equal as dict keys, so encode types into them where ``True`` must not be ``1``.
    Exact (a longest common subsequence) up to `max_cells` cells of table between two anchors; beyond that, a gap
    without anchors is left unmatched.
    """
    ids: dict[Hashable, int] = {}
    x = [ids.setdefault(item, len(ids)) for item in a]
    y = [ids.setdefault(item, len(ids)) for item in b]
    return _joined(_blocks(x, y, 0, len(x), 0, len(y), max_cells))


def gaps(blocks: Sequence[Block], n_a: int, n_b: int) -> Iterator[tuple[Gap, Block | None]]:
    """Walk ``((i1, i2, j1, j2), block after it)`` from left to right; the last gap has no block."""
    i = j = 0
    for block in blocks:
        yield (i, block[0], j, block[1]), block
        i, j = block[0] + block[2], block[1] + block[2]
    yield (i, n_a, j, n_b), None


def _blocks(x: list[int], y: list[int], i1: int, i2: int, j1: int, j2: int, max_cells: int) -> Iterator[Block]:
    start_i, start_j = i1, j1
    while i1 < i2 and j1 < j2 and x[i1] == y[j1]:
        i1, j1 = i1 + 1, j1 + 1
    if i1 > start_i:
        yield start_i, start_j, i1 - start_i
    tail = 0
    while i1 < i2 and j1 < j2 and x[i2 - 1] == y[j2 - 1]:
        i2, j2, tail = i2 - 1, j2 - 1, tail + 1
    if i1 < i2 and j1 < j2:
        if (i2 - i1) * (j2 - j1) <= max_cells:
            yield from _lcs(x, y, i1, i2, j1, j2)
        else:
            yield from _anchored(x, y, i1, i2, j1, j2, max_cells)
    if tail:
        yield i2, j2, tail


def _lcs(x: list[int], y: list[int], i1: int, i2: int, j1: int, j2: int) -> Iterator[Block]:
    from rapidfuzz.distance import LCSseq

    # Items are small ints here: rapidfuzz compares hashes, and 0 and 2**61 - 1, or "a" and 97, would count as equal.
    for op in LCSseq.opcodes(x[i1:i2], y[j1:j2]):
        if op.tag == "equal":
            yield i1 + op.src_start, j1 + op.dest_start, op.src_end - op.src_start


def _anchored(x: list[int], y: list[int], i1: int, i2: int, j1: int, j2: int, max_cells: int) -> Iterator[Block]:
    anchors = _anchors(x[i1:i2], y[j1:j2])
    i, j = i1, j1
    for di, dj in anchors:
        # A gap is smaller than what it was cut from, so this ends; without anchors it is left as a gap.
        yield from _blocks(x, y, i, i1 + di, j, j1 + dj, max_cells)
        yield i1 + di, j1 + dj, 1
        i, j = i1 + di + 1, j1 + dj + 1
    if anchors:
        yield from _blocks(x, y, i, i2, j, j2, max_cells)


def _anchors(x: list[int], y: list[int]) -> list[tuple[int, int]]:
    """Items that occur once on each side, thinned to the longest run that is in order on both."""
    count_x, count_y = Counter(x), Counter(y)
    where = {item: j for j, item in enumerate(y) if count_y[item] == 1}
    pairs = [(i, where[item]) for i, item in enumerate(x) if count_x[item] == 1 and item in where]
    # Longest increasing subsequence of the j's by patience sorting.
    tops: list[int] = []
    at: list[int] = []
    before = [-1] * len(pairs)
    for k, (_, j) in enumerate(pairs):
        pile = bisect_left(tops, j)
        before[k] = at[pile - 1] if pile else -1
        if pile == len(tops):
            tops.append(j)
            at.append(k)
        else:
            tops[pile], at[pile] = j, k
    chain: list[tuple[int, int]] = []
    k = at[-1] if at else -1
    while k >= 0:
        chain.append(pairs[k])
        k = before[k]
    return chain[::-1]


def _joined(blocks: Iterator[Block]) -> list[Block]:
    out: list[Block] = []
    for i, j, n in blocks:
        if out and out[-1][0] + out[-1][2] == i and out[-1][1] + out[-1][2] == j:
            out[-1] = (out[-1][0], out[-1][1], out[-1][2] + n)
        else:
            out.append((i, j, n))
    return out
