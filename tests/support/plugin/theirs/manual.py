"""Their descent, in NumPy."""

import numpy as np

from impls.interface import Array, Device, Problem, Run, Unsupported


def prepare(problem: Problem, device: Device) -> Run:
    if device != "cpu":
        raise Unsupported("theirs runs on the cpu only")
    order = problem.order

    def run(start: Array, steps: int, /) -> Array:
        w = start.copy()
        for t in range(steps):
            X, y = (problem.X, problem.y) if order is None else (problem.X[order[t]], problem.y[order[t]])
            residual = np.dot(X, w) - y
            w -= 2 * problem.lr / residual.size * np.dot(X.T, residual)
        return w

    return run
