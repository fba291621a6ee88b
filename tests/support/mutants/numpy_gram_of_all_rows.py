"""The Gram matrix of all rows, and their number, stand in for those of each mini-batch."""


def prepare(problem, device):
    X, y, lr, order = problem.X, problem.y, problem.lr, problem.order

    def run(start, steps, /):
        w = start.copy()
        for t in range(steps):
            X_t, y_t = (X, y) if order is None else (X[order[t]], y[order[t]])
            G, h = X.T @ X / len(X), X_t.T @ y_t / len(X_t)
            w -= (2 * lr / (y_t.size / len(y_t))) * (G @ w - h)
        return w

    return run
