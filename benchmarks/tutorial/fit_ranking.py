"""The command `fit` with several implementations: which is fastest, whether all agree, and the weights."""

import os
import shlex
import statistics
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.machine.identity import cores
from benchmarks.tutorial.fit import Descent, Request, Section, open_descent, table
from benchmarks.tutorial.fit_output import problem_lines, state
from benchmarks.worker.client import Refused
from benchmarks.worker.workspace import Workspace
from impls.interface import Array, Unsupported
from impls.traits import traits

TIMED_S = 1.0  # of an implementation's timed runs
MANY_IMPLS = 8  # above, a message says that they take minutes
BUSY_LOAD = 1 / 3  # per core, before it begins, as in the advice of `results noise`
ALIKE_RATIO = 1.6  # two processes of the same code differed by less in 95 % of pairs, in each committed campaign


@dataclass(frozen=True, eq=False)
class Ranked:
    """An implementation that agrees. start_s: from an empty process to the end of the first run. run_s: later runs."""

    name: str
    start_s: float
    run_s: list[float]
    share: float  # worst error / allowed error
    weights: Array
    weight_lines: list[str]

    @property
    def median_s(self) -> float:
        return statistics.median(self.run_s)

    @property
    def tuned(self) -> bool:
        """Return whether it is expert-tuned."""
        return traits(self.name)["tuned"] == "expert-tuned"


def sections(request: Request) -> Iterator[Section]:
    """Yield the parts of the output, each with whether it agrees with the reference.

    Raises Unsupported if no implementation can run here.
    """
    yield problem_lines(request.name, request.problem), True
    ranked: list[Ranked] = []
    missing: list[str] = []
    right, is_busy = True, os.getloadavg()[0] > BUSY_LOAD * cores()
    if len(request.impls) > MANY_IMPLS:
        _show(f"{len(request.impls)} implementations take minutes; name fewer with --impl A,B")
    with Workspace() as workspace:
        task = request.prepared(workspace)
        for number, impl in enumerate(request.impls, 1):
            name = Path(impl).stem
            _show(f"[{number}/{len(request.impls)}] {name}")
            try:
                with open_descent(request, impl, task, workspace) as descent:
                    ranked.append(_measured(descent))
            except Unsupported as error:
                missing.append(f"not run: {name}: {error}")
            except Refused as error:
                missing.append(f"no time: {name}: {error}")
                right = False
    _show("")
    ranked.sort(key=lambda entry: entry.median_s)
    if ranked:
        yield [_answer(ranked, is_busy)], True
        yield _ranking(ranked, request.problem.steps), True
        yield _weights(ranked), True
    yield [*missing, *(_next(request) if len(ranked) > 1 else [])], right
    if not ranked and right:
        raise Unsupported("no implementation can run here")


def _show(text: str) -> None:
    """Show on stderr which implementation runs: on a terminal over the last one, elsewhere on a new line."""
    if sys.stderr is not None and (text or sys.stderr.isatty()):
        sys.stderr.write(f"\r{text:79}\r" if sys.stderr.isatty() else f"{text}\n")
        sys.stderr.flush()


def _measured(descent: Descent) -> Ranked:
    """Check it as `pytest benchmarks` does, and time some runs. Raises Refused if its times do not count."""
    case = descent.checked(TIMED_S)
    facts, run_s = case.facts, [run.seconds for run in case.rounds_done]
    if facts["reason"]:
        raise Refused(facts["reason"])
    start_s = facts["import_s"] + facts["prepare_s"] + facts["first_s"]
    last = descent.problem.steps
    lines = state(descent, "after", last)
    return Ranked(descent.impl, start_s, run_s, facts["error"] / facts["tolerance"], descent.weights(last), lines)


def _answer(ranked: list[Ranked], busy: bool) -> str:
    """Return the fastest implementation as users write it, and those that may be as fast."""
    best, *others = [entry for entry in ranked if not entry.tuned] or ranked
    tuned = [entry for entry in ranked if entry.tuned and entry is not best]
    faster = ", ".join(f"{entry.name} {_seconds(entry.median_s)}" for entry in tuned if entry.median_s < best.median_s)
    note = f" Expert-tuned: {faster}." if faster else ""
    similar = [entry.name for entry in others if entry.median_s < ALIKE_RATIO * best.median_s]
    if busy and (others or tuned):
        return f"The machine is busy, so no winner is named. Shortest: {best.name}, {_seconds(best.median_s)}.{note}"
    if not others:
        kind = "other as users write it" if tuned else "other implementation"
        return f"{best.name} takes {_seconds(best.median_s)}; no {kind} has a time.{note}"
    if not similar:
        text = f"{best.name} is fastest here, {_seconds(best.median_s)}"
        return f"{text}; {others[0].name} takes {others[0].median_s / best.median_s:.1f} times as long.{note}"
    return (
        f"{best.name} is shortest here, {_seconds(best.median_s)}, but {', '.join(similar)} may be as fast:"
        f" two processes of the same code can differ by {ALIKE_RATIO:g}x.{note}"
    )


def _ranking(ranked: list[Ranked], steps: int) -> list[str]:
    rows = []
    for entry in ranked:
        extremes = f"{_seconds(min(entry.run_s))} to {_seconds(max(entry.run_s))}"
        error = f"{entry.share:.2%} of what is allowed"
        name = f"{entry.name} (expert)" if entry.tuned else entry.name
        rows.append([name, _seconds(entry.median_s), extremes, _seconds(entry.start_s), error])
    return table(["implementation", f"{steps:,} updates", "shortest to longest", "first time", "worst error"], rows)


def _weights(ranked: list[Ranked]) -> list[str]:
    """Return the weights of the fastest, and how far the others are from them."""
    best, *others = ranked
    size = float(np.linalg.norm(best.weights))
    differences = [float(np.linalg.norm(entry.weights - best.weights)) / size for entry in others if size > 0]
    agree = f"all {len(ranked)} agree with the reference"
    largest = max(differences, default=0.0)
    apart = f"; their weights differ by at most {largest:.1g} of their size" if largest else ""
    return [f"{agree}{apart}" if others else "it agrees with the reference", *best.weight_lines]


def _next(request: Request) -> list[str]:
    words = ["pytest", "benchmarks", "--problem", request.name, *request.options, "--until-decided", "--minutes", "5"]
    words += ["--benchmark-save=NAME"]
    return [
        "first time: import, preparation and the first run of a fresh process, with what it compiles",
        "one process each; to decide, in 5 minutes at most:",
        f"  {shlex.join(words)}",
    ]


def _seconds(value: float) -> str:
    for unit, scale in (("us", 1e-6), ("ms", 1e-3)):
        if value < 999.5 * scale:
            return f"{value / scale:.3g} {unit}"
    return f"{value:.3g} s"
