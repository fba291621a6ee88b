"""The tolerance: how far from the reference honest arithmetic may end after each step.

Let u be the unit round-off and g(m) = m u / (1 - m u), which bounds m rounding errors in any
order of summation (Higham 2002, Accuracy and Stability of Numerical Algorithms, Lemma 3.1 and section 3.1).

    prediction and residual    |err r|      <= g(d+2) s,  s = |X||w| + |y|                     (d products, minus y)
    gradient                   |err grad_j| <= 2/(b k) (g(d+2) |X|'s + g(b+4) |X|'|r|)_j         (b products, scaling)
    update                     |err w_j|    <= lr |err grad_j| + u (|w_j| + 4 lr |grad_j|)       =: delta_j
    TF32                       each factor of a product is rounded first: 2 v more in both g, v = 2^-11 (1 + 2^-11)
    all steps                  E[t+1] = rho_t E[t] + ||delta[t]||_2,   rho_t = ||I - lr H_t||_2   (per target, 2-norm)

The probabilistic bound of Higham and Mary (2019), sqrt(m) for m, is sharper for long sums, but too small: it takes
errors to have mean 0. In tables of few distinct values they all point one way. Honest float32 descents on 300,000
rows of zeros and ones ended 2.8 times as far away as it allows.

The bound holds for every c: |w| and |r| are those from w0 plus the sum of their absolute changes by each column of V.

On the full batch |X|'|r| <= ||X_j|| ||r[t]|| <= ||X_j|| ||r[0]||, because the loss does not grow below lr = 2/L. A
start in the box of half width s = START_SCALE adds at most ||X||_2 s sqrt(d) to ||r[0]||. |w| is replaced by its
largest value over the descent, so that the bound costs one pass over X.
"""

import numpy as np

from impls.interface import Array, Problem

TF32 = 2.0**-11 * (1 + 2.0**-11)  # half of the relative error of a product whose factors are rounded to 10 bits
LONG_DOUBLE = np.longdouble  # of the reference
START_SCALE = 0.25  # the most by which a start differs from w0, in each weight


def largest_size(values: Array, k: int) -> Array:
    """Return the largest absolute values (., k) over all c. values (., k + m): from w0, and their changes by V."""
    size = np.abs(values)
    return np.asarray(size[:, :k] + size[:, k:].sum(axis=1, keepdims=True), np.float64)


def step_tolerance(problem: Problem, b: int, spread: Array, W: Array, correlation: Array, coarse: float) -> Array:
    """Return ||delta||_2 per column for b rows: spread = |X_t|'(|X_t| W + |y_t|), W = |w|, correlation >= |X_t|'|r|."""
    d = len(W)
    u = float(np.finfo(problem.X.dtype).eps) / 2 + float(np.finfo(LONG_DOUBLE).eps) / 2
    mean = 2 / (b * problem.y[0].size)
    of_prediction, of_sum = _gamma(d + 2, u) + 2 * coarse, _gamma(b + 4, u) + 2 * coarse
    gradient = mean * (of_prediction * spread + of_sum * correlation)
    delta = problem.lr * gradient + u * (W + 4 * problem.lr * mean * correlation)
    norms: Array = np.linalg.norm(delta, axis=0)
    return norms


def _gamma(m: int, u: float) -> float:
    half = min(m * u, 0.5)  # from there on the bound says nothing of a strictly sequential sum
    return half / (1 - half)
