"""Blocks of rows on as many threads of its own as are allowed."""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np


def prepare(problem, device):
    X, y, lr, order = problem.X, problem.y, problem.lr, problem.order
    threads = int(os.environ["OMP_NUM_THREADS"])
    pool = ThreadPoolExecutor(threads)

    def gradient(rows, w):
        return X[rows].T @ (X[rows] @ w - y[rows])

    def run(start, steps, /):
        w = start.copy()
        for t in range(steps):
            rows = np.arange(len(X)) if order is None else order[t]
            parts = pool.map(gradient, np.array_split(rows, threads), [w] * threads)
            w = w - (2 * lr / (len(rows) * y[0].size)) * sum(parts)
        return w

    return run
