"""The truth: iterates in extended precision, and how far from them honest arithmetic may end.

**Iterates.** Full batch: w[t+1] = w[t] - lr (H w[t] - c), H = 2/(n k) X'X and c = 2/(n k) X'y. H and c are summed by
an error-free splitting (Ozaki, Ogita, Oishi, Rump 2012): each column of [X y] is cut into slices of 20 bits, so a
product of two slices has 40 bits and a float64 BLAS sums 4096 of them without rounding, in any order; 60 bits are kept.
Mini-batches: residual and gradient in `np.longdouble`, as written in the interface. The recurrence runs in
`np.longdouble` (64-bit mantissa on x86, 113 on most other 64-bit Linux; where it is no wider than float64 its own error
is part of what is allowed).

**Any start from two.** A descent is affine in its start, so from start w0 + c v it ends at (1 - c) times what w0 gives
plus c times what w0 + v gives. Two descents are computed; every timed round starts at another c in [0, 1].

**Allowed distance.** Let u be the unit round-off and g(m) = m u / (1 - m u), which bounds m rounding errors in any
order of summation (Higham 2002, Accuracy and Stability of Numerical Algorithms, Lemma 3.1 and section 3.1).

    prediction and residual    |err r|      <= g(d+2) s,  s = |X||w| + |y|                     (d products, minus y)
    gradient                   |err grad_j| <= 2/(b k) (g(d+2) |X|'s + g(b+4) |X|'|r|)_j         (b products, scaling)
    update                     |err w_j|    <= lr |err grad_j| + u (|w_j| + 4 lr |grad_j|)       =: delta_j
    TF32                       each factor of a product is rounded first: 2 v more in both g, v = 2^-11 (1 + 2^-11)
    all steps                  E[t+1] = rho_t E[t] + ||delta[t]||_2,   rho_t = ||I - lr H_t||_2   (per target, 2-norm)

The probabilistic bound of Higham and Mary (2019), sqrt(m) for m, is sharper for long sums and was tried: it takes
errors to have mean 0, and in tables of few distinct values they all point one way. Honest float32 descents on 300,000
rows of zeros and ones ended 2.8 times as far away as it allows.

On the full batch |X|'|r| <= ||X_j|| ||r[t]|| <= ||X_j|| ||r[0]|| (the loss does not grow below lr = 2/L) and |w| is
replaced by its largest value over the descent, so that the bound costs one pass over X.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from benchmarks.problems.catalogue import curvatures
from impls.interface import Array, Problem

CHUNK = 4096  # rows whose 40-bit products float64 sums exactly: 2^12 * 2^40 < 2^53
DIGITS = 1e-6  # of the mean square of y: above it, a loss that is a difference of such sums has its first ten digits
SLICE = 20  # bits of a slice
TF32 = 2.0**-11 * (1 + 2.0**-11)  # half of what rounding both factors of a product to 10 bits may do to it
LONG = np.longdouble


@dataclass(frozen=True)
class Quadratic:
    """The mean squared error over all rows: sum(w' H w / 2 - c' w) + mean_square; H (d, d) and c (d, k) of `hessian`.

    mean_square: of y.
    """

    H: Array
    c: Array
    mean_square: float

    def loss(self, weights: Array) -> float | None:
        """Return the loss of weights (d,) or (d, k); None where the difference leaves too few digits of it."""
        w = _columns(weights).astype(LONG)
        loss = float((w * (self.H @ w / 2 - self.c)).sum() + LONG(self.mean_square))
        return loss if loss > DIGITS * self.mean_square else None


@dataclass(frozen=True)
class ReferenceSolution:
    """The reference: iterates (d, k) from w0 and from w0 + direction after the updates `at`, and the tolerance (k,)."""

    w0: Array
    lr: float
    direction: Array
    iterates: dict[int, tuple[Array, Array]]
    allowed: dict[int, Array]
    contraction: dict[int, float]
    neighbours: dict[int, tuple[Array, Array]]  # the iterates t - 1 and t + 1, for the words of a diagnosis
    quadratic: Quadratic | None = None  # of a full batch

    @property
    def at(self) -> list[int]:
        """The updates with known iterates, rising, without 0."""
        return sorted(self.iterates)[1:]

    def start(self, c: float) -> Array:
        """Return the start w0 + c v in the problem's dtype."""
        return (self.w0 + c * self.direction).astype(self.w0.dtype)

    def expected(self, t: int, c: float) -> Array:
        """Return the iterate after t updates from the start at c, (d, k). It also knows the neighbours of `at`."""
        here, there = self.iterates[t] if t in self.iterates else self.neighbours[t]
        return here + LONG(c) * (there - here)

    def distance(self, weights: Array, t: int, c: float, start: Array) -> tuple[float, float]:
        """Return the 2-norm of the worst target's error after t updates, and its tolerance."""
        error = np.linalg.norm(_columns(weights).astype(LONG) - self.expected(t, c), axis=0)
        rounded = np.linalg.norm(_columns(start).astype(LONG) - self.expected(0, c), axis=0)
        allowed = self.allowed[t] + self.contraction[t] * rounded
        worst = int(np.argmax(np.where(np.isnan(error), np.inf, error / allowed)))
        return float(error[worst]), float(allowed[worst])


