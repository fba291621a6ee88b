"""Compare two implementations in one run per machine, or two runs, case by case."""

import math
import re
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import combinations, product
from pathlib import Path

import numpy as np
import pandas as pd

from results import options
from results.options import BASELINE
from results.output import Page, Section, counted, records, rows_of, seconds, words
from results.page.crossover import JOB_TITLE
from results.page.machines import check_one_run_per_machine, compare_machines, other_kernels, verdicts_by_machine
from results.page.phases import break_even_of, break_even_section
from results.stats.noise import edited_code, noise_section, shifts_of_unchanged, unchanged, withhold_within_drift
from results.stats.pairing import (
    AXES,
    AXIS_VALUES,
    Selection,
    add_forced_ratios,
    partner_notes,
    ratios,
    sides_along,
    trait_notes,
    without_duplicates,
)
from results.stats.pools import Pools, earlier_runs, pools_from_runs, with_spreads
from results.stats.prediction import as_jobs, start_seconds
from results.stats.quiet_or_busy import judge_machine, judge_while_quiet, kernel_notes, machine_lines, withhold_if_busy
from results.stats.signed_rank import ALPHA, fewest_blocks, hodges_lehmann, interval
from results.stats.verdict_tables import (
    ERROR_COLUMNS,
    add_verdicts,
    caveats,
    error_text,
    ratio_digits,
    summarize,
    verdict_sections,
)
from results.stats.verdicts import FASTER, SLOWER
from results.store.columns import CASE
from results.store.reading import NOT_CHECKED, Run, RunError, facts, mapping, other_machine, require_own, text
from results.store.runs import (
    LIST_COMMAND,
    files,
    find,
    find_all,
    find_paths,
    first_names,
    is_of_project,
    join,
    nearest,
    read_all,
)

SETTINGS = ["isa", "physical_cores", "quota_cores", "governor", "turbo", "setup_hash"]
GROUPS = {"gpu_facts": "GPU", "env": "environment", "installed": "installed packages"}
STEP, JOB = "step", "job"  # what is compared
ENVIRONMENT = "environment"  # the axis of --with and --python, within one run
SETTING_OPTIONS = {
    "threads": "--threads 1,2",
    "precision": "--precision highest,tf32 --dtype float32 --device gpu",
    ENVIRONMENT: "--with jax==0.9.0 --with jax==0.10.2",
}  # axes with named sides, `jax_scan@threads=1`: the options that measure two values
REVISIONS = "revision"  # the axis of `--impl path.py@REV,path.py`, within one run
MACHINE = "machine"  # the axis of two runs of two machines
REVISION = re.compile(r"^(?P<base>.+?)(?:@(?P<commit>[0-9a-f]{4,40}))?$")
WORKING_TREE = "working tree"
TWO_NAMES = "compare needs two implementations of a run, or two runs: compare A B"
LISTED_DIFFERENCES = 12  # of a group


def compare_implementations(runs: list[Run], a: str, b: str, force: bool = False) -> Page:
    """Compare implementation B with A in each run. Runs of several machines are judged together, but never pooled.

    `force` also shows the ratios of incomparable cases, without a verdict. Raises RunError for an unknown
    implementation, for two runs of one machine, or if nothing is comparable.
    """
    check_one_run_per_machine(runs)
    impls = sorted(_implementations(*runs))
    for name in (a, b):
        if name not in impls:
            labels = ", ".join(run.label for run in runs)
            raise RunError(f"{labels} has no implementation {name!r}; {nearest(name, impls)}")
    traits = dict.fromkeys(note for run in runs for note in trait_notes(*_rows_of(run, a, b)))
    pools = pools_from_runs(runs[0], earlier_runs(runs[0]), a) if len(runs) == 1 else Pools({}, [], [])

    def judge(*judged_runs: Run) -> pd.DataFrame:
        tables = [
            _ratios(*_rows_of(run, a, b), CASE[1:], force).assign(run=run.label, machine=run.machine)
            for run in judged_runs
        ]
        return add_verdicts(join(tables), pools.by_pair, finished=judged_runs[-1] is runs[-1])

    table = judge_while_quiet(runs[0], judge, CASE[1:]) if len(runs) == 1 else withhold_if_busy(judge(*runs), runs)
    title = f"{b} against {a}"
    sections, summaries = [], []
    for run in runs:
        judged = with_spreads(table[table["run"] == run.label], run, a, b)
        sections += verdict_sections(judged, CASE[1:], f"{run.machine} ({run.label}, {run.date})")
        sections += [break_even_section(run, a, b)]
        place = f" on {run.machine}" if len(runs) > 1 else ""
        summaries += [f"{title}{place}: {summarize(judged)}."] if len(judged) else []
    if len(runs) > 1:
        rows = {run.machine: run.rows[run.rows["impl"].isin([a, b])] for run in runs}
        table["machines"] = verdicts_by_machine(table, rows)
        counts = table[[*CASE[1:], "machines"]].drop_duplicates(CASE[1:]).sort_values(CASE[1:])
        sections += [Section("On how many machines", table=rows_of(counts), level=3)]
    partners = partner_notes(runs[0], *_rows_of(runs[0], a, b))
    notes = [*kernel_notes(*runs), *traits, *partners, *_interruptions(runs)]
    text = " ".join([*summaries, f"A = {a}; B = {b}."])
    header = Section(title, text, notes=notes, machine=_machines(runs))
    sections += [caveats(table, notes=pools.notes), noise_section(runs, _compared(table))]
    return Page(table, [header, *sections])


