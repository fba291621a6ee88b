"""The command `fit`: one problem, one implementation, and its options."""

import argparse
import contextlib
import importlib
import os
import shlex
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from benchmarks.campaign import options
from benchmarks.machine import identity
from benchmarks.problems import catalogue, tutorials
from benchmarks.problems.table_files import is_table
from benchmarks.problems.table_text import FORMAT_OPTIONS, TableFormat, read_as
from benchmarks.problems.tables import Data, check_dtype
from benchmarks.reference.iterates import losses
from benchmarks.timing import measure
from benchmarks.timing.prepared import PreparedProblem, prepare_problem, write_problem
from benchmarks.worker.client import TIMEOUT, Clock, Refused, Settings, Worker
from benchmarks.worker.workspace import Workspace
from impls.interface import Array, Device, Problem, Unsupported

ALL_IMPLS = "all"  # of --impl
GALLERY_PROBLEMS = ("line", "crops")  # that `gallery` draws
DEFAULTS = {"dtype": "float32", "device": "cpu"}
Section = tuple[list[str], bool]  # lines to print, and whether they agree with the reference


@dataclass(frozen=True, eq=False)
class Request:
    """A problem to show, and the options of `fit`.

    exact: the problem whose losses are shown, in float64 for `fit`. data: its data. impls: names or paths. options: the
    given options that `pytest benchmarks` has too, as words.
    """

    name: str
    exact: Problem
    problem: Problem
    data: Data
    device: Device
    impls: list[str] = field(default_factory=list)
    options: list[str] = field(default_factory=list)

    def prepared(self, workspace: Workspace, shown: Iterable[int] = ()) -> PreparedProblem:
        """Return the problem on disk with its reference, which knows the updates `shown` too."""
        return prepare_problem(self.name, self.problem, workspace.new("fit") / "problem", shown=shown)


@dataclass(eq=False)
class Descent:
    """A problem in a worker with its implementation. It runs again for each update of interest.

    task: the problem as `pytest benchmarks` checks it.
    """

    request: Request
    impl: str
    task: PreparedProblem
    worker: Worker
    began: float = field(default_factory=time.monotonic)
    weights_at: dict[int, Array] = field(default_factory=dict)

    @property
    def problem(self) -> Problem:
        return self.request.problem

    @property
    def base(self) -> str:
        return catalogue.parse(self.request.name)[0]

    @property
    def title(self) -> str:
        return f"{Path(self.request.name).name}, {self.impl}, lr {self.problem.lr:g}, {self.problem.steps} updates"

    @property
    def columns(self) -> list[str]:
        return self.request.data.columns or [f"w{j + 1}" for j in range(self.problem.X.shape[1])]

    @property
    def targets(self) -> list[str]:
        names = self.request.data.targets or (tutorials.CROPS_NAMES if self.base == "crops" else [])
        return names or [f"target {j + 1}" for j in range(self.problem.y[0].size)]

    def weights(self, t: int) -> Array:
        """Return the implementation's weights after t updates. Raises Refused."""
        if t not in self.weights_at:
            show = time.monotonic() - self.began > 2 and sys.stderr.isatty()
            sys.stderr.write(f"descending to update {t} of {self.problem.steps}\r" * show)
            self.worker.deadline = time.monotonic() + TIMEOUT
            if self.worker.folder != self.task.folder:
                self.worker.prepare(self.task.folder, self.request.device)
            self.weights_at[t] = np.array(self.worker.run(self.problem.w0, t).weights, self.problem.w0.dtype)
            sys.stderr.write("\x1b[K" * show)
        return self.weights_at[t]

    def predict(self, X: Array, t: int) -> Array:
        """Return (m, k) float64: predictions for the rows X (m, d) after t updates."""
        return X.astype(np.float64) @ self.weights(t).astype(np.float64).reshape(X.shape[1], -1)

    def loss(self, t: int) -> float:
        """Return the MSE over all rows after t updates, in float64."""
        return losses(self.request.exact.X, self.request.exact.y, [self.weights(t)])[0]

    def checked(self, seconds: float) -> measure.TimedCase:
        """Check it as `pytest benchmarks` does, and time it for some seconds, 3 rounds at least. Raises Refused."""
        self.worker.deadline = time.monotonic() + TIMEOUT
        case = measure.open_descent(self.worker, self.task, self.request.device, Clock(), seconds)
        case.facts |= {"device": self.request.device, "precision": Settings.precision}
        case.rows_check = self.task.rows_check
        self.weights_at |= {iterate.t: iterate.weights.astype(self.problem.w0.dtype) for iterate in case.iterates}
        for _ in range(case.rounds):
            case.round()
        case.facts = case.finish()
        return case

    def scaled(self, factor: float) -> "Descent":
        """Return the same descent with `factor` times the gradient."""
        problem, folder = replace(self.problem, lr=factor * self.problem.lr), Path(self.task.folder).with_name("scaled")
        write_problem(problem, folder)
        request, task = replace(self.request, problem=problem), replace(self.task, folder=str(folder))
        return replace(self, request=request, task=task, weights_at={})


Descents = dict[str, Descent]  # by case of the gallery


@contextlib.contextmanager
def open_fit(request: Request, shown: Iterable[int]) -> Iterator[Descent]:
    """Open the requested descent, and end its worker. `shown`: checked updates. Raises Unsupported."""
    (impl,) = request.impls
    try:
        with Workspace() as workspace:
            task = request.prepared(workspace, shown)
            with open_descent(request, impl, task, workspace) as descent:
                descent.weights(0)
                yield descent
    except Refused as error:
        raise Unsupported(f"{Path(impl).stem}: {error}") from error


