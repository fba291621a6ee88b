"""What TensorFlow and tinygrad need: to be told by their names, seen when they compile, and skipped for a reason."""

from pathlib import Path

import pytest
from helpers import bench, invalid, needs, one, python

RETRACES = """
import tensorflow as tf

def prepare(problem, device):
    X, y = tf.constant(problem.X), tf.constant(problem.y)

    def run(start, steps, /):
        @tf.function
        def step(w):
            residual = tf.linalg.matvec(X, w) - y
            return w - 2 * problem.lr / len(problem.y) * tf.linalg.matvec(X, residual, transpose_a=True)

        w = tf.constant(start)
        for _ in range(steps):
            w = step(w)
        return w.numpy().copy()

    return run
"""
RECOMPILES = """
from itertools import count
from impls.tinygrad_autograd import prepare as honest
from tinygrad import Tensor

def prepare(problem, device):
    exact, runs = honest(problem, device), count(1)

    def run(start, steps, /):
        Tensor.ones(next(runs), device="CPU").contiguous().realize()  # a shape is a part of the program
        return exact(start, steps)

    return run
"""
FAST = """
import time
import numpy as np
import impls
from impls._tensorflow import compilations
from impls.interface import Problem
X = np.ones((2, 1))
run = impls.load("tensorflow_xla")(Problem(X, X[:, 0].copy(), X[0].copy(), 0.1, 1000, None), "cpu")
run(X[0], 1)
traced, start = compilations(), time.process_time()
for steps in range(100, 200):
    run(X[0], steps)
print(traced > 0, compilations() - traced, (time.process_time() - start) / 100 < 0.02)
"""
MOVES = """
from impls._torch import fetch, place

def prepare(problem, device):
    X, y = place(problem.X, device), place(problem.y, device)

    def run(start, steps, /):
        w = place(start, device)
        for _ in range(steps):
            w = w - 2 * problem.lr / len(y) * (X.T @ (X @ w - y))
        return fetch(w).copy()

    return run
"""


@needs("torch")
def test_a_file_that_moves_data_by_our_functions_has_the_seconds_of_waits_and_transfers(tmp_path: Path) -> None:
    done = one(tmp_path, "moves", MOVES, "--problem", "line")
    assert done.code == 0 and done.rows, done.out
    assert all(row["blocked_s"] > 0 and row["transfer_s"] > 0 for row in done.rows)


@needs("tensorflow")
def test_tracing_in_every_run_is_noticed_in_tensorflow(tmp_path: Path) -> None:
    """In a file that knows nothing of ours; its framework is TensorFlow, though that has loaded JAX."""
    done = one(tmp_path, "again", RETRACES, "--problem", "line", "--dtype", "float64", "--steps", "20")
    assert invalid(done, "again").startswith("something was compiled in timed runs (compilations: ")
    assert done.rows[0]["framework"] == "tensorflow"
    assert f"tensorflow {done.rows[0]['threads']}" in done.rows[0]["pools"]


@needs("tensorflow")
def test_another_number_of_steps_is_not_compiled_anew_in_tensorflow() -> None:
    """Neither traced nor, which its counter does not see, compiled by XLA: that takes 0.1 s of the CPU."""
    assert python(FAST).out.split() == ["True", "0", "True"]


@needs("tinygrad")
def test_compiling_in_every_run_is_noticed_in_tinygrad(tmp_path: Path) -> None:
    done = one(tmp_path, "again", RECOMPILES)
    if "tinygrad compiles with" in done.out:
        pytest.skip("tinygrad's compiler is not installed")
    assert invalid(done, "again").startswith("something was compiled in timed runs (compilations: ")
    assert done.rows[0]["framework"] == "tinygrad" and done.rows[0]["version"]


@needs("tinygrad")
def test_tinygrad_without_its_compiler_is_a_skip_with_the_reason(tmp_path: Path) -> None:
    done = bench(tmp_path, "--impl", "tinygrad_autograd", env={"CC": "a-compiler-that-nobody-has"})
    assert done.code == 0
    assert "skipped: tinygrad compiles with a-compiler-that-nobody-has, which is not installed" in done.out


MPS = """
import numpy as np
import torch
from impls import _torch
from impls.interface import Unsupported
torch.cuda.is_available = lambda: False
for there in (True, False):
    torch.backends.mps.is_available = lambda: there
    for dtype in (np.float32, np.float64):
        try:
            print(_torch.place(np.ones(2, dtype), "gpu").device)
        except Unsupported as reason:
            print(reason)
        except Exception:
            print(_torch.accelerator())
"""


@needs("torch")
def test_the_gpu_of_a_mac_is_mps_in_float32_only() -> None:
    """On a stand-in for the check: there is no such device here, so moving an array to it fails."""
    done = python(MPS)
    assert done.out.splitlines() == [
        "mps",
        "torch has no float64 on Apple's mps; use float32",
        *["torch sees no gpu"] * 2,
    ]
