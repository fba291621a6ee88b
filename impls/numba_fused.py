"""Numba: the whole descent compiled, X read once a step, by all threads where a step is worth waking them."""

from typing import Any

import numpy as np
from numba import prange

from impls._numba import ALONE, add, host, njit_once, threads, update
from impls.interface import Array, Device, Problem, Run


def prepare(problem: Problem, device: Device) -> Run:
    host(device)
    X, Y, order, (n, d) = problem.X, problem.y.reshape(len(problem.y), -1), problem.order, problem.X.shape
    k, b = Y.shape[1], n if order is None else order.shape[1]
    parts, lr = 1 if b * d <= ALONE else threads(), X.dtype.type(2 * problem.lr / (b * k))
    ends, G = np.arange(parts + 1) * b // parts, np.empty((parts, k, d + 32), X.dtype)

    @njit_once(parallel=parts > 1)
    def descend(W: Array, G: Array, ends: Array, X: Array, Y: Array, order: Any, T: int, lr: Any) -> Array:
        for t in range(T):
            for p in prange(len(G)):
                add(G[p], W, X, Y, None if order is None else order[t], ends[p], ends[p + 1])
            update(W, G, lr)
        return W

    def run(start: Array, steps: int, /) -> Array:
        return descend(start.reshape(d, k).T.copy(), G, ends, X, Y, order, steps, lr).T.reshape(start.shape).copy()

    return run
