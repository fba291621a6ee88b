"""Answer questions of size: which implementation is fastest at one (`ask`), and from which on B is (`crossover`)."""

import csv
import math
import re
import subprocess
import sys
from argparse import Namespace
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from results.commands import options
from results.commands.report import default_baseline
from results.output import Page, Section, seconds
from results.page.crossover import crossover
from results.page.standing import find_winners, framework, judge_pairs
from results.stats.pairing import VALUES, without_duplicates
from results.stats.quiet import BUSY, judge_machine
from results.stats.sizes import FEWEST, LEVEL, Prediction, measured_sizes, predict, start_seconds
from results.store.outcomes import expert_tuned
from results.store.reading import Run, RunError, machine_words
from results.store.runs import ROOT, files, find, find_all, is_of_project, nearest, read_all

SIZE = re.compile(r"([1-9]\d*)x([1-9]\d*)(?:@([1-9]\d*))?")
SHOWN = 12  # implementations
MEASURED = (
    "numpy_manual,torch_manual,torch_autograd,torch_nn,jax_jit,jax_scan,numba_fused"  # by --measure, as by `make bench`
)


@dataclass(frozen=True)
class Size:
    """A size that is asked for. batch: rows of a mini-batch; None for the full batch."""

    n: int
    d: int
    batch: int | None = None

    @classmethod
    def parse(cls, text: str, batch: int | None = None) -> "Size":
        """Return the size that `50000x30` or `50000x30@256` names. Raises RunError."""
        match = SIZE.fullmatch(text.replace(",", "").replace("_", ""))
        if not match:
            raise RunError(
                f"{text!r} is no size; write ROWSxFEATURES, such as 50000x30, or 50000x30@256 for mini-batches"
            )
        n, d, b = (int(number) if number else None for number in match.groups())
        if (b or batch) and (batch or b or 0) > int(n or 0):
            raise RunError(f"mini-batches of {batch or b:,} rows are more than the {n:,} rows; give a smaller --batch")
        return cls(int(n or 0), int(d or 0), batch or b)

    @property
    def name(self) -> str:
        """Return the name of the problem."""
        return f"{self.n}x{self.d}" + (f"@{self.batch}" if self.batch else "")

    @property
    def plan(self) -> str:
        return f"mini-batches of {self.batch:,} rows" if self.batch else "full batch"


def ask(run: Run, size: Size, steps: int, dtype: str, device: str, cold: bool = False) -> Page:
    """Rank the implementations of a run at a size. Raises RunError if the run says nothing about it.

    cold: rank by the time of a fresh process, instead of the time per step.
    """
    if steps < 1:
        raise RunError(f"--steps {steps}: at least 1; give the number of updates")
    rows = without_duplicates(run.rows)
    rows = rows[(rows["dtype"] == dtype) & (rows["device"] == device)]
    sizes = measured_sizes(rows, size.batch)
    found = predict(sizes, size.n, size.d)
    measure = f"measure it, in 5 minutes at most: python -m results ask {size.name} --measure"
    if not found:
        count = len(sizes[["n", "d"]].drop_duplicates())
        raise RunError(
            f"{run.label} says nothing about {size.name} on the {device} in {dtype}: it has {count} sizes with"
            f" {size.plan}, and this one is not among or between {FEWEST} of them; {measure}"
        )
    experts, starts = expert_tuned(run), start_seconds(rows)
    fixed = sizes.groupby("impl")["fixed_s"].median()
    totals = {one.impl: Total(one, steps, fixed[one.impl], starts[one.impl]) for one in found}
    usual = [one for one in found if one.impl not in experts] or found
    first = min((totals[one.impl] for one in usual), key=lambda total: total.cold_s)
    if judge_machine(run).word == BUSY:
        text = f"The machine was busy, so no winner is named. Shortest: {usual[0].impl}."
    else:
        case = {"n": size.n, "d": size.d, "dtype": dtype, "device": device}
        text = _predicted_words(usual) if usual[0].sizes else _measured_words(run, usual, case, size.batch)
        text += f" {_cold_words([totals[one.impl] for one in usual], first, usual[0])}"
    ranked = sorted(found, key=lambda one: totals[one.impl].cold_s) if cold else found
    table = [_cells(totals[one.impl], first, one.impl in experts) for one in ranked[:SHOWN]]
    notes = [
        _source(found, run),
        f"Warm: {steps:,} steps in a process that has compiled. Cold: in a fresh process, with the import and with the"
        f" preparation and compilation of its first case. Pays from: steps from which it is done before {first.impl},"
        " both in fresh processes.",
        f"To be sure, {measure}" if usual[0].sizes else f"All verdicts: python -m results answer {run.label}",
    ]
    title = f"{size.n:,} rows x {size.d:,} features, {size.plan}, {dtype}, {device}: {machine_words(run)}"
    return Page(pd.DataFrame([vars(one) for one in ranked]), [Section(title, text, table, notes)])


