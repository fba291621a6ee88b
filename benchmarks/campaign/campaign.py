"""A campaign carries out a plan: it builds problems, keeps the worker and collects the outcome of each case."""

import contextlib
import hashlib
import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.campaign.outcome import INTERRUPTED, Outcome, Status
from benchmarks.campaign.plan import Case, Plan
from benchmarks.distributed.ranks import Ranks, network_bytes
from benchmarks.machine import bandwidth, gpu, load, roofline
from benchmarks.problems import catalogue, published
from benchmarks.problems.tables import check_dtype
from benchmarks.reference.solution import TF32, truth
from benchmarks.timing import limits, parity
from benchmarks.timing.measure import PreparedProblem, RowsCheck, TimedCase, open_descent
from benchmarks.worker import memory
from benchmarks.worker.client import Clock, Invalid, Refused, Settings, Worker
from benchmarks.worker.workspace import Workspace
from impls.interface import Problem, Unsupported

MANY, MARKED = 20_000, 300  # rows in a step above which rounding hides lost ones; rows of the extra check
EARLY = (1, 2, 3, 5, 8)  # updates after which the iterates are compared; the last one is added
STATE = ("runs_s", "reference_s", "system_load", "sources", "limits", "resumed", "left")
NO_MEMORY = "out of memory while the problem was made; give fewer rows or columns"
ARRAYS = ("X", "y", "w0", "order")  # a problem's fields that are files of their own


