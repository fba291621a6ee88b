"""Parity: was the row measured under the same conditions as the others? Probes against settings."""

import math
from collections.abc import Sequence
from dataclasses import fields
from statistics import median
from typing import Any

from benchmarks.worker.messages import Growth, Round

BITS = {"highest": 23, "tf32": 10}  # of the mantissa, in products of float32
DOUBLE = 52  # of float64
LOOSE = 1.1  # CPU seconds per second and thread that clocks may err by
GROWTH = (0.1, 0.75)  # of the time for all steps, the least and most that the second half takes; honest: up to 0.5
SHARE = 0.1  # of a run, below which the noise of calls exceeds half of its steps
LIMIT = 1.5  # times as fast as the machine's limit: more than the limit may be off
CLOCKS = 2.0, 0.01  # factor and seconds by which this process's clock may exceed a worker's
CLOCK = 0.75  # of a GPU's fastest clock, below which being throttled makes a row invalid
SLOWED = ("SwThermalSlowdown", "HwThermalSlowdown", "HwPowerBrakeSlowdown", "HwSlowdown")
NOISE = 0.01  # of a run: what the median difference of a few may be off at least
BATCH, QUARTER = 12, 2  # tries, each kind of run three times in each place; the third shortest is a lower quartile
MANY, ERROR = 40, 1.86  # tries or batches; standard error of a median by the median deviation of one (normal noise)
COIN = 96  # tries: eight batches
SEVERAL, UNSTEADY = 5, 0.1  # tries; part of a run by which the median difference of equal runs may be off
FLOOR = 0.001  # of a run: what the median difference of many may be off at least
SIGMAS = 4  # by which a median may be off before a row is refused
NOTHING = 0.005  # of a run, below which the second half of the steps is no work
FLOPS, STEP = {"cpu": 1e12, "gpu": 1e15}, 3e-9  # more a second, and fewer seconds a step, than any machine manages


def faults(facts: dict[str, Any], cores: Sequence[object]) -> list[str]:
    """Return the reasons why a row must not be compared. `cores`: those given to the process."""
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
        threads = f"{allowed} thread{'s' * (allowed > 1)}"
        found.append(f"{facts['cpu_over_wall']:.2f} CPU seconds a second, {threads} asked for")
    return found


def _precision(facts: dict[str, Any]) -> list[str]:
    wanted = DOUBLE if facts["dtype"] == "float64" else BITS[facts["precision"]]
    kept = {kind: facts.get(f"{kind}_bits") for kind in ("matmul", "matvec")}  # None: of a framework without a probe
    fewer = {kind: bits for kind, bits in kept.items() if bits is not None and bits < wanted}
    return [f"a {kind} keeps {bits} bits of the mantissa, {wanted} asked for" for kind, bits in fewer.items()]


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
    why = [word for word in facts.get("throttle_reasons", "").split(", ") if word in SLOWED]
    slow = [mhz for mhz in (facts.get("sm_mhz_before"), facts.get("sm_mhz_after")) if mhz and top and mhz < CLOCK * top]
    return [f"the GPU was throttled ({', '.join(why)}): {min(slow)} MHz of {top} MHz"] if why and slow else []


def unknown_time(of_step: dict[str, Any], of_run: dict[str, Any]) -> list[str]:
    """Find a step above the machine's limit only because runs of no steps took long, as beside other programs.

    of_step: facts beside the limit. of_run: the same for the time of a run, without that of no steps taken from it.
    """
    fraction, surely = (facts.get("fraction_of_limit", 0.0) for facts in (of_step, of_run))
    if fraction <= LIMIT or (surely > LIMIT and fraction <= 2 * surely):
        return []
    reason = "runs of no steps took nearly as long as runs of all steps, so its time is unknown"
    return [f"{reason}; repeat the run when the machine is idle"]


def above_limit(of_run: dict[str, Any]) -> list[str]:
    """Find a run that is faster than the machine can read or compute."""
    fraction = of_run.get("fraction_of_limit", 0.0)
    if fraction <= LIMIT:
        return []
    return [f"{fraction:.1f} times as fast as this machine's limit ({of_run['limited_by']}): steps leave out work"]


def clocks_differ(rounds: Sequence[Round], elapsed: Sequence[float], steps: int) -> list[str]:
    """Find a worker whose clock differs from this process's. A round also runs one step, and no steps three times."""
    factor, spare = CLOCKS
    claimed = [one.seconds * (1 + 1 / steps) + 4 * one.fixed_seconds for one in rounds]
    if any(here < one.seconds + one.fixed_seconds for here, one in zip(elapsed, rounds, strict=True)):
        return ["its clock counts more seconds than passed here"]
    if all(here > factor * claim + spare for here, claim in zip(elapsed, claimed, strict=True)):  # load spares some
        return [f"its rounds took {median(elapsed):.2g} s by our clock, and {median(claimed):.2g} s by its own clock"]
    return []


