"""How fast could it be? What a step has to read and to compute, against what the machine can read and compute.

A step's shortest time is that of whatever it waits for longest: the roofline of Williams, Waterman and Patterson (2009,
https://doi.org/10.1145/1498765.1498785). The least that a step over the rows of X can do is one pass: each row is read
once, for its residual and for its part of the gradient. Written as two products, X w and X' r, it reads X twice.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CPU = Path("/sys/devices/system/cpu")
GRAM = "Gram matrix"
MEMORY = "memory"


@dataclass(frozen=True)
class Work:
    """What a step does at least: bytes that it reads, floating-point operations; `held`: bytes that all steps share."""

    bytes: float
    flops: float
    held: float


def one_pass(rows: int, d: int, k: int, size: int, held: float) -> Work:
    """Rows of X and y once; 2 d k operations a row for the residual, as many for the gradient. size: bytes a number."""
    return Work(rows * (d + k) * size, 4 * rows * d * k, held)


def two_pass(rows: int, d: int, k: int, size: int, held: float) -> Work:
    """X twice, y once, and the residuals written and read again."""
    return Work(rows * (2 * d + 3 * k) * size, 4 * rows * d * k, held)


def gram(n: int, d: int, k: int, size: int, steps: int) -> Work:
    """X'X (its upper half) and X'y once a run, shared by its steps; then d x d numbers a step."""
    return Work(
        (d * (d + 2 * k) + n * (d + k) / steps) * size,
        2 * d * d * k + n * d * (d + 1 + 2 * k) / steps,
        n * (d + k) * size,
    )


def least(row: dict[str, Any], over: Callable[[int, int, int, int, float], Work] = one_pass) -> Work:
    """The least work of the way in which a row's implementation goes; `over` is how it goes over the rows of X."""
    n, d, k, steps, size = *(int(row[name]) for name in ("n", "d", "k", "steps")), int(row["dtype"][-2:]) // 8
    if row["work"] == GRAM:
        return gram(n, d, k, size, steps)
    batch = int(row["batch"])
    return over(batch, d, k, size, min(n, steps * batch) * (d + k) * size)


def shortest(work: Work, found: dict[str, Any], dtype: str) -> tuple[float, str]:
    """Seconds that the work takes at the limits that were `found`, and what it then waits for.

    That is memory, cache (all that the steps share fits into one) or compute; or dispatch, where the time is below that
    of the cheapest call: whoever makes a call for each operation waits for the calls.
    """
    level = next(level for level in found["levels"] if level["holds"] is None or work.held <= level["holds"])
    rate = max(found["flops_per_s"][dtype], found["matvec_flops_per_s"][dtype])
    reading, computing = work.bytes / level["bytes_per_s"], work.flops / rate
    seconds = max(reading, computing)
    if seconds < found["call_s"]:
        return seconds, "dispatch"
    if computing > reading:
        return seconds, "compute"
    return seconds, MEMORY if level["holds"] is None else "cache"


def told(row: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    """A row's `limit_s`, `limited_by`, `fraction_of_limit` (1: at the limit), `two_pass_s`; {} if no timed descent."""
    if not {"per_step_s", "work", "batch"} <= row.keys() or "levels" not in found or row["work"] not in ("X", GRAM):
        return {}
    seconds, by = shortest(least(row), found, row["dtype"])
    twice = {} if row["work"] == GRAM else {"two_pass_s": shortest(least(row, two_pass), found, row["dtype"])[0]}
    near = {"fraction_of_limit": seconds / row["per_step_s"]} if row["per_step_s"] > 0 else {}
    return {"limit_s": seconds, "limited_by": by, **twice, **near}


def caches(cores: list[int]) -> dict[str, int]:
    """Bytes of each level of data cache that these cores have together, the nearest first (Linux); {} if not told."""
    held: dict[str, int] = {}
    seen = set()
    for core in cores:
        for index in sorted(CPU.glob(f"cpu{core}/cache/index*")):
            said = {name: _said(index / name) for name in ("level", "type", "size", "shared_cpu_list")}
            place = (said["level"], said["type"], said["shared_cpu_list"])
            if said["type"] in ("Data", "Unified") and said["size"].endswith("K") and place not in seen:
                seen.add(place)
                held[f"L{said['level']}"] = held.get(f"L{said['level']}", 0) + int(said["size"][:-1]) * 1024
    return held


def _said(path: Path) -> str:
    return path.read_text().strip() if path.exists() else ""
