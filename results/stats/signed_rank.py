"""Verdicts from blocks: paired log ratios, Hodges-Lehmann, exact Wilcoxon intervals, Holm over a page.

The unit is the block, a fresh process each; rounds within a process are not independent evidence and never come here.
d (..., K) are log ratios of K paired blocks. Under "no difference" each d is as likely positive as negative and its
size says nothing of its sign, whatever its distribution: that is all the exact signed-rank test needs. Hollander, Wolfe
and Chicken, Nonparametric Statistical Methods (2013), 3.1 to 3.3; Holm, Scand. J. Statist. 6 (1979).
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

ALPHA = 0.05  # family-wise, over the comparisons of a page
MARGIN = 0.02  # a ratio within 1 -+ this is as good as equal
POWER = 0.8
RECENTRED = 2  # times; a third changes nothing that counts
TOGETHER = 2**21  # differences of a page that are worked on at once: some tens of MiB
SPELL = (
    0.1  # log ratio of calibration loops from which on a machine was slower for one side of a pair than for the other
)
FASTER, SLOWER, EQUIVALENT, UNDECIDED = "FASTER", "SLOWER", "EQUIVALENT", "UNDECIDED"
INVALID = "INVALID"  # never judged: it failed its check, or the two sides did unequal work


@dataclass(frozen=True)
class Verdict:
    """What K paired blocks say of one ratio, judged beside the others of its page.

    ratio: Hodges-Lehmann; low, high: its interval at the level of its step of Holm's procedure, which leaves 1 out just
    when the verdict is FASTER or SLOWER (infinite below the K that can exclude anything).
    p: Holm-adjusted; smallest: the ratio above 1 that so many blocks would show with a probability of 80 %.
    needed: blocks that would decide, by today's spread; None where more blocks would not help or K decided.
    spread: the robust standard deviation of the log ratios, NaN of a single one.
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
    """A verdict for each comparison of a page, from its log ratios: FASTER where the ratio is below 1."""
    samples, p = [np.asarray(d, float) for d in page], np.ones(len(page))
    for at, d in alike(samples):
        p[at] = p_value(d)
    corrected, own = (np.array(found) for found in holm(list(p), alpha))
    found: dict[int, Verdict] = {}
    for at, d in alike(samples):
        found |= zip(at, _verdicts(d, corrected[at], own[at], alpha, math.log1p(margin)), strict=True)
    return [found[i] for i in range(len(page))]


