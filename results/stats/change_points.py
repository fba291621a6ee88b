"""Find changes of level in a series: ruptures places them, simulated noise decides which are significant.

x (n,) are log times by date, one per run. For each number m of changes up to MAX_CHANGES, ruptures minimises the
squares, with SIDE_POINTS or more between changes. The t of a change is the difference of its two levels over its
standard error, which comes from the spread around all levels. T is the maximum over m of the smallest |t| among m
changes, so all m changes must be significant.

The penalty is not a free parameter. T must exceed its quantile in series without a change, with error probability ALPHA
over the page (Holm's correction over its series). These series are simulated with a fixed seed and processed alike.
Their noise is normal with autocorrelation CORRELATION from run to run, like the drift of machines. Independent noise
and weaker drift raise fewer false alarms (tests/results/stats/test_changes.py), stronger drift more. A quantile of few
draws is itself uncertain, so the upper bound of a probability counts: for one number of points and one level, it is not
exceeded with CERTAINTY.

A single run with interference must not count: `limit_outliers` moves it towards its neighbours. Neighbouring runs with
interference stay. With interference in one run of ten, 40 runs raise fewer false alarms than ALPHA, and 100 runs 7 %;
the interval of a place then contains it in 90 %.

Intervals come from the same simulation, at the level that decided. The interval of a ratio uses the quantile of |t| at
this place. The interval of a place is a likelihood ratio: it contains all places whose squares exceed the minimum no
more than at the true place of simulated changes.
Sources: Bai and Perron, Econometrica 66 (1998); Clopper and Pearson, Biometrika 26 (1934); Truong et al., Signal
Processing 167 (2020).
"""

import functools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from results.stats.signed_rank import ALPHA
from results.stats.verdicts import holm

Array = NDArray[np.float64]

SIDE_POINTS = 3  # at least, on either side of a change
MIN_POINTS = 2 * SIDE_POINTS
REACH_POINTS = SIDE_POINTS // 2 + 1  # from a point to the middle of the neighbouring SIDE_POINTS
MAX_CHANGES = 5  # in a series
MAX_POINTS = 200  # only the latest of a series are searched: the simulation takes seconds
CORRELATION = 0.7  # of the noise, from run to run
WINDOW_POINTS = 7  # of the running median for the spread
OUTLIER_SPREADS = 3.0
NORMAL_SCALE = 1.4826  # standard deviation / median distance to the median, for normal noise
MIN_SPREAD = 1e-3  # 0.1 %: the smallest credible one
MIN_DRAWS = 10_000  # standard error 0.2 % of a 5 % tail
MIN_TAIL_DRAWS = 20  # beyond the strictest level
CERTAINTY = 0.95  # that a tail probability is no larger than the bound that its draws give


@dataclass(frozen=True)
class Change:
    """A change before point `index`, with an interval: at the earliest before `first`, at the latest before `last`.

    ratio: level after the change / level before; low, high: its interval.
    """

    index: int
    first: int
    last: int
    ratio: float
    low: float
    high: float


@dataclass(frozen=True)
class Search:
    """The changes of one series, by date.

    p: Holm-adjusted p-value of the changes, an upper bound: see `tail_probability`; NaN if the series is too short.
    smallest: smallest ratio above 1 at which a single change in the middle is significant.
    """

    changes: list[Change]
    p: float
    smallest: float


def search(page: Sequence[Sequence[float]], alpha: float = ALPHA) -> list[Search]:
    """Return the changes of each series of log times, corrected for the number of series on the page.

    Raises ModuleNotFoundError without ruptures.
    """
    series = [np.asarray(x, float) for x in page]
    searched = [limit_outliers(x - x.mean()) for x in series if len(x) >= MIN_POINTS]
    draws = max(MIN_DRAWS, math.ceil(MIN_TAIL_DRAWS * len(searched) / alpha))
    plans = [segment(x) for x in searched]
    p = [tail_probability(max(smallest_t(x, plan)), len(x), draws) for x, plan in zip(searched, plans, strict=True)]
    judged = zip(searched, plans, *holm(p, alpha), strict=True)
    results = (_search(x, plan, adjusted, level, draws) for x, plan, adjusted, level in judged)
    return [next(results) if len(x) >= MIN_POINTS else Search([], math.nan, math.inf) for x in series]


