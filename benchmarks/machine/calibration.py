"""The calibration loop: fixed work that shows how fast the machine runs now.

On shared cores interference comes and goes.

It is read before and after each timed run, and is a covariate of the verdicts (`results/stats/signed_rank.py`): a block
in which one process met a slow spell and the other did not says less of the two than of the machine.
"""

from time import perf_counter


def calibration_loop() -> float:
    """Seconds of some 0.1 ms of plain Python."""
    start, total = perf_counter(), 0
    for i in range(4000):
        total += i * i
    return perf_counter() - start
