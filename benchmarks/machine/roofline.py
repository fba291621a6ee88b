"""Roofline: the least that a step must read and compute, against the rates of the machine.

A step takes at least as long as the resource it waits for longest (Williams, Waterman and Patterson 2009,
https://doi.org/10.1145/1498765.1498785). A step over the rows of X needs at least one pass: it reads each row once, for
the residual and for its part of the gradient. Two products, X w and X' r, read X twice.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from benchmarks.machine.files import text_of
from benchmarks.typed_json import MAX_ENTRIES, Count, Seconds, Speed, Speeds, Text

CPU_FOLDER = Path("/sys/devices/system/cpu")
GRAM = "Gram matrix"
MEMORY, DISPATCH = "memory", "dispatch"


@dataclass(frozen=True)
class Level:
    """A level of the memory and its bandwidth. holds: its size in bytes, None for main memory."""

    level: Text
    holds: Count | None
    bytes_per_s: Speed
    kernel: Text


@dataclass(frozen=True)
class Rates:
    """Measured rates of a device: bytes/s by memory level, nearest first, FLOP/s by dtype, seconds of a call."""

    levels: Annotated[list[Level], lambda levels: len(levels) <= MAX_ENTRIES]
    flops_per_s: Speeds
    matvec_flops_per_s: Speeds
    call_s: Seconds


@dataclass(frozen=True)
class Work:
    """The least work of a step: bytes that it reads, floating-point operations, bytes that all steps share."""

    bytes: float
    flops: float
    shared_bytes: float


def one_pass(rows: int, d: int, k: int, size: int, shared_bytes: float) -> Work:
    """Read X, `size` bytes a number, and y, 4 at least, once; 2 d k operations a row for residual and for gradient."""
    return Work(rows * (d * size + k * max(size, 4)), 4 * rows * d * k, shared_bytes)


def two_pass(rows: int, d: int, k: int, size: int, shared_bytes: float) -> Work:
    """Read X twice and y once; write and read the residuals."""
    return Work(rows * (2 * d * size + 3 * k * max(size, 4)), 4 * rows * d * k, shared_bytes)


def gram(n: int, d: int, k: int, size: int, steps: int) -> Work:
    """Compute X'X (its upper half) and X'y once a run, shared by its steps; then d x d numbers a step."""
    read = (d * (d + 2 * k) + n * (d + k) / steps) * size
    return Work(read, 2 * d * d * k + n * d * (d + 1 + 2 * k) / steps, n * (d + k) * size)


def least(row: dict[str, Any], over: Callable[[int, int, int, int, float], Work] = one_pass) -> Work:
    """Return the least work of a row's method; `over` names the data that its steps read."""
    n, d, k, steps = (int(row[name]) for name in ("n", "d", "k", "steps"))
    size = int(row["dtype"][-2:]) // 8  # bytes of a number
    if row["step_reads"] == GRAM:
        return gram(n, d, k, size, steps)
    batch = int(row["batch"])
    return over(batch, d, k, size, min(n, steps * batch) * (d * size + k * max(size, 4)))


def shortest(work: Work, rates: Rates, dtype: str, read: float | None = None) -> tuple[float, str]:
    """Return the seconds that the work takes at these rates, and the resource that limits it.

    read: bytes a second that were read beside the rounds; None for the bandwidth of the level that holds the data.
    The resource is memory, cache (all shared bytes fit into one) or compute; or dispatch, if the time is below that of
    the cheapest call.
    """
    level = next(level for level in rates.levels if level.holds is None or work.shared_bytes <= level.holds)
    sums = dtype if dtype in rates.flops_per_s else "float32"  # also for X in 16 bits
    rate = max(rates.flops_per_s[sums], rates.matvec_flops_per_s[sums])
    reading, computing = work.bytes / (read or level.bytes_per_s), work.flops / rate
    seconds = max(reading, computing)
    if seconds < rates.call_s:
        return seconds, DISPATCH
    if computing > reading:
        return seconds, "compute"
    return seconds, MEMORY if level.holds is None else "cache"


def row_facts(row: dict[str, Any], rates: Rates | None) -> dict[str, Any]:
    """Return a row's facts beside the machine's limits: `limit_s` and more; {} without rates or a timed descent."""
    is_timed = {"per_step_s", "step_reads", "batch"} <= row.keys()
    if rates is None or not is_timed or row["step_reads"] not in ("X", GRAM):
        return {}
    work, per_step, read = least(row), row["per_step_s"], row.get("read_bytes_per_s")
    seconds, resource = shortest(work, rates, row["dtype"], read)
    facts: dict[str, Any] = {"limit_s": seconds, "limited_by": resource}
    if row["step_reads"] == "X":
        facts["two_pass_s"], _ = shortest(least(row, two_pass), rates, row["dtype"], read)
    if per_step > 0 and resource != DISPATCH:
        facts["fraction_of_limit"] = seconds / per_step
    if per_step > 0 and row["step_reads"] == "X":
        facts["x_bytes_per_s"] = work.bytes / per_step
    return facts


def caches(cores: list[int]) -> dict[str, int]:
    """Return the bytes of each level of data cache of these cores together, nearest first (Linux); {} if unknown."""
    sizes: dict[str, int] = {}
    counted = set()
    for core in cores:
        for index in sorted(CPU_FOLDER.glob(f"cpu{core}/cache/index*")):
            cache = {name: text_of(index / name).strip() for name in ("level", "type", "size", "shared_cpu_list")}
            place = (cache["level"], cache["type"], cache["shared_cpu_list"])
            if cache["type"] in ("Data", "Unified") and cache["size"].endswith("K") and place not in counted:
                counted.add(place)
                sizes[f"L{cache['level']}"] = sizes.get(f"L{cache['level']}", 0) + int(cache["size"][:-1]) * 1024
    return sizes
