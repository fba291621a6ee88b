"""Answer questions of size: which implementation is fastest at one (`ask`), and from which on B is (`crossover`)."""

import re
import subprocess
import sys
from argparse import Namespace
from dataclasses import replace
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
from results.store.runs import ROOT, files, find, find_all, is_of_project, read_all

SIZE = re.compile(r"([1-9]\d*)x([1-9]\d*)")
SHOWN = 12  # implementations
MEASURED = (
    "numpy_manual,torch_manual,torch_autograd,torch_nn,jax_jit,jax_scan,numba_fused"  # by --measure, as by `make bench`
)


def ask(run: Run, size: str, steps: int, dtype: str, device: str) -> Page:
    """Rank the implementations of a run at a full-batch size. Raises RunError if the run says nothing about it."""
    if not (match := SIZE.fullmatch(size)):
        raise RunError(f"{size!r} is no size; write ROWSxFEATURES, such as 50000x30")
    if steps < 1:
        raise RunError(f"--steps {steps}: at least 1; give the number of updates")
    n, d = int(match[1]), int(match[2])
    rows = without_duplicates(run.rows)
    rows = rows[(rows["dtype"] == dtype) & (rows["device"] == device)]
    sizes = measured_sizes(rows)
    found = predict(sizes, n, d)
    measure = f"measure it, in 5 minutes at most: python -m results ask {size} --measure"
    if not found:
        count = len(sizes[["n", "d"]].drop_duplicates())
        raise RunError(
            f"{run.label} says nothing about {size} on the {device} in {dtype}: it has {count} full-batch sizes, and"
            f" this one is not among or between {FEWEST} of them; {measure}"
        )
    experts = expert_tuned(run)
    usual = [one for one in found if one.impl not in experts] or found
    if judge_machine(run).word == BUSY:
        text = f"The machine was busy, so no winner is named. Shortest: {usual[0].impl}."
    elif usual[0].sizes:
        text = _predicted_words(usual)
    else:
        text = _measured_words(run, usual, {"n": n, "d": d, "dtype": dtype, "device": device})
    start, fixed = start_seconds(rows), sizes.groupby("impl")["fixed_s"].median()
    table = [
        _cells(one, fixed[one.impl] + steps * one.per_step_s, start[one.impl], one.impl in experts)
        for one in found[:SHOWN]
    ]
    notes = [
        _source(found, run),
        f"Warm: {steps:,} steps in a process that has compiled. Cold: in a fresh process, with the import and with the"
        " preparation and compilation of its first case.",
        f"To be sure, {measure}" if usual[0].sizes else f"All verdicts: python -m results answer {run.label}",
    ]
    title = f"{n:,} rows x {d:,} features, full batch, {dtype}, {device}: {machine_words(run)}"
    return Page(pd.DataFrame([vars(one) for one in found]), [Section(title, text, table, notes)])


def _predicted_words(usual: list[Prediction]) -> str:
    """Return which implementation is predicted to be fastest, and which cannot be told from it."""
    best, *others = usual
    equal = [one.impl for one in others if one.low_s <= best.high_s]
    head = f"Predicted: {best.impl} is fastest, {_span(best)}"
    if {framework(impl) for impl in equal} <= {framework(best.impl)}:
        return f"{head}." if not equal else f"{head}; {', '.join(equal)} may be as fast."
    return f"Predicted: {best.impl} is shortest, {_span(best)}, but not distinguishable from {', '.join(equal)}."


def _measured_words(run: Run, usual: list[Prediction], case: dict[str, object]) -> str:
    """Return which framework is shown to be fastest at a measured size, by the verdicts of the run."""
    baseline = default_baseline([run])
    for winner in find_winners(run, judge_pairs(run, baseline), baseline):
        if "@" in str(winner.best["problem"]) or {name: winner.best[name] for name in case} != case:
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


def _cells(one: Prediction, warm_s: float, start_s: float, tuned: bool) -> dict[str, str]:
    return {
        "implementation": f"{one.impl} (expert-tuned)" if tuned else one.impl,
        "per step": seconds(one.per_step_s),
        "interval": f"{seconds(one.low_s)} to {seconds(one.high_s)}",
        "warm": seconds(warm_s),
        "cold": seconds(warm_s + start_s),
    }


def _ask(args: Namespace) -> Page:
    if args.measure:
        return ask(_measured_now(args), args.size, args.steps, args.dtype, args.device)
    run = find(args.run, args.runs) if args.run else newest_with_sizes(args)
    page = ask(run, args.size, args.steps, args.dtype, args.device)
    if args.run or not is_of_project(run.path, args.runs):
        return page
    (section,) = page.sections
    note = "This is a machine of the project. `make map` measures yours, in half an hour."
    return replace(page, sections=[replace(section, notes=[note, *section.notes])])


def _measured_now(args: Namespace) -> Run:
    """Measure exactly that size until decided, save the run, and return it. Raises RunError."""
    if not SIZE.fullmatch(args.size):
        raise RunError(f"{args.size!r} is no size; write ROWSxFEATURES, such as 50000x30")
    if args.runs != ROOT:
        raise RunError("--measure saves the run in results/runs; leave --runs out")
    words = ["--problem", args.size, "--dtype", args.dtype, "--device", args.device, "--impl", MEASURED]
    words += ["--until-decided", "--minutes", "5", f"--benchmark-save=at-{args.size}"]
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-m", "pytest", "benchmarks", *words], cwd=root)
    if done.returncode not in (0, 1):  # 1: an implementation was refused, the others have times
        raise RunError(f"the measurement ended with status {done.returncode}; the lines above say why")
    return find("latest", args.runs)


def newest_with_sizes(args: Namespace) -> Run:
    """Return the newest run with FEWEST full-batch sizes, the reader's own before the project's. Raises RunError."""
    runs, _ = read_all(files(args.runs), args.runs)
    known = [run for run in runs if not run.is_foreign and _count_sizes(run, args) >= FEWEST]
    if not known:
        raise RunError(f"no run has {FEWEST} full-batch sizes on the {args.device} in {args.dtype}; make one: make map")
    return max(known, key=lambda run: (not is_of_project(run.path, args.runs), run.when))


def _count_sizes(run: Run, args: Namespace) -> int:
    rows = run.rows[(run.rows["dtype"] == args.dtype) & (run.rows["device"] == args.device)]
    return len(rows.loc[rows["batch"] == rows["n"], ["n", "d"]].drop_duplicates())


def _crossover(args: Namespace) -> Page:
    if not args.b and not args.over:
        raise RunError(f"name two implementations: crossover {args.a} B; or --over device, for {args.a} on two devices")
    runs, b = find_all(args.run, args.runs), args.b or args.a
    return crossover(runs, args.a, b, args.features, over=args.over, job_steps=args.job_steps)


def add_commands(commands: options.Commands) -> None:
    command = options.add(commands, "ask", _ask, "say which implementation is fastest at a size, measured or predicted")
    command.add_argument("size", metavar="ROWSxFEATURES", help="such as 50000x30")
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
