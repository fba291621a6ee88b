"""Parity: was the row measured under the same conditions as the others? Probes against settings."""

from collections.abc import Sequence
from statistics import median
from typing import Any

from benchmarks.worker.messages import CLOCK_AHEAD, Round

MANTISSA_BITS = {"highest": 23, "tf32": 10}  # in products of float32
FLOAT64_BITS = 52  # of its mantissa
CPU_CLOCK_FACTOR = 1.1  # CPU seconds per second and thread, by which clocks may err
MAX_LIMIT_RATIO = 1.5  # times as fast as the limit: more than the limit's error
ELAPSED_FACTOR, ELAPSED_SPARE_S = 2.0, 0.01  # by which this process's clock may exceed a worker's
TEXT_S = 5e-6  # to write a number as text, and to read it
MIN_CLOCK_SHARE = 0.75  # of a GPU's fastest clock, below which being throttled makes a row invalid
THROTTLE_REASONS = ("SwThermalSlowdown", "HwThermalSlowdown", "HwPowerBrakeSlowdown", "HwSlowdown")


def faults(facts: dict[str, Any], cores: Sequence[object]) -> list[str]:
    """Return the reasons why a row must not be compared. `cores`: those given to the process."""
    return [*_threads(facts, cores), *_precision(facts), *_window(facts), *_clocks(facts)]


def _threads(facts: dict[str, Any], cores: Sequence[object]) -> list[str]:
    allowed, each = facts["threads"], facts["threads"] // facts["ranks"]
    larger = {pool: count for pool, count in facts["pools"].items() if count is not None and count > each}
    reasons = [f"{pool} has {count} threads, {each} asked for" for pool, count in larger.items()]
    if facts["cores"] is not None and facts["cores"] != cores:
        reasons.append(f"it moved itself to the cores {facts['cores']}, from {cores}")
    if facts["cpu_over_wall"] > CPU_CLOCK_FACTOR * allowed:
        threads = f"{allowed} thread{'s' * (allowed > 1)}"
        reasons.append(f"{facts['cpu_over_wall']:.2f} CPU seconds a second, {threads} asked for")
    return reasons


def _precision(facts: dict[str, Any]) -> list[str]:
    required = FLOAT64_BITS if facts["dtype"] == "float64" else MANTISSA_BITS[facts["precision"]]
    # None for a framework without a probe
    bits_by_kind = {kind: facts.get(f"{kind}_bits") for kind in ("matmul", "matvec")}
    fewer = {kind: bits for kind, bits in bits_by_kind.items() if bits is not None and bits < required}
    return [f"a {kind} keeps {bits} bits of the mantissa, {required} asked for" for kind, bits in fewer.items()]


def _window(facts: dict[str, Any]) -> list[str]:
    """Find events that must not happen while the clock runs."""
    reasons = []
    if facts["jit_cache"] != "fresh":
        reasons.append(f"compiled code from before was at hand ({facts['jit_cache']})")
    if facts["compiles"]:
        reasons.append(f"something was compiled in timed runs (compilations: {facts['compiles']})")
    if facts["gc_runs"]:
        reasons.append(f"garbage was collected in timed runs (collections: {facts['gc_runs']})")
    return reasons


def _clocks(facts: dict[str, Any]) -> list[str]:
    """Find a GPU slowed by heat or power supply. Its power limit belongs to the machine and is only recorded."""
    top = facts.get("max_sm_mhz")
    reasons = [word for word in facts.get("throttle_reasons", "").split(", ") if word in THROTTLE_REASONS]
    clocks = facts.get("sm_mhz_before"), facts.get("sm_mhz_after")
    slow = [mhz for mhz in clocks if mhz and top and mhz < MIN_CLOCK_SHARE * top]
    return [f"the GPU was throttled ({', '.join(reasons)}): {min(slow)} MHz of {top} MHz"] if reasons and slow else []


def unknown_time(of_step: dict[str, Any], of_run: dict[str, Any]) -> list[str]:
    """Find a step above the machine's limit only because runs of no steps took long, as beside other programs.

    of_step: facts beside the limit. of_run: the same for a whole run, whose time includes that of no steps.
    """
    fraction, surely = (facts.get("fraction_of_limit", 0.0) for facts in (of_step, of_run))
    if fraction <= MAX_LIMIT_RATIO or (surely > MAX_LIMIT_RATIO and fraction <= 2 * surely):
        return []
    reason = "runs of no steps took nearly as long as runs of all steps, so its time is unknown"
    return [f"{reason}; repeat the run when the machine is idle"]


def above_limit(of_run: dict[str, Any]) -> list[str]:
    """Find a run that is faster than the machine can read or compute."""
    fraction = of_run.get("fraction_of_limit", 0.0)
    if fraction <= MAX_LIMIT_RATIO:
        return []
    return [f"{fraction:.1f} times as fast as this machine's limit ({of_run['limited_by']}): steps leave out work"]


def clocks_differ(rounds: Sequence[Round], elapsed: Sequence[float], steps: int, size: int) -> list[str]:
    """Find a worker whose clock differs from this process's. size: the number of weights.

    A round also runs one step, and no steps three times. Its request has two starts, its answer the weights.
    """
    claimed = [run.seconds * (1 + 1 / steps) + 4 * run.fixed_seconds for run in rounds]
    if any(passed < run.seconds + run.fixed_seconds for passed, run in zip(elapsed, rounds, strict=True)):
        return [CLOCK_AHEAD]
    if any(clocks_agree(passed, claim, 3 * size) for passed, claim in zip(elapsed, claimed, strict=True)):
        return []  # load spares some
    return [f"its rounds took {median(elapsed):.2g} s by our clock, and {median(claimed):.2g} s by its own clock"]


def clocks_agree(elapsed: float, claimed: float, numbers: int) -> bool:
    """Return whether the seconds by this process's clock are explained by those that a worker claims.

    numbers: how many a request and its answer hold, as text.
    """
    return elapsed <= ELAPSED_FACTOR * claimed + ELAPSED_SPARE_S + TEXT_S * numbers
