"""A campaign carries out a plan: it builds problems, keeps the worker and collects the outcome of each case."""

import hashlib
import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.campaign.outcome import Outcome, Status
from benchmarks.campaign.plan import Case, Plan
from benchmarks.distributed.ranks import Ranks, network_bytes
from benchmarks.machine import bandwidth, load
from benchmarks.problems import catalogue, published
from benchmarks.reference.solution import TF32, truth
from benchmarks.timing import limits
from benchmarks.timing.measure import PreparedProblem, TimedCase, open_descent
from benchmarks.worker import cleanup, folders, memory
from benchmarks.worker.client import Clock, Invalid, Refused, Worker
from impls.interface import Problem, Unsupported

EARLY = (1, 2, 3, 5, 8)  # updates after which the iterates are compared; the last one is added
STATE = ("runs_s", "reference_s", "system_load", "sources", "limits", "resumed", "left")
ARRAYS = ("X", "y", "w0", "order")  # a problem's fields that are files of their own


@dataclass
class Campaign:
    """A plan in progress: its current worker, its problems on disk, and the outcome of each case."""

    plan: Plan
    clock: Clock = field(default_factory=Clock)
    folder: Path | None = None
    worker: Worker | None = None
    host: tuple[object, ...] | None = None
    tasks: dict[tuple[str, str], PreparedProblem | Exception] = field(default_factory=dict)
    unsupported: dict[tuple[str, ...], str] = field(default_factory=dict)
    done: dict[Case, Outcome] = field(default_factory=dict)
    sources: dict[str, dict[str, str]] = field(default_factory=dict)  # implementation to its file and what that says
    system_load: list[dict[str, Any]] = field(default_factory=list)  # what the machine did besides, block by block
    limits: dict[str, dict[int, dict[str, Any]]] = field(default_factory=dict)  # by device and block, what it could do
    started: float = field(default_factory=time.monotonic)
    selected: dict[str, Case] = field(default_factory=dict)  # the cases that are to run, by name, in order
    interrupted: bool = False
    resumed: list[dict[str, Any]] = field(default_factory=list)  # when, and with how many finished cases
    reference_s: float = 0.0  # seconds in which problems and their truth were made
    left: list[str] = field(default_factory=list)  # what had to be removed in the processes before this one
    runs_s: float = 0.0  # seconds in workers' prepare, first and timed runs
    before: dict[str, Any] | None = None  # the machine when the block of the moment began

    def open(self, case: Case) -> TimedCase:
        """Return the case, verified and ready to be timed. Raises Unsupported or Refused."""
        place = (case.impl, case.device)
        for known in (place, (*place, case.problem, case.dtype)):  # what was asked in one block is not asked again
            if known in self.unsupported:
                raise Unsupported(self.unsupported[known])
        task = self.task(case.problem, case.dtype)
        worker = self._worker(case)
        worker.deadline = time.monotonic() + self.plan.timeout
        try:
            descent = open_descent(worker, task, case.device, self.clock, self.plan.seconds)
        except Unsupported as error:
            self.unsupported[*place, case.problem, case.dtype] = str(error)
            raise
        asked: dict[str, Any] = {"seed": self.plan.seed, "precision": self.plan.precision}
        if self.plan.ranks:
            descent.facts["network_bytes"] = network_bytes(worker.ranks, *(task.facts[name] for name in ("d", "k", "dtype")))
        if self.plan.memory is not None:
            asked["memory_limit_bytes"] = self.plan.memory
        descent.facts |= case.row | asked
        self.runs_s += descent.facts["prepare_s"] + descent.facts["first_s"]
        return descent

    def enter(self, case: Case) -> None:
        """Record the system load when a block begins, and measure the machine's limits."""
        if self.before is None:
            self.before = load.now() | {"block": case.block}
            for device in self.plan.devices if self.plan.limits else []:
                if case.block not in self.limits.setdefault(device, {}):
                    measured = limits.measure(self.plan.threads, device, self.plan.precision, self.plan.timeout)
                    self.limits[device][case.block] = measured

    def leave(self) -> None:
        """Record what else the machine did during the block."""
        if self.before is not None:
            self.system_load.append(load.between(self.before, load.now()))
        self.before = None

    def has_time(self) -> bool:
        """Return whether one more block, as long as the longest so far, ends within the plan's minutes."""
        longest = max((float(passed["seconds"]) for passed in self.system_load), default=0.0)
        return time.monotonic() - self.started + longest <= 60 * self.plan.minutes

    def close(self) -> None:
        """End the worker and remove the problems from the disk."""
        if self.worker is not None:
            self.worker.close()
        if self.folder is not None:
            folders.remove(self.folder)
        self.worker = self.folder = None

    def state(self) -> dict[str, Any]:
        """Return what must outlive the process besides the finished cases. Seconds exclude the gap between two runs."""
        state = {name: getattr(self, name) for name in STATE} | {"left": self.left + cleanup.removed}
        return state | {"wall_s": time.monotonic() - self.started, "timed_s": self.clock.total}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from such a state, read from JSON."""
        for name in STATE:
            setattr(self, name, state[name])
        self.limits = {
            device: {int(block): measured for block, measured in blocks.items()}
            for device, blocks in self.limits.items()
        }
        self.started, self.clock.total = time.monotonic() - state["wall_s"], state["timed_s"]

    def summary(self) -> dict[str, Any]:
        """Return what the saved JSON says of the campaign besides its rows."""
        skipped = sorted({(case.name, case.device, reason) for case, reason in self.without_time(Status.SKIPPED)})
        return {
            "planned": len(self.selected),
            "seed": self.plan.seed,
            "threads": self.plan.threads,
            "precision": self.plan.precision,
            "memory_limit_bytes": self.plan.memory,
            "aa": next((case.original for case in self.selected.values() if case.again), ""),
            "blocks": len({case.block for case in self.selected.values()}),
            "interrupted": self.interrupted,
            "orphans": self.left + cleanup.removed,
            "wall_s": time.monotonic() - self.started,
            "runs_s": self.runs_s,
            "timed_s": self.clock.total,
            "resumed": self.resumed,
            "reference_s": self.reference_s,
            "skipped": [dict(zip(("impl", "device", "reason"), row, strict=True)) for row in skipped],
            "system_load": self.system_load,
            "sources": self.sources,
            "limits": {device: bandwidth.typical([*blocks.values()]) for device, blocks in self.limits.items()},
            "refused": [{**case.row, "reason": reason} for case, reason in self.without_time(Status.REFUSED)],
        }

    def without_time(self, status: Status) -> list[tuple[Case, str]]:
        """Return the cases of a status, each with its reason."""
        return [(case, outcome.reason) for case, outcome in self.done.items() if outcome.status is status]

    def start_worker(self, case: Case) -> Worker:
        """Start a worker, or ranks if the plan has them. Raises what they raise."""
        plan = self.plan
        if plan.ranks:
            return Ranks(
                case.impl,
                plan.ranks,
                plan.threads,
                case.device,
                plan.precision,
                plan.timeout,
                plan.memory,
                plan.hosts,
                plan.remote_shell,
            )
        return Worker(case.impl, plan.threads, case.device, plan.precision, plan.timeout, plan.memory)

    def _worker(self, case: Case) -> Worker:
        host = (*case.host, self.plan.ranks)
        if self.worker is not None and (self.host != host or not self.worker.alive):
            self.worker.close()
            self.worker = None
        if self.worker is None:
            try:
                self.worker = self.start_worker(case)
            except Unsupported as error:
                self.unsupported[case.impl, case.device] = str(error)
                raise
            self.host = host
        if case.original not in self.sources:
            self.sources[case.original] = self.worker.ask("source", impl=case.impl)
        return self.worker

    def task(self, name: str, dtype: str) -> PreparedProblem:
        """Return a problem on disk; build it when it is first needed. Raises Unsupported or Refused."""
        if (name, dtype) not in self.tasks:
            start = time.monotonic()
            self._build(name)
            self.reference_s += time.monotonic() - start
        task = self.tasks[name, dtype]
        if isinstance(task, Exception):
            raise task
        return task

    def _build(self, name: str) -> None:
        """Build a problem in the dtypes that fit, write it for the workers, and compute its reference solution."""
        plan = self.plan
        dtypes = self._fitting(name, *catalogue.numbers(name, plan.steps))
        if not dtypes:
            return
        try:
            exact, _ = catalogue.build(name, seed=plan.seed, target=plan.target, lr=plan.lr, steps=plan.steps)
        except Unsupported as error:
            self.tasks |= {(name, dtype): error for dtype in dtypes}
            return
        except ValueError as error:
            self.tasks |= {(name, dtype): Refused(str(error)) for dtype in dtypes}
            return
        for dtype in self._fitting(name, *catalogue.counted(exact)):
            self.tasks[name, dtype] = self._prepare(name, catalogue.cast(exact, dtype), dtype)

    def _fitting(self, name: str, floats: int, indices: int) -> list[str]:
        """Return the plan's dtypes in which the problem fits into memory. Record the reason for the others."""
        for dtype in self.plan.dtypes:
            try:
                memory.require(floats, indices, dtype, self.plan.memory)
            except Unsupported as error:
                self.tasks[name, dtype] = error
        return [dtype for dtype in self.plan.dtypes if (name, dtype) not in self.tasks]

    def _prepare(self, name: str, problem: Problem, dtype: str) -> PreparedProblem:
        self.folder = self.folder or folders.new("problems")
        folder = self.folder / f"{len(self.tasks)}-{dtype}"
        write_problem(problem, folder, name=name, seed=self.plan.seed, target=self.plan.target, dtype=dtype)
        digest = hashlib.sha256(f"{problem.lr!r} {problem.steps}".encode())
        for field_name in ARRAYS:
            array = getattr(problem, field_name)
            if array is not None:
                digest.update(array)
        n, d = problem.X.shape
        batch = n if problem.order is None else problem.order.shape[1]
        facts = {"n": n, "d": d, "k": problem.y[0].size, "batch": batch, "steps": problem.steps, "lr": problem.lr}
        coarse = TF32 if (dtype, self.plan.precision) == ("float32", "tf32") else 0.0
        printed = [] if coarse else published.checked(name, problem)  # what is printed is float32's
        also = (problem.steps // 2, *(one.update for one in printed))
        at = sorted({t for t in (*EARLY, *also) if 0 < t < problem.steps} | {problem.steps})
        facts |= {"dtype": dtype, "problem_hash": digest.hexdigest()[:16], **published.fact(printed)}
        return PreparedProblem(str(folder), truth(problem, at, coarse), facts)


def write_problem(problem: Problem, folder: Path, **made: Any) -> None:
    """Write a problem to a new folder, where `arrays.read` finds it.

    made: the arguments of `catalogue.made`, from which other hosts make it, and its dtype.
    """
    folder.mkdir()
    for name in ARRAYS:
        array = getattr(problem, name)
        if array is not None:
            np.save(folder / f"{name}.npy", array)
    (folder / "plan.json").write_text(json.dumps({"lr": problem.lr, "steps": problem.steps, "made": made}))


def mark_invalid(benchmark: BenchmarkFixture, reason: str) -> NoReturn:
    """Mark the row as INVALID wherever pytest-benchmark shows its rounds, and raise Invalid."""
    assert benchmark.stats is not None
    benchmark.stats.name = f"INVALID {benchmark.name}"
    raise Invalid(reason)