@dataclass(frozen=True)
class Total:
    """A job of so many steps. fixed_s: seconds of a run without steps. start_s: seconds to start a process."""

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

    @property
    def cold_span_s(self) -> tuple[float, float]:
        """Return the total in a fresh process at both ends of the interval of a step."""
        rest = self.start_s + self.fixed_s
        return rest + self.steps * self.step.low_s, rest + self.steps * self.step.high_s

    def pays_from(self, other: "Total") -> float:
        """Return the fewest steps after which it is done no later than the other, both in fresh processes."""
        extra = self.start_s + self.fixed_s - other.start_s - other.fixed_s
        gain = other.step.per_step_s - self.step.per_step_s
        return 1 if extra <= 0 else math.ceil(extra / gain) if gain > 0 else math.inf


def _cold_words(totals: list[Total], first: Total, best: Prediction) -> str:
    """Return what is done first in a fresh process, and from how many steps on the shortest step pays."""
    span = f"{seconds(first.cold_s)} ({' to '.join(seconds(end) for end in first.cold_span_s)})"
    done = f"In a fresh process, {first.steps:,} steps are done first by {first.impl}, in {span}"
    (own,) = (total for total in totals if total.impl == best.impl)
    if own is first:
        return f"{done}."
    done += f"; {best.impl} takes {seconds(own.cold_s)}"
    if first.step.low_s <= best.high_s:
        return f"{done}, and may never make up for its start."
    return f"{done}, and pays from about {_rounded(own.pays_from(first))} steps on."


def _rounded(count: float) -> str:
    """Return a count with two digits, or `never`."""
    return "never" if math.isinf(count) else f"{float(f'{count:.2g}'):,.0f}"


def _predicted_words(usual: list[Prediction]) -> str:
    """Return which implementation is predicted to be fastest, and which cannot be told from it."""
    best, *others = usual
    equal = [one.impl for one in others if one.low_s <= best.high_s]
    head = f"Predicted: {best.impl} is fastest, {_span(best)}"
    if {framework(impl) for impl in equal} <= {framework(best.impl)}:
        return f"{head}." if not equal else f"{head}; {', '.join(equal)} may be as fast."
    return f"Predicted: {best.impl} is shortest, {_span(best)}, but not distinguishable from {', '.join(equal)}."


def _measured_words(run: Run, usual: list[Prediction], case: dict[str, object], batch: int | None) -> str:
    """Return which framework is shown to be fastest at a measured size, by the verdicts of the run."""
    baseline = default_baseline([run])
    for winner in find_winners(run, judge_pairs(run, baseline), baseline):
        plan = str(winner.best["problem"]).partition("@")[2]
        if plan != str(batch or "") or {name: winner.best[name] for name in case} != case:
            continue
        (best,) = (one for one in usual if one.impl == winner.best["impl"])
        if winner.shown:
            return f"{framework(best.impl)} is fastest: {best.impl}, {_span(best)}."
        return (
            f"No fastest is shown. Shortest: {best.impl}, {_span(best)}; not shown slower: {', '.join(winner.rivals)}."
        )
    return f"No verdict. Shortest: {usual[0].impl}, {_span(usual[0])}."


