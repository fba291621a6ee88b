"""The problem's X is another one after `prepare`."""


def prepare(problem, device):
    X, y, lr, order = problem.X.copy(), problem.y, problem.lr, problem.order
    problem.X[0] += 1

    def run(start, steps, /):
        w = start.copy()
        for t in range(steps):
            X_t, y_t = (X, y) if order is None else (X[order[t]], y[order[t]])
            residual = X_t @ w - y_t
            w -= (2 * lr / residual.size) * (X_t.T @ residual)
        return w

    return run
