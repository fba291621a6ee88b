"""`numpy_manual` with 5 % more steps of the same work, thrown away: a slowdown whose true size is known."""

from impls.interface import Array, Device, Problem, Run, Unsupported


def prepare(problem: Problem, device: Device) -> Run:
    if device != "cpu":
        raise Unsupported("NumPy runs on the cpu only")
    X, y, lr, order = problem.X, problem.y, problem.lr, problem.order

    def run(start: Array, steps: int, /) -> Array:
        w = start.copy()
        done = w
        for t in range(steps + round(steps / 20)):
            if t == steps:
                done = w.copy()
            X_t, y_t = (X, y) if order is None else (X[order[t % steps]], y[order[t % steps]])
            residual = X_t @ w - y_t  # (b,) or (b, k)
            w -= (2 * lr / residual.size) * (X_t.T @ residual)
        return done

    return run
