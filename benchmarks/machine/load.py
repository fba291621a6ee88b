"""System load, CPU time of others, stolen CPU time and throttling: now, and between two moments. None is unknown."""

import contextlib
import os
import time
from typing import TYPE_CHECKING, Any

from benchmarks.machine import cgroup, gpu

if TYPE_CHECKING:
    import psutil


def now() -> dict[str, Any]:
    """Return load, CPU seconds, stolen seconds, throttled cgroup periods, and what slows the GPU."""
    total, stolen, others = _cpu_seconds()
    return {
        "at": time.monotonic(),
        "load": os.getloadavg()[0],
        "total": total,
        "stolen": stolen,
        "others": others,
        "throttled": cgroup.throttled(),
        "gpu_throttled": gpu.throttle_reasons(),
    }


def between(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """Return what happened between two results of `now`: seconds, loads, shares of CPU time, throttled periods."""
    spent = None if before["total"] is None else after["total"] - before["total"]
    known = before["throttled"] is not None and after["throttled"] is not None
    return {
        "block": before["block"],
        "seconds": after["at"] - before["at"],
        "load_before": before["load"],
        "load_after": after["load"],
        "steal": (after["stolen"] - before["stolen"]) / spent if spent else None,
        "others": max(after["others"] - before["others"], 0.0) / spent if spent else None,
        "throttled": after["throttled"] - before["throttled"] if known else None,
        "gpu_throttled": after["gpu_throttled"],
    }


def _cpu_seconds() -> tuple[float | None, float, float]:
    """Return the seconds of the cores that this process may use: all, stolen ones, and those of other processes."""
    try:
        import psutil

        cores = psutil.cpu_times(percpu=True)
        allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(len(cores)))
        times = [core for number, core in enumerate(cores) if number in allowed]
        own = _seconds_of_own(psutil.Process())
    except (ImportError, OSError, RuntimeError, ValueError):  # not installed, or the system does not say
        return None, 0.0, 0.0
    total = sum(sum(core) - getattr(core, "guest", 0.0) - getattr(core, "guest_nice", 0.0) for core in times)
    stolen = sum(getattr(core, "steal", 0.0) for core in times)
    waiting = sum(core.idle + getattr(core, "iowait", 0.0) for core in times)
    return total if times else None, stolen, total - stolen - waiting - own


def _seconds_of_own(process: "psutil.Process") -> float:
    """Return the CPU seconds of a process and of its descendants, ended or alive."""
    import psutil

    spent = 0.0
    for one in [process, *process.children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess):  # it ended meanwhile, and its parent has its seconds
            times = one.cpu_times()
            spent += times.user + times.system + times.children_user + times.children_system
    return spent
