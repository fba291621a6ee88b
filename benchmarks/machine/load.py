"""System load, CPU time of others, stolen CPU time and throttling: now, and during a block. None is unknown."""

import contextlib
import os
import time
from dataclasses import dataclass

from benchmarks.machine import cgroup, gpu
from benchmarks.typed_json import Count, Rate, Seconds, Words


@dataclass(frozen=True)
class Moment:
    """The system load at one time: the clock, CPU seconds of this process's cores, and throttling."""

    at: float
    load: float
    total: float | None
    stolen: float
    others: float
    throttled: int | None  # periods of a cgroup in which it was stopped
    gpu_throttled: str


@dataclass(frozen=True)
class BlockLoad:
    """The system load during a block: load averages, shares of the CPU time, throttled periods."""

    block: Count
    seconds: Seconds
    load_before: Rate
    load_after: Rate
    steal: Rate | None
    others: Rate | None
    throttled: Count | None
    gpu_throttled: Words


def now() -> Moment:
    """Return the system load now."""
    total, stolen, others = _cpu_seconds()
    throttled = cgroup.throttled()
    return Moment(time.monotonic(), os.getloadavg()[0], total, stolen, others, throttled, gpu.throttle_reasons())


def between(block: int, before: Moment, after: Moment) -> BlockLoad:
    """Return the system load of a block, from that before and after it."""
    spent = None if before.total is None or after.total is None else after.total - before.total
    stopped = None if before.throttled is None or after.throttled is None else after.throttled - before.throttled
    return BlockLoad(
        block=block,
        seconds=after.at - before.at,
        load_before=before.load,
        load_after=after.load,
        steal=max(after.stolen - before.stolen, 0.0) / spent if spent else None,
        others=max(after.others - before.others, 0.0) / spent if spent else None,
        throttled=None if stopped is None else max(stopped, 0),
        gpu_throttled=after.gpu_throttled,
    )


def _cpu_seconds() -> tuple[float | None, float, float]:
    """Return the seconds of the cores that this process may use: all, stolen ones, and those of other processes."""
    try:
        import psutil

        cores = psutil.cpu_times(percpu=True)
        allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(len(cores)))
        times = [core for number, core in enumerate(cores) if number in allowed]
        pytest_process, own_s = psutil.Process(), 0.0
        for process in [pytest_process, *pytest_process.children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess):  # it ended meanwhile, and its parent has its seconds
                spent = process.cpu_times()
                own_s += spent.user + spent.system + spent.children_user + spent.children_system
    except (ImportError, OSError, RuntimeError, ValueError):  # not installed, or the system does not say
        return None, 0.0, 0.0
    total = sum(sum(core) - getattr(core, "guest", 0.0) - getattr(core, "guest_nice", 0.0) for core in times)
    stolen = sum(getattr(core, "steal", 0.0) for core in times)
    waiting = sum(core.idle + getattr(core, "iowait", 0.0) for core in times)
    return total if times else None, stolen, total - stolen - waiting - own_s
