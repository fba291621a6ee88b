"""Measure the machine's limits: each framework's kernels in a worker of its own, the best of them counts."""

from typing import Any

from benchmarks.machine.bandwidth import better
from benchmarks.worker.client import Refused, Worker
from impls.interface import Unsupported

KERNELS = {
    "cpu": ("numpy_manual", "numba_fused", "torch_manual"),
    "gpu": ("torch_manual", "cupy_manual", "jax_jit"),
}  # an implementation of each framework whose kernels read


def measure(threads: int, device: str, precision: str, timeout: float) -> dict[str, Any]:
    """What a device reads and multiplies with so many threads: `levels`, `flops_per_s`, `matvec_flops_per_s`, `call_s`.

    {} where no kernel runs there; `failed`: which ones should and did not, and why.
    """
    best: dict[str, Any] = {}
    failed: dict[str, str] = {}
    for impl in KERNELS[device]:
        try:
            worker = Worker(impl, threads, device, precision, timeout)
        except Unsupported:  # not installed: another will do
            continue
        except Refused as error:
            failed[impl] = str(error)
            continue
        try:
            best = better(best, worker.ask("bandwidth", device=device))
        except Unsupported:  # not for this device
            continue
        except Refused as error:
            failed[impl] = str(error)
        finally:
            worker.close()
    return best | ({"failed": failed} if failed else {})
