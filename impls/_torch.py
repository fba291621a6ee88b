"""What the torch implementations share: the device, the precision, the batches; and what torch says of itself."""

import os
import sys
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, distributed

from impls.interface import PRECISION, Array, Device, Unsupported, need_ranks, noting_wait

torch.set_float32_matmul_precision("high" if PRECISION == "tf32" else "highest")


def place(array: Array, device: Device) -> Tensor:
    """The array as a tensor on the device (on the CPU: the same memory)."""
    if device == "gpu" and not torch.cuda.is_available():
        raise Unsupported("torch sees no gpu")
    return torch.from_numpy(array).to("cuda" if device == "gpu" else "cpu")


def join(device: Device) -> None:
    """Make this process a rank among the others, by gloo or NCCL, with a gpu of its own; once a process."""
    need_ranks()
    place(np.empty(0), device)
    if device == "gpu":
        local = int(os.environ["LOCAL_RANK"])
        if local >= torch.cuda.device_count():
            raise Unsupported(f"rank {os.environ['RANK']} has no gpu of its own: {torch.cuda.device_count()} here")
        torch.cuda.set_device(local)
    if not distributed.is_initialized():
        distributed.init_process_group("nccl" if device == "gpu" else "gloo")


@noting_wait
def fetch(w: Tensor) -> Array:
    """The tensor on the host, when it is done (on the CPU: the same memory)."""
    return w.numpy(force=True)


def batches(X: Tensor, y: Tensor, order: Array | None) -> Callable[[int], tuple[Tensor, Tensor]]:
    """`batch(t)`: the rows of X and y in batch t."""
    if order is None:
        return lambda t: (X, y)
    rows = torch.from_numpy(order).to(X.device).long()
    return lambda t: (X[rows[t]], y[rows[t]])


def product(a: Array, b: Array, device: Device) -> Array:
    """a @ b as torch computes it there: what a probe of the precision looks at."""
    return (place(a, device) @ place(b, device)).numpy(force=True)


resident = place


def total(x: Tensor, times: int) -> Tensor:
    """Read all of x (m,) so many times: what a bandwidth is measured with."""
    for _ in range(times):
        result = x.sum()
    return result


def caches() -> dict[str, int]:
    """Bytes of the first GPU's cache."""
    return {"L2": torch.cuda.get_device_properties(0).L2_cache_size}


def threads() -> int:
    """Threads that torch uses for one operation."""
    return torch.get_num_threads()


def compilations() -> int:
    """Graphs that torch.compile has compiled in this process."""
    dynamo = sys.modules.get("torch._dynamo.utils")
    return dynamo.counters["stats"]["unique_graphs"] if dynamo else 0
