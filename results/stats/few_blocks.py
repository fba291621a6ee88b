"""Judge few blocks: all signs must agree, and the smallest log ratio must exceed the differences between blocks.

A test of signs alone rejects nothing below 2^(1-K), so few blocks need an assumption on the size of their noise. The
distances |d_b - d_b'| between the blocks of a case do not depend on its effect. S(x) is the share of distances of at
least x, with one more added. Each case takes the larger S of two pools: all cases of the page, and the cases of its own
pair of implementations, both with the distances of earlier runs. Earlier distances are scaled up to the page's median
distance if that is larger, because earlier runs may have been quieter. If the signs of K log ratios agree,
p = 2 (S(min |d|)/2)^K, else p = 1.

Assumptions: without a difference, both signs are equally likely. Blocks are independent. The noise of one block
exceeds x no more often than a distance does. A pool needs at least OWN_DISTANCES distances.

Looks: the rule is applied after each block, to the blocks until then. Look k of a case gets the part 2^-(k - first + 2)
of the error probability. All looks together get half of it. A finished run repeats the looks of its blocks, so a
verdict during the run stands at its end.
"""

import functools
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

FIRST_LOOK = 3  # blocks
FIRST_LOOK_EARLIER = 2  # with EARLIER_DISTANCES of earlier runs
EARLIER_DISTANCES = 40
OWN_DISTANCES = 9  # fewest distances of a pair of implementations: of 3 cases in 3 blocks
LAST_LOOK = 16  # later looks get less than 2^-15 of the error probability
LOOKS_SHARE = 0.5  # of the error probability; the rest is for the signed-rank test


@dataclass(frozen=True, eq=False)
class Tail:
    """The distribution of a pool of distances, `ordered` (N,)."""

    ordered: Array

    def share(self, x: Array) -> Array:
        """Return S(x) = (1 + number of distances of at least x) / (1 + N)."""
        count = len(self.ordered)
        return np.asarray((1 + count - np.searchsorted(self.ordered, x, side="left")) / (1 + count))

    def quantile(self, share: float) -> float:
        """Return the least x with S(x) <= share; infinite if the pool is too small."""
        count = int(np.floor(share * (1 + len(self.ordered)) * (1 + 1e-12))) - 1
        if count < 0:
            return np.inf
        return 0.0 if count >= len(self.ordered) else float(np.nextafter(self.ordered[-count - 1], np.inf))


@dataclass(frozen=True, eq=False)
class Agreement:
    """The looks at m cases.

    p (m,): smallest p, each divided by its part of the error probability; 1 or more if the looks show nothing.
    low, high (m,): bounds of the log ratio that hold at all looks together. Infinite without a look.
    usable (m,): whether there was a look with enough distances.
    tails: the pools of each case at its last look, page first; empty without distances.
    """

    p: Array
    low: Array
    high: Array
    usable: NDArray[np.bool_]
    tails: list[tuple[Tail, ...]]


def distances(d: Array) -> Array:
    """Return the distances (..., K (K - 1) / 2) between the K blocks of d (..., K)."""
    i, j = np.triu_indices(d.shape[-1], 1)
    return np.abs(d[..., i] - d[..., j])


def error_share(look: int, first: int) -> float:
    """Return the part of the error probability of a look: a quarter for the first, half as much for each later one."""
    return float(LOOKS_SHARE * 2.0 ** -(look - first + 1))


def least_share(blocks: int, level: float) -> float:
    """Return the largest S with 2 (S/2)^blocks <= level."""
    return float(2 * (level / 2) ** (1 / blocks))


@functools.lru_cache(maxsize=32)
def detectable(tails: tuple[Tail, ...], now: int, level: float, power: float) -> Array:
    """Return the log ratio that the look after 0, 1, ... LAST_LOOK blocks detects with probability `power`.

    tails: the pools of `now` blocks. Those of more blocks grow with the number of their distances. Infinite where a
    pool is too small.
    """
    log_ratios = np.full(LAST_LOOK + 1, np.inf)
    sizes = np.array([len(tail.ordered) for tail in tails])
    for blocks in range(FIRST_LOOK, LAST_LOOK + 1):
        counts = sizes * blocks * (blocks - 1) / (now * (now - 1)) if now > 1 else sizes
        shares = least_share(blocks, level * error_share(blocks, FIRST_LOOK)), 2 * (1 - power) / blocks
        if len(tails) and min(counts) >= OWN_DISTANCES and min(shares) * (1 + min(counts)) >= 1:
            # a pool that is too small for a share counts with its largest distance
            quantiles = [[tail.quantile(max(share, 1 / (1 + len(tail.ordered)))) for tail in tails] for share in shares]
            log_ratios[blocks] = sum(map(max, quantiles))
    return log_ratios


