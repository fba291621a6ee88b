"""Judge paired blocks: log ratios, Hodges-Lehmann estimate, exact Wilcoxon intervals, Holm's correction for a page.

The unit is the block, a fresh process. Rounds within a process are not independent, so they are not used here.
d (..., K) are the log ratios of K paired blocks. The exact signed-rank test needs one assumption: without a difference,
each d is positive or negative with equal probability, independently of its size. The distribution of d is arbitrary.
Sources: Hollander, Wolfe and Chicken, Nonparametric Statistical Methods (2013), 3.1 to 3.3; Holm, Scand. J. Statist. 6
(1979).
"""

import functools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, stdtrit

Array = NDArray[np.float64]

ALPHA = 0.05  # family-wise error, over the comparisons of a page
MARGIN = 0.02  # ratios within 1 -+ this count as equal
POWER = 0.8
RECENTRINGS = 2  # a third changes nothing
BATCH_ELEMENTS = 2**21  # Walsh averages in memory at once, times 2: some tens of MiB
INTERFERENCE = 0.1  # |log ratio of calibration loops| above which one process of a pair was slowed down
FASTER, SLOWER, EQUIVALENT, UNDECIDED = "FASTER", "SLOWER", "EQUIVALENT", "UNDECIDED"
INVALID = "INVALID"  # not judged: a failed check, or unequal work


@dataclass(frozen=True)
class Verdict:
    """The verdict on one ratio from K paired blocks, corrected for the other comparisons of its page.

    ratio: Hodges-Lehmann estimate.
    low, high: interval at the level of the comparison's step in Holm's procedure. It excludes 1 exactly if the verdict
        is FASTER or SLOWER. Infinite if K is too small to exclude any value.
    p: Holm-adjusted.
    smallest: ratio above 1 that K blocks detect with probability POWER.
    needed: blocks for a verdict at the current spread; None if more blocks do not help or a verdict was reached.
    spread: robust standard deviation of the log ratios; NaN for one block.
    """

    word: str
    ratio: float
    low: float
    high: float
    p: float
    blocks: int
    smallest: float
    needed: int | None
    spread: float


def judge(page: Sequence[Sequence[float]], alpha: float = ALPHA, margin: float = MARGIN) -> list[Verdict]:
    """Return a verdict for each comparison of a page, given its log ratios. FASTER: the ratio is below 1."""
    samples, p = [np.asarray(d, float) for d in page], np.ones(len(page))
    for indices, d in batches_by_size(samples):
        p[indices] = p_value(d)
    adjusted, levels = (np.array(values) for values in holm(list(p), alpha))
    verdicts: dict[int, Verdict] = {}
    for indices, d in batches_by_size(samples):
        batch = _verdicts(d, adjusted[indices], levels[indices], alpha, math.log1p(margin))
        verdicts |= zip(indices, batch, strict=True)
    return [verdicts[index] for index in range(len(page))]


