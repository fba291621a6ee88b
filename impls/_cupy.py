"""What the CuPy implementations share: the device, the precision; and what CuPy says of itself."""

import os
from pathlib import Path

from impls.interface import PRECISION, Array, Device, Unsupported, noting_transfer, noting_wait

os.environ["CUPY_TF32"] = str(int(PRECISION == "tf32"))  # before CuPy is there; cuBLAS keeps float32 without it

import cupy as cp


@noting_transfer
def place(array: Array, device: Device) -> cp.ndarray:
    """The array on the gpu."""
    if device != "gpu":
        raise Unsupported("CuPy runs on the gpu only")
    if not cp.cuda.is_available():
        raise Unsupported("CuPy sees no gpu")
    return cp.asarray(array)


@noting_wait
def fetch(w: cp.ndarray) -> Array:
    """The array on the host, when it is done; a copy."""
    return cp.asnumpy(w)


def product(a: Array, b: Array, device: Device) -> Array:
    """a @ b as CuPy computes it there: what a probe of the precision looks at."""
    return cp.asnumpy(place(a, device) @ place(b, device))


resident = place


def total(x: cp.ndarray, times: int) -> cp.ndarray:
    """Read all of x (m,) so many times: what a bandwidth is measured with."""
    for _ in range(times):
        result = x.sum()
    return result


def caches() -> dict[str, int]:
    """Bytes of the gpu's cache."""
    return {"L2": int(cp.cuda.Device().attributes["L2CacheSize"])}


def threads() -> None:
    """None: CuPy leaves nothing to threads of the CPU."""


def compilations() -> int:
    """Kernels that CuPy has compiled into its cache, which for a worker is empty when it starts."""
    cache = Path(os.environ.get("CUPY_CACHE_DIR", "~/.cupy/kernel_cache")).expanduser()
    return len([*cache.glob("*.cubin")])
