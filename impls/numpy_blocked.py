"""NumPy by blocks of rows that stay in the cache: both products of one, then the next; large steps on all threads."""

import os
from concurrent.futures import ThreadPoolExecutor

from impls.interface import Array, Device, Problem, Run, Unsupported


def prepare(problem: Problem, device: Device) -> Run:
    if device != "cpu":
        raise Unsupported("NumPy runs on the cpu only")
    X, y, order = problem.X, problem.y, problem.order
    b, rows = len(X) if order is None else order.shape[1], max(1, 2**20 // X[0].nbytes)  # so little has one BLAS thread
    threads = int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1)) if b > 2 * rows else 1
    split, scale = map if threads == 1 else ThreadPoolExecutor(threads).map, 2 * problem.lr / (b * y[0].size)

    def part(w: Array, t: int, p: int) -> Array:
        g, last = 0 * w, b * (p + 1) // threads
        for s in range(b * p // threads, last, rows):
            at = slice(s, min(s + rows, last)) if order is None else order[t, s : min(s + rows, last)]
            g += (X_b := X[at]).T @ (X_b @ w - y[at])
        return g

    def run(start: Array, steps: int, /) -> Array:
        w = start.copy()
        for t in range(steps):
            w -= scale * sum(split(part, [w] * threads, [t] * threads, range(threads)))
        return w

    return run
