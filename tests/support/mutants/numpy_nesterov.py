"""Momentum as Nesterov has it: the gradient where momentum alone would lead."""

from impls.interface import Array, Device, Problem, Run


def prepare(problem: Problem, device: Device) -> Run:
    X, y, lr, order = problem.X, problem.y, problem.lr, problem.order

    def run(start: Array, steps: int, /) -> Array:
        w, v = start.copy(), 0 * start
        for t in range(steps):
            X_t, y_t = (X, y) if order is None else (X[order[t]], y[order[t]])
            ahead = w + start.dtype.type(0.5) * v
            residual = X_t @ ahead - y_t
            v = ahead - w - (2 * lr / residual.size) * (X_t.T @ residual)
            w = w + v
        return w.astype(start.dtype)

    return run
