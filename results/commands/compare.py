"""Compare two implementations in one run per machine, or two runs, case by case."""

import math
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from results.commands import options
from results.commands.options import BASELINE
from results.output import Page, Section, rows_of
from results.page.foreign import compare_foreign, require_own
from results.page.machines import check_one_run_per_machine, compare_machines, verdicts_by_machine
from results.page.phases import break_even_section
from results.stats.noise import noise_section, unchanged
from results.stats.pairing import add_forced_ratios, ratios, trait_notes, without_duplicates
from results.stats.pools import Pools, earlier_runs, pools_from_runs
from results.stats.quiet import is_busy, quiet_lines, withhold
from results.stats.signed_rank import fewest_blocks, hodges_lehmann, interval
from results.stats.verdicts import add_verdicts, caveats, ratio_digits, summarize, verdict_sections
from results.store.columns import CASE
from results.store.reading import Run, RunError, facts, mapping, other_machine, text
from results.store.runs import find, find_all, join, load, nearest

SETTINGS = ["isa", "physical_cores", "quota_cores", "governor", "turbo", "setup_hash"]
GROUPS = {"gpu_facts": "GPU", "env": "environment", "installed": "installed packages"}
LISTED = 12  # differences of a group


def compare_implementations(runs: list[Run], a: str, b: str, force: bool = False) -> Page:
    """Compare implementation B with A in each run. Runs of several machines are judged together, but never pooled.

    `force` also shows the ratios of incomparable cases, without a verdict. Raises RunError for an unknown
    implementation, for two runs of one machine, or if nothing is comparable.
    """
    check_one_run_per_machine(runs)
    known = sorted({name for run in runs for name in run.rows["impl"].dropna()})
    for name in (a, b):
        if name not in known:
            labels = ", ".join(run.label for run in runs)
            raise RunError(f"{labels} has no implementation {name!r}; {nearest(name, known)}")
    tables = []
    traits: dict[str, None] = {}
    for run in runs:
        rows_a, rows_b = (run.rows[run.rows["impl"] == name] for name in (a, b))
        tables.append(_ratios(rows_a, rows_b, CASE[1:], force).assign(run=run.label, machine=run.machine))
        traits |= dict.fromkeys(trait_notes(rows_a, rows_b))
    pools = pools_from_runs(runs[0], earlier_runs(runs[0]), a) if len(runs) == 1 else Pools({}, [])
    table = withhold(add_verdicts(join(tables), pools.by_pair), is_busy(runs))
    title = f"{b} against {a}"
    sections, summaries = [], []
    for run in runs:
        own = table[table["run"] == run.label]
        sections += verdict_sections(own, CASE[1:], f"{run.machine} ({run.label}, {run.date})")
        sections += [break_even_section(run, a, b)]
        place = f" on {run.machine}" if len(runs) > 1 else ""
        summaries += [f"{title}{place}: {summarize(own)}."] if len(own) else []
    if len(runs) > 1:
        table["machines"] = verdicts_by_machine(
            table, {run.machine: run.rows[run.rows["impl"].isin([a, b])] for run in runs}
        )
        counts = table[[*CASE[1:], "machines"]].drop_duplicates(CASE[1:]).sort_values(CASE[1:])
        sections += [Section("On how many machines", table=rows_of(counts), level=3)]
    notes = [*quiet_lines(runs), *traits, *_interruptions(runs)]
    header = Section(title, f"{' '.join(summaries)} A = {a}; B = {b}.", notes=notes)
    sections += [caveats(table, notes=pools.notes), noise_section(runs, _compared(table))]
    return Page(table, [header, *sections])


def compare_runs(a: Run, b: Run, baseline: str = BASELINE, force: bool = False) -> Page:
    """Compare run B with run A over their common cases. On two machines, compare ratios to the baseline of each run.

    `force` also shows the ratios of incomparable cases, without a verdict. Raises RunError if nothing is comparable, or
    if a run on another machine lacks the baseline.
    """
    if a.is_foreign and b.is_foreign:
        return compare_foreign(a, b)
    require_own(a, b)
    title = f"{b.label} against {a.label}"
    text = f"A = {a.label} ({a.machine}, {a.date}); B = {b.label} ({b.machine}, {b.date})."
    notes = [*_differing_facts(a, b), *_edited_code(a, b), *_interruptions([a, b])]
    if reason := other_machine(a, b):
        notes = [reason, *notes]
        text += f" Different machines: each implementation is compared with {baseline} on its own machine."
        return compare_machines((a, b), baseline, force, Section(title, text, notes=notes))
    unjudged = _ratios(without_duplicates(a.rows), without_duplicates(b.rows), CASE, force)
    table = withhold(add_verdicts(unjudged), is_busy([a, b]))
    notes = [*quiet_lines([a, b]), *notes]
    header = Section(title, f"{title}: {summarize(table)}. {text}", notes=[*notes, _drift(unjudged, a, b, baseline)])
    sections = [*verdict_sections(table, CASE), caveats(table), noise_section([a, b], _compared(table))]
    return Page(table, [header, *sections])


