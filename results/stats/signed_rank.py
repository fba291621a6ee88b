"""The signed-rank test on paired blocks: Hodges-Lehmann estimate, interval, exact p, and detectable effects.

The unit is the block, a fresh process. Rounds within a process are not independent, so they are not used here.
d (..., K) are the log ratios of K paired blocks. Wilcoxon's test needs one assumption: without a difference, each d is
positive or negative with equal probability, independently of its size. The distribution of d is arbitrary.
Source: Hollander, Wolfe and Chicken, Nonparametric Statistical Methods (2013), 3.1 to 3.3.
"""

import functools
import math
from collections.abc import Iterator, Sequence
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

ALPHA = 0.05  # family-wise error, over the comparisons of a page
POWER = 0.8
QUARTILE = NormalDist().inv_cdf(0.75)  # the median absolute deviation of normal noise
MAX_BLOCKS = 1000  # largest number that `blocks_needed` considers
BATCH_ELEMENTS = 2**21  # Walsh averages in memory at once, times 2: some tens of MiB


def batches_by_size(samples: Sequence[Sequence[Any] | Array]) -> Iterator[tuple[list[int], Array]]:
    """Yield samples (K, ...) of equal K as arrays (P, K, ...) with their P indices. P is limited by memory."""
    by_size: dict[int, list[int]] = {}
    for index, d in enumerate(samples):
        by_size.setdefault(len(d), []).append(index)
    for K, indices in by_size.items():
        P = max(1, BATCH_ELEMENTS // (K * (K + 1)))
        for batch in (indices[start : start + P] for start in range(0, len(indices), P)):
            yield batch, np.array([samples[index] for index in batch])


def walsh(d: Array) -> Array:
    """Return the sorted means of all pairs of d (..., K), each value paired with itself too: (..., K (K + 1) / 2)."""
    i, j = np.triu_indices(d.shape[-1])
    return np.sort((d[..., i] + d[..., j]) / 2, axis=-1)


def hodges_lehmann(d: Array) -> Any:
    """Return the median of the Walsh averages: a robust estimate of the centre of a symmetric distribution."""
    return np.median(walsh(d), axis=-1)


def interval(d: Array, level: Any = ALPHA) -> Any:
    """Return (low, high), which contains the centre of d (..., K) with probability 1 - level or more.

    Infinite if K blocks are too few. `level` is a number, or an array (...).
    """
    averages = walsh(d)
    # the largest c with P(W < c) <= level/2
    cut = np.searchsorted(cumulative(d.shape[-1]), np.asarray(level) / 2, side="right")
    cut = np.broadcast_to(cut, averages.shape[:-1])[..., None]
    inner = np.maximum(cut, 1)
    low = np.where(cut > 0, np.take_along_axis(averages, inner - 1, -1), -np.inf)
    high = np.where(cut > 0, np.take_along_axis(averages, averages.shape[-1] - inner, -1), np.inf)
    return low[..., 0], high[..., 0]


def p_value(d: Array) -> Any:
    """Return the two-sided exact p of the signed-rank test; conservative if d has zeros or ties."""
    averages, below = walsh(d), np.concatenate([[0.0], cumulative(d.shape[-1])])  # below[w] = P(W < w)
    fewest, most = (averages > 0).sum(axis=-1), (averages >= 0).sum(axis=-1)
    return np.minimum(1.0, 2 * np.minimum(below[most + 1], 1 - below[fewest]))


@functools.cache
def cumulative(K: int) -> Array:
    """Return P(W <= w) for w = 0 .. K (K + 1) / 2. W is the signed-rank statistic of K blocks without a difference."""
    counts = np.ones(1)
    for rank in range(1, K + 1):
        counts = np.concatenate([counts, np.zeros(rank)]) + np.concatenate([np.zeros(rank), counts])
    return np.cumsum(counts / 2.0**K)


def fewest_blocks(comparisons: int, alpha: float = ALPHA) -> int:
    """Return the smallest K that can reject one of `comparisons`: 2^(1-K) <= alpha / comparisons."""
    return math.ceil(1 - math.log2(alpha / max(comparisons, 1)))


def robust_scale(d: Array) -> Any:
    """Return the standard deviation of d (..., K) estimated from the median distance to the median."""
    distances = np.abs(d - np.median(d, axis=-1, keepdims=True))
    return np.median(distances, axis=-1) / QUARTILE


def detectable(spread: Any, K: Any, level: Any = ALPHA) -> Any:
    """Return the log ratio that K blocks detect with probability POWER; infinite below `fewest_blocks`."""
    efficiency = 3 / math.pi  # of the signed-rank test relative to the t test, for normal noise
    from scipy.special import stdtrit  # imported here: it takes long, and single blocks need none

    t = stdtrit(K - 1, 1 - level / 2) + stdtrit(K - 1, POWER)
    return np.where(2.0 ** (1 - np.asarray(K)) > level, np.inf, t * spread / np.sqrt(K * efficiency))[()]


def blocks_needed(estimate: float, spread: float, level: float, limit: float) -> int | None:
    """Return the blocks that detect the effect, or show that it is within the limit; None if above MAX_BLOCKS."""
    effect = max(abs(estimate), limit - abs(estimate))
    enough = np.flatnonzero(spread * _detectable_by_blocks(level) <= effect)
    return fewest_blocks(1, level) + int(enough[0]) if len(enough) else None


@functools.lru_cache(maxsize=64)
def _detectable_by_blocks(level: float) -> Array:
    """Return `detectable` at a spread of 1 for `fewest_blocks` to MAX_BLOCKS blocks."""
    return np.asarray(detectable(1.0, np.arange(fewest_blocks(1, level), MAX_BLOCKS + 1), level))
