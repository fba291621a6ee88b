"""NumPy, the gradient written by hand: 2/(b k) X'(X w - y)."""

from impls.interface import Array, Device, Problem, Run, Unsupported


def prepare(problem: Problem, device: Device) -> Run:
    if device != "cpu":
        raise Unsupported("NumPy runs on the cpu only")
    X, y, lr, order = problem.X, problem.y, problem.lr, problem.order

    def run(start: Array, steps: int, /) -> Array:
        w = start.copy()
        for t in range(steps):
            X_t, y_t = (X, y) if order is None else (X[order[t]], y[order[t]])
            residual = X_t @ w - y_t  # (b,) or (b, k)
            w -= (2 * lr / residual.size) * (X_t.T @ residual)
        return w

    return run
