"""The closed form, timed in a fresh process for `bench_closed_form.py`.

usage: python -m benchmarks.extra.closed_form CORES FOLDER WAY ROUNDS. It prints JSON: the seconds of each round, and
the residual of the normal equations X'(X w - y) = 0 over the rounding of an honest solver (1: at the bound).
"""

import json
import sys
from collections.abc import Callable
from time import perf_counter

import numpy as np

from benchmarks.worker.arrays import read
from benchmarks.worker.server import pin
from impls.interface import Array, Problem

WAYS: dict[str, Callable[[Array, Array], Array]] = {
    "lstsq": lambda X, y: np.asarray(np.linalg.lstsq(X, y)[0]),
    "normal": lambda X, y: np.asarray(np.linalg.solve(X.T @ X, X.T @ y)),
}


def main(folder: str, way: str, rounds: int) -> None:
    """Solve once, then time ROUNDS solutions."""
    problem, seconds = read(folder), []
    w = WAYS[way](problem.X, problem.y)
    for _ in range(rounds):
        start = perf_counter()
        w = WAYS[way](problem.X, problem.y)
        seconds.append(perf_counter() - start)
    sys.stdout.write(json.dumps({"seconds": seconds, "off": off(problem, w)}) + "\n")


def off(problem: Problem, w: Array) -> float:
    """Return the largest |X'(X w - y)| over its bound: sums of n + d terms and a solution of d unknowns, each rounded.

    The bound is a small multiple of (n + 3 d) u |X'| (|X| |w| + |y|) (Higham 2002, section 20.4).
    """
    X, y, w = (array.astype(np.float64) for array in (problem.X, problem.y, w))
    n, d = X.shape
    bound = (2 * n + 6 * d) * np.finfo(problem.X.dtype).eps / 2 * (np.abs(X).T @ (np.abs(X) @ np.abs(w) + np.abs(y)))
    return float(np.max(np.abs(X.T @ (X @ w - y)) / bound))


if __name__ == "__main__":
    pin(sys.argv[1])
    main(sys.argv[2], sys.argv[3], int(sys.argv[4]))
