"""A problem from its folder: in memory, or mapped where not all of it is looked at or memory has no room for it."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.worker import memory
from impls.interface import Array, Problem


def read(folder: str) -> Problem:
    """The problem that `campaign.py` wrote there."""
    return _problem(Path(folder), array)


def kept(folder: str) -> Problem:
    """The same to be looked at only: mapped, so that it takes nothing of this process's memory."""
    return _problem(Path(folder), lambda path: np.asarray(np.load(path, mmap_mode="r")))


def array(path: Path) -> Array:
    """The array of a .npy file. One of several ranks, or an array of more than half of what is free, reads as it looks.

    What is then written to it stays in this process, as ever.
    """
    mapped = _ranks() > 1 or path.stat().st_size > free() / 2
    return np.asarray(np.load(path, mmap_mode="c" if mapped else None))


def others(folder: str) -> int:
    """Bytes of X and y that are mapped here though they are other ranks'."""
    size = sum(Path(folder, f"{name}.npy").stat().st_size for name in ("X", "y"))
    return size * (_ranks() - 1) // _ranks()


def free() -> float:
    """Bytes of memory that can be had without swapping (Linux); infinite where nobody tells."""
    return memory.meminfo("MemAvailable")


def _problem(path: Path, load: Callable[[Path], Array]) -> Problem:
    plan = json.loads((path / "plan.json").read_text())
    order = load(path / "order.npy") if (path / "order.npy").exists() else None
    X, y, w0 = (load(path / f"{name}.npy") for name in ("X", "y", "w0"))
    return Problem(X, y, w0, plan["lr"], plan["steps"], order)


def _ranks() -> int:
    return int(os.environ.get("WORLD_SIZE", 1))
