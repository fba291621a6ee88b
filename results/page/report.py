"""Build the report of runs: a summary of each run, then its tables. Equal runs give equal bytes."""

import math
from typing import Any

import pandas as pd

from results.output import Page, Section, records, seconds, speedup, words
from results.page.errors import worst_errors
from results.page.phases import break_even_sections, phase_sections
from results.page.sections import run_card, table_by_problem, untimed_sections
from results.page.standing import DECIDED_VERDICTS, compared_with, judge_pairs
from results.page.summary import summarize_run
from results.stats.pools import FEW_BLOCKS, earlier_runs, step_spreads
from results.stats.verdict_tables import SPREAD_NOTE, step_text
from results.store.columns import CASE
from results.store.outcomes import Row, drop_duplicates, expert_tuned, groups, outcomes
from results.store.reading import Run, RunError
from results.store.runs import join

CLOCK_NOTES = [
    "prepare: copy the data to the device and build objects, once.",
    "compile: the first run minus a later one: tracing and compiling, if any. The first problem of a process also"
    " includes what its framework builds once: for torch.compile, seconds.",
    "steady: a later run of all steps, from weights on the host to weights on the host; the median of its rounds.",
    "fixed: a run of no steps, which copies the weights to the device and back.",
    "blocked, dispatch: the part of steady spent waiting for the device, and the rest, where recorded.",
    "per step: (steady - fixed) / steps, the median over pairs of rounds. Tables and speed-ups use this number.",
    "import: importing the framework in a fresh process.",
    "the machine's limit: the shortest possible time of one pass over a step's rows, from the operations per second and"
    " the bandwidth that was read beside the rounds of the fastest row (below 1 MiB, on a GPU, for ranks and in older"
    " runs: before the block); in brackets the resource that limits it. If that time is below the cheapest call, the"
    " resource is dispatch: making the calls takes longer than the work.",
    "Not timed: generating the data, and checking the iterates against the reference, which happens before timing.",
    "With several blocks, each number is the median of the blocks. Rounds of different processes are never pooled.",
]
RESOURCES = ("memory", "cache", "compute")  # limits that a step can reach; it cannot reach the limit of dispatch


def report(runs: list[Run], baseline: str) -> Page:
    """Report on each run separately: machines are never pooled. Raises RunError for an unknown baseline."""
    impls = sorted({name for run in runs for name in run.rows["impl"].tolist() if isinstance(name, str)})
    if impls and baseline not in impls:
        raise RunError(f"no implementation is called {baseline!r}; known: {', '.join(impls)}")
    tables = [_cases(run, baseline) for run in runs]
    rows_by_run = [records(drop_duplicates(run, table)) for run, table in zip(runs, tables, strict=True)]
    sections = [Section("Report", level=1)]
    for run in runs:
        summary = summarize_run(run, baseline)
        sections += [Section(summary.title, notes=summary.lines, level=3)]
    sections += [Section(text="Generated from the saved runs by: python -m results report")]
    for run, rows in zip(runs, rows_by_run, strict=True):
        sections += [run_card(run), *speed_sections(rows, baseline, expert_tuned(run)), *phase_sections(rows)]
        sections += [*break_even_sections(run, baseline), worst_errors(rows), *untimed_sections(rows)]
    data = join(tables).drop(columns=["undecided", "spread"])
    return Page(data, [*sections, Section("What is timed", notes=CLOCK_NOTES)])


def _cases(run: Run, baseline: str) -> pd.DataFrame:
    """Return the outcomes of a run with their `speedup` over the baseline, and whether it is `undecided`.

    spread: of earlier runs, for cases with few blocks.
    """
    table, pairs = outcomes(run), judge_pairs(run, baseline)
    ratios = pairs[pairs["baseline"] == baseline].set_index(CASE)["ratio"].to_dict()
    judged = compared_with(pairs, baseline)
    decided = set(judged.loc[judged["verdict"].isin(DECIDED_VERDICTS), CASE].itertuples(index=False, name=None))
    few = table["blocks"] <= FEW_BLOCKS
    spreads = step_spreads(run, earlier_runs(run)) if few.any() else {}
    cases = list(table[CASE].itertuples(index=False, name=None))
    return table.assign(
        speedup=[1 / ratios.get(case, math.nan) for case in cases],
        undecided=[case not in decided and case[0] != baseline for case in cases],
        spread=table["impl"].map(spreads).where(few).astype(float),
    )


def speed_sections(rows: list[Row], baseline: str, tuned: set[str]) -> list[Section]:
    """Return the time per step and the speed-up over the baseline, a table per device and dtype."""
    sections = []
    tried = [row for row in rows if row["status"] != "skipped"]
    for (device, dtype), group in groups(tried, "device", "dtype"):
        named_rows = [row for row in group if isinstance(row["impl"], str) and isinstance(row["problem"], str)]
        table = table_by_problem(named_rows, _speed_cell, baseline)
        for row in table:
            row["implementation"] += " (expert-tuned)" * (row["implementation"] in tuned)
        timed = sorted((row for row in named_rows if row["per_step_s"] > 0), key=lambda row: -float(row["per_step_s"]))
        limits = {  # the shortest step of a problem comes last and counts
            row["problem"]: f"{seconds(row['limit_s'])} ({words(row['limited_by'])})"
            for row in timed
            if row["step_reads"] == "X" and row["limited_by"] in RESOURCES
        }
        if limits:
            table.append(dict.fromkeys(table[0], "-") | {"implementation": "the machine's limit"} | limits)
        note = f"In brackets: speed-up over {baseline}. 4x slower: a step takes 4 times as long. ?: undecided."
        if baseline not in {row["impl"] for row in named_rows}:
            note = f"No speed-ups: {baseline} has no case here."
        notes = [note, *([SPREAD_NOTE] if any(row.get("spread", math.nan) >= 0 for row in group) else [])]
        sections.append(Section(f"Time per step: {device}, {dtype}", table=table, notes=notes, level=3))
    return sections


def _speed_cell(row: dict[str, Any]) -> str:
    if row["status"] != "measured":
        return str(row["status"])
    step = step_text(row["per_step_s"], row.get("spread", math.nan))
    if row["step_reads"] != "X":
        return f"{step} ({words(row['step_reads'])})"
    ratio = f" ({speedup(row['speedup'])}{'?' if row['undecided'] else ''})"
    return step + ("" if math.isnan(row["speedup"]) else ratio)
