"""Memory: the limit of `--memory`, the least that a problem needs, and failures that a lack of memory explains."""

import math
import os
import re
import resource
from pathlib import Path

import numpy as np

from benchmarks.machine import cgroup
from benchmarks.machine.files import text_of
from impls.interface import Unsupported

RAM_VARIABLE = "DESCENTBENCH_RAM"  # this machine's memory, such as 128GB, if the system reports less
LIMIT_VARIABLE = "DESCENTBENCH_MEMORY"  # in a worker's environment: bytes that it may have
SIZE = re.compile(r"(\d+(?:\.\d+)?) ?(?:([kmgt])(i?))?b?", re.IGNORECASE)
OUT_OF_MEMORY = re.compile(  # messages of frameworks and libraries, also about stacks of threads
    r"out of memory|memoryerror|bad_alloc|memory allocation|(can't|cannot|unable to) allocate|resource_?exhausted"
    r"|failed to map segment|can't start new thread|pthread_create failed",
    re.IGNORECASE,
)
MEMINFO, VMSTAT = Path("/proc/meminfo"), Path("/proc/vmstat")


def parse_size(text: str, name: str = "--memory") -> int:
    """Return the bytes of "8GB", "512MiB" or "1000000". Raises ValueError, which begins with `name`."""
    match = SIZE.fullmatch(text.strip())
    power = " kmgt".index((match[2] or " ").lower()) if match else 0
    unit = float(1024 if match and match[3] else 1000) ** power
    size = int(float(match[1]) * unit) if match else 0
    if not 0 < size < 2**63:
        raise ValueError(f"{name} {text!r}: give bytes, or a number with its unit, as 8GB or 512MiB")
    return size


def format_size(size: float) -> str:
    """Format bytes: 512 MiB if the number is a multiple of a binary unit, else 8.0 GB."""
    for unit, name in ((2**30, "GiB"), (2**20, "MiB")):
        if size % unit == 0:
            return f"{size / unit:g} {name}"
    for unit, name in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if size >= unit:
            return f"{size / unit:.1f} {name}"
    return f"{size:g} bytes"


def require(floats: int, indices: int, dtype: str, allowed: int | None) -> None:
    """Raise Unsupported, with the bytes needed, if a problem of so many numbers and entries of `order` cannot fit.

    In its dtype it must fit into the limit. It is made in float64, which must fit into this machine.
    """
    dtype_bytes, float64_bytes = (floats * np.dtype(kind).itemsize + 4 * indices for kind in (dtype, "float64"))
    if allowed is not None and dtype_bytes > allowed:
        raise Unsupported(f"needs at least {format_size(dtype_bytes)}; --memory allows {format_size(allowed)}")
    if float64_bytes > total():
        raise Unsupported(
            f"needs at least {format_size(float64_bytes)} to be made; there are {format_size(total())} of memory here"
            f" (set {RAM_VARIABLE}=SIZE if the machine gets more as it needs it)"
        )


def total() -> float:
    """Return this process's memory in bytes: RAM_VARIABLE's, else the machine's or its cgroup's. Raises ValueError."""
    if RAM_VARIABLE in os.environ:
        return parse_size(os.environ[RAM_VARIABLE], RAM_VARIABLE)
    granted = cgroup.memory()
    return meminfo("MemTotal") if granted is None else min(meminfo("MemTotal"), granted)


def meminfo(name: str) -> float:
    """Return a line of /proc/meminfo in bytes; infinity if there is none."""
    kibibytes = read_number(MEMINFO, f"{name}:")
    return math.inf if kibibytes is None else 1024.0 * kibibytes


def read_number(path: Path, name: str) -> int | None:
    """Return the number in the line of a file of /proc that begins with the name; None if there is none."""
    return next((int(line.split()[1]) for line in text_of(path).splitlines() if line.startswith(name)), None)


def limit_this_process(spare: int = 0) -> None:
    """Limit the private writable memory of this process to `allowed` plus `spare` bytes.

    The limit is RLIMIT_DATA (Linux). It counts requested memory, mapped files included. RLIMIT_AS would also count the
    address space that CUDA and XLA reserve. Each child process has the same limit for itself.
    """
    if allowed():
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        limit = allowed() + spare
        soft = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def allowed() -> int:
    """Return the bytes that this worker may use; 0 means no limit."""
    return int(os.environ.get(LIMIT_VARIABLE, 0))


def blame_memory(end: str, allowed: int, output: str = "") -> str:
    """Return an exit reason. If it or the output reports a lack of memory, it names the limit in bytes (0: none)."""
    if allowed and OUT_OF_MEMORY.search(end + output):
        return f"out of memory: --memory allows {format_size(allowed)} ({end})"
    return end


def oom_kills() -> int:
    """Return how many processes the kernel has killed here because memory ran out."""
    return read_number(VMSTAT, "oom_kill ") or 0
