"""Verify, then time: one case from `prepare` to its row.

Clocks, in seconds. `import_s`: the worker's code and the framework. `context_s`: the first use of a GPU. `prepare_s`:
data to the device, objects built; `transfer_s` of it moves data. `first_s`: the first run, with tracing and compiling.
`steady_s`: median of the timed runs. `fixed_s`: median of runs of 0 steps, one before each. `per_step_s`: median of
their differences, divided by the steps. `blocked_s`: waiting for the device within a run. `event_s`: a run by the
device's own clock.
"""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Any

import numpy as np

from benchmarks.machine import gpu as gpus
from benchmarks.machine.calibration import calibration_loop
from benchmarks.reference.diagnosis import diagnose
from benchmarks.reference.iterates import Iterate, row_facts
from benchmarks.reference.solution import Coefficients
from benchmarks.timing import growth, parity
from benchmarks.timing.prepared import PreparedProblem, RowsCheck
from benchmarks.typed_json import REASON_CHARACTERS, printable
from benchmarks.worker.arrays import read_mapped
from benchmarks.worker.client import Clock, Refused, Worker
from benchmarks.worker.messages import CLOCK_AHEAD, Growth, Round, RunResult
from impls.interface import Array

COMPILED_FACTOR = 1.2  # of the first run's time; above, a first run of fewer steps has compiled too
SLOW_RUN_S = 0.25  # above, the checks are warm-up enough, and one round is enough
GROWTH_S, MIN_GROWTH_TRIES = 5.0, 5  # time limit for tries of doubtful runs, after at least so many
HALF_RUNS, HALF_RUNS_S = 4, 0.5  # of fewer steps, each after a round; no more of them after so many seconds
READINGS = 10  # of as many bytes as the case reads, beside its rounds
HALF_CHECK_LIMIT_S = 1.0  # of a first run; from here on, half of its steps are not checked
SHORT_RUN_S = 1e-3  # below, one run of fewer steps says little
ENERGY_S, CLOCK_POLL_S = 1.0, 0.05  # of runs whose energy is measured; between two readings of the clock
CPU_WINDOW_S = 0.06  # over which CPU time is measured: its tick is 4 ms
SINGLE_RUNS, SINGLE_RUNS_S = 20, 2.0  # at most, whose clocks are compared if those of all rounds differ


