"""Where a series of times changes its level: ruptures finds the places, simulated noise says which are more than noise.

x (n,) are log times by date, one per run. For each number m of changes, up to MOST, ruptures places them where squares
are least, SIDE points or more apart. A change's t is the difference of the two levels that it parts over its standard
error, from the spread around all levels. T is the largest, over m, of the smallest |t| among m changes: all must hold.

The penalty is no matter of taste: T must be above what series without a change reach with a probability of ALPHA over
the page (Holm over its series). Such series are drawn, seeded, and treated alike. Their noise is normal, and as slow as
machines drift: what a run is off by is CORRELATION times what the one before was, and something new. Independent noise
and weaker drift raise fewer alarms (tests/test_changes.py), stronger drift more. A single run in a slow spell must not
count: it is moved to where the runs on either side of it are (`held`). Neighbours in spells stay: where one run in ten
meets one, 40 runs raise fewer alarms still, and 100 runs 7 %; the interval of a place then holds it in 90 %.

Intervals come from the same draws, at the level that decided. That of a ratio: the t's that noise makes at this place.
That of a place: all at which the squares are not more above the least than noise makes them at a place that is true, a
likelihood ratio. Bai and Perron, Econometrica 66 (1998); Truong et al., Signal Processing 167 (2020).
"""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter

from results.stats.signed_rank import ALPHA, holm
from results.store.optional import package

Array = NDArray[np.float64]

SIDE = 3  # points on either side of a change
FEWEST = 2 * SIDE
REACH = SIDE // 2 + 1  # from a point to the middle of the SIDE next to it
MOST = 5  # changes in a series
LONGEST = 200  # points of a series, the latest, in which changes are looked for: the draws take seconds
CORRELATION = 0.7  # of the noise, from run to run
AROUND = 7  # points whose median says what is usual, for the spread around it
OUTLYING = 3.0  # spreads
NORMAL = 1.4826  # standard deviations in the median distance of normal noise
FLOOR = 1e-3  # a spread below 0.1 % is luck
DRAWS = 10_000  # at least: an error of 0.2 % in where the 5 % begin
TAIL = 10  # draws beyond the strictest level


@dataclass(frozen=True)
class Change:
    """A change before point `at`: `first` and `last` are the earliest and latest points before which it may be.

    ratio: level after over before; low, high: its interval.
    """

    at: int
    first: int
    last: int
    ratio: float
    low: float
    high: float


@dataclass(frozen=True)
class Search:
    """The changes of one series, by date; p: that noise does as much, Holm-adjusted; NaN where there are too few.

    smallest: the ratio above 1 from which a single change in the middle shows, by the spread around the series' levels.
    """

    changes: list[Change]
    p: float
    smallest: float


def search(page: Sequence[Sequence[float]], alpha: float = ALPHA) -> list[Search]:
    """The changes of each series of log times of a page, judged beside the others. Raises RunError without ruptures."""
    series = [np.asarray(x, float) for x in page]
    judged = [held(x - x.mean()) for x in series if len(x) >= FEWEST]
    draws = max(DRAWS, math.ceil(TAIL * len(judged) / alpha))
    plans = [segmented(x) for x in judged]
    chances = [chance(max(weakest(x, plan)), len(x), draws) for x, plan in zip(judged, plans, strict=True)]
    found = iter(
        _search(x, plan, p, level, draws)
        for x, plan, p, level in zip(judged, plans, *holm(chances, alpha), strict=True)
    )
    return [next(found) if len(x) >= FEWEST else Search([], math.nan, math.inf) for x in series]


def _search(x: Array, plans: list[list[int]], p: float, level: float, draws: int) -> Search:
    """The largest plan of which every change passes at that level of Holm's procedure."""
    passed = [plan for plan, t in zip(plans, weakest(x, plans), strict=True) if chance(t, len(x), draws) <= level]
    places = passed[-1] if passed else []
    least = np.quantile(null(len(x), draws), 1 - level) * _spread(x, places or plans[0]) * 2 / math.sqrt(len(x))
    changes = [_change(x, places, number, draws, level) for number in range(len(places))]
    return Search(changes, p, _ratio(float(least)))


def held(x: Array) -> Array:
    """x (..., n), each point within OUTLYING spreads of what lies between the medians of the SIDE before and after it.

    A single run in a slow spell is moved, a step is not: next to it, one of the two sides is like the point.
    """
    still = (1,) * (x.ndim - 1)
    middle = median_filter(x, size=(*still, SIDE), mode="mirror")
    padded = np.pad(middle, [(0, 0)] * (x.ndim - 1) + [(REACH, REACH)], mode="reflect")
    sides = padded[..., : -2 * REACH], padded[..., 2 * REACH :]
    far = np.abs(x - median_filter(x, size=(*still, AROUND), mode="reflect"))
    limit = OUTLYING * NORMAL * np.median(far, axis=-1, keepdims=True)
    return np.clip(x, np.minimum(*sides) - limit, np.maximum(*sides) + limit)