def _machines(runs: list[Run]) -> str:
    return judge_machine(runs[0]).line_early if len(runs) == 1 else machine_lines(*runs)


def _rows_of(run: Run, a: str, b: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    return run.rows[run.rows["impl"] == a], run.rows[run.rows["impl"] == b]


def compare_runs(
    a: Run, b: Run, baseline: str = BASELINE, force: bool = False, over: str = "", alpha: float = ALPHA
) -> Page:
    """Compare run B with run A over their common cases. On two machines, compare ratios to the baseline of each run.

    over: the axis of `pairing.AXES` along which the runs may differ. `force` also shows the ratios of incomparable
    cases, without a verdict. alpha: probability of any false FASTER or SLOWER. If unchanged code shows the drift
    between the runs, half of alpha is for the drift, and verdicts within it are withheld.
    Raises RunError if nothing is comparable, or if a run on another machine has no baseline.
    """
    if a.is_foreign and b.is_foreign:
        return compare_foreign(a, b)
    require_own(a, b)
    title = f"{b.label} against {a.label}"
    text = f"A = {a.label} ({a.machine}, {a.date}); B = {b.label} ({b.machine}, {b.date})."
    notes = [*_differing_facts(a, b), *edited_code(a, b), *_interruptions([a, b])]
    if reason := other_machine(a, b):
        if over not in ("", MACHINE):
            raise RunError(f"--over {over} compares runs of one machine; {reason}")
        notes = [reason, *notes]
        text += f" Different machines: each implementation is compared with {baseline} on its own machine."
        return compare_machines((a, b), baseline, force, Section(title, text, notes=notes), alpha)
    if over == MACHINE:
        raise RunError(f"--over machine: both runs are of {a.machine}; compare them without --over")
    if over:
        values = [", ".join(sorted({words(value) for value in run.rows[over].dropna()})) for run in (a, b)]
        if values[0] == values[1]:
            raise RunError(f"--over {over}: {values[0] or 'unknown'} in both runs")
        text += f" Over {over}: {values[0]} in A, {values[1]} in B."
    unjudged = _ratios(without_duplicates(a.rows), without_duplicates(b.rows), CASE, force, over)
    shifts = shifts_of_unchanged(a, b)
    judged = withhold_if_busy(add_verdicts(unjudged, alpha=alpha / 2 if shifts else alpha), [a, b])
    table = withhold_within_drift(judged, shifts)
    notes = [*kernel_notes(a, b), *notes, _drift(unjudged, a, b, baseline)]
    header = Section(title, f"{title}: {summarize(table)}. {text}", notes=notes, machine=machine_lines(a, b))
    is_drift_known = all(shifts.keys() - {impl} for impl in table["impl"])
    advice = "Nothing shows that the machine was as fast in both runs: a verdict may be drift. Measure both in one run."
    drift = [] if is_drift_known else [advice]
    sections = [*verdict_sections(table, CASE), caveats(table, notes=drift), noise_section([a, b], _compared(table))]
    return Page(table, [header, *sections])


def compare_along(run: Run, a: str, b: str, over: str = "", job_steps: int = 0) -> Page:
    """Compare two sides of one run along its device or dtype: `jax_scan@cpu` and `jax_scan@gpu`, or names and `over`.

    Everything else must be equal. job_steps: also compare jobs of that many steps in fresh processes; 0 for none.
    Raises RunError if the sides differ along two axes, or do not exist.
    """
    sides = sides_along(a, b, over)
    axis, (a, b) = sides[0].axis, map(str, sides)
    rows = [side.rows(run) for side in sides]
    key = [name for name in CASE[1:] if name != axis]

    def judge(judged_run: Run) -> pd.DataFrame:
        steps = [side.rows(judged_run) for side in sides]
        tables = [ratios(steps[0], steps[1], key, over=axis).assign(of=STEP)]
        if job_steps:
            jobs = [as_jobs(side, job_steps, judged_run.all_rows) for side in steps]
            tables += [ratios(jobs[0], jobs[1], key, over=axis).assign(of=JOB)]
        return add_verdicts(join(tables), finished=judged_run is run)

    table = judge_while_quiet(run, judge, [*key, "of"])
    title = f"{b} against {a}" + f", over {axis}" * (sides[0].value != sides[1].value)
    for name, side in zip(ERROR_COLUMNS, rows, strict=True):
        table = table.join(side.groupby(key)["error"].max().rename(name), on=key)
        table[name] = table[name].where(table["of"] == STEP)
    steps, jobs = table[table["of"] == STEP], table[table["of"] == JOB].drop(columns=[*ERROR_COLUMNS])
    notes = kernel_notes(run)
    notes += [] if sides[0].impl == sides[1].impl else [*trait_notes(*rows), *partner_notes(run, *rows)]
    text = f"{title}: {summarize(steps)}. A = {a}; B = {b}."
    if job_steps:
        text += f" A job of {job_steps:,} steps in a fresh process: {summarize(jobs)}."
    sections = [
        Section(title, text, notes=notes, machine=judge_machine(run).line_early),
        *verdict_sections(steps, key),
        *(verdict_sections(jobs, key, JOB_TITLE.format(job_steps), JOB) if job_steps else []),
        caveats(table),
        noise_section([run], _compared(table)),
    ]
    return Page(table, sections)


def values_of(run: Run, over: str) -> list[str]:
    """Return the labels of a run's environments in order; over "threads" or "precision", only those that set it."""
    environments = mapping(run.campaign.get("environments"))
    return [label for label, facts in environments.items() if over == ENVIRONMENT or over in mapping(facts)]


def compare_environments(run: Run, impl: str = "", over: str = ENVIRONMENT) -> Page:
    """Compare the environments of a run (--with, --python), each with the first and with the previous one.

    impl: the only implementation to show; "" for all. over: "threads" or "precision" for those that set it. Raises
    RunError if none ran in two environments.
    """
    order = values_of(run, over)

    def versions(judged_run: Run) -> pd.DataFrame:
        rows = without_duplicates(judged_run.rows)
        rows = rows[rows["environment"].isin(order)]
        ends = zip(rows["impl"].fillna(""), rows["environment"], strict=True)
        return rows.assign(base=[impl.removesuffix(f"@{label}") for impl, label in ends])

    example_impl = impl if impl and over != ENVIRONMENT else "jax_scan"  # SETTING_OPTIONS installs JAX
    remedy = f"pytest benchmarks --impl {example_impl} {SETTING_OPTIONS[over]}"
    return _compare_versions(run, versions, order, "environments", remedy, impl)


def compare_revisions(run: Run, impl: str = "") -> Page:
    """Compare the git revisions of the files of a run (`--impl path.py@REV,path.py`), as `compare_environments` does.

    The file as it was in the working tree comes last. Raises RunError if no implementation ran in two revisions.
    """

    def versions(judged_run: Run) -> pd.DataFrame:
        rows = without_duplicates(judged_run.rows)
        rows = rows[rows["environment"].isna()]
        names = rows["impl"].astype(str).str.extract(REVISION)
        rows = rows.assign(base=names["base"], environment=names["commit"].fillna(WORKING_TREE))
        return rows.dropna(subset="base")

    order = [name for name in dict.fromkeys(versions(run)["environment"]) if name != WORKING_TREE]
    remedy = "pytest benchmarks --impl path.py@main,path.py"
    return _compare_versions(run, versions, [*order, WORKING_TREE], "revisions", remedy, impl)


def _compare_versions(
    run: Run, versions: Callable[[Run], pd.DataFrame], order: list[str], axis: str, remedy: str, impl: str
) -> Page:
    """Compare the versions of each implementation of a run, or of `impl` alone, over `environment` in order.

    versions: the rows of a run, with its implementation in `base` and its version in `environment`.
    """
    rows = versions(run)
    bases = sorted(str(base) for base, group in rows.groupby("base")["environment"] if group.nunique() > 1)
    if impl and impl not in bases:
        reason = f"{impl!r} is no run, and {run.label} has no such implementation in two {axis}"
        raise RunError(f"{reason}; {nearest(impl, bases) if bases else f'measure them: {remedy}'}")

    def judge(judged_run: Run) -> pd.DataFrame:
        tables = []
        for base, group in versions(judged_run).groupby("base"):
            samples = {name: group[group["environment"] == name] for name in order if name in set(group["environment"])}
            names = list(samples) if base == impl or not impl else []
            for position, name in enumerate(names[1:], 1):
                for reference in dict.fromkeys([names[0], names[position - 1]]):
                    table = ratios(samples[reference], samples[name], CASE[1:])
                    tables.append(table.assign(impl=base, environment=name, against=reference))
        if not tables:
            raise RunError(f"{run.label} has no implementation in two {axis}; measure them: {remedy}")
        return add_verdicts(join(tables), finished=judged_run is run)

    table = judge_while_quiet(run, judge, [*CASE, "environment", "against"])
    worst = rows.groupby(["base", *CASE[1:], "environment"], dropna=False)["error"].max()
    table = table.join(worst.rename_axis(index={"base": "impl"}), on=[*CASE, "environment"])
    sections = [_version_section(str(impl), impl_rows, axis) for impl, impl_rows in table.groupby("impl", sort=False)]
    title, machine = f"{axis.capitalize()}: {', '.join(order)}", judge_machine(run).line_early
    return Page(table, [Section(title, notes=kernel_notes(run), machine=machine), *sections, caveats(table)])


def _version_section(impl: str, table: pd.DataFrame, axis: str) -> Section:
    """Return the ratios of an implementation's versions to the previous and to the first version, by problem."""
    first = table["against"].iloc[0]
    rows = []
    for case, group in table.groupby([*CASE[1:], "environment"], sort=False):
        error = group["error"].iloc[0]
        cells = {row["against"]: f"{ratio_digits(row['ratio'])} {words(row['verdict'])}" for row in records(group)}
        of_first = cells.pop(first, "-")
        rows.append(
            dict(zip([*CASE[1:], axis.removesuffix("s")], map(words, case), strict=True))
            | {"per step": seconds(group["b_s"].iloc[0]), "over the one before": next(iter(cells.values()), of_first)}
            | {f"over {first}": of_first}
            | ({"largest error": error_text(error)} if str(case[-1]).startswith("precision=") else {})
        )
    rows.sort(key=lambda row: [row[name] for name in CASE[1:]])
    return Section(impl, _changes(impl, table), rows, level=3)


def _changes(impl: str, table: pd.DataFrame) -> str:
    """Return a sentence on the first slower and the first faster version of an implementation, with their problems."""
    first, clauses = table["against"].iloc[0], []
    for word, name in ((SLOWER, "slower"), (FASTER, "faster")):
        shown = records(table[(table["against"] == first) & (table["verdict"] == word)])
        changed = shown[0]["environment"] if shown else ""
        cases = [
            f"{row['problem']} {ratio_digits(1 / row['ratio'] if word == FASTER else row['ratio'])}x"
            for row in shown
            if row["environment"] == changed
        ]
        clauses.append(f"first {name} in {changed} ({', '.join(cases)})" if shown else f"in none shown {name}")
    return f"{impl} against {first}: {'; '.join(clauses)}."


def compare_foreign(a: Run, b: Run) -> Page:
    """Return a table of the names that both files have, with their median rounds. There is no verdict.

    Raises RunError if they have no name in common.
    """
    medians = [run.rows.groupby("name", sort=False)["median_s"].median() for run in (a, b)]
    table = pd.DataFrame({"a_s": medians[0], "b_s": medians[1]}).dropna().rename_axis("name").reset_index()
    if table.empty:
        raise RunError(f"{a.label} and {b.label} have no name in common")
    table["ratio"] = table["b_s"] / table["a_s"]
    titled = table.rename(columns={"a_s": "A", "b_s": "B", "ratio": "B/A"})
    cells = rows_of(titled, {"A": seconds, "B": seconds, "B/A": ratio_digits})
    text = f"{NOT_CHECKED} Medians of one process each, without a verdict. A = {a.label}; B = {b.label}."
    return Page(table, [Section(f"{b.label} against {a.label}", text, cells)])


def _ratios(a: pd.DataFrame, b: pd.DataFrame, key: list[str], force: bool, over: str = "") -> pd.DataFrame:
    table = ratios(a, b, key, over=over)
    return add_forced_ratios(table, a, b, key) if force else table


def _compared(table: pd.DataFrame) -> int:
    return int((table["refused"] == "").sum())


def _interruptions(runs: list[Run]) -> list[str]:
    return [f"{run.label} was interrupted" for run in runs if run.campaign.get("interrupted")]


def _differing_facts(a: Run, b: Run) -> list[str]:
    """Return a line for each fact of machine, settings and software that differs, and one for each of GROUPS."""
    infos = [mapping(run.document["machine_info"]) for run in (a, b)]
    run_facts = [
        {"machine": run.machine, "commit": text(run.commit.get("id"))}
        | facts(run)
        | {name: (text(info[name]) or "none") if name in info else "not recorded" for name in SETTINGS}
        for run, info in zip((a, b), infos, strict=True)
    ]
    lines = _differences(run_facts[0], run_facts[1])
    for name, group in GROUPS.items():
        values = [{key: text(value) for key, value in mapping(info.get(name)).items()} for info in infos]
        if (name in infos[0]) != (name in infos[1]):
            lines.append(f"{group}: recorded in only one of the runs")
        elif differences := _differences(values[0], values[1]):
            more = f"; {len(differences) - LISTED_DIFFERENCES} more" if len(differences) > LISTED_DIFFERENCES else ""
            lines.append(f"{group}: {'; '.join(differences[:LISTED_DIFFERENCES])}{more}")
    return lines


def _differences(a: Mapping[str, str], b: Mapping[str, str]) -> list[str]:
    pairs = {name: (a.get(name, "none"), b.get(name, "none")) for name in {**a, **b}}
    return [f"{name}: {left} in A, {right} in B" for name, (left, right) in pairs.items() if left != right]


def _drift(table: pd.DataFrame, a: Run, b: Run, baseline: str) -> str:
    """Return a sentence on the ratios of code that is the same in both runs: A/A pairs and the baseline.

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


def payback(runs: list[Run], a: str, b: str) -> Page:
    """Return a sentence and a table per run: the steps from which B, with its start-up, finishes before A.

    Raises RunError if nothing is comparable.
    """
    page, sections, texts = compare_implementations(runs, a, b), [], []
    for run in runs:
        rows_a, rows_b = (run.all_rows[run.all_rows["impl"] == name] for name in (a, b))
        starts = list[str]()
        for device in sorted(set(run.rows["device"].dropna())):
            start_a, start_b = (start_seconds(rows[rows["device"] == device]) for rows in (rows_a, rows_b))
            if a in start_a and b in start_b:
                starts += [f"on the {device} {a} {seconds(start_a[a])}, {b} {seconds(start_b[b])}"]
        verdicts = page.data[page.data["run"] == run.label]
        even = break_even_of(run, a, b).merge(verdicts[[*CASE[1:], "verdict"]], how="left", on=CASE[1:])
        medians = "By the medians of a busy machine, " if judge_machine(run).named else ""
        texts.append(f"{medians}{_payback_words(even, a, b)} Per step, {b} is {summarize(verdicts)}.")
        if starts:
            texts.append(f"Start (import, first use of a gpu, preparation and first compilation): {'; '.join(starts)}.")
        section = break_even_section(run, a, b)
        sections.append(replace(section, title=f"{section.title}: {run.label}"))
    head = Section(f"{b} instead of {a}", " ".join(texts), notes=page.sections[0].notes, machine=_machines(runs))
    return Page(page.data, [head, *sections])


def _payback_words(table: pd.DataFrame, a: str, b: str) -> str:
    """Return the number of problems on which B pays at once, only at first, after some steps, and never.

    table: of `break_even`, with the `verdict` on B. Problems without a verdict are not decided.
    """
    decided = table[table["verdict"].isin([FASTER, SLOWER]) & table["runs"].notna()]
    steps = decided["steps"] / decided["runs"]  # of a run
    ahead, forever = decided["runs"] == 1, np.isinf(decided["until"])
    values_by_template = {
        "at once": decided["runs"][ahead & forever],
        "for the first {} steps": (decided["until"] * steps)[ahead & ~forever],
        "after {} steps": decided["steps"][~ahead & np.isfinite(decided["runs"])],
        "never": decided["runs"][np.isinf(decided["runs"])],
    }
    if len(values_by_template["never"]) == len(table) > 0:
        return f"{b} instead of {a} never pays: {counted(len(table), 'problem')}."
    phrases = []
    for template, values in values_by_template.items():
        if len(values):
            ends = dict.fromkeys(f"{end:,.0f}" for end in (values.min(), values.max()))
            phrases.append(f"{template.format(' to '.join(ends))} on {len(values)}")
    undecided = len(table) - len(decided)
    phrases += [f"and it is not decided on {undecided}"] if undecided else []
    problems = ", ".join(phrases) or "nowhere that is known"
    return f"{b} instead of {a} pays {problems} of {counted(len(table), 'problem')}."


def on_machines(runs: list[Run], a: str, b: str) -> Page:
    """Compare the ratio B/A between every two machines: the ratio on each, and the quotient of the two.

    The pair of runs with the most common problems of A and B counts, then with the most blocks. A note names machines
    that cannot be compared. Raises RunError if no two can be compared.
    """
    by_machine: dict[str, list[Run]] = {}
    for run in runs:
        if _problems(run, a, b):
            by_machine.setdefault(run.machine, []).append(run)
    if len(by_machine) < 2:
        machines = ", ".join(by_machine) or "none"
        raise RunError(f"it takes two machines that have both {a} and {b}; here: {machines} (python -m results list)")
    pages, refused = list[Page](), list[str]()
    alpha = ALPHA / math.comb(len(by_machine), 2)  # all pages together
    for first_runs, other_runs in combinations(by_machine.values(), 2):
        pair = max(product(first_runs, other_runs), key=lambda pair: _amount_in_common(pair[0], pair[1], a, b))
        command = f"each alone: python -m results compare {a} {b} --run {pair[0].label} {pair[1].label}"
        if reason := other_kernels(pair, a) or other_kernels(pair, b):
            refused.append(f"{reason}; {command}")
            continue
        reduced = [replace(run, rows=run.rows[run.rows["impl"].isin([a, b])], unfiltered=run.all_rows) for run in pair]
        try:
            pages.append(compare_runs(reduced[0], reduced[1], a, alpha=alpha))
        except RunError as error:
            refused.append(f"{error}; {command}")
    if not pages:
        raise RunError(refused[0])
    notes = [Section("Not compared", notes=refused, level=3)] if refused else []
    return Page(join([page.data for page in pages]), [*(part for page in pages for part in page.sections), *notes])


def _amount_in_common(first: Run, second: Run, a: str, b: str) -> tuple[int, int]:
    """Return the number of problems with A and B in both runs, and the number of their blocks, summed over cases."""
    problems = _problems(first, a, b) & _problems(second, a, b)
    blocks = 0
    for run in (first, second):
        rows = run.rows[run.rows["problem"].isin(problems)]
        places = [set(rows.loc[rows["impl"] == name, [*CASE[1:], "block"]].itertuples(index=False)) for name in (a, b)]
        blocks += len(places[0] & places[1])
    return len(problems), blocks


def _problems(run: Run, a: str, b: str) -> set[str]:
    """Return the problems that both implementations have."""
    return set.intersection(*(set(run.rows.loc[run.rows["impl"] == name, "problem"].dropna()) for name in (a, b)))


def add_commands(commands: options.Commands) -> None:
    summary = "compare two runs, or two implementations of one run, case by case"
    command = options.add(commands, "compare", _compare, summary)
    add = command.add_argument
    add("a", nargs="?", metavar="A", help="a run, or an implementation, also of one device or dtype: jax_scan@gpu")
    add("b", nargs="?", metavar="B", help="the other run or implementation")
    add("--run", nargs="+", default=[], metavar="RUN", help="runs with A and B, one per machine (default: latest)")
    add(
        "--baseline",
        default=BASELINE,
        metavar="IMPL",
        help="between machines, compare the ratios to it (default: %(default)s)",
    )
    add(
        "--over",
        choices=[*AXES, ENVIRONMENT, REVISIONS, MACHINE],
        default="",
        help="what may differ between two runs; in one run: environment (--with, --python), revision (--impl"
        " path.py@REV,path.py), threads (--threads 1,2) or precision (--precision highest,tf32) of A or of all, or"
        " device or dtype: A on cpu or float32, B (default: A) on the other",
    )
    options.add_job_steps(command)
    add("--force", action="store_true", help="also list the cases that are not comparable, without verdicts")
    options.add_filters(command, CASE[1:])
    for name, make, summary in (
        ("payback", payback, "break-even: from how many steps on B, with import and compilation, is done before A"),
        ("machines", on_machines, "on which machine is B faster relative to A: compare the ratio B/A between machines"),
    ):
        command = options.add(commands, name, partial(_of_two, make), summary)
        command.add_argument("a", metavar="A", help="an implementation")
        command.add_argument("b", metavar="B", help="another implementation")
        default = "all" if make is on_machines else "latest"
        help_text = f"runs, one per machine (default: {default})"
        command.add_argument("--run", nargs="+", default=[default], metavar="RUN", help=help_text)
        options.add_filters(command, CASE[1:])


def _of_two(make: Callable[[list[Run], str, str], Page], args: Namespace) -> Page:
    options.check_two_names(args.a, args.b)
    if args.run == ["latest"]:
        check_latest([Selection(name, "", "") for name in (args.a, args.b)], args.runs)
    named_runs = find_all(args.run, args.runs)
    if not (runs := [run for run in named_runs if not run.is_foreign]):
        require_own(*named_runs)
    return make([options.selected(run, args) for run in runs], args.a, args.b)


def _compare(args: Namespace) -> Page:
    """Compare implementations if --run is given or A and B are no runs, else runs.

    Raises RunError without two names; its message has the known names.
    """

    def selected_runs() -> list[Run]:
        return [options.selected(run, args) for run in find_all(args.run, args.runs)]

    if args.over in (ENVIRONMENT, REVISIONS) or (args.over in SETTING_OPTIONS and not args.b):
        impl = args.a if args.a and not _is_run(args.a, args.runs) else ""
        run_names = [*args.run, *([args.a] if args.a and not impl else [])]
        if args.b or len(run_names) > 1:
            raise RunError(f"--over {args.over} compares within one run; name one: compare --over {args.over} RUN")
        run = options.selected(find(run_names[0] if run_names else "latest", args.runs), args)
        return compare_revisions(run, impl) if args.over == REVISIONS else compare_environments(run, impl, args.over)
    is_axis = args.over in AXIS_VALUES.values()
    if is_axis and args.a and not args.run and _is_run(args.a, args.runs):
        raise RunError(f"--over {args.over} compares within one run: compare A --over {args.over} --run {args.a}")
    if args.over and not is_axis and (args.run or not args.b):
        command = f"compare RUN RUN --over {args.over}"
        raise RunError(f"--over {args.over} compares two runs; name them: {command} ({LIST_COMMAND})")
    if is_axis and args.a and not args.b:
        args.b = args.a
    if args.b is None:
        if args.a and _is_run(args.a, args.runs):
            raise RunError(f"{args.a} is a run; give a second run, or two implementations: compare A B --run {args.a}")
        if not args.run and not newest_run(args.runs):
            raise RunError(f"{TWO_NAMES}{_example(args.a, args.runs)} ({LIST_COMMAND})")
        (run, *_) = selected_runs()
        names = first_names(_names(run))
        raise RunError(f"name two implementations of {run.label} ({names}), or two runs ({LIST_COMMAND})")
    if not is_axis:
        options.check_two_names(args.a, args.b)
    if is_axis or Selection.parse(args.a).axis or Selection.parse(args.b).axis:
        runs = selected_runs()
        if len(runs) > 1:
            raise RunError(f"{args.a} and {args.b} are compared within one run; name one: --run RUN")
        return compare_along(runs[0], args.a, args.b, args.over if is_axis else "", args.job_steps)
    if args.job_steps:
        runs_given = " ".join(["--run", *args.run]) if args.run else ""
        raise RunError(
            f"--job-steps goes with an axis within a run: compare {args.a}@cpu {args.b}@gpu; for two implementations:"
            f" python -m results payback {args.a} {args.b} {runs_given}".rstrip()
        )
    if args.run:
        return compare_implementations(selected_runs(), args.a, args.b, args.force)
    if _are_runs(args.a, args.b, args.runs):
        a, b = (options.selected(run, args) for run in options.find_two(args.a, args.b, args.runs))
        return compare_runs(a, b, args.baseline, args.force, args.over)
    if args.over:
        raise RunError(f"--over {args.over} compares two runs; name runs in place of {args.a} and {args.b}")
    check_latest([Selection(name, "", "") for name in (args.a, args.b)], args.runs)
    return compare_implementations(selected_runs(), args.a, args.b, args.force)


def _example(impl: str | None, root: Path) -> str:
    """Return a command that compares an implementation, or any, with another one in the run with the most of them."""
    runs = [run for run in _read_quietly(root) if impl is None or impl in _names(run)]
    best = max(runs, key=lambda run: (len(_names(run)), run.when), default=None)
    if best is None or len(names := _names(best)) < 2:
        return ""
    first = impl or (BASELINE if BASELINE in names else names[0])
    second = next(name for name in ["jax_scan", "torch_manual", *names] if name in names and name != first)
    return f", such as: compare {first} {second} --run {best.label}"


def _read_quietly(root: Path) -> list[Run]:
    """Return the readable runs; [] if there is none."""
    try:
        return read_all(files(root), root)[0]
    except RunError:
        return []


def _are_runs(a: str, b: str, root: Path) -> bool:
    """Return whether A and B name runs, not implementations. Raises RunError for one of each."""
    latest = _implementations(*newest_run(root))  # A and B may be paths if there is none
    runs = [name for name in (a, b) if name not in latest and _is_run(name, root)]
    if len(runs) == 1:
        (impl,) = {a, b} - {*runs}
        if impl in latest or impl in _implementations(*read_all(files(root), root)[0]):
            raise RunError(
                f"{runs[0]} is a run, and {impl} an implementation: give two runs, or two implementations:"
                f" compare A {impl} --run {runs[0]}"
            )
    return bool(runs) or not ({a, b} & latest or {a, b} & _implementations(*read_all(files(root), root)[0]))


def _is_run(name: str, root: Path) -> bool:
    try:
        return bool(find_paths([name], root))
    except RunError:
        return False


def check_latest(
    sides: Sequence[Selection], root: Path, amount: Callable[[Run], int] | None = None, make: str = "make bench"
) -> None:
    """Raise RunError if your newest run lacks one of two sides. Suggest a run with both.

    amount: rates a run with both sides; the highest is suggested (default: the number of implementations). make: the
    command that measures both.
    """
    newest = newest_run(root)
    if newest and all(side.is_in(newest[0]) for side in sides):
        return
    runs, errors = read_all(files(root), root)
    impls = _implementations(*runs)
    for side in sides:
        if side.impl not in impls:
            raise RunError(f"no run here has an implementation {side.impl!r}; {nearest(side.impl, sorted(impls))}")
    reason = f"you have no run of your own {'that can be read' if errors else 'yet'}"
    for run in newest:
        missing = " and no ".join(str(side) for side in sides if not side.is_in(run))
        reason = f"your newest run {run.label} has no {missing} (it has: {first_names(_names(run))})"
    if candidates := [run for run in runs if all(side.is_in(run) for side in sides)]:
        best = max(candidates, key=lambda run: (amount(run) if amount else len(_implementations(run)), run.when))
        whose = ", a run of the project," if is_of_project(best.path, root) else ""
        reason += f"; {best.label}{whose} has both: try the same with --run {best.label}, or"
    raise RunError(f"{reason}{'' if candidates else ';'} make one: {make}")


def _implementations(*runs: Run) -> set[str]:
    return {name for run in runs for name in run.rows["impl"].dropna()}


def _names(run: Run) -> list[str]:
    """Return the implementations without duplicates, sorted."""
    return sorted(set(without_duplicates(run.rows)["impl"].dropna()))


def newest_run(root: Path) -> list[Run]:
    """Return a list of your newest run, empty if no run can be read."""
    try:
        return [find("latest", root)]
    except RunError:
        return []
