"""Noise of one run: its A/A control case by case, the system load of its blocks, and how to reduce noise."""

import math
from argparse import Namespace
from typing import Any

import pandas as pd

from results.commands import options
from results.output import Page, Section, digits, records, seconds, with_rows, words
from results.stats.noise import EFFECT, count_different, judge_duplicates, noise_line, percent
from results.stats.signed_rank import ALPHA, fewest_blocks
from results.stats.verdicts import interval_text, ratio_digits, refused_sections
from results.store.columns import CASE
from results.store.reading import Run, mapping, number, sequence, text
from results.store.runs import find

SPELLS = 1.2  # times as long a calibration loop as usual: somebody else is on these cores


LEGEND = [
    "Shows: the smallest effect that so many blocks show in 4 of 5 times, as the only comparison (alone) and beside the"
    f" others (here). Blocks for {EFFECT:.0%}: how many would show an effect of that size here.",
    "Spread: robust standard deviation of the log ratios of the paired blocks.",
]


def noise(run: Run) -> Page:
    """The A/A pair of a run case by case, the moments of its blocks, and what to do about them."""
    found = judge_duplicates(run)
    compared = found[found["refused"] == ""]
    top = noise_line(run)
    if len(compared):
        names = f"{compared['impl'].iloc[0]} and {compared['again'].iloc[0]}"
        different = count_different(list(compared["verdict"]))
        top = f"The same code twice ({names}), {compared['blocks'].max()} blocks: {different}."
        top += f" By chance it is any at all in up to {ALPHA:.0%} of runs."
    moments = [_moment(entry) for entry in sequence(run.campaign.get("system_load"))]
    sections = [
        Section(f"Noise of {run.label}", top, notes=_inside(run)),
        *with_rows(Section(table=[_case(row) for row in records(compared)], notes=LEGEND)),
        *(refused_sections(found[found["refused"] != ""], CASE[1:]) if len(found) else []),
        Section("What to do about it", notes=advice(run, compared), level=3),
        *with_rows(Section("The blocks' moments", table=moments, level=3)),
    ]
    return Page(found, sections)


def _case(row: dict[str, Any]) -> dict[str, str]:
    return {
        **{name: words(row[name]) for name in CASE[1:]},
        "again/original": ratio_digits(row["ratio"]),
        "interval": interval_text(row),
        "verdict": row["verdict"],
        "spread": percent(row["spread"]),
        "shows alone": percent(row["alone"] - 1),
        "shows here": percent(row["smallest"] - 1),
        f"blocks for {EFFECT:.0%}": words(row["wanted"]),
    }


def _moment(entry: dict[str, Any]) -> dict[str, str]:
    return {
        "block": words(entry.get("block")),
        "took": seconds(number(entry.get("seconds"))),
        "load before": digits(number(entry.get("load_before"))),
        "load after": digits(number(entry.get("load_after"))),
        "steal": percent(number(entry.get("steal"))),
        "throttled periods": words(entry.get("throttled")),
        "GPU throttled": words(entry.get("gpu_throttled")),
    }


def _inside(run: Run) -> list[str]:
    """How much of the wall time was inside the workers, where it was recorded."""
    inside, wall = number(run.campaign.get("runs_s")), number(run.campaign.get("wall_s"))
    known = math.isfinite(inside) and wall > 0
    return [f"Inside the workers: {inside / wall:.0%} of {seconds(wall)}."] if known else []


def advice(run: Run, compared: pd.DataFrame) -> list[str]:
    """What to do for less noise, in words, from `pair`'s compared cases and what the run says of its machine."""
    interrupted = "Interrupted: blocks are missing; run it again to its end."
    said = [*_more_blocks(run, compared), *_quieter(run), *([interrupted] if run.campaign.get("interrupted") else [])]
    return said or ["Nothing stands out."]


def _more_blocks(run: Run, compared: pd.DataFrame) -> list[str]:
    said = [] if len(compared) else ["Without one implementation twice in every block, false alarms cannot be counted."]
    if run.rows["block"].nunique(dropna=False) == 1:
        fewest = fewest_blocks(len(compared))
        return [*said, f"One block shows no noise between processes: --blocks {fewest} is the least that decides."]
    if compared.empty or (few := compared[~(compared["wanted"] <= compared["blocks"])]).empty:
        return said
    enough = f"--blocks {few['wanted'].max():.0f} would do, by their spread"
    if few["wanted"].isna().any():
        enough = "not even 1000 would do for all; quieten the machine"
    return [f"Too few blocks to show an effect of {EFFECT:.0%} in {len(few)} of {len(compared)} cases: {enough}."]


def _quieter(run: Run) -> list[str]:
    moments, info = sequence(run.campaign.get("system_load")), mapping(run.document["machine_info"])
    cores, governor = number(info.get("cores")), text(info.get("governor"))
    busy, stolen = _above(moments[:1], "load_before", cores / 3), _above(moments, "steal", 0.01)
    stopped = _above(moments, "throttled", 0)
    slowed = ", ".join(dict.fromkeys(filter(None, (text(entry.get("gpu_throttled")) for entry in moments))))
    paces = run.rows.loc[run.rows["calibration_s"] > 0, "calibration_s"]
    slow, usual = paces.quantile(0.9), paces.quantile(0.1)
    said = {
        f"The machine changed its pace: the calibration loop took {slow / usual:.1f} times as long in slow spells."
        " Verdicts are adjusted for it; unshared cores need fewer blocks.": slow > SPELLS * usual,
        f"Load above a third of the {words(cores)} cores before {busy}: end what else runs.": busy,
        f"More than 1% of the CPU time stolen in {stolen}: use a machine that is not shared.": stolen,
        f"A cgroup quota stopped it in {stopped}: give it a larger quota, or fewer --threads.": stopped,
        f"The GPU was throttled ({slowed}): cool it, or limit its clock.": slowed,
        f"The governor is {governor}: performance keeps the clock steady.": governor not in ("", "performance"),
    }
    return [line for line, holds in said.items() if holds]


def _above(moments: list[dict[str, Any]], name: str, limit: float) -> str:
    """The blocks in which a moment's number was above the limit, and the largest; empty if none was."""
    found = [(words(entry.get("block")), number(entry.get(name))) for entry in moments]
    above = {block: value for block, value in found if value > limit}
    return f"block {', '.join(above)} (up to {max(above.values()):.3g})" if above else ""


def add_commands(commands: options.Commands) -> None:
    """Add `noise` to the command line."""
    command = options.add(commands, "noise", _noise, "show this run's noise and false-alarm rate, and what to do")
    command.add_argument("run", metavar="RUN", help="which run")


def _noise(given: Namespace) -> Page:
    return noise(find(given.run, given.runs))
