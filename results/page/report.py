"""The report of runs as sections: a summary of each run, then its tables. The same runs give the same bytes."""

import math
from typing import Any

from results.output import Page, Section, records, seconds, speedup, words
from results.page.errors import worst_errors
from results.page.phases import break_even_sections, phase_sections
from results.page.sections import run_card, untimed_sections
from results.page.summary import summarize_run
from results.stats.agreement import FIRST_LOOK
from results.stats.noise import noise_lines
from results.stats.pairing import SamplesByImpl, ratio_rows, samples_by_impl
from results.stats.signed_rank import ALPHA, UNDECIDED, judge
from results.store.columns import CASE
from results.store.outcomes import Row, by_size, drop_duplicates_of_runs, groups, outcomes_of_runs
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
EXPERT_TUNED = (
    "numba_fused",
    "triton_fused",
    "triton_descent",
)  # tuned by hand beyond what users of the framework write
RESOURCES = ("memory", "cache", "compute")  # limits that a step can reach; it cannot reach the limit of dispatch


def report(runs: list[Run], baseline: str) -> Page:
    """Return all about `runs`, each on its own: machines are never pooled. Raises RunError for an unknown baseline."""
    known = sorted({name for run in runs for name in run.rows["impl"].tolist() if isinstance(name, str)})
    if known and baseline not in known:
        raise RunError(f"no implementation is called {baseline!r}; known: {', '.join(known)}")
    samples = [samples_by_impl(run.rows) for run in runs]
    ratios = ratio_rows(samples, baseline)
    speedups = {(row["at"], *[row[name] for name in CASE]): 1 / row["ratio"] for row in ratios}
    table = outcomes_of_runs(runs)
    keys = zip(*[table[name].tolist() for name in ("at", *CASE)], strict=True)
    table["speedup"] = [speedups.get(key, math.nan) for key in keys]
    decided = _decided(samples, ratios, baseline)
    keys = zip(*[table[name].tolist() for name in ("at", *CASE)], strict=True)
    table["undecided"] = [key not in decided for key in keys]
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
        sections += [run_card(run), *speed_sections(rows, baseline), *phase_sections(rows), *break_even]
        sections += [worst_errors(rows), *untimed_sections(rows)]
    return Page(table.drop(columns=["at", "undecided"]), [*sections, Section("What is timed", notes=CLOCK_NOTES)])


def _decided(samples: list[SamplesByImpl], ratios: list[dict[str, Any]], baseline: str) -> set[tuple[Any, ...]]:
    """Return (index of the run, *case) of the comparisons with the baseline that have a verdict, and the baseline's."""
    duplicates = {(at, impl) for at, names in enumerate(samples) for duplicate_of, impl in names if duplicate_of}
    rows_by_run: dict[int, list[dict[str, Any]]] = {}
    for row in ratios:
        if row["refused"] == "" and (row["at"], row["impl"]) not in duplicates:
            rows_by_run.setdefault(row["at"], []).append(row)
    decided = set()
    for at, rows in rows_by_run.items():
        others = [row for row in rows if row["impl"] != baseline]
        decided |= {(at, *[row[name] for name in CASE]) for row in rows if row["impl"] == baseline}
        if max((row["blocks"] for row in others), default=0) >= FIRST_LOOK:
            verdicts = judge([row["logs"] for row in others], ALPHA / 2, pairs=[row["pair"] for row in others])
            words = zip(others, verdicts, strict=True)
            decided |= {(at, *[row[name] for name in CASE]) for row, one in words if one.word != UNDECIDED}
    return decided


def speed_sections(rows: list[Row], baseline: str) -> list[Section]:
    """Return implementation x problem, a table per device and dtype: time per step and speed-up over the baseline."""
    sections = []
    tried = [row for row in rows if row["status"] != "skipped"]
    for (device, dtype), group in groups(tried, "device", "dtype"):
        cells: dict[tuple[str, str], str] = {}
        for row in group:
            cells.setdefault((row["impl"], row["problem"]), _speed_cell(row))
        named = [row for row in group if isinstance(row["impl"], str) and isinstance(row["problem"], str)]
        problems = dict.fromkeys(row["problem"] for row in sorted(named, key=by_size))
        impls = sorted({row["impl"] for row in named}, key=lambda impl: (impl != baseline, impl))
        table = [
            {"implementation": f"{impl} (expert-tuned)" if impl in EXPERT_TUNED else impl}
            | {problem: cells.get((impl, problem), "-") for problem in problems}
            for impl in impls
        ]
        limits = {
            row["problem"]: f"{seconds(row['limit_s'])} ({words(row['limited_by'])})"
            for row in named
            if row["step_reads"] == "X" and row["limited_by"] in RESOURCES
        }
        if limits:
            texts = {problem: limits.get(problem, "-") for problem in problems}
            table.append({"implementation": "the machine's limit"} | texts)
        note = f"In brackets: speed-up over {baseline}. 4x slower: a step takes 4 times as long. ?: undecided."
        if baseline not in impls:
            note = f"No speed-ups: {baseline} has no case here."
        sections.append(Section(f"Time per step: {device}, {dtype}", table=table, notes=[note], level=3))
    return sections


def _speed_cell(row: dict[str, Any]) -> str:
    if row["status"] != "measured":
        return str(row["status"])
    if row["step_reads"] != "X":
        return f"{seconds(row['per_step_s'])} ({words(row['step_reads'])})"
    if math.isnan(row["speedup"]):
        return seconds(row["per_step_s"])
    return f"{seconds(row['per_step_s'])} ({speedup(row['speedup'])}{'?' if row['undecided'] else ''})"
