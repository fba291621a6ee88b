"""Buffers are made once and every operation writes into them."""

import numpy as np


def prepare(problem, device):
    X, y, lr, order = problem.X, problem.y, problem.lr, problem.order
    b = len(X) if order is None else order.shape[1]
    residual, gradient = np.empty((b, *y.shape[1:]), X.dtype), np.empty_like(problem.w0)

    def run(start, steps, /):
        w = start.copy()
        for t in range(steps):
            X_t, y_t = (X, y) if order is None else (X[order[t]], y[order[t]])
            np.matmul(X_t, w, out=residual)
            np.subtract(residual, y_t, out=residual)
            np.matmul(X_t.T, residual, out=gradient)
            np.multiply(gradient, 2 * lr / residual.size, out=gradient)
            np.subtract(w, gradient, out=w)
        return w

    return run
