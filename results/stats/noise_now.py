"""Measure this machine's noise now, without a run: a small NumPy descent in successive fresh processes."""

import math
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

from results.stats.quiet_or_busy import PERIOD_S, Quiet
from results.stats.signed_rank import ALPHA, Array, blocks_needed, robust_scale

PROGRAM = Path(__file__).with_name("noise_pair.py")
EFFECTS = (0.01, 0.02, 0.05, 0.10, 0.20, 0.50, 1.0)  # relative differences
MIN_PAIRS = 3
APART_S = 10.0  # between two processes of one block, in a campaign of several implementations
CPU_STAT = Path("/sys/fs/cgroup/cpu.stat")


@dataclass(frozen=True)
class NoiseNow:
    """The noise of this machine now, from `pairs` pairs of processes, each of pair_s seconds.

    near: median difference within a pair. apart: the same for processes that began apart_s seconds apart. blocks: how
    many detect each of EFFECTS between two implementations, by the larger spread; None above 1,000.
    """

    quiet: Quiet
    pairs: int
    pair_s: float
    near: float
    apart: float
    apart_s: float
    blocks: dict[float, int | None]


def measure_noise(seconds: float) -> NoiseNow:
    """Measure for about `seconds` seconds, and at least MIN_PAIRS pairs."""
    clocks_before, start, done = _clocks(), time.monotonic(), list[tuple[float, float]]()
    load = os.getloadavg()[0]
    while len(done) < 2 * MIN_PAIRS or time.monotonic() - start < seconds:
        done += [_time_process(), _time_process()]
    elapsed_s, (total_s, stolen_s, others_s, throttled) = time.monotonic() - start, (_clocks() - clocks_before).tolist()
    steps_s, loops = np.array(done).T
    logs = np.log(steps_s)
    lag = max(min(round(APART_S * len(done) / elapsed_s), len(done) // 2), 1)
    differences = logs[1::2] - logs[::2], logs[lag:] - logs[:-lag]
    near, apart = (math.expm1(float(np.median(np.abs(logs_apart)))) for logs_apart in differences)
    quiet = Quiet(
        difference=max(near, apart),
        others=max(others_s, 0.0) / total_s if total_s > 0 else math.nan,
        load=load / (os.cpu_count() or 1),
        steal=stolen_s / total_s if total_s > 0 else math.nan,
        throttled=throttled * PERIOD_S / elapsed_s,
        calibration=float(np.quantile(loops, 0.9) / np.quantile(loops, 0.1)),
    )
    spread = max(float(robust_scale(logs_apart)) for logs_apart in differences)
    blocks = {effect: blocks_needed(0, spread, ALPHA, math.log1p(effect)) for effect in EFFECTS}
    pairs = len(done) // 2
    return NoiseNow(quiet, pairs, elapsed_s / pairs, near, apart, lag * elapsed_s / len(done), blocks)


def _time_process() -> tuple[float, float]:
    done = subprocess.run([sys.executable, str(PROGRAM)], check=True, capture_output=True, text=True)
    step_s, loop_s = map(float, done.stdout.split())
    return step_s, loop_s


def _clocks() -> Array:
    """Return CPU seconds: total, stolen, of other processes; and throttled periods, NaN if unknown."""
    cpu, process = psutil.cpu_times(), psutil.Process().cpu_times()
    stolen = getattr(cpu, "steal", 0.0)
    total = sum(cpu) - getattr(cpu, "guest", 0.0) - getattr(cpu, "guest_nice", 0.0)
    own_s = process.user + process.system + process.children_user + process.children_system
    others_s = total - cpu.idle - getattr(cpu, "iowait", 0.0) - stolen - own_s
    fields = CPU_STAT.read_text(encoding="utf-8").split() if CPU_STAT.is_file() else []
    throttled = float(fields[fields.index("nr_throttled") + 1]) if "nr_throttled" in fields else math.nan
    return np.array([total, stolen, others_s, throttled])
