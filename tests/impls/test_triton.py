"""The Triton implementations by Triton's interpreter, in their own processes: torch.compile must not be interpreted."""

import re
import subprocess
import sys

import pytest
from helpers import ROOT, UNNEEDED, environment, python

pytest.importorskip("triton")
INTERPRETED = {"TRITON_INTERPRET": "1"}
SHAPES = """
import sys
sys.path.insert(0, "tests/support")
from helpers import random_problem
from benchmarks.reference.solution import truth
from impls import _triton
from impls.triton_fused import prepare
_triton.LONGEST, _triton.NARROW, _triton.TILE = map(int, sys.argv[1:])
single, double = "float32", "float64"
for n, d, k, batch, dtype in (
    (300, 33, None, None, single), (70, 1, None, 9, double), (1, 40, 2, None, double), (90, 20, 3, 64, single)
):
    problem = random_problem(n, d, k, batch, dtype, steps=2)
    exact, run = truth(problem, [1, 2]), prepare(problem, "cpu")
    after = {t: run(problem.w0, t) for t in exact.at}
    for t in exact.at:
        error, allowed = exact.distance(after[t], t, 0.0, problem.w0)
        print("right" if error <= allowed else f"wrong: {n} {d} {k} {batch} {dtype} after {t}: {error} {allowed}")
    assert (run(problem.w0, 2) == after[2]).all()
"""

SMALL = """
from dataclasses import replace
import numpy as np
from benchmarks.problems.catalogue import build, cast
from benchmarks.reference.solution import truth
from impls import triton_descent, triton_fused

for name in ("line", "crops", "scalar", "tiny", "small"):
    for batch in ("", "@4"):
        double = build(name + batch, steps=5)[0]
        for dtype in ("float32", "float64", "float16", "bfloat16"):
            problem = cast(double, dtype)
            problem = replace(problem, y=np.asfortranarray(problem.y), w0=np.asfortranarray(problem.w0))
            exact = truth(problem, [5])
            for module in (triton_fused, triton_descent):
                error, allowed = exact.distance(module.prepare(problem, "cpu")(problem.w0, 5), 5, 0.0, problem.w0)
                print("right" if error <= allowed else f"wrong: {name}{batch} {dtype} {module.__name__}: {error}")
"""
CAPTURED = """
import sys
sys.path.insert(0, "tests/support")
import torch
from helpers import random_problem
from benchmarks.reference.solution import truth
from impls import triton_fused

def captured(step, most):
    step(None)  # as the real one does before it captures
    return lambda steps: [step(None) for _ in range(steps)]

triton_fused.need_device = lambda device: None
triton_fused.place = lambda array, device: torch.from_numpy(array.copy())
triton_fused.place_rows = lambda problem, device: torch.from_numpy(problem.X.copy())
triton_fused.captured = captured
problem = random_problem(20, 3, None, 4, "float32", steps=6)
exact, run = truth(problem, [2, 6]), triton_fused.prepare(problem, "gpu")
for t in (6, 2, 6):
    error, allowed = exact.distance(run(problem.w0, t), t, 0.0, problem.w0)
    print("right" if error <= allowed else f"wrong: {t}: {error} {allowed}")
"""


def test_the_contract_holds_interpreted() -> None:
    """Checks that need no interpreter run in test_contract.py."""
    chosen = "(triton_fused or triton_descent) and not importing and not without_gpu and not not_installed"
    words = [sys.executable, "-m", "pytest", "-q", *UNNEEDED, "tests/impls/test_contract.py", "-k", chosen]
    done = subprocess.run(words, cwd=ROOT, env=environment(**INTERPRETED), capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed and int(passed[1]) == 2 * (7 * 3 + 2) and "skipped" not in done.stdout, done.stdout


@pytest.mark.parametrize("sizes", ["32768 2048 16384", "32768 2048 512", "32 32 512"], ids=["one", "many", "long rows"])
def test_every_shape_of_blocks(sizes: str) -> None:
    """Rows in one block, in blocks for several rounds of programs, and taken apart."""
    done = python(SHAPES, *sizes.split(), env=INTERPRETED)
    assert done.out.split() == ["right"] * 8, done.out + done.err


def test_the_catalogues_small_problems_agree_with_the_reference() -> None:
    """Also with targets and weights in Fortran order."""
    done = python(SMALL, env=INTERPRETED)
    assert done.out.split() == ["right"] * 80, done.out + done.err


def test_replayed_steps_start_anew_in_every_run() -> None:
    """triton_fused in a CUDA graph, which a loop stands in for."""
    done = python(CAPTURED, env=INTERPRETED)
    assert done.out.split() == ["right"] * 3, done.out + done.err


def test_without_the_interpreter_the_cpu_is_unsupported() -> None:
    code = "import impls; import numpy as np; from impls.interface import Problem; X = np.ones((2, 1))\n"
    code += "impls.load('triton_fused')(Problem(X, X[:, 0].copy(), X[0].copy(), 0.1, 1, None), 'cpu')"
    done = python(code)
    assert done.code == 1 and "Unsupported: Triton runs on the gpu, and with TRITON_INTERPRET=1" in done.err
