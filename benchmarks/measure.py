"""Check, then time: one case from `prepare` to its row.

Clocks, in seconds: `import_s` the worker's code and the framework, `prepare_s` data to the device and objects built,
`first_s` the first run (tracing and compiling in it), `steady_s` the median of the timed runs, `fixed_s` that of runs
of 0 steps (weights there and back), one before each; `per_step_s` the median of their differences, over steps.
"""

from dataclasses import dataclass, field
from statistics import median
from typing import Any

import numpy as np

from benchmarks.diagnosis import diagnose
from benchmarks.reference import Truth
from benchmarks.workers import Clock, Refused, Worker
from impls.interface import Array

SLOW = 2.0  # seconds of a run above which the checks have been warm-up enough


@dataclass(frozen=True)
class Task:
    """A problem in one dtype, on disk for the workers, with its truth and the facts of it that a row carries."""

    folder: str
    truth: Truth
    facts: dict[str, Any]


@dataclass
class Checked:
    """An implementation that has passed its check on a task and can be timed, round by round."""

    worker: Worker
    task: Task
    clock: Clock
    rng: np.random.Generator
    rounds: int
    facts: dict[str, Any]
    done: list[dict[str, float]] = field(default_factory=list)  # of each round: seconds, cpu_seconds, fixed_seconds

    def round(self) -> None:
        """One timed run from a start that no run has had before; its result is checked when the clock has stopped."""
        done, worst = run_checked(self.worker, self.task, float(self.rng.random()))
        self.clock.seconds += done["seconds"]
        self.done.append(done)
        self.facts["error"], self.facts["allowed"] = max(
            (self.facts["error"], self.facts["allowed"]), worst, key=lambda pair: pair[0] / pair[1]
        )

    def finish(self) -> dict[str, Any]:
        """The row's facts, when all rounds are done. Raises Refused for what only shows at the end."""
        steps = self.task.facts["steps"]
        return self.facts | {
            "steady_s": median(done["seconds"] for done in self.done),
            "fixed_s": median(done["fixed_seconds"] for done in self.done),
            "per_step_s": median(done["seconds"] - done["fixed_seconds"] for done in self.done) / steps,
            "cpu_over_wall": sum(done["cpu_seconds"] for done in self.done)
            / sum(done["seconds"] for done in self.done),
            "rss_bytes": self.worker.ask("finish")["rss_bytes"],
        }


def open_descent(worker: Worker, task: Task, device: str, clock: Clock, seconds: float) -> Checked:
    """Prepare, run once, check the iterates, warm up; rounds are as many as fit in `seconds`: 3 to 50, 2 of a slow run.

    Raises Unsupported, or Refused with what is wrong.
    """
    rng = np.random.default_rng()  # unseeded: an implementation cannot know where a round will start
    prepare_s = worker.ask("prepare", folder=task.folder, device=device)["seconds"]
    start = task.truth.start(0.0)
    first = worker.run(start, task.truth.at[-1])
    early = [check_iterate(worker, task, t, 0.0) for t in task.truth.at[:-1]]
    early += [check_iterate(worker, task, 1, float(rng.random()))]  # does it remember the first start?
    worker.run(start, 0)  # what has to be compiled for no steps is
    last = judge(task, np.asarray(first["weights"]), task.truth.at[-1], 0.0, start)
    t = task.truth.at[max(len(task.truth.at) - 2, 0)]
    run_s = worker.run(start, t)["seconds"] * task.facts["steps"] / t  # those steps, the second time: all is compiled
    if run_s < SLOW:
        run_s = run_checked(worker, task, float(rng.random()))[0]["seconds"]
    error, allowed = max([last, *early], key=lambda pair: pair[0] / pair[1])
    facts = {
        "prepare_s": prepare_s,
        "first_s": first["seconds"],
        "error": error,
        "allowed": allowed,
        "valid": True,
        "reason": "",
    }
    rounds = int(np.clip(seconds / run_s, 3 if run_s < SLOW else 2, 50))
    return Checked(worker, task, clock, rng, rounds, {**worker_facts(worker), **task.facts, **facts})


def worker_facts(worker: Worker) -> dict[str, Any]:
    """What the worker has said of the framework that it has loaded."""
    loaded = worker.loaded
    return {"framework": loaded["framework"], "version": loaded["version"], "import_s": loaded["seconds"]}


def check_iterate(worker: Worker, task: Task, t: int, c: float) -> tuple[float, float]:
    """Distance and allowed distance after t updates from the start at c. Raises Refused when it is further away."""
    start = task.truth.start(c)
    return judge(task, np.asarray(worker.run(start, t)["weights"]), t, c, start)


def run_checked(worker: Worker, task: Task, c: float) -> tuple[dict[str, float], tuple[float, float]]:
    """A whole run from the start at c: what it took, and the distance with what is allowed."""
    start = task.truth.start(c)
    done = worker.run(start, task.truth.at[-1], "round")
    judged = judge(task, np.asarray(done["weights"]), task.truth.at[-1], c, start)
    return {name: done[name] for name in ("seconds", "cpu_seconds", "fixed_seconds")}, judged


def judge(task: Task, weights: Array, t: int, c: float, start: Array) -> tuple[float, float]:
    """Distance to the truth after t updates and the distance allowed. Raises Refused, in words, when it is too far."""
    error, allowed = task.truth.distance(weights, t, c, start)
    if error <= allowed:
        return error, allowed
    why = diagnose(task.truth, weights, t, c, task.facts["dtype"])
    raise Refused(f"wrong weights after {t} update{'s' * (t > 1)}: {why} (distance {error:.2g}, allowed {allowed:.2g})")
