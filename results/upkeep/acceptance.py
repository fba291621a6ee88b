"""Check the verdicts on this machine with campaigns of known truth: identical code twice, and code that is 5 % slower.

Each campaign is judged as by `compare`. Usual rules judge the same rounds, with each block as a pair of runs:
Mann-Whitney on raw rounds at 5 %, and pytest-benchmark's compare-fail mean:5%.
"""

import pandas as pd
from scipy.special import betaincinv
from scipy.stats import mannwhitneyu

from results.commands import options
from results.output import Page, Section
from results.stats.pairing import ratios
from results.stats.signed_rank import ALPHA, FASTER, SLOWER
from results.stats.verdicts import add_verdicts
from results.store.columns import CASE
from results.store.outcomes import Row, rounds
from results.store.reading import Run, RunError, facts
from results.store.runs import find_all

ORIGINAL, DUPLICATE, SLOWED = "numpy_manual", "numpy_manual-again", "five_per_cent"
TRUE_RATIO = 1.05  # SLOWED / ORIGINAL
MOST_FALSE, LEAST_DETECTED = 0.25, 0.7  # rates that the campaigns must exclude, at CONFIDENCE
CONFIDENCE = 0.95
RULES = {
    "mann_whitney": f"Mann-Whitney on rounds, p < {ALPHA:.2f}, one process each",
    "mean_5": "compare-fail mean:5%, one process each",
}


def acceptance(runs: list[Run]) -> Page:
    """Return one row per campaign: verdicts, intervals, and how often each usual rule called the codes different.

    The page's code is 1 unless the campaigns are `accepted`. Raises RunError.
    """
    rows = pd.DataFrame([_campaign(run) for run in runs])
    known = facts(runs[-1])
    rows["cpu"], rows["cores"], rows["numpy"] = known["cpu"], known["cores"], known.get("numpy", "")
    return Page(rows, [Section("Acceptance", table=table(rows), notes=[note(rows)])], code=int(not accepted(rows)))


def accepted(rows: pd.DataFrame) -> bool:
    """Return whether the campaigns show enough: of false alarms, detections, intervals and signs.

    A few campaigns do not measure a rate of 5 %: 0 false alarms of 20 mean a rate below 14 %.
    """
    count = len(rows)
    return bool(
        highest_rate(int(_false_alarms(rows).sum()), count) <= MOST_FALSE
        and lowest_rate(int(_detected(rows).sum()), count) >= LEAST_DETECTED
        and lowest_rate(int(_covered(rows).sum()), count) >= LEAST_DETECTED
        and (rows["slowed_ratio"] > 1).all()
    )


def highest_rate(events: int, count: int) -> float:
    """Return the rate that `events` of `count` exclude from below: the exact one-sided upper bound at CONFIDENCE."""
    return float(betaincinv(events + 1, count - events, CONFIDENCE)) if events < count else 1.0


def lowest_rate(events: int, count: int) -> float:
    """Return the exact one-sided lower bound of a rate at CONFIDENCE."""
    return 1 - highest_rate(count - events, count)


def table(rows: pd.DataFrame) -> list[dict[str, str]]:
    """Return how often each rule called identical code different, and how often it detected +5 %."""
    count, pairs = len(rows), int(rows["blocks"].sum())
    false, found = int(_false_alarms(rows).sum()), int(_detected(rows).sum())
    different, detected = "identical code called different", "+5 % detected"
    suite = {
        "rule": f"this suite, {rows['blocks'].max()} blocks",
        different: f"{false} of {count} campaigns (a rate below {highest_rate(false, count):.0%})",
        detected: f"{found} of {count} campaigns (a rate above {lowest_rate(found, count):.0%})",
    }
    usual = [
        {
            "rule": title,
            different: f"{rows[f'aa_{rule}'].sum() / pairs:.0%} of {pairs} pairs",
            detected: f"{rows[f'slowed_{rule}'].sum() / pairs:.0%} of {pairs} pairs",
        }
        for rule, title in RULES.items()
    ]
    return [suite, *usual]


def note(rows: pd.DataFrame) -> str:
    """Return the accuracy of the estimates, and the machine."""
    last, width = rows.iloc[-1], (rows["slowed_high"] - rows["slowed_low"]).median()
    wrong_signs = (rows["slowed_ratio"] <= 1).sum()
    return (
        f"Code that is 5 % slower: the sign was wrong in {wrong_signs} of {len(rows)} campaigns, and the interval"
        f" contained the true ratio in {_covered(rows).sum()}; median estimate"
        f" {rows['slowed_ratio'].median():.3f}, median width of the interval {width:.1%}. {last['cpu']},"
        f" {last['cores']} cores; numpy {last['numpy']}; only {ORIGINAL}, {last['problem']}, {last['dtype']};"
        f" {last['date']}."
    )


def _false_alarms(rows: pd.DataFrame) -> "pd.Series[bool]":
    return rows["aa"].isin([FASTER, SLOWER])


def _detected(rows: pd.DataFrame) -> "pd.Series[bool]":
    return rows["slowed"] == SLOWER


def _covered(rows: pd.DataFrame) -> "pd.Series[bool]":
    """Return whether each interval contains TRUE_RATIO."""
    return rows["slowed_low"].le(TRUE_RATIO) & rows["slowed_high"].ge(TRUE_RATIO)


def _campaign(run: Run) -> Row:
    samples = {name: run.rows[run.rows["impl"] == name] for name in (ORIGINAL, DUPLICATE, SLOWED)}
    if missing := [name for name, rows in samples.items() if rows.empty]:
        raise RunError(f"{run.label} is no acceptance campaign: it has no {', '.join(missing)}")
    original = samples[ORIGINAL]
    row: Row = {"run": run.label, "date": run.date, "problem": original["problem"].iloc[0]}
    row |= {"dtype": original["dtype"].iloc[0], "blocks": int(original["block"].nunique())}
    for name, other in (("aa", DUPLICATE), ("slowed", SLOWED)):
        judged = add_verdicts(ratios(original, samples[other], CASE[1:])).iloc[0]
        row |= {name: judged["verdict"], f"{name}_ratio": judged["ratio"]}
        row |= {f"{name}_low": judged["interval_low"], f"{name}_high": judged["interval_high"]}
        row |= {f"{name}_{rule}": count for rule, count in _usual_rules(run, other).items()}
    return row


def _usual_rules(run: Run, other: str) -> dict[str, int]:
    """Return in how many blocks each of RULES calls `other` different from the original; mean_5 only detects slower."""
    seconds = {key: rows.to_numpy() for key, rows in rounds(run).groupby(["impl", "block"])["seconds"]}
    pairs = [(seconds[ORIGINAL, block], rows) for (impl, block), rows in seconds.items() if impl == other]
    return {
        "mann_whitney": sum(int(mannwhitneyu(a, b).pvalue < ALPHA) for a, b in pairs),
        "mean_5": sum(int(b.mean() > 1.05 * a.mean()) for a, b in pairs),
    }


def add_commands(commands: options.Commands) -> None:
    command = options.add(
        commands,
        "acceptance",
        lambda args: acceptance(find_all(args.run, args.runs)),
        "check the verdicts with campaigns of known truth: the last step of `make acceptance`",
    )
    options.add_runs(command, "latest")
    options.add_out(command, "stdout")