def grows(tried: list[Growth], least: float = 0.0) -> bool:
    """Return whether the time of a run grows with its steps as that of a descent does. least: see `growth`.

    Where others use the cores, times vary too much for their medians. There the shortest tenth of each kind of run may
    show it, since load only lengthens them, if steps are a good part of a run.
    """
    if _grows(tried, least) or not unsteady(tried):
        return _grows(tried, least)
    short = _ordered(tried, len(tried) // 10)
    return _grows([short], least) and short.all - short.half >= SHARE * short.all


def _ordered(tried: list[Growth], place: int) -> Growth:
    """Return the time at that place among the sorted ones of each kind of run."""
    return Growth(*(sorted(getattr(times, field.name) for times in tried)[place] for field in fields(Growth)))


def _grows(tried: list[Growth], least: float) -> bool:
    """The upper limit holds where half of the steps take at least SHARE of a run. Below that, calls hide the steps.

    It is held against all tries: an implementation may do its work in most of its runs of no steps.
    """
    fewest, most = GROWTH
    second_half, full = median(times.all - times.half for times in tried), median(times.all for times in tried)
    steps = median(times.all - times.none for times in tried)
    return fewest <= growth(tried, least) and (second_half <= most * steps or second_half < SHARE * full)


def unsteady(tried: list[Growth]) -> bool:
    """Return whether many equal runs differ by so much that the median of their differences is off by UNSTEADY."""
    error = _error([times.again - times.all for times in tried])
    return len(tried) >= SEVERAL and error > UNSTEADY * median(times.all for times in tried)


def certain(tried: list[Growth], least: float = 0.0) -> bool:
    """Return whether tries that do not grow show it beyond their error. Otherwise the machine may be at fault.

    least: see `growth`.
    """
    fewest, most = GROWTH
    full = median(times.all for times in tried)
    second_half = [times.all - times.half for times in tried]
    too_small = [times.all - times.half - fewest * (times.all - times.none) for times in tried]
    too_large = [times.all - times.half - most * (times.all - times.none) for times in tried]
    return (
        _bounds(second_half)[1] < max(NOTHING * full, least)
        or _bounds(too_small)[1] < 0
        or (_bounds(too_large)[0] > 0 and median(second_half) >= SHARE * full)
    )


def hidden(facts: dict[str, Any], device: str, seconds: float) -> bool:
    """Return whether half of the steps of a run of that many seconds can be so short that nobody could measure them."""
    operations = 2 * facts["batch"] * facts["d"] * facts["k"] * facts["steps"]
    return bool(max(operations / FLOPS[device], STEP * facts["steps"] / 2) < NOTHING * seconds)


def _bounds(differences: Sequence[float]) -> tuple[float, float]:
    """Return what their median may be, without a model of the noise: order statistics, by SIGMAS of a fair coin."""
    ordered, count = sorted(differences), len(differences)
    reach = SIGMAS * math.sqrt(count) / 2
    return ordered[max(0, int(count / 2 - reach))], ordered[min(count - 1, int(count / 2 + reach))]


def spread(tried: list[Growth]) -> float:
    """Return by what part of a run equal runs differ: the median."""
    return median(abs(times.again - times.all) for times in tried) / median(times.all for times in tried)


def _error(differences: Sequence[float]) -> float:
    """Return three times the standard error of their median."""
    middle = median(differences)
    return 3 * ERROR * median(abs(difference - middle) for difference in differences) / math.sqrt(len(differences))


def least_seconds(steps: int) -> float:
    """Return the seconds that half of so many steps take on any machine."""
    return STEP * (steps - steps // 2)


def growth(tried: list[Growth], least: float = 0.0) -> float:
    """Return the time of the second half of the steps over that of all: 0.5 if a run costs nothing but its steps.

    tried: seconds of runs of no steps, half of the steps and all. Medians of their differences count, from COIN tries
    on of batches. least: seconds that half of the steps take on any machine; less may come from where the data lie,
    which is the same in all equal runs of a process.
    Return 0 if the second half takes less than that or than the `noise`, or if all steps are not the longer run often
    enough: in three of five, and from COIN on by three standard errors of a fair coin.
    """
    tried = lower_quartiles(tried) if len(tried) >= COIN else tried
    count = len(tried)
    second_half = median(times.all - times.half for times in tried)
    steps = median(times.all - times.none for times in tried)
    longer = sum(times.all > times.half for times in tried)
    if second_half < max(noise(tried), least) or longer < count * (0.6 if count < COIN else 0.5 + 1.5 / count**0.5):
        return 0.0
    return second_half / max(steps, second_half)


def lower_quartiles(tried: list[Growth]) -> list[Growth]:
    """Return the lower quartile of each kind of run in each BATCH of tries.

    Other programs and calls lengthen runs, each by itself. In a quartile of twelve they show much less than in a
    difference of two runs; a pace of the machine that lasts for seconds changes all kinds of a batch alike.
    """
    starts = range(0, len(tried) - BATCH + 1, BATCH)
    return [_ordered(tried[first : first + BATCH], QUARTER) for first in starts]


def noise(tried: list[Growth]) -> float:
    """Return the seconds by which the median of equal runs may be off: what they show, and at least a part of a run."""
    differences = [times.again - times.all for times in tried]
    least = (NOISE if len(tried) < MANY else FLOOR) * median(times.all for times in tried)
    return max(least, abs(median(differences)) + _error(differences))
