"""Simulate the error rates and the power of the verdicts: seeded pages with known truth.

The noise comes from the residuals of a saved campaign, or from a distribution. Each page is judged as `compare` and the
report judge theirs.

usage: python -m results.upkeep.rates RUN FILE [PAGES]
"""

import math
import sys
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from results.commands.gate import FAIL, decide
from results.options import BASELINE
from results.output import Section, json_text
from results.stats.change_points import search
from results.stats.few_blocks import FIRST_LOOK, Array, distances
from results.stats.pairing import ratios_to, without_duplicates
from results.stats.signed_rank import ALPHA, hodges_lehmann, p_value
from results.stats.verdicts import EQUIVALENT, FASTER, SLOWER, UNDECIDED, holm, judge
from results.store.atomic import atomic_write
from results.store.reading import Run, facts
from results.store.runs import ROOT, find
from results.upkeep.claims import busy_rates, crossing_rates, interval_rates, needed_rates
from results.upkeep.simulation import (
    PAGE_CASES,
    PAIR_CASES,
    Generator,
    Noise,
    Rate,
    autocorrelated,
    bursts,
    differs_by_case,
    heavy_tails,
    shared_trend,
    two_kinds,
)

PAGES, HISTORY_FACTOR = 400, 5  # simulated pages, and by how much more for history
BLOCKS = (2, 3, 4, 6, 13)
PAIRS = [index // PAIR_CASES for index in range(PAGE_CASES)]
GATE_THRESHOLD = 0.05
BOTH_RULES = "agreement and signed-rank test"
BLOCKS_ALONE = "bounds of the blocks alone"  # what `gate` would do without its widening
NAMED_RATE = 0.06  # docs/simulations.md names the situations above it


@dataclass(frozen=True)
class Campaign:
    """The log ratios (m, K) of a campaign to its baseline, and their residuals around the estimate of each case."""

    logs: Array
    residuals: Array
    pairs: list[Hashable]


class Judged(NamedTuple):
    """A judged page: the share of decided cases, whether a verdict is false, and whether an interval misses the truth.

    Intervals of FASTER and SLOWER end at 1, so a false verdict is a missed interval.
    """

    decided: float
    false: bool
    missed: float


def campaign(run: Run) -> Campaign:
    """Return the comparisons with the baseline that have every block of the run."""
    table = ratios_to(run.rows, BASELINE)
    table = table[(table["refused"] == "") & (table["impl"] != BASELINE)]
    table = table[table["blocks"] == table["blocks"].max()]
    logs = np.array([list(values) for values in table["logs"]])
    return Campaign(logs, logs - hodges_lehmann(logs)[:, None], list(table["pair"]))


def null_page(source: Campaign, rng: Generator, blocks: int) -> Array:
    """Return residuals (m, blocks) of random blocks with random signs: the ratios of all cases share the baseline."""
    columns = rng.choice(source.residuals.shape[1], blocks, replace=False)
    page: Array = source.residuals[:, columns] * rng.choice([-1, 1], blocks)
    return page


def judge_page(
    page: Iterable[Array],
    pairs: Sequence[Hashable] = PAIRS,
    earlier: Mapping[Any, Array] | None = None,
    truth: Array | float = 0.0,
) -> Judged:
    """Judge the log ratios of a page as `compare` does. `truth`: their true values."""
    verdicts = judge([row.tolist() for row in page], pairs=pairs, earlier=earlier)
    cases = list(zip(verdicts, np.broadcast_to(truth, len(verdicts)), strict=True))
    false = any(
        (verdict.word == FASTER and log >= 0) or (verdict.word == SLOWER and log <= 0) for verdict, log in cases
    )
    inside = all(verdict.low <= math.exp(log) <= verdict.high for verdict, log in cases)
    decided = float(np.mean([verdict.word != UNDECIDED for verdict in verdicts]))
    return Judged(decided, false, float(false or not inside))


def signs_alone(page: Array) -> Judged:
    """Judge a page by the signed-rank test alone, with Holm's procedure; it has no interval."""
    adjusted, _ = holm(list(p_value(page)))
    rejected = np.array(adjusted) <= ALPHA
    return Judged(float(rejected.mean()), bool(rejected.any()), math.nan)


def _rate(situation: str, rule: str, blocks: int, pages: Sequence[Judged], decidable: Sequence[Judged] = ()) -> Rate:
    """Return the rates of judged pages. `decidable`: pages with the differences of the campaign."""
    false, missed = np.mean([[page.false, page.missed] for page in pages], axis=0).tolist()
    decided = float(np.mean([page.decided for page in decidable])) if decidable else math.nan
    return Rate(situation, rule, blocks, len(pages), false, missed, decided)


def campaign_rates(source: Campaign, pages: int) -> list[Rate]:
    """Return the rates on pages made of a campaign, by number of blocks."""
    rates = []
    for blocks in BLOCKS:
        rng = np.random.default_rng([0, blocks])
        orders = [rng.permutation(source.logs.shape[1]) for _ in range(pages)]
        earlier = [_pools(source.logs[:, order[blocks:]], source.pairs) if blocks == 2 else None for order in orders]
        nulls = [null_page(source, rng, blocks) for _ in range(pages)]
        truths = [source.logs[:, order[:blocks]] for order in orders[: max(pages // 10, 1)]]
        situation = "campaign, with an earlier run" if blocks == 2 else "campaign"
        signs = [[signs_alone(page) for page in pages_of_kind] for pages_of_kind in (nulls, truths)]
        by_both_rules = [
            [judge_page(page, source.pairs, pool) for page, pool in zip(pages_of_kind, earlier, strict=False)]
            for pages_of_kind in (nulls, truths)
        ]
        rates += [
            _rate(situation, "signed-rank test, all of the 5 %", blocks, *signs),
            _rate(situation, BOTH_RULES, blocks, *by_both_rules),
        ]
    return rates


def until_decided(page: Array, pairs: Sequence[Hashable]) -> list[Array]:
    """Return the log ratios of each case up to the block that decides it, as --until-decided does."""
    ends = [page.shape[1]] * len(page)
    for blocks in range(FIRST_LOOK, page.shape[1]):
        known_logs = [row[: min(end, blocks)] for row, end in zip(page, ends, strict=True)]
        verdicts = judge(known_logs, pairs=pairs, finished=False)
        ends = [
            blocks if end > blocks and verdict.word != UNDECIDED else end
            for end, verdict in zip(ends, verdicts, strict=True)
        ]
    return [row[:end] for row, end in zip(page, ends, strict=True)]


def until_decided_rate(source: Campaign, pages: int) -> Rate:
    """Return the rates on pages made of a campaign whose cases are left out once they are decided."""
    rng, blocks = np.random.default_rng(4), source.logs.shape[1]
    nulls = [null_page(source, rng, blocks) for _ in range(pages)]
    truths = [source.logs[:, rng.permutation(blocks)] for _ in range(max(pages // 10, 1))]
    parts = [[judge_page(until_decided(page, source.pairs), source.pairs) for page in part] for part in (nulls, truths)]
    return _rate("campaign", "the same, until decided", blocks, *parts)


def _pools(logs: Array, pairs: Sequence[Hashable]) -> dict[Hashable, Array]:
    """Return by pair the distances between the blocks of an earlier run, given its log ratios (m, K)."""
    return {pair: np.concatenate(distances(logs[[name == pair for name in pairs]])) for pair in set(pairs)}


SITUATIONS: dict[str, Noise] = {
    "heavy tails (t3)": heavy_tails,
    "memory layouts": two_kinds(0.3, 0.06, 0.06),
    "coarse clock (ties)": lambda rng, shape: np.round(rng.normal(0, 0.02, shape), 2),
    "interference, both sides alike": two_kinds(0.4, math.log(1.5), math.log(1.5)),
    "one of 3 pairs 10x noisier": lambda rng, shape: (
        heavy_tails(rng, shape) * np.where(np.arange(shape[0]) < shape[0] // 3, 10.0, 1.0)[:, None]
    ),
    "noise differs by case (log-normal, sd 1)": differs_by_case,
    "interference, A 1.45x and B 1.1x": two_kinds(0.4, math.log(1.45), math.log(1.1)),
    "one side 8 % slower in 30 % of processes": lambda rng, shape: (
        rng.normal(0, 0.03, shape) + 0.08 * (rng.random(shape) < 0.3)
    ),
    "state lasts over blocks (0.7)": autocorrelated(0.7, 0.05),
    "bursts of 2 blocks, B 1.3x": bursts,
    "both sides drift, 5 % a block": shared_trend,
}

BREAKS = {  # situations that break an assumption of the rule
    "noise differs by case (log-normal, sd 1)",
    "interference, A 1.45x and B 1.1x",
    "one side 8 % slower in 30 % of processes",
    "state lasts over blocks (0.7)",
    "bursts of 2 blocks, B 1.3x",
}


def simulated_rates(pages: int, blocks: Sequence[int] = (3, 6, 13)) -> list[Rate]:
    """Return the rates on pages of PAGE_CASES without a difference, in each of SITUATIONS."""
    rates = []
    for number, (name, noise) in enumerate(SITUATIONS.items()):
        for count in blocks:
            rng = np.random.default_rng([1, number, count])
            judged = [judge_page(noise(rng, (PAGE_CASES, count))) for _ in range(pages)]
            rates.append(_rate(name, BOTH_RULES, count, judged))
    return rates


def earlier_rates(pages: int) -> list[Rate]:
    """Return the rates on pages without a difference, with an earlier run of equal or less noise."""
    rates = []
    for share, name in ((1.0, "as noisy"), (0.5, "half as noisy"), (0.25, "a quarter as noisy")):
        for blocks in (2, 3):
            rng, judged = np.random.default_rng([6, int(100 * share), blocks]), list[Judged]()
            for _ in range(pages):
                pools = _pools(share * heavy_tails(rng, (PAGE_CASES, 13)), PAIRS)
                judged.append(judge_page(heavy_tails(rng, (PAGE_CASES, blocks)), earlier=pools))
            rates.append(_rate(f"heavy tails, an earlier run {name}", BOTH_RULES, blocks, judged))
    return rates


def history_rates(pages: int) -> list[Rate]:
    """Return how often `history` shows a change in 10 series of 20 runs, without a change and with one of 20 %."""
    rates, change = [], math.log(1.2) * (np.arange(20) >= 10)
    for correlation in (0.0, 0.7, 0.9):
        rng, noise = np.random.default_rng([7, int(10 * correlation)]), autocorrelated(correlation, 0.03)
        series = [noise(rng, (10, 20)) for _ in range(pages)]
        false = np.mean([any(row.changes for row in search(page.tolist())) for page in series])
        shifted = [search((page + change).tolist()) for page in series[: max(pages // 10, 1)]]
        hits = [any(c.ratio > 1 and c.first <= 10 <= c.last for c in row.changes) for page in shifted for row in page]
        name = f"history of 20 runs, noise correlated by {correlation}"
        rates.append(Rate(name, "change points; 20 % slower", 20, pages, float(false), math.nan, float(np.mean(hits))))
    return rates


def mixed_rates(pages: int) -> list[Rate]:
    """Return the rates on pages with heavy tails, half of whose cases differ, by 10 % in the median."""
    rates = []
    for count in (3, 6, 13):
        rng, judged = np.random.default_rng([5, count]), list[Judged]()
        for _ in range(pages):
            truth = rng.normal(0, 0.1 / 0.6745, PAGE_CASES) * (rng.random(PAGE_CASES) < 0.5)
            judged.append(judge_page(truth[:, None] + heavy_tails(rng, (PAGE_CASES, count)), truth=truth))
        rates.append(_rate("half of the cases differ, heavy tails", BOTH_RULES, count, judged))
    return rates


def small_difference_rate(pages: int) -> Rate:
    """Return how often 20 blocks show a difference of 0.5 % at a spread of 0.5 %."""
    rng = np.random.default_rng(2)
    verdicts = pd.Series([judge([list(rng.normal(0.005, 0.005, 20))])[0].word for _ in range(pages)])
    false, equivalent = verdicts.isin([FASTER, SLOWER]).mean(), (verdicts == EQUIVALENT).mean()
    return Rate("0.5 % slower, spread 0.5 %", BOTH_RULES, 20, pages, false, math.nan, equivalent)


def gate_rates(pages: int) -> list[Rate]:
    """Return how often drift between runs makes the gate fail pages of 6 cases and 8 unchanged ones."""
    rates = []
    for name, spread, effect in (
        ("gate, exactly at the threshold, runs differ by 2 %", 0.02, math.log1p(GATE_THRESHOLD)),
        ("gate, no change, runs differ by 5 %", 0.05, 0.0),
    ):
        for rule in (BLOCKS_ALONE, "bounds widened by the drift"):
            rng, failed = np.random.default_rng([3, int(1000 * spread)]), 0
            for _ in range(pages):
                shifts = rng.normal(0, spread, 8)
                cases = effect + rng.normal(0, spread, (6, 1)) + rng.normal(0, 0.01, (6, 10))
                unchanged = shifts if rule.endswith("drift") else None
                failed += any(decide(list(row), GATE_THRESHOLD, 6, unchanged)["verdict"] == FAIL for row in cases)
            rates.append(Rate(name, rule, 10, pages, failed / pages, math.nan, math.nan))
    return rates


def rates(run: Run, pages: int) -> pd.DataFrame:
    """Return all rates, with the machine and the number of pages."""
    source = campaign(run)
    rows = [*campaign_rates(source, pages), until_decided_rate(source, pages), *simulated_rates(pages)]
    rows += [*mixed_rates(pages), small_difference_rate(pages), *gate_rates(pages)]
    rows += [*earlier_rates(pages), *history_rates(HISTORY_FACTOR * pages)]
    rows += [*busy_rates(pages), *crossing_rates(pages), *needed_rates(source.logs, source.pairs, pages)]
    rows += interval_rates(without_duplicates(run.rows), pages)
    machine = facts(run)
    table = pd.DataFrame(map(asdict, rows)).assign(source=run.label, cpu=machine["cpu"], cores=machine["cores"])
    return table.assign(date=f"{datetime.now(UTC):%Y-%m-%d %H:%MZ}")


def section(table: pd.DataFrame) -> Section:
    """Return a row for each situation and rule, with its rates by number of blocks."""
    rows = [
        {
            "situation": str(situation),
            "rule": str(rule),
            "blocks": ", ".join(map(str, group["blocks"])),
            "pages with a false verdict": _percentages(group["false"]),
            "pages with a missed interval": _percentages(group["missed"]),
            "decided": _percentages(group["decided"]),
        }
        for (situation, rule), group in table.groupby(["situation", "rule"], sort=False)
    ]
    last, counts = table.iloc[-1], sorted(set(table["pages"]))
    texts = [f"{count:,} (standard error {100 * math.sqrt(0.05 * 0.95 / count):.1f} % at 5 %)" for count in counts]
    decided = [
        "for 0.5 %, share called EQUIVALENT",
        "for history, share of the series in which a change of 20 % is shown",
        "for a true ratio of 5, share shown",
        "for undecided cases, share that the named number of blocks decides",
    ]
    notes = [
        f"Simulated pages a row: {', '.join(texts)}; most for history, fewest for undecided cases."
        f" Nominal rate {ALPHA:.0%}. campaign: residuals of {last['source']} ({last['cpu']}, {last['cores']} cores);"
        f" {last['date']}, by make rates.",
        f"decided: share of the campaign's comparisons; {'; '.join(decided)}."
        " single numbers: share of the numbers whose interval misses.",
    ]
    return Section(table=rows, notes=notes)


def _percent(value: float) -> str:
    """Return a rate with two digits below 1 %."""
    if value is None or math.isnan(value):
        return "-"
    return f"{value:.2%}" if 0 < value < 0.01 else f"{value:.1%}"


def _percentages(values: "pd.Series[float]") -> str:
    return "-" if values.isna().all() else ", ".join(map(_percent, values))


def few_blocks_section(table: pd.DataFrame) -> Section:
    """Return by number of blocks the share of decided comparisons, and the worst rates of false pages."""
    table = table[table["rule"] == BOTH_RULES]
    rows = []
    for blocks in BLOCKS:
        of_blocks = table[table["blocks"] == blocks]
        decided = of_blocks.loc[of_blocks["situation"].str.startswith("campaign"), "decided"].max()
        breaks = of_blocks["situation"].isin(BREAKS)
        row = {"blocks": str(blocks), "decided": _percent(decided)}
        for name, group in (("assumptions hold", of_blocks[~breaks]), ("assumptions fail", of_blocks[breaks])):
            worst = group.sort_values("false").tail(1).to_dict("records")
            texts = [f"{_percent(one['false'])} ({one['situation']})" for one in worst]
            row[f"worst false rate, {name}"] = "".join(texts) or "-"
        rows.append(row)
    notes = ["decided: comparisons of the campaign. 2 blocks decide only with an earlier run. -: not simulated."]
    return Section(table=rows, notes=notes)


def failures_section(table: pd.DataFrame) -> Section:
    """Return the situations in which more than NAMED_RATE of the pages are false, the worst first."""
    table = table[(table["false"] > NAMED_RATE) & (table["rule"] != BLOCKS_ALONE)]
    worst = table.sort_values("false", ascending=False).drop_duplicates("situation")
    rows = []
    for name in worst["situation"]:
        by_blocks = table[table["situation"] == name].sort_values("blocks")
        texts = [f"{_percent(row['false'])} ({row['blocks']})" for row in by_blocks.to_dict("records")]
        rows.append({"situation": name, "pages with a false verdict (blocks)": ", ".join(texts)})
    return Section(table=rows, notes=["Of history, the number of runs is in brackets."])


if __name__ == "__main__":
    pages = int(sys.argv[3]) if len(sys.argv) > 3 else PAGES
    atomic_write(Path(sys.argv[2]), json_text(rates(find(sys.argv[1], ROOT), pages)))
