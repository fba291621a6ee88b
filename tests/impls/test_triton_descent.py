"""The Triton kernels without a GPU: compiled for one, interpreted as processes, and refused where they cannot run."""

import pytest
from helpers import ROOT, needs, python

pytestmark = needs("triton")

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
try:
    _triton.need_device("cpu")
except Unsupported as error:
    print(type(error).__name__, error)
"""


def test_a_gpu_that_cannot_run_all_programs_at_once_is_unsupported_and_so_is_the_cpu() -> None:
    done = python(REFUSED)
    refused, failed, cpu = done.out.splitlines()
    assert refused.startswith("Unsupported the gpu cannot run 79 programs at once"), done.out + done.err
    assert failed == "RuntimeError Triton Error [CUDA]: out of memory"
    assert cpu.startswith("Unsupported Triton runs on the gpu, and with TRITON_INTERPRET=1")


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
    assert "at most 4,096 features" in reasons["long", "float64", "256"]
