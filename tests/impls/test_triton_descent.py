"""triton_descent where several programs meet, and what all Triton kernels need of a GPU; without one."""

import pytest
from helpers import ROOT, python

pytest.importorskip("triton")

# Triton's interpreter runs programs one after another, so a program that waits for others would wait for ever. Here
# each program has its own process, and all share the tensors. The kernel is the GPU's, with its barrier.
PROGRAMS = """
import multiprocessing, sys
sys.path.insert(0, "tests/support")
import torch
from triton.runtime import interpreter
from helpers import random_problem
from benchmarks.reference.solution import truth
from impls import _triton
from impls._torch import place

torch.set_num_threads(1)
_triton.INTERPRETED, _triton.multiprocessors = False, lambda X: 8
launch, builder = _triton._descent, interpreter.interpreter_builder
move, size = builder.set_grid_idx, builder.set_grid_dim

class Together:
    def __getitem__(self, grid):
        def start(*args, **options):
            def program(x):
                builder.set_grid_idx = lambda *_: move(x % grid[0], x // grid[0], 0)
                builder.set_grid_dim = lambda *_: size(*grid, 1)
                launch[1, 1](*args, **options)
            for arg in args:
                if isinstance(arg, torch.Tensor):
                    arg.share_memory_()
            processes = [fork.Process(target=program, args=(x,)) for x in range(grid[0] * grid[1])]
            for process in processes:
                process.start()
            for process in processes:
                process.join(600)
            stuck = [process.kill() for process in processes if process.exitcode is None]
            failed = [process.exitcode for process in processes if process.exitcode]
            assert not stuck and not failed, "a program waits for ever or failed"
        return start

fork = multiprocessing.get_context("fork")
_triton._descent = Together()
for n, d, k, batch, dtype, held in (
    (11, 3, None, None, "float32", 128), (20, 3, 2, None, "float64", 512), (90, 5, None, 20, "float32", 2048),
    (30, 6, None, 10, "float64", 2048),
):
    _triton.HELD = held
    problem = random_problem(n, d, k, batch, dtype, steps=3)
    X, y = place(problem.X, "cpu"), place(problem.y, "cpu")
    descend = _triton.descent(X, y, None if batch is None else place(problem.order, "cpu"), problem.lr)
    exact, results = truth(problem, [3]), []
    for _ in range(2):
        w = torch.from_numpy(problem.w0.copy())
        descend(w, 3)
        results.append(w.numpy())
    error, allowed = exact.distance(results[0], 3, 0.0, problem.w0)
    print("right" if error <= allowed else f"wrong: {n} {d} {k} {batch} {dtype}: {error} {allowed}")
    print("repeats" if (results[0] == results[1]).all() else "differs")
"""
REFUSED = """
import torch
from impls import _triton
from impls.interface import Unsupported

class Refuses:
    def __getitem__(self, grid):
        def start(*args, **options):
            assert options["launch_cooperative_grid"]
            raise RuntimeError(MESSAGE)
        return start

_triton._descent, _triton.multiprocessors = Refuses(), lambda X: 132
for MESSAGE in ("Triton Error [CUDA]: too many blocks in cooperative launch", "Triton Error [CUDA]: out of memory"):
    try:
        _triton.descent(torch.empty(10_000, 100), torch.empty(10_000), None, 0.1)
    except (Unsupported, RuntimeError) as error:
        print(type(error).__name__, error)
"""


def test_programs_that_wait_for_each_other_agree_with_the_reference_and_repeat() -> None:
    done = python(PROGRAMS, env={"TRITON_INTERPRET": "1"})
    assert done.out.split() == ["right", "repeats"] * 4, done.out + done.err


def test_a_gpu_that_cannot_run_all_programs_at_once_is_unsupported() -> None:
    done = python(REFUSED)
    refused, failed = done.out.splitlines()
    assert refused.startswith("Unsupported the gpu cannot run 79 programs at once"), done.out + done.err
    assert failed == "RuntimeError Triton Error [CUDA]: out of memory"


@pytest.fixture(scope="module")
def kernels(tmp_path_factory: pytest.TempPathFactory) -> list[list[str]]:
    """The rows of tests/support/triton_compile.py."""
    code = (ROOT / "tests" / "support" / "triton_compile.py").read_text()
    folder = tmp_path_factory.mktemp("triton")
    done = python(code, str(folder), env={"TRITON_CACHE_DIR": str(folder / "cache"), "TRITON_DEFAULT_FP_FUSION": "1"})
    assert done.code == 0, done.err
    return [line.split("\t") for line in done.out.splitlines()]


def test_every_kernel_compiles_for_sm_90_without_spills_and_all_programs_are_resident(kernels: list[list[str]]) -> None:
    """A multiprocessor has 65,536 registers and 227 KB of shared memory. Only `_residuals` and `_update` may wait."""
    compiled = [row for row in kernels if row[3] != "unsupported"]
    assert {row[3] for row in compiled} == {"_gradients", "_residuals", "_products", "_update", "_descent"}
    for row in compiled:
        programs, warps, registers, stack, shared = map(int, row[4:])
        assert stack == 0, row
        resident = min(65_536 // (warps * 32 * -(-registers // 8) * 8), 227 * 1024 // (shared + 1024))
        blocks = programs / 132 if row[3] in ("_gradients", "_descent") else 1
        assert blocks <= resident, row


def test_descent_says_which_size_would_fit(kernels: list[list[str]]) -> None:
    fits = {tuple(row[:3]) for row in kernels if row[3] == "_descent"}
    reasons = {tuple(row[:3]): row[4] for row in kernels if row[3] == "unsupported"}
    for name in ("tiny", "small"):
        assert all(
            (name, dtype, b) in fits
            for dtype in ("float32", "float64")
            for b in ("None", "256" if name == "small" else "100")
        )
    assert ("medium", "float32", "None") in fits and ("huge", "float64", "256") in fits
    assert "at most 33,792 rows" in reasons["large", "float32", "None"]
    assert "at most 8,448 rows" in reasons["medium", "float64", "None"]
    assert "at most 8,192 features" in reasons["long", "float32", "256"]
