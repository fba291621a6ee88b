"""Every implementation on every problem of the catalogue: the first iterates and the last are the reference's."""

import dataclasses
from functools import cache

import numpy as np
import pytest
from helpers import DEVICE, IMPLS

import impls
from benchmarks.problems import catalogue
from benchmarks.reference.solution import ReferenceSolution, truth
from impls.interface import Problem, Unsupported

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.script_method:DeprecationWarning")

STEPS = {"dask_manual": 8, "jax_grad": 6}  # of a problem's many: 1.5 to 15 ms a step
ROWS = {"torch_dataloader": 30_000}  # that a run may read: some 10 us a row
BIG = ("large", "huge")  # medium is of the same family
NAMES = [name for name in catalogue.CATALOGUE if name not in BIG]
BATCH = {"line": 10, "crops": 5, "scalar": 2, "tiny": 10, "small": 32, "medium": 256, "diabetes": 32, "linnerud": 5}
COMPILED = ("torch_compile", "numba_fused", "jax_", "tensorflow", "tinygrad", "dask", "mlx")  # seconds a problem
PAIRS = {  # for these: every pair of one or several targets, all rows or mini-batches, and dtype
    "line": "float64", "medium": "float32", "small@32": "float64", "scalar@2": "float32", "crops": "float64",
    "linnerud@5": "float32",
}  # fmt: skip


def plans() -> list[str]:
    return [plan for name in NAMES for plan in (name, f"{name}@{BATCH.get(name, 4)}")]


@cache
def built(plan: str) -> Problem:
    try:
        return catalogue.build(plan)[0]
    except Unsupported as reason:
        pytest.skip(str(reason))


@cache
def shortened(plan: str, dtype: str, steps: int) -> tuple[Problem, ReferenceSolution]:
    """The problem with its first steps only, and its truth."""
    whole = catalogue.cast(built(plan), dtype)
    steps = min(steps, whole.steps)
    problem = dataclasses.replace(whole, steps=steps, order=None if whole.order is None else whole.order[:steps])
    return problem, truth(problem, sorted({t for t in (1, 2, 5) if t < steps} | {steps}))


def steps_of(name: str, plan: str) -> int:
    """Few enough for an implementation that is slow per step or per row."""
    problem = built(plan)
    rows = len(problem.X) if problem.order is None else problem.order.shape[1]
    return int(np.clip(ROWS.get(name, 10**9) // rows, 3, STEPS.get(name, 40)))


def cases() -> list[tuple[str, str, str]]:
    """Each implementation on each plan, in both dtypes; where each is a compilation, on PAIRS: the code is the same."""
    every = [(plan, dtype) for plan in plans() for dtype in ("float32", "float64")]
    return [
        (name, plan, dtype) for name in IMPLS for plan, dtype in (PAIRS.items() if name.startswith(COMPILED) else every)
    ]


@pytest.mark.parametrize(("name", "plan", "dtype"), cases())
def test_iterates_are_the_references(name: str, plan: str, dtype: str) -> None:
    problem, exact = shortened(plan, dtype, steps_of(name, plan))
    try:
        run = impls.load(name)(problem, DEVICE)
    except Unsupported as reason:
        pytest.skip(str(reason))
    for t, c in [*((t, 0.0) for t in exact.at), (exact.at[-1], 0.7)]:
        start = exact.start(c)
        error, allowed = exact.distance(run(start, t), t, c, start)
        assert error <= allowed, (t, c)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("plan", plans())
def test_iterates_of_all_the_problems_own_steps(plan: str, dtype: str) -> None:
    """As many as the command runs, for the implementation that needs no framework."""
    problem, exact = shortened(plan, dtype, 10**9)
    run = impls.load("numpy_manual")(problem, "cpu")
    for c in (0.0, 0.3, 1.0):
        start = exact.start(c)
        error, allowed = exact.distance(run(start, problem.steps), problem.steps, c, start)
        assert error <= allowed, c


def test_problems_that_are_left_out_are_of_a_family_that_is_not() -> None:
    assert set(catalogue.CATALOGUE) == {*NAMES, *BIG}
    assert {catalogue.CATALOGUE[name].make.func for name in (*BIG, "medium")} == {catalogue.synthetic}  # type: ignore[attr-defined]