def _ratios(a: pd.DataFrame, b: pd.DataFrame, key: list[str], force: bool) -> pd.DataFrame:
    table = ratios(a, b, key)
    return add_forced_ratios(table, a, b, key) if force else table


def _compared(table: pd.DataFrame) -> int:
    return int((table["refused"] == "").sum())


def _interruptions(runs: list[Run]) -> list[str]:
    return [f"{run.label} was interrupted" for run in runs if run.campaign.get("interrupted")]


def _edited_code(a: Run, b: Run) -> list[str]:
    """Return a line with the implementations of both runs whose code differs."""
    codes = [run.rows.dropna(subset=["impl", "code"]).groupby("impl")["code"].first() for run in (a, b)]
    both = pd.concat(codes, axis=1, join="inner", keys=["A", "B"]).reset_index()
    edited = [f"{impl} ({x} in A, {y} in B)" for impl, x, y in both.itertuples(index=False) if x != y and x[0] == y[0]]
    return [f"code that differs: {', '.join(edited)}"] if edited else []


def _differing_facts(a: Run, b: Run) -> list[str]:
    """Return a line for each fact of machine, settings and software that differs, and one for each of GROUPS."""
    infos = [mapping(run.document["machine_info"]) for run in (a, b)]
    known = [
        {"machine": run.machine, "commit": text(run.commit.get("id"))}
        | facts(run)
        | {name: (text(info[name]) or "none") if name in info else "not recorded" for name in SETTINGS}
        for run, info in zip((a, b), infos, strict=True)
    ]
    lines = _differences(known[0], known[1])
    for name, group in GROUPS.items():
        values = [{key: text(value) for key, value in mapping(info.get(name)).items()} for info in infos]
        if (name in infos[0]) != (name in infos[1]):
            lines.append(f"{group}: recorded in only one of the runs")
        elif differences := _differences(values[0], values[1]):
            more = f"; {len(differences) - LISTED} more" if len(differences) > LISTED else ""
            lines.append(f"{group}: {'; '.join(differences[:LISTED])}{more}")
    return lines


def _differences(a: Mapping[str, str], b: Mapping[str, str]) -> list[str]:
    pairs = {name: (a.get(name, "none"), b.get(name, "none")) for name in {**a, **b}}
    return [f"{name}: {left} in A, {right} in B" for name, (left, right) in pairs.items() if left != right]


def _drift(table: pd.DataFrame, a: Run, b: Run, baseline: str) -> str:
    """Return a sentence on the ratios of code that both runs measured in the same version: A/A pairs and the baseline.

    `table` has the `ratios` of the runs.
    """
    drifts = []
    for name in unchanged(a, b):
        compared = table[(table["impl"] == name) & (table["refused"] == "")]
        if len(compared) and name in {*a.rows["duplicate_of"].dropna(), *b.rows["duplicate_of"].dropna(), baseline}:
            logs = pd.concat(list(compared["logs"]), axis=1).median(axis=1).to_numpy()
            low, high = np.exp(interval(logs))
            bounds = f"{ratio_digits(low)} .. {ratio_digits(high)}"
            bounds = bounds if high < math.inf else f"no interval below {fewest_blocks(1)} blocks"
            drifts.append(f"{name}: B/A {ratio_digits(np.exp(hodges_lehmann(logs)))} ({bounds})")
    if not drifts:
        return "Drift unknown: no code is known to be the same in both runs."
    return f"Drift of the machine, by code that is the same in both runs: {', '.join(drifts)}."


def add_commands(commands: options.Commands) -> None:
    command = options.add(
        commands, "compare", _compare, "compare two runs, or two implementations of one run, case by case"
    )
    command.add_argument("a", metavar="A", help="a run or an implementation: B is measured against it")
    command.add_argument("b", metavar="B", help="the other run or implementation")
    command.add_argument(
        "--run", nargs="+", default=[], metavar="RUN", help="runs with A and B, one per machine (default: latest)"
    )
    command.add_argument(
        "--baseline", default=BASELINE, metavar="IMPL", help="between machines, compare ratios to it (%(default)s)"
    )
    command.add_argument("--force", action="store_true", help="also show incomparable cases, apart and unjudged")


def _compare(args: Namespace) -> Page:
    """Compare implementations if --run is given or the latest run has one of the two names, else runs."""
    if args.run or {args.a, args.b} & _latest_implementations(args.runs):
        return compare_implementations(find_all(args.run, args.runs), args.a, args.b, args.force)
    try:
        return compare_runs(find(args.a, args.runs), find(args.b, args.runs), args.baseline, args.force)
    except RunError:
        if {args.a, args.b} & set(load("all", root=args.runs)["impl"].dropna()):
            reason = f"your newest run, if there is one, has neither {args.a} nor {args.b}"
            raise RunError(f"{reason}; name a run: --run RUN (python -m results list)") from None
        raise


def _latest_implementations(root: Path) -> set[str]:
    try:
        return set(find("latest", root).rows["impl"].dropna())
    except RunError:  # no runs here: A and B may still be paths
        return set()
