"""The reference solution: iterates in extended precision, each with the tolerance of `tolerance.py`.

**Iterates.** Full batch: w[t+1] = w[t] - lr (H w[t] - c), H = 2/(n k) X'X and c = 2/(n k) X'y. H and c are summed by
an error-free splitting (Ozaki, Ogita, Oishi, Rump 2012). Each column of [X y] is cut into slices of 20 bits, so a
product of two slices has 40 bits. A float64 BLAS sums 4096 of them without rounding, in any order. 60 bits are kept.
Mini-batches, and a full batch with fewer rows than features, whose H would be larger than X: residual and gradient in
`np.longdouble`, as written in the interface. The recurrence runs in `np.longdouble`: 64 bits of mantissa on x86, 113 on
most other 64-bit Linux. Where it is no wider than float64, its own error is part of the tolerance.

**Any start from a few.** A descent is affine in its start: from w0 + V c it ends where w0 ends, plus V[t] c. V[t] are
the descents of the columns of V over the same X with y = 0. Every timed round draws another c in [-1, 1]^m for each
target. A column of V moves some of the weights by START_SCALE, up or down at random; no two move the same. There are
as many as weights, so that starts fill all dimensions. If that takes more than MAX_START_PRODUCTS, the weights are
distributed over fewer columns at random.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from benchmarks.problems.catalogue import curvatures
from benchmarks.reference.tolerance import LONG_DOUBLE, START_SCALE, largest_size, step_tolerance
from impls.interface import Array, Problem

CHUNK_ROWS = 4096  # whose 40-bit products float64 sums exactly: 2^12 * 2^40 < 2^53
MIN_LOSS_SHARE = 1e-6  # of the mean square of y; above, a difference of such sums has its first ten digits
SLICE_BITS = 20
Coefficients = Array | float  # (m, k) in [-1, 1], or one number for all; 0 is the problem's own start
MAX_START_PRODUCTS = 5e7  # in extended precision, for starts in all dimensions: about 0.2 s
MIN_DIRECTIONS = 4  # of starts, where all would take longer


@dataclass(frozen=True)
class Quadratic:
    """The mean squared error, sum(w' H w / 2 - c' w) + mean_square of y; H (d, d) and c (d, k) of `hessian`."""

    H: Array
    c: Array
    mean_square: float

    def loss(self, weights: Array) -> float | None:
        """Return the loss of weights (d,) or (d, k); None where the difference leaves too few digits of it."""
        w = columns(weights).astype(LONG_DOUBLE)
        loss = float((w * (self.H @ w / 2 - self.c)).sum() + LONG_DOUBLE(self.mean_square))
        return loss if loss > MIN_LOSS_SHARE * self.mean_square else None


@dataclass(frozen=True)
class ReferenceSolution:
    """The reference: iterates from any start w0 + V c, and the tolerance (k,).

    at: the updates after which descents are compared with it, rising, without 0. directions: V (d, m). iterates: the
    weights (d, k) from w0 after t updates, and V[t] (d, m), for 0, `at`, their neighbours and what else is shown.
    """

    at: list[int]
    w0: Array
    directions: Array
    iterates: dict[int, tuple[Array, Array]]
    allowed: dict[int, Array]
    contraction: dict[int, float]
    quadratic: Quadratic | None  # of a full batch with at least as many rows as features

    def draw(self, rng: np.random.Generator) -> Array:
        """Return the coefficients (m, k) of a random start."""
        return rng.uniform(-1, 1, (self.directions.shape[1], columns(self.w0).shape[1]))

    def start(self, c: Coefficients) -> Array:
        """Return the start w0 + V c in the problem's dtype."""
        start: Array = self.w0 + self._moved(self.directions, c).reshape(self.w0.shape)
        return start.astype(self.w0.dtype)

    def expected(self, t: int, c: Coefficients) -> Array:
        """Return the iterate after t updates from the start at c, (d, k)."""
        from_w0, moves = self.iterates[t]
        return np.asarray(from_w0 + self._moved(moves, c))

    def _moved(self, directions: Array, c: Coefficients) -> Array:
        """Return V c or V[t] c, (d, k)."""
        shape = directions.shape[1], columns(self.w0).shape[1]
        return np.asarray(directions @ np.broadcast_to(c, shape).astype(directions.dtype))

    def distance(self, weights: Array, t: int, c: Coefficients, start: Array) -> tuple[float, float]:
        """Return the 2-norm of the worst target's error after t updates, and its tolerance."""
        error = np.linalg.norm(columns(weights).astype(LONG_DOUBLE) - self.expected(t, c), axis=0)
        rounded = np.linalg.norm(columns(start).astype(LONG_DOUBLE) - self.expected(0, c), axis=0)
        allowed = self.allowed[t] + self.contraction[t] * rounded
        worst = int(np.argmax(np.where(np.isnan(error), np.inf, error / allowed)))
        return float(error[worst]), float(allowed[worst])


