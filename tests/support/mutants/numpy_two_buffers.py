"""Runs return two arrays in turn."""


def prepare(problem, device):
    X, y, lr, order = problem.X, problem.y, problem.lr, problem.order
    buffers = [problem.w0.copy(), problem.w0.copy()]

    def run(start, steps, /):
        buffers.reverse()
        w = buffers[0]
        w[...] = start
        for t in range(steps):
            X_t, y_t = (X, y) if order is None else (X[order[t]], y[order[t]])
            residual = X_t @ w - y_t
            w -= (2 * lr / residual.size) * (X_t.T @ residual)
        return w

    return run
