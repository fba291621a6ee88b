"""Growth: a run of more steps must take more time. Otherwise its work may be hidden from the clock.

A try times a run of no steps, of half of the steps, and of all twice. `shown` says whether tries show growth, `certain`
whether they show its absence. Where neither holds, the machine may be too busy to tell.
"""

import math
from collections.abc import Sequence
from dataclasses import fields
from statistics import median
from typing import Any

from benchmarks.worker.messages import Growth

MIN_HALF_SHARE, MAX_HALF_SHARE = 0.1, 0.75  # of the second half in the time for all steps; honest: up to 0.5
RESOLVED_SHARE = 0.1  # of a run, below which the noise of calls exceeds half of its steps
BATCH_TRIES = 12  # in which each kind of run has each place three times
QUARTILE_PLACE = 2  # of the lower quartile of a batch
BATCHED_FROM_TRIES = 8 * BATCH_TRIES  # from here on, batches count
MANY_BATCHES = 40  # from here on, their noise is known well
MIN_NOISE, MIN_BATCHED_NOISE = 0.01, 0.001  # of a run: what the median difference may be off at least; in many batches
MEDIAN_ERROR = 1.86  # standard error of a median by the median deviation of one (normal noise)
UNSTEADY_FROM_TRIES, UNSTEADY_SHARE = 5, 0.1  # of a run: by which the median difference of equal runs may be off
SIGMAS = 4  # by which a median may be off before a row is refused
NO_WORK_SHARE = 0.005  # of a run, below which the second half of the steps is no work
MAX_FLOPS, MIN_STEP_S = {"cpu": 1e12, "gpu": 1e15}, 3e-9  # more, and less, than any machine manages


