"""Control groups of this process (Linux): limits of memory and CPU time. A limit of any outer group holds too."""

from collections.abc import Iterator
from pathlib import Path

from benchmarks.machine.files import text_of

PROC, ROOT = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")


def folders(controller: str) -> Iterator[Path]:
    """Yield the folders of this process's groups for a controller ("cpu", "memory"), the innermost first."""
    for line in text_of(PROC).splitlines():
        _, controllers, group = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        root = ROOT / controller if controllers else ROOT  # version 1 has a folder for each controller
        inner = root / group.lstrip("/")
        yield from (folder for folder in (inner, *inner.parents) if folder.is_relative_to(root))


def quota() -> float | None:
    """Return the cores' worth of CPU time that the groups grant; None without a limit."""
    limits = [text_of(folder / "cpu.max").split() for folder in folders("cpu")]  # "max 100000" or "200000 100000"
    v1_files = ("cpu.cfs_quota_us", "cpu.cfs_period_us")
    limits += [" ".join(text_of(folder / name) for name in v1_files).split() for folder in folders("cpu")]
    granted = [int(limit[0]) / int(limit[1]) for limit in limits if len(limit) == 2 and limit[0] not in ("max", "-1")]
    return min(granted, default=None)


def throttled() -> int | None:
    """Return the number of periods in which a group had used up its CPU time; None if unknown."""
    counts = [text_of(folder / "cpu.stat").split() for folder in folders("cpu")]
    periods = [int(words[words.index("nr_throttled") + 1]) for words in counts if "nr_throttled" in words]
    return max(periods, default=None)


def memory() -> float | None:
    """Return the bytes of memory that the groups grant; None without a limit."""
    files = [folder / name for folder in folders("memory") for name in ("memory.max", "memory.limit_in_bytes")]
    limits = [text_of(file).strip() for file in files]
    return min((float(limit) for limit in limits if limit not in ("", "max")), default=None)
