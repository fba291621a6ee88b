"""Keras on its backends: one a process, which the worker chooses by the implementation's name."""

import subprocess
import sys
from pathlib import Path

import pytest
from helpers import ROOT, UNNEEDED, bench, environment, needs

BACKENDS = ["torch", "jax"]
ELSEWHERE = "(importing or gpu or installed)"  # what test_contract.py shows of Keras in its own process


@needs("keras")
@pytest.mark.parametrize("backend", BACKENDS)
def test_the_contract_holds_in_a_process_of_its_own(backend: str) -> None:
    contract = str(ROOT / "tests" / "impls" / "test_contract.py")
    words = [
        "-q",
        *UNNEEDED,
        "--benchmark-disable",
        "-k",
        f"keras_{backend} and not importing and not gpu and not installed",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", contract, *words],
        cwd=ROOT,
        env=environment(KERAS_BACKEND=backend),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0 and " passed" in done.stdout, done.stdout[-2000:]


@needs("keras")
def test_each_runs_on_its_backend_whatever_the_user_has_set_and_not_in_float64(tmp_path: Path) -> None:
    by_path = ROOT / "impls" / "keras_jax.py"  # as `make ab` gives it
    words = ["--impl", f"keras_torch,{by_path}", "--problem", "crops@5", "--steps", "20", "--dtype", "float32,float64"]
    done = bench(tmp_path, *words, env={"KERAS_BACKEND": "numpy"})
    assert done.code == 0, done.out + done.err
    assert {(row["impl"], row["framework"], row["valid"]) for row in done.rows} == {
        ("keras_torch", "keras", True),
        ("keras_jax", "keras", True),
    }
    assert {(row["dtype"], row["matmul_bits"]) for row in done.rows} == {("float32", 23)}
    assert all(row["blocked_s"] > 0 and row["transfer_s"] > 0 for row in done.rows)
    assert all(f"Keras on {backend} is not exact in float64" in done.out for backend in BACKENDS)