def _search(x: Array, plans: list[list[int]], p: float, level: float, draws: int) -> Search:
    """Return the largest plan whose changes are all significant at `level` of Holm's procedure."""
    p_values = [tail_probability(t, len(x), draws) for t in smallest_t(x, plans)]
    significant = [plan for plan, value in zip(plans, p_values, strict=True) if value <= level]
    places = significant[-1] if significant else []
    smallest = critical_t(level, len(x), draws) * _spread(x, places or plans[0]) * 2 / math.sqrt(len(x))
    changes = [_change(x, places, number, draws, level) for number in range(len(places))]
    return Search(changes, p, _ratio(float(smallest)))


def limit_outliers(x: Array) -> Array:
    """Return x (..., n) with each point moved to within OUTLIER_SPREADS of its neighbours.

    The range of the neighbours lies between the medians of SIDE_POINTS before and after the point. A single run
    with interference is moved. A step is not: the points on one side of it are similar.
    """
    from scipy.ndimage import median_filter  # imported here: few commands need it

    unfiltered = (1,) * (x.ndim - 1)
    medians = median_filter(x, size=(*unfiltered, SIDE_POINTS), mode="mirror")
    padded = np.pad(medians, [(0, 0)] * (x.ndim - 1) + [(REACH_POINTS, REACH_POINTS)], mode="reflect")
    before, after = padded[..., : -2 * REACH_POINTS], padded[..., 2 * REACH_POINTS :]
    distances = np.abs(x - median_filter(x, size=(*unfiltered, WINDOW_POINTS), mode="reflect"))
    limit = OUTLIER_SPREADS * NORMAL_SCALE * np.median(distances, axis=-1, keepdims=True)
    return np.clip(x, np.minimum(before, after) - limit, np.maximum(before, after) + limit)


def segment(x: Array) -> list[list[int]]:
    """Return for 1, 2, ... changes the places with the least squares: the first point after each change.

    Raises ModuleNotFoundError without ruptures.
    """
    (plans,) = _segments([x])
    return plans


