"""System load, stolen CPU time and throttling: now, and between two moments. None stands for unknown."""

import os
import time
from typing import Any

from benchmarks.machine import cgroup, gpu


def now() -> dict[str, Any]:
    """Return load, CPU seconds, stolen seconds, throttled cgroup periods, and what slows the GPU."""
    total, stolen = _cpu_seconds()
    return {
        "at": time.monotonic(),
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "total": total,
        "stolen": stolen,
        "throttled": cgroup.throttled(),
        "gpu_throttled": gpu.throttle_reasons(),
    }


def between(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """Return what happened between two results of `now`: seconds, loads, stolen fraction, throttled periods."""
    spent = None if before["total"] is None else after["total"] - before["total"]
    known = before["throttled"] is not None and after["throttled"] is not None
    return {
        "block": before["block"],
        "seconds": after["at"] - before["at"],
        "load_before": before["load"],
        "load_after": after["load"],
        "steal": (after["stolen"] - before["stolen"]) / spent if spent else None,
        "throttled": after["throttled"] - before["throttled"] if known else None,
        "gpu_throttled": after["gpu_throttled"],
    }


def _cpu_seconds() -> tuple[float | None, float]:
    try:
        import psutil

        times = psutil.cpu_times()
    except (ImportError, OSError, RuntimeError, ValueError):  # not installed, or the system does not say
        return None, 0.0
    return sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0), getattr(times, "steal", 0.0)