def truth(problem: Problem, at: list[int], coarse: float = 0.0, shown: Iterable[int] = ()) -> ReferenceSolution:
    """Return the iterates after the updates `at` (0 and their neighbours are added) and their tolerances.

    coarse: the relative rounding of a factor if products are taken in TF32. shown: further updates whose iterates are
    kept; they are not in `at`.
    """
    kept = {0, *shown} | {t + shift for t in at for shift in (-1, 0, 1)}
    V = _directions(problem, max(kept))
    w0 = columns(problem.w0).astype(LONG_DOUBLE)
    starts = np.hstack([w0, V])  # (d, k + m)
    k = w0.shape[1]
    quadratic, descent = None, _by_rows(problem, starts, max(kept), coarse)  # not begun before its first iterate
    if _has_hessian(problem):
        Y = columns(problem.y).astype(np.float64)
        quadratic = Quadratic(*hessian(problem, Y), float(np.square(Y).sum(dtype=LONG_DOUBLE) / Y.size))
        descent = _by_hessian(problem, starts, max(kept), coarse, quadratic)
    iterates: dict[int, tuple[Array, Array]] = {}
    allowed: dict[int, Array] = {}
    contraction: dict[int, float] = {}
    bound, rho_all = np.zeros(k), 1.0
    for t, (W, delta, rho) in enumerate(descent):
        if t in kept:
            iterates[t] = W[:, :k], W[:, k:]
            allowed[t], contraction[t] = bound.copy(), rho_all
        bound = rho * bound + delta
        rho_all *= rho
    return ReferenceSolution(sorted({*at} - {0}), problem.w0, V, iterates, allowed, contraction, quadratic)


def _has_hessian(problem: Problem) -> bool:
    """Return whether the iterates come from the Hessian of a full batch: X is not smaller."""
    return problem.order is None and problem.X.shape[0] >= problem.X.shape[1]


def _directions(problem: Problem, steps: int) -> Array:
    """Return V (d, m): one column moves each weight, by START_SCALE. It is random, so no implementation can know it."""
    d, rng = len(problem.w0), np.random.default_rng()
    rows = len(problem.X) if problem.order is None else problem.order.shape[1]
    step = d * d if _has_hessian(problem) else 2 * rows * d
    m = min(d, max(MIN_DIRECTIONS, int(MAX_START_PRODUCTS / (steps * step))))
    V = np.zeros((d, m))
    V[np.arange(d), rng.permutation(d) % m] = START_SCALE * rng.choice([-1.0, 1.0], d)
    return V


def hessian(problem: Problem, Y: Array) -> tuple[Array, Array]:
    """Return H = 2/(n k) X'X (d, d) and 2/(n k) X'Y (d, m), exact to about 60 bits of each column's largest element."""
    X, d = problem.X, problem.X.shape[1]
    largest = np.concatenate([np.maximum(M.max(axis=0), -M.min(axis=0)) for M in (X, Y)]).astype(np.float64)
    scale = 2.0 ** np.ceil(np.log2(np.maximum(largest, 1e-300)))
    total = np.zeros((len(scale), len(scale)), LONG_DOUBLE)
    for first in range(0, len(X), CHUNK_ROWS):
        rows = slice(first, first + CHUNK_ROWS)
        high, middle, low = _slices(np.column_stack([X[rows], Y[rows]]) / scale)
        cross = high.T @ middle, high.T @ low
        total += (high.T @ high).astype(LONG_DOUBLE)
        for product in (*cross, *(product.T for product in cross), middle.T @ middle):
            total += product
    total *= np.outer(scale, scale).astype(LONG_DOUBLE) * LONG_DOUBLE(2) / LONG_DOUBLE(problem.y.size)
    return total[:d, :d], total[:d, d:]


