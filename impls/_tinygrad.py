"""What the tinygrad implementations share: the device, the precision; and what tinygrad says of itself."""

import os
import shutil

from tinygrad import Device as Devices
from tinygrad import Tensor
from tinygrad.codegen import to_program_cache
from tinygrad.helpers import ALLOW_TF32, NUM_CPU_THREADS

from impls.interface import PRECISION, Array, Device, Unsupported, noting_transfer, noting_wait

COMPILER = os.environ.get("CC", "clang")
ALLOW_TF32.value = int(PRECISION == "tf32")
NUM_CPU_THREADS.value = int(os.environ.get("OMP_NUM_THREADS", NUM_CPU_THREADS.value))  # it does not look for itself


@noting_transfer
def place(array: Array, device: Device) -> Tensor:
    """The array on the device, a copy."""
    return Tensor(array, device=_ready(device)).realize()


def _ready(device: Device) -> str:
    """tinygrad's name of the device, opened. Raises Unsupported."""
    if device == "cpu" and shutil.which(COMPILER) is None:
        raise Unsupported(f"tinygrad compiles with {COMPILER}, which is not installed")
    try:
        return str(Devices["CUDA" if device == "gpu" else "CPU"].device)
    except (AttributeError, RuntimeError) as error:  # no library, no device
        raise Unsupported(f"tinygrad sees no {device}") from error


@noting_wait
def fetch(w: Tensor) -> Array:
    """The tensor on the host, when it is done; a copy."""
    return w.numpy().copy()


def product(a: Array, b: Array, device: Device) -> Array:
    """a @ b as tinygrad computes it there: what a probe of the precision looks at."""
    return (place(a, device) @ place(b, device)).numpy()


def threads() -> int:
    """Threads among which tinygrad divides one operation on the CPU."""
    return NUM_CPU_THREADS.value


def compilations() -> int:
    """Programs that tinygrad has compiled in this process."""
    return len(to_program_cache)
