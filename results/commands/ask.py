"""Say which implementation is fastest at a size, measured or predicted."""

import csv
import math
import re
import shlex
import subprocess
import sys
from argparse import Namespace
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from results import options
from results.commands.report import default_baseline
from results.output import Page, Section, counted, seconds
from results.page.standing import find_winners, framework, judge_pairs
from results.stats.pairing import AXIS_VALUES, without_duplicates
from results.stats.pools import FEW_BLOCKS, earlier_runs, step_spreads
from results.stats.prediction import (
    MIN_SIZES,
    Prediction,
    has_size,
    measured_sizes,
    predict,
    start_seconds,
    widen_few_blocks,
)
from results.stats.quiet_or_busy import BUSY, QUIET, judge_machine
from results.store.outcomes import expert_tuned
from results.store.reading import Run, RunError, fewer_threads, machine_words, read_bytes, require_own
from results.store.runs import ROOT, files, find, is_of_project, name_of, nearest, read_all
from results.store.schema import MAX_BYTES

SIZE = re.compile(r"(-?\d+)[xX](-?\d+)(?:@([1-9]\d*))?")
MAX_ELEMENTS = 10**9  # of X, as in the catalogue of problems
MAX_TABLE_BYTES = 2**24  # of a table that gives the size
SHOWN_IMPLS = 12
DEFAULT_STEPS, DEFAULT_DTYPE, DEFAULT_DEVICE = 1000, "float32", "cpu"
ENOUGH_BLOCKS = 3  # of a run with a good answer
MEASURED_IMPLS = "numpy_manual,torch_manual,torch_autograd,torch_nn,jax_jit,jax_scan,numba_fused"  # as by `make bench`


@dataclass(frozen=True)
class Size:
    """The size of a question. batch: rows of a mini-batch; None for the full batch."""

    n: int
    d: int
    batch: int | None = None

    @classmethod
    def parse(cls, text: str, batch: int | None = None) -> "Size":
        """Return the size that `50000x30` or `50000x30@256` names. Raises RunError."""
        match = SIZE.fullmatch(text.replace(",", "").replace("_", ""))
        if not match:
            how = "write ROWSxFEATURES, such as 50000x30, or 50000x30@256 for mini-batches"
            raise RunError(f"{text!r} is no size; {how}")
        n, d, b = int(match[1]), int(match[2]), batch or (int(match[3]) if match[3] else None)
        if n < 1 or d < 1:
            raise RunError(f"{text!r}: rows and features must be at least 1")
        if n * d > MAX_ELEMENTS:
            raise RunError(
                f"{text!r} does not fit: {n * d:,} numbers are {8 * n * d / 1e9:,.0f} GB in float64;"
                f" a problem has at most {MAX_ELEMENTS:,}"
            )
        if b and b > n:
            raise RunError(f"mini-batches of {b:,} rows are more than the {n:,} rows; give a smaller --batch")
        return cls(n, d, b)

    @property
    def name(self) -> str:
        return f"{self.n}x{self.d}" + (f"@{self.batch}" if self.batch else "")

    @property
    def plan(self) -> str:
        return f"mini-batches of {self.batch:,} rows" if self.batch else "full batch"