def truth(problem: Problem, at: list[int], coarse: float = 0.0) -> ReferenceSolution:
    """Return the iterates after the updates `at` (0 and their neighbours are added) and their tolerances.

    coarse: the relative rounding of a factor if products are taken in TF32.
    """
    wanted = {0, *at}
    known = wanted | {t + shift for t in at for shift in (-1, 1)}
    direction = np.where(np.arange(problem.w0.size).reshape(problem.w0.shape) % 2, -0.75, 0.5)
    w0 = _columns(problem.w0).astype(LONG)
    starts = np.hstack([w0, w0 + _columns(direction)])  # (d, 2 k)
    k = w0.shape[1]
    quadratic, descent = None, _batches(problem, starts, max(known), coarse)  # not begun before its first iterate
    if problem.order is None:
        Y = _columns(problem.y).astype(np.float64)
        quadratic = Quadratic(*hessian(problem, Y), float(np.square(Y).sum(dtype=LONG) / Y.size))
        descent = _full(problem, starts, max(known), coarse, quadratic)
    iterates: dict[int, Array] = {}
    allowed: dict[int, Array] = {}
    contraction: dict[int, float] = {}
    bound, rho_all = np.zeros(k), 1.0
    for t, (W, delta, rho) in enumerate(descent):
        if t in known:
            iterates[t] = W
            allowed[t], contraction[t] = bound.copy(), rho_all
        bound = rho * bound + np.maximum(delta[:k], delta[k:])
        rho_all *= rho
    pairs = {t: (W[:, :k], W[:, k:]) for t, W in iterates.items()}
    own, others = ({t: pair for t, pair in pairs.items() if (t in wanted) == own} for own in (True, False))
    return ReferenceSolution(problem.w0, problem.lr, direction, own, allowed, contraction, others, quadratic)


def hessian(problem: Problem, Y: Array) -> tuple[Array, Array]:
    """Return H = 2/(n k) X'X (d, d) and 2/(n k) X'Y (d, m), exact to about 60 bits of each column's largest element."""
    X, d = problem.X, problem.X.shape[1]
    largest = np.concatenate([np.maximum(M.max(axis=0), -M.min(axis=0)) for M in (X, Y)]).astype(np.float64)
    scale = 2.0 ** np.ceil(np.log2(np.maximum(largest, 1e-300)))
    total = np.zeros((len(scale), len(scale)), LONG)
    for first in range(0, len(X), CHUNK):
        rows = slice(first, first + CHUNK)
        high, middle, low = _slices(np.column_stack([X[rows], Y[rows]]) / scale)
        cross = high.T @ middle, high.T @ low
        total += (high.T @ high).astype(LONG)
        for part in (*cross, *(part.T for part in cross), middle.T @ middle):
            total += part
    total *= np.outer(scale, scale).astype(LONG) * LONG(2) / LONG(problem.y.size)
    return total[:d, :d], total[:d, d:]


