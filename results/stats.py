"""Verdicts from blocks: paired log ratios, Hodges-Lehmann, exact Wilcoxon intervals, Holm over a page.

The unit is the block, a fresh process each; rounds within a process are not independent evidence and never come here.
d (..., K) are log ratios of K paired blocks. Under "no difference" each d is as likely positive as negative and its
size says nothing of its sign, whatever its distribution: that is all the exact signed-rank test needs. Hollander, Wolfe
and Chicken, Nonparametric Statistical Methods (2013), 3.1 to 3.3; Holm, Scand. J. Statist. 6 (1979).
"""

import bisect
import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Array = NDArray[np.float64]

ALPHA = 0.05  # family-wise, over the comparisons of a page
MARGIN = 0.02  # a ratio within 1 -+ this is as good as equal
POWER = 0.8
RECENTRED = 2  # times; a third changes nothing that counts
SPELL = 0.1  # log ratio of yardsticks from which on a machine was slower for one side of a pair than for the other
FASTER, SLOWER, EQUIVALENT, UNDECIDED = "FASTER", "SLOWER", "EQUIVALENT", "UNDECIDED"
INVALID = "INVALID"  # never judged: it failed its check, or the two sides did unequal work


@dataclass(frozen=True)
class Verdict:
    """What K paired blocks say of one ratio, judged beside the others of its page.

    ratio: Hodges-Lehmann; low, high: its interval at the level of its step of Holm's procedure, which leaves 1 out just
    when the verdict is FASTER or SLOWER (infinite below the K that can exclude anything).
    p: Holm-adjusted; smallest: the ratio above 1 that so many blocks would show with a probability of 80 %.
    needed: blocks that would decide, by today's spread; None where more blocks would not help or K decided.
    """

    word: str
    ratio: float
    low: float
    high: float
    p: float
    blocks: int
    smallest: float
    needed: int | None


def judge(page: Sequence[Sequence[float]], alpha: float = ALPHA, margin: float = MARGIN) -> list[Verdict]:
    """A verdict for each comparison of a page, from its log ratios: FASTER where the ratio is below 1."""
    samples = [np.asarray(d, float) for d in page]
    corrected, own = holm([p_value(d) for d in samples], alpha)
    return [_verdict(d, p, alpha, level, margin) for d, p, level in zip(samples, corrected, own, strict=True)]


def _verdict(d: Array, p: float, alpha: float, level: float, margin: float) -> Verdict:
    estimate, (low, high), limit = hodges_lehmann(d), interval(d, level), math.log1p(margin)
    word = UNDECIDED
    if p <= alpha:
        word = FASTER if estimate < 0 else SLOWER
    elif -limit <= low and high <= limit:
        word = EQUIVALENT
    spread, K = scale(d), d.shape[-1]
    needed = blocks_needed(estimate, spread, level, limit) if word == UNDECIDED else None
    show = [math.exp(value) for value in (estimate, low, high, detectable(spread, K, level))]
    return Verdict(word, show[0], show[1], show[2], p, K, show[3], needed)


def adjusted(d: Array, x: Array, spell: float = SPELL) -> Array:
    """The log ratios d (K,) less what the machine's pace explains of them; x (K,): log ratios of the yardstick.

    An analysis of covariance over the blocks where only one side met a slow spell, |x| > `spell`: in each, x times a
    slope that comes from the others of them, sum(x (d - centre)) / sum(x^2), between 0 and 1. Around the centre 0,
    exchanging the two sides in a block turns the signs of its d and x together and leaves every slope as it is: the
    signed-rank test would stay exact. Recentring gives the interval its coverage where there is an effect, and costs
    the exactness in principle; false verdicts, coverage and power are simulated in tests/test_stats.py.
    """
    met = np.abs(x) > spell
    squares = np.where(met, x**2, 0.0)
    others = squares.sum() - squares
    rest, centre = d, 0.0
    for _ in range(RECENTRED + 1):
        products = np.where(met, x * (d - centre), 0.0)
        slopes = (products.sum() - products) / np.where(others > 0, others, np.inf)
        rest = d - np.clip(slopes, 0, 1) * np.where(met, x, 0.0)
        centre = float(hodges_lehmann(rest))
    return rest


def walsh(d: Array) -> Array:
    """(..., K (K + 1) / 2): the means of all pairs of d, each with itself among them, rising."""
    i, j = np.triu_indices(d.shape[-1])
    averages: Array = np.sort((d[..., i] + d[..., j]) / 2, axis=-1)
    return averages


def hodges_lehmann(d: Array) -> Any:
    """The median of the Walsh averages: the centre of a symmetric distribution, and no outlier's plaything."""
    return np.median(walsh(d), axis=-1)


def interval(d: Array, level: float = ALPHA) -> Any:
    """(low, high) that holds the centre with probability at least 1 - level; infinite where K blocks cannot."""
    averages = walsh(d)
    cut = int(
        np.searchsorted(cumulative(d.shape[-1]), level / 2, side="right")
    )  # the largest c with P(W < c) <= level/2
    if cut == 0:
        return -np.inf + averages[..., 0] * 0, np.inf + averages[..., 0] * 0
    return averages[..., cut - 1], averages[..., -cut]


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


def scale(d: Array) -> float:
    """A standard deviation that a burst of load does not move: from the median distance to the median."""
    return float(stats.median_abs_deviation(d, scale="normal"))


def detectable(spread: float, K: int, level: float = ALPHA) -> float:
    """The log ratio that K blocks show with probability POWER; infinite below `fewest_blocks`."""
    if K < fewest_blocks(1, level):
        return math.inf
    t = stats.t(K - 1)
    efficiency = 3 / math.pi  # of the signed-rank test, beside t, where the noise is normal
    return float((t.ppf(1 - level / 2) + t.ppf(POWER)) * spread / math.sqrt(K * efficiency))


def blocks_needed(estimate: float, spread: float, level: float, limit: float, most: int = 1000) -> int | None:
    """Blocks that would show such an effect, or else that it is within the limit; None if `most` would not do."""
    effect = max(abs(estimate), limit - abs(estimate))
    ks = range(fewest_blocks(1, level), most + 1)
    first = bisect.bisect_left(ks, True, key=lambda K: detectable(spread, K, level) <= effect)  # it falls with K
    return ks[first] if first < len(ks) else None
