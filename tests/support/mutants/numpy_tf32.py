"""Products see mantissas of 10 bits, as TF32 has them."""

import numpy as np


def cut(array):
    """The array, each element rounded to a mantissa of 10 bits and the one in front."""
    mantissa, exponent = np.frexp(array)
    return np.ldexp(np.round(mantissa * 2**11) / 2**11, exponent).astype(array.dtype)


def prepare(problem, device):
    X, y, lr, order = problem.X, problem.y, problem.lr, problem.order

    def run(start, steps, /):
        w = start.copy()
        for t in range(steps):
            X_t, y_t = (X, y) if order is None else (X[order[t]], y[order[t]])
            residual = cut(X_t) @ cut(w) - y_t
            w -= (2 * lr / residual.size) * (cut(X_t.T) @ cut(residual))
        return w

    return run
