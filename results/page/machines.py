"""Compare machines without pooling: each implementation relative to a baseline on its own machine."""

import math
from dataclasses import replace
from itertools import chain

import pandas as pd

from results.output import Page, Section, records, speedup, times, with_rows, words
from results.stats.noise import noise_section
from results.stats.pairing import (
    WORK_FACTS,
    add_forced_ratios,
    differences,
    ratios,
    ratios_to,
    samples_by_case,
    without_duplicates,
)
from results.stats.quiet_or_busy import kernel_notes, machine_lines, withhold_if_busy
from results.stats.signed_rank import ALPHA
from results.stats.verdict_tables import (
    add_verdicts,
    caveats,
    count_verdicts,
    interval_text,
    refused_sections,
    summarize,
    verdict_text,
)
from results.store.columns import CASE, COLUMNS
from results.store.reading import Run, RunError, facts
from results.store.runs import first_names, join, nearest

MACHINES_NOTE = (
    "B / A: an implementation's ratio to the baseline on machine B, divided by that on machine A, paired by block"
    " number. Above 1: relative to the baseline it is slower on B than on A, whichever machine is faster. It covers the"
    " blocks that both have, so it may differ from the quotient of the two columns."
)
CORRECTION_NOTE = (
    "Verdicts on one machine are corrected for all comparisons of this page; compare on its run alone decides more."
)
VERDICT_COLUMNS = ["ratio", "interval_low", "interval_high", "verdict"]


def check_one_run_per_machine(runs: list[Run]) -> None:
    """Raise RunError if two runs are from the same machine."""
    for run in runs:
        labels = [candidate.label for candidate in runs if candidate.machine == run.machine]
        if len(labels) > 1:
            raise RunError(f"{' and '.join(labels)} are runs of one machine, {run.machine}: name one run per machine")


def verdicts_by_machine(table: pd.DataFrame, rows: dict[str, pd.DataFrame]) -> list[str]:
    """Return for each row of `table` the verdict counts of its case over the machines, or why there are none.

    `table` has one row per case and machine; `rows` are the measured rows by machine.
    """
    samples = {machine: samples_by_case(machine_rows, CASE[1:]) for machine, machine_rows in rows.items()}
    edited = [f"{impl} has other code" for impl in _edited(list(rows.values()))]
    texts = {}
    for case, group in table.groupby(CASE[1:]):
        verdicts = dict(zip(group["machine"], group["verdict"], strict=True))
        first, *machines = [*group.loc[group["refused"] == "", "machine"]] or [""]
        sides = [(samples[first][case], samples[machine][case], (first, machine)) for machine in machines]
        unequal = [*chain.from_iterable(differences(*pair, WORK_FACTS) for pair in sides), *edited]
        counts = count_verdicts(verdicts.get(machine) for machine in rows)
        texts[case] = f"not the same work: {'; '.join(unequal)}" if unequal else counts
    return [texts[case] for case in table[CASE[1:]].itertuples(index=False, name=None)]


def compare_machines(runs: tuple[Run, Run], baseline: str, force: bool, header: Section, alpha: float = ALPHA) -> Page:
    """Compare runs A and B of two machines relative to the baseline. Raises RunError if nothing is comparable."""
    rows = [without_duplicates(run.rows) for run in runs]
    impls = sorted(set.intersection(*[set(run_rows["impl"].dropna()) for run_rows in rows]))
    if baseline not in impls:
        raise RunError(f"no implementation of both runs is called {baseline!r}; {nearest(baseline, impls)}")
    if reason := other_kernels(runs, baseline):
        raise RunError(f"{reason}; choose another baseline: --baseline IMPL")
    to_baseline = [ratios_to(run_rows, baseline) for run_rows in rows]
    relative = [_relative_rows(run_rows, table, baseline) for run_rows, table in zip(rows, to_baseline, strict=True)]
    table = ratios(relative[0], relative[1], CASE).assign(a_s=math.nan, b_s=math.nan)
    if table.empty:
        raise RunError(f"nothing to compare: neither run has an implementation beside {baseline}")
    table = add_forced_ratios(table, rows[0], rows[1], CASE) if force else table
    compared = table.loc[table["refused"] == "", CASE]
    sides = [side.merge(compared, on=CASE).assign(of=run) for side, run in zip(to_baseline, "ab", strict=True)]
    judged = withhold_if_busy(add_verdicts(join([table.assign(of=""), *sides]), alpha=alpha), runs)
    result = judged[judged["of"] == ""].drop(columns="of")
    for run in "ab":
        judged_columns = judged.loc[judged["of"] == run, [*CASE, *VERDICT_COLUMNS]].set_index(CASE)
        result = result.join(judged_columns.add_suffix(f"_on_{run}"), on=CASE)
    verdicts = zip(result["verdict_on_a"], result["verdict_on_b"], strict=True)
    counts = pd.Series([*map(count_verdicts, verdicts)], result.index, object)
    result["machines"] = counts.where(result["refused"] == "", None)
    where = f"on {runs[1].machine} (B) instead of {runs[0].machine} (A)"
    text = f"Relative to {baseline}, {where}: {summarize(result)}. {header.text}"
    notes = [*kernel_notes(*runs), *header.notes]
    header = replace(header, text=text, notes=notes, machine=machine_lines(*runs))
    cells = [
        {name: words(row[name]) for name in CASE}
        | {f"to {baseline} on A": f"{times(row['ratio_on_a'])} {row['verdict_on_a']}"}
        | {f"to {baseline} on B": f"{times(row['ratio_on_b'])} {row['verdict_on_b']}"}
        | {"B / A": times(row["ratio"]), "interval": interval_text(row), "verdict": verdict_text(row)}
        | {"paired blocks": words(row["blocks"]), f"than {baseline}": row["machines"]}
        for row in records(result[result["refused"] == ""])
    ]
    tables = [*with_rows(Section(table=cells)), *refused_sections(result[result["refused"] != ""], CASE)]
    return Page(
        result, [header, *tables, caveats(judged, MACHINES_NOTE, notes=[CORRECTION_NOTE]), noise_section([*runs])]
    )


