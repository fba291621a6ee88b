"""Usual mistakes on several problems: each gets its own diagnosis, or none, and never that of another."""

import functools
import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.problems import catalogue
from benchmarks.reference.diagnosis import UNKNOWN_MISTAKE, diagnose
from benchmarks.reference.solution import ReferenceSolution, truth
from impls.interface import Array, Problem

CASES = [(name, dtype) for name in ("line", "crops", "300x6@30") for dtype in ("float32", "float64")]
SCHEDULE = "the learning rate (changes|falls)"
TIMES = r"the gradient( \(or lr\))? is [\d.]+ times the reference"


class Descent:
    """A descent of a problem; `step` makes one update of w from the gradient g, after t updates."""

    def __init__(self, problem: Problem, step: "Step") -> None:
        self.problem, self.step, self.lr, self.steps = problem, step, problem.lr, problem.steps
        self.sums: dict[float, Array] = {}

    def sum(self, keep: float, new: Array) -> Array:
        """Return the sum of all `new`, the older ones times powers of `keep`."""
        self.sums[keep] = keep * self.sums.get(keep, 0 * new) + new
        return self.sums[keep]

    def run(self, updates: int) -> Array:
        """Return the weights after so many updates."""
        X, y, w = self.problem.X, self.problem.y, self.problem.w0.copy()
        self.sums, self.old = {}, w
        with np.errstate(all="ignore"):
            for t in range(updates):
                rows = slice(None) if self.problem.order is None else self.problem.order[t]
                residual = X[rows] @ w - y[rows]
                self.old, w = w, self.step(self, w, 2 / residual.size * (X[rows].T @ residual), t)
        return np.asarray(w, self.problem.X.dtype)


