"""Several processes that are one descent: the iterates are the reference's, and whoever fails is named."""

from pathlib import Path

import numpy as np
import pytest
from helpers import random_problem

from benchmarks.campaign import shelve
from benchmarks.ranks import Ranks
from benchmarks.reference import truth

IMPLS = ("torch_ddp", "jax_sharded")
# n, targets, rows of a mini-batch, dtype: uneven shards, empty ones, batches that a rank has nothing of
PROBLEMS = [
    (9, None, None, "float32"),
    (9, 3, 4, "float64"),
    (9, 1, 1, "float32"),
    (2, None, None, "float64"),
    (1, 2, 1, "float32"),
]
LONE = """
import os
RANKS = True
def prepare(problem, device):
    rank, calls = int(os.environ["RANK"]), []
    def run(start, steps, /):
        calls.append(steps)
{run}
        w = start.copy()
        for t in range(steps):
            residual = X @ w - y
            w -= 2 * problem.lr / residual.size * (X.T @ residual)
        return w
    X, y = whole(problem)
    return run
"""


def ranks(impl: str, number: int, timeout: float = 60) -> Ranks:
    return Ranks(impl, number, 2, "cpu", "highest", timeout)


@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("impl", IMPLS)
def test_iterates_are_the_references(impl: str, number: int, tmp_path: Path) -> None:
    """On uneven shards, empty ones, and batches of which a rank holds nothing."""
    together = ranks(impl, number)
    try:
        for case, (n, k, batch, dtype) in enumerate(PROBLEMS):
            problem = random_problem(n, 3, k, batch, dtype)
            shelve(problem, tmp_path / str(case))
            together.ask("prepare", folder=str(tmp_path / str(case)), device="cpu")
            exact = truth(problem, [1, 2, 5, problem.steps])
            for t in exact.at:
                weights = np.asarray(together.run(exact.start(0.5), t)["weights"])
                error, allowed = exact.distance(weights, t, 0.5, exact.start(0.5))
                assert error <= allowed, (n, k, batch, dtype, t)
            assert together.run(problem.w0, 0)["weights"] == problem.w0.tolist()
        told = together.ask("finish")
        assert told["cores"] == together.cores and len(told["cores"]) == number
    finally:
        together.close()