def alike(samples: Sequence[Sequence[Any] | Array]) -> Iterator[tuple[list[int], Array]]:
    """The samples (K, ...) of one K together: where they stand, and they as (P, K, ...), P limited for memory."""
    sizes: dict[int, list[int]] = {}
    for i, d in enumerate(samples):
        sizes.setdefault(len(d), []).append(i)
    for K, places in sizes.items():
        P = max(1, TOGETHER // (K * (K + 1)))
        for at in (places[start : start + P] for start in range(0, len(places), P)):
            yield at, np.array([samples[i] for i in at])


def _verdicts(d: Array, p: Array, levels: Array, alpha: float, limit: float) -> Iterator[Verdict]:
    """Of the comparisons d (P, K), each with its adjusted p and the level of its step."""
    K = d.shape[-1]
    estimates, (low, high), spreads = hodges_lehmann(d), interval(d, levels), scale(d)
    shown = detectable(spreads, K, levels)
    for i, estimate in enumerate(estimates):
        word = UNDECIDED
        if p[i] <= alpha:
            word = FASTER if estimate < 0 else SLOWER
        elif -limit <= low[i] and high[i] <= limit:
            word = EQUIVALENT
        needed = blocks_needed(estimate, spreads[i], levels[i], limit) if word == UNDECIDED else None
        told = [math.exp(value) for value in (estimate, low[i], high[i], shown[i])]
        spread = float(spreads[i]) if K > 1 else math.nan
        yield Verdict(word, told[0], told[1], told[2], float(p[i]), K, told[3], needed, spread)


def adjusted(d: Array, x: Array, spell: float = SPELL) -> Array:
    """The log ratios d (..., K) less what the machine's pace explains; x (..., K): log ratios of the calibration loop.

    An analysis of covariance over the blocks where only one side met a slow spell, |x| > `spell`: in each, x times a
    slope that comes from the others of them, sum(x (d - centre)) / sum(x^2), between 0 and 1. Around the centre 0,
    exchanging the two sides in a block turns the signs of its d and x together and leaves every slope as it is: the
    signed-rank test would stay exact. Recentring gives the interval its coverage where there is an effect, and costs
    the exactness in principle; false verdicts, coverage and power are simulated in tests/test_stats.py.
    """
    met = np.where(np.abs(x) > spell, x, 0.0)
    others = (met**2).sum(axis=-1, keepdims=True) - met**2
    rest, centre = d, np.zeros((*d.shape[:-1], 1))
    for _ in range(RECENTRED + 1):
        products = met * (d - centre)
        slopes = (products.sum(axis=-1, keepdims=True) - products) / np.where(others > 0, others, np.inf)
        rest = d - np.clip(slopes, 0, 1) * met
        centre = np.asarray(hodges_lehmann(rest))[..., None]
    return rest


def walsh(d: Array) -> Array:
    """(..., K (K + 1) / 2): the means of all pairs of d, each with itself among them, rising."""
    i, j = np.triu_indices(d.shape[-1])
    averages: Array = np.sort((d[..., i] + d[..., j]) / 2, axis=-1)
    return averages


def hodges_lehmann(d: Array) -> Any:
    """The median of the Walsh averages: the centre of a symmetric distribution, and no outlier's plaything."""
    return np.median(walsh(d), axis=-1)


def interval(d: Array, level: Any = ALPHA) -> Any:
    """(low, high) that holds the centre with probability at least 1 - level; infinite where K blocks cannot.

    `level` is one for all d (..., K), or (...), one for each.
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
    """Two-sided exact p of the signed-rank test, taken on the safe side where d has zeros or ties."""
    averages, below = walsh(d), np.concatenate([[0.0], cumulative(d.shape[-1])])  # below[w] = P(W < w)
    fewest, most = (averages > 0).sum(axis=-1), (averages >= 0).sum(axis=-1)
    return np.minimum(1.0, 2 * np.minimum(below[most + 1], 1 - below[fewest]))


@functools.cache
def cumulative(K: int) -> Array:
    """P(W <= w) for w = 0 .. K (K + 1) / 2, W the signed-rank statistic of K blocks without a difference."""
    counts = np.ones(1)
    for rank in range(1, K + 1):
        counts = np.concatenate([counts, np.zeros(rank)]) + np.concatenate([np.zeros(rank), counts])
    probabilities: Array = np.cumsum(counts / 2.0**K)
    return probabilities


def holm(p: Sequence[float], alpha: float = ALPHA) -> tuple[list[float], list[float]]:
    """p-values adjusted for their number by Holm's step-down, and the level of the step that decided on each.

    An interval at that level leaves 0 out just when its comparison is rejected.
    """
    adjusted, levels, worst, left = [0.0] * len(p), [0.0] * len(p), 0.0, len(p)
    for rank, at in enumerate(np.argsort(p, kind="stable")):
        left = len(p) - rank if worst <= alpha else left  # after the first that is kept, all are judged as it was
        worst = max(worst, min(1.0, (len(p) - rank) * p[at]))
        adjusted[at], levels[at] = worst, alpha / left
    return adjusted, levels


def fewest_blocks(comparisons: int, alpha: float = ALPHA) -> int:
    """The smallest K whose exact test can reject one of so many comparisons: 2^(1-K) <= alpha / comparisons."""
    return math.ceil(1 - math.log2(alpha / max(comparisons, 1)))


def scale(d: Array) -> Any:
    """A standard deviation that a burst of load does not move: from the median distance to the median."""
    distances = np.abs(d - np.median(d, axis=-1, keepdims=True))
    return np.median(distances, axis=-1) / ndtri(0.75)


def detectable(spread: Any, K: Any, level: Any = ALPHA) -> Any:
    """The log ratio that K blocks show with probability POWER; infinite below `fewest_blocks`."""
    efficiency = 3 / math.pi  # of the signed-rank test, beside t, where the noise is normal
    t = stdtrit(K - 1, 1 - level / 2) + stdtrit(K - 1, POWER)
    return np.where(2.0 ** (1 - np.asarray(K)) > level, np.inf, t * spread / np.sqrt(K * efficiency))[()]


def blocks_needed(estimate: float, spread: float, level: float, limit: float, most: int = 1000) -> int | None:
    """Blocks that would show such an effect, or else that it is within the limit; None if `most` would not do."""
    effect = max(abs(estimate), limit - abs(estimate))
    enough = np.flatnonzero(spread * _per_spread(level, most) <= effect)
    return fewest_blocks(1, level) + int(enough[0]) if len(enough) else None


@functools.lru_cache(maxsize=64)
def _per_spread(level: float, most: int) -> Array:
    """What is detectable by as many blocks as it takes at that level, and more, up to `most`, at a spread of 1."""
    found: Array = detectable(1.0, np.arange(fewest_blocks(1, level), most + 1), level)
    return found
