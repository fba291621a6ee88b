"""Two threads write their part of the gradient to the same place: the sum of one is lost."""


def prepare(problem, device):
    X, y, lr, order = problem.X, problem.y, problem.lr, problem.order

    def run(start, steps, /):
        w = start.copy()
        for t in range(steps):
            X_t, y_t = (X, y) if order is None else (X[order[t]], y[order[t]])
            gradient, half = 0 * w, len(X_t) // 2
            for X_p, y_p in ((X_t[:half], y_t[:half]), (X_t[half:], y_t[half:])):
                gradient[:] = X_p.T @ (X_p @ w - y_p)
            w -= (2 * lr / y_t.size) * gradient
        return w

    return run