def _slices(M: Array) -> Iterator[Array]:
    """Split M, |M| <= 1, into a sum of three parts of SLICE bits each; the last is the remainder."""
    for slices in (1, 2):
        grid = 2.0 ** (SLICE * slices - 1)
        part = np.round(M * grid) / grid
        yield part
        M = M - part
    grid = 2.0 ** (SLICE * 3 - 1)
    yield np.round(M * grid) / grid


def _full(
    problem: Problem, W: Array, steps: int, coarse: float, quadratic: Quadratic
) -> Iterator[tuple[Array, Array, float]]:
    """Return the full-batch iterates with each step's delta (2 k,) and rho. The bound uses the whole path."""
    Y, H, c = _columns(problem.y).astype(np.float64), quadratic.H, np.hstack([quadratic.c] * 2)
    path = [W]
    for _ in range(steps):
        path.append(path[-1] - LONG(problem.lr) * (H @ path[-1] - c))
    largest = np.max([np.abs(W) for W in path], axis=0).astype(np.float64)  # (d, 2 k)
    squares, spread, start = np.zeros(W.shape[1]), np.zeros(W.shape), W.astype(np.float64)
    for first in range(0, len(Y), CHUNK):  # X may be most of the memory: no second copy of it
        A, B = problem.X[first : first + CHUNK].astype(np.float64), np.tile(Y[first : first + CHUNK], 2)
        squares += ((A @ start - B) ** 2).sum(axis=0)
        A, B = np.abs(A), np.abs(B)
        spread += A.T @ (A @ largest + B)
    norms = np.sqrt(np.diagonal(H).astype(np.float64) * (problem.y.size / 2))  # (d,), of the columns
    delta = _delta(problem, len(Y), spread, largest, np.outer(norms, np.sqrt(squares)), coarse)
    spectrum = np.linalg.eigvalsh(H.astype(np.float64))
    rho = max(abs(1 - problem.lr * max(spectrum[0], 0.0)), abs(1 - problem.lr * spectrum[-1]))
    return ((W, delta, rho) for W in path)


def _batches(problem: Problem, W: Array, steps: int, coarse: float) -> Iterator[tuple[Array, Array, float]]:
    """Return the iterates over the batches of `order`, repeated after its last row, with each step's delta and rho."""
    assert problem.order is not None
    X, Y = problem.X.astype(LONG), _columns(problem.y).astype(LONG)
    spectra = curvatures(problem.X.astype(np.float64), problem.y, problem.order)
    for t in range(steps + 1):
        rows = problem.order[t % problem.steps]
        X_t, Y_t = X[rows], np.hstack([Y[rows], Y[rows]])
        residual = X_t @ W - Y_t
        A, r = np.abs(X_t).astype(np.float64), np.abs(residual).astype(np.float64)
        low, high = spectra[t % problem.steps]
        B, size = np.abs(Y_t).astype(np.float64), np.abs(W).astype(np.float64)
        delta = _delta(problem, len(rows), A.T @ (A @ size + B), size, A.T @ r, coarse)
        yield W, delta, max(abs(1 - problem.lr * low), abs(1 - problem.lr * high))
        W = W - LONG(problem.lr) * (LONG(2) / (len(rows) * Y.shape[1])) * (X_t.T @ residual)


def _delta(problem: Problem, b: int, spread: Array, W: Array, correlation: Array, coarse: float) -> Array:
    """Return ||delta||_2 per column for b rows: spread = |X_t|'(|X_t| W + |y_t|), W = |w|, correlation >= |X_t|'|r|."""
    d = len(W)
    u = float(np.finfo(problem.X.dtype).eps) / 2 + float(np.finfo(LONG).eps) / 2
    mean = 2 / (b * problem.y[0].size)
    here, there = _gamma(d + 2, u) + 2 * coarse, _gamma(b + 4, u) + 2 * coarse
    gradient = mean * (here * spread + there * correlation)
    delta = problem.lr * gradient + u * (W + 4 * problem.lr * mean * correlation)
    norms: Array = np.linalg.norm(delta, axis=0)
    return norms


def _gamma(m: int, u: float) -> float:
    half = min(m * u, 0.5)  # from there on the bound says nothing of a strictly sequential sum
    return half / (1 - half)


def _columns(array: Array) -> Array:
    return array.reshape(len(array), -1)