def batches_by_size(samples: Sequence[Sequence[Any] | Array]) -> Iterator[tuple[list[int], Array]]:
    """Yield samples (K, ...) of equal K as arrays (P, K, ...) with their P indices. P is limited by memory."""
    by_size: dict[int, list[int]] = {}
    for index, d in enumerate(samples):
        by_size.setdefault(len(d), []).append(index)
    for K, indices in by_size.items():
        P = max(1, BATCH_ELEMENTS // (K * (K + 1)))
        for batch in (indices[start : start + P] for start in range(0, len(indices), P)):
            yield batch, np.array([samples[index] for index in batch])


def _verdicts(d: Array, p: Array, levels: Array, alpha: float, limit: float) -> Iterator[Verdict]:
    """Yield the verdicts of comparisons d (P, K), given adjusted p (P,) and the levels (P,) of Holm's steps."""
    K = d.shape[-1]
    estimates, (low, high), spreads = hodges_lehmann(d), interval(d, levels), robust_scale(d)
    smallest = detectable(spreads, K, levels)
    for i, estimate in enumerate(estimates):
        word = UNDECIDED
        if p[i] <= alpha:
            word = FASTER if estimate < 0 else SLOWER
        elif -limit <= low[i] and high[i] <= limit:
            word = EQUIVALENT
        needed = blocks_needed(estimate, spreads[i], levels[i], limit) if word == UNDECIDED else None
        ratios = [math.exp(value) for value in (estimate, low[i], high[i], smallest[i])]
        spread = float(spreads[i]) if K > 1 else math.nan
        yield Verdict(word, ratios[0], ratios[1], ratios[2], float(p[i]), K, ratios[3], needed, spread)


def adjust_for_pace(d: Array, x: Array, threshold: float = INTERFERENCE) -> Array:
    """Return the log ratios d (..., K) without the part explained by the machine's pace.

    x (..., K): log ratios of the calibration loop. The method is an analysis of covariance over the blocks with
    interference in one process, |x| > threshold. From each such block, subtract x times a slope between 0 and 1. The
    slope comes from the other such blocks: sum(x (d - centre)) / sum(x^2).

    Exchanging the two processes of a block changes the signs of its d and x and leaves every slope as it is. Around the
    centre 0 the signed-rank test therefore stays exact. Recentring gives the interval its coverage if there is an
    effect, but gives up exactness in principle.
    tests/results/stats/test_stats.py simulates false verdicts, coverage and power.
    """
    pace = np.where(np.abs(x) > threshold, x, 0.0)
    others = (pace**2).sum(axis=-1, keepdims=True) - pace**2
    residual, centre = d, np.zeros((*d.shape[:-1], 1))
    for _ in range(RECENTRINGS + 1):
        products = pace * (d - centre)
        slopes = (products.sum(axis=-1, keepdims=True) - products) / np.where(others > 0, others, np.inf)
        residual = d - np.clip(slopes, 0, 1) * pace
        centre = np.asarray(hodges_lehmann(residual))[..., None]
    return residual


def walsh(d: Array) -> Array:
    """Return the sorted means of all pairs of d (..., K), each value paired with itself too: (..., K (K + 1) / 2)."""
    i, j = np.triu_indices(d.shape[-1])
    averages: Array = np.sort((d[..., i] + d[..., j]) / 2, axis=-1)
    return averages


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
    probabilities: Array = np.cumsum(counts / 2.0**K)
    return probabilities


def holm(p: Sequence[float], alpha: float = ALPHA) -> tuple[list[float], list[float]]:
    """Return p-values adjusted by Holm's step-down procedure, and for each the level of the step that decided.

    An interval at that level excludes 0 exactly if the comparison is rejected.
    """
    adjusted, levels, largest, divisor = [0.0] * len(p), [0.0] * len(p), 0.0, len(p)
    for rank, index in enumerate(np.argsort(p, kind="stable")):
        divisor = len(p) - rank if largest <= alpha else divisor  # constant after the first that is not rejected
        largest = max(largest, min(1.0, (len(p) - rank) * p[index]))
        adjusted[index], levels[index] = largest, alpha / divisor
    return adjusted, levels


def fewest_blocks(comparisons: int, alpha: float = ALPHA) -> int:
    """Return the smallest K that can reject one of `comparisons`: 2^(1-K) <= alpha / comparisons."""
    return math.ceil(1 - math.log2(alpha / max(comparisons, 1)))


def robust_scale(d: Array) -> Any:
    """Return the standard deviation of d (..., K) estimated from the median distance to the median."""
    distances = np.abs(d - np.median(d, axis=-1, keepdims=True))
    return np.median(distances, axis=-1) / ndtri(0.75)


def detectable(spread: Any, K: Any, level: Any = ALPHA) -> Any:
    """Return the log ratio that K blocks detect with probability POWER; infinite below `fewest_blocks`."""
    efficiency = 3 / math.pi  # of the signed-rank test relative to the t test, for normal noise
    t = stdtrit(K - 1, 1 - level / 2) + stdtrit(K - 1, POWER)
    return np.where(2.0 ** (1 - np.asarray(K)) > level, np.inf, t * spread / np.sqrt(K * efficiency))[()]


def blocks_needed(estimate: float, spread: float, level: float, limit: float, most: int = 1000) -> int | None:
    """Return the blocks that detect the effect, or show that it is within the limit; None if above `most`."""
    effect = max(abs(estimate), limit - abs(estimate))
    enough = np.flatnonzero(spread * _detectable_by_blocks(level, most) <= effect)
    return fewest_blocks(1, level) + int(enough[0]) if len(enough) else None


@functools.lru_cache(maxsize=64)
def _detectable_by_blocks(level: float, most: int) -> Array:
    """Return `detectable` at a spread of 1 for `fewest_blocks` to `most` blocks."""
    log_ratios: Array = detectable(1.0, np.arange(fewest_blocks(1, level), most + 1), level)
    return log_ratios
