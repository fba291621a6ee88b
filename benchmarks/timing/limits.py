"""Measure the machine's limits: run each framework's kernels in their own worker and keep the best result."""

import time
from contextlib import closing
from typing import Any, cast

from benchmarks.machine.bandwidth import better, most_read
from benchmarks.worker.client import Refused, Settings, Worker
from benchmarks.worker.environment import pinned
from benchmarks.worker.workspace import Workspace
from impls.interface import Unsupported

KERNELS = {
    "cpu": ("numpy_manual", "numba_fused", "torch_manual"),
    "gpu": ("torch_manual", "cupy_manual", "jax_jit"),
}  # an implementation of each framework whose kernels read
READERS = ("numba_fused", "numpy_manual")  # whose kernel reads beside the rounds: the first that runs
READ_FROM = 2**20  # bytes; fewer take no longer than some calls


class Reader:
    """A process that reads as many bytes as a case beside its rounds: another time's bandwidth is no limit."""

    def __init__(self, settings: Settings, timeout: float, workspace: Workspace) -> None:
        self.timeout, self.worker = timeout, cast(Worker | None, None)
        self.most = most_read(pinned(settings.threads))
        for impl in READERS:
            try:
                self.worker = Worker(impl, settings, timeout, workspace)
                break
            except (Unsupported, Refused):  # not installed, or it does not start
                continue

    def bytes_per_s(self, size: int) -> float | None:
        """Return what it reads a second of so many bytes, or of as many as no cache holds; None if it cannot."""
        if self.worker is None or not self.worker.alive:
            return None
        self.worker.deadline = time.monotonic() + self.timeout
        try:
            return self.worker.read(min(size, self.most))
        except Refused:  # too large for the memory that is left
            return None

    def close(self) -> None:
        """End the process."""
        if self.worker is not None:
            self.worker.close()


def measure(settings: Settings, timeout: float, workspace: Workspace) -> dict[str, Any]:
    """Return a device's `levels`, FLOP/s and `call_s`; {} without a kernel. `failed`: kernels, with reasons."""
    best: dict[str, Any] = {}
    failed: dict[str, str] = {}
    for impl in KERNELS[settings.device]:
        try:
            with closing(Worker(impl, settings, timeout, workspace)) as worker:
                best = better(best, vars(worker.bandwidth(settings.device)))
        except Unsupported:  # not installed, or not for this device: another will do
            continue
        except Refused as error:
            failed[impl] = str(error)
    return best | ({"failed": failed} if failed else {})
