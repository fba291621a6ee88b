"""A step is an epoch: all mini-batches, one after the other."""


def prepare(problem, device):
    X, y, lr, order = problem.X, problem.y, problem.lr, problem.order

    def run(start, steps, /):
        w = start.copy()
        epoch = 1 if order is None else len(X) // order.shape[1]
        for t in range(steps * epoch):
            X_t, y_t = (X, y) if order is None else (X[order[t % len(order)]], y[order[t % len(order)]])
            residual = X_t @ w - y_t
            w -= (2 * lr / residual.size) * (X_t.T @ residual)
        return w

    return run
