"""Measure the machine's limits: run each framework's kernels in their own worker and keep the best result."""

from typing import Any

from benchmarks.machine.bandwidth import better
from benchmarks.worker.client import Refused, Settings, Worker
from benchmarks.worker.workspace import Workspace
from impls.interface import Unsupported

KERNELS = {
    "cpu": ("numpy_manual", "numba_fused", "torch_manual"),
    "gpu": ("torch_manual", "cupy_manual", "jax_jit"),
}  # an implementation of each framework whose kernels read


def measure(settings: Settings, timeout: float, workspace: Workspace) -> dict[str, Any]:
    """Return what a device reads and multiplies with so many threads: `levels`, rates in FLOP/s, `call_s`.

    Return {} if no kernel runs there. `failed` names the kernels that failed, with reasons.
    """
    best: dict[str, Any] = {}
    failed: dict[str, str] = {}
    for impl in KERNELS[settings.device]:
        try:
            worker = Worker(impl, settings, timeout, workspace)
        except Unsupported:  # not installed: another will do
            continue
        except Refused as error:
            failed[impl] = str(error)
            continue
        try:
            best = better(best, vars(worker.bandwidth(settings.device)))
        except Unsupported:  # not for this device
            continue
        except Refused as error:
            failed[impl] = str(error)
        finally:
            worker.close()
    return best | ({"failed": failed} if failed else {})
