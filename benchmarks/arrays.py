"""An array from its file: in memory, or mapped where not all of it is looked at or memory has no room for it."""

import math
import os
from pathlib import Path

import numpy as np

from impls.interface import Array

MEMORY = Path("/proc/meminfo")


def array(path: Path) -> Array:
    """The array of a .npy file. One of several ranks, or an array of more than half of what is free, reads as it looks.

    What is then written to it stays in this process, as ever.
    """
    mapped = int(os.environ.get("WORLD_SIZE", 1)) > 1 or path.stat().st_size > free() / 2
    return np.asarray(np.load(path, mmap_mode="c" if mapped else None))


def free() -> float:
    """Bytes of memory that can be had without swapping (Linux); infinite where nobody tells."""
    lines = MEMORY.read_text().splitlines() if MEMORY.exists() else []
    told = [1024.0 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")]
    return told[0] if told else math.inf
