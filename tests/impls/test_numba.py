"""Numba's kernel on all threads, which small problems do not use, and its compilations."""

import pytest
from helpers import needs, random_problem

from benchmarks.reference.solution import truth

pytestmark = needs("numba")
SHAPES = [(4, 1, None, None), (9, 3, None, None), (301, 31, None, None), (50, 70, 3, None), (100, 2, None, 7)]
SHAPES += [(64, 20, None, 5), (300, 70, 3, 40)]
SHAPES[1:1] = [(1, 64, 1, None), (301, 7, None, None), (300, 70, 3, None)]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("alone", [10**6, 0])
def test_problems_of_all_shapes_are_compiled_once(alone: int, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once for all rows and once for mini-batches, each on one thread and on several, whose parts are unequal."""
    from impls import _numba, numba_fused

    monkeypatch.setattr(numba_fused, "ALONE", alone)
    compiled = []
    for n, d, k, batch in SHAPES:
        problem = random_problem(n, d, k, batch, dtype)
        run, exact, before = numba_fused.prepare(problem, "cpu"), truth(problem, [1, 2, 12]), _numba.compilations()
        for t in exact.at:
            error, allowed = exact.distance(run(problem.w0, t), t, 0.0, problem.w0)
            assert error <= allowed, (n, d, k, batch, t)
        compiled.append(_numba.compilations() - before)
    first_batches = next(i for i, shape in enumerate(SHAPES) if shape[3])
    assert sum(compiled) == compiled[0] + compiled[first_batches]
