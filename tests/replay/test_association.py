"""Exact tests, intervals and the correction for many questions, against published values and brute force."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from workbench.replay.association import corrected, difference_interval, exact_tests


@pytest.mark.parametrize(
    ("n", "n_failed", "size", "k", "expected"),
    [
        (8, 4, 4, 4, 0.028571),  # Fisher's lady tasting tea, all cups right
        (8, 4, 4, 3, 0.485714),
        (24, 12, 10, 1, 0.002759),  # 1 of 10 against 11 of 14: the example of R's and SciPy's documentation
        (4, 3, 1, 0, 0.25),
    ],
)
def test_exact_p(n: int, n_failed: int, size: int, k: int, expected: float):
    """Tables of the literature have the p that they have there."""
    table, row = exact_tests(n, n_failed, np.array([size, 2]))

    assert table[row[size], k] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ((56, 70, 48, 80), (0.0524, 0.3339)),
        ((9, 10, 3, 10), (0.1705, 0.8090)),
        ((6, 7, 2, 7), (0.0582, 0.8062)),
        ((5, 56, 0, 29), (-0.0381, 0.1926)),
        ((0, 10, 0, 20), (-0.1611, 0.2775)),
        ((10, 10, 0, 20), (0.6791, 1.0)),
    ],
)
def test_published_intervals(given: tuple[int, ...], expected: tuple[float, float]):
    """The intervals of Newcombe (1998), table II, method 10."""
    k1, n1, k2, n2 = (np.array([number], dtype=float) for number in given)
    low, high = difference_interval(k1, n1, k2, n2)

    assert (low[0], high[0]) == pytest.approx(expected, abs=6e-5)


def test_correction_is_that_of_all_deals():
    """With few runs the corrected p is the share of all deals in which the best question does as well."""
    rng = np.random.default_rng(3)
    has, failed = rng.random((5, 6)) < 0.5, np.array([True, True, False, False, False, True])
    has[:, 0], has[:, 1] = True, False
    sizes = has.sum(axis=1)
    table, row = exact_tests(6, 3, sizes)
    p = table[row[sizes], has[:, failed].sum(axis=1)]
    deals = {tuple(deal) for deal in permutations(failed.tolist())}
    best = [min(table[row[m], int(h[list(deal)].sum())] for h, m in zip(has, sizes, strict=True)) for deal in deals]

    assert corrected(has, failed, p) == pytest.approx([np.mean(np.array(best) <= one + 1e-9) for one in p])


def test_nothing_is_found_in_noise():
    """Of many cohorts in which nothing goes with failing, at most about one in twenty names something for certain."""
    rng = np.random.default_rng(5)
    named = 0
    for _ in range(200):
        has, failed = rng.random((60, 24)) < 0.5, rng.random(24) < 0.5
        sizes, n_failed = has.sum(axis=1), int(failed.sum())
        table, row = exact_tests(24, n_failed, sizes)
        named += corrected(has, failed, table[row[sizes], has[:, failed].sum(axis=1)]).min() <= 0.05

    assert named <= 18
