"""Memory: what `--memory` allows a worker, what a problem needs at least, and which ends were for want of it."""

import math
import os
import re
import resource
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from impls.interface import Unsupported

ALLOWED = "DESCENTBENCH_MEMORY"  # in a worker's environment: bytes that it may have
SIZE = re.compile(r"(\d+(?:\.\d+)?) ?(?:([kmgt])(i?))?b?", re.IGNORECASE)
OUT = re.compile(  # what frameworks and libraries say where no more is to be had, threads' stacks included
    r"out of memory|memoryerror|bad_alloc|memory allocation|(can't|cannot|unable to) allocate|resource_?exhausted"
    r"|failed to map segment|can't start new thread|pthread_create failed",
    re.IGNORECASE,
)
MEMINFO, VMSTAT = Path("/proc/meminfo"), Path("/proc/vmstat")
CGROUP, CGROUPS = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")


def parsed(text: str) -> int:
    """Bytes of "8GB", "512MiB" or "1000000". Raises ValueError."""
    found = SIZE.fullmatch(text.strip())
    power = " kmgt".index((found[2] or " ").lower()) if found else 0
    unit = float(1024 if found and found[3] else 1000) ** power
    size = int(float(found[1]) * unit) if found else 0
    if not 0 < size < 2**63:
        raise ValueError(f"--memory {text!r}: give bytes, or a number with its unit, as 8GB or 512MiB")
    return size


def told(size: float) -> str:
    """Bytes in words: 512 MiB where it is a whole number of these, else 8.0 GB."""
    for unit, name in ((2**30, "GiB"), (2**20, "MiB")):
        if size % unit == 0:
            return f"{size / unit:g} {name}"
    for unit, name in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if size >= unit:
            return f"{size / unit:.1f} {name}"
    return f"{size:g} bytes"


def require(floats: int, indices: int, dtype: str, allowed: int | None) -> None:
    """Raises Unsupported, with the bytes that are needed, where so many numbers, and so many of `order`, cannot fit.

    In their dtype they must fit into what is allowed; in float64, as they are made, into the memory here.
    """
    needed, made = (floats * np.dtype(kind).itemsize + 4 * indices for kind in (dtype, "float64"))
    if allowed is not None and needed > allowed:
        raise Unsupported(f"needs at least {told(needed)}; --memory allows {told(allowed)}")
    if made > total():
        raise Unsupported(f"needs at least {told(made)} to be made; there are {told(total())} of memory here")


def total() -> float:
    """Bytes of memory that there are for this process: the machine's, or its cgroup's where that is less."""
    known = [meminfo("MemTotal")]
    for folder in _groups():
        for name in ("memory.max", "memory.limit_in_bytes"):  # version 2, version 1
            if (folder / name).exists() and (text := (folder / name).read_text().strip()) != "max":
                known.append(float(text))
    return min(known)


def meminfo(name: str) -> float:
    """A line of /proc/meminfo in bytes; infinite where nobody tells."""
    lines = MEMINFO.read_text().splitlines() if MEMINFO.exists() else []
    return next((1024.0 * int(line.split()[1]) for line in lines if line.startswith(f"{name}:")), math.inf)


def _groups() -> Iterator[Path]:
    """Folders of the memory cgroups that this process is in, the innermost first."""
    for line in CGROUP.read_text().splitlines() if CGROUP.exists() else []:
        _, controllers, own = line.split(":", 2)
        if controllers in ("", "memory"):
            root = CGROUPS / controllers
            inner = root / own.lstrip("/")
            yield from (folder for folder in (inner, *inner.parents) if folder.is_relative_to(root))


def hold(spare: int = 0) -> None:
    """Have the kernel refuse this process more private memory that it may write to than allowed, `spare` bytes apart.

    That is RLIMIT_DATA, on Linux: it counts what is asked for, also of mapped files. RLIMIT_AS would count the address
    space that CUDA and XLA reserve as well. Each process that this one starts may have as much again.
    """
    if allowed():
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        most = allowed() + spare
        resource.setrlimit(resource.RLIMIT_DATA, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def allowed() -> int:
    """Bytes that this worker may have; 0: all."""
    return int(os.environ.get(ALLOWED, 0))


def blamed(end: str, allowed: int, said: str = "") -> str:
    """How an end is told that was for want of memory where only so much was allowed (0: all); others as they are.

    said: what else may tell that it was.
    """
    if allowed and OUT.search(end + said):
        return f"out of memory: --memory allows {told(allowed)} ({end})"
    return end


def oom_kills() -> int:
    """How many processes the kernel has killed on this machine, or in a container's, because memory ran out."""
    lines = VMSTAT.read_text().splitlines() if VMSTAT.exists() else []
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)