@dataclass
class TimedCase:
    """An implementation that has passed its check on a problem and can be timed, round by round."""

    worker: Worker
    task: PreparedProblem
    clock: Clock
    rng: np.random.Generator
    rounds: int
    fewer: tuple[int, float]  # a run of fewer steps, about half, once compiled: its steps and its seconds
    iterates: list[Iterate]  # where it was checked from the problem's own start
    facts: dict[str, Any]
    rounds_done: list[Round] = field(default_factory=list)  # without their weights
    elapsed: list[float] = field(default_factory=list)  # seconds of each round by this process's clock
    halves: list[float] = field(default_factory=list)  # seconds of runs of fewer steps, each after a round
    halves_elapsed: float = 0.0  # seconds of these runs by this process's clock
    calibration: list[float] = field(default_factory=list)  # seconds of the loop in this process, before and after each
    helper_s: float = 0.0  # CPU seconds of the worker's own children when the rounds began
    gpu: dict[str, Any] = field(default_factory=gpus.now)  # when the rounds began
    rows_check: RowsCheck | None = None  # to be done after the rounds
    energy: bool = False  # whether the energy of a step is measured after the rounds
    growth_shown: bool = False  # by an earlier process that gave the same weights
    profile: bool = False  # whether a run is profiled after everything else
    read: Callable[[], float | None] | None = None  # reads as many bytes as the case does, and returns bytes a second
    readings: list[float | None] = field(default_factory=list)  # beside some rounds
    reading_s: float = 0.0  # seconds that they took

    def round(self) -> None:
        """Time one run from a new start. Check its result after the clock has stopped."""
        self.calibration.append(calibration_loop())
        result, worst = run_checked(self.worker, self.task, self.rng)
        self.calibration.append(calibration_loop())
        self.elapsed.append(self.worker.elapsed)
        if result.seconds >= SHORT_RUN_S and len(self.halves) < HALF_RUNS and sum(self.halves) < HALF_RUNS_S:
            self.halves.append(self.worker.run(self.new_run()[0], self.fewer[0]).seconds)
            self.halves_elapsed += self.worker.elapsed
        if self.read is not None and len(self.rounds_done) % max(1, self.rounds // READINGS) == 0:
            self._read_beside(self.read)
        self.clock.turn(result.seconds)
        self.rounds_done.append(replace(result, weights=[]))
        self.facts["error"], self.facts["tolerance"] = max(
            (self.facts["error"], self.facts["tolerance"]), worst, key=lambda pair: pair[0] / pair[1]
        )

    def _read_beside(self, read: Callable[[], float | None]) -> None:
        """Read as many bytes as the case does, twice at least and then for no longer than its runs took so far."""
        if len(self.readings) < 2 or self.reading_s < sum(self.elapsed):
            begin = time.monotonic()
            self.worker.settle()
            self.readings.append(read())
            self.reading_s += time.monotonic() - begin

    def finish(self) -> dict[str, Any]:
        """Return the row's facts after all rounds, with a `reason` if `valid` is false. Raises Refused."""
        facts = self.facts | self.clocks(self.task.facts["steps"])
        if facts["device"] == "gpu":
            facts |= gpus.over(self.gpu, gpus.now())
        if read := [rate for rate in self.readings if rate]:
            facts |= {"read_bytes_per_s": median(read), "most_read": max(read)}
            facts |= {"read_again_ratio": median(read[1::2]) / median(read[::2])} if read[1:] else {}
        elapsed = sum(self.elapsed) + self.halves_elapsed
        if facts["steady_s"] < CPU_WINDOW_S:
            facts |= vars(self.worker.busy(*self.new_run(), runs=int(CPU_WINDOW_S / facts["steady_s"]) + 1))
            elapsed += self.worker.elapsed
        facts["cpu_over_wall"] += (self.worker.helper_seconds() - self.helper_s) / elapsed  # also between the rounds
        if self.energy:
            facts |= self.energy_facts(facts["steady_s"])
        facts |= vars(self.worker.finish(event_runs=1 if facts["steady_s"] > SLOW_RUN_S else 3))
        faults = parity.faults(facts, self.worker.cores)
        faults += self.clock_faults(faults)
        if not faults and facts["step_reads"] == "X":  # the making of another matrix may outweigh its steps
            facts["half_steps_ratio"], faults = self.growth(facts["steady_s"], facts["fixed_s"])
        if self.profile:
            facts |= vars(self.worker.profile())
        if self.rows_check is not None:
            self.check_rows(self.rows_check)
        pools, cores = facts.pop("pools"), facts.pop("cores")
        words = {"pools": ", ".join(f"{name} {count}" for name, count in pools.items()), "affinity": str(cores)}
        words |= row_facts(self.task.folder, self.task.truth.start(0.0), self.iterates, self.task.truth.quadratic)
        present = {name: value for name, value in facts.items() if value is not None}
        return present | words | {"valid": not faults, "reason": printable("; ".join(faults), REASON_CHARACTERS)}

    def clock_faults(self, faults: list[str]) -> list[str]:
        """Return how the worker's clock differs from this process's, if it does in all rounds and in single runs.

        Beside other programs, a round may last much longer than its timed run, because the uncounted runs wake threads.
        A single run must not: its seconds by this process's clock then agree with what the rounds claim. No single runs
        if the row has other `faults`. Raises Refused for wrong weights.
        """
        steps = self.task.facts["steps"]
        differences = parity.clocks_differ(self.rounds_done, self.elapsed, steps, self.task.truth.w0.size)
        if faults or not differences or CLOCK_AHEAD in differences:
            return differences
        claimed, end = median(run.seconds for run in self.rounds_done), time.monotonic() + SINGLE_RUNS_S
        for _ in range(SINGLE_RUNS):
            c = self.task.truth.draw(self.rng)
            start = self.task.truth.start(c)
            result = self.worker.run(start, steps)
            judge(self.task, np.asarray(result.weights), steps, c, start)
            if parity.clocks_agree(self.worker.elapsed, min(result.seconds, claimed), 2 * start.size):
                return []
            if time.monotonic() > end:
                break
        return differences

    def energy_facts(self, steady: float) -> dict[str, float]:
        """Return the GPU's energy a step (J) and its median clock (MHz); {} if unknown, as for a slice of a card."""
        before = None if gpus.mig() else gpus.joules()
        if before is None:
            return {}
        (start, steps), runs, clocks = self.new_run(), int(ENERGY_S / steady) + 1, list[float | None]()
        with ThreadPoolExecutor(1) as pool:
            runs_done = pool.submit(self.worker.busy, start, steps, runs)
            while not wait([runs_done], CLOCK_POLL_S).done:
                clocks.append(gpus.sm_mhz())
            runs_done.result()  # raises what it raised
        after, frequencies = gpus.joules(), [mhz for mhz in clocks if mhz is not None]
        energy = {} if after is None else {"energy_j": (after - before) / (runs * steps)}
        return energy | ({"sm_mhz_during": median(frequencies)} if frequencies else {})

    def check_rows(self, rows: RowsCheck) -> None:
        """Run an update of another problem over the same X, after all else. Raises Refused if it shows less work."""
        self.worker.prepare(rows.folder, self.facts["device"])
        error = np.abs(np.asarray(self.worker.run(np.zeros_like(rows.expected), 1).weights) - rows.expected)
        if not (error <= rows.tolerance).all():
            ratios = np.where(np.isnan(error), np.inf, error / rows.tolerance)
            worst = np.unravel_index(np.argmax(ratios), error.shape)
            details = f"distance {error[worst]:.2g} of {rows.expected[worst]:.2g}, allowed {rows.tolerance[worst]:.2g}"
            raise Refused(f"a step leaves out rows of X, or rounds X or y ({details})")

    def clocks(self, steps: int) -> dict[str, float]:
        """Return medians and sums over the rounds, in seconds."""
        rounds = self.rounds_done
        blocked = [run.blocked_seconds for run in rounds if run.blocked_seconds is not None]
        total = sum(run.seconds for run in rounds)
        return {
            "steady_s": median(run.seconds for run in rounds),
            "fixed_s": median(run.fixed_seconds for run in rounds),
            "per_step_s": median(run.seconds - run.fixed_seconds for run in rounds) / steps,
            "calibration_s": median(self.calibration),
            "cpu_over_wall": sum(run.cpu_seconds for run in rounds) / total,
            "runs_s": total + sum(run.fixed_seconds for run in rounds),
            "compiles": sum(run.compiles for run in rounds),
            "gc_runs": sum(run.gc_runs for run in rounds),
            **({"blocked_s": median(blocked)} if blocked else {}),
        }

    def growth(self, steady: float, fixed: float) -> tuple[float | None, list[str]]:
        """Return the time of the second half of the steps over that of all, and the reasons if it is unknown.

        The rounds and a few runs of fewer steps give a first value. Short runs and doubtful ones are tried again. If an
        earlier process has shown growth with the same weights, one batch of tries must only not contradict it.
        Raises Refused if the tries show, beyond their error, that it is almost nothing.
        """
        steps = self.task.facts["steps"]
        if steps == 1:
            return None, []
        few, least = int(np.clip(0.02 / steady, 2, 100)), growth.least_seconds(steps)
        if steady >= SHORT_RUN_S and (ratio := growth.shown(self._first_tries(steady, fixed), least)) is not None:
            return ratio, []
        uncounted, end = int(steady < SLOW_RUN_S), time.monotonic() + GROWTH_S
        tries, hidden = list[Growth](), growth.hidden(self.task.facts, self.facts["device"], steady)
        looks = (5 * few, 30 * few)  # more tries, because other processes may load the machine
        for count in (growth.BATCH_TRIES, few, *looks) if steady < SHORT_RUN_S else looks:
            while len(tries) < count and (len(tries) < MIN_GROWTH_TRIES or time.monotonic() < end):
                tries.append(self.worker.grow(*self.new_run(), uncounted))
            if (ratio := growth.shown(tries, least)) is not None:
                return ratio, []
            early, certain = growth.too_early(tries), count >= 5 * few and growth.certain(tries, least)
            if hidden and not early and certain:
                unseen = f"{steps} steps show no time beside that of a call; give more with --steps"
                return growth.ratio(tries, least), [unseen]
            if self.growth_shown and count >= 5 * few and not certain:
                return growth.ratio(tries, least), []
        reason = ("more steps take no more time", "a run of no steps takes as long as many steps")[early]
        if certain:
            raise Refused(reason)
        busy = f"this machine is too busy to tell (equal runs differ by {growth.spread(tries):.0%})"
        return growth.ratio(tries, least), [f"{busy}, or {reason}; repeat the run when it is idle"]

    def _first_tries(self, steady: float, fixed: float) -> list[Growth]:
        """Return a try of each run of fewer steps: the check's, and those between the rounds.

        Equal runs are two rounds; of a slow run, which has one round, two runs of fewer steps.
        """
        steps, (fewer, fewer_s) = self.task.facts["steps"], self.fewer
        rest, halves = (steps - fewer) / (steps - steps // 2), [fewer_s, *self.halves]
        rounds = [run.seconds for run in self.rounds_done[: len(halves)]]
        tries = []
        for i, half_s in enumerate(halves):
            all_s = rounds[i % len(rounds)]
            repeat = rounds[i - 1] if len(rounds) > 1 else steady + halves[i - 1] - half_s
            tries += [Growth(none=fixed, half=all_s - (all_s - half_s) / rest, all=all_s, repeat=repeat)]
        return tries

    def new_run(self) -> tuple[Array, int]:
        """Return a new start, and the number of all steps."""
        return self.task.truth.start(self.task.truth.draw(self.rng)), self.task.facts["steps"]


def open_descent(
    worker: Worker, task: PreparedProblem, device: str, clock: Clock, seconds: float, checked: Array | None = None
) -> TimedCase:
    """Prepare, run once, check the iterates and warm up.

    The case has as many rounds as fit into `seconds`: 3 to 50, or 1 of a slow run. checked: the final weights of an
    earlier process whose iterates were checked. If the first run gives the same bits, the early iterates are not
    checked again, which saves a compilation each. Raises Unsupported, or Refused with the reason.
    """
    rng = np.random.default_rng()  # unseeded: an implementation cannot know where a round will start
    prepared = worker.prepare(task.folder, device)
    start, last = task.truth.start(0.0), task.truth.at[-1]
    first = worker.run(start, last)
    early_at = [t for t in task.truth.at[:-1] if first.seconds < HALF_CHECK_LIMIT_S or t != last // 2] or [last]
    is_checked = checked is not None and np.array_equal(np.asarray(first.weights), checked)
    iterates = [check_iterate(worker, task, t, 0.0) for t in (early_at[-1:] if is_checked else early_at)]
    other_start = [] if is_checked else [check_iterate(worker, task, 1, task.truth.draw(rng))]  # runs may remember w0
    for uncounted in (0, 1):  # compile what the uncounted runs of a round need
        worker.run(start, uncounted)
    fewer, fewer_s = iterates[-1].t, iterates[-1].seconds
    iterates.append(iterate(task, first, last, 0.0))
    if fewer_s < SLOW_RUN_S or fewer_s * last / fewer > COMPILED_FACTOR * first.seconds:
        fewer_s = worker.run(start, fewer).seconds  # the second time, when all is compiled
    run_s = fewer_s * last / fewer
    if run_s < SLOW_RUN_S:
        run_s = run_checked(worker, task, rng)[0].seconds
    worst = max([*other_start, *iterates], key=lambda iterate: iterate.error / iterate.allowed)
    facts = {"prepare_s": prepared.seconds, "first_s": first.seconds}
    facts |= {} if prepared.transfer_seconds is None else {"transfer_s": prepared.transfer_seconds}
    facts |= {"error": worst.error, "tolerance": worst.allowed}
    facts = {**worker_facts(worker), **task.facts, **facts}
    rounds = int(np.clip(seconds / run_s, 3 if run_s < SLOW_RUN_S else 1, 50))
    case = TimedCase(worker, task, clock, rng, rounds, (fewer, fewer_s), iterates, facts)
    case.helper_s = worker.helper_seconds()
    return case


def worker_facts(worker: Worker) -> dict[str, Any]:
    """Return the worker's facts about its framework."""
    facts = vars(worker.loaded) | {"ranks": worker.ranks, "threads": worker.threads}
    facts["import_s"] = facts.pop("seconds")
    return facts if worker.context_s is None else facts | {"context_s": worker.context_s}


def check_iterate(worker: Worker, task: PreparedProblem, t: int, c: Coefficients) -> Iterate:
    """Run t updates from the start at c and check the result. Raises Refused."""
    return iterate(task, worker.run(task.truth.start(c), t), t, c)


def iterate(task: PreparedProblem, result: RunResult, t: int, c: Coefficients) -> Iterate:
    """Check the answer of a run of t updates from the start at c. Raises Refused."""
    weights = np.asarray(result.weights)
    return Iterate(t, weights, result.seconds, *judge(task, weights, t, c, task.truth.start(c)))


def run_checked(worker: Worker, task: PreparedProblem, rng: np.random.Generator) -> tuple[Round, tuple[float, float]]:
    """Run no steps from a start, then all from another one. Return the round, and its error with the tolerance."""
    c, elsewhere = task.truth.draw(rng), task.truth.start(task.truth.draw(rng))
    start = task.truth.start(c)
    result = worker.round(start, elsewhere, task.truth.at[-1])
    return result, judge(task, np.asarray(result.weights), task.truth.at[-1], c, start)


def judge(task: PreparedProblem, weights: Array, t: int, c: Coefficients, start: Array) -> tuple[float, float]:
    """Return the error after t updates and the tolerance. Raises Refused, with a diagnosis, if the error is larger."""
    error, allowed = task.truth.distance(weights, t, c, start)
    if error <= allowed:
        return error, allowed
    why = diagnose(read_mapped(task.folder), task.truth, weights, t, c)
    raise Refused(f"wrong weights after {t} update{'s' * (t > 1)}: {why} (distance {error:.2g}, allowed {allowed:.2g})")
