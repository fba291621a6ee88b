"""The learning rate is lr / (1 + t / 100)."""


def prepare(problem, device):
    X, y, lr, order = problem.X, problem.y, problem.lr, problem.order

    def run(start, steps, /):
        w = start.copy()
        for t in range(steps):
            X_t, y_t = (X, y) if order is None else (X[order[t]], y[order[t]])
            residual = X_t @ w - y_t
            w -= (2 * lr / (1 + t / 100) / residual.size) * (X_t.T @ residual)
        return w

    return run
