"""What the torch implementations share: the device, the precision and the batches."""

from collections.abc import Callable

import torch
from torch import Tensor

from impls.interface import Array, Device, Unsupported

torch.set_float32_matmul_precision("highest")  # float32 means float32: no TF32


def place(array: Array, device: Device) -> Tensor:
    """The array as a tensor on the device (on the CPU: the same memory)."""
    if device == "gpu" and not torch.cuda.is_available():
        raise Unsupported("torch sees no gpu")
    return torch.from_numpy(array).to("cuda" if device == "gpu" else "cpu")


def batches(X: Tensor, y: Tensor, order: Array | None) -> Callable[[int], tuple[Tensor, Tensor]]:
    """`batch(t)`: the rows of X and y in batch t."""
    if order is None:
        return lambda t: (X, y)
    rows = torch.from_numpy(order).to(X.device).long()
    return lambda t: (X[rows[t]], y[rows[t]])
