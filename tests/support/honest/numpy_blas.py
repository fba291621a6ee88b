"""The BLAS of SciPy, called directly."""

import numpy as np
from scipy.linalg.blas import get_blas_funcs


def prepare(problem, device):
    X, y, lr, order = problem.X, problem.y.reshape(len(problem.y), -1), problem.lr, problem.order
    (gemm,) = get_blas_funcs(("gemm",), (X,))

    def run(start, steps, /):
        w = np.array(start.reshape(len(start), -1), order="F")
        for t in range(steps):
            X_t, y_t = (X, y) if order is None else (X[order[t]], y[order[t]])
            residual = gemm(1.0, X_t.T, w, beta=-1.0, c=y_t, trans_a=True)
            w = gemm(-2 * lr / residual.size, X_t.T, residual, beta=1.0, c=w)
        return np.array(w, start.dtype).reshape(start.shape)

    return run
