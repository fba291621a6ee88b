"""scikit-learn: `SGDRegressor` with a constant learning rate, which updates after each row: for batches of one row."""

import numpy as np

from impls._sklearn import SGDRegressor
from impls.interface import Array, Device, Problem, Run, Unsupported


def prepare(problem: Problem, device: Device) -> Run:
    if device != "cpu":
        raise Unsupported("scikit-learn runs on the cpu only")
    X, y, order = problem.X, problem.y, problem.order
    if order is None or order.shape[1] > 1 or y[0].size > 1:
        raise Unsupported("SGDRegressor has one target and updates after each row: small@1")
    rate = 2 * problem.lr  # its loss is half the squared error
    model = SGDRegressor(
        penalty=None, fit_intercept=False, max_iter=1, tol=None, shuffle=False, learning_rate="constant", eta0=rate
    )

    def run(start: Array, steps: int, /) -> Array:
        if steps == 0:
            return start.copy()
        rows = order[:steps, 0]
        model.fit(X[rows], y[rows].ravel(), coef_init=start.ravel().copy())
        return np.array(model.coef_, start.dtype).reshape(start.shape)

    return run
