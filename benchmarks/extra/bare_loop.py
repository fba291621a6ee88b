"""A bare loop in a fresh process: `bench_overhead.py` compares the harness's numbers with it.

usage: python -m benchmarks.extra.bare_loop CORES FOLDER IMPL ROUNDS; prints the seconds per step.
"""

import sys
from statistics import median
from time import perf_counter

import impls
from benchmarks.worker.arrays import read
from benchmarks.worker.server import pin


def main(folder: str, impl: str, rounds: int) -> None:
    """Prepare, run twice, then time `rounds` runs and as many of 0 steps, with nothing around them."""
    problem = read(folder)
    run = impls.load(impl)(problem, "cpu")
    seconds = {}
    for steps in (problem.steps, 0):
        run(problem.w0, steps)
        run(problem.w0, steps)
        times = []
        for _ in range(rounds):
            start = perf_counter()
            run(problem.w0, steps)
            times.append(perf_counter() - start)
        seconds[steps] = median(times)
    sys.stdout.write(f"{(seconds[problem.steps] - seconds[0]) / problem.steps!r}\n")


if __name__ == "__main__":
    pin(sys.argv[1])
    main(sys.argv[2], sys.argv[3], int(sys.argv[4]))
