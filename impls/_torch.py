"""What the torch implementations share: the device, the precision and the batches."""

from collections.abc import Callable

import torch
from torch import Tensor

from impls.interface import Array, Device, Problem, Unsupported

torch.set_float32_matmul_precision("highest")  # float32 means float32: no TF32


def place(array: Array, device: Device) -> Tensor:
    """The array as a tensor on the device (on the CPU: the same memory)."""
    if device == "gpu" and not torch.cuda.is_available():
        raise Unsupported("torch sees no gpu")
    return torch.from_numpy(array).to("cuda" if device == "gpu" else "cpu")


def batches(problem: Problem, device: Device) -> Callable[[int], tuple[Tensor, Tensor]]:
    """`batch(t)`: X and y of batch t, (b, d) and (b,) or (b, k), the data moved to the device once."""
    X, y = place(problem.X, device), place(problem.y, device)
    if problem.order is None:
        return lambda t: (X, y)
    order = place(problem.order, device).long()
    return lambda t: (X[order[t]], y[order[t]])
