"""Simulate the claims beside the verdicts: BUSY machines, crossings, blocks needed, and intervals of few blocks.

Each function calls the functions that judge the pages: `judge`, `withhold_below`, `Curve` and `spread_of`.
"""

import math
from collections.abc import Hashable, Sequence
from functools import partial

import numpy as np
import pandas as pd

from results.page.crossover import Curve
from results.stats.few_blocks import Array, distances
from results.stats.pools import FEW_BLOCKS, spread_of
from results.stats.quiet_or_busy import Quiet, withhold_below
from results.stats.verdicts import FASTER, SLOWER, UNDECIDED, judge
from results.store.columns import CASE
from results.upkeep.simulation import (
    PAGE_CASES,
    PAIR_CASES,
    Generator,
    Noise,
    Rate,
    autocorrelated,
    differs_by_case,
    heavy_tails,
)

CROSSING_IMPLS, CROSSING_SIZES = 15, 4
MOST_NEEDED = 60  # blocks that are simulated; a larger number is not tried
PAIRS = [index // PAIR_CASES for index in range(PAGE_CASES)]


def busy_noise(rng: Generator, shape: tuple[int, int], difference: float) -> Array:
    """Return noise of Student's t with 3 degrees of freedom, whose median is a factor of 1 + difference."""
    from scipy.special import stdtrit  # imported here: it takes long

    return np.asarray(math.log1p(difference) / stdtrit(3, 0.75) * rng.standard_t(3, shape))


def claims(page: Array, control: Array) -> tuple[pd.DataFrame, float]:
    """Return the judged table of a page of log ratios, and the factor from which on it claims differences.

    control: log ratios of the A/A control of the run. They decide whether the machine was BUSY.
    """
    verdicts = judge([row.tolist() for row in page], pairs=PAIRS[: len(page)])
    rows = [(verdict.word, verdict.low, verdict.high) for verdict in verdicts]
    table = pd.DataFrame(rows, columns=["verdict", "interval_low", "interval_high"])
    factor = Quiet(difference=math.expm1(float(np.median(np.abs(control)))), others=0.0).claims_from
    return withhold_below(table, factor), factor


BUSY_SITUATIONS: dict[str, tuple[Noise, float]] = {  # noise, and the true ratio
    "BUSY, A/A 15 %, equal": (partial(busy_noise, difference=0.15), 1.0),
    "BUSY, A/A 25 %, equal": (partial(busy_noise, difference=0.25), 1.0),
    "BUSY, A/A 15 %, true ratio 1.5": (partial(busy_noise, difference=0.15), 1.5),
    "BUSY, A/A 25 %, true ratio 1.5": (partial(busy_noise, difference=0.25), 1.5),
    "BUSY, A/A 25 %, true ratio 5": (partial(busy_noise, difference=0.25), 5.0),
    "BUSY, A/A 25 %, equal, state lasts (0.7)": (autocorrelated(0.7, math.log(1.25) / 0.6745), 1.0),
    "BUSY, A/A 25 %, 1.5, state lasts (0.7)": (autocorrelated(0.7, math.log(1.25) / 0.6745), 1.5),
}


def busy_rates(pages: int, blocks: Sequence[int] = (3, 6, 13)) -> list[Rate]:
    """Return how often pages of a BUSY machine claim a difference that is not there, or is not that large.

    The A/A control of each page is drawn from the same noise, in 8 cases.
    """
    rates = []
    for number, (name, (noise, ratio)) in enumerate(BUSY_SITUATIONS.items()):
        for count in blocks:
            rng, false, decided = np.random.default_rng([9, number, count]), 0, list[float]()
            for _ in range(pages):
                page = math.log(ratio) + noise(rng, (PAGE_CASES, count))
                table, factor = claims(page, noise(rng, (PAIR_CASES, count)))
                wrong = (table["verdict"] == SLOWER) & (ratio <= factor)
                wrong |= (table["verdict"] == FASTER) & (ratio >= 1 / factor)
                false += bool(wrong.any())
                decided.append(float((table["verdict"] != UNDECIDED).mean()))
            share = float(np.mean(decided)) if ratio > 2 else math.nan
            rates.append(Rate(name, "claims beyond 2x", count, pages, false / pages, math.nan, share))
    return rates


def overtakes(rng: Generator, noise: Noise, blocks: int) -> bool:
    """Return whether a page of CROSSING_IMPLS equal implementations and CROSSING_SIZES sizes claims a crossing."""
    baseline = noise(rng, (CROSSING_SIZES, blocks))
    for _ in range(CROSSING_IMPLS):
        logs = (noise(rng, (CROSSING_SIZES, blocks)) - baseline) / math.sqrt(2)
        verdicts = judge([row.tolist() for row in logs], comparisons=CROSSING_IMPLS * CROSSING_SIZES)
        with np.errstate(divide="ignore"):  # without an interval, its low end is 0
            middle, low, high = np.log([[one.ratio, one.low, one.high] for one in verdicts]).T
        n = np.logspace(2, 1 + CROSSING_SIZES, CROSSING_SIZES)
        if Curve(np.asarray(n, np.float64), middle, low, high).crossings:
            return True
    return False


def crossing_rates(pages: int, blocks: Sequence[int] = (3, 6, 13)) -> list[Rate]:
    """Return how often a page claims that one of equal implementations overtakes the baseline."""
    rates = []
    kinds: dict[str, Noise] = {"heavy tails": heavy_tails, "noise differs by size": differs_by_case}
    kinds["state lasts (0.7)"] = autocorrelated(0.7, 0.05)
    for number, (name, noise) in enumerate(kinds.items()):
        for count in blocks:
            rng = np.random.default_rng([10, number, count])
            false = sum(overtakes(rng, noise, count) for _ in range(pages)) / pages
            situation = f"{CROSSING_IMPLS} equal implementations, {CROSSING_SIZES} sizes, {name}"
            rates.append(Rate(situation, '"overtakes"', count, pages, false, math.nan, math.nan))
    return rates


def decided_when_needed(page: Array, pairs: Sequence[Hashable], blocks: int) -> list[bool]:
    """Return, for each case that is undecided after `blocks`, whether the blocks that it names decide it.

    page (m, K): log ratios. Cases that name more than K blocks, or none, are left out.
    """
    first = judge([row.tolist() for row in page[:, :blocks]], pairs=pairs)
    needed = {index: one.needed for index, one in enumerate(first) if one.needed and one.needed <= page.shape[1]}
    decided = list[bool]()
    for count in sorted(set(needed.values())):
        later = judge([row.tolist() for row in page[:, :count]], pairs=pairs)
        decided += [later[index].word != UNDECIDED for index, named in needed.items() if named == count]
    return decided


def needed_rates(logs: Array, pairs: Sequence[Hashable], pages: int) -> list[Rate]:
    """Return how often the blocks that an UNDECIDED verdict names decide it. logs (m, K): of a campaign."""
    rates, fewer = list[Rate](), max(pages // 4, 1)
    for blocks in (3, 6):
        rng = np.random.default_rng([11, blocks])
        decided: dict[str, list[bool]] = {"campaign": [], "heavy tails": [], "normal noise": []}
        for _ in range(fewer):
            truth = rng.normal(0, 0.1 / 0.6745, (PAGE_CASES, 1))
            shape = PAGE_CASES, MOST_NEEDED
            decided["campaign"] += decided_when_needed(logs[:, rng.permutation(logs.shape[1])], pairs, blocks)
            decided["heavy tails"] += decided_when_needed(truth + heavy_tails(rng, shape), PAIRS, blocks)
            decided["normal noise"] += decided_when_needed(truth + rng.normal(0, 0.03, shape), PAIRS, blocks)
        for name, cases in decided.items():
            share = float(np.mean(cases)) if cases else math.nan
            situation = f"undecided cases, {name}"
            rates.append(Rate(situation, "after the blocks needed", blocks, fewer, math.nan, math.nan, share))
    return rates


def interval_rates(rows: pd.DataFrame, pages: int) -> list[Rate]:
    """Return how often the interval of one or two blocks misses the time of a further process.

    rows: of a campaign. Its blocks are drawn: the last ones are the earlier run, the first ones the run of few blocks.
    """
    logs_by_impl: dict[str, list[Array]] = {}
    for case, column in rows[rows["valid"].astype(bool)].groupby(CASE)["per_step_s"]:
        logs_by_impl.setdefault(str(next(iter(case))), []).append(np.log(column.to_numpy(float)))
    most, rates = max(len(logs) for arrays in logs_by_impl.values() for logs in arrays), list[Rate]()
    complete = ([logs for logs in arrays if len(logs) == most] for arrays in logs_by_impl.values())
    tables = [np.array(arrays) for arrays in complete if arrays]
    for blocks in range(1, FEW_BLOCKS + 1):
        rng, missed = np.random.default_rng([12, blocks]), list[float]()
        for _ in range(pages):
            order = rng.permutation(most)
            for table in tables:
                now, further, earlier = np.split(table[:, order], [blocks, blocks + 1], axis=1)
                spread = spread_of(list(distances(earlier)))
                if not math.isnan(spread):
                    missed += (np.abs(further[:, 0] - np.median(now, axis=1)) > spread).tolist()
        share = float(np.mean(missed)) if missed else math.nan
        situation = "single numbers: the time of a further process"
        rates.append(Rate(situation, "interval of few blocks", blocks, pages, math.nan, share, math.nan))
    return rates
