"""The report of runs as sections: a summary of each run, then its tables. The same runs give the same bytes."""

import math
from itertools import groupby
from operator import itemgetter
from typing import Any

import pandas as pd

from results.output import Page, Section, records, seconds, speedup, words
from results.page.answer import FEW
from results.page.errors import worst_errors
from results.page.phases import break_even_sections, phase_sections
from results.page.sections import run_card, table_by_problem, untimed_sections
from results.page.summary import summarize_run
from results.stats.agreement import FIRST_LOOK
from results.stats.noise import noise_lines
from results.stats.pairing import SamplesByImpl, ratio_rows, samples_by_impl
from results.stats.pools import STEP_LEVEL, earlier_runs, step_spreads
from results.stats.signed_rank import ALPHA, UNDECIDED, judge
from results.store.columns import CASE
from results.store.outcomes import Row, drop_duplicates_of_runs, expert_tuned, groups, outcomes_of_runs
from results.store.reading import Run, RunError

CLOCK_NOTES = [
    "prepare: copy the data to the device and build objects, once.",
    "compile: the first run minus a later one: tracing and compiling, if any. The first problem of a process also"
    " includes what its framework builds once: for torch.compile, seconds.",
    "steady: a later run of all steps, from weights on the host to weights on the host; the median of its rounds.",
    "fixed: a run of no steps, which copies the weights to the device and back.",
    "blocked, dispatch: the part of steady spent waiting for the device, and the rest, where recorded.",
    "per step: (steady - fixed) / steps, the median over pairs of rounds. Tables and speed-ups use this number.",
    "import: importing the framework in a fresh process.",
    "the machine's limit: the shortest possible time of one pass over a step's rows, from the bandwidth and the"
    " operations per second measured in the same run; in brackets the resource that limits it. If that time is"
    " below the cheapest call, the resource is dispatch: making the calls takes longer than the work.",
    "Not timed: generating the data, and checking the iterates against the reference, which happens before timing.",
    "With several blocks, each number is the median of the blocks. Rounds of different processes are never pooled.",
]
SPREAD_NOTE = f"±: few processes here; in earlier runs of this machine {STEP_LEVEL:.0%} of them differed by no more."
RESOURCES = ("memory", "cache", "compute")  # limits that a step can reach; it cannot reach the limit of dispatch


def report(runs: list[Run], baseline: str) -> Page:
    """Return all about `runs`, each on its own: machines are never pooled. Raises RunError for an unknown baseline."""
    known = sorted({name for run in runs for name in run.rows["impl"].tolist() if isinstance(name, str)})
    if known and baseline not in known:
        raise RunError(f"no implementation is called {baseline!r}; known: {', '.join(known)}")
    samples = [samples_by_impl(run.rows) for run in runs]
    ratios = ratio_rows(samples, baseline)
    speedups = {(row["at"], *[row[name] for name in CASE]): 1 / row["ratio"] for row in ratios}
    table, decided = outcomes_of_runs(runs), _decided(samples, ratios, baseline)
    keys = [*zip(*[table[name].tolist() for name in ("at", *CASE)], strict=True)]
    table["speedup"] = [speedups.get(key, math.nan) for key in keys]
    table["undecided"] = [key not in decided for key in keys]
    few = table["blocks"] <= FEW
    spreads = {at: step_spreads(runs[at], earlier_runs(runs[at])) for at in table.loc[few, "at"].unique()}
    spread_of_rows = [
        spreads.get(at, {}).get(impl, math.nan) for at, impl in zip(table["at"], table["impl"], strict=True)
    ]
    table["spread"] = pd.Series(spread_of_rows, table.index, dtype=float).where(few)
    rows_by_run: list[list[Row]] = [[] for _ in runs]
    for row in records(drop_duplicates_of_runs(runs, table)):
        rows_by_run[row["at"]].append(row)
    sections = [Section("Report", level=1)]
    for run, rows, noise in zip(runs, rows_by_run, noise_lines(samples), strict=True):
        summary = summarize_run(run, rows, baseline, noise)
        sections += [Section(summary.title, notes=summary.lines, level=3)]
    sections += [Section(text="Generated from the saved runs by: python -m results report")]
    break_evens = break_even_sections(runs, baseline, ratios)
    for run, rows, break_even in zip(runs, rows_by_run, break_evens, strict=True):
        sections += [run_card(run), *speed_sections(rows, baseline, expert_tuned(run)), *phase_sections(rows)]
        sections += [*break_even, worst_errors(rows), *untimed_sections(rows)]
    data = table.drop(columns=["at", "undecided", "spread"])
    return Page(data, [*sections, Section("What is timed", notes=CLOCK_NOTES)])


def _decided(samples: list[SamplesByImpl], ratios: list[dict[str, Any]], baseline: str) -> set[tuple[Any, ...]]:
    """Return (index of the run, *case) of the comparisons with the baseline that have a verdict, and the baseline's."""
    decided: list[dict[str, Any]] = []
    for at, rows_of_run in groupby(ratios, itemgetter("at")):
        duplicates = {impl for duplicate_of, impl in samples[at] if duplicate_of}
        rows = [row for row in rows_of_run if row["refused"] == "" and row["impl"] not in duplicates]
        others = [row for row in rows if row["impl"] != baseline]
        decided += [row for row in rows if row["impl"] == baseline]
        if max((row["blocks"] for row in others), default=0) >= FIRST_LOOK:
            verdicts = judge([row["logs"] for row in others], ALPHA / 2, pairs=[row["pair"] for row in others])
            decided += [row for row, verdict in zip(others, verdicts, strict=True) if verdict.word != UNDECIDED]
    return {(row["at"], *[row[name] for name in CASE]) for row in decided}


def speed_sections(rows: list[Row], baseline: str, tuned: set[str]) -> list[Section]:
    """Return implementation x problem, a table per device and dtype: time per step and speed-up over the baseline."""
    sections = []
    tried = [row for row in rows if row["status"] != "skipped"]
    for (device, dtype), group in groups(tried, "device", "dtype"):
        named = [row for row in group if isinstance(row["impl"], str) and isinstance(row["problem"], str)]
        table = table_by_problem(named, _speed_cell, baseline)
        impls = [row["implementation"] for row in table]
        for row in table:
            row["implementation"] += " (expert-tuned)" * (row["implementation"] in tuned)
        limits = {
            row["problem"]: f"{seconds(row['limit_s'])} ({words(row['limited_by'])})"
            for row in named
            if row["step_reads"] == "X" and row["limited_by"] in RESOURCES
        }
        if limits:
            table.append(dict.fromkeys(table[0], "-") | {"implementation": "the machine's limit"} | limits)
        note = f"In brackets: speed-up over {baseline}. 4x slower: a step takes 4 times as long. ?: undecided."
        if baseline not in impls:
            note = f"No speed-ups: {baseline} has no case here."
        notes = [note, *([SPREAD_NOTE] if any(row.get("spread", math.nan) >= 0 for row in group) else [])]
        sections.append(Section(f"Time per step: {device}, {dtype}", table=table, notes=notes, level=3))
    return sections


def _speed_cell(row: dict[str, Any]) -> str:
    if row["status"] != "measured":
        return str(row["status"])
    spread = row.get("spread", math.nan)
    step = seconds(row["per_step_s"]) + (f" ±{math.expm1(spread):.0%}" if spread >= 0 else "")
    if row["step_reads"] != "X":
        return f"{step} ({words(row['step_reads'])})"
    ratio = f" ({speedup(row['speedup'])}{'?' if row['undecided'] else ''})"
    return step + ("" if math.isnan(row["speedup"]) else ratio)
