"""Was it measured under the same conditions as the others? What a worker has probed against what was asked for."""

from collections.abc import Sequence
from typing import Any

BITS = {("float64", "highest"): 52, ("float64", "tf32"): 52, ("float32", "highest"): 23, ("float32", "tf32"): 10}
LOOSE = 1.1  # CPU seconds per second and thread that clocks may err by
GROWTH = 0.1  # of the time for all steps, the least that the second half of them must take; honest: up to 0.5
CLOCK = 0.75  # of a GPU's fastest clock, below which being throttled makes a row invalid
SLOWED = ("SwThermalSlowdown", "HwThermalSlowdown", "HwPowerBrakeSlowdown", "HwSlowdown")
NOISE = 0.01  # of a run: what the shortest of several may be off


def faults(facts: dict[str, Any], cores: Sequence[object]) -> list[str]:
    """Why a row must not be compared with others, in words; `cores` are those that the process was given."""
    return [*_threads(facts, cores), *_precision(facts), *_window(facts), *_clocks(facts)]


def _threads(facts: dict[str, Any], cores: Sequence[object]) -> list[str]:
    allowed, found = facts["threads"], []
    each = allowed // facts["ranks"]
    for pool, count in facts["pools"].items():
        if count is not None and count > each:
            found.append(f"{pool} has {count} threads, {each} asked for")
    if facts["cores"] is not None and facts["cores"] != cores:
        found.append(f"it moved itself to the cores {facts['cores']}, from {cores}")
    if facts["cpu_over_wall"] > LOOSE * allowed:
        found.append(
            f"{facts['cpu_over_wall']:.2f} CPU seconds a second, {allowed} thread{'s' * (allowed > 1)} asked for"
        )
    return found


def _precision(facts: dict[str, Any]) -> list[str]:
    wanted = BITS[facts["dtype"], facts["precision"]]
    return [
        f"a {kind} keeps {facts[f'{kind}_bits']} bits of the mantissa, {wanted} asked for"
        for kind in ("matmul", "matvec")
        if facts.get(f"{kind}_bits", wanted) < wanted
    ]


def _window(facts: dict[str, Any]) -> list[str]:
    """What must not happen while the clock runs."""
    found = []
    if facts["jit_cache"] != "fresh":
        found.append(f"compiled code from before was at hand ({facts['jit_cache']})")
    if facts["compiles"]:
        found.append(f"something was compiled in timed runs (compilations: {facts['compiles']})")
    if facts["gc_runs"]:
        found.append(f"garbage was collected in timed runs (collections: {facts['gc_runs']})")
    return found


def _clocks(facts: dict[str, Any]) -> list[str]:
    """A GPU that heat or its power supply slowed down. Its power limit is the machine's own: recorded, not a fault."""
    top, why = facts.get("max_sm_mhz"), [word for word in facts.get("throttled", "").split(", ") if word in SLOWED]
    slow = [mhz for mhz in (facts.get("sm_mhz_before"), facts.get("sm_mhz_after")) if mhz and top and mhz < CLOCK * top]
    if not why or not slow:
        return []
    return [f"the GPU was throttled ({', '.join(why)}): {min(slow)} MHz of {top} MHz"]


def growth(tried: list[dict[str, float]]) -> float:
    """What the second half of the steps takes over what all take: 0.5 where a run costs nothing but its steps.

    tried: seconds of runs of no steps, half of the steps and all; the shortest count, for load only lengthens. 0 where
    the second half takes less than NOISE of the run, or is not the longer one in three of five.
    """
    nothing, half, whole = (min(times[count] for times in tried) for count in ("none", "half", "all"))
    longer = sum(times["all"] > times["half"] for times in tried)
    if whole - half < NOISE * whole or longer < 0.6 * len(tried):
        return 0.0
    return (whole - half) / max(whole - nothing, whole - half)
