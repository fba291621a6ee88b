"""Numba: the whole descent compiled, X read once a step, by all threads where a step is worth waking them."""

import numpy as np
from numba import njit, prange

from impls._numba import FAST, host, kernel, threads, update
from impls.interface import Array, Device, Problem, Run

ALONE = 200_000  # numbers that one thread reads in the time that waking others takes


def prepare(problem: Problem, device: Device) -> Run:
    host(device)
    X, Y, order, d = problem.X, problem.y.reshape(len(problem.y), -1), problem.order, problem.X.shape[1]
    k, b = Y.shape[1], len(X) if order is None else order.shape[1]
    add, parts, lr = kernel(X, k, order), 1 if b * d <= ALONE else threads(), X.dtype.type(2 * problem.lr / (b * k))

    @njit(fastmath=FAST, parallel=parts > 1)
    def descend(W: Array, X: Array, Y: Array, order: Array | None, steps: int) -> Array:
        G = np.empty((parts, k, d + 32), W.dtype)  # a cache line and more between the threads' sums
        for t in range(steps):
            for p in prange(parts):
                add(G[p], W, X, Y, None if order is None else order[t], b * p // parts, b * (p + 1) // parts)
            update(W, G, lr)
        return W

    def run(start: Array, steps: int, /) -> Array:
        return descend(start.reshape(d, k).T.copy(), X, Y, order, steps).T.reshape(start.shape).copy()  # inside: (k, d)

    return run