def _segments(series: Iterable[Array]) -> list[list[list[int]]]:
    from ruptures import KernelCPD  # imported here: of the extra `report`

    searches = [(len(x), KernelCPD(kernel="linear", min_size=SIDE_POINTS).fit(x[:, None])) for x in series]
    return [[fit.predict(m)[:-1] for m in range(1, min(MAX_CHANGES, n // SIDE_POINTS - 1) + 1)] for n, fit in searches]


def largest_t(x: Array) -> Array:
    """Return T (draws,) of each of the series x (draws, n)."""
    by_number = zip(*_segments(x), strict=True)
    largest: Array = np.max([np.abs(t_values(x, plans)).min(axis=-1) for plans in by_number], axis=0)
    return largest


def smallest_t(x: Array, plans: list[list[int]]) -> list[float]:
    """Return the smallest |t| among the changes of each plan."""
    return [float(np.abs(t_values(x, places)).min()) for places in plans]


def t_values(x: Array, places: ArrayLike) -> Array:
    """Return t (..., m) of changes at m places in x (..., n): difference of the levels over its standard error.

    places: (m,) for all series, or (..., m).
    """
    return np.diff(_levels(x, places)) / _errors(x, places)


def _errors(x: Array, places: ArrayLike) -> Array:
    """Return the standard errors (..., m) of the differences of neighbouring levels."""
    size = _sizes(x, places)
    return _spread(x, places)[..., None] * np.sqrt(1 / size[..., 1:] + 1 / size[..., :-1])


def _sizes(x: Array, places: ArrayLike) -> NDArray[np.int64]:
    """Return the numbers of points (..., m + 1) between the places."""
    positions = np.asarray(places, int)
    ends = np.zeros((*positions.shape[:-1], 1), int)
    return np.diff(np.concatenate([ends, positions, ends + x.shape[-1]], axis=-1))


def _levels(x: Array, places: ArrayLike) -> Array:
    """Return the means (..., m + 1) between the places."""
    positions, n = np.asarray(places, int), x.shape[-1]
    first = n * np.arange(x.size // n).reshape(*x.shape[:-1], 1)  # of each series, in x.ravel()
    edges = np.concatenate([first, first + positions], axis=-1)
    return np.add.reduceat(x.ravel(), edges.ravel()).reshape(edges.shape) / _sizes(x, places)


def _spread(x: Array, places: ArrayLike) -> Array:
    """Return the standard deviation (...) around the levels."""
    size = _sizes(x, places)
    squares = (x**2).sum(axis=-1) - (_levels(x, places) ** 2 * size).sum(axis=-1)
    spread: Array = np.sqrt(np.maximum(squares, 0) / (x.shape[-1] - size.shape[-1]))
    return np.maximum(spread, MIN_SPREAD)


def tail_probability(t: float, n: int, draws: int) -> float:
    """Return the upper bound of the probability that n points without a change have T >= t (Clopper and Pearson)."""
    return float(tail_bounds(draws)[draws - np.searchsorted(null_distribution(n, draws), t)])


def critical_t(level: float, n: int, draws: int) -> float:
    """Return the T that n points without a change exceed with a probability of at most `level`."""
    return _upper_quantile(null_distribution(n, draws), level)


def _upper_quantile(values: Array, level: float) -> float:
    """Return which of simulated values (draws,) is exceeded with a probability of at most `level`, by its bound."""
    draws_beyond = int(np.searchsorted(tail_bounds(len(values)), level, side="right"))
    place = len(values) - max(draws_beyond, 1)
    return float(np.partition(values, place)[place])


@functools.lru_cache(maxsize=4)
def tail_bounds(draws: int) -> Array:
    """Return the upper bounds (draws + 1,) of a probability by the number of draws beyond: 0, 1, ..., draws."""
    from scipy.special import betaincinv  # imported here: few commands need it

    draws_beyond = np.arange(draws)
    return np.append(betaincinv(draws_beyond + 1, draws - draws_beyond, CERTAINTY), 1.0)


@functools.cache
def null_distribution(n: int, draws: int) -> Array:
    """Return sorted values T (draws,) of simulated series of n points without a change."""
    return np.sort(largest_t(simulate_noise(n, draws)))


@functools.lru_cache(maxsize=4)
def simulate_noise(n: int, draws: int) -> Array:
    """Return autocorrelated noise (draws, n) without a change, with a fixed seed and limited outliers."""
    noise = np.random.default_rng(n).normal(size=(draws, n))
    innovations = math.sqrt(1 - CORRELATION**2) * noise
    for i in range(1, n):
        noise[:, i] = CORRELATION * noise[:, i - 1] + innovations[:, i]
    return limit_outliers(noise)


def _change(x: Array, places: list[int], number: int, draws: int, level: float) -> Change:
    """Return change `number` of those at `places`, with its intervals at `level`."""
    noise = simulate_noise(len(x), draws)
    left, place, right = [0, *places, len(x)][number : number + 3]
    step, spread = float(np.diff(_levels(x, places))[number]), float(_spread(x, places))
    critical = _upper_quantile(np.abs(t_values(noise, places)[:, number]), level)
    margin = float(critical * _errors(x, places)[number])
    simulated = noise / _spread(noise, places)[:, None] + step / spread * (np.arange(len(x)) >= place)
    squares = _excess_squares(simulated[:, left:right])[:, place - left - SIDE_POINTS]
    limit = _upper_quantile(squares, level)
    possible = np.flatnonzero(_excess_squares(x[left:right] / spread) <= limit) + left + SIDE_POINTS
    ratios = _ratio(step), _ratio(step - margin), _ratio(step + margin)
    return Change(place, int(possible[0]), int(possible[-1]), *ratios)


def _ratio(log: float) -> float:
    """Return exp(log), limited so that the ratio and its inverse are finite: files are untrusted input."""
    return math.exp(min(max(log, -700.0), 700.0))


def _excess_squares(x: Array) -> Array:
    """Return for one change after s = SIDE_POINTS, s + 1, ...: squares minus the least squares (..., n - 2 s + 1)."""
    before = np.arange(SIDE_POINTS, x.shape[-1] - SIDE_POINTS + 1)
    sums = np.cumsum(x, axis=-1)
    left, total = sums[..., before - 1], sums[..., -1:]
    gain = left**2 / before + (total - left) ** 2 / (x.shape[-1] - before)
    above_least: Array = gain.max(axis=-1, keepdims=True) - gain
    return above_least
