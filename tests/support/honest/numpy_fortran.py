"""X in Fortran order, transposed views, in-place updates."""

import numpy as np


def prepare(problem, device):
    X, y, lr, order = np.asfortranarray(problem.X), problem.y, problem.lr, problem.order

    def run(start, steps, /):
        w = np.array(start, order="F")
        for t in range(steps):
            X_t, y_t = (X, y) if order is None else (X[order[t]], y[order[t]])
            residual = X_t @ w
            residual -= y_t
            gradient = X_t.T @ residual
            gradient *= 2 * lr / residual.size
            np.subtract(w, gradient, out=w)
        return w

    return run
