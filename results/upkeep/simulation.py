"""Noise of known kinds for simulated pages, and a row of the table of simulated rates."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from results.stats.few_blocks import Array

Generator = np.random.Generator
Noise = Callable[[Generator, tuple[int, int]], Array]
PAGE_CASES, PAIR_CASES = 24, 8  # of a simulated page: 3 pairs of implementations, 8 problems each


@dataclass(frozen=True)
class Rate:
    """A row of the table.

    false, missed: share of pages with a false verdict, and of pages with an interval that misses the true value.
    decided: share of decided comparisons of the campaign; NaN if the truth is no difference.
    """

    situation: str
    rule: str
    blocks: int
    pages: int
    false: float
    missed: float
    decided: float


def heavy_tails(rng: Generator, shape: tuple[int, int]) -> Array:
    """Return noise of Student's t with 3 degrees of freedom."""
    return np.asarray(0.03 * rng.standard_t(3, shape))


def two_kinds(share: float, a_log: float, b_log: float) -> Noise:
    """Return noise in which a share of the processes takes longer: those of A by a_log, those of B by b_log."""

    def noise(rng: Generator, shape: tuple[int, int]) -> Array:
        a, b = rng.random((2, *shape)) < share
        return np.asarray(rng.normal(0, 0.01, shape) + (b_log * b - a_log * a))

    return noise


def autocorrelated(correlation: float, spread: float) -> Noise:
    """Return noise that is correlated with the noise of the previous block or run."""

    def noise(rng: Generator, shape: tuple[int, int]) -> Array:
        series = rng.normal(0, spread, shape)
        for block in range(1, shape[1]):
            series[:, block] *= math.sqrt(1 - correlation**2)
            series[:, block] += correlation * series[:, block - 1]
        return series

    return noise


def bursts(rng: Generator, shape: tuple[int, int]) -> Array:
    """Return noise in which other programs slow B by 30 % in every case of a block, for 2 blocks on average."""
    slow, draws = np.zeros(shape[1], bool), rng.random(shape[1])
    for block in range(shape[1]):
        slow[block] = draws[block] < (0.5 if block and slow[block - 1] else 0.1)
    return np.asarray(rng.normal(0, 0.02, shape) + math.log(1.3) * slow)


def shared_trend(rng: Generator, shape: tuple[int, int]) -> Array:
    """Return noise of a machine that slows by 5 % a block: what is left depends on the places in the shuffled order."""
    a, b = rng.random(shape[1]), rng.random((-(-shape[0] // PAIR_CASES), shape[1]))
    return np.asarray(0.05 * (np.repeat(b, PAIR_CASES, axis=0)[: shape[0]] - a) + rng.normal(0, 0.01, shape))


def differs_by_case(rng: Generator, shape: tuple[int, int]) -> Array:
    """Return noise whose size differs from case to case."""
    return np.asarray(rng.normal(0, 0.03, shape) * np.exp(rng.normal(0, 1, (shape[0], 1))))
