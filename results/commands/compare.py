"""Two implementations in one run or on several machines, or two runs: the pages, case by case."""

import math
from argparse import Namespace
from pathlib import Path

import numpy as np
import pandas as pd

from results.commands import options
from results.output import Page, Section, rows_of
from results.page.machines import check_one_run_per_machine, compare_machines, verdicts_by_machine
from results.page.phases import break_even_section
from results.stats.noise import noise_section
from results.stats.pairing import add_forced_ratios, ratios, without_duplicates
from results.stats.signed_rank import fewest_blocks, hodges_lehmann, interval
from results.stats.verdicts import add_verdicts, caveats, ratio_digits, summarize, verdict_sections
from results.store.columns import CASE
from results.store.reading import Run, RunError, facts, mapping, text
from results.store.runs import find, find_all, join, nearest

BASELINE = "numpy_manual"
SETTING = ["isa", "physical_cores", "quota_cores", "governor", "turbo", "setup_hash"]
GROUPS = {"gpu_facts": "GPU", "env": "environment", "installed": "installed packages"}
SHOWN = 12  # differences of a group that are named


def compare_implementations(runs: list[Run], a: str, b: str, force: bool = False) -> Page:
    """Implementation B against A in each run, a run per machine, never pooled, judged together.

    With `force`, what is refused is shown too, and not judged. Raises RunError if no run knows one of the two, if two
    runs are of one machine or if nothing can be compared.
    """
    check_one_run_per_machine(runs)
    known = sorted({name for run in runs for name in run.rows["impl"].dropna()})
    for name in (a, b):
        if name not in known:
            labels = ", ".join(run.label for run in runs)
            raise RunError(f"{labels} has no implementation {name!r}; {nearest(name, known)}")
    parts = []
    for run in runs:
        left, right = (run.rows[run.rows["impl"] == name] for name in (a, b))
        parts.append(_ratios(left, right, CASE[1:], force).assign(run=run.label, machine=run.machine))
    found = add_verdicts(join(parts))
    sections = []
    for run in runs:
        sections += verdict_sections(
            found[found["run"] == run.label], CASE[1:], f"{run.machine} ({run.label}, {run.date})"
        )
        sections += [break_even_section(run, a, b)]
    if len(runs) > 1:
        found["machines"] = verdicts_by_machine(
            found, {run.machine: run.rows[run.rows["impl"].isin([a, b])] for run in runs}
        )
        counts = found[[*CASE[1:], "machines"]].drop_duplicates(CASE[1:]).sort_values(CASE[1:])
        sections += [Section("On how many machines", table=rows_of(counts), level=3)]
    said = f"{_each_machine(found, f'{b} against {a}')} A = {a}; B = {b}."
    header = Section(f"{b} against {a}", said, notes=_interrupted(runs))
    return Page(found, [header, *sections, caveats(found), noise_section(runs)])


def compare_runs(a: Run, b: Run, baseline: str = BASELINE, force: bool = False) -> Page:
    """Run B against run A, over the cases that both have; of two machines, each over the baseline on its own.

    With `force`, what is refused is shown too, and not judged. Raises RunError if nothing can be compared, or two
    machines have no such baseline.
    """
    said = f"A = {a.label} ({a.machine}, {a.date}); B = {b.label} ({b.machine}, {b.date})."
    notes = [*_facts_apart(a, b), *_interrupted([a, b])]
    title = f"{b.label} against {a.label}"
    if a.machine != b.machine:
        said += f" Different machines: each implementation is held against {baseline} on its own machine."
        return compare_machines((a, b), baseline, force, Section(title, said, notes=notes))
    found = _ratios(without_duplicates(a.rows), without_duplicates(b.rows), CASE, force)
    notes += _drift(found, a, b, baseline)
    table = add_verdicts(found)
    header = Section(title, f"{title}: {summarize(table)}. {said}", notes=notes)
    return Page(table, [header, *verdict_sections(table, CASE), caveats(table), noise_section([a, b])])


def _ratios(a: pd.DataFrame, b: pd.DataFrame, key: list[str], force: bool) -> pd.DataFrame:
    found = ratios(a, b, key)
    return add_forced_ratios(found, a, b, key) if force else found


