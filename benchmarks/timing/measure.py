"""Verify, then time: one case from `prepare` to its row.

Clocks, in seconds. `import_s`: the worker's code and the framework. `prepare_s`: data to the device, objects built;
`transfer_s` of it moves data. `first_s`: the first run, with tracing and compiling. `steady_s`: median of the timed
runs. `fixed_s`: median of runs of 0 steps, one before each. `per_step_s`: median of their differences, divided by the
steps. `blocked_s`: waiting for the device within a run. `event_s`: a run by the device's own clock.
"""

from dataclasses import dataclass, field
from statistics import median
from typing import Any

import numpy as np

from benchmarks.machine import gpu as gpus
from benchmarks.reference.diagnosis import diagnose
from benchmarks.reference.iterates import Iterate, row_facts
from benchmarks.reference.solution import ReferenceSolution
from benchmarks.timing import parity
from benchmarks.worker.client import Clock, Refused, Worker
from impls.interface import Array

SLOW = 0.25  # seconds of a run above which the checks have been warm-up enough, and one round is a long look
LONG = 1.0  # seconds of a first run from which on half of its steps are not tried
SHORT = 1e-3  # seconds of a run below which one run of fewer steps says little
BUSY = 0.06  # seconds over which CPU time is held against time: a tick of it is 4 ms
NUMBERS = ("seconds", "cpu_seconds", "fixed_seconds", "pace_seconds", "blocked_seconds", "compiles", "gc_runs")


