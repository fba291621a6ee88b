"""The closed form, and scikit-learn's `SGDRegressor`, timed in a fresh process for `bench_closed_form.py`.

usage: python -m benchmarks.extra.closed_form CORES FOLDER WAY ROUNDS. It prints JSON with the seconds of each
round. A closed form adds the residual of the normal equations X'(X w - y) = 0 over the rounding of an honest solver (1:
at the bound). `SGDRegressor`, which stops by its own rule, adds the relative excess of its loss over the least loss.
"""

import json
import math
import sys
from collections.abc import Callable
from time import perf_counter

import numpy as np

from benchmarks.worker.arrays import read
from benchmarks.worker.server import pin
from impls.interface import Array, Problem

SGD = "SGDRegressor"


def ridge(X: Array, y: Array) -> Array:
    """Return the weights of scikit-learn's `Ridge` without a penalty: least squares, by Cholesky."""
    from sklearn.linear_model import Ridge

    model = Ridge(alpha=0, fit_intercept=False, solver="cholesky").fit(X, y)
    return np.asarray(model.coef_).T.reshape(X.shape[1], *y.shape[1:])


def sgd(X: Array, y: Array) -> Array:
    """Return the weights of scikit-learn's `SGDRegressor` with its own schedule and stopping rule, no penalty."""
    from sklearn.linear_model import SGDRegressor

    model, targets = SGDRegressor(penalty=None, fit_intercept=False, random_state=0), y.reshape(len(y), -1).T
    return np.stack([model.fit(X, target).coef_ for target in targets], 1).reshape(X.shape[1], *y.shape[1:])


CLOSED_FORMS: dict[str, Callable[[Array, Array], Array]] = {
    "lstsq": lambda X, y: np.asarray(np.linalg.lstsq(X, y)[0]),
    "normal": lambda X, y: np.asarray(np.linalg.solve(X.T @ X, X.T @ y)),
    "Ridge": ridge,
}
WAYS = CLOSED_FORMS | {SGD: sgd}


def main(folder: str, way: str, rounds: int) -> None:
    """Solve once, then time ROUNDS solutions."""
    problem, seconds = read(folder), []
    w = WAYS[way](problem.X, problem.y)
    for _ in range(rounds):
        start = perf_counter()
        w = WAYS[way](problem.X, problem.y)
        seconds.append(perf_counter() - start)
    quality = {"loss_excess": loss_excess(problem, w)} if way == SGD else {"off": off(problem, w)}
    sys.stdout.write(json.dumps({"seconds": seconds} | quality) + "\n")


def off(problem: Problem, w: Array) -> float:
    """Return the largest |X'(X w - y)| over its bound: sums of n + d terms and a solution of d unknowns, each rounded.

    The bound is a small multiple of (n + 3 d) u |X'| (|X| |w| + |y|) (Higham 2002, section 20.4).
    """
    X, y, w = (array.astype(np.float64) for array in (problem.X, problem.y, w))
    n, d = X.shape
    bound = (2 * n + 6 * d) * np.finfo(problem.X.dtype).eps / 2 * (np.abs(X).T @ (np.abs(X) @ np.abs(w) + np.abs(y)))
    return float(np.max(np.abs(X.T @ (X @ w - y)) / bound))


def loss_excess(problem: Problem, w: Array) -> float | None:
    """Return the relative excess of w's loss over the least loss: 0 for the closed form; None if the latter is 0."""
    X, y = (array.astype(np.float64) for array in (problem.X, problem.y))
    loss, least = (float(np.sum((X @ weights - y) ** 2)) for weights in (w, np.linalg.lstsq(X, y)[0]))
    return loss / least - 1 if least > 0 and math.isfinite(loss) else None


if __name__ == "__main__":
    pin(sys.argv[1])
    main(sys.argv[2], sys.argv[3], int(sys.argv[4]))
