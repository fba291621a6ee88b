"""Do the verdicts hold on this machine? Campaigns of one implementation twice, and of one whose slowdown is known.

Each campaign is judged as `compare` judges; beside it stand the usual rules on the same rounds, for which every block
is a pair of runs: Mann-Whitney on raw rounds at 5 %, and pytest-benchmark's compare-fail mean:5%.
"""

from argparse import Namespace

import pandas as pd
from scipy import stats as tests

from results.commands import options
from results.output import Page, Section
from results.stats.pairing import ratios
from results.stats.signed_rank import ALPHA, FASTER, SLOWER
from results.stats.verdicts import add_verdicts
from results.store.columns import CASE
from results.store.outcomes import rounds
from results.store.reading import Run, RunError, facts
from results.store.runs import find_all

ORIGINAL, AGAIN, SLOWED = "numpy_manual", "numpy_manual-again", "five_per_cent"
TRUE = 1.05  # how much longer SLOWED takes
FALSE_AT_MOST, FOUND_AT_LEAST = 0.1, 0.9
RULES = ("mann_whitney", "mean_5")


def acceptance(runs: list[Run]) -> Page:
    """A row a campaign: verdicts, intervals, and how often the usual rules said "different". Raises RunError.

    The page's code is 1 where false verdicts, found slowdowns, signs or intervals miss what is promised.
    """
    rows = pd.DataFrame([_campaign(run) for run in runs])
    told = facts(runs[-1])
    rows["cpu"], rows["cores"], rows["numpy"] = told["cpu"], told["cores"], told.get("numpy", "")
    return Page(rows, [Section("Acceptance", table=table(rows), notes=[made(rows)])], code=int(not reached(rows)))


def reached(rows: pd.DataFrame) -> bool:
    """Whether the campaigns keep what is promised."""
    kept = [(rows["aa"].isin([FASTER, SLOWER])).mean() <= FALSE_AT_MOST, (rows["slowed_ratio"] > 1).all()]
    kept += [(rows["slowed"] == SLOWER).mean() >= FOUND_AT_LEAST, _inside(rows).mean() >= FOUND_AT_LEAST]
    return all(kept)


def table(rows: pd.DataFrame) -> list[dict[str, str]]:
    """How often identical code was called different, and how often +5 % was found, by each rule."""
    count, pairs = len(rows), int(rows["blocks"].sum())
    false, found = int(rows["aa"].isin([FASTER, SLOWER]).sum()), int((rows["slowed"] == SLOWER).sum())
    names = {
        "mann_whitney": f"Mann-Whitney on rounds, p < {ALPHA:.2f}, one process each",
        "mean_5": "compare-fail mean:5%, one process each",
    }
    return [
        {
            "rule": f"this suite, {rows['blocks'].max()} blocks",
            "identical code called different": f"{false} of {count} campaigns",
            "+5 % found": f"{found} of {count} campaigns",
        },
        *[
            {
                "rule": names[rule],
                "identical code called different": f"{rows[f'aa_{rule}'].sum() / pairs:.0%} of {pairs} pairs",
                "+5 % found": f"{rows[f'slowed_{rule}'].sum() / pairs:.0%} of {pairs} pairs",
            }
            for rule in RULES
        ],
    ]


def made(rows: pd.DataFrame) -> str:
    """What else the campaigns say, and on what they were made."""
    last, count, wide = rows.iloc[-1], len(rows), (rows["slowed_high"] - rows["slowed_low"]).median()
    signs = "never" if (rows["slowed_ratio"] > 1).all() else "at least once"
    return (
        f"Of the +5 %: the sign was {signs} reversed, the true ratio lay inside the interval in"
        f" {int(_inside(rows).sum())} of {count} campaigns; median estimate {rows['slowed_ratio'].median():.3f},"
        f" intervals {wide:.1%} wide. {last['cpu']}, {last['cores']} cores;"
        f" numpy {last['numpy']}; {rows['problem'].iloc[0]}, {rows['dtype'].iloc[0]}; {last['date']}."
    )


def _inside(rows: pd.DataFrame) -> "pd.Series[bool]":
    return rows["slowed_low"].le(TRUE) & rows["slowed_high"].ge(TRUE)


def _campaign(run: Run) -> dict[str, object]:
    sides = {name: run.rows[run.rows["impl"] == name] for name in (ORIGINAL, AGAIN, SLOWED)}
    if missing := [name for name, rows in sides.items() if rows.empty]:
        raise RunError(f"{run.label} is no acceptance campaign: it has no {', '.join(missing)}")
    row: dict[str, object] = {"run": run.label, "date": run.date, "problem": sides[ORIGINAL]["problem"].iloc[0]}
    row |= {"dtype": sides[ORIGINAL]["dtype"].iloc[0], "blocks": int(sides[ORIGINAL]["block"].nunique())}
    for name, other in (("aa", AGAIN), ("slowed", SLOWED)):
        found = add_verdicts(ratios(sides[ORIGINAL], sides[other], CASE[1:])).iloc[0]
        row |= {name: found["verdict"], f"{name}_ratio": found["ratio"]}
        row |= {f"{name}_low": found["interval_low"], f"{name}_high": found["interval_high"]}
        row |= {f"{name}_{rule}": count for rule, count in _usual(run, other).items()}
    return row


def _usual(run: Run, other: str) -> dict[str, int]:
    """In how many blocks each usual rule calls `other` different from the original (mean:5%: slower, its only word)."""
    seconds = rounds(run).groupby(["impl", "block"])["seconds"]
    data = {at: held.to_numpy() for at, held in seconds}
    pairs = [(data[ORIGINAL, block], held) for (impl, block), held in data.items() if impl == other]
    return {
        "mann_whitney": sum(int(tests.mannwhitneyu(a, b).pvalue < ALPHA) for a, b in pairs),
        "mean_5": sum(int(b.mean() > 1.05 * a.mean()) for a, b in pairs),
    }


def add_commands(commands: options.Commands) -> None:
    """Add `acceptance` to the command line."""
    command = options.add(
        commands, "acceptance", _acceptance, "do the verdicts hold? the last step of `make acceptance`"
    )
    options.add_runs(command, "latest")
    options.add_out(command, "stdout")


def _acceptance(given: Namespace) -> Page:
    return acceptance(find_all(given.run, given.runs))