def blocks_needed(effect: float, tails: tuple[Tail, ...], now: int, level: float, power: float) -> int | None:
    """Return the blocks, above `now`, whose look decides a log ratio of `effect` with probability `power`, or None."""
    enough = np.flatnonzero(detectable(tails, now, level, power) <= effect)
    return next((int(blocks) for blocks in enough if blocks > now), None)


def fewest_blocks(cases: int, level: float) -> int:
    """Return the fewest blocks whose look can decide one of `cases` cases of a pair; LAST_LOOK + 1 if none can."""
    for blocks in range(FIRST_LOOK, LAST_LOOK + 1):
        count = cases * blocks * (blocks - 1) // 2
        share = least_share(blocks, level * error_share(blocks, FIRST_LOOK))
        if count >= OWN_DISTANCES and share * (1 + count) >= 1:
            return blocks
    return LAST_LOOK + 1


def look(
    page: Sequence[Array], pairs: Sequence[Hashable], level: float, earlier: Mapping[Any, Array] | None = None
) -> Agreement:
    """Apply the rule after each block of the page.

    page: log ratios by block of m cases. pairs: the pair of implementations of each case. level: error probability of
    the bounds of a case. earlier: distances of earlier runs by pair.
    """
    m, last_look = len(page), min(max(map(len, page), default=0), LAST_LOOK)
    logs = np.full((m, last_look), np.nan)
    for row, d in zip(logs, page, strict=True):
        row[: len(d)] = d[:last_look]
    by_pair: dict[Hashable, list[int]] = {}
    for index, pair in enumerate(pairs):
        by_pair.setdefault(pair, []).append(index)
    result = Agreement(np.ones(m), np.full(m, -np.inf), np.full(m, np.inf), np.zeros(m, bool), [() for _ in page])
    earlier_by_pair = {pair: (earlier or {}).get(pair, np.empty(0)) for pair in by_pair}
    for blocks in range(FIRST_LOOK_EARLIER, last_look + 1):
        between = distances(logs[:, :blocks])
        scale = _scale(between, [*earlier_by_pair.values()])
        page_tail = _tail(between, *(scale * earlier_distances for earlier_distances in earlier_by_pair.values()))
        for pair, indices in by_pair.items():
            earlier_distances = earlier_by_pair[pair]
            pair_tail = _tail(between[indices], scale * earlier_distances) if len(by_pair) > 1 else page_tail
            cases = np.array([index for index in indices if len(page[index]) >= blocks], int)
            first = FIRST_LOOK_EARLIER if len(earlier_distances) >= EARLIER_DISTANCES else FIRST_LOOK
            tails = (page_tail, pair_tail)
            for index in cases:
                result.tails[index] = tails
            if len(cases) and blocks >= first and len(pair_tail.ordered) >= OWN_DISTANCES:
                _add_look(result, cases, logs[cases, :blocks], tails, error_share(blocks, first), level)
    return result


def _scale(between: Array, earlier: list[Array]) -> float:
    """Return the factor, at least 1, by which the median distance of the page exceeds that of earlier runs."""
    before, now = np.concatenate([np.empty(0), *earlier]), between[~np.isnan(between)]
    typical = float(np.median(before)) if len(before) else 0.0
    return max(1.0, float(np.median(now)) / typical) if len(now) and typical > 0 else 1.0


def _tail(between: Array, *earlier: Array) -> Tail:
    return Tail(np.sort(np.concatenate([between[~np.isnan(between)], *earlier])))


def _add_look(
    result: Agreement, cases: NDArray[np.int_], d: Array, tails: tuple[Tail, ...], look_share: float, level: float
) -> None:
    """Add a look at `cases` (n,) with log ratios d (n, K) to the result."""
    blocks = d.shape[1]
    agree = (d > 0).all(axis=1) | (d < 0).all(axis=1)
    smallest = np.abs(d).min(axis=1)
    share = np.maximum.reduce([tail.share(smallest) for tail in tails])
    p = np.where(agree, 2 * (share / 2) ** blocks, 1.0)
    margin = max(tail.quantile(least_share(blocks, level * look_share)) for tail in tails)
    result.p[cases] = np.minimum(result.p[cases], p / look_share)
    result.low[cases] = np.maximum(result.low[cases], d.min(axis=1) - margin)
    result.high[cases] = np.minimum(result.high[cases], d.max(axis=1) + margin)
    result.usable[cases] = True
