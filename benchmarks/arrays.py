"""An array from its file: in memory, or mapped from the disk where memory has no room for it."""

import math
from pathlib import Path

import numpy as np

from impls.interface import Array

MEMORY = Path("/proc/meminfo")


def array(path: Path) -> Array:
    """The array of a .npy file; where it would take more than half of what is free, it is read as it is used.

    What is then written to it stays in this process, as ever.
    """
    return np.asarray(np.load(path, mmap_mode="c" if path.stat().st_size > free() / 2 else None))


def free() -> float:
    """Bytes of memory that can be had without swapping (Linux); infinite where nobody tells."""
    lines = MEMORY.read_text().splitlines() if MEMORY.exists() else []
    told = [1024.0 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")]
    return told[0] if told else math.inf
