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
EQUAL_RATIO = 3  # of the second half of the steps to the difference of equal runs, where the shortest runs count
RANKED_TRIES, RANK_SIGMAS = 4, 3.3  # from here on, ranks show growth, by so many standard errors
BATCH_TRIES = 12  # in a batch: each kind of run has each position three times
QUARTILE_PLACE = 2  # of the lower quartile of a batch
BATCHED_FROM_TRIES = 8 * BATCH_TRIES  # from here on, batches count
MANY_BATCHES = 40  # from here on, their noise is known well
MIN_NOISE, MIN_BATCHED_NOISE = 0.01, 0.001  # of a run: the least error of the median difference; in many batches
MEDIAN_ERROR = 1.86  # standard error of a median over the median deviation (normal noise)
UNSTEADY_FROM_TRIES, UNSTEADY_SHARE = 10, 0.1  # error of the median difference of equal runs, of a run
SIGMAS = 4  # by which a median may be off before a row is refused
NO_WORK_SHARE = 0.005  # of a run, below which the second half of the steps is no work
MAX_FLOPS, MIN_STEP_S = {"cpu": 1e12, "gpu": 1e15}, 3e-9  # more, and less, than any machine manages


def shown(tries: list[Growth], least: float = 0.0) -> float | None:
    """Return the `ratio` if the time of a run grows with its steps as that of a descent does, else None.

    The ranks of several tries show it as well: runs of half of the steps are shorter than runs of all steps.
    If other processes use the cores, times vary too much for medians. Then the 5 % quantile of each kind of run may
    show growth, because load only lengthens runs. It counts if the second half of the steps is a good part of a run and
    exceeds the difference of equal runs EQUAL_RATIO times. least: see `ratio`.
    """
    estimate = ratio(tries, least)
    if estimate >= MIN_HALF_SHARE and not too_early(tries):
        return estimate
    estimate = ratio([_middle(tries)], least)
    if estimate >= MIN_HALF_SHARE and not too_early(tries) and _ranked(tries):
        return estimate
    shortest = _ordered(tries, len(tries) // 20)
    estimate = ratio([shortest], least)
    equal = EQUAL_RATIO * abs(shortest.repeat - shortest.all)
    resolved = shortest.all - shortest.half >= max(RESOLVED_SHARE * shortest.all, equal)
    shows_growth = estimate >= MIN_HALF_SHARE and not too_early([shortest]) and resolved
    return estimate if shows_growth and unsteady(tries) else None


def ratio(tries: list[Growth], least: float = 0.0) -> float:
    """Return the time of the second half of the steps over that of all: 0.5 if a run costs nothing but its steps.

    The median of the differences in each try counts; from BATCHED_FROM_TRIES tries on, in each batch. least: seconds
    that half of the steps take on any machine. A smaller difference may come from the place of the data in memory,
    which is the same in all equal runs of a process. Return 0 if the second half takes less than that or than the
    noise. Also return 0 if all steps are too rarely the longer run. The limit is three of five tries; for batches, half
    of them plus three standard errors of a fair coin.
    """
    samples, batched = _counted(tries), len(tries) >= BATCHED_FROM_TRIES
    count = len(samples)
    second_half = median(times.all - times.half for times in samples)
    steps = median(times.all - times.none for times in samples)
    longer = sum(times.all > times.half for times in samples)
    noise = _noise(samples, MIN_BATCHED_NOISE if batched and count >= MANY_BATCHES else MIN_NOISE)
    enough = min(1, 0.5 + 1.5 / math.sqrt(count)) if batched else 0.6
    return 0.0 if second_half < max(noise, least) or longer < enough * count else second_half / max(steps, second_half)


def too_early(tries: list[Growth]) -> bool:
    """Return whether runs of no steps take so long that the second half exceeds MAX_HALF_SHARE of the rest.

    That counts if half of the steps take at least RESOLVED_SHARE of a run. Below that, calls hide the steps.
    """
    for times in (tries, _counted(tries)):
        second_half = median(growth.all - growth.half for growth in times)
        steps, full = median(growth.all - growth.none for growth in times), median(growth.all for growth in times)
        if second_half > MAX_HALF_SHARE * steps and second_half >= RESOLVED_SHARE * full:
            return True
    return False


def _ranked(tries: list[Growth]) -> bool:
    """Return whether runs of half of the steps are shorter than runs of all: by the rank-sum test, or each of them.

    Of runs that take the same for any steps, 4 are all before 3 rounds in one of 35 cases. Two tries may share a round.
    """
    halves, full = {times.half for times in tries}, {times.all for times in tries} | {times.repeat for times in tries}
    pairs, shorter = len(halves) * len(full), sum(half < longer for half in halves for longer in full)
    error = math.sqrt((len(halves) + len(full) + 1) / (12 * pairs))
    return len(tries) >= RANKED_TRIES and (shorter == pairs or shorter / pairs - 0.5 >= RANK_SIGMAS * error)


def _counted(tries: list[Growth]) -> list[Growth]:
    """Return the tries; from BATCHED_FROM_TRIES on, the lower quartile of each kind of run in each batch of tries.

    Other programs lengthen single runs, which affects a quartile much less than a difference of two runs. A slow phase
    of the machine that lasts for seconds changes all kinds of a batch alike.
    """
    if len(tries) < BATCHED_FROM_TRIES:
        return tries
    starts = range(0, len(tries) - BATCH_TRIES + 1, BATCH_TRIES)
    return [_ordered(tries[first : first + BATCH_TRIES], QUARTILE_PLACE) for first in starts]


def _middle(tries: list[Growth]) -> Growth:
    """Return the median of each kind of run. Equal runs are alike in it."""
    none, half, full = (median(getattr(times, name) for times in tries) for name in ("none", "half", "all"))
    return Growth(none=none, half=half, all=full, repeat=full)


def _ordered(tries: list[Growth], place: int) -> Growth:
    """Return the time at that place among the sorted ones of each kind of run."""
    seconds_by_kind = ([getattr(times, field.name) for times in tries] for field in fields(Growth))
    return Growth(*(sorted(seconds)[place] for seconds in seconds_by_kind))


def _noise(tries: list[Growth], floor: float) -> float:
    """Return the error of the median difference in seconds: that of equal runs, and at least `floor` of a run."""
    differences = [times.repeat - times.all for times in tries]
    return max(floor * median(times.all for times in tries), abs(median(differences)) + _error(differences))


def unsteady(tries: list[Growth]) -> bool:
    """Return whether several equal runs differ so much that their median difference is off by UNSTEADY_SHARE."""
    error = _error([times.repeat - times.all for times in tries])
    return len(tries) >= UNSTEADY_FROM_TRIES and error > UNSTEADY_SHARE * median(times.all for times in tries)


def certain(tries: list[Growth], least: float = 0.0) -> bool:
    """Return whether tries that show no growth do so beyond their error. least: see `ratio`."""
    full = median(times.all for times in tries)
    second_half = [times.all - times.half for times in tries]
    too_small = [times.all - times.half - MIN_HALF_SHARE * (times.all - times.none) for times in tries]
    too_large = [times.all - times.half - MAX_HALF_SHARE * (times.all - times.none) for times in tries]
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
    """Return bounds of their median, without a model of the noise: order statistics, by SIGMAS of a fair coin."""
    ordered, count = sorted(differences), len(differences)
    reach = SIGMAS * math.sqrt(count) / 2
    return ordered[max(0, int(count / 2 - reach))], ordered[min(count - 1, int(count / 2 + reach))]


def spread(tries: list[Growth]) -> float:
    """Return the median difference of equal runs, relative to a run."""
    return median(abs(times.repeat - times.all) for times in tries) / median(times.all for times in tries)


def _error(differences: Sequence[float]) -> float:
    """Return three times the standard error of their median."""
    middle = median(differences)
    deviation = median(abs(difference - middle) for difference in differences)
    return 3 * MEDIAN_ERROR * deviation / math.sqrt(len(differences))


def least_seconds(steps: int) -> float:
    """Return the least seconds that half of the steps take on any machine."""
    return MIN_STEP_S * (steps - steps // 2)