@dataclass(frozen=True)
class PreparedProblem:
    """A problem in one dtype, on disk for the workers, with its reference solution and its facts for a row."""

    folder: str
    truth: ReferenceSolution
    facts: dict[str, Any]


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
    done: list[dict[str, float]] = field(default_factory=list)  # NUMBERS of each round
    gpu: dict[str, Any] = field(default_factory=gpus.now)  # when the rounds began

    def round(self) -> None:
        """Time one run from a new start. Check its result after the clock has stopped."""
        done, worst = run_checked(self.worker, self.task, float(self.rng.random()))
        self.clock.turn(done["seconds"])
        self.done.append(done)
        self.facts["error"], self.facts["tolerance"] = max(
            (self.facts["error"], self.facts["tolerance"]), worst, key=lambda pair: pair[0] / pair[1]
        )

    def finish(self) -> dict[str, Any]:
        """Return the row's facts after all rounds. Under unequal conditions `valid` is false, with a `reason`.

        Raises Refused for faults that only show at the end.
        """
        facts = self.facts | self.clocks(self.task.facts["steps"])
        if facts["device"] == "gpu":
            facts |= gpus.over(self.gpu, gpus.now())
        if facts["steady_s"] < BUSY:
            facts |= self.ask("busy", runs=int(BUSY / facts["steady_s"]) + 1)
        facts |= self.worker.ask("finish")
        faults = parity.faults(facts, self.worker.cores)
        if not faults and facts["step_reads"] == "X":  # what is made of X beforehand may outweigh steps that never read it
            facts["half_steps_ratio"] = self.growth(facts["steady_s"], facts["fixed_s"])
        pools, cores = facts.pop("pools"), facts.pop("cores")
        words = {"pools": ", ".join(f"{name} {count}" for name, count in pools.items()), "affinity": str(cores)}
        words |= row_facts(self.task.folder, self.task.truth.start(0.0), self.iterates)
        known = {name: value for name, value in facts.items() if value is not None}
        return known | words | {"valid": not faults, "reason": "; ".join(faults)}

    def clocks(self, steps: int) -> dict[str, float]:
        """Return medians and sums over the rounds, in seconds."""
        blocked = [done["blocked_seconds"] for done in self.done if done["blocked_seconds"] is not None]
        total = sum(done["seconds"] for done in self.done)
        return {
            "steady_s": median(done["seconds"] for done in self.done),
            "fixed_s": median(done["fixed_seconds"] for done in self.done),
            "per_step_s": median(done["seconds"] - done["fixed_seconds"] for done in self.done) / steps,
            "calibration_s": median(done["pace_seconds"] for done in self.done),
            "cpu_over_wall": sum(done["cpu_seconds"] for done in self.done) / total,
            "runs_s": total + sum(done["fixed_seconds"] for done in self.done),
            "compiles": sum(done["compiles"] for done in self.done),
            "gc_runs": sum(done["gc_runs"] for done in self.done),
            **({"blocked_s": median(blocked)} if blocked else {}),
        }

    def growth(self, steady: float, fixed: float) -> float | None:
        """Return the time of the second half of the steps over that of all. Raises Refused if it is almost nothing.

        The check's run of fewer steps gives a first value. Short runs and doubtful ones are tried again.
        """
        steps, (fewer, fewer_s) = self.task.facts["steps"], self.fewer
        if steps == 1:
            return None
        few, rest = int(np.clip(0.02 / steady, 2, 100)), (steps - fewer) / (steps - steps // 2)
        tried = [{"none": fixed, "half": steady - (steady - fewer_s) / rest, "all": steady}]
        if steady < SHORT:
            tried = [self.ask("grow") for _ in range(few)]
        if parity.growth(tried) < parity.GROWTH:
            tried = [self.ask("grow") for _ in range(5 * few)]
        if parity.growth(tried) < parity.GROWTH:  # others may load the machine; beside the former, not in their place
            tried += [self.ask("grow") for _ in range(25 * few)]
        if parity.growth(tried) < parity.GROWTH:
            raise Refused("more steps take no more time")
        return parity.growth(tried)

    def ask(self, op: str, **more: float) -> dict[str, Any]:
        """Send a request about a run of all steps from a new start."""
        start = self.task.truth.start(float(self.rng.random()))
        return self.worker.ask(op, start=start.tolist(), steps=self.task.facts["steps"], **more)


def open_descent(worker: Worker, task: PreparedProblem, device: str, clock: Clock, seconds: float) -> TimedCase:
    """Prepare, run once, check the iterates and warm up.

    As many rounds follow as fit into `seconds`: 3 to 50, or 1 of a slow run. Raises Unsupported, or Refused with the
    reason.
    """
    rng = np.random.default_rng()  # unseeded: an implementation cannot know where a round will start
    prepared = worker.ask("prepare", folder=task.folder, device=device)
    start, last = task.truth.start(0.0), task.truth.at[-1]
    first = worker.run(start, last)
    early_at = [t for t in task.truth.at[:-1] if first["seconds"] < LONG or t != last // 2] or [last]
    iterates = [check_iterate(worker, task, t, 0.0) for t in early_at]
    elsewhere = check_iterate(worker, task, 1, float(rng.random()))  # does it remember the first start?
    worker.run(start, 0)  # what has to be compiled for no steps is
    fewer, fewer_s = iterates[-1].t, iterates[-1].seconds
    iterates.append(iterate(task, first, last, 0.0))
    if fewer_s < SLOW:
        fewer_s = worker.run(start, fewer)["seconds"]  # the second time: all is compiled
    run_s = fewer_s * last / fewer
    if run_s < SLOW:
        run_s = run_checked(worker, task, float(rng.random()))[0]["seconds"]
    worst = max([elsewhere, *iterates], key=lambda one: one.error / one.allowed)
    moved = prepared["transfer_seconds"]
    facts = {"prepare_s": prepared["seconds"], "first_s": first["seconds"]} | (
        {} if moved is None else {"transfer_s": moved}
    )
    facts |= {"error": worst.error, "tolerance": worst.allowed}
    facts = {**worker_facts(worker), **task.facts, **facts}
    rounds = int(np.clip(seconds / run_s, 3 if run_s < SLOW else 1, 50))
    return TimedCase(worker, task, clock, rng, rounds, (fewer, fewer_s), iterates, facts)


def worker_facts(worker: Worker) -> dict[str, Any]:
    """Return the worker's facts about its framework."""
    loaded = worker.loaded
    facts = {name: loaded[name] for name in ("framework", "version", "step_reads")}
    return facts | {"import_s": loaded["seconds"], "ranks": worker.ranks, "threads": worker.threads}


def check_iterate(worker: Worker, task: PreparedProblem, t: int, c: float) -> Iterate:
    """Run t updates from the start at c and check the result. Raises Refused."""
    return iterate(task, worker.run(task.truth.start(c), t), t, c)


def iterate(task: PreparedProblem, done: dict[str, Any], t: int, c: float) -> Iterate:
    """Check the answer of a run of t updates from the start at c. Raises Refused."""
    weights = np.asarray(done["weights"])
    return Iterate(t, weights, done["seconds"], *judge(task, weights, t, c, task.truth.start(c)))


def run_checked(worker: Worker, task: PreparedProblem, c: float) -> tuple[dict[str, float], tuple[float, float]]:
    """Run all steps from the start at c. Return its clocks, and its error with the tolerance."""
    start = task.truth.start(c)
    done = worker.run(start, task.truth.at[-1], "round")
    judged = judge(task, np.asarray(done["weights"]), task.truth.at[-1], c, start)
    return {name: done[name] for name in NUMBERS}, judged


def judge(task: PreparedProblem, weights: Array, t: int, c: float, start: Array) -> tuple[float, float]:
    """Return the error after t updates and the tolerance. Raises Refused, with a diagnosis, if the error is larger."""
    error, allowed = task.truth.distance(weights, t, c, start)
    if error <= allowed:
        return error, allowed
    why = diagnose(task.truth, weights, t, c, task.facts["dtype"])
    raise Refused(f"wrong weights after {t} update{'s' * (t > 1)}: {why} (distance {error:.2g}, allowed {allowed:.2g})")