def _given(args: argparse.Namespace) -> list[str]:
    """Return the options that were given and that `pytest benchmarks` has too."""
    defaults = DEFAULTS | {"seed": 0, "impl": ALL_IMPLS}
    words = ["--no-names"] * args.no_names
    for name in ("target", "drop", "sep", "decimal", "encoding", "steps", "lr", "seed", "dtype", "device", "impl"):
        value = getattr(args, name)
        values = value if isinstance(value, list) else [] if value in (None, defaults.get(name)) else [value]
        for entry in values:
            words += [f"--{name}", str(entry)]
    return words


@contextlib.contextmanager
def open_descent(request: Request, impl: str, task: PreparedProblem, workspace: Workspace) -> Iterator[Descent]:
    """Open the descent of one implementation, and end its worker. Raises Unsupported and Refused."""
    with contextlib.closing(Worker(impl, Settings(identity.cores(), request.device), TIMEOUT, workspace)) as worker:
        yield Descent(request, Path(impl).stem, task, worker)


def read_request(args: argparse.Namespace) -> Request:
    """Return the request that the options describe. Raises Unsupported and ValueError for options that do not fit."""
    for path, suffixes in ((args.plot, [".png", ".svg", ".pdf"]), (args.animate, [".gif"])):
        _check_picture(path, suffixes)
    names = options.implementations(None if args.impl == ALL_IMPLS else args.impl, Path.cwd())
    if len(names) > 1 and (args.plot or args.animate or args.every):
        has_gallery = (args.plot or args.animate) and args.problem in GALLERY_PROBLEMS
        gallery = f"; losses of several: python -m benchmarks gallery {args.problem} --impl {shlex.quote(args.impl)}"
        reason = "--plot, --animate and --every show one implementation; give --impl one name"
        raise ValueError(reason + (gallery if has_gallery else ""))
    reading = read_as(args)
    base = catalogue.parse(args.problem)[0]
    if (args.target or reading != TableFormat()) and not is_table(base):
        raise ValueError(f"--target, {FORMAT_OPTIONS} go with a table: path.csv")
    exact, data = catalogue.build(args.problem, seed=args.seed, target=args.target, lr=args.lr, reading=reading)
    exact = _with_steps(exact, args.steps or tutorials.STEPS.get(args.problem), args.seed)
    exact = _with_start(exact, args.start)
    check_dtype(base, exact.y, data.targets, args.dtype)
    problem = catalogue.cast(exact, args.dtype)
    return Request(args.problem, exact, problem, data, args.device, names, _given(args))


def least_squares(problem: Problem) -> float:
    """Return the smallest loss of any weights. Pass the float64 problem: rounding makes dependent columns differ."""
    X, y = problem.X.astype(np.float64), problem.y.astype(np.float64)
    return float(np.mean((X @ np.linalg.lstsq(X, y)[0] - y) ** 2))


def unscaled(data: Data, w: Array) -> Array:
    """Return the weights (d,) for the columns as they are in the file, from those for the standardised columns."""
    slopes = w[:-1].astype(np.float64) / data.scale
    return np.append(slopes, w[-1] - slopes @ data.centre)


def draw_plots(descent: Descent, plot: Path | None, animate: Path | None) -> Iterator[Path]:
    """Draw the requested plots, and yield each file once it is written."""
    if plot or animate:
        from benchmarks.tutorial import fit_plots

        if plot:
            fit_plots.still(descent).savefig(plot, dpi=150)
            yield plot
        if animate:
            fit_plots.animate(animate, descent)
            yield animate


def table(headers: list[str], rows: list[list[str]]) -> list[str]:
    """Return the lines of a table: the first column left-aligned, the others right-aligned."""
    widths = [max(map(len, column)) for column in zip(headers, *rows, strict=True)]
    return [
        "  ".join(f"{cell:{'>' if j else '<'}{widths[j]}}" for j, cell in enumerate(row)).rstrip()
        for row in [headers, *rows]
    ]


def _with_steps(problem: Problem, steps: int | None, seed: int) -> Problem:
    """Return a shorter problem, or a longer one with more epochs in new orders."""
    if steps is None or problem.order is None:
        return replace(problem, steps=steps or problem.steps)
    order, added = problem.order, steps - problem.steps
    if added > 0:
        rng = np.random.default_rng([seed, problem.steps])
        order = np.concatenate([order, catalogue.shuffled(rng, len(problem.X), order.shape[1], added)])
    return replace(problem, steps=steps, order=order[:steps])


def _with_start(problem: Problem, start: list[float] | None) -> Problem:
    if start is None:
        return problem
    if len(start) != problem.w0.size:
        shape = " x ".join(map(str, problem.w0.shape))
        raise ValueError(f"--start needs {problem.w0.size} numbers ({shape}, row by row), not {len(start)}")
    return replace(problem, w0=np.reshape(start, problem.w0.shape))


def _check_picture(path: Path | None, suffixes: list[str]) -> None:
    if path is None:
        return
    if path.suffix.lower() not in suffixes:
        raise ValueError(f"{path}: the name of a picture ends in {' or '.join(suffixes)}")
    if not path.parent.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK) or path.is_dir():
        raise ValueError(f"{path}: cannot be written")
    importlib.import_module("matplotlib")
