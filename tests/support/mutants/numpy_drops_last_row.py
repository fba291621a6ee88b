"""The last row of each batch is dropped."""


def prepare(problem, device):
    X, y, lr, order = problem.X, problem.y, problem.lr, problem.order

    def run(start, steps, /):
        w = start.copy()
        for t in range(steps):
            rows = range(len(X)) if order is None else order[t]
            X_t, y_t = X[rows[:-1]], y[rows[:-1]]
            residual = X_t @ w - y_t
            w -= (2 * lr / residual.size) * (X_t.T @ residual)
        return w

    return run
