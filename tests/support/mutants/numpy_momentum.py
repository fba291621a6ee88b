"""Momentum of 1e-3."""


def prepare(problem, device):
    X, y, lr, order = problem.X, problem.y, problem.lr, problem.order

    def run(start, steps, /):
        w = start.copy()
        velocity = 0 * w
        for t in range(steps):
            X_t, y_t = (X, y) if order is None else (X[order[t]], y[order[t]])
            residual = X_t @ w - y_t
            velocity = 1e-3 * velocity + (2 / residual.size) * (X_t.T @ residual)
            w -= lr * velocity
        return w

    return run