def _slices(M: Array) -> Iterator[Array]:
    """Split M, |M| <= 1, into a sum of three parts of SLICE_BITS each."""
    for slices in (1, 2, 3):
        grid = 2.0 ** (SLICE_BITS * slices - 1)
        rounded = np.round(M * grid) / grid
        yield rounded
        M = M - rounded


def _by_hessian(
    problem: Problem, W: Array, steps: int, coarse: float, quadratic: Quadratic
) -> Iterator[tuple[Array, Array, float]]:
    """Return the full-batch iterates (d, k + m) with each step's delta (k,) and rho. The bound uses the whole path."""
    Y, H = columns(problem.y).astype(np.float64), quadratic.H
    k = quadratic.c.shape[1]
    c = np.hstack([quadratic.c, np.zeros((len(W), W.shape[1] - k))])
    path = [*accumulate(range(steps), lambda W, _: W - LONG_DOUBLE(problem.lr) * (H @ W - c), initial=W)]
    largest = np.max([largest_size(W, k) for W in path], axis=0)  # (d, k)
    squares, spread, start = np.zeros(k), np.zeros(largest.shape), W[:, :k].astype(np.float64)
    for first in range(0, len(Y), CHUNK_ROWS):  # X may be most of the memory: no second copy of it
        A, B = problem.X[first : first + CHUNK_ROWS].astype(np.float64), Y[first : first + CHUNK_ROWS]
        squares += ((A @ start - B) ** 2).sum(axis=0)
        A, B = np.abs(A), np.abs(B)
        spread += A.T @ (A @ largest + B)
    norms = np.sqrt(np.diagonal(H).astype(np.float64) * (problem.y.size / 2))  # (d,), of the columns
    spectrum = np.linalg.eigvalsh(H.astype(np.float64))
    farther = START_SCALE * np.sqrt(len(W) * max(spectrum[-1], 0.0) * problem.y.size / 2)
    delta = step_tolerance(problem, len(Y), spread, largest, np.outer(norms, np.sqrt(squares) + farther), coarse)
    rho = max(abs(1 - problem.lr * max(spectrum[0], 0.0)), abs(1 - problem.lr * spectrum[-1]))
    return ((W, delta, rho) for W in path)


def _by_rows(problem: Problem, W: Array, steps: int, coarse: float) -> Iterator[tuple[Array, Array, float]]:
    """Return the iterates over all rows, or the batches of `order` again and again, with each step's delta and rho."""
    X, Y = problem.X.astype(LONG_DOUBLE), columns(problem.y).astype(LONG_DOUBLE)
    k = Y.shape[1]
    spectra = curvatures(problem.X.astype(np.float64), problem.y, problem.order)
    for t in range(steps + 1):
        batch = t % len(spectra)
        rows = slice(None) if problem.order is None else problem.order[batch]
        X_t, Y_t = X[rows], Y[rows]
        residual = X_t @ W
        residual[:, :k] -= Y_t
        A, r = np.abs(X_t).astype(np.float64), largest_size(residual, k)
        low, high = spectra[batch]
        B, size = np.abs(Y_t).astype(np.float64), largest_size(W, k)
        delta = step_tolerance(problem, len(X_t), A.T @ (A @ size + B), size, A.T @ r, coarse)
        yield W, delta, max(abs(1 - problem.lr * low), abs(1 - problem.lr * high))
        W = W - LONG_DOUBLE(problem.lr) * (LONG_DOUBLE(2) / (len(X_t) * k)) * (X_t.T @ residual)


def columns(array: Array) -> Array:
    """Return (m,) or (m, k) as (m, k)."""
    return array.reshape(len(array), -1)
