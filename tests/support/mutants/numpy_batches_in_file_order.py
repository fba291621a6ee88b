"""Mini-batches are taken as the rows come, without the order."""


def prepare(problem, device):
    X, y, lr, order = problem.X, problem.y, problem.lr, problem.order

    def run(start, steps, /):
        w = start.copy()
        for t in range(steps):
            rows = (
                range(len(X)) if order is None else [(t * order.shape[1] + i) % len(X) for i in range(order.shape[1])]
            )
            X_t, y_t = X[rows], y[rows]
            residual = X_t @ w - y_t
            w -= (2 * lr / residual.size) * (X_t.T @ residual)
        return w

    return run