@dataclass
class Campaign:
    """A plan in progress: its current worker, its problems on disk, and the outcome of each case."""

    plan: Plan
    clock: Clock = field(default_factory=Clock)
    workspace: Workspace = field(default_factory=Workspace)
    folder: Path | None = None
    worker: Worker | None = None
    host: tuple[object, ...] | None = None
    tasks: dict[tuple[str, str], PreparedProblem | Exception] = field(default_factory=dict)
    unsupported: dict[tuple[str, ...], str] = field(default_factory=dict)
    no_device: dict[tuple[object, ...], str] = field(default_factory=dict)  # by host: why it could not use its device
    done: dict[Case, Outcome] = field(default_factory=dict)
    rows_checked: set[tuple[str, ...]] = field(default_factory=set)  # implementation, device, problem and dtype
    sources: dict[str, dict[str, Any]] = field(default_factory=dict)  # implementation to its file and what that says
    system_load: list[dict[str, Any]] = field(default_factory=list)  # what the machine did besides, block by block
    limits: dict[str, dict[int, dict[str, Any]]] = field(default_factory=dict)  # by device and block, what it could do
    started: float = field(default_factory=time.monotonic)
    selected: dict[str, Case] = field(default_factory=dict)  # the cases that are to run, by name, in order
    interrupted: bool = False
    resumed: list[dict[str, Any]] = field(default_factory=list)  # when, and with how many finished cases
    reference_s: float = 0.0  # seconds in which problems and their truth were made
    left: list[str] = field(default_factory=list)  # what had to be removed in the processes before this one
    runs_s: float = 0.0  # seconds in workers' prepare, first and timed runs
    gpu_processes: int | None = None  # that computed on the GPU when the block of the moment began: none is ours
    before: dict[str, Any] | None = None  # the machine when the block of the moment began

    def open(self, case: Case) -> TimedCase:
        """Return the case, verified and ready to be timed. Raises Unsupported or Refused."""
        place = (case.impl, case.device)
        for known in (place, (*place, case.problem, case.dtype)):  # what was asked in one block is not asked again
            if known in self.unsupported:
                raise Unsupported(self.unsupported[known])
        worker = self._worker(case)  # first: who cannot run here needs no problem
        task = self.task(case.problem, case.dtype)
        worker.deadline = time.monotonic() + self.plan.timeout
        try:
            descent = open_descent(worker, task, case.device, self.clock, self.plan.seconds)
        except Unsupported as error:
            self.unsupported[*place, case.problem, case.dtype] = str(error)
            raise
        self.sources[case.original] = vars(worker.source(case.impl))  # again: a run may have imported more modules
        asked: dict[str, Any] = {"seed": self.plan.seed, "precision": self.plan.precision}
        if self.plan.ranks:
            descent.facts["network_bytes"] = network_bytes(
                worker.ranks, *(task.facts[name] for name in ("d", "k", "dtype"))
            )
        if case.device == "gpu" and self.gpu_processes is not None:
            asked["gpu_processes"] = self.gpu_processes
        descent.energy = self.plan.energy and case.device == "gpu"
        if self.plan.memory is not None:
            asked["memory_limit_bytes"] = self.plan.memory
        descent.facts |= case.row | asked
        key = (*place, case.problem, case.dtype)
        descent.rows_check = task.rows_check if key not in self.rows_checked else None
        self.rows_checked.add(key)
        self.runs_s += descent.facts["prepare_s"] + descent.facts["first_s"]
        return descent

    def enter(self, case: Case) -> None:
        """Record the system load when a block begins, and measure the machine's limits."""
        if self.before is None:
            self.before = load.now() | {"block": case.block}
            if "gpu" in self.plan.devices:
                self.gpu_processes = gpu.processes()
            for device in self.plan.devices if self.plan.limits else []:
                self.measure_limits(device, device, case.block)

    def measure_limits(self, name: str, device: str, block: int) -> None:
        """Measure once a block what a device can do with the plan's threads. `name` is the key in `limits`."""
        if block not in self.limits.setdefault(name, {}):
            settings = replace(self._settings(device), memory=None)
            self.limits[name][block] = limits.measure(settings, self.plan.timeout, self.workspace)

    def with_limits(self, facts: dict[str, Any]) -> dict[str, Any]:
        """Return a row's facts with the machine's limit beside them. A step that is too fast for it is not valid."""
        near = roofline.row_facts(facts, self.limits.get(facts["device"], {}).get(facts["block"], {}))
        faults = [*filter(None, [facts["reason"]]), *parity.above_limit(near)]
        return facts | near | {"valid": not faults, "reason": "; ".join(faults)}

    @contextlib.contextmanager
    def with_ranks(self, ranks: int) -> Iterator[None]:
        """Run cases as that many ranks with one thread each."""
        plan, self.plan = self.plan, replace(self.plan, ranks=ranks, threads=ranks)
        try:
            yield
        finally:
            self.plan = plan

    def gpu_notes(self) -> list[str]:
        """Return what is to be known of the GPU beside the rows, a line each."""
        if not any(case.device == "gpu" for case in self.done):
            return []
        shared = f"other processes computed on the GPU ({self.gpu_processes}): times are longer for them; end them"
        return gpu.notes() + ([shared] if self.gpu_processes else [])

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
        """End the worker and everything that workers left behind. Remove the problems from the disk."""
        if self.worker is not None:
            self.worker.close()
        if self.folder is not None:
            self.workspace.remove(self.folder)
        self.worker = self.folder = None
        self.workspace.close()

    def state(self) -> dict[str, Any]:
        """Return what must outlive the process besides the finished cases. Seconds exclude the gap between two runs."""
        state = {name: getattr(self, name) for name in STATE} | {"left": self.left + self.workspace.removed}
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
        """Return what the saved JSON says of the campaign besides its rows. `blocks` counts complete ones."""
        ended = {case for case, outcome in self.done.items() if outcome != INTERRUPTED}
        unfinished = {case.block for case in self.selected.values() if case not in ended}
        skipped = sorted({(case.name, case.device, reason) for case, reason in self.without_time(Status.SKIPPED)})
        return {
            "planned": len(self.selected),
            "seed": self.plan.seed,
            "threads": self.plan.threads,
            "precision": self.plan.precision,
            "memory_limit_bytes": self.plan.memory,
            "aa": next((case.original for case in self.selected.values() if case.again), ""),
            "blocks": len({case.block for case in self.selected.values()} - unfinished),
            "partial_blocks": sorted(unfinished & {case.block for case in ended}),
            "interrupted": self.interrupted,
            "orphans": self.left + self.workspace.removed,
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
            hosts = plan.hosts, plan.remote_shell
            return Ranks(case.impl, plan.ranks, self._settings(case.device), plan.timeout, self.workspace, *hosts)
        return Worker(case.impl, self._settings(case.device), plan.timeout, self.workspace)

    def _settings(self, device: str) -> Settings:
        return Settings(self.plan.threads, device, self.plan.precision, self.plan.memory)

    def _worker(self, case: Case) -> Worker:
        host = (*case.host, self.plan.ranks)
        if host in self.no_device:
            raise Refused(self.no_device[host])
        if self.worker is not None and (self.host != host or not self.worker.alive):
            self.worker.close()
            self.worker = None
        if self.worker is None:
            try:
                self.worker = self.start_worker(case)
                if case.device == "gpu" and not self.plan.ranks:
                    self._open_device(self.worker, host)
            except Unsupported as error:
                self.unsupported[case.impl, case.device] = str(error)
                raise
            self.host = host
        if case.original not in self.sources:
            self.sources[case.original] = vars(self.worker.source(case.impl))
        return self.worker

    def _open_device(self, worker: Worker, host: tuple[object, ...]) -> None:
        """Let a worker use the GPU for the first time. Raises Unsupported, or Refused for all cases of its host."""
        try:
            worker.open_device("gpu")
        except Refused as error:
            self.no_device[host] = f"cannot use the gpu: {error}"
            raise Refused(self.no_device[host]) from error

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
            exact, data = catalogue.build(
                name, seed=plan.seed, target=plan.target, lr=plan.lr, steps=plan.steps, reading=plan.reading
            )
        except Unsupported as error:
            self.tasks |= {(name, dtype): error for dtype in dtypes}
            return
        except ValueError as error:
            self.tasks |= {(name, dtype): Refused(str(error)) for dtype in dtypes}
            return
        except MemoryError:
            self.tasks |= {(name, dtype): Refused(NO_MEMORY) for dtype in dtypes}
            return
        for dtype in self._fitting(name, *catalogue.counted(exact)):
            try:
                check_dtype(catalogue.parse(name)[0], exact.y, data.targets, dtype)
                self.tasks[name, dtype] = self._prepare(name, catalogue.cast(exact, dtype), dtype)
            except ValueError as error:
                self.tasks[name, dtype] = Refused(str(error))
            except MemoryError:
                self.tasks[name, dtype] = Refused(NO_MEMORY)

    def _fitting(self, name: str, floats: int, indices: int) -> list[str]:
        """Return the plan's dtypes in which the problem fits into memory. Record the reason for the others."""
        for dtype in self.plan.dtypes:
            try:
                memory.require(floats, indices, dtype, self.plan.memory)
            except Unsupported as error:
                self.tasks[name, dtype] = error
        return [dtype for dtype in self.plan.dtypes if (name, dtype) not in self.tasks]

    def _prepare(self, name: str, problem: Problem, dtype: str) -> PreparedProblem:
        self.folder = self.folder or self.workspace.new("problems")
        folder = self.folder / f"{len(self.tasks)}-{dtype}"
        recipe = {
            "name": name,
            "seed": self.plan.seed,
            "target": self.plan.target,
            "steps": self.plan.steps,
            "reading": asdict(self.plan.reading),
        }
        write_problem(problem, folder, **recipe, dtype=dtype)
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
        here = len(self.plan.hosts) < 2  # other hosts make a problem from its recipe, and this one has none
        rows = write_rows_check(problem, folder, coarse) if dtype == "float32" and batch >= MANY and here else None
        return PreparedProblem(str(folder), truth(problem, at, coarse), facts, rows)


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


def write_rows_check(problem: Problem, folder: Path, coarse: float) -> RowsCheck:
    """Write a second problem over the same X, in which a missing row or a rounded X shows at any n.

    From w = 0, with y = +-1 in a few random rows and 0 in the others, one update with lr = n k / 2 gives the sum of
    these rows with their signs. That sum is nearly exact in float32. The loss of other rows does not hide in rounding.
    """
    rng = np.random.default_rng()  # unseeded: an implementation cannot know the rows
    rows = np.arange(len(problem.X)) if problem.order is None else problem.order[0]
    chosen = rng.choice(rows, min(MARKED, len(rows)), replace=False)
    y = np.zeros_like(problem.y)
    y[chosen] = rng.choice([-1, 1], y[chosen].shape)
    order = None if problem.order is None else problem.order[:1]
    lr = len(rows) * y[0].size / 2
    rows_folder = folder / "rows"
    write_problem(Problem(problem.X, y, np.zeros_like(problem.w0), lr, 1, order), rows_folder)
    (rows_folder / "X.npy").unlink()
    (rows_folder / "X.npy").hardlink_to(folder / "X.npy")  # memory and disk hold it once
    marked, signs = problem.X[chosen].astype(np.float64), y[chosen].astype(np.float64)
    rounding = 2 * (len(chosen) + 8) * float(np.finfo(np.float32).eps) + coarse
    sizes = np.abs(marked).sum(axis=0)
    tolerance = rounding * (sizes if y.ndim == 1 else np.repeat(sizes[:, None], y.shape[1], axis=1))
    return RowsCheck(str(rows_folder), marked.T @ signs, tolerance)


def mark_invalid(benchmark: BenchmarkFixture, reason: str) -> NoReturn:
    """Mark the row as INVALID wherever pytest-benchmark shows its rounds, and raise Invalid."""
    assert benchmark.stats is not None
    benchmark.stats.name = f"INVALID {benchmark.name}"
    raise Invalid(reason)
