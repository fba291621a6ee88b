"""torch.distributed: each rank sums its rows' gradient, `all_reduce` adds the sums.

Not DistributedDataParallel, which takes the mean of the ranks' means: of unequal shards that is another gradient.
"""

from torch.distributed import all_reduce

from impls._torch import fetch, join, place
from impls.interface import Array, Device, Problem, Run, rows_of_shard, shard

RANKS = True


def prepare(problem: Problem, device: Device) -> Run:
    join(device)
    n, order = len(problem.X), problem.order
    X, y = (place(array[shard(n)].copy(), device) for array in (problem.X, problem.y))
    rows = None if order is None else [place(some, device).long() for some in rows_of_shard(order, n)]
    rate = 2 * problem.lr / (problem.y[0].size * (n if order is None else order.shape[1]))

    def run(start: Array, steps: int, /) -> Array:
        w = place(start, device).clone()
        for t in range(steps):
            X_t, y_t = (X, y) if rows is None else (X[rows[t]], y[rows[t]])
            gradient = X_t.T @ (X_t @ w - y_t)  # of the rows that are here
            all_reduce(gradient)
            w -= rate * gradient
        return fetch(w)

    return run
