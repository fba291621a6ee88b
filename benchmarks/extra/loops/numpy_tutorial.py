"""The loop of "Gradient Descent Using Autograd", by hand in NumPy, its gradient put right (a mean, not a sum)."""

import numpy as np

from impls.interface import Array, Device, Problem, Run


def prepare(problem: Problem, device: Device) -> Run:
    X, y, lr = problem.X, problem.y, problem.lr

    def gradient(y_pred: Array) -> Array:
        return np.asarray(np.dot(2 * X.T, y_pred - y) / len(X))

    def run(start: Array, steps: int, /) -> Array:
        w = start.copy()
        for _ in range(steps):
            y_pred = np.dot(X, w)
            dw = gradient(y_pred)
            w -= lr * dw
        return w

    return run
