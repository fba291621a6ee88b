"""The losses that a tutorial prints for a problem, each with the range in which a measured one must lie."""

from typing import NamedTuple

import numpy as np

from benchmarks.problems import catalogue, tutorials
from benchmarks.problems.tutorials import ScalarRun
from impls.interface import Problem

# `line`: a few of the text's ten, because `jax_scan` compiles again for each number of steps.
CHECKED_UPDATES = {"line": (0, 10, 30, 90), "crops": (*tutorials.CROPS_LOSSES,), "scalar": (0, 10, 20, 30, 40)}


class Printed(NamedTuple):
    """A printed loss after `update` updates, and the lowest and highest accepted loss there."""

    update: int
    loss: float
    lowest: float
    highest: float


def printed(name: str, problem: Problem) -> list[Printed]:
    """Return what a tutorial prints for this problem; nothing if no tutorial has it with this start and lr."""
    if name not in CHECKED_UPDATES:
        return []
    default, w0 = catalogue.build(name)[0], problem.w0
    starts = [*tutorials.LINE_RUNS] if name == "line" else [default.w0]
    if problem.lr != default.lr or not any(np.array_equal(w0, np.array(start, w0.dtype)) for start in starts):
        return []
    if name == "line":
        losses = line((float(w0[0]), float(w0[1])))
    else:
        losses = crops() if name == "crops" else scalar(tutorials.SCALAR_AUTOGRAD, 1)
    return [loss for loss in losses if loss.update <= problem.steps]


def checked(name: str, problem: Problem) -> list[Printed]:
    """Return the losses of `printed` that a benchmark checks as well."""
    return [loss for loss in printed(name, problem) if loss.update in CHECKED_UPDATES[name]]


def line(start: tuple[float, float]) -> list[Printed]:
    """Return the losses of the line. The tutorial's data are unseeded, so the range is the middle 95 % of draws."""
    band, _ = tutorials.line_band(start)
    rows = zip(tutorials.LINE_RUNS[start], band.tolist(), strict=True)
    return [Printed(10 * i, loss, low, high) for i, (loss, (low, high)) in enumerate(rows)]


def crops() -> list[Printed]:
    """Return the losses of the crops. The tutorial's start has four decimals, which moves a loss within its range."""
    ranges = {t: tutorials.crops_rounding(t)[0] for t in tutorials.CROPS_LOSSES}
    return [Printed(t, loss, loss - ranges[t], loss + ranges[t]) for t, loss in tutorials.CROPS_LOSSES.items()]


def scalar(text: ScalarRun, times: int) -> list[Printed]:
    """Return the losses of a printed run, with `times` the gradient: its exact w is 2 - 2 (1 - 0.15 times)^t."""
    losses = []
    for t, _, loss in text:
        if loss is not None:
            rounding = tutorials.scalar_rounding(2 - 2 * (1 - 0.15 * times) ** (t - 1))[1]
            losses.append(Printed(t - 1, loss, loss - rounding, loss + rounding))
    return losses