def shown(tried: list[Growth], least: float = 0.0) -> float | None:
    """Return the `ratio` if the time of a run grows with its steps as that of a descent does, else None.

    Where others use the cores, times vary too much for their medians. There the shortest times, a twentieth up the
    sorted ones of each kind, may show it, since load only lengthens runs, if steps are a good part of a run. least: see
    `ratio`.
    """
    estimate = ratio(tried, least)
    if estimate >= MIN_HALF_SHARE and not too_early(tried):
        return estimate
    short = _ordered(tried, len(tried) // 20)
    estimate = ratio([short], least)
    resolved = short.all - short.half >= RESOLVED_SHARE * short.all
    good = estimate >= MIN_HALF_SHARE and not too_early([short]) and resolved
    return estimate if good and unsteady(tried) else None


def ratio(tried: list[Growth], least: float = 0.0) -> float:
    """Return the time of the second half of the steps over that of all: 0.5 if a run costs nothing but its steps.

    Medians of the differences in each try count, from BATCHED_FROM_TRIES on of those in each batch. least: seconds that
    half of the steps take on any machine; less may come from where the data lie, which is the same in all equal runs of
    a process. Return 0 if the second half takes less than that or than the noise, or if all steps are not the longer
    run often enough: in three of five tries, or of the batches in more than half by three standard errors of a fair
    coin.
    """
    counted, batched = _counted(tried), len(tried) >= BATCHED_FROM_TRIES
    count = len(counted)
    second_half = median(times.all - times.half for times in counted)
    steps = median(times.all - times.none for times in counted)
    longer = sum(times.all > times.half for times in counted)
    noise = _noise(counted, MIN_BATCHED_NOISE if batched and count >= MANY_BATCHES else MIN_NOISE)
    enough = min(1, 0.5 + 1.5 / math.sqrt(count)) if batched else 0.6
    return 0.0 if second_half < max(noise, least) or longer < enough * count else second_half / max(steps, second_half)


def too_early(tried: list[Growth]) -> bool:
    """Return whether runs of no steps take so long that the second half exceeds MAX_HALF_SHARE of the rest.

    That counts where half of the steps take at least RESOLVED_SHARE of a run. Below that, calls hide the steps.
    """
    for times in (tried, _counted(tried)):
        second_half = median(one.all - one.half for one in times)
        steps, full = median(one.all - one.none for one in times), median(one.all for one in times)
        if second_half > MAX_HALF_SHARE * steps and second_half >= RESOLVED_SHARE * full:
            return True
    return False


def _counted(tried: list[Growth]) -> list[Growth]:
    """Return the tries, or where there are enough, the lower quartile of each kind of run in each batch of them.

    Other programs and calls lengthen runs, each by itself. In a quartile they show much less than in a difference of
    two runs. A pace of the machine that lasts for seconds changes all kinds of a batch alike.
    """
    if len(tried) < BATCHED_FROM_TRIES:
        return tried
    starts = range(0, len(tried) - BATCH_TRIES + 1, BATCH_TRIES)
    return [_ordered(tried[first : first + BATCH_TRIES], QUARTILE_PLACE) for first in starts]


def _ordered(tried: list[Growth], place: int) -> Growth:
    """Return the time at that place among the sorted ones of each kind of run."""
    return Growth(*(sorted(getattr(times, field.name) for times in tried)[place] for field in fields(Growth)))


def _noise(tried: list[Growth], floor: float) -> float:
    """Return the seconds by which the median difference may be off: what equal runs show, at least `floor` of a run."""
    differences = [times.repeat - times.all for times in tried]
    return max(floor * median(times.all for times in tried), abs(median(differences)) + _error(differences))


def unsteady(tried: list[Growth]) -> bool:
    """Return whether several equal runs differ so much that their median difference is off by UNSTEADY_SHARE."""
    error = _error([times.repeat - times.all for times in tried])
    return len(tried) >= UNSTEADY_FROM_TRIES and error > UNSTEADY_SHARE * median(times.all for times in tried)


def certain(tried: list[Growth], least: float = 0.0) -> bool:
    """Return whether tries that show no growth do so beyond their error. least: see `ratio`."""
    full = median(times.all for times in tried)
    second_half = [times.all - times.half for times in tried]
    too_small = [times.all - times.half - MIN_HALF_SHARE * (times.all - times.none) for times in tried]
    too_large = [times.all - times.half - MAX_HALF_SHARE * (times.all - times.none) for times in tried]
    return (
        _bounds(second_half)[1] < max(NO_WORK_SHARE * full, least)
        or _bounds(too_small)[1] < 0
        or (_bounds(too_large)[0] > 0 and median(second_half) >= RESOLVED_SHARE * full)
    )


def hidden(facts: dict[str, Any], device: str, seconds: float) -> bool:
    """Return whether half of the steps of a run of that many seconds can be so short that nobody could measure them."""
    operations = 2 * facts["batch"] * facts["d"] * facts["k"] * facts["steps"]
    return bool(max(operations / MAX_FLOPS[device], MIN_STEP_S * facts["steps"] / 2) < NO_WORK_SHARE * seconds)


def _bounds(differences: Sequence[float]) -> tuple[float, float]:
    """Return what their median may be, without a model of the noise: order statistics, by SIGMAS of a fair coin."""
    ordered, count = sorted(differences), len(differences)
    reach = SIGMAS * math.sqrt(count) / 2
    return ordered[max(0, int(count / 2 - reach))], ordered[min(count - 1, int(count / 2 + reach))]


def spread(tried: list[Growth]) -> float:
    """Return by what part of a run equal runs differ: the median."""
    return median(abs(times.repeat - times.all) for times in tried) / median(times.all for times in tried)


def _error(differences: Sequence[float]) -> float:
    """Return three times the standard error of their median."""
    middle = median(differences)
    deviation = median(abs(difference - middle) for difference in differences)
    return 3 * MEDIAN_ERROR * deviation / math.sqrt(len(differences))


def least_seconds(steps: int) -> float:
    """Return the seconds that half of so many steps take on any machine."""
    return MIN_STEP_S * (steps - steps // 2)
