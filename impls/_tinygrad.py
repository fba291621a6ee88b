"""Shared by the tinygrad implementations: device and precision, and probes of tinygrad."""

import os
import shutil

from tinygrad import Device as Devices
from tinygrad import Tensor
from tinygrad.codegen import to_program_cache
from tinygrad.helpers import ALLOW_TF32, NUM_CPU_THREADS

from impls.interface import PRECISION, Array, Device, Timed, Unsupported, product_by

COMPILER = os.environ.get("CC", "clang")
ALLOW_TF32.value = int(PRECISION == "tf32")
NUM_CPU_THREADS.value = int(os.environ.get("OMP_NUM_THREADS", NUM_CPU_THREADS.value))  # it does not look for itself


@Timed
def place(array: Array, device: Device) -> Tensor:
    """Return a copy of the array on the device."""
    return Tensor(array, device=_ready(device)).realize()


def _ready(device: Device) -> str:
    """Open the device and return tinygrad's name for it. Raises Unsupported."""
    if device == "cpu" and shutil.which(COMPILER) is None:
        raise Unsupported(f"tinygrad compiles with {COMPILER}, which is not installed")
    try:
        return str(Devices["CUDA" if device == "gpu" else "CPU"].device)
    except (AttributeError, RuntimeError) as error:  # no library, no device
        raise Unsupported(f"tinygrad sees no {device}") from error


@Timed
def fetch(w: Tensor) -> Array:
    """Return the tensor on the host when it is ready. It is a copy."""
    return w.numpy().copy()


product = product_by(place, fetch)


def threads() -> int:
    """Return the threads that tinygrad uses for one operation on the CPU."""
    return NUM_CPU_THREADS.value


def compilations() -> int:
    """Return the number of programs that tinygrad has compiled in this process."""
    return len(to_program_cache)
