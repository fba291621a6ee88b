"""It stops when the weights hardly change."""

import numpy as np


def prepare(problem, device):
    X, y, lr, order = problem.X, problem.y, problem.lr, problem.order

    def run(start, steps, /):
        w = start.copy()
        for t in range(steps):
            X_t, y_t = (X, y) if order is None else (X[order[t]], y[order[t]])
            residual = X_t @ w - y_t
            before = w.copy()
            w -= (2 * lr / residual.size) * (X_t.T @ residual)
            if np.abs(w - before).max() < 1e-4:
                break
        return w

    return run