def _span(one: Prediction) -> str:
    return f"{seconds(one.per_step_s)} a step ({seconds(one.low_s)} to {seconds(one.high_s)})"


def _source(found: list[Prediction], run: Run) -> str:
    """Return where the numbers come from."""
    count = max(one.sizes for one in found)
    if not count:
        return f"Measured in {run.label}; intervals: lowest to highest block."
    return (
        f"Predicted from {count} sizes of {run.label}; {LEVEL:.0%} intervals, from sizes that were left out in turn."
        " docs/results.md shows how often they hold."
    )


def _cells(total: Total, first: Total, tuned: bool) -> dict[str, str]:
    pays = total.pays_from(first)
    return {
        "implementation": f"{total.impl} (expert)" if tuned else total.impl,
        "per step": seconds(total.step.per_step_s),
        "interval": _interval(total.step.low_s, total.step.high_s),
        "cold": seconds(total.cold_s),
        "pays from": "-" if total.impl == first.impl else _rounded(pays),
        "warm": seconds(total.warm_s),
    }


def _interval(low: float, high: float) -> str:
    """Return `398..502 us`; with both units if they differ."""
    (first, unit), second = seconds(low).split(" "), seconds(high)
    return f"{first}..{second}" if second.endswith(f" {unit}") else f"{first} {unit}..{second}"


def _ask(args: Namespace) -> Page:
    if (args.size is None) == (args.csv is None):
        raise RunError("give a size, such as 50000x30, or a table: --csv table.csv --target COL")
    size = _size_of_table(args) if args.csv else Size.parse(args.size, args.batch)
    if args.measure:
        return ask(_measured_now(args, size), size, args.steps, args.dtype, args.device, args.cold)
    run = find(args.run, args.runs) if args.run else newest_with_sizes(args, size)
    page = ask(run, size, args.steps, args.dtype, args.device, args.cold)
    (section,) = page.sections
    notes = [
        *([f"{args.csv}: {size.n:,} rows; the {size.d:,} features include an intercept."] if args.csv else []),
        *(["This is a machine of the project. `make map` measures yours, in half an hour."] * _is_foreign(run, args)),
    ]
    return replace(page, sections=[replace(section, notes=[*notes, *section.notes])])


def _is_foreign(run: Run, args: Namespace) -> bool:
    """Return whether the run is of the project, and was not asked for by name."""
    return not args.run and is_of_project(run.path, args.runs)


def _size_of_table(args: Namespace) -> Size:
    """Return the rows, and the columns of numbers with an intercept instead of the targets. Raises RunError."""
    if not args.target:
        raise RunError("--csv needs --target: the column to predict")
    try:
        table = pd.read_csv(args.csv, sep=None, engine="python")
    except (OSError, ValueError, pd.errors.ParserError, csv.Error) as error:
        raise RunError(
            f"{args.csv} cannot be read as a table: {error}; pytest benchmarks --problem reads more"
        ) from error
    for target in args.target:
        if target not in table.columns:
            raise RunError(f"{args.csv} has no column {target!r}; {nearest(target, [*map(str, table.columns)])}")
    features = table.drop(columns=args.target).select_dtypes("number")
    if not len(table) or features.empty:
        raise RunError(
            f"{args.csv} has {len(table)} rows and {features.shape[1]} features of numbers; it needs some of both"
        )
    return Size.parse(f"{len(table)}x{features.shape[1] + 1}", args.batch)


def _measured_now(args: Namespace, size: Size) -> Run:
    """Measure exactly that size until decided, save the run, and return it. Raises RunError."""
    if args.runs != ROOT:
        raise RunError("--measure saves the run in results/runs; leave --runs out")
    words = ["--problem", size.name, "--dtype", args.dtype, "--device", args.device, "--impl", MEASURED]
    words += ["--until-decided", "--minutes", "5", f"--benchmark-save=at-{size.name.replace('@', '-batch-')}"]
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-m", "pytest", "benchmarks", *words], cwd=root)
    if done.returncode not in (0, 1):  # 1: an implementation was refused, the others have times
        raise RunError(f"the measurement ended with status {done.returncode}; the lines above say why")
    return find("latest", args.runs)


