"""Judge paired blocks: log ratios, Hodges-Lehmann estimate, two tests, intervals, Holm's correction for a page.

The unit is the block, a fresh process. Rounds within a process are not independent, so they are not used here.
d (..., K) are the log ratios of K paired blocks. Two tests share the error probability: the agreement of signs after
each block (`agreement`), which decides large effects from three blocks on, and the exact Wilcoxon signed-rank test at
the end. The latter needs one assumption: without a difference, each d is positive or negative with equal probability,
independently of its size. The distribution of d is arbitrary.
Sources: Hollander, Wolfe and Chicken, Nonparametric Statistical Methods (2013), 3.1 to 3.3; Holm, Scand. J. Statist. 6
(1979).
"""

import functools
import math
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from results.stats import agreement

Array = NDArray[np.float64]

ALPHA = 0.05  # family-wise error, over the comparisons of a page
MARGIN = 0.02  # ratios within 1 -+ this count as equal
POWER = 0.8
QUARTILE = NormalDist().inv_cdf(0.75)  # the median absolute deviation of normal noise
BATCH_ELEMENTS = 2**21  # Walsh averages in memory at once, times 2: some tens of MiB
FASTER, SLOWER, EQUIVALENT, UNDECIDED = "FASTER", "SLOWER", "EQUIVALENT", "UNDECIDED"
INVALID = "INVALID"  # not judged: a failed check, or unequal work


@dataclass(frozen=True)
class Verdict:
    """The verdict on one ratio from K paired blocks, corrected for the other comparisons of its page.

    ratio: Hodges-Lehmann estimate.
    low, high: interval of the ratio. All intervals of a page hold together with probability 1 - ALPHA, and all have the
        same level. Those of FASTER and SLOWER end at 1. They contain the estimate, which later blocks may move out of
        the bounds of an early look. Infinite if K is too small.
    p: Holm-adjusted, over both tests.
    smallest: ratio above 1 that K blocks detect with probability POWER.
    needed: blocks that decide with probability POWER at the current noise; None if more blocks do not help or a verdict
        was reached. Without a second block the noise is unknown: the fewest blocks that can decide.
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


def judge(
    page: Sequence[Sequence[float]],
    alpha: float = ALPHA,
    margin: float = MARGIN,
    pairs: Sequence[Hashable] | None = None,
    earlier: Mapping[Any, Array] | None = None,
    finished: bool = True,
    comparisons: int = 0,
) -> list[Verdict]:
    """Return a verdict for each comparison of a page, given its log ratios in the order of the blocks.

    FASTER: the ratio is below 1. EQUIVALENT: the interval lies within 1 -+ margin; it takes precedence. pairs: the pair
    of implementations of each comparison (default: one pair). earlier: by pair, `agreement.distances` of earlier runs.
    finished: whether no further block will be judged; the signed-rank test has a single look, the last.
    comparisons: the number that the intervals and `smallest` are corrected for, if it is larger than the page.
    """
    samples, count = [np.asarray(d, float) for d in page], len(page)
    level = alpha / max(count, comparisons, 1)
    names: Sequence[Hashable] = [None] * count if pairs is None else pairs
    looks = agreement.look(samples, names, level, earlier)
    parts = np.where(looks.usable, 1 - agreement.LOOKS, 1.0) if finished else np.zeros(count)  # of the signed-rank test
    estimates, spreads, low, high = (np.empty(count) for _ in range(4))
    smallest, p = np.full(count, np.inf), looks.p.copy()
    for indices, d in batches_by_size(samples):
        estimates[indices], spreads[indices] = hodges_lehmann(d), robust_scale(d)
        low[indices], high[indices] = interval(d, level * parts[indices])
        if finished:
            p[indices] = np.minimum(p[indices], p_value(d) / parts[indices])
            smallest[indices] = detectable(spreads[indices], d.shape[-1], level * parts[indices])
    low, high = np.maximum(low, looks.low), np.minimum(high, looks.high)
    low, high = np.minimum(low, high), np.maximum(low, high)  # if looks contradict each other: from one to the other
    adjusted, levels = holm(list(np.minimum(p, 1)), alpha)
    fewest = {name: fewest_decisive(size, count, alpha) for name, size in Counter(names).items()}
    limit, verdicts = math.log1p(margin), list[Verdict]()
    for i, d in enumerate(samples):
        word, needed, K = UNDECIDED, None, len(d)
        if -limit <= low[i] and high[i] <= limit:
            word = EQUIVALENT
        elif adjusted[i] <= alpha:
            word = FASTER if estimates[i] < 0 else SLOWER
            low[i], high[i] = (low[i], min(high[i], 0.0)) if estimates[i] < 0 else (max(low[i], 0.0), high[i])
        elif K == 1:
            needed = fewest[names[i]]
        else:
            signs = blocks_needed(estimates[i], spreads[i], levels[i] * (1 - agreement.LOOKS), limit)
            agreed = agreement.blocks_needed(abs(estimates[i]), looks.tails[i], K, levels[i], POWER)
            needed = min((max(blocks, K + 1) for blocks in (signs, agreed) if blocks), default=None)
        by_looks = agreement.detectable(looks.tails[i], K, level, POWER)[: K + 1].min()
        shown = math.exp(min(smallest[i], by_looks))
        bounds = math.exp(min(low[i], estimates[i])), math.exp(max(high[i], estimates[i]))
        spread = float(spreads[i]) if K > 1 else math.nan
        verdicts.append(Verdict(word, math.exp(estimates[i]), *bounds, float(adjusted[i]), K, shown, needed, spread))
    return verdicts


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


def fewest_decisive(cases: int, comparisons: int, alpha: float = ALPHA) -> int:
    """Return the fewest blocks that can decide one of `cases` cases of a pair, by either test."""
    return min(agreement.fewest_blocks(cases, alpha / comparisons), fewest_blocks(comparisons, alpha))


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
