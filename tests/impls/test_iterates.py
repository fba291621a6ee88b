"""Every implementation on every problem of the catalogue: the first iterates and the last are the reference's."""

import dataclasses
from functools import cache

import numpy as np
import pytest
from helpers import COMPILED, DEVICE, IMPLS

import impls
from benchmarks.problems import catalogue
from benchmarks.reference.solution import ReferenceSolution, truth
from impls.interface import Problem, Unsupported

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.script_method:DeprecationWarning")

STEPS = {"dask_manual": 8, "jax_grad": 6}  # of a problem's many: 1.5 to 15 ms a step
ROWS = {"torch_dataloader": 30_000}  # that a run may read: some 10 us a row
BIG = ("large", "huge")  # medium is of the same family
NAMES = [name for name in catalogue.CATALOGUE if name not in BIG]
BATCH = {"line": 10, "crops": 5, "scalar": 1, "tiny": 10, "small": 32, "medium": 256, "diabetes": 32, "linnerud": 5}
PLANS = {"medium": "float32", "linnerud": "float64"}  # for implementations that compile: seconds a problem


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


def dtypes() -> list[tuple[str, str]]:
    """Each plan in one dtype, and its mini-batches in the other."""
    return [(plan, ("float32", "float64")[(i // 2 + i) % 2]) for i, plan in enumerate(plans())]


def cases() -> list[tuple[str, str, str]]:
    """Each implementation on each plan, those that need no framework in both dtypes."""
    both = [(plan, dtype) for plan in plans() for dtype in ("float32", "float64")]
    names = [name for name in IMPLS if not name.startswith(COMPILED)]
    return [(name, *case) for name in names for case in (both if name.startswith("numpy") else dtypes())]


@pytest.mark.parametrize(("name", "plan", "dtype"), cases())
def test_iterates_are_the_references(name: str, plan: str, dtype: str) -> None:
    agrees(name, plan, dtype)


def agrees(name: str, plan: str, dtype: str) -> None:
    """Assert that the first iterates of an implementation and its last are the reference's."""
    problem, exact = shortened(plan, dtype, steps_of(name, plan))
    try:
        run = impls.load(name)(problem, DEVICE)
    except Unsupported as reason:
        pytest.skip(str(reason))
    for t, c in [*((t, 0.0) for t in exact.at), (exact.at[-1], 0.7)]:
        start = exact.start(c)
        error, allowed = exact.distance(run(start, t), t, c, start)
        assert error <= allowed, (t, c)


@pytest.mark.parametrize(("plan", "dtype"), dtypes())
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
