"""Judge the comparisons of a page: by the agreement of few blocks, by the signed-rank test, with Holm's correction.

The two tests share the error probability. The agreement of signs (`few_blocks`) is tested after each block, and decides
large effects from three blocks on. The exact Wilcoxon signed-rank test (`signed_rank`) is applied at the end.
Source: Holm, Scand. J. Statist. 6 (1979).
"""

import math
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from results.stats import few_blocks, signed_rank
from results.stats.signed_rank import ALPHA, POWER, Array

MARGIN = 0.02  # ratios within 1 -+ this count as equal
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
    needed: blocks that decide with probability POWER at the estimated ratio and noise; None if a verdict was reached,
        or if MAX_BLOCKS decide with a lower probability. Without a second block the noise is unknown: the fewest
        blocks that can decide.
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
    pairs: Sequence[Hashable] | None = None,
    earlier: Mapping[Any, Array] | None = None,
    finished: bool = True,
    comparisons: int = 0,
) -> list[Verdict]:
    """Return a verdict for each comparison of a page, given its log ratios in the order of the blocks.

    FASTER: the ratio is below 1. EQUIVALENT: the interval lies within 1 -+ MARGIN; it takes precedence. pairs: the pair
    of implementations of each comparison (default: one pair). earlier: by pair, `few_blocks.distances` of earlier runs.
    finished: whether no further block will be judged; the signed-rank test has a single look, the last.
    comparisons: the number of comparisons of the family, if it is larger than the page.
    """
    samples, count = [np.asarray(d, float) for d in page], len(page)
    level = alpha / max(count, comparisons, 1)
    names: Sequence[Hashable] = [None] * count if pairs is None else pairs
    looks = few_blocks.look(samples, names, level, earlier)
    of_wilcoxon = np.where(looks.usable, 1 - few_blocks.LOOKS_SHARE, 1.0) if finished else np.zeros(count)
    estimates, spreads, low, high = (np.empty(count) for _ in range(4))
    smallest, p = np.full(count, np.inf), looks.p.copy()
    for indices, d in signed_rank.batches_by_size(samples):
        estimates[indices], spreads[indices] = signed_rank.hodges_lehmann(d), signed_rank.robust_scale(d)
        low[indices], high[indices] = signed_rank.interval(d, level * of_wilcoxon[indices])
        if finished:
            p[indices] = np.minimum(p[indices], signed_rank.p_value(d) / of_wilcoxon[indices])
            smallest[indices] = signed_rank.detectable(spreads[indices], d.shape[-1], level * of_wilcoxon[indices])
    low, high = np.maximum(low, looks.low), np.minimum(high, looks.high)
    low, high = np.minimum(low, high), np.maximum(low, high)  # if looks contradict each other: from one to the other
    adjusted, levels = holm(list(np.minimum(p, 1)), alpha, comparisons)
    fewest = {name: fewest_decisive(size, max(count, comparisons), alpha) for name, size in Counter(names).items()}
    limit, verdicts = math.log1p(MARGIN), list[Verdict]()
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
            signs = signed_rank.blocks_needed(estimates[i], spreads[i], levels[i] * (1 - few_blocks.LOOKS_SHARE), limit)
            agreed = few_blocks.blocks_needed(abs(estimates[i]), looks.tails[i], K, levels[i], POWER)
            needed = min((max(blocks, K + 1) for blocks in (signs, agreed) if blocks), default=None)
        by_looks = few_blocks.detectable(looks.tails[i], K, level, POWER)[: K + 1].min()
        ratio = math.exp(min(smallest[i], by_looks))
        bounds = math.exp(min(low[i], estimates[i])), math.exp(max(high[i], estimates[i]))
        spread = float(spreads[i]) if K > 1 else math.nan
        verdicts.append(Verdict(word, math.exp(estimates[i]), *bounds, float(adjusted[i]), K, ratio, needed, spread))
    return verdicts


def holm(p: Sequence[float], alpha: float = ALPHA, comparisons: int = 0) -> tuple[list[float], list[float]]:
    """Return p-values adjusted by Holm's step-down procedure, and for each the level of the step that decided.

    An interval at that level excludes 0 exactly if the comparison is rejected. comparisons: size of the
    family, if larger than p. The missing ones then count as the last to be rejected, which is the strictest.
    """
    total = max(len(p), comparisons)
    adjusted, levels, largest, divisor = [0.0] * len(p), [0.0] * len(p), 0.0, total
    for rank, index in enumerate(np.argsort(p, kind="stable")):
        divisor = total - rank if largest <= alpha else divisor  # constant after the first that is not rejected
        largest = max(largest, min(1.0, (total - rank) * p[index]))
        adjusted[index], levels[index] = largest, alpha / divisor
    return adjusted, levels


def fewest_decisive(cases: int, comparisons: int, alpha: float = ALPHA) -> int:
    """Return the fewest blocks that can decide one of `cases` cases of a pair, by either test."""
    return min(few_blocks.fewest_blocks(cases, alpha / comparisons), signed_rank.fewest_blocks(comparisons, alpha))
