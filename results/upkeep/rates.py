"""Simulate the error rates and the power of the verdicts: seeded pages with known truth.

The noise comes from the residuals of a saved campaign, or from a distribution. Each page is judged as `compare` and the
report judge theirs.

usage: python -m results.upkeep.rates RUN FILE [PAGES]
"""

import json
import math
import sys
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from results.commands.gate import FAIL, decide
from results.commands.options import BASELINE
from results.output import Section
from results.stats.agreement import Array, distances
from results.stats.pairing import ratios_to, without_duplicates
from results.stats.signed_rank import (
    ALPHA,
    EQUIVALENT,
    FASTER,
    SLOWER,
    UNDECIDED,
    hodges_lehmann,
    holm,
    judge,
    p_value,
)
from results.store.atomic import atomic_write
from results.store.reading import Run, facts
from results.store.runs import ROOT, find

PAGES = 400
BLOCKS = (2, 3, 4, 6, 13)
CASES = 24  # of a simulated page: 3 pairs of implementations, 8 problems each
GATE = 0.05  # threshold
Generator = np.random.Generator


@dataclass(frozen=True)
class Campaign:
    """The log ratios (m, K) of a campaign to its baseline, and their residuals around the estimate of each case."""

    logs: Array
    residuals: Array
    pairs: list[Hashable]


@dataclass(frozen=True)
class Rate:
    """A row of the table.

    false: share of pages with a false verdict, or that miss a true value with an interval. decided: share of the pairs
    of the campaign that are decided; NaN where the truth is no difference.
    """

    situation: str
    rule: str
    blocks: int
    pages: int
    false: float
    missed: float
    decided: float


def campaign(run: Run, baseline: str = BASELINE) -> Campaign:
    """Return the comparisons of a run with the baseline that have all blocks."""
    table = ratios_to(without_duplicates(run.rows), baseline)
    table = table[(table["refused"] == "") & (table["impl"] != baseline)]
    table = table[table["blocks"] == table["blocks"].max()]
    logs = np.array([list(values) for values in table["logs"]])
    return Campaign(logs, logs - hodges_lehmann(logs)[:, None], list(table["pair"]))


def null_page(source: Campaign, rng: Generator, blocks: int) -> Array:
    """Return residuals (m, blocks) of random blocks with random signs: the ratios of all cases share the baseline."""
    at = rng.choice(source.residuals.shape[1], blocks, replace=False)
    page: Array = source.residuals[:, at] * rng.choice([-1, 1], blocks)
    return page


def words_of(
    page: Array, pairs: Sequence[Hashable], earlier: Mapping[Any, Array] | None = None, effect: float = 0.0
) -> tuple[list[str], bool]:
    """Return the verdicts of a page, and whether every interval holds the true `effect`."""
    verdicts = judge(list(page), pairs=pairs, earlier=earlier)
    held = [math.log(max(one.low, 1e-300)) <= effect <= math.log(one.high) for one in verdicts]
    return [one.word for one in verdicts], all(held)


def signs_alone(page: Array) -> list[str]:
    """Return the verdicts of the signed-rank test alone, with Holm's procedure."""
    adjusted, _ = holm(list(p_value(page)))
    return [SLOWER if p <= ALPHA else UNDECIDED for p in adjusted]


