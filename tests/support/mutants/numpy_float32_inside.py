"""Float64 problems are descended in float32."""

import numpy as np


def prepare(problem, device):
    X, y, lr, order = problem.X.astype(np.float32), problem.y.astype(np.float32), problem.lr, problem.order

    def run(start, steps, /):
        w = start.astype(np.float32)
        for t in range(steps):
            X_t, y_t = (X, y) if order is None else (X[order[t]], y[order[t]])
            residual = X_t @ w - y_t
            w -= (2 * lr / residual.size) * (X_t.T @ residual)
        return w.astype(start.dtype)

    return run
