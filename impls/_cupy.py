"""Shared by the CuPy implementations: device and precision, and probes of CuPy."""

import os
from pathlib import Path

from impls.interface import PRECISION, Array, Device, Unsupported, noting_transfer, noting_wait

os.environ["CUPY_TF32"] = str(int(PRECISION == "tf32"))  # before CuPy is there; cuBLAS keeps float32 without it

import cupy as cp


@noting_transfer
def place(array: Array, device: Device) -> cp.ndarray:
    """Return the array on the GPU when it is there."""
    if device != "gpu":
        raise Unsupported("CuPy runs on the gpu only")
    if not cp.cuda.is_available():
        raise Unsupported("CuPy sees no gpu")
    return cp.asarray(array, blocking=True)


@noting_wait
def fetch(w: cp.ndarray) -> Array:
    """Return the array on the host when it is ready. It is a copy."""
    return cp.asnumpy(w)


def product(a: Array, b: Array, device: Device) -> Array:
    """Return a @ b as CuPy computes it, to probe its precision."""
    return cp.asnumpy(place(a, device) @ place(b, device))


resident = place


def total(x: cp.ndarray, times: int) -> cp.ndarray:
    """Read all of x (m,) `times` times, to measure the bandwidth."""
    for _ in range(times):
        result = x.sum()
    return result


def caches() -> dict[str, int]:
    """Return the size of the GPU's cache in bytes."""
    return {"L2": int(cp.cuda.Device().attributes["L2CacheSize"])}


def threads() -> None:
    """Return None: CuPy uses no threads of the CPU."""


def compilations() -> int:
    """Return the number of kernels in CuPy's cache, which is empty when a worker starts."""
    cache = Path(os.environ.get("CUPY_CACHE_DIR", "~/.cupy/kernel_cache")).expanduser()
    return len([*cache.glob("*.cubin")])
