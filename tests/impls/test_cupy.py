"""Our code for CuPy, by the real command, on a stand-in for the package: neither CuPy nor a GPU is in these tests."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from helpers import ROOT, Done, bench, python

from results.__main__ import main

STANDIN = str(ROOT / "tests" / "support" / "standin")
HERE = {"PYTHONPATH": STANDIN, "STANDIN_GPUS": "1", "CUPY_TF32": "1"}  # the last: what a user may have set
CASES = {("line", "float64"), ("crops", "float32"), ("crops@5", "float64")}
COMPILES = """
import numpy as np
from impls import _cupy
print(_cupy.compilations())
_cupy.product(np.ones((2, 2)), np.ones((2, 2)), "gpu")
print(_cupy.compilations())
"""


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    """Full batches and mini-batches, one target and two, in both dtypes, on the gpu; the cpu as well."""
    options = ["--problem", "line,crops,crops@5", "--dtype", "float32,float64", "--device", "gpu,cpu"]
    chosen = "(-line-float64- or -crops-float32- or 5-float64-)"
    words = [*options, "-k", chosen, "--steps", "50"]
    return bench(tmp_path_factory.mktemp("cupy"), "--impl", "cupy_manual", *words, env=HERE)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Done:
    """In both precisions."""
    words = ["--precision", "highest,tf32", "--device", "gpu", "--problem", "line", "--blocks", "2"]
    return bench(tmp_path_factory.mktemp("both"), "--impl", "cupy_manual", *words, env=HERE)


def test_it_is_checked_and_timed_on_the_gpu(done: Done) -> None:
    assert done.code == 0, done.out + done.err
    assert done.timed("cupy_manual") == CASES
    assert {(row["device"], row["framework"], row["valid"]) for row in done.rows} == {("gpu", "cupy", True)}
    assert {row["matmul_bits"] for row in done.rows} == {23, 52}
    assert {row["compiles"] for row in done.rows} == {0}
    assert all(row["blocked_s"] > 0 and row["transfer_s"] > 0 for row in done.rows)


def test_precisions_are_compared_in_one_run_and_tf32_is_off_unless_it_is_asked_for(
    done: Done, both: Done, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert {row["version"] for row in done.rows} == {"a stand-in, TF32 0"}
    assert both.code == 0, both.out + both.err
    assert {(row["impl"], row["precision"], row["version"][-1]) for row in both.rows} == {
        ("cupy_manual@precision=highest", "highest", "0"),
        ("cupy_manual@precision=tf32", "tf32", "1"),
    }
    tolerances = [max(row["tolerance"] for row in both.rows if row["version"][-1] == one) for one in "01"]
    assert tolerances[1] > 100 * tolerances[0], "TF32 has a tolerance of its own"
    (tmp_path / "both.json").write_text(json.dumps(both.json))
    assert main(["compare", "--over", "precision", str(tmp_path / "both.json")]) == 0
    out = capsys.readouterr().out
    assert "largest error" in out and "not compared" not in out.lower()


def test_the_cpu_is_a_skip_with_the_reason(done: Done) -> None:
    assert done.json["campaign"]["skipped"] == [
        {"impl": "cupy_manual", "device": "cpu", "reason": "CuPy runs on the gpu only"}
    ]


def test_no_gpu_is_a_skip_with_the_reason(tmp_path: Path) -> None:
    none = bench(tmp_path, "--impl", "cupy_manual", "--device", "gpu", env=HERE | {"STANDIN_GPUS": "0"})
    assert "1 skipped: CuPy sees no gpu" in none.out


def test_compilations_are_counted(tmp_path: Path) -> None:
    counted = python(COMPILES, env=HERE | {"CUPY_CACHE_DIR": str(tmp_path / "kernels")})
    assert counted.out.split() == ["0", "1"], counted.err


@pytest.mark.skipif(shutil.which("nvcc") is None, reason="no CUDA compiler here")
def test_the_kernel_that_reads_l2_compiles_for_sm_90_without_spills_and_its_blocks_are_resident(tmp_path: Path) -> None:
    """A multiprocessor has 65,536 registers. All blocks must be resident, or the last ones would read alone."""
    code = "from impls import _cupy; print(_cupy.READ); print(_cupy.THREADS * _cupy.BLOCKS)"
    kernel, threads = python(code, env=HERE).out.rstrip().rsplit("\n", 1)
    file = tmp_path / "read.cu"
    file.write_text(kernel)
    words = ["nvcc", "-arch=sm_90", "-Xptxas", "-v", "-cubin", "-o", str(file.with_suffix(".cubin")), str(file)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    usage = done.stdout + done.stderr
    assert "0 bytes spill stores, 0 bytes spill loads" in usage, usage
    registers = re.search(r"Used (\d+) registers", usage)
    assert registers and int(threads) <= 2048 and -(-int(registers[1]) // 8) * 8 * int(threads) <= 65_536
