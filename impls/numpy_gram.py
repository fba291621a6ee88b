"""NumPy on the normal equations: X'X and X'y once in each run, then steps that read d x d numbers and no row of X.

Both are summed in the problem's dtype, as a step's own products are: that is far within the distance allowed.
"""

from impls.interface import Array, Device, Problem, Run, Unsupported

STEP_READS = "Gram matrix"


def prepare(problem: Problem, device: Device) -> Run:
    if device != "cpu":
        raise Unsupported("NumPy runs on the cpu only")
    if problem.order is not None:
        raise Unsupported("mini-batches: each batch has a Gram matrix of its own")
    X, y, lr = problem.X, problem.y, problem.lr

    def run(start: Array, steps: int, /) -> Array:
        w = start.copy()
        G, h = (X.T @ X, X.T @ y) if steps else (0, 0)  # (d, d), (d,) or (d, k)
        for _ in range(steps):
            w -= (2 * lr / y.size) * (G @ w - h)
        return w

    return run
