"""Blocks of three rows; the last one, which is not full, is dropped."""


def prepare(problem, device):
    X, y, lr, order = problem.X, problem.y, problem.lr, problem.order

    def run(start, steps, /):
        w = start.copy()
        for t in range(steps):
            X_t, y_t = (X, y) if order is None else (X[order[t]], y[order[t]])
            gradient = 0 * w
            for first in range(0, len(X_t) - 2, 3):
                X_b, y_b = X_t[first : first + 3], y_t[first : first + 3]
                gradient += X_b.T @ (X_b @ w - y_b)
            w -= (2 * lr / y_t.size) * gradient
        return w

    return run
