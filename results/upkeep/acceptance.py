"""Check the verdicts on this machine with campaigns of known truth: identical code twice, and code that is 5 % slower.

A campaign runs several implementations twice, and most of them a third time with 5 % more steps. Identical code is
judged as one page, slower code as by `compare`. Usual rules judge the same rounds, with each block as a pair of runs:
Mann-Whitney on raw rounds at 5 %, and pytest-benchmark's compare-fail mean:5%.
"""

import math
from typing import Any

import pandas as pd

from results import options
from results.output import Page, Section
from results.stats.pairing import ratios
from results.stats.signed_rank import ALPHA
from results.stats.verdict_tables import add_verdicts
from results.stats.verdicts import FASTER, SLOWER
from results.store.columns import CASE
from results.store.outcomes import Row, rounds
from results.store.reading import Run, RunError, facts
from results.store.runs import find_all

SLOWED_IMPLS = {  # with 5 % more steps, in benchmarks/extra/loops
    "numpy_manual": "five_per_cent_numpy",
    "torch_autograd": "five_per_cent_torch",
    "jax_scan": "five_per_cent_jax",
    "numba_fused": "five_per_cent_numba",
}
TRUE_RATIO = 1.05  # of the slowed implementation to its original
MAX_FALSE_RATE, CONFIDENCE = 0.25, 0.95  # the campaigns must exclude that rate of false alarms at that confidence
MIN_DETECTED_SHARE, MIN_COVERED_SHARE = 0.9, 0.95  # for each implementation; of all comparisons
RULES = {
    "mann_whitney": f"Mann-Whitney on rounds, p < {ALPHA:.2f}, one process each",
    "mean_5": "compare-fail mean:5%, one process each",
}


def acceptance(runs: list[Run]) -> Page:
    """Return one row per campaign and duplicated implementation: verdicts, intervals, and alarms of the usual rules.

    The page's code is 1 unless the campaigns are `accepted`. Raises RunError.
    """
    rows = pd.DataFrame([row for run in runs for row in _campaign(run)])
    if "slowed" not in rows:
        raise RunError("no implementation ran beside its slowed variant; `make acceptance` makes such runs")
    machine = facts(runs[-1])
    rows["cpu"], rows["cores"], rows["numpy"] = machine["cpu"], machine["cores"], machine.get("numpy", "")
    return Page(rows, [Section("Acceptance", table=table(rows), notes=[note(rows)])], code=int(not accepted(rows)))


def accepted(rows: pd.DataFrame) -> bool:
    """Return whether false alarms are rare, each implementation's detections frequent, signs right, intervals true.

    A few campaigns do not measure a rate of 5 %: 0 false alarms of 20 mean a rate below 14 %.
    """
    alarms, slowed = _false_alarms(rows), rows[rows["slowed"].notna()]
    rare = highest_rate(int(alarms.sum()), len(alarms)) <= MAX_FALSE_RATE
    frequent = bool((slowed["slowed"] == SLOWER).groupby(slowed["impl"]).mean().ge(MIN_DETECTED_SHARE).all())
    return (
        rare and frequent and bool((slowed["slowed_ratio"] > 1).all() and _covered(slowed).mean() >= MIN_COVERED_SHARE)
    )


def highest_rate(events: int, count: int) -> float:
    """Return the exact one-sided upper bound of a rate at CONFIDENCE, from `events` of `count`."""
    from scipy.special import betaincinv  # imported here: it takes long, and other commands need none of this

    return float(betaincinv(events + 1, count - events, CONFIDENCE)) if events < count else 1.0


def lowest_rate(events: int, count: int) -> float:
    """Return the exact one-sided lower bound of a rate at CONFIDENCE, from `events` of `count`."""
    return 1 - highest_rate(count - events, count)


def table(rows: pd.DataFrame) -> list[dict[str, str]]:
    """Return how often each rule called identical code different, and how often it detected +5 %."""
    alarms, slowed = _false_alarms(rows), rows[rows["slowed"].notna()]
    false, single = int(alarms.sum()), int(rows["aa"].isin([FASTER, SLOWER]).sum())
    pairs, slowed_pairs = rows["blocks"].sum(), slowed["blocks"].sum()
    detections, bounds, count = list[str](), list[float](), 0
    for impl, group in slowed.groupby("impl", sort=False):
        detected, count = int((group["slowed"] == SLOWER).sum()), len(group)
        detections.append(f"{impl} {detected}")
        bounds.append(lowest_rate(detected, count))
    suite = _cells(
        f"descentbench, {' or '.join(map(str, sorted(set(rows['blocks']))))} blocks",
        f"{single} of {len(rows)} comparisons, in {false} of {len(alarms)} campaigns (95 % bound: below"
        f" {highest_rate(false, len(alarms)):.0%})",
        f"{(slowed['slowed'] == SLOWER).sum()} of {len(slowed)} comparisons: {', '.join(detections)} of {count}"
        f" (95 % bound: above {min(bounds):.0%})"
        if detections
        else "-",
    )
    usual = [
        _cells(
            title,
            f"{rows[f'aa_{rule}'].sum() / pairs:.0%} of {pairs} pairs",
            f"{slowed[f'slowed_{rule}'].sum() / slowed_pairs:.0%} of {slowed_pairs} pairs",
        )
        for rule, title in RULES.items()
    ]
    return [suite, *usual]


