"""A problem from its folder: in memory, or mapped where not all of it is looked at or memory has no room for it."""

import json
import math
import os
from pathlib import Path

import numpy as np

from impls.interface import Array, Problem

MEMORY = Path("/proc/meminfo")


def read(folder: str) -> Problem:
    """The problem that `campaign.py` wrote there."""
    path = Path(folder)
    plan = json.loads((path / "plan.json").read_text())
    order = np.load(path / "order.npy") if (path / "order.npy").exists() else None
    X, y, w0 = (array(path / f"{name}.npy") for name in ("X", "y", "w0"))
    return Problem(X, y, w0, plan["lr"], plan["steps"], order)


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