def ask(run: Run, size: Size, steps: int, dtype: str, device: str, cold: bool = False) -> Page:
    """Rank the implementations of a run at a size. Raises RunError if the run has no answer.

    cold: rank by the time of a fresh process, instead of the time per step.
    """
    of_device = without_duplicates(run.rows)
    of_device = of_device[of_device["device"] == device]
    rows = of_device[of_device["dtype"] == dtype]
    sizes = measured_sizes(rows, size.batch)
    spreads = step_spreads(run, earlier_runs(run)) if (sizes["blocks"] <= FEW_BLOCKS).any() else {}
    sizes = widen_few_blocks(sizes, spreads)
    predictions = predict(sizes, size.n, size.d)
    measure = f"measure it, in 5 minutes at most: {_measure_command(size, steps, dtype, device, cold)}"
    if not predictions:
        count = len(sizes[["n", "d"]].drop_duplicates())
        has = f"{counted(count, 'size')} with {size.plan}, and this one is not among or between {MIN_SIZES} of them"
        raise RunError(
            f"{run.label} says nothing about {size.name} on the {device} in {dtype}: it has"
            f" {has if count else f'no valid case with {size.plan} (python -m results show {name_of(run)})'}; {measure}"
        )
    experts, starts = expert_tuned(run), start_seconds(of_device)
    fixed = sizes.groupby("impl")["fixed_s"].median()
    totals = {row.impl: Total(row, steps, fixed[row.impl], starts[row.impl]) for row in predictions}
    usual = [row for row in predictions if row.impl not in experts] or predictions
    first = min((totals[row.impl] for row in usual), key=lambda total: total.cold_s)
    ranked = sorted(predictions, key=lambda row: totals[row.impl].cold_s) if cold else predictions
    quiet = judge_machine(run)
    if quiet.named and (usual[0].sizes or math.isinf(quiet.claims_from)):
        shortest = f"Shortest in a fresh process: {first.impl}" if cold else f"Shortest: {usual[0].impl}"
        text = f"{shortest}, by numbers that load may have changed."
    else:
        case = {"n": size.n, "d": size.d, "dtype": dtype, "device": device}
        warm_words = _predicted_words(usual) if usual[0].sizes else _measured_words(run, usual, case, size.batch)
        sentences = [warm_words, _cold_words(totals[usual[0].impl], first)]
        text = " ".join(reversed(sentences) if cold else sentences)
    table = [_cells(totals[row.impl], first, row.impl in experts) for row in ranked[:SHOWN_IMPLS]]
    omitted = ranked[SHOWN_IMPLS:]
    tuned = ranked[0].impl if ranked[0].impl in experts and ranked[0] not in usual else ""
    notes = [
        *([f"The sentence above is about code as users write it, without the expert-tuned {tuned}."] if tuned else []),
        _source(predictions, run),
        f"Warm: {counted(steps, 'step')} in a process that has compiled. Cold: in a fresh process, with the import and"
        " with the preparation and compilation of its first case. Pays from: steps from which it is done before"
        f" {first.impl}, both in fresh processes; ?: or never, the steps are too close to tell.",
        *([f"Not among the first {SHOWN_IMPLS}: {', '.join(row.impl for row in omitted)}."] if omitted else []),
        *_without_row(rows, predictions, usual[0].impl, size, dtype, device),
        f"To be sure, {measure}" if usual[0].sizes else f"All verdicts: python -m results answer {name_of(run)}",
    ]
    title = f"{size.n:,} rows x {size.d:,} features, {size.plan}, {dtype}, {device}: {machine_words(run)}"
    return Page(pd.DataFrame([vars(row) for row in ranked]), [Section(title, text, table, notes, machine=quiet.line)])


@dataclass(frozen=True)
class Total:
    """A job of `steps` steps. fixed_s: seconds of a run without steps. start_s: seconds to start a process."""

    step: Prediction
    steps: int
    fixed_s: float
    start_s: float

    @property
    def impl(self) -> str:
        return self.step.impl

    @property
    def warm_s(self) -> float:
        return self.fixed_s + self.steps * self.step.per_step_s

    @property
    def cold_s(self) -> float:
        return self.start_s + self.warm_s

    def pays_from(self, other: "Total") -> float:
        """Return the fewest steps after which this job is done no later than the other, both in fresh processes."""
        extra = self.start_s + self.fixed_s - other.start_s - other.fixed_s
        gain = other.step.per_step_s - self.step.per_step_s
        if gain > 0:
            return max(1, math.ceil(extra / gain))
        return 1 if gain == 0 and extra <= 0 else math.inf


def _cold_words(best: Total, first: Total) -> str:
    """Return a sentence on the fastest job in a fresh process, and on the steps from which `best` pays."""
    overhead_s = first.start_s + first.fixed_s
    low, high = (overhead_s + first.steps * end_s for end_s in (first.step.low_s, first.step.high_s))
    span = seconds(first.cold_s) + (f" ({seconds(low)} to {seconds(high)})" if high == high else "")
    verb = "is" if first.steps == 1 else "are"
    sentence = f"In a fresh process, {counted(first.steps, 'step')} {verb} done first by {first.impl}, in {span}"
    if best is first:
        return f"{sentence}."
    sentence += f"; {best.impl} takes {seconds(best.cold_s)}"
    if math.isinf(count := best.pays_from(first)):
        return f"{sentence}, and never makes up for its start."
    since = f"from about {_rounded(count)} steps on"
    if not first.step.low_s > best.step.high_s:
        return f"{sentence}, and may pay {since}, or never: their steps are too close to tell."
    return f"{sentence}, and pays {since}."


def _measure_command(size: Size, steps: int, dtype: str, device: str, cold: bool) -> str:
    """Return the command that measures this size, with the options of the question."""
    flags = {"--steps": (steps, DEFAULT_STEPS), "--dtype": (dtype, DEFAULT_DTYPE), "--device": (device, DEFAULT_DEVICE)}
    arguments = [word for name, (value, usual) in flags.items() if value != usual for word in (name, str(value))]
    return shlex.join(["python", "-m", "results", "ask", size.name, *arguments, *["--cold"] * cold, "--measure"])


