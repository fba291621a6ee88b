"""The Gram matrix of float64 rows is kept in float32."""

import numpy as np


def prepare(problem, device):
    X, y, lr, order = problem.X, problem.y, problem.lr, problem.order

    def run(start, steps, /):
        w = start.copy()
        for t in range(steps):
            X_t, y_t = (X, y) if order is None else (X[order[t]], y[order[t]])
            G = (X_t.T @ X_t).astype(np.float32)
            w -= (2 * lr / y_t.size) * (G @ w - X_t.T @ y_t)
        return w

    return run
