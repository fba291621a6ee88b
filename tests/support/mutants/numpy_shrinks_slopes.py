"""Weight decay of 0.1, which spares the intercept."""

import numpy as np


def prepare(problem, device):
    X, y, lr, order = problem.X, problem.y, problem.lr, problem.order
    constant = np.ptp(X, axis=0) == 0
    shrink = np.where(constant, 0, 0.1).astype(X.dtype).reshape(-1, *[1] * (y.ndim - 1))

    def run(start, steps, /):
        w = start.copy()
        for t in range(steps):
            X_t, y_t = (X, y) if order is None else (X[order[t]], y[order[t]])
            residual = X_t @ w - y_t
            w -= lr * ((2 / residual.size) * (X_t.T @ residual) + shrink * w)
        return w

    return run