def _without_row(
    rows: pd.DataFrame, predictions: list[Prediction], best: str, size: Size, dtype: str, device: str
) -> list[str]:
    """Return a note on the implementations without a time near this size, with the command that measures them."""
    impls = {*rows["impl"].dropna().map(_base), *(MEASURED_IMPLS.split(",") if device == DEFAULT_DEVICE else [])}
    missing = sorted(impls - {_base(row.impl) for row in predictions})
    if not missing:
        return []
    args = ["--problem", size.name, "--dtype", dtype, "--device", device, "--impl", ",".join([_base(best), *missing])]
    command = shlex.join(["pytest", "benchmarks", *args, "--until-decided", "--benchmark-save=NAME"])
    return [f"Not measured near this size: {', '.join(missing)}. To measure: {command}"]


def _base(label: str) -> str:
    """Return the implementation of a label such as `jax_scan@threads=2`."""
    return label.partition("@")[0]


def _rounded(count: float) -> str:
    """Return a count with two digits, or `never`."""
    return "never" if math.isinf(count) else f"{float(f'{count:.2g}'):,.0f}"


def _predicted_words(usual: list[Prediction]) -> str:
    """Return a sentence on the implementation that is predicted to be fastest, and on those that may be as fast."""
    best, *rivals = usual
    equal = [rival.impl for rival in rivals if not rival.low_s > best.high_s]  # or without an interval
    head = f"Predicted: {best.impl} is fastest, {_span(best)}"
    if {framework(impl) for impl in equal} <= {framework(best.impl)}:
        return f"{head}." if not equal else f"{head}; {', '.join(equal)} may be as fast."
    return f"Predicted: {best.impl} leads, {_span(best)}, but {', '.join(equal)} may be as fast."


def _measured_words(run: Run, usual: list[Prediction], case: dict[str, object], batch: int | None) -> str:
    """Return a sentence on the fastest framework at a measured size, by the verdicts of the run."""
    baseline = default_baseline([run])
    for winner in find_winners(run, judge_pairs(run, baseline), baseline):
        plan = str(winner.best["problem"]).partition("@")[2]
        if winner.best["k"] > 1 or plan != str(batch or "") or {name: winner.best[name] for name in case} != case:
            continue
        best = next((row for row in usual if row.impl == winner.best["impl"]), usual[0])
        if winner.shown:  # the shortest row: a ratio to the baseline may choose another one
            leader = next(row for row in usual if framework(row.impl) == framework(best.impl))
            return f"{framework(leader.impl)} is fastest: {leader.impl}, {_span(leader)}."
        shortest = f"{best.impl}, {_span(best)}"
        return f"No fastest is shown. Shortest: {shortest}; {', '.join(winner.rivals)} may be as fast."
    return f"No verdict. Shortest: {usual[0].impl}, {_span(usual[0])}."


def _span(row: Prediction) -> str:
    has_interval = row.high_s == row.high_s
    span = f"{seconds(row.low_s)} to {seconds(row.high_s)}" if has_interval else "too few blocks for an interval"
    return f"{seconds(row.per_step_s)} a step ({span})"


def _source(predictions: list[Prediction], run: Run) -> str:
    """Return a note on the source of the numbers."""
    count = max(row.sizes for row in predictions)
    if not count:
        return f"Measured in {run.label}; intervals: lowest to highest block, of one or two blocks by earlier runs."
    return (
        f"Predicted from {count} sizes of {run.label}; {min(row.level for row in predictions):.0%} intervals, from"
        " sizes that were left out in turn. docs/results.md shows how often they hold."
    )


def _cells(total: Total, first: Total, tuned: bool) -> dict[str, str]:
    pays, close = total.pays_from(first), not first.step.low_s > total.step.high_s
    return {
        "implementation": f"{total.impl} (expert)" if tuned else total.impl,
        "per step": seconds(total.step.per_step_s),
        "interval": _interval(total.step.low_s, total.step.high_s),
        "cold": seconds(total.cold_s),
        "pays from": "-" if total.impl == first.impl else _rounded(pays) + " ?" * bool(math.isfinite(pays) and close),
        "warm": seconds(total.warm_s),
    }


def _interval(low: float, high: float) -> str:
    """Return `398..502 us`; with both units if they differ, and - if they are unknown."""
    if high != high:
        return "-"
    (first, unit), second = seconds(low).split(" "), seconds(high)
    return f"{first}..{second}" if second.endswith(f" {unit}") else f"{first} {unit}..{second}"


