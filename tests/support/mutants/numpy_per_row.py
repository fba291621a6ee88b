"""The mean is taken over rows, not over all elements: another gradient with 2 targets."""


def prepare(problem, device):
    X, y, lr, order = problem.X, problem.y, problem.lr, problem.order

    def run(start, steps, /):
        w = start.copy()
        for t in range(steps):
            X_t, y_t = (X, y) if order is None else (X[order[t]], y[order[t]])
            residual = X_t @ w - y_t
            w -= (2 * lr / len(residual)) * (X_t.T @ residual)
        return w

    return run
