"""Time a small descent and the calibration loop, for `results noise --now`. Runs as a program in a fresh process.

Prints seconds per step and seconds of the loop, both medians.
"""

import sys
from statistics import median
from time import perf_counter

import numpy as np

ROWS, COLUMNS, STEPS, ROUNDS = 1_000, 10, 100, 40


def descent_seconds(X: "np.ndarray[tuple[int, int], np.dtype[np.float32]]", steps: int) -> float:
    """Return the seconds per step of a descent on X (n, d)."""
    y, w = X.sum(axis=1), np.zeros(X.shape[1], np.float32)
    start = perf_counter()
    for _ in range(steps):
        w -= (0.01 / len(y)) * (X.T @ (X @ w - y))
    return (perf_counter() - start) / steps


def loop_seconds() -> float:
    """Return the seconds of about 0.1 ms of plain Python."""
    start, total = perf_counter(), 0
    for i in range(4000):
        total += i * i
    return perf_counter() - start


if __name__ == "__main__":
    data = np.random.default_rng(0).normal(size=(ROWS, COLUMNS)).astype(np.float32)
    descent_seconds(data, STEPS)
    rounds = [(descent_seconds(data, STEPS), loop_seconds()) for _ in range(ROUNDS)]
    sys.stdout.write(f"{median(step for step, _ in rounds)} {median(loop for _, loop in rounds)}\n")
