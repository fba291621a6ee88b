"""Estimate a machine's noise by the same code: under two labels in one run (A/A pair), and in two runs (drift)."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from results.output import Section, counted, digits, short_percent, times
from results.stats import few_blocks
from results.stats.pairing import duplicate_ratios, ratios, ratios_to, without_duplicates
from results.stats.quiet_or_busy import judge_machine
from results.stats.signed_rank import ALPHA, POWER, QUARTILE, Array, blocks_needed, detectable
from results.stats.verdict_tables import DRIFT_REASON, add_verdicts
from results.stats.verdicts import EQUIVALENT, FASTER, MARGIN, SLOWER, UNDECIDED, Verdict, fewest_decisive, judge
from results.store.columns import CASE
from results.store.outcomes import of_complete_blocks
from results.store.reading import Run

EFFECT = 0.05  # relative difference that a campaign should detect
NO_PAIR = "No A/A pair in this run: how often its verdicts err is unknown."


def judge_duplicates(run: Run) -> pd.DataFrame:
    """Return one judged row per case of the A/A pairs: duplicate / original. Empty without a pair.

    Columns beside those of `add_verdicts`: `impl` and `again`, the two labels; `alone`, the smallest ratio that a
    single comparison would detect with probability 80 %; `in_compare`, the same among the cases of the pair, as
    `compare` judges them; `wanted`, the blocks to detect EFFECT in the same way (NaN above 1,000 blocks).
    """
    table = duplicate_ratios(run.rows)
    compared = table["refused"] == ""
    if not compared.any():
        return table.drop(columns=["logs", "pair"])
    family = max(_comparisons(run), int(compared.sum()))
    in_compare = add_verdicts(table)["smallest"]
    level = ALPHA / int(compared.sum()) / 2
    table = add_verdicts(table, comparisons=family).assign(in_compare=in_compare)
    cases = list(table.loc[compared, ["spread", "blocks"]].itertuples(index=False))
    table.loc[compared, "alone"] = [math.exp(detectable(spread, blocks, ALPHA / 2)) for spread, blocks in cases]
    block_counts = [blocks_needed(0, spread, level, math.log1p(EFFECT)) or math.nan for spread, _ in cases]
    table.loc[compared, "wanted"] = block_counts
    enough = table["in_compare"] <= 1 + EFFECT  # by the agreement rule, which needs fewer blocks
    table["wanted"] = table["wanted"].mask(enough, table[["wanted", "blocks"]].min(axis=1))
    return table


def power_by_impl(run: Run, baseline: str) -> pd.DataFrame:
    """Return one row per implementation that is compared with the baseline: what the run detects despite its noise.

    Columns: impl; cases; blocks, the most; spread, the standard deviation of the log ratios; alone, the smallest ratio
    that 4 of 5 runs would show in a single comparison; smallest, the same among the cases of the implementation, as
    `compare` judges them. The last three are medians over the cases with several blocks.
    """
    table = ratios_to(run.rows, baseline)
    table = table[(table["impl"] != baseline) & (table["blocks"] > 1)]
    if table.empty:
        return pd.DataFrame(columns=["impl", "cases", "blocks", "spread", "alone", "smallest"])
    judged = pd.concat([add_verdicts(cases) for _, cases in table.groupby("impl") if (cases["refused"] == "").any()])
    judged["alone"] = np.exp(detectable(judged["spread"], judged["blocks"], ALPHA / 2))
    counts = {"cases": ("verdict", "size"), "blocks": ("blocks", "max")}
    medians = {name: (name, "median") for name in ("spread", "alone", "smallest")}
    return judged.groupby("impl").agg(**counts, **medians).reset_index().sort_values("spread", ignore_index=True)


def _comparisons(run: Run) -> int:
    """Return the number of comparisons of a run with one baseline."""
    cases = without_duplicates(run.rows)[CASE].dropna().drop_duplicates()["impl"].value_counts()
    return int(cases.sum()) - max(cases, default=0)


def noise_line(run: Run, comparisons: int = 0) -> str:
    """Return the noise of a run: one sentence for each implementation that ran twice.

    comparisons: of the page (default: those of the run with one baseline).
    """
    table = duplicate_ratios(run.rows)
    table = duplicate_ratios(run.all_rows) if table.empty else table  # a choice of implementations has no pair
    compared = table[table["refused"] == ""]
    if compared.empty:
        return f"The A/A pair cannot be judged: {table['refused'].iloc[0]}." if len(table) else NO_PAIR
    family = comparisons or max(_comparisons(run), len(compared))
    blocks = int(of_complete_blocks(run.rows).groupby(CASE)["block"].nunique(dropna=False).max())
    verdicts = judge(list(compared["logs"]), pairs=list(compared["pair"]), comparisons=family)
    grouped = compared.assign(judged=pd.Series(verdicts, compared.index, object)).groupby("impl", sort=False)
    return " ".join(_sentence(str(impl), group, family, blocks) for impl, group in grouped)


def _sentence(impl: str, cases: pd.DataFrame, family: int, blocks: int) -> str:
    """Return the noise of one implementation, given its A/A cases: `duplicate_ratios`, and the verdicts in `judged`."""
    verdicts: list[Verdict] = list(cases["judged"])
    head = f"Noise ({impl} twice, {counted(max(verdict.blocks for verdict in verdicts), 'block')})"
    among = f"among the {family} comparisons" if family > 1 else "in a single comparison"
    effects = [verdict.smallest - 1 for verdict in verdicts]
    different = count_different([verdict.word for verdict in verdicts])
    if not np.median(effects) < math.inf:  # too few blocks with this control: all of them are one sample of its noise
        effect = _detectable_by_all(np.concatenate(list(cases["logs"])), ALPHA / family, blocks)
        if math.isinf(effect):
            return f"{head}: nothing can be said below {fewest_decisive(len(verdicts), family)} blocks."
        sentence = f"{counted(blocks, 'block')} detect an effect of {_size(effect)} with a probability of 80 % {among}"
        return f"{head}: {different}. With the noise of {impl}, {sentence}."
    place = [name for name in reversed(CASE[1:]) if name == "problem" or cases[name].nunique() > 1]
    labels = [", ".join(map(str, names)) for names in cases[place].itertuples(index=False, name=None)]
    least, most = (choose(zip(effects, labels, strict=True)) for choose in (min, max))
    ends = f"; {_size(least[0])} {least[1]}, {_size(most[0])} {most[1]}" if least[0] < most[0] else ""
    middle = _size(float(np.median(effects))) + (f" (median of the problems{ends})" if len(effects) > 1 else "")
    sentence = f"an effect of {middle} is detected with a probability of 80 % {among}"
    return f"{head}: {different}. With the noise of {impl}, {sentence}."


def _size(effect: float) -> str:
    """Return a relative difference as `4.6 %`, from twice on as a factor, `5.65x`; `none` if it is infinite."""
    if math.isinf(effect):
        return "none"
    return short_percent(effect) if effect < 1 else times(1 + effect)


def _detectable_by_all(logs: Array, level: float, blocks: int) -> float:
    """Return the effect that `blocks` blocks detect, as a fraction, given A/A log ratios: their true value is 0."""
    spread = float(np.median(np.abs(logs)) / QUARTILE)
    tails = (few_blocks.Tail(np.sort(np.abs(logs))),)
    by_looks = few_blocks.detectable(tails, blocks, level, POWER)[: blocks + 1].min()
    signs = detectable(spread, blocks, level / 2) if blocks > 1 and len(logs) >= few_blocks.OWN_DISTANCES else math.inf
    return math.exp(min(float(signs), float(by_looks))) - 1


def unchanged(a: Run, b: Run) -> list[str]:
    """Return the implementations whose code and framework version are known and the same in both runs."""
    names = set[str]()
    for name in sorted(set(a.rows["impl"].dropna()) & set(b.rows["impl"].dropna())):
        rows = [run.rows[run.rows["impl"] == name] for run in (a, b)]
        versions, codes = ([set(run_rows[column].dropna()) for run_rows in rows] for column in ("version", "code"))
        if versions[0] == versions[1] != set() and codes[0] == codes[1] != set():
            names |= set(rows[0]["duplicate_of"].dropna()) or {name}
    return sorted(names)


def shifts_of_unchanged(base: Run, new: Run) -> dict[str, Array]:
    """Return the log ratio NEW/BASE of each case, by implementation with the same code and version in both runs."""
    rows = [run.rows.assign(original=run.rows["duplicate_of"].fillna(run.rows["impl"])) for run in (base, new)]
    shifts: dict[str, Array] = {}
    for name in unchanged(base, new):
        a, b = (run_rows[run_rows["original"] == name] for run_rows in rows)
        table = ratios(a, b, CASE)
        by_case = np.log(table.loc[table["refused"] == "", "ratio"]).groupby([table[key] for key in CASE[1:]]).mean()
        if len(by_case):
            shifts[name] = by_case.to_numpy()
    return shifts


def drift(shifts: Array, level: float) -> float:
    """Return the log ratio that the shift of a case between two runs exceeds with probability `level` at most.

    The shifts of other, unchanged cases are a sample of it: normal, around 0. Infinite without them.
    """
    count = len(shifts)
    from scipy.special import stdtrit  # imported here: it takes long, and other commands need none of this

    return float(stdtrit(count, 1 - level) * np.sqrt(np.mean(shifts**2))) if count else math.inf


def withhold_within_drift(table: pd.DataFrame, shifts: Mapping[str, Array]) -> pd.DataFrame:
    """Return a judged table of two runs, and withhold the verdicts within the drift between them.

    table: with `withheld`, as of `withhold_if_busy`. shifts: `shifts_of_unchanged`. The drift of a case comes from the
    other implementations; a case without any keeps its verdict.
    """
    compared = table[table["refused"] == ""]
    level, margins = ALPHA / 2 / max(len(compared), 1), {}
    for impl in compared["impl"].unique():
        other_shifts = [values for name, values in shifts.items() if name != impl]
        margins[impl] = drift(np.concatenate([np.empty(0), *other_shifts]), level)
    factor = np.exp(compared["impl"].map(margins).replace(math.inf, 0.0))
    low: pd.Series[float] = compared["interval_low"] / factor
    high: pd.Series[float] = compared["interval_high"] * factor
    claims = compared["verdict"].isin([FASTER, SLOWER]) & (low < 1) & (high > 1)
    claims |= (compared["verdict"] == EQUIVALENT) & ((low < 1 / (1 + MARGIN)) | (high > 1 + MARGIN))
    claims &= factor > 1
    withheld = claims.index[claims]
    result = table.copy()
    result.loc[withheld, ["verdict", "withheld"]] = [UNDECIDED, DRIFT_REASON]
    return result


def edited_code(a: Run, b: Run, labels: tuple[str, str] = ("A", "B")) -> list[str]:
    """Return a line with the implementations of both runs whose code differs."""
    codes = [run.rows.dropna(subset=["impl", "code"]).groupby("impl")["code"].first() for run in (a, b)]
    pairs = pd.concat(codes, axis=1, join="inner").reset_index().itertuples(index=False)
    edited = [f"{impl} ({x} in {labels[0]}, {y} in {labels[1]})" for impl, x, y in pairs if x != y and x[0] == y[0]]
    return [f"code that differs: {', '.join(edited)}"] if edited else []


def noise_section(runs: list[Run], comparisons: int = 0) -> Section:
    """Return the last section of a page: the noise of each run. comparisons: as in `noise_line`."""
    texts = {run: judge_machine(run).named_early for run in dict.fromkeys(runs)}
    busy = {run: f" {text}: the machine was busy." if text else "" for run, text in texts.items()}
    return Section("Noise", notes=[f"{run.label}: {noise_line(run, comparisons)}{busy[run]}" for run in texts], level=3)


def percent(fraction: float) -> str:
    """Return a fraction as `1.30 %`, or `-` if it is not finite."""
    return f"{digits(100 * fraction)} %" if math.isfinite(fraction) else "-"


def count_different(verdicts: Sequence[str]) -> str:
    """Return the number of FASTER and SLOWER verdicts as text."""
    count = sum(word in (FASTER, SLOWER) for word in verdicts)
    return f"called different in {count} of {counted(len(verdicts), 'case')}"