def _cells(rule: str, different: str, detected: str) -> dict[str, str]:
    return {"rule": rule, "identical code called different": different, "+5 % detected": detected}


def note(rows: pd.DataFrame) -> str:
    """Return the accuracy of the estimates, and the machine."""
    last, slowed = rows.iloc[-1], rows[rows["slowed"].notna()]
    width = (slowed["slowed_high"] - slowed["slowed_low"]).median()
    return (
        f"Code that is 5 % slower: the sign was wrong in {(slowed['slowed_ratio'] <= 1).sum()} of {len(slowed)}"
        f" comparisons, and the interval contained the true ratio in {_covered(slowed).sum()}; median estimate"
        f" {slowed['slowed_ratio'].median():.3f}, median width of the interval {width:.1%}. {last['cpu']},"
        f" {last['cores']} cores; numpy {last['numpy']}; only {', '.join(rows['impl'].unique())} on {last['problem']},"
        f" {last['dtype']}; {last['date']}."
    )


def _false_alarms(rows: pd.DataFrame) -> "pd.Series[bool]":
    """Return for each campaign whether any identical code was called different."""
    return rows["aa"].isin([FASTER, SLOWER]).groupby(rows["run"]).any()


def _covered(rows: pd.DataFrame) -> "pd.Series[bool]":
    """Return whether each interval contains TRUE_RATIO."""
    return rows["slowed_low"].le(TRUE_RATIO) & rows["slowed_high"].ge(TRUE_RATIO)


def _campaign(run: Run) -> list[Row]:
    """Return the rows of a campaign. Raises RunError if no implementation ran twice."""
    rows_by_impl = dict(iter(run.rows.groupby("impl")))
    originals = sorted(set(run.rows["duplicate_of"].dropna()) & rows_by_impl.keys())
    if not originals:
        raise RunError(f"{run.label} is no acceptance campaign: no implementation ran twice (--aa)")
    control = run.rows[run.rows["duplicate_of"].notna()].assign(impl=run.rows["duplicate_of"])
    same = add_verdicts(ratios(run.rows[run.rows["impl"].isin(originals)], control, CASE))
    rows = []
    for impl in originals:
        original = rows_by_impl[impl]
        row: Row = {"run": run.label, "date": run.date, "impl": impl, "problem": original["problem"].iloc[0]}
        row |= {"dtype": original["dtype"].iloc[0], "blocks": int(original["block"].nunique())}
        row |= judged_as("aa", same[same["impl"] == impl].iloc[0]) | _usual_rules(run, impl, f"{impl}-again", "aa")
        if (slowed := SLOWED_IMPLS.get(impl, "")) in rows_by_impl:
            pair = ratios(original, rows_by_impl[slowed], CASE[1:])
            judged = add_verdicts(pair) if (pair["refused"] == "").any() else pair  # an invalid row: no verdict
            row |= judged_as("slowed", judged.iloc[0]) | _usual_rules(run, impl, slowed, "slowed")
        rows.append(row)
    return rows


def judged_as(name: str, row: "pd.Series[Any] | dict[str, Any]") -> Row:
    """Return a verdict, its ratio and its interval as columns that begin with `name`."""
    columns = {"": "verdict", "_ratio": "ratio", "_low": "interval_low", "_high": "interval_high"}
    return {f"{name}{suffix}": row.get(column, math.nan) for suffix, column in columns.items()}


def _usual_rules(run: Run, original: str, variant: str, name: str) -> dict[str, int]:
    """Return in how many blocks each of RULES calls the variant different; mean_5 only detects slower code."""
    from scipy.stats import mannwhitneyu  # imported here: it takes half a second, and no other command needs it

    seconds = {key: rows.to_numpy() for key, rows in rounds(run).groupby(["impl", "block"])["seconds"]}
    pairs = [(seconds[original, block], rows) for (impl, block), rows in seconds.items() if impl == variant]
    return {
        f"{name}_mann_whitney": sum(int(mannwhitneyu(a, b).pvalue < ALPHA) for a, b in pairs),
        f"{name}_mean_5": sum(int(b.mean() > 1.05 * a.mean()) for a, b in pairs),
    }


def add_commands(commands: options.Commands) -> None:
    summary = "check the verdicts with campaigns of known truth: the last step of `make acceptance`"
    command = options.add(commands, "acceptance", lambda args: acceptance(find_all(args.run, args.runs)), summary)
    options.add_runs(command, "latest")
    options.add_out(command)
