"""Several machines: never pooled, no raw ratio; each implementation is over a baseline on its own machine."""

import math
from collections import Counter
from dataclasses import replace

import pandas as pd

from results.output import Page, Section, records, speedup, times, with_rows, words
from results.stats.noise import noise_section
from results.stats.pairing import (
    WORK,
    add_forced_ratios,
    differences,
    ratios,
    ratios_to,
    samples_by_case,
    without_duplicates,
)
from results.stats.verdicts import add_verdicts, caveats, count_verdicts, interval_text, refused_sections, summarize
from results.store.columns import CASE, COLUMNS
from results.store.reading import Run, RunError, facts
from results.store.runs import join, nearest

READING = (
    "B's over A's: an implementation's ratio to the baseline on B, divided by that on A, paired by the number of the"
    " block. Above 1 it does worse on B than on A, whichever machine is the quicker."
)
JUDGED = ["ratio", "interval_low", "interval_high", "verdict"]


def one_run_each(runs: list[Run]) -> None:
    """Raises RunError where two runs are of one machine."""
    for machine, count in Counter(run.machine for run in runs).items():
        if count > 1:
            labels = " and ".join(run.label for run in runs if run.machine == machine)
            raise RunError(f"{labels} are runs of one machine, {machine}: name one run per machine")


def tally(found: pd.DataFrame, rows: dict[str, pd.DataFrame]) -> list[str]:
    """For each row of `found`, on how many machines each verdict on its case holds; `rows` by machine, in order.

    What is not the same work on all machines has no count, and says why.
    """
    said, work = {}, {machine: samples_by_case(side, CASE[1:]) for machine, side in rows.items()}
    for case, group in found.groupby(CASE[1:]):
        verdicts = dict(zip(group["machine"], group["verdict"], strict=True))
        first, *others = [*group.loc[group["refused"] == "", "machine"]] or [""]
        unlike = [
            difference
            for other in others
            for difference in differences(work[first][case], work[other][case], (first, other), WORK)
        ]
        counts = count_verdicts(verdicts.get(machine) for machine in rows)
        said[case] = f"not the same work: {'; '.join(unlike)}" if unlike else counts
    return [said[case] for case in found[CASE[1:]].itertuples(index=False, name=None)]


def compare_machines(runs: tuple[Run, Run], baseline: str, force: bool, header: Section) -> Page:
    """Run B against run A of another machine, each over the baseline on its own. Raises RunError if none can be."""
    known = sorted(set.intersection(*[set(without_duplicates(run.rows)["impl"].dropna()) for run in runs]))
    if baseline not in known:
        raise RunError(f"no implementation of both runs is called {baseline!r}; {nearest(baseline, known)}")
    rows = [without_duplicates(run.rows) for run in runs]
    above = [ratios_to(side, baseline) for side in rows]
    left, right = (_relative(side, found, baseline) for side, found in zip(rows, above, strict=True))
    found = ratios(left, right, CASE).assign(a_s=math.nan, b_s=math.nan)
    if found.empty:
        raise RunError(f"nothing to compare: neither run has an implementation beside {baseline}")
    found = add_forced_ratios(found, rows[0], rows[1], CASE) if force else found
    compared = found.loc[found["refused"] == "", CASE]
    sides = [side.merge(compared, on=CASE).assign(of=place) for side, place in zip(above, "ab", strict=True)]
    page = add_verdicts(join([found.assign(of=""), *sides]))
    both = page[page["of"] == ""].drop(columns="of")
    for place in "ab":
        side = page.loc[page["of"] == place, [*CASE, *JUDGED]]
        both = both.merge(side.rename(columns={name: f"{name}_on_{place}" for name in JUDGED}), on=CASE, how="left")
    both["machines"] = [
        count_verdicts([row["verdict_on_a"], row["verdict_on_b"]]) if row["refused"] == "" else None
        for row in records(both)
    ]
    said = f"{header.title}, each over {baseline}: {summarize(both)}. {header.text}"
    sections = [replace(header, text=said), *_tables(both, baseline), caveats(page, READING), noise_section([*runs])]
    return Page(both, sections)


def _relative(rows: pd.DataFrame, above: pd.DataFrame, baseline: str) -> pd.DataFrame:
    """The rows with their ratio over the baseline for a time; invalid where there is none."""
    table = rows.loc[rows["impl"] != baseline, [*COLUMNS]].merge(above[[*CASE, "refused", "logs"]], on=CASE)
    logs = zip(table["logs"], table["block"].fillna(0), strict=True)
    refused = f"not comparable with {baseline}: " + table["refused"]
    table = table.assign(per_step_s=[math.exp(log.get(block, math.nan)) for log, block in logs])
    table = table.assign(valid=table["refused"] == "", reason=refused)
    return table[table["per_step_s"].notna() | ~table["valid"]]


def _tables(both: pd.DataFrame, baseline: str) -> list[Section]:
    compared, refused = both[both["refused"] == ""], both[both["refused"] != ""]
    cells = [
        {name: words(row[name]) for name in CASE}
        | {f"over {baseline} on A": f"{times(row['ratio_on_a'])} {row['verdict_on_a']}"}
        | {f"over {baseline} on B": f"{times(row['ratio_on_b'])} {row['verdict_on_b']}"}
        | {"B's over A's": times(row["ratio"]), "interval": interval_text(row), "verdict": words(row["verdict"])}
        | {"paired blocks": words(row["blocks"]), f"than {baseline}": row["machines"]}
        for row in records(compared)
    ]
    return [*with_rows(Section(table=cells)), *refused_sections(refused, CASE)]


def side_by_side(runs: list[Run], speedups: pd.DataFrame, baseline: str) -> list[Section]:
    """What differs between runs, and each case's speed-up over the baseline, a column a run; nothing for one run."""
    if len(runs) < 2:
        return []
    told = {run.label: {"machine": run.machine} | facts(run) for run in runs}
    names = dict.fromkeys(name for known in told.values() for name in known)
    lines = [{label: known.get(name, "-") for label, known in told.items()} for name in names]
    marks = ["differs" if len(set(line.values())) > 1 else "same" for line in lines]
    table = [{"fact": name, "": mark} | line for name, mark, line in zip(names, marks, lines, strict=True)]
    note = "Each on its own machine: nothing is pooled, and times of two machines are not put into one ratio."
    title = f"Speed-up over {baseline}, side by side"
    ratios = Section(title, table=_abreast(runs, speedups, baseline), notes=[note], level=3)
    return [Section("What differs", table=sorted(table, key=lambda row: row[""]), level=3), *with_rows(ratios)]


def _abreast(runs: list[Run], speedups: pd.DataFrame, baseline: str) -> list[dict[str, str]]:
    """The cases that more than one run has."""
    machines = {run.label: run.machine for run in runs}
    over = speedups[
        (speedups["baseline"] == baseline) & speedups["run"].isin(machines) & (speedups["impl"] != baseline)
    ]
    table = []
    for case, group in over.groupby(["size", *CASE], sort=True):
        if len(group) > 1:
            cells = {row["run"]: row["why"] or f"{speedup(row['speedup'])} {row['verdict']}" for row in records(group)}
            holds = count_verdicts(dict(zip(group["run"].map(machines), group["verdict"], strict=True)).values())
            named = dict(zip(CASE, map(words, case[1:]), strict=True))
            table.append(named | {label: cells.get(label, "-") for label in machines} | {"holds": holds})
    return table
