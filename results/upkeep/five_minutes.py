"""Check the verdicts of runs of five minutes against a campaign of 13 blocks on the same machine.

usage: python -m results.upkeep.five_minutes FILE CAMPAIGN --idle RUN ... --beside RUN ...
--beside: runs beside one busy loop.
"""

import sys
from argparse import ArgumentParser
from pathlib import Path

import pandas as pd

from results.options import BASELINE
from results.output import Section, json_text
from results.page.standing import DECIDED_VERDICTS, compared_with, judge_pairs
from results.stats.quiet_or_busy import judge_machine
from results.stats.verdicts import EQUIVALENT, FASTER, SLOWER
from results.store.atomic import atomic_write
from results.store.columns import CASE
from results.store.outcomes import Row
from results.store.reading import Run, facts, number
from results.store.runs import ROOT, find

LARGE_RATIO = 2  # of the campaign: comparisons above it, or below 1/2, should all be decided


def check(run: Run, campaign: Run, loops: int) -> Row:
    """Return how many comparisons with the baseline a run decides, and how many contradict the campaign."""
    columns = [*CASE, "verdict", "ratio"]
    short, full = (compared_with(judge_pairs(side, BASELINE), BASELINE)[columns] for side in (run, campaign))
    merged = short.merge(full, on=CASE, suffixes=("", "_campaign"))
    claims = merged["verdict"].isin([FASTER, SLOWER]), merged["verdict_campaign"].isin([FASTER, SLOWER])
    decided = merged["verdict"].isin(DECIDED_VERDICTS)
    large = (merged["ratio_campaign"] > LARGE_RATIO) | (merged["ratio_campaign"] < 1 / LARGE_RATIO)
    opposite = claims[0] & claims[1] & (merged["verdict"] != merged["verdict_campaign"])
    equivalent = claims[0] & (merged["verdict_campaign"] == EQUIVALENT)
    machine = facts(run)
    return {
        "run": run.path.stem,
        "loops": loops,
        "machine": judge_machine(run).word,
        "minutes": number(run.campaign.get("wall_s")) / 60,
        "comparisons": len(merged),
        "decided": int(decided.sum()),
        "large": int(large.sum()),
        "large_decided": int((large & decided).sum()),
        "wrong_sign": int(opposite.sum()),
        "equivalent_in_campaign": int(equivalent.sum()),
        "campaign": campaign.label,
        "cpu": machine["cpu"],
        "cores": machine["cores"],
        "date": run.date,
    }


def section(table: pd.DataFrame) -> Section:
    rows = [
        {
            "run": f"{index + 1}, {'beside a busy loop' if row['loops'] else 'alone'}",
            "machine": row["machine"],
            "decided": f"{row['decided']} of {row['comparisons']}",
            "of those with a ratio above 2": f"{row['large_decided']} of {row['large']}",
            "another sign than the campaign": str(row["wrong_sign"]),
            "EQUIVALENT in the campaign": str(row["equivalent_in_campaign"]),
        }
        for index, row in enumerate(table.to_dict("records"))
    ]
    last, minutes = table.iloc[-1], table.loc[table["loops"] == 0, "minutes"]
    notes = [
        f"Comparisons with {BASELINE}, compared with {last['campaign']}. The runs alone took {minutes.min():.1f} to"
        f" {minutes.max():.1f} minutes. A BUSY machine decides large differences at most."
        f" {last['cpu']}, {last['cores']} cores; {last['date']}."
    ]
    return Section(table=rows, notes=notes)


def main() -> int:
    """Write a row per run to FILE. Return 1 if a run shows a sign that contradicts the campaign."""
    parser = ArgumentParser(description=__doc__)
    for name in ("file", "campaign"):
        parser.add_argument(name)
    for name in ("idle", "beside"):
        parser.add_argument(f"--{name}", nargs="+", default=[])
    args = parser.parse_args()
    campaign = find(args.campaign, ROOT)
    rows = [check(find(path, ROOT), campaign, loops=0) for path in args.idle]
    rows += [check(find(path, ROOT), campaign, loops=1) for path in args.beside]
    atomic_write(Path(args.file), json_text(pd.DataFrame(rows)))
    return int(any(row["wrong_sign"] for row in rows))


if __name__ == "__main__":
    sys.exit(main())
