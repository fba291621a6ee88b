"""Descents in coarser arithmetic than the problem's, whose errors are compared with those of an implementation."""

import numpy as np

from benchmarks.reference.solution import columns
from impls.interface import Array, Problem

COARSER_DTYPE = {"float64": "float32", "float32": "TF32"}
MAX_READ_NUMBERS = 10**8  # of X, by all updates: about a second


def descend(problem: Problem, start: Array, steps: int, rounded: bool = True) -> Array:
    """Return the weights (d, k), float64, of a descent in float32 for float64 data; in TF32 for float32 data.

    rounded: whether factors are rounded to TF32; some processors truncate them.
    """

    def cut(array: Array) -> Array:
        return tf32(array, rounded) if problem.X.dtype == np.float32 else array

    X, y = (array.astype(np.float32) for array in (problem.X, columns(problem.y)))
    W: Array = columns(start).astype(np.float32)
    for t in range(steps):
        rows = slice(None) if problem.order is None else problem.order[t % problem.steps]
        X_t = cut(X[rows])
        residual = X_t @ cut(W) - y[rows]
        W = W - np.float32(2 * problem.lr / residual.size) * (X_t.T @ cut(residual))
    return W.astype(np.float64)


def affordable(problem: Problem, updates: int) -> bool:
    """Return whether that many updates take about a second."""
    rows = len(problem.X) if problem.order is None else problem.order.shape[1]
    return bool(rows * problem.X.shape[1] * updates + problem.X.size <= MAX_READ_NUMBERS)


def tf32(array: Array, rounded: bool = True) -> Array:
    """Return float32 numbers rounded or truncated to 10 bits of the mantissa."""
    bits = (np.ascontiguousarray(array).view(np.int32) + 0x1000 * rounded) & ~0x1FFF
    return np.asarray(bits.view(np.float32))
