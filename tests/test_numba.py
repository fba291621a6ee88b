"""Numba's kernel for an X in memory: it is not met on small problems, so here it is made to work on them."""

import numpy as np
import pytest
from helpers import random_problem

from benchmarks.reference import truth

_numba = pytest.importorskip("impls._numba", reason="numba is not installed")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("n", "d", "k"), [(9, 64, None), (300, 70, 3), (301, 131, None), (1, 64, 1)])
def test_rows_that_are_sent_for_give_the_same_iterates(
    monkeypatch: pytest.MonkeyPatch, n: int, d: int, k: int | None, dtype: str
) -> None:
    from impls import numba_fused

    monkeypatch.setattr(_numba, "CACHED", 0)
    monkeypatch.setattr(numba_fused, "ALONE", 200)  # two threads have parts of unequal length
    problem = random_problem(n, d, k, None, dtype)
    assert "streamer" in _numba.kernel(problem.X, k or 1, None).__qualname__
    run, exact = numba_fused.prepare(problem, "cpu"), truth(problem, [1, 2, 12])
    for t in exact.at:
        error, allowed = exact.distance(run(problem.w0, t), t, 0.0, problem.w0)
        assert error <= allowed, t


def test_small_ones_and_batches_are_summed_by_fours() -> None:
    X = np.ones((8, 64))
    assert "adder" in _numba.kernel(X, 1, None).__qualname__
    assert "adder" in _numba.kernel(X, 1, np.zeros((1, 2), np.int32)).__qualname__