def _ask(args: Namespace) -> Page:
    if (args.size is None) == (args.csv is None):
        raise RunError("give a size, such as 50000x30, or a table: --csv table.csv --target COL")
    size, notes = _size_of_table(args) if args.csv else (Size.parse(args.size, args.batch), [])
    if args.measure:
        return ask(_measured_now(args, size), size, args.steps, args.dtype, args.device, args.cold)
    run, choice_notes = (find(args.run, args.runs), []) if args.run else choose_run(args, size)
    require_own(run)
    page = ask(run, size, args.steps, args.dtype, args.device, args.cold)
    (section,) = page.sections
    notes += choice_notes
    if not args.run and is_of_project(run.path, args.runs):
        notes += ["This is a machine of the project. `make map` measures yours, in half an hour."]
    return replace(page, sections=[replace(section, notes=[*notes, *section.notes])])


def _size_of_table(args: Namespace) -> tuple[Size, list[str]]:
    """Return the size of a descent on a table, by its numeric columns and an intercept, and notes on it.

    Raises RunError.
    """
    if not args.target:
        raise RunError("--csv needs --target: the column to predict")
    if "://" in args.csv:
        raise RunError(f"{args.csv}: tables are read from this disk; download it first")
    read_bytes(Path(args.csv), MAX_TABLE_BYTES)
    try:
        table = pd.read_csv(args.csv, sep=None, engine="python", skipinitialspace=True)
    except (OSError, ValueError, pd.errors.ParserError, csv.Error) as error:
        message = f"{args.csv} cannot be read as a table: {error}"
        raise RunError(f"{message}; pytest benchmarks --problem reads more") from error
    splits = ([option] if option in table.columns else option.split(",") for option in args.target)
    targets = [name for names in splits for name in names]
    for target in targets:
        if target not in table.columns:
            raise RunError(f"{args.csv} has no column {target!r}; {nearest(target, [*map(str, table.columns)])}")
    inputs = table.drop(columns=targets)
    inputs = inputs[[name for name in inputs if not str(name).startswith("Unnamed: ")]]  # an index, or empty cells
    features = inputs.select_dtypes("number")
    if not len(table) or features.empty:
        contents = f"{len(table)} rows and {features.shape[1]} features of numbers"
        raise RunError(f"{args.csv} has {contents}; it needs some of both")
    size = Size.parse(f"{len(table)}x{features.shape[1] + 1}", args.batch)
    left_out = ", ".join(str(name) for name in inputs if name not in features)
    notes = [f"{args.csv}: {size.n:,} rows; the {size.d:,} features include an intercept."]
    notes += [f"Times are of a descent with one target; with {len(targets)}, a step takes longer."] * (len(targets) > 1)
    return size, notes + [f"Left out, because they hold no numbers: {left_out}."] * bool(left_out)


def _measured_now(args: Namespace, size: Size) -> Run:
    """Measure exactly this size until it is decided, save the run, and return it. Raises RunError."""
    if args.runs != ROOT:
        raise RunError("--measure saves the run in results/runs; leave --runs out")
    arguments = ["--problem", size.name, "--dtype", args.dtype, "--device", args.device, "--impl", MEASURED_IMPLS]
    arguments += ["--until-decided", "--minutes", "5", f"--benchmark-save=at-{size.name.replace('@', '-batch-')}"]
    process = subprocess.run([sys.executable, "-m", "pytest", "benchmarks", *arguments], cwd=Path(__file__).parents[2])
    if process.returncode not in (0, 1):  # 1: an implementation was refused, the others have times
        raise RunError(f"the measurement ended with status {process.returncode}; the lines above say why")
    return find("latest", args.runs)


@dataclass(frozen=True, eq=False)
class Candidate:
    """A run that may answer for a size.

    is_own: whether it is the user's. has_size: whether it measured the size, or can predict it. weak: why its
    answer is weak, or "". rank: a sort key, the largest of the best candidate.
    """

    run: Run
    is_own: bool
    has_size: bool
    weak: str
    rank: tuple[Any, ...]


