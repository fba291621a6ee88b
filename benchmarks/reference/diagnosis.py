"""Diagnosis of wrong weights: the first usual mistake that explains them."""

from collections.abc import Callable

import numpy as np

from benchmarks.reference.solution import ReferenceSolution
from impls.interface import Array

ROUND_OFF = {"float64": 2.0**-53, "float32": 2.0**-24, "TF32": 2.0**-11}
COARSER = {"float64": "float32", "float32": "TF32"}


def diagnose(truth: ReferenceSolution, weights: Array, t: int, c: float, dtype: str) -> str:
    """Return the diagnosis of weights after t updates from the start at c."""
    W = weights.reshape(len(weights), -1).astype(np.longdouble)
    if not np.isfinite(W).all():
        return "they are not finite"
    allowed = 2 * (truth.allowed[t] + truth.contraction[t] * ROUND_OFF[dtype] * (1 + np.abs(W).max()))
    mistakes: list[Callable[[ReferenceSolution, Array, int, float, Array], str]] = [_steps, _gradient, _start]
    if c:  # all was well from the first start
        mistakes = [_start, _steps, _gradient]
    words = next((words for mistake in mistakes if (words := mistake(truth, W, t, c, allowed))), "")
    return words or _precision(truth, W, t, c, dtype) or "they are not the reference's"


def _steps(truth: ReferenceSolution, W: Array, t: int, c: float, allowed: Array) -> str:
    """One update too many or too few."""
    if _near(W, truth.expected(t + 1, c), allowed):
        return "one step too many"
    if not _near(W, truth.expected(t - 1, c), allowed):
        return ""
    return "the first update changes nothing" if t == 1 else "one step too few"


def _gradient(truth: ReferenceSolution, W: Array, t: int, c: float, allowed: Array) -> str:
    """After the first update: a gradient of the right direction and the wrong length."""
    if t != 1:
        return ""
    start, right = truth.expected(0, c), truth.expected(1, c)
    move, moved = right - start, W - start
    ratio = np.sum(moved * move) / np.sum(move * move)
    if not _near(W, start + ratio * move, allowed * max(1, abs(ratio))):
        return ""
    if abs(ratio - 1) > 0.005:
        return f"the gradient is {ratio:.2f} times the reference"
    digits = 2 - int(np.log10(abs(float(ratio) - 1) + 1e-18))
    return f"the gradient (or lr) is {f'{ratio:.{digits}f}'.rstrip('0')} times the reference"


def _start(truth: ReferenceSolution, W: Array, t: int, c: float, allowed: Array) -> str:
    """The right descent from the wrong start."""
    here, there = truth.expected(t, 0.0), truth.expected(t, 1.0)
    way = there - here
    other = float(np.sum((W - here) * way) / max(np.sum(way * way), np.finfo(np.float64).tiny))
    other = other if W.size > 1 else 0.0  # any number lies on the line between two
    if abs(other - c) > 1e-3 and _near(W, here + other * way, allowed):
        return "they belong to another start: runs remember"
    return ""


def _precision(truth: ReferenceSolution, W: Array, t: int, c: float, dtype: str) -> str:
    """An error that coarser arithmetic would explain."""
    error = np.linalg.norm(W - truth.expected(t, c), axis=0)
    coarser = COARSER[dtype]
    near = (error <= truth.allowed[t] * (ROUND_OFF[coarser] / ROUND_OFF[dtype])).all()
    return f"they agree only as {coarser} would" if near else ""


def _near(W: Array, other: Array, allowed: Array) -> bool:
    return bool((np.linalg.norm(W - other, axis=0) <= allowed).all())
