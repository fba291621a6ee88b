"""CuPy, the gradient written by hand: NumPy's code on a GPU."""

from impls._cupy import fetch, place
from impls.interface import Array, Device, Problem, Run


def prepare(problem: Problem, device: Device) -> Run:
    X, y, lr = place(problem.X, device), place(problem.y, device), problem.lr
    order = None if problem.order is None else place(problem.order, device)

    def run(start: Array, steps: int, /) -> Array:
        w = place(start, device)
        for t in range(steps):
            X_t, y_t = (X, y) if order is None else (X[order[t]], y[order[t]])
            residual = X_t @ w - y_t  # (b,) or (b, k)
            w -= (2 * lr / residual.size) * (X_t.T @ residual)
        return fetch(w)

    return run
