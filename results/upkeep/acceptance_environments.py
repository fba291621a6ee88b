"""Check comparisons of environments with campaigns of known truth: one version twice, and a version with 5 % more work.

usage: python -m results.upkeep.acceptance_environments FILE RUN ...

The environments of a campaign are `old` and `same`, which hold one version, and `new`. They are compared as by
`compare --over environment`.
"""

import sys
from argparse import ArgumentParser
from pathlib import Path

import pandas as pd

from results.commands.compare import compare_environments
from results.output import Section, json_text, records
from results.stats.quiet_or_busy import BUSY, judge_machine
from results.stats.verdicts import FASTER, SLOWER
from results.store.atomic import atomic_write
from results.store.outcomes import Row
from results.store.reading import Run, RunError, facts, number
from results.store.runs import ROOT, find
from results.upkeep.acceptance import TRUE_RATIO, highest_rate, judged_as, lowest_rate

OLD_LABEL, SAME_LABEL, NEW_LABEL = "old", "same", "new"
MAX_MINUTES = 10  # of a campaign
MAX_FALSE_SHARE, MIN_DETECTED_SHARE = 0.05, 0.9  # of the comparisons
PENDING_TEXT = "Not measured yet. Run: make acceptance-environments."


def check(run: Run) -> list[Row]:
    """Return a row per problem of a campaign: the verdicts on the same version and on the slower one.

    Raises RunError if the run has other environments, or if the machine was busy: that withholds verdicts.
    """
    if (quiet := judge_machine(run)).word == BUSY:
        why = f"{run.path.name} was measured on a busy machine, so it has no verdicts"
        raise RunError(f"{why}. {quiet.line} Then measure again")
    judged = compare_environments(run).data
    of_old = judged[judged["against"] == OLD_LABEL]
    if set(of_old["environment"]) != {SAME_LABEL, NEW_LABEL}:
        labels = f"{OLD_LABEL}, {SAME_LABEL} and {NEW_LABEL}"
        raise RunError(f"{run.label} is no such campaign: its environments are not {labels}")
    machine = facts(run)
    common = {"run": run.path.stem, "minutes": number(run.campaign.get("wall_s")) / 60, "cpu": machine["cpu"]}
    common |= {"cores": machine["cores"], "numpy": machine.get("numpy", ""), "date": run.date}
    rows = []
    for (impl, problem, dtype), group in of_old.groupby(["impl", "problem", "dtype"], sort=False):
        by_environment = {row["environment"]: row for row in records(group)}
        same, new = by_environment[SAME_LABEL], by_environment[NEW_LABEL]
        row: Row = {"impl": impl, "problem": problem, "dtype": dtype, "blocks": new["blocks"]}
        rows.append(row | judged_as(SAME_LABEL, same) | judged_as(NEW_LABEL, new) | common)
    return rows


def false_alarms(rows: pd.DataFrame) -> int:
    """Return how many comparisons called the same version different."""
    return int(rows[SAME_LABEL].isin([FASTER, SLOWER]).sum())


def detected(rows: pd.DataFrame) -> int:
    """Return how many comparisons called the version with more work slower."""
    return int((rows[NEW_LABEL] == SLOWER).sum())


def accepted(rows: pd.DataFrame) -> bool:
    """Return whether false alarms are rare, detections frequent and campaigns short enough."""
    few = false_alarms(rows) <= MAX_FALSE_SHARE * len(rows)
    enough = all(detected(group) >= MIN_DETECTED_SHARE * len(group) for _, group in rows.groupby("problem"))
    return few and enough and bool(rows["minutes"].max() <= MAX_MINUTES)


def section(rows: pd.DataFrame) -> Section:
    """Return a row per problem and a note on all of them, or a sentence without rows."""
    if rows.empty:
        return Section(text=PENDING_TEXT)
    table = [
        {"problem": f"{problem}, {group['blocks'].max()} blocks"}
        | {"the same version called different": f"{false_alarms(group)} of {len(group)} campaigns"}
        | {"+5 % found": f"{detected(group)} of {len(group)} campaigns"}
        | {"median estimate": f"{group[f'{NEW_LABEL}_ratio'].median():.3f}"}
        for problem, group in rows.groupby("problem", sort=False)
    ]
    count, last, wrong = len(rows), rows.iloc[-1], int((rows[f"{NEW_LABEL}_ratio"] <= 1).sum())
    false, detections = false_alarms(rows), detected(rows)
    covered = int((rows[f"{NEW_LABEL}_low"].le(TRUE_RATIO) & rows[f"{NEW_LABEL}_high"].ge(TRUE_RATIO)).sum())
    note = (
        f"In all: {false} of {count} false alarms (a rate below {highest_rate(false, count):.0%}), {detections} of"
        f" {count} found (a rate above {lowest_rate(detections, count):.0%}); the sign was wrong in {wrong}, and the"
        f" interval contained the true ratio in {covered}. A campaign took {rows['minutes'].min():.1f} to"
        f" {rows['minutes'].max():.1f} minutes. {last['cpu']}, {last['cores']} cores; numpy {last['numpy']};"
        f" {last['dtype']}; {last['date']}."
    )
    return Section(table=table, notes=[note])


def main() -> int:
    """Write the rows of all campaigns to FILE. Return 1 unless they are `accepted`."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("file")
    parser.add_argument("run", nargs="+")
    args = parser.parse_args()
    try:
        rows = pd.DataFrame([row for path in args.run for row in check(find(path, ROOT))])
    except RunError as error:
        sys.exit(str(error))
    atomic_write(Path(args.file), json_text(rows))
    sys.stderr.write("\n".join([*section(rows).notes, f"wrote {args.file}", ""]))
    return int(not accepted(rows))


if __name__ == "__main__":
    sys.exit(main())