def newest_with_sizes(args: Namespace, size: Size) -> Run:
    """Return the newest run that has this size, or FEWEST of its plan, the reader's own before the project's.

    Raises RunError if there is none.
    """
    paths = files(args.runs)
    of_project = [path for path in paths if is_of_project(path, args.runs)]
    for group in ([path for path in paths if path not in of_project], of_project):
        runs, _ = read_all(group, args.runs)
        counts = [(run, *_count_sizes(run, args, size)) for run in runs if not run.is_foreign]
        if known := [(exact, run.when, run) for run, count, exact in counts if count >= FEWEST or exact]:
            return max(known, key=lambda one: one[:2])[2]
    remedy = f"measure this one, in 5 minutes at most: python -m results ask {size.name} --measure"
    more = "" if size.batch else "; measure many, in half an hour: make map"
    raise RunError(f"no run has {FEWEST} sizes with {size.plan} on the {args.device} in {args.dtype}; {remedy}{more}")


def _count_sizes(run: Run, args: Namespace, size: Size) -> tuple[int, bool]:
    """Return the number of sizes of the plan, and whether several implementations have exactly this one."""
    rows = run.rows[(run.rows["dtype"] == args.dtype) & (run.rows["device"] == args.device)]
    rows = rows[rows["batch"] == (size.batch or rows["n"])]
    exact = rows[(rows["n"] == size.n) & (rows["d"] == size.d)]
    return len(rows[["n", "d"]].drop_duplicates()), bool(exact["impl"].nunique() > 1)


def _crossover(args: Namespace) -> Page:
    if not args.b and not args.over:
        raise RunError(f"name two implementations: crossover {args.a} B; or --over device, for {args.a} on two devices")
    runs, b = find_all(args.run, args.runs), args.b or args.a
    return crossover(runs, args.a, b, args.features, over=args.over, job_steps=args.job_steps)


def add_commands(commands: options.Commands) -> None:
    command = options.add(commands, "ask", _ask, "say which implementation is fastest at a size, measured or predicted")
    command.add_argument(
        "size", nargs="?", metavar="ROWSxFEATURES", help="such as 50000x30, or 50000x30@256 for mini-batches"
    )
    command.add_argument("--csv", metavar="FILE", help="take rows and features from a table instead")
    command.add_argument("--target", action="append", metavar="COL", help="column of the table to predict")
    command.add_argument("--batch", type=int, metavar="B", help="rows of a mini-batch (default: all rows)")
    command.add_argument("--cold", action="store_true", help="rank by the time of a fresh process, not by the step")
    command.add_argument("--steps", type=int, default=1000, metavar="T", help="steps of a descent (default: 1000)")
    command.add_argument("--dtype", default="float32", metavar="NAME", help="default: float32")
    command.add_argument("--device", default="cpu", metavar="NAME", help="default: cpu")
    command.add_argument(
        "--run", default="", metavar="RUN", help="the run to use (default: the newest with several sizes)"
    )
    command.add_argument(
        "--measure", action="store_true", help="measure exactly this size now, in 5 minutes at most, and save the run"
    )
    command = options.add(
        commands,
        "crossover",
        _crossover,
        "find the number of rows from which B is faster than A",
        aliases=["versus"],
    )
    command.add_argument("a", metavar="A", help="an implementation, also of one device or dtype: jax_scan@cpu")
    command.add_argument("b", nargs="?", metavar="B", help="another one: jax_scan@gpu (default, with --over: A)")
    command.add_argument(
        "--over",
        choices=list(dict.fromkeys(VALUES.values())),
        default="",
        help="compare A on cpu or in float32 with B on gpu or in float64",
    )
    options.add_job_steps(command)
    command.add_argument("--features", type=int, metavar="D", help="show only this number of features")
    command.add_argument("--run", nargs="+", default=[], help="runs to search, each separately (default: latest)")
