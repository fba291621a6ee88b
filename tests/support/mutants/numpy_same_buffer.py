"""Each run returns the same array."""


def prepare(problem, device):
    X, y, lr, order = problem.X, problem.y, problem.lr, problem.order
    buffer = problem.w0.copy()

    def run(start, steps, /):
        w = buffer
        w[...] = start
        for t in range(steps):
            X_t, y_t = (X, y) if order is None else (X[order[t]], y[order[t]])
            residual = X_t @ w - y_t
            w -= (2 * lr / residual.size) * (X_t.T @ residual)
        return w

    return run
