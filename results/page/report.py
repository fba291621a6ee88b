"""The report of runs: a verdict in words, then the tables behind it; the same runs give the same bytes."""

import math
from typing import Any

import pandas as pd

from results.output import Page, Section, records, seconds, speedup, words
from results.page.errors import worst_errors
from results.page.phases import break_evens_each, phases
from results.page.sections import absences, card
from results.page.summary import whole
from results.stats.noise import noise_lines
from results.stats.pairing import ratio_rows, samples_by_impl
from results.store.columns import CASE
from results.store.outcomes import Row, by_size, drop_duplicates_of_runs, groups, outcomes_of_runs
from results.store.reading import Run, RunError

TIMED = [
    "prepare: data to the device, objects built; once.",
    "compile: the first run less a later one; tracing and compiling, where there is any. The first problem of a process"
    " also bears what its framework builds once: for torch.compile, seconds.",
    "steady: a later run of all steps, from weights on the host to weights on the host; the median of its rounds.",
    "fixed: a run of no steps; the weights there and back.",
    "blocked, dispatch: what of steady is spent waiting for the device, and the rest; where recorded.",
    "per step: (steady - fixed) / steps, the median over pairs of rounds. The numbers of the tables and speed-ups.",
    "import: the framework's import, in a fresh process.",
    "the machine's limit: the shortest time that a pass over a step's rows can take here, by the bytes a second and"
    " the operations a second that were measured in the same run; in brackets what it would wait for. Below the time of"
    " the cheapest call that is dispatch: who calls for each operation waits for the calls.",
    "Not timed: making the data, and checking the iterates against the reference, which comes before any clock.",
    "Over several blocks each number is the median of theirs; rounds of different processes are never pooled.",
]


EXPERT = ("numba_fused", "triton_fused")  # tuned by hand beyond what a framework's users write
BOUND = ("memory", "cache", "compute")  # limits that a step can meet; below the cheapest call nothing meets one


def report(runs: list[Run], baseline: str) -> Page:
    """All about `runs`, one part each, machines never pooled. Raises RunError if none of them knows the baseline."""
    known = sorted({name for run in runs for name in run.rows["impl"].tolist() if isinstance(name, str)})
    if known and baseline not in known:
        raise RunError(f"no implementation is called {baseline!r}; known: {', '.join(known)}")
    sides = [samples_by_impl(run.rows) for run in runs]
    pairs = ratio_rows(sides, baseline)
    table = _with_speedups(runs, pairs)
    parts: list[list[Row]] = [[] for _ in runs]
    for row in records(drop_duplicates_of_runs(runs, table)):
        parts[row["at"]].append(row)
    sections = [Section("Report", level=1)]
    for run, found, noise in zip(runs, parts, noise_lines(sides), strict=True):
        said = whole(run, found, baseline, noise)
        sections += [Section(said.title, notes=said.lines, level=3)]
    sections += [Section(text="Generated from the saved runs by: python -m results report")]
    for run, found, earned in zip(runs, parts, break_evens_each(runs, baseline, pairs), strict=True):
        sections += [card(run), *speeds(found, baseline), *phases(found), *earned]
        sections += [worst_errors(found), *absences(found)]
    return Page(table.drop(columns="at"), [*sections, Section("What exactly is timed", notes=TIMED)])


def with_speedups(run: Run, baseline: str) -> pd.DataFrame:
    """The outcomes of a run, with `speedup`: the baseline's per-step time over the case's, NaN where not comparable."""
    return _with_speedups([run], ratio_rows([samples_by_impl(run.rows)], baseline)).drop(columns="at")


def _with_speedups(runs: list[Run], pairs: list[Row]) -> pd.DataFrame:
    """The outcomes of many runs; `at` is the place of the run, also in `pairs`, the ratios over the baseline."""
    speed = {(pair["at"], *[pair[name] for name in CASE]): 1 / pair["ratio"] for pair in pairs}
    table = outcomes_of_runs(runs)
    keys = zip(*[table[name].tolist() for name in ("at", *CASE)], strict=True)
    return table.assign(speedup=[speed.get(key, math.nan) for key in keys])


def speeds(found: list[Row], baseline: str) -> list[Section]:
    """Per device and dtype, implementation x problem: time per step and speed-up over the baseline."""
    sections = []
    tried = [row for row in found if row["status"] != "skipped"]
    for (device, dtype), group in groups(tried, "device", "dtype"):
        cells: dict[tuple[str, str], str] = {}
        for row in group:
            cells.setdefault((row["impl"], row["problem"]), _speed(row))
        named = [row for row in group if isinstance(row["impl"], str) and isinstance(row["problem"], str)]
        problems = dict.fromkeys(row["problem"] for row in sorted(named, key=by_size))
        names = sorted({row["impl"] for row in named}, key=lambda name: (name != baseline, name))
        table = [
            {"implementation": f"{name} (expert-tuned)" if name in EXPERT else name}
            | {at: cells.get((name, at), "-") for at in problems}
            for name in names
        ]
        limits = {row["problem"]: f"{seconds(row['limit_s'])} ({words(row['limited_by'])})"
                  for row in named if row["step_reads"] == "X" and row["limited_by"] in BOUND}  # fmt: skip
        if limits:
            table.append({"implementation": "the machine's limit"} | {at: limits.get(at, "-") for at in problems})
        notes = [f"In brackets: speed-up over {baseline}; 4x slower: it takes 4 times as long."]
        if baseline not in names:
            notes = [f"No speed-ups: {baseline} has no case here."]
        sections.append(Section(f"Time per step: {device}, {dtype}", table=table, notes=notes, level=3))
    return sections


def _speed(row: dict[str, Any]) -> str:
    if row["status"] != "measured":
        return str(row["status"])
    if row["step_reads"] != "X":
        return f"{seconds(row['per_step_s'])} ({words(row['step_reads'])})"
    return seconds(row["per_step_s"]) + ("" if math.isnan(row["speedup"]) else f" ({speedup(row['speedup'])})")
