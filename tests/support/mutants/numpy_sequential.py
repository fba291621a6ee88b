"""Coordinate after coordinate: each is updated from weights of which some are new already."""


def prepare(problem, device):
    X, y, lr, order = problem.X, problem.y, problem.lr, problem.order

    def run(start, steps, /):
        w = start.copy()
        for t in range(steps):
            X_t, y_t = (X, y) if order is None else (X[order[t]], y[order[t]])
            for j in range(len(w)):
                residual = X_t @ w - y_t
                w[j] -= (2 * lr / residual.size) * (X_t[:, j] @ residual)
        return w

    return run
