"""Shared by the CuPy implementations: device and precision, and probes of CuPy."""

import functools
import os
from pathlib import Path
from typing import Any

from impls.interface import PRECISION, Array, Device, Timed, Unsupported, product_by

os.environ["CUPY_TF32"] = str(int(PRECISION == "tf32"))  # before CuPy is there; cuBLAS keeps float32 without it

import cupy as cp

READ = """
extern "C" __global__ void read(const float4* x, long long size, int times, float* sums) {
    const long long first = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    const long long stride = (long long)gridDim.x * blockDim.x;
    float total = 0;
    for (int time = 0; time < times; ++time) {
        long long i = first;
        for (; i + 3 * stride < size; i += 4 * stride) {  // four loads on their way at the same time
            float4 four[4];
            #pragma unroll
            for (int k = 0; k < 4; ++k) four[k] = __ldcg(x + i + k * stride);  // past L1, which may hold them
            #pragma unroll
            for (int k = 0; k < 4; ++k) total += four[k].x + four[k].y + four[k].z + four[k].w;
        }
        for (; i < size; i += stride) {
            const float4 four = __ldcg(x + i);
            total += four.x + four.y + four.z + four.w;
        }
    }
    sums[first] = total;
}
"""
THREADS, BLOCKS = 512, 3  # of a block; on each multiprocessor: all are resident with 36 registers


@Timed
def place(array: Array, device: Device) -> cp.ndarray:
    """Return the array on the GPU when it is there. Raises Unsupported without one."""
    if device != "gpu":
        raise Unsupported("CuPy runs on the gpu only")
    if not cp.cuda.is_available():
        raise Unsupported("CuPy sees no gpu")
    return cp.asarray(array, blocking=True)


@Timed
def fetch(w: cp.ndarray) -> Array:
    """Return the array on the host when it is ready. It is a copy."""
    return cp.asnumpy(w)


product = product_by(place, fetch)
resident = place


def total(x: cp.ndarray, times: int) -> cp.ndarray:
    """Read all of x (m,), float32, m a multiple of 4, `times` times in one launch, to measure the bandwidth.

    Half of L2 is read faster than a launch takes, so sums that are launched one by one would measure launches.
    """
    blocks = BLOCKS * cp.cuda.Device().attributes["MultiProcessorCount"]
    sums = cp.empty(blocks * THREADS, cp.float32)
    _read()((blocks,), (THREADS,), (x, cp.int64(x.size // 4), cp.int32(times), sums))
    return sums.sum()


@functools.cache
def _read() -> Any:
    return cp.RawKernel(READ, "read")


def caches() -> dict[str, int]:
    """Return the size of the GPU's cache in bytes."""
    return {"L2": int(cp.cuda.Device().attributes["L2CacheSize"])}


def threads() -> None:
    """Return None: CuPy uses no threads of the CPU."""


def compilations() -> int:
    """Return the number of kernels in CuPy's cache, which is empty when a worker starts."""
    cache = Path(os.environ.get("CUPY_CACHE_DIR", "~/.cupy/kernel_cache")).expanduser()
    return len([*cache.glob("*.cubin")])