def _each_machine(found: pd.DataFrame, title: str) -> str:
    """A sentence with the verdicts of each machine."""
    machines = {str(machine): summarize(rows) for machine, rows in found.groupby("machine", sort=False)}
    where = {machine: f" on {machine}" if len(machines) > 1 else "" for machine in machines}
    return " ".join(f"{title}{where[machine]}: {said}." for machine, said in machines.items())


def _interrupted(runs: list[Run]) -> list[str]:
    return [f"{run.label} was interrupted" for run in runs if run.campaign.get("interrupted")]


def _facts_apart(a: Run, b: Run) -> list[str]:
    """What the two runs say differently of the machine, its setting and the software: a line each, or each GROUP."""
    infos = [mapping(run.document["machine_info"]) for run in (a, b)]
    told = [{"machine": run.machine, "commit": text(run.commit.get("id"))} | facts(run) for run in (a, b)]
    for side, info in zip(told, infos, strict=True):
        side |= {name: (text(info[name]) or "none") if name in info else "not recorded" for name in SETTING}
    said = _lines(told[0], told[1])
    for name, group in GROUPS.items():
        left, right = ({held: text(value) for held, value in mapping(info.get(name)).items()} for info in infos)
        if (name in infos[0]) != (name in infos[1]):
            said.append(f"{group}: recorded in one of the two only")
        elif lines := _lines(left, right):
            more = f"; {len(lines) - SHOWN} more" if len(lines) > SHOWN else ""
            said.append(f"{group}: {'; '.join(lines[:SHOWN])}{more}")
    return said


def _lines(left: dict[str, str], right: dict[str, str]) -> list[str]:
    pairs = {name: (left.get(name, "none"), right.get(name, "none")) for name in left | right}
    return [f"{name}: {pair[0]} in A, {pair[1]} in B" for name, pair in pairs.items() if pair[0] != pair[1]]


def _drift(found: pd.DataFrame, a: Run, b: Run, baseline: str) -> list[str]:
    """What became between the runs of the same code: of what ran twice, and of the baseline, in the same version."""
    said = []
    for name in sorted({*a.rows["duplicate_of"].dropna(), *b.rows["duplicate_of"].dropna(), baseline}):
        same = found[(found["impl"] == name) & (found["refused"] == "")]
        left, right = (set(run.rows.loc[run.rows["impl"] == name, "version"].dropna()) for run in (a, b))
        if len(same) and left == right != set():
            logs = pd.concat(list(same["logs"]), axis=1).median(axis=1).to_numpy()
            low, high = np.exp(interval(logs))
            bounds = (
                f"{ratio_digits(low)} .. {ratio_digits(high)}"
                if high < math.inf
                else f"no interval below {fewest_blocks(1)} blocks"
            )
            said.append(
                f"{name}, the same code at both times: B/A {ratio_digits(np.exp(hodges_lehmann(logs)))} ({bounds})"
            )
    if not said:
        return ["Nothing is known to be the same code at both times: what the machine itself did is unknown."]
    return [f"{', '.join(said)}. A difference between runs made at different times may be the machine's."]


def add_commands(commands: options.Commands) -> None:
    """Add `compare` to the command line."""
    command = options.add(
        commands, "compare", _compare, "compare two runs, or two implementations of one run, case by case"
    )
    command.add_argument("a", metavar="A", help="a run or an implementation: B is measured against it")
    command.add_argument("b", metavar="B", help="the other run or implementation")
    command.add_argument(
        "--run", nargs="+", default=[], metavar="RUN", help="runs that hold A and B, one per machine (default: latest)"
    )
    command.add_argument(
        "--baseline", default=BASELINE, metavar="IMPL", help="between machines, ratios are over it (%(default)s)"
    )
    command.add_argument("--force", action="store_true", help="also show incomparable cases, apart and unjudged")


def _compare(given: Namespace) -> Page:
    """Compare implementations if a run is given or the latest knows one of the two names, else runs."""
    a, b, root = given.a, given.b, given.runs
    if given.run or {a, b} & _latest_implementations(root):
        return compare_implementations(find_all(given.run, root), a, b, given.force)
    return compare_runs(find(a, root), find(b, root), given.baseline, given.force)


def _latest_implementations(root: Path) -> set[str]:
    try:
        return set(find("latest", root).rows["impl"].dropna())
    except RunError:  # no runs here: A and B may still be paths
        return set()
