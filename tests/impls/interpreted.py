"""The Triton implementations by Triton's interpreter: test_triton.py runs this file in a process that interprets."""

import multiprocessing
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from helpers import random_problem
from triton.runtime import interpreter

from benchmarks.problems.catalogue import build, cast
from benchmarks.reference.solution import truth
from impls import _triton, triton_descent, triton_fused
from impls._torch import place
from impls.interface import Problem, Run

single, double = "float32", "float64"
NAMES = ("line", "crops", "scalar", "tiny", "small")


def agrees(run: Run, problem: Problem, *steps: int) -> None:
    """Assert that the iterates after these steps are the reference's, run in this order."""
    exact = truth(problem, sorted({*steps}))
    for t in steps:
        error, allowed = exact.distance(run(problem.w0, t), t, 0.0, problem.w0)
        assert error <= allowed, t


@pytest.mark.parametrize(
    ("n", "d", "k", "batch", "dtype"),
    [(100, 17, None, None, single), (70, 1, None, 9, double), (1, 20, 2, None, double), (50, 20, 2, 24, single)],
)
@pytest.mark.parametrize(
    "sizes", [(32768, 2048, 16384), (32768, 2048, 512), (32, 32, 512)], ids=["one", "many", "long rows"]
)
def test_every_shape_of_blocks(
    n: int,
    d: int,
    k: int | None,
    batch: int | None,
    dtype: str,
    sizes: tuple[int, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Rows in one block, in blocks for several rounds of programs, and taken apart."""
    for name, size in zip(("LONGEST", "NARROW", "TILE"), sizes, strict=True):
        monkeypatch.setattr(_triton, name, size)
    problem = random_problem(n, d, k, batch, dtype, steps=2)
    run = triton_fused.prepare(problem, "cpu")
    agrees(run, problem, 1)
    first = run(problem.w0, 2)
    agrees(lambda start, steps: first, problem, 2)
    assert (run(problem.w0, 2) == first).all()


@pytest.mark.parametrize("batch", ["", "@4"])
@pytest.mark.parametrize("name", NAMES)
def test_the_catalogues_small_problems_agree_with_the_reference(name: str, batch: str) -> None:
    """Every pair of an implementation, all rows or mini-batches, and dtype; targets and weights in Fortran order."""
    exact = build(name + batch, steps=3)[0]
    for dtype in (("float32", "bfloat16"), ("float64", "float16"))[(NAMES.index(name) + bool(batch)) % 2]:
        problem = cast(exact, dtype)
        problem = replace(problem, y=np.asfortranarray(problem.y), w0=np.asfortranarray(problem.w0))
        for module in (triton_fused, triton_descent):
            agrees(module.prepare(problem, "cpu"), problem, 3)


@pytest.mark.parametrize("dtype", [single, double])
def test_the_product_keeps_all_bits(dtype: str) -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(70, 600)).astype(dtype), rng.normal(size=(600, 2)).astype(dtype)
    for factor in (b, np.ascontiguousarray(b[:, 0])):
        result = _triton.product(a, factor, "cpu")
        assert result.dtype == dtype and result.shape == (a @ factor).shape
        np.testing.assert_allclose(result, a @ factor, rtol=0, atol=600 * np.finfo(dtype).eps)


def test_replayed_steps_start_anew_in_every_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """triton_fused in a CUDA graph, which a loop stands in for."""

    def captured(step: Callable[[None], None], most: int) -> Callable[[int], object]:
        step(None)  # as the real one does before it captures
        return lambda steps: [step(None) for _ in range(steps)]

    monkeypatch.setattr(triton_fused, "need_device", lambda device: None)
    monkeypatch.setattr(triton_fused, "place", lambda array, device: torch.from_numpy(array.copy()))
    monkeypatch.setattr(triton_fused, "place_rows", lambda problem, device: torch.from_numpy(problem.X.copy()))
    monkeypatch.setattr(triton_fused, "captured", captured)
    problem = random_problem(20, 3, None, 4, single, steps=6)
    agrees(triton_fused.prepare(problem, "gpu"), problem, 6, 2, 6)


class Together:
    """Launches a kernel with a process for each program: the interpreter alone would run them one after another.

    A program that waits for others would then wait for ever. All processes share the tensors. The kernel is the GPU's,
    with its barrier.
    """

    def __init__(self) -> None:
        self.launch, self.builder = _triton._descent, interpreter.interpreter_builder
        self.move, self.size = self.builder.set_grid_idx, self.builder.set_grid_dim
        self.fork = multiprocessing.get_context("fork")

    def __getitem__(self, grid: tuple[int, int]) -> Callable[..., None]:
        def program(x: int, args: tuple[Any, ...], options: dict[str, Any]) -> None:
            self.builder.set_grid_idx = lambda *_: self.move(x % grid[0], x // grid[0], 0)
            self.builder.set_grid_dim = lambda *_: self.size(*grid, 1)
            self.launch[1, 1](*args, **options)

        def start(*args: Any, **options: Any) -> None:
            for arg in args:
                if isinstance(arg, torch.Tensor):
                    arg.share_memory_()
            numbers = range(grid[0] * grid[1])
            processes = [self.fork.Process(target=program, args=(x, args, options)) for x in numbers]
            for process in processes:
                process.start()
            for process in processes:
                process.join(600)
            stuck = [process.kill() for process in processes if process.exitcode is None]
            failed = [process.exitcode for process in processes if process.exitcode]
            assert not stuck and not failed, "a program waits for ever or failed"

        return start


@pytest.mark.parametrize(
    ("n", "d", "k", "batch", "dtype", "registers"),
    [(20, 3, 2, None, double, 512), (90, 5, None, 20, single, 2048)],
)
def test_programs_that_wait_for_each_other_agree_with_the_reference_and_repeat(
    n: int, d: int, k: int | None, batch: int | None, dtype: str, registers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_triton, "INTERPRETED", False)
    monkeypatch.setattr(_triton, "multiprocessors", lambda X: 8)
    monkeypatch.setattr(_triton, "HELD", registers)
    monkeypatch.setattr(_triton, "_descent", Together())
    problem = random_problem(n, d, k, batch, dtype, steps=3)
    order = None if problem.order is None else place(problem.order, "cpu")
    descend = _triton.descent(place(problem.X, "cpu"), place(problem.y, "cpu"), order, problem.lr)

    def run(start: np.ndarray, steps: int, /) -> np.ndarray:
        w = torch.from_numpy(start.copy())
        descend(w, steps)
        return w.numpy()

    agrees(run, problem, 3)
    assert (run(problem.w0, 3) == run(problem.w0, 3)).all()