def segmented(x: Array) -> list[list[int]]:
    """For 1, 2, ... changes, the first points after them where squares are least. Raises RunError without ruptures."""
    search = package("ruptures").KernelCPD(kernel="linear", min_size=SIDE).fit(x[:, None])
    return [search.predict(n_bkps=m)[:-1] for m in range(1, min(MOST, len(x) // SIDE - 1) + 1)]


def weakest(x: Array, plans: list[list[int]]) -> list[float]:
    """The smallest |t| among the changes of each plan."""
    return [float(np.abs(t_values(x, places)).min()) for places in plans]


def t_values(x: Array, places: list[int]) -> Array:
    """(..., m): the difference between the levels around each of m places, over its standard error; x (..., n)."""
    t: Array = np.diff(_levels(x, places)) / _errors(x, places)
    return t


def _errors(x: Array, places: list[int]) -> Array:
    size = np.diff([0, *places, x.shape[-1]])
    errors: Array = _spread(x, places)[..., None] * np.sqrt(1 / size[1:] + 1 / size[:-1])
    return errors


def _levels(x: Array, places: list[int]) -> Array:
    edges = [0, *places]
    means: Array = np.add.reduceat(x, edges, axis=-1) / np.diff([*edges, x.shape[-1]])
    return means


def _spread(x: Array, places: list[int]) -> Array:
    """(...): the standard deviation around the levels."""
    size = np.diff([0, *places, x.shape[-1]])
    rest = (x**2).sum(axis=-1) - (_levels(x, places) ** 2 * size).sum(axis=-1)
    spread: Array = np.sqrt(np.maximum(rest, 0) / (x.shape[-1] - len(size)))
    return np.maximum(spread, FLOOR)


def chance(t: float, n: int, draws: int) -> float:
    """The probability that n points without a change reach a T of t, by so many draws and the series itself."""
    return float(1 + draws - np.searchsorted(null(n, draws), t)) / (1 + draws)


@functools.cache
def null(n: int, draws: int) -> Array:
    """(draws,): T of series of n points without a change, rising."""
    return np.sort([max(weakest(x, segmented(x))) for x in drifting(n, draws)])


@functools.lru_cache(maxsize=4)
def drifting(n: int, draws: int) -> Array:
    """(draws, n): noise without a change, correlated from point to point, seeded and held as the series are."""
    noise = np.random.default_rng(n).normal(size=(draws, n))
    new = math.sqrt(1 - CORRELATION**2) * noise
    for i in range(1, n):
        noise[:, i] = CORRELATION * noise[:, i - 1] + new[:, i]
    return held(noise)


def _change(x: Array, places: list[int], number: int, draws: int, level: float) -> Change:
    """Change `number` of those at `places`, with its intervals at that level."""
    noise = drifting(len(x), draws)
    left, at, right = [0, *places, len(x)][number : number + 3]
    step, spread = float(np.diff(_levels(x, places))[number]), float(_spread(x, places))
    reach = np.quantile(np.abs(t_values(noise, places)[:, number]), 1 - level, method="higher")
    far = float(reach * _errors(x, places)[number])
    drawn = noise / _spread(noise, places)[:, None] + step / spread * (np.arange(len(x)) >= at)
    limit = np.quantile(_excess(drawn[:, left:right])[:, at - left - SIDE], 1 - level, method="higher")
    may = np.flatnonzero(_excess(x[left:right] / spread) <= limit) + left + SIDE
    return Change(at, int(may[0]), int(may[-1]), _ratio(step), _ratio(step - far), _ratio(step + far))


def _ratio(log: float) -> float:
    """Within what a float holds, and its inverse: files come from strangers."""
    return math.exp(min(max(log, -700.0), 700.0))


def _excess(x: Array) -> Array:
    """(..., n - 2 SIDE + 1): how far squares are above the least, with one change after SIDE, ... points."""
    after = np.arange(SIDE, x.shape[-1] - SIDE + 1)
    sums = np.cumsum(x, axis=-1)
    before, total = sums[..., after - 1], sums[..., -1:]
    gain = before**2 / after + (total - before) ** 2 / (x.shape[-1] - after)
    check_limits: Array = gain.max(axis=-1, keepdims=True) - gain
    return check_limits
