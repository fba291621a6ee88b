"""Shared by the MLX implementations: device, and probes of MLX."""

from collections.abc import Callable
from typing import Any, cast

import mlx.core as mx
import numpy as np

from impls.interface import Array, Device, Timed, Unsupported, product_by

traces: list[str] = []  # an entry for each time that mx.compile has traced a function in this process
_compile = mx.compile


def _noting_compile(function: Callable[..., Any], *args: Any, **options: Any) -> Callable[..., Any]:
    def noted(*inputs: Any, **named: Any) -> Any:
        traces.append(function.__name__)
        return function(*inputs, **named)

    return _compile(noted, *args, **options)


mx.compile = cast(Any, _noting_compile)  # MLX has no count of its own


@Timed
def place(array: Array, device: Device) -> mx.array:
    """Return a copy of the array on the device, of the same dtype. Later operations of this process run there.

    Raises Unsupported if MLX sees no such device, or if it lacks the dtype.
    """
    if device == "gpu" and not mx.is_available(mx.gpu):
        raise Unsupported("MLX sees no gpu")
    if device == "gpu" and array.dtype == np.float64:
        raise Unsupported("MLX has float64 on the cpu only")
    mx.set_default_device(mx.gpu if device == "gpu" else mx.cpu)
    there = mx.array(array, dtype=getattr(mx, array.dtype.name))  # by default float64 becomes float32
    mx.eval(there)
    return there


@Timed
def fetch(w: mx.array) -> Array:
    """Evaluate the array and return it on the host. It is a copy."""
    return np.array(w)


product = product_by(place, fetch)


def threads() -> None:
    """Return None: MLX does not say. On the CPU its BLAS library has a pool that threadpoolctl sees."""


def compilations() -> int:
    """Return the number of functions that mx.compile has traced in this process."""
    return len(traces)
