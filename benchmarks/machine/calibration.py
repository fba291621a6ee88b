"""The calibration loop: fixed work that shows how fast the machine runs now.

It runs in the pytest process, before and after each timed round, where no implementation can slow it down from within.
`noise` and `history` show it; it adjusts no ratio.
Interference may affect one process of a pair. Such a block says more about the machine than about the implementations.
"""

from time import perf_counter


def calibration_loop() -> float:
    """Return the seconds of about 0.1 ms of plain Python."""
    start, total = perf_counter(), 0
    for i in range(4000):
        total += i * i
    return perf_counter() - start