def campaign_rates(source: Campaign, pages: int, seed: int = 0) -> list[Rate]:
    """Return the rates on pages made of a campaign, by number of blocks."""
    rates = []
    for blocks in BLOCKS:
        rng = np.random.default_rng([seed, blocks])
        orders = [rng.permutation(source.logs.shape[1]) for _ in range(pages)]
        earlier = [_pool(source, order[blocks:]) if blocks == 2 else None for order in orders]
        nulls = [null_page(source, rng, blocks) for _ in range(pages)]
        for name in ("signed-rank test alone", "agreement and signed-rank test"):
            if name.startswith("agreement"):
                judged = [words_of(page, source.pairs, pool) for page, pool in zip(nulls, earlier, strict=True)]
                truths = [
                    words_of(source.logs[:, order[:blocks]], source.pairs, pool)[0]
                    for order, pool in zip(orders[: max(pages // 10, 1)], earlier, strict=False)
                ]
            else:
                judged = [(signs_alone(page), True) for page in nulls]
                truths = [signs_alone(source.logs[:, order[:blocks]]) for order in orders[: max(pages // 10, 1)]]
            false = np.mean([_is_false(words) for words, _ in judged])
            missed = math.nan if name.startswith("signed") else float(np.mean([not held for _, held in judged]))
            decided = np.mean([[word != UNDECIDED for word in words] for words in truths])
            situation = "campaign, with an earlier run" if blocks == 2 else "campaign"
            rates.append(Rate(situation, name, blocks, pages, float(false), missed, float(decided)))
    return rates


def _pool(source: Campaign, at: NDArray[np.int_]) -> dict[Hashable, Array]:
    """Return the distances between the blocks `at` by pair: an earlier run."""
    pools: dict[Hashable, list[Array]] = {}
    for pair, logs in zip(source.pairs, source.logs[:, at], strict=True):
        pools.setdefault(pair, []).append(distances(logs))
    return {pair: np.concatenate(parts) for pair, parts in pools.items()}


def _is_false(words: Sequence[str]) -> bool:
    return FASTER in words or SLOWER in words


Noise = Callable[[Generator, tuple[int, int]], Array]


def heavy_tails(rng: Generator, shape: tuple[int, int]) -> Array:
    """Return noise of Student's t with 3 degrees of freedom."""
    noise: Array = 0.03 * rng.standard_t(3, shape)
    return noise


def layouts(rng: Generator, shape: tuple[int, int]) -> Array:
    """Return noise of processes of two kinds, by memory layout, on both sides."""
    kinds = rng.random((2, *shape)) < 0.3
    noise: Array = rng.normal(0, 0.01, shape) + 0.06 * (kinds[0].astype(float) - kinds[1])
    return noise


def ties(rng: Generator, shape: tuple[int, int]) -> Array:
    """Return noise rounded to a coarse clock."""
    noise: Array = np.round(rng.normal(0, 0.02, shape), 2)
    return noise


def interference(rng: Generator, shape: tuple[int, int]) -> Array:
    """Return noise of a machine that slows both sides alike by 1.5x in 40 % of the processes."""
    slow = rng.random((2, *shape)) < 0.4
    noise: Array = rng.normal(0, 0.01, shape) + math.log(1.5) * (slow[0].astype(float) - slow[1])
    return noise


def unequal(rng: Generator, shape: tuple[int, int]) -> Array:
    """Return noise of interference in 40 % of the processes that slows A 1.45x and B 1.1x."""
    slow = rng.random((2, *shape)) < 0.4
    noise: Array = rng.normal(0, 0.01, shape) + math.log(1.1) * slow[1] - math.log(1.45) * slow[0]
    return noise


def one_sided(rng: Generator, shape: tuple[int, int]) -> Array:
    """Return noise of one side whose processes run 8 % slower in 30 % of the cases."""
    noise: Array = rng.normal(0, 0.03, shape) + 0.08 * (rng.random(shape) < 0.3)
    return noise


def lasting(rng: Generator, shape: tuple[int, int]) -> Array:
    """Return noise with an autocorrelation of 0.7 over the blocks."""
    noise = rng.normal(0, 0.05, shape)
    for block in range(1, shape[1]):
        noise[:, block] = 0.7 * noise[:, block - 1] + math.sqrt(1 - 0.7**2) * noise[:, block]
    return noise


def one_noisy_pair(rng: Generator, shape: tuple[int, int]) -> Array:
    """Return heavy-tailed noise, ten times larger for the first pair of implementations."""
    scale = np.where(np.arange(shape[0]) < shape[0] // 3, 10.0, 1.0)[:, None]
    noise: Array = heavy_tails(rng, shape) * scale
    return noise


def noisy_problems(rng: Generator, shape: tuple[int, int]) -> Array:
    """Return normal noise whose size differs from case to case (log-normal, sd 1)."""
    noise: Array = rng.normal(0, 0.03, shape) * np.exp(rng.normal(0, 1, (shape[0], 1)))
    return noise


SITUATIONS: dict[str, Noise] = {
    "heavy tails (t3)": heavy_tails,
    "memory layouts": layouts,
    "coarse clock (ties)": ties,
    "interference, both sides alike": interference,
    "one of 3 pairs 10x noisier": one_noisy_pair,
    "noise differs by case (log-normal, sd 1)": noisy_problems,
    "interference, A 1.45x and B 1.1x": unequal,
    "one side 8 % slower in 30 % of processes": one_sided,
    "state lasts over blocks (0.7)": lasting,
}


def simulated_rates(pages: int, blocks: Sequence[int] = (3, 6, 13), seed: int = 1) -> list[Rate]:
    """Return the rates on pages of CASES cases without a difference, in each of SITUATIONS."""
    rates = []
    pairs = [index // (CASES // 3) for index in range(CASES)]
    for number, (name, noise) in enumerate(SITUATIONS.items()):
        for count in blocks:
            rng = np.random.default_rng([seed, number, count])
            judged = [words_of(noise(rng, (CASES, count)), pairs) for _ in range(pages)]
            false = float(np.mean([_is_false(words) for words, _ in judged]))
            missed = float(np.mean([not held for _, held in judged]))
            rates.append(Rate(name, "agreement and signed-rank test", count, pages, false, missed, math.nan))
    return rates


def small_difference_rate(pages: int, seed: int = 2) -> Rate:
    """Return how often a difference of 0.5 % at a spread of 0.5 % is called one, in 20 blocks."""
    rng = np.random.default_rng(seed)
    words = [judge([list(rng.normal(0.005, 0.005, 20))])[0].word for _ in range(pages)]
    equivalent = words.count(EQUIVALENT) / pages
    false = float(np.mean([_is_false([word]) for word in words]))
    return Rate("0.5 % slower, spread 0.5 %", "agreement and signed-rank test", 20, pages, false, math.nan, equivalent)


def gate_rates(pages: int, seed: int = 3) -> list[Rate]:
    """Return how often the gate fails pages of 6 cases by a drift between runs, beside 8 unchanged cases."""
    rates = []
    for name, spread, effect in (
        ("gate, exactly at the threshold, runs differ by 2 %", 0.02, math.log1p(GATE)),
        ("gate, no change, runs differ by 5 %", 0.05, 0.0),
    ):
        for rule in ("bounds of the blocks alone", "bounds widened by the drift"):
            rng, failed = np.random.default_rng([seed, int(1000 * spread)]), 0
            for _ in range(pages):
                shifts = rng.normal(0, spread, 8)
                cases = effect + rng.normal(0, spread, (6, 1)) + rng.normal(0, 0.01, (6, 10))
                unchanged = shifts if rule.endswith("drift") else None
                failed += any(decide(list(row), GATE, 6, unchanged)["verdict"] == FAIL for row in cases)
            rates.append(Rate(name, rule, 10, pages, failed / pages, math.nan, math.nan))
    return rates


def rates(run: Run, pages: int) -> pd.DataFrame:
    """Return all rates, with the machine and the number of pages."""
    parts = [campaign_rates(campaign(run), pages), simulated_rates(pages), [small_difference_rate(pages)]]
    table = pd.DataFrame([asdict(rate) for part in [*parts, gate_rates(pages)] for rate in part])
    known = facts(run)
    return table.assign(source=run.label, cpu=known["cpu"], cores=known["cores"])


def section(table: pd.DataFrame) -> Section:
    """Return the rates as a table."""
    rows = [
        {
            "situation": row["situation"],
            "rule": row["rule"],
            "blocks": str(row["blocks"]),
            "pages with a false verdict": f"{row['false']:.1%}",
            "pages with a missed interval": _percent(row["missed"]),
            "decided": _percent(row["decided"]),
        }
        for row in table.to_dict("records")
    ]
    last = table.iloc[-1]
    error = 100 * math.sqrt(0.05 * 0.95 / last["pages"])
    notes = [
        f"{last['pages']:,} simulated pages a row, nominal rate {ALPHA:.0%}; standard error {error:.1f} % at 5 %."
        f" campaign: residuals of {last['source']} ({last['cpu']}, {last['cores']} cores); made by make rates."
        " decided: share of the campaign's comparisons; for 0.5 %, share called EQUIVALENT."
    ]
    return Section(table=rows, notes=notes)


def _percent(value: float) -> str:
    return "-" if value is None or math.isnan(value) else f"{value:.1%}"


def main(arguments: list[str]) -> int:
    """Write the rates of RUN to FILE."""
    pages = int(arguments[2]) if len(arguments) > 2 else PAGES
    table = rates(find(arguments[0], ROOT), pages)
    text = json.dumps(table.astype(object).where(table.notna(), None).to_dict("records"), indent=1)
    atomic_write(Path(arguments[1]), text + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
