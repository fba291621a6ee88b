"""The report of runs: a verdict in words, then the tables behind it; the same runs give the same bytes."""

import math
from typing import Any

import pandas as pd

from results.cases import alone, outcomes
from results.checks import worst_errors
from results.format import Page, Section, records, seconds, speedup
from results.load import join
from results.pairs import over
from results.phases import break_evens, phases
from results.read import CASE, Run, RunError
from results.show import absences, card
from results.summary import in_short

TIMED = [
    "prepare: data to the device, objects built; once.",
    "compile: the first run less a later one; tracing and compiling, where there is any. The first problem of a process"
    " also bears what its framework builds once: for torch.compile, seconds.",
    "steady: a later run of all steps, from weights on the host to weights on the host; the median of its rounds.",
    "fixed: a run of no steps; the weights there and back.",
    "blocked, dispatch: what of steady is spent waiting for the device, and the rest; where recorded.",
    "per step: (steady - fixed) / steps, the median over pairs of rounds. The numbers of the tables and speed-ups.",
    "import: the framework's import, in a fresh process.",
    "Not timed: making the data, and checking the iterates against the reference, which comes before any clock.",
    "Over several blocks each number is the median of theirs; rounds of different processes are never pooled.",
]


def report(runs: list[Run], baseline: str) -> Page:
    """All about `runs`, one part each, machines never pooled. Raises RunError if none of them knows the baseline."""
    known = sorted({name for run in runs for name in run.rows["impl"].dropna()})
    if known and baseline not in known:
        raise RunError(f"no implementation is called {baseline!r}; known: {', '.join(known)}")
    every = {run: with_speedups(run, baseline) for run in runs}
    found = {run: alone(run, table) for run, table in every.items()}
    sections = [Section("Report", level=1)]
    for run in runs:
        said = in_short(run, baseline)
        sections += [Section(said.title, notes=said.lines, level=3)]
    sections += [Section(text="Generated from the saved runs by: python -m results report")]
    for run, table in found.items():
        sections += [card(run), *speeds(table, baseline), *phases(table), *break_evens(run, baseline)]
        sections += [worst_errors(table), *absences(table)]
    return Page(join(list(every.values())), [*sections, Section("What exactly is timed", notes=TIMED)])


def with_speedups(run: Run, baseline: str) -> pd.DataFrame:
    """The outcomes of a run, with `speedup`: the baseline's per-step time over the case's, NaN where not comparable."""
    found, speedups = outcomes(run), over(run.rows, baseline).assign(speedup=lambda table: 1 / table["ratio"])
    if speedups.empty:
        return found.assign(speedup=math.nan)
    return found.merge(speedups[[*CASE, "speedup"]], on=CASE, how="left")


def speeds(found: pd.DataFrame, baseline: str) -> list[Section]:
    """Per device and dtype, implementation x problem: time per step and speed-up over the baseline."""
    sections = []
    for (device, dtype), group in _tried(found).groupby(["device", "dtype"]):
        cells = {(row["impl"], row["problem"]): _speed(row) for row in records(group)}
        problems = group.sort_values(["n", "d", "problem"])["problem"].unique()
        names = sorted(group["impl"].unique(), key=lambda name: (name != baseline, name))
        table = [{"implementation": name} | {at: cells.get((name, at), "-") for at in problems} for name in names]
        notes = [f"In brackets: speed-up over {baseline}; 1/4x takes 4 times as long."]
        if baseline not in names:
            notes = [f"No speed-ups: {baseline} has no case here."]
        sections.append(Section(f"Time per step: {device}, {dtype}", table=table, notes=notes, level=3))
    return sections


def _tried(found: pd.DataFrame) -> pd.DataFrame:
    """The cases that have rows, and those that were refused before they had any."""
    named = found[found["status"] != "skipped"].dropna(subset=CASE)
    return named.drop_duplicates(CASE)


def _speed(row: dict[str, Any]) -> str:
    if row["status"] != "measured":
        return str(row["status"])
    return seconds(row["per_step_s"]) + ("" if math.isnan(row["speedup"]) else f" ({speedup(row['speedup'])})")
