"""Measure this machine's noise now, without a run: a small NumPy descent in one fresh process after another."""

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
    """The noise of this machine now, from so many pairs, each of pair_s seconds.

    near, apart: medians of how much a pair differs, and processes that began apart_s seconds apart. The larger one is
    the machine's, and `blocks` is by its spread: how many show each of EFFECTS between two
    implementations; None above 1,000.
    """

    quiet: Quiet
    pairs: int
    pair_s: float
    near: float
    apart: float
    apart_s: float
    blocks: dict[float, int | None]


def measure_noise(seconds: float) -> NoiseNow:
    """Measure for about that many seconds, and at least MIN_PAIRS."""
    before, start, done = _clocks(), time.monotonic(), list[tuple[float, float]]()
    load = os.getloadavg()[0]
    while len(done) < 2 * MIN_PAIRS or time.monotonic() - start < seconds:
        done += [_time_process(), _time_process()]
    passed, (total_s, stolen_s, others_s, throttled) = time.monotonic() - start, (_clocks() - before).tolist()
    steps_s, loops = np.array(done).T
    logs = np.log(steps_s)
    lag = max(min(round(APART_S * len(done) / passed), len(done) // 2), 1)
    differences = logs[1::2] - logs[::2], logs[lag:] - logs[:-lag]
    near, apart = (math.expm1(float(np.median(np.abs(one)))) for one in differences)
    quiet = Quiet(
        difference=max(near, apart),
        others=max(others_s, 0.0) / total_s if total_s > 0 else math.nan,
        load=load / (os.cpu_count() or 1),
        steal=stolen_s / total_s if total_s > 0 else math.nan,
        throttled=throttled * PERIOD_S / passed,
        calibration=float(np.quantile(loops, 0.9) / np.quantile(loops, 0.1)),
    )
    spread = max(float(robust_scale(one)) for one in differences)
    blocks = {effect: blocks_needed(0, spread, ALPHA, math.log1p(effect)) for effect in EFFECTS}
    pairs = len(done) // 2
    return NoiseNow(quiet, pairs, passed / pairs, near, apart, lag * passed / len(done), blocks)


def _time_process() -> tuple[float, float]:
    done = subprocess.run([sys.executable, str(PROGRAM)], check=True, capture_output=True, text=True)
    step_s, loop_s = map(float, done.stdout.split())
    return step_s, loop_s


def _clocks() -> Array:
    """Return CPU seconds of all cores, stolen ones and those of other processes; throttled periods, NaN if unknown."""
    times, own = psutil.cpu_times(), psutil.Process().cpu_times()
    stolen = getattr(times, "steal", 0.0)
    total = sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)
    mine = own.user + own.system + own.children_user + own.children_system
    others = total - times.idle - getattr(times, "iowait", 0.0) - stolen - mine
    words = CPU_STAT.read_text(encoding="utf-8").split() if CPU_STAT.is_file() else []
    throttled = float(words[words.index("nr_throttled") + 1]) if "nr_throttled" in words else math.nan
    return np.array([total, stolen, others, throttled])
