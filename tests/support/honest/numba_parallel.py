"""numba: loops over rows and columns on all threads."""

import numba
import numpy as np


@numba.njit(parallel=True, fastmath=False)
def gradient(A, b, w):
    n, d = A.shape
    k = b.shape[1]
    r = np.empty((n, k), A.dtype)
    for i in numba.prange(n):
        for c in range(k):
            s = -b[i, c]
            for j in range(d):
                s += A[i, j] * w[j, c]
            r[i, c] = s
    g = np.zeros((d, k), A.dtype)
    for j in numba.prange(d):
        for i in range(n):
            for c in range(k):
                g[j, c] += A[i, j] * r[i, c]
    return g


def prepare(problem, device):
    X, y, lr, order = problem.X, problem.y.reshape(len(problem.y), -1), problem.lr, problem.order

    def run(start, steps, /):
        w = start.reshape(X.shape[1], -1).copy()
        for t in range(steps):
            A, b = (X, y) if order is None else (X[order[t]], y[order[t]])
            w -= np.asarray(2 * lr / b.size, w.dtype) * gradient(A, b, w)
        return w.reshape(start.shape)

    return run
