"""Numba's kernel for an X in memory: it is not met on small problems, so here it is made to work on them."""

from typing import Any

import numpy as np
import pytest
from helpers import needs, random_problem

from benchmarks.reference.solution import truth

pytestmark = needs("numba")


@pytest.mark.parametrize(
    ("n", "d", "k", "dtype"),
    [(300, 70, 3, "float64"), (301, 7, None, "float32"), (1, 64, 1, "float64")],
)
def test_rows_that_are_sent_for_give_the_same_iterates(
    monkeypatch: pytest.MonkeyPatch, n: int, d: int, k: int | None, dtype: str
) -> None:
    from impls import _numba, numba_fused

    monkeypatch.setattr(_numba, "NEAR", 0)
    monkeypatch.setattr(numba_fused, "ALONE", 200)  # two threads have parts of unequal length
    problem = random_problem(n, d, k, None, dtype)
    assert _sends(_numba.kernel(problem.X, k or 1, None))
    run, exact = numba_fused.prepare(problem, "cpu"), truth(problem, [1, 2, 12])
    for t in exact.at:
        error, allowed = exact.distance(run(problem.w0, t), t, 0.0, problem.w0)
        assert error <= allowed, t


def _sends(add: Any) -> bool:
    """Whether it asks for lines: by how many it asks at a time, which is fixed when it is made."""
    fixed = dict(zip(add.py_func.__code__.co_freevars, add.py_func.__closure__, strict=True))
    return fixed["lines"].cell_contents > 0


def test_small_problems_of_all_shapes_are_compiled_once() -> None:
    from impls import _numba, numba_fused

    shapes = [(4, 1, None, None), (9, 3, None, None), (301, 31, None, None), (100, 2, None, 7), (64, 20, None, 5)]
    compiled = []
    for n, d, k, batch in shapes:
        problem = random_problem(n, d, k, batch, "float32")
        run, exact, before = numba_fused.prepare(problem, "cpu"), truth(problem, [1, 2, 5]), _numba.compilations()
        for t in exact.at:
            error, allowed = exact.distance(run(problem.w0, t), t, 0.0, problem.w0)
            assert error <= allowed, (n, d, k, batch, t)
        compiled.append(_numba.compilations() - before)
    assert compiled[1:3] == [0, 0] and compiled[4] == 0  # full batch, and mini-batches


def test_small_ones_and_batches_are_summed_by_fours_and_not_sent_for() -> None:
    from impls import _numba

    X, order = np.ones((8, 64)), np.zeros((1, 2), np.int32)
    for add in (_numba.kernel(X, 1, None), _numba.kernel(X, 1, order), _numba.kernel(np.ones((2**14, 64)), 1, order)):
        assert not _sends(add)
