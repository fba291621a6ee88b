"""Each run goes on from where the run before has ended."""


def prepare(problem, device):
    X, y, lr, order = problem.X, problem.y, problem.lr, problem.order
    last = []

    def run(start, steps, /):
        w = last.pop().copy() if last and steps else start.copy()
        for t in range(steps):
            X_t, y_t = (X, y) if order is None else (X[order[t]], y[order[t]])
            residual = X_t @ w - y_t
            w -= (2 * lr / residual.size) * (X_t.T @ residual)
        last.append(w.copy())
        return w

    return run