def choose_run(args: Namespace, size: Size) -> tuple[Run, list[str]]:
    """Return the best run for a size, and a note on a weaker run of the user's.

    Criteria in order: it has the size; it was not BUSY and has ENOUGH_BLOCKS; it is the user's; it used all threads; it
    was QUIET; it measured more implementations at exactly this size; it is newer. The project's runs are read only if
    no run of the user's answers well. Raises RunError if no run has the size, or MIN_SIZES of its plan.
    """
    paths = files(args.runs)
    project_paths = [path for path in paths if is_of_project(path, args.runs)]
    own_paths = [path for path in paths if path not in project_paths]
    candidates = own_candidates = _candidates(own_paths, args, size, is_own=True)
    if not any(candidate.has_size and not candidate.weak for candidate in own_candidates):
        candidates = own_candidates + _candidates(project_paths, args, size, is_own=False)
    best = max(candidates, key=lambda candidate: candidate.rank, default=None)
    if best is None:
        remedy = _measure_command(size, args.steps, args.dtype, args.device, args.cold)
        more = "" if size.batch else "; measure many, in half an hour: make map"
        raise RunError(
            f"no run has {MIN_SIZES} sizes with {size.plan} on the {args.device} in {args.dtype};"
            f" measure this one, in 5 minutes at most: {remedy}{more}"
        )
    weaker = [candidate for candidate in own_candidates if candidate.has_size and candidate.weak]
    weaker = [candidate for candidate in weaker if not best.is_own or candidate.run.when > best.run.when]
    if best.weak or not weaker:
        return best.run, []
    skipped = max(weaker, key=lambda candidate: candidate.run.when)
    return best.run, [f"Your run {skipped.run.label} {skipped.weak}; --run {skipped.run.label} answers from it."]


def _candidates(paths: list[Path], args: Namespace, size: Size, is_own: bool) -> list[Candidate]:
    """Return the runs that have MIN_SIZES of the plan, or several implementations at exactly this size."""
    candidates, likely = [], [path for path in paths if _may_answer(path, size)]
    for run in read_all(likely or paths, args.runs)[0]:
        if run.is_foreign:
            continue
        rows = run.rows[(run.rows["dtype"] == args.dtype) & (run.rows["device"] == args.device)]
        planned = rows[rows["batch"] == (size.batch or rows["n"])]
        at_size = planned[(planned["n"] == size.n) & (planned["d"] == size.d)]
        impl_count = at_size["impl"].map(_base).nunique() if at_size["impl"].nunique() > 1 else 0
        if impl_count or len(planned[["n", "d"]].drop_duplicates()) >= MIN_SIZES:
            has_answer = impl_count > 0 or has_size(measured_sizes(rows, size.batch), size.n, size.d)
            blocks = max(1, (at_size if impl_count else planned)["block"].nunique())
            few_text = f"has {'one block' if blocks == 1 else f'{blocks} blocks'}" * (blocks < ENOUGH_BLOCKS)
            word = judge_machine(run).word
            weak = "was BUSY" if word == BUSY else few_text
            rank = has_answer, not weak, is_own, not fewer_threads(run), word == QUIET, impl_count, run.when
            candidates.append(Candidate(run, is_own, has_answer, weak, rank))
    return candidates


def _may_answer(path: Path, size: Size) -> bool:
    """Return whether the file has rows and features around this size. This is faster than parsing and checking it."""
    try:
        content = read_bytes(path, MAX_BYTES)
    except (RunError, OSError):
        return False
    saved_sizes = [set(map(float, re.findall(rb'"%s":\s*(\d+)' % name, content))) for name in (b"n", b"d")]
    pairs = zip(saved_sizes, (size.n, size.d), strict=True)
    return all(values and min(values) <= value <= max(values) for values, value in pairs)


def add_commands(commands: options.Commands) -> None:
    command = options.add(commands, "ask", _ask, "say which implementation is fastest at a size, measured or predicted")
    add = command.add_argument
    add("size", nargs="?", metavar="ROWSxFEATURES", help="such as 50000x30, or 50000x30@256 for mini-batches")
    add("--csv", metavar="FILE", help="take rows and features from a table instead")
    add("--target", action="append", metavar="COL", help="column of the table to predict, or COL,COL")
    add("--batch", type=options.positive, metavar="B", help="rows of a mini-batch (default: all rows)")
    add("--cold", action="store_true", help="rank by the time of a fresh process, not by the step")
    steps = "steps of a descent (default: %(default)s)"
    add("--steps", type=options.positive, default=DEFAULT_STEPS, metavar="T", help=steps)
    for axis, default in (("dtype", DEFAULT_DTYPE), ("device", DEFAULT_DEVICE)):
        choices = [value for value, value_axis in AXIS_VALUES.items() if value_axis == axis]
        add(f"--{axis}", choices=choices, default=default, help="default: %(default)s")
    add(
        "--run",
        default="",
        metavar="RUN",
        help="the run to use (default: your newest that measured this size, or sizes around it, was not BUSY and has"
        f" {ENOUGH_BLOCKS} blocks; else such a run of the project's; else a BUSY or shorter one)",
    )
    add("--measure", action="store_true", help="measure exactly this size now, in 5 minutes at most, and save the run")
