"""Read a problem from its folder: into memory, or mapped if this process needs only a part or memory is short."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.worker import memory
from impls.interface import Array, Problem


def read(folder: str) -> Problem:
    """Return the problem that the campaign wrote to the folder."""
    return _problem(Path(folder), load_array)


def read_mapped(folder: str) -> Problem:
    """Return the same problem for reading only. Its arrays are mapped, so they take no memory of this process."""
    return _problem(Path(folder), lambda path: np.asarray(np.load(path, mmap_mode="r")))


def load_array(path: Path) -> Array:
    """Return the array of a .npy file.

    It is mapped if this process is one of several ranks, or if the file exceeds half of the free memory. Writes to it
    stay in this process.
    """
    mapped = _ranks() > 1 or path.stat().st_size > free_memory() / 2
    return np.asarray(np.load(path, mmap_mode="c" if mapped else None))


def other_ranks_bytes(folder: str) -> int:
    """Return the bytes of X and y that this process maps although they belong to other ranks."""
    size = sum(Path(folder, f"{name}.npy").stat().st_size for name in ("X", "y"))
    return size * (_ranks() - 1) // _ranks()


def free_memory() -> float:
    """Return the bytes of memory available without swapping (Linux); infinity if unknown. RAM_VARIABLE overrides it."""
    return memory.total() if memory.RAM_VARIABLE in os.environ else memory.meminfo("MemAvailable")


def _problem(path: Path, load: Callable[[Path], Array]) -> Problem:
    plan = json.loads((path / "plan.json").read_text())
    order = load(path / "order.npy") if (path / "order.npy").exists() else None
    X, y, w0 = (load(path / f"{name}.npy") for name in ("X", "y", "w0"))
    return Problem(X, y, w0, plan["lr"], plan["steps"], order, plan.get("storage", ""))


def _ranks() -> int:
    return int(os.environ.get("WORLD_SIZE", 1))
