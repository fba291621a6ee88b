"""Each case's time over dates, commits and versions, per machine, and where it changed by more than noise.

A series is one case of one machine that does the same work (`sides.SAME`); other work is another series. A point is one
run: the median over its valid blocks. `changes` says where a series changed. Beside each change stands what the
yardstick of fixed work (`pace_s`) did at the same place, for it tells whether the machine changed.
"""

from collections import Counter
from typing import Any

import numpy as np
import pandas as pd

from results.changes import CORRELATION, LONGEST, SIDE, Search, search
from results.format import Page, Section, records, rows_of, tabled, words
from results.history_words import changes, sentence, series
from results.load import join
from results.read import CASE, Run, facts, text
from results.show import narrowed
from results.sides import SAME, by_case, differences, single
from results.stats import ALPHA

POINT = ["series", "run", "machine", "datetime", "commit", *CASE, "framework", "version"]
TIMES = ["per_step_s", "low_s", "high_s", "blocks", "pace_s"]
CHANGE = ["ratio", "ratio_low", "ratio_high", "p", "pace_ratio", "before", "earliest", "latest", "changed"]
NOTES = [
    "A point is one run: the median over its valid blocks. Machines are never pooled.",
    f"A change has {SIDE} runs or more on either side. False alarms: a chance of {ALPHA:.0%} for the whole page (Holm"
    f" over its series), even where what runs are off by is correlated by {CORRELATION} from one to the next; more"
    " where a machine drifts for longer. The intervals of ratio and place: by seeded simulation of such noise, at the"
    " level that decided.",
    "Machine's pace: the time of a yardstick of fixed work after the change, over that before. Where it moved as much"
    " as the case did, the machine changed, not the code.",
]

Wanted = dict[str, list[str] | None]


def history(runs: list[Run], wanted: Wanted, faults: dict[str, str]) -> Page:
    """A row per point, with the change that it begins, if any; `wanted` filters columns, `faults` were not read.

    Raises RunError for a wanted value that no run knows, and where a package is missing.
    """
    rows = narrowed(single(join([run.rows for run in runs])), wanted, "no run here")
    table = points(rows, {run.label: run for run in runs})
    groups = [group for _, group in table.groupby("series")]
    found = search([np.log(group["per_step_s"].to_numpy(float)[-LONGEST:]) for group in groups])
    known = {run.label: facts(run) for run in runs}
    marked = [_marked(group, one, known) for group, one in zip(groups, found, strict=True)]
    page = (pd.concat(marked) if marked else table).reindex(columns=[*POINT, *TIMES, *CHANGE])
    page = page.astype(dict.fromkeys(CHANGE[:5], float))
    works = _works(groups)
    sections = [
        Section("History", sentence(page, len(runs))),
        *tabled(Section("Changes", table=changes(page), level=3)),
        *series(page, found, works),
        *tabled(Section("Invalid: no points", table=_invalid(rows), level=3)),
        *tabled(Section("Not read", table=[{"run": name, "reason": why} for name, why in faults.items()], level=3)),
        Section("Reading", notes=[*_caveats(runs, len(works)), *NOTES], level=3),
    ]
    return Page(page, sections)


def points(rows: pd.DataFrame, runs: dict[str, Run]) -> pd.DataFrame:
    """A row per series and run, by date: columns POINT, TIMES and SAME; `series` counts from 0."""
    valid = rows[rows["valid"]].sort_values(["machine", *CASE, "datetime", "run"])
    case = ["machine", *CASE, *SAME]
    table = valid.groupby(["run", *case], dropna=False, sort=False).agg(
        datetime=("datetime", "first"),
        framework=("framework", "first"),
        version=("version", "first"),
        per_step_s=("per_step_s", "median"),
        low_s=("per_step_s", "min"),
        high_s=("per_step_s", "max"),
        blocks=("block", lambda held: held.nunique(dropna=False)),
        pace_s=("pace_s", "median"),
    )
    table = table.reset_index()
    table["commit"] = [_commit(runs[label]) for label in table["run"]]
    table["series"] = table.groupby(case, dropna=False, sort=False).ngroup()
    return table.sort_values("series", kind="stable", ignore_index=True)


def _commit(run: Run) -> str:
    return text(run.commit.get("id"))[:12] + (" dirty" if run.commit.get("dirty") else "")


def _marked(group: pd.DataFrame, found: Search, known: dict[str, dict[str, str]]) -> pd.DataFrame:
    """The points of a series, with the columns of CHANGE where a change begins; `known`: the facts of each run."""
    past, rows, pace = max(0, len(group) - LONGEST), records(group), group["pace_s"]
    places = [past + change.at for change in found.changes]
    edges = [0, *places, len(group)]
    told = []
    for number, change in enumerate(found.changes):
        left, at, right = edges[number : number + 3]
        before, after = rows[at - 1], rows[at]
        told.append(
            {"ratio": change.ratio, "ratio_low": change.low, "ratio_high": change.high, "p": found.p}
            | {"pace_ratio": pace.iloc[at:right].median() / pace.iloc[left:at].median(), "before": before["run"]}
            | {"earliest": rows[past + change.first]["run"], "latest": rows[past + change.last]["run"]}
            | {"changed": "; ".join(_differing(_told(before, known), _told(after, known)))}
        )
    return group.join(pd.DataFrame(told, group.index[places], CHANGE))


def _told(row: dict[str, Any], known: dict[str, dict[str, str]]) -> dict[str, str]:
    return {words(row["framework"]): words(row["version"])} | {"commit": words(row["commit"])} | known[row["run"]]


def _differing(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """`numpy 2.4.6 -> 2.5.0` for each fact that is not the same on both sides."""
    names = [name for name in after | before if before.get(name) != after.get(name)]
    return [f"{name} {before.get(name, '-')} -> {after.get(name, '-')}" for name in names]


def _invalid(rows: pd.DataFrame) -> list[dict[str, str]]:
    """How many blocks of which run and case failed, and why."""
    failed = rows[~rows["valid"]].groupby(["run", *CASE, "reason"], dropna=False).size()
    return rows_of(failed.rename("blocks").reset_index())


def _works(groups: list[pd.DataFrame]) -> dict[int, str]:
    """For each series of a case but its first, what in its work is not as in that one."""
    said: dict[int, str] = {}
    firsts: dict[tuple[Any, ...], pd.DataFrame] = {}
    for number, group in enumerate(groups):
        first = firsts.setdefault(tuple(group.iloc[0][["machine", *CASE]]), group)
        if first is not group:
            sides = str(first["run"].iloc[0]), str(group["run"].iloc[0])
            both = (rows.assign(valid=True, reason="", block=0) for rows in (first, group))
            left, right = (by_case(rows, CASE).popitem()[1] for rows in both)
            said[number] = f"Other work, so another series: {'; '.join(differences(left, right, sides))}."
    return said


def _caveats(runs: list[Run], other: int) -> list[str]:
    broken = [run.label for run in runs if run.campaign.get("interrupted")]
    moments = Counter((run.machine, run.when) for run in runs)
    return [
        *([f"Other work is another series, which says what differs: {other} of these."] if other else []),
        *([f"Interrupted, counted with what is valid: {', '.join(broken)}."] if broken else []),
        *(["Runs of the same moment stand in the order of their names."] if max(moments.values()) > 1 else []),
    ]
