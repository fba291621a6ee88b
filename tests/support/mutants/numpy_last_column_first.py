"""The last column comes first, and weights come back in that order."""

import numpy as np


def prepare(problem, device):
    X, y, lr, order = problem.X, problem.y, problem.lr, problem.order
    X = np.roll(X, 1, axis=1).copy()

    def run(start, steps, /):
        w = start.copy()
        for t in range(steps):
            X_t, y_t = (X, y) if order is None else (X[order[t]], y[order[t]])
            residual = X_t @ w - y_t
            w -= (2 * lr / residual.size) * (X_t.T @ residual)
        return w

    return run