def other_kernels(runs: tuple[Run, Run], impl: str) -> str:
    """Return why an implementation is not comparable between two machines, with comparable ones; else ""."""
    rows = [without_duplicates(run.all_rows) for run in runs]
    kernels = [_kernels(run_rows, impl) for run_rows in rows]
    if kernels[0] == kernels[1]:
        return ""
    impls = set.intersection(*[set(run_rows["impl"].dropna()) for run_rows in rows])
    equal = [name for name in sorted(impls) if _kernels(rows[0], name) == _kernels(rows[1], name)]
    chosen = [f"on {run.machine} {names}" for run, names in zip(runs, kernels, strict=True) if names != "none"]
    return (
        f"not comparable for {impl}: {' and '.join(chosen)} chose other kernels. Implementations that can be compared"
        f" on both: {first_names(equal)}"
    )


def _kernels(rows: pd.DataFrame, impl: str) -> str:
    """Return the variables that chose the kernels of an implementation, or "none"."""
    return ", ".join(sorted(set(rows.loc[rows["impl"] == impl, "kernels"].dropna()))) or "none"


def _relative_rows(rows: pd.DataFrame, to_baseline: pd.DataFrame, baseline: str) -> pd.DataFrame:
    """Return the rows with their ratio to the baseline as `per_step_s`; invalid if they cannot be compared."""
    table = rows.loc[rows["impl"] != baseline, [*COLUMNS]].merge(to_baseline[[*CASE, "refused", "logs"]], on=CASE)
    logs = zip(table["logs"], table["block"].fillna(0), strict=True)
    reason = f"not comparable with {baseline}: " + table["refused"]
    table = table.assign(per_step_s=[math.exp(log.get(block, math.nan)) for log, block in logs])
    table = table.assign(valid=table["refused"] == "", reason=reason)
    return table[table["per_step_s"].notna() | ~table["valid"]]


def machine_sections(runs: list[Run], speedups: pd.DataFrame, baseline: str) -> list[Section]:
    """Return the facts that differ between runs, and the speed-ups with a column per run; nothing for one run."""
    if len(runs) < 2:
        return []
    facts_by_run = {run.label: {"machine": run.machine} | facts(run) for run in runs}
    table = []
    for name in dict.fromkeys(name for values in facts_by_run.values() for name in values):
        values = {label: values.get(name, "-") for label, values in facts_by_run.items()}
        table.append({"fact": name, "comparison": "differs" if len(set(values.values())) > 1 else "same"} | values)
    note = "Each speed-up is relative to the baseline on the same machine. Times of two machines are never divided."
    edited = _edited([run.rows for run in runs])
    rows = _speedup_rows(runs, speedups, baseline, edited)
    if len({_kernels(run.rows, baseline) for run in runs}) > 1:
        note += f" Unequal: variables chose the kernels of {baseline} in some of them."
    notes = [note, *([f"Not the same code in all runs: {', '.join(edited)}."] if edited else [])]
    return [
        Section("Facts of the machines", table=sorted(table, key=lambda row: row["comparison"]), level=3),
        *with_rows(Section(f"Speed-up over {baseline} by run", table=rows, notes=notes, level=3)),
    ]


def _edited(tables: list[pd.DataFrame]) -> list[str]:
    """Return the implementations whose code differs between runs, by two hashes of the same kind."""
    codes = pd.concat([rows[["impl", "code"]] for rows in tables]).dropna().drop_duplicates()
    hashes = codes.groupby([codes["impl"], codes["code"].str[0]]).size()
    return sorted(set(hashes[hashes > 1].index.get_level_values("impl")))


def _speedup_rows(runs: list[Run], speedups: pd.DataFrame, baseline: str, edited: list[str]) -> list[dict[str, str]]:
    """Return a row per case of several runs. Verdicts on `edited` code are not counted."""
    machines = {run.label: run.machine for run in runs}
    selected = (speedups["baseline"] == baseline) & speedups["run"].isin(machines) & (speedups["impl"] != baseline)
    table = []
    for (_, *case), group in speedups[selected].groupby(["size", *CASE], sort=True):
        if len(group) > 1:
            cells = {row["run"]: row["why"] or f"{speedup(row['speedup'])} {row['verdict']}" for row in records(group)}
            counts = count_verdicts(dict(zip(group["run"].map(machines), group["verdict"], strict=True)).values())
            names = dict(zip(CASE, map(words, case), strict=True))
            counts = "not the same code" if {case[0], baseline} & set(edited) else counts
            table.append(names | {label: cells.get(label, "-") for label in machines} | {"machines": counts})
    return table
