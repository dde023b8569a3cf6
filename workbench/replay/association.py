"""Does having something go with failing? Exact tests, intervals and a correction for asking many times.

* Two-sided exact test of a 2 × 2 table (Fisher 1935): the chance of a table as unlikely as this one, margins fixed.
* Interval of a difference of two proportions: Newcombe (1998), method 10, from two Wilson score intervals. It holds at
  0 and 1 and with few runs, where the usual ± does not.
* Correction for many questions: the single-step minP of Westfall & Young (1993). Outcomes are dealt to the runs anew;
  the corrected p is how often the best of *all* questions then does as well. All deals are tried where they are few.
"""

from __future__ import annotations

from itertools import combinations
from math import comb, lgamma

import numpy as np

N_DEALS = 999
MAX_ALL_DEALS = 5_000
_SAME = 1e-9  # two sums of probabilities are the same one
_CHUNK = 4_000_000  # cells at once


def exact_tests(n: int, n_failed: int, sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The p of every table: ``table[row[size], k]`` for `size` runs that have it, `k` of them failed."""
    of = np.unique(sizes)
    row = np.zeros(n + 1, dtype=np.intp)
    row[of] = np.arange(len(of))
    logs = np.array([lgamma(k + 1) for k in range(n + 1)])
    k = np.arange(n_failed + 1)
    table = np.ones((len(of), n_failed + 1))
    for at, size in enumerate(of.tolist()):
        can = k[(k <= size) & (size - k <= n - n_failed)]
        log_p = (
            logs[n_failed] - logs[can] - logs[n_failed - can]
            + logs[n - n_failed] - logs[size - can] - logs[n - n_failed - size + can]
            + logs[size] + logs[n - size] - logs[n]
        )  # fmt: skip
        p = np.exp(log_p)
        order = np.argsort(p)
        summed = np.cumsum(p[order])
        # All tables as unlikely as this one count, equal ones too.
        upto = np.searchsorted(p[order], p * (1 + _SAME), side="right") - 1
        table[at, can] = np.minimum(summed[upto], 1)
    return table, row


def corrected(has: np.ndarray, failed: np.ndarray, p: np.ndarray, *, seed: int = 0) -> np.ndarray:
    """The p of each question, corrected for all of them having been asked.

    Parameters
    ----------
    has
        Questions × runs, bool.
    failed
        Runs, bool.
    p
        The exact p of each question.
    seed
        Of the deals, where not all are tried.
    """
    n, n_failed = len(failed), int(failed.sum())
    sizes = has.sum(axis=1)
    table, row = exact_tests(n, n_failed, sizes)
    n_all = comb(n, n_failed)
    if n_all <= MAX_ALL_DEALS:
        deals = np.zeros((n, n_all), dtype=np.float32)
        for at, chosen in enumerate(combinations(range(n), n_failed)):
            deals[list(chosen), at] = 1
    else:
        rng = np.random.default_rng(seed)
        deals = rng.permuted(np.repeat(failed[:, None], N_DEALS, axis=1), axis=0).astype(np.float32)
    best = np.ones(deals.shape[1])
    step = max(_CHUNK // deals.shape[1], 1)
    for at in range(0, len(has), step):
        part = slice(at, at + step)
        k = (has[part].astype(np.float32) @ deals).astype(np.intp)
        best = np.minimum(best, table[row[sizes[part]][:, None], k].min(axis=0))
    reached = np.searchsorted(np.sort(best), p * (1 + _SAME), side="right")
    return reached / n_all if n_all <= MAX_ALL_DEALS else (reached + 1) / (N_DEALS + 1)


def difference_interval(
    k1: np.ndarray, n1: np.ndarray, k2: np.ndarray, n2: np.ndarray, z: float = 1.959964
) -> tuple[np.ndarray, np.ndarray]:
    """Bounds of ``k1/n1 - k2/n2``; 95 % with the usual `z`."""
    p1, p2 = k1 / n1, k2 / n2
    (l1, u1), (l2, u2) = wilson(k1, n1, z), wilson(k2, n2, z)
    low = p1 - p2 - np.sqrt((p1 - l1) ** 2 + (u2 - p2) ** 2)
    high = p1 - p2 + np.sqrt((u1 - p1) ** 2 + (p2 - l2) ** 2)
    return low, high


def wilson(k: np.ndarray, n: np.ndarray, z: float = 1.959964) -> tuple[np.ndarray, np.ndarray]:
    """Score interval of ``k/n`` (Wilson 1927)."""
    middle = (k + z * z / 2) / (n + z * z)
    half = z / (n + z * z) * np.sqrt(k * (n - k) / n + z * z / 4)
    return middle - half, middle + half