Step = Callable[[Descent, Array, Array, int], Array]
STEPS: list[tuple[str, str, Step]] = [
    ("right", "", lambda d, w, g, t: w - d.lr * g),
    ("wrong sign", "the gradient is -1.00 times .*sign", lambda d, w, g, t: w + d.lr * g),
    ("half", "the gradient is 0.50 times .*perhaps", lambda d, w, g, t: w - d.lr / 2 * g),
    ("double", "the gradient is 2.00 times .*it is doubled", lambda d, w, g, t: w - 2 * d.lr * g),
    ("damped", f"the gradient is 0.10 times|{TIMES}", lambda d, w, g, t: w - d.lr * 0.1 * d.sum(0.9, g)),
    ("momentum", "momentum of 0.9", lambda d, w, g, t: w - d.lr * d.sum(0.9, g)),
    ("sums", "gradients add up", lambda d, w, g, t: w - d.lr * d.sum(1.0, g)),
    ("decay", "weight decay of 0.1( or an L1 penalty of 0.1)?$", lambda d, w, g, t: w - d.lr * (g + 0.1 * w)),
    ("sparse", "(weight decay of 0.1 or )?an L1 penalty of 0.1$", lambda d, w, g, t: w - d.lr * (g + 0.1 * np.sign(w))),
    ("falling", SCHEDULE, lambda d, w, g, t: w - d.lr * 0.97**t * g),
    ("rooted", SCHEDULE, lambda d, w, g, t: w - d.lr / np.sqrt(t + 1) * g),
    ("halved later", "the learning rate falls to 0.5", lambda d, w, g, t: w - d.lr * (0.5 if t >= 3 else 1) * g),
    ("tenth later", "the learning rate falls to 0.1", lambda d, w, g, t: w - d.lr * (0.1 if t >= 6 else 1) * g),
    ("inverse", "a mean over the updates, or the learning rate halves", lambda d, w, g, t: w - d.lr / (t + 1) * g),
    ("clipped", "the gradient is clipped", lambda d, w, g, t: w - d.lr * g / max(1, np.linalg.norm(g))),
    (
        "normalised",
        "the gradient is .*normalised to length 1|" + TIMES,
        lambda d, w, g, t: w - d.lr * g / np.linalg.norm(g),
    ),
    ("clipped values", "the gradient's values are clipped to 1", lambda d, w, g, t: w - d.lr * np.clip(g, -1, 1)),
    ("without X", "", lambda d, w, g, t: w - d.lr * (0 * g + g[-1:])),
    (
        "mean of two",
        "or the weights are a mean of the last two",
        lambda d, w, g, t: w - d.lr * g * (0.5 if t == 2 else 1),
    ),
    ("signs", "all weights move by lr", lambda d, w, g, t: w - d.lr * np.sign(g)),
    ("late", "the first update changes nothing", lambda d, w, g, t: w - d.lr * g * (t > 0)),
    ("stops", "it stops after 6 updates", lambda d, w, g, t: w - d.lr * g * (t < 6)),
    ("warms up", TIMES, lambda d, w, g, t: w - d.lr * min(1, (t + 1) / 5) * g),
    ("constant", TIMES, lambda d, w, g, t: w - d.lr / 7 * g),
    ("steps down", "the learning rate falls to 0.5", lambda d, w, g, t: w - d.lr * 0.5 ** (t // 4) * g),
    ("noise", "", lambda d, w, g, t: w - d.lr * g * (1 + 0.01 * np.sin(1 + np.arange(w.size)).reshape(w.shape))),
    ("cut values", "", lambda d, w, g, t: w - d.lr * np.clip(g, -0.1 * np.abs(g).max(), np.abs(g).max())),
    ("positive", "", lambda d, w, g, t: np.maximum(w - d.lr * g, 0.3)),
    ("half weights", "", lambda d, w, g, t: (w - d.lr * g).astype(np.float16)),
    ("intercept", "", lambda d, w, g, t: w - d.lr * np.concatenate([g[:-1], 2 * g[-1:]])),
]
CLIPPED = next(step for name, _, step in STEPS if name == "clipped")
Change = Callable[[Array, Array], tuple[Array, Array]]


def spread(columns: Array) -> Array:
    """Return the standard deviations of the columns that vary, 1 for the others."""
    return np.asarray(np.where(columns.std(axis=0) > 0, columns.std(axis=0), 1))


def middle(columns: Array) -> Array:
    """Return the means of the columns that vary, 0 for the others."""
    return np.asarray(np.where(columns.std(axis=0) > 0, columns.mean(axis=0), 0))


DATA: list[tuple[str, str, Change]] = [
    ("centred", "the columns are centred", lambda X, y: (X - middle(X), y)),
    ("scaled", "the columns are divided by", lambda X, y: (X / spread(X), y)),
    ("standardised", "the columns are standardised", lambda X, y: ((X - middle(X)) / spread(X), y)),
    ("centred target", "the target is centred", lambda X, y: (X, y - y.mean(axis=0))),
    ("standardised target", "the target is standardised", lambda X, y: (X, (y - y.mean(axis=0)) / y.std(axis=0))),
    ("first column last", "the columns or the weights", lambda X, y: (np.roll(X, -1, axis=1), y)),
    ("other rows", "", lambda X, y: (X, np.roll(y, 1, axis=0))),
    ("backwards", "", lambda X, y: (X, y[::-1])),
    ("coarse", "they agree only as TF32", lambda X, y: (X.astype(np.float16), y)),
    ("shifted", "", lambda X, y: (X - X.min(axis=0) * (X.std(axis=0) > 0), y)),
]


@functools.cache
def known(name: str, dtype: str) -> tuple[Problem, ReferenceSolution]:
    """A problem and its reference at the updates that a campaign checks."""
    problem = catalogue.cast(catalogue.build(name)[0], dtype)
    last = problem.steps
    return problem, truth(problem, sorted({t for t in (1, 2, 3, 5, 8, last // 2) if 0 < t < last} | {last}))


def words(name: str, dtype: str, step: Step, change: Change = lambda X, y: (X, y)) -> str:
    """Return the diagnosis of the first check that fails; "" if none does."""
    problem, reference = known(name, dtype)
    X, y = (np.ascontiguousarray(array, problem.X.dtype) for array in change(problem.X, problem.y))
    descent = Descent(replace(problem, X=X, y=y), step)
    for t in reference.at:
        weights = descent.run(t)
        error, allowed = reference.distance(weights, t, 0.0, problem.w0)
        if not error <= allowed:
            return diagnose(problem, reference, weights, t, 0.0)
    return ""


def is_right(found: list[str], expected: str, at_least: int) -> bool:
    """Return whether all diagnoses are the expected one or none, and enough of them are it."""
    given = [text for text in found if text not in (UNKNOWN_MISTAKE, "")]
    return all(expected and re.match(f".*({expected})", text) for text in given) and len(given) >= at_least


@pytest.mark.parametrize(("name", "expected", "step"), STEPS, ids=[name for name, _, _ in STEPS])
def test_a_wrong_update_gets_its_own_diagnosis_or_none(name: str, expected: str, step: Step) -> None:
    found = [words(*case, step) for case in CASES]
    assert is_right(found, expected, 3 * bool(expected)), found
    assert (name == "right") == (set(found) == {""})


@pytest.mark.parametrize(("name", "expected", "change"), DATA, ids=[name for name, _, _ in DATA])
def test_wrong_data_get_their_own_diagnosis_or_none(name: str, expected: str, change: Change) -> None:
    found = [words(*case, lambda d, w, g, t: w - d.lr * g, change) for case in CASES]
    assert is_right(found, expected, 0 if name == "coarse" else 3 * bool(expected)), found


def test_a_mistake_that_only_another_start_shows_is_named() -> None:
    """Mini-batches: later checks of the own start use batches that are not simulated. So far away it is clipped."""
    problem, reference = known("300x6@30", "float64")
    far = Descent(replace(problem, w0=reference.expected(0, 10.0).reshape(problem.w0.shape).astype(float)), CLIPPED)
    assert words("300x6@30", "float64", CLIPPED) == ""
    assert "clipped or normalised" in diagnose(problem, reference, far.run(1), 1, 10.0)
