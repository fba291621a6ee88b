"""Rows of zeros fill each batch up to a multiple of seven and are counted in n."""

import numpy as np


def prepare(problem, device):
    X, y, lr, order = problem.X, problem.y, problem.lr, problem.order

    def run(start, steps, /):
        w = start.copy()
        for t in range(steps):
            X_t, y_t = (X, y) if order is None else (X[order[t]], y[order[t]])
            fill = -len(X_t) % 7
            X_t, y_t = (np.concatenate([a, np.zeros_like(a, shape=(fill, *a.shape[1:]))]) for a in (X_t, y_t))
            residual = X_t @ w - y_t
            w -= (2 * lr / residual.size) * (X_t.T @ residual)
        return w

    return run
