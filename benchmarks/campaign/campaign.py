"""A campaign carries out a plan: it keeps the worker, opens each case and collects the outcomes."""

import contextlib
import math
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import Any, NoReturn

import numpy as np
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.campaign.plan import Case, Plan
from benchmarks.campaign.problem_store import ProblemStore
from benchmarks.campaign.record import INTERRUPTED, Outcome, Record, ScheduledBlock, Status
from benchmarks.campaign.until_decided import Costs, Question, choose
from benchmarks.distributed.ranks import Ranks, network_bytes
from benchmarks.machine import environments, gpu, load
from benchmarks.machine.environments import Environment
from benchmarks.timing.machine_limits import MachineLimits
from benchmarks.timing.measure import TimedCase, open_descent
from benchmarks.timing.prepared import PreparedProblem
from benchmarks.typed_json import WORDS_CHARACTERS, printable
from benchmarks.worker.client import Clock, Invalid, Refused, Settings, Worker
from benchmarks.worker.workspace import Workspace
from impls.interface import Array, Unsupported

ROUNDING_ROWS = 2_000  # of a step; from here on, rounding may hide missing rows
LIMITS_INTERVAL_S = 600.0  # measuring the machine's limits takes about 10 s
PACKAGES_CHANGED = (
    "the packages of {} changed since this campaign began; keep them as they are, and begin a new campaign"
)


@dataclass
class Campaign:
    """A plan in progress: its current worker, its problems, the machine's limits, and the outcome of each case."""

    plan: Plan
    clock: Clock = field(default_factory=Clock)
    workspace: Workspace = field(default_factory=Workspace)
    worker: Worker | None = None
    worker_key: tuple[object, ...] | None = None  # `Case.process_key` and the ranks
    unsupported: dict[tuple[str, ...], str] = field(default_factory=dict)
    no_device: dict[tuple[object, ...], str] = field(default_factory=dict)  # by process: why its device failed
    selected: dict[str, Case] = field(default_factory=dict)  # the cases that are to run, by name, in order
    cut: set[int] = field(default_factory=set)  # blocks without a case that is selected in another block
    done: dict[Case, Outcome] = field(default_factory=dict)
    checked: dict[str, Array] = field(default_factory=dict)  # by `Case.place`: final weights, once checked in full
    growing: set[str] = field(default_factory=set)  # `Case.place` of valid rows: their time grows with their steps
    exact: set[tuple[str, ...]] = field(default_factory=set)  # implementations, with their dtype, that do not round X
    record: Record = field(default_factory=Record)
    started: float = field(default_factory=time.monotonic)
    limits_at: float = -math.inf  # when the machine's limits were measured last
    before: load.Moment | None = None  # the system load when the current block began
    gpu_processes: int | None = None  # on the GPU when the block began, none of them this campaign's
    case_began: float = 0.0  # when the current case began, after its worker and its problem were ready
    interrupted: bool = False

    def __post_init__(self) -> None:
        """Begin without problems and limits."""
        self.problems = ProblemStore(self.plan, self.workspace)
        self.limits = MachineLimits(self.plan.timeout, self.workspace)

    def select(self, names: Collection[object]) -> None:
        """Select the cases with these names. A block is cut if it lacks a case that another block has."""
        self.selected = {str(case): case for case in self.plan.cases() if str(case) in names}
        places: dict[int, set[str]] = {}
        for case in self.selected.values():
            places.setdefault(case.block, set()).add(case.place)
        self.cut = {block for block, block_places in places.items() if block_places != set().union(*places.values())}

    def make_environments(self, report: Callable[[str], object]) -> None:
        """Make the environments of the cases; `report` gets lines. Raises ValueError for a failed or changed one."""
        labels = {case.environment for case in self.selected.values()}
        for environment in self.plan.environments:
            if environment.label in labels:
                if environment.requirements:
                    environments.make(environment, report)
                facts = environment.settings or environments.describe(environment.path)
                if self.record.environments.setdefault(environment.label, facts) != facts:
                    raise ValueError(PACKAGES_CHANGED.format(environment.label))

    def open(self, case: Case) -> TimedCase:
        """Return the case, verified and ready to be timed. Raises Unsupported or Refused."""
        place = (case.impl, case.environment, case.device)
        for key in (place, (*place, case.problem, case.dtype)):  # an earlier block may have shown it
            if key in self.unsupported:
                raise Unsupported(self.unsupported[key])
        worker = self._worker(case)  # before the problem, which an unsupported case does not need
        precision = self._environment(case.environment).precision or self.plan.precision
        task = self.task(case.problem, case.dtype, precision)
        self.case_began = time.monotonic()
        worker.deadline = self.case_began + self.plan.timeout
        try:
            weights = self.checked.get(case.place)
            descent = open_descent(worker, task, case.device, self.clock, self.plan.seconds, weights)
        except Unsupported as error:
            self.unsupported[*place, case.problem, case.dtype] = str(error)
            raise
        self.record.sources[case.impl_name] = worker.source(case.impl)  # again: a run may have imported more modules
        facts: dict[str, Any] = {"seed": self.plan.seed, "precision": precision}
        if self.plan.ranks:
            size = (task.facts[name] for name in ("d", "k", "dtype"))
            descent.facts["network_bytes"] = network_bytes(worker.ranks, *size)
        if case.device == "gpu" and self.gpu_processes is not None:
            facts["gpu_processes"] = self.gpu_processes
        descent.energy = self.plan.energy and case.device == "gpu"
        descent.profile = self._is_profiled(case)
        if self.plan.limits and not self.plan.ranks and case.device != "gpu" and descent.facts["step_reads"] == "X":
            settings = replace(self._settings(case.device), threads=descent.facts["threads"], memory=None)
            descent.read = self.limits.reading(settings, descent.facts)  # None for few bytes
        if self.plan.memory is not None:
            facts["memory_limit_bytes"] = self.plan.memory
        installed = self.record.environments.get(case.environment)
        if isinstance(installed, environments.Facts):
            facts |= {"python": installed.python, "packages": installed.digest}
        descent.facts |= case.row | facts
        is_exact = task.facts["batch"] < ROUNDING_ROWS and (*place, case.dtype) in self.exact
        rows_are_checked = case.place in self.checked or is_exact
        descent.rows_check = None if rows_are_checked else task.rows_check
        is_same = weights is not None and np.array_equal(weights, descent.iterates[-1].weights)
        descent.growth_shown = is_same and case.place in self.growing
        self.checked[case.place] = descent.iterates[-1].weights
        self.record.runs_s += descent.facts["prepare_s"] + descent.facts["first_s"]
        return descent

    def finish(self, case: Case, facts: dict[str, Any]) -> None:
        """Record the seconds of a timed case, from the facts of its row."""
        self.record.runs_s += facts["runs_s"]
        self.exact.add((case.impl, case.environment, case.device, case.dtype))
        if facts["valid"]:
            self.growing.add(case.place)
        self.record.cases_s[case.place] = time.monotonic() - self.case_began
        if self._is_profiled(case) and self.worker is not None:
            self.worker.close()  # the profiler may slow down the next case

    def _is_profiled(self, case: Case) -> bool:
        return self.plan.profile and case.device == "gpu" and not self.plan.ranks

    def enter(self, case: Case) -> None:
        """Record the system load when a block begins. Measure the machine's limits every LIMITS_INTERVAL_S."""
        if self.before is None:
            self.before = load.now()
            if "gpu" in self.plan.devices:
                self.gpu_processes = gpu.processes()
            if self.plan.limits and time.monotonic() - self.limits_at > LIMITS_INTERVAL_S:
                for device in self.plan.devices:
                    self.measure_limits(device, device, case.block)
                self.limits_at = time.monotonic()

    def measure_limits(self, name: str, device: str, block: int) -> None:
        """Measure a device's limits with the plan's threads, once a block, and keep them as `name`."""
        self.limits.measure(name, replace(self._settings(device), memory=None), block)

    def with_limits(self, facts: dict[str, Any]) -> dict[str, Any]:
        """Return a row's facts with the machine's limit beside them, if it was measured with the same settings."""
        most_read, settings = facts.pop("most_read", None), (self.plan.threads, self.plan.precision)
        environment = self._environment(facts.get("environment", ""))
        if (environment.threads or settings[0], environment.precision or settings[1]) != settings:
            return facts
        before = self.before if self.limits.rates else None
        others_share = None if before is None else load.between(facts["block"], before, load.now()).others
        return self.limits.beside(facts, most_read, others_share or 0.0)

    @contextlib.contextmanager
    def with_ranks(self, ranks: int) -> Iterator[None]:
        """Run cases as that many ranks with one thread each."""
        plan, self.plan = self.plan, replace(self.plan, ranks=ranks, threads=ranks)
        try:
            yield
        finally:
            self.plan = plan

    def gpu_notes(self) -> list[str]:
        """Return notes on the GPU for the end of the run, a line each."""
        if not any(case.device == "gpu" for case in self.done):
            return []
        users = f"other processes used the GPU ({self.gpu_processes})"
        shared = f"{users}, so times may be longer: stop them and measure again"
        return gpu.notes() + ([shared] if self.gpu_processes else [])

    def leave(self, block: int) -> None:
        """Record the system load of the block. End a worker that uses a GPU."""
        if self.before is not None:
            self.record.system_load.append(load.between(block, self.before, load.now()))
        self.before = None
        if self.worker is not None and "gpu" in self.plan.devices:  # the next block would count it as another's process
            self.worker.close()

    def has_time(self) -> bool:
        """Return whether one more block, as long as the longest so far, ends within the plan's minutes."""
        return max((block_load.seconds for block_load in self.record.system_load), default=0.0) <= self.seconds_left

    @property
    def seconds_left(self) -> float:
        """The seconds until the plan's minutes are over."""
        return self.started + 60 * self.plan.minutes - time.monotonic()

    def leave_out(self, block: list[Case], comparisons: int, decided: int, questions: list[Question]) -> list[Case]:
        """Return the cases of the next block that need not run, and record them. A resumed block keeps its record."""
        number, schedule = block[0].block, self.record.schedule
        left_out = next((scheduled.left_out for scheduled in schedule if scheduled.block == number), None)
        if left_out is None:
            failed = {case.place for case, outcome in self.done.items() if outcome.status is not Status.TIMED}
            costs = Costs(self.record.starts_s, self.record.cases_s)
            chosen = choose([case for case in block if case.place not in failed], questions, costs, self.seconds_left)
            left_out = sorted({case.place for case in block} - {case.place for case in chosen})
            after_s = time.monotonic() - self.started
            schedule.append(ScheduledBlock(number, after_s, comparisons, decided, left_out))
        return [case for case in block if case.place in left_out]

    def close(self) -> None:
        """End the workers and everything that they left behind. Remove the problems from the disk."""
        self.limits.close()
        if self.worker is not None:
            self.worker.close()
        self.worker = None
        self.problems.close()
        self.workspace.close()

    def snapshot(self) -> Record:
        """Return the record as it is now."""
        return replace(
            self.record,
            wall_s=time.monotonic() - self.started,
            timed_s=self.clock.total,
            orphans=[*self.record.orphans, *(printable(name, WORDS_CHARACTERS) for name in self.workspace.removed)],
            rates=self.limits.rates,
            failed_kernels=self.limits.failed,
        )

    def restore(self, record: Record) -> None:
        """Continue from a record that `snapshot` has returned."""
        self.record, self.limits.rates, self.limits.failed = record, record.rates, record.failed_kernels
        self.started, self.clock.total = time.monotonic() - record.wall_s, record.timed_s

    def summary(self) -> dict[str, Any]:
        """Return the campaign's part of the saved JSON, without its rows. `blocks` counts complete blocks."""
        unfinished = self.cut | {case.block for case in self.not_run}
        skipped = sorted({(case.name, case.device, reason) for case, reason in self.without_time(Status.SKIPPED)})
        record = asdict(self.snapshot())
        saved = ("orphans", "wall_s", "runs_s", "timed_s", "resumed", "reference_s", "system_load", "sources")
        optional = {"schedule": self.plan.until_decided, "environments": bool(self.record.environments)}
        return {
            "planned": len(self.selected),
            "seed": self.plan.seed,
            "threads": self.plan.threads,
            "precision": self.plan.precision,
            "memory_limit_bytes": self.plan.memory,
            "aa": ", ".join(sorted({case.impl_name for case in self.selected.values() if case.is_duplicate})),
            "blocks": len({case.block for case in self.selected.values()} - unfinished),
            "partial_blocks": sorted(unfinished & {case.block for case in self.done.keys() - self.not_run}),
            "interrupted": self.interrupted,
            **{name: record[name] for name in saved},
            "skipped": [dict(zip(("impl", "device", "reason"), row, strict=True)) for row in skipped],
            **{name: record[name] for name, is_saved in optional.items() if is_saved},
            "limits": self.limits.summary(),
            "refused": [{**case.row, "reason": reason} for case, reason in self.without_time(Status.REFUSED)],
        }

    @property
    def not_run(self) -> list[Case]:
        """Return the selected cases that did not come to an end."""
        return [case for case in self.selected.values() if self.done.get(case, INTERRUPTED) == INTERRUPTED]

    def without_time(self, status: Status) -> list[tuple[Case, str]]:
        """Return the cases of a status, each with its reason."""
        return [(case, outcome.reason) for case, outcome in self.done.items() if outcome.status is status]

    def start_worker(self, case: Case) -> Worker:
        """Start a worker, or ranks if the plan has them. Raises what they raise."""
        plan = self.plan
        if plan.ranks:
            hosts = plan.hosts, plan.remote_shell
            return Ranks(case.impl, plan.ranks, self._settings(case.device), plan.timeout, self.workspace, *hosts)
        return Worker(case.impl, self._settings(case.device, case.environment), plan.timeout, self.workspace)

    def _settings(self, device: str, label: str = "") -> Settings:
        """Return a worker's settings. Raises Refused if its environment has changed since the campaign began."""
        plan, environment = self.plan, self._environment(label)
        if environment.path:
            try:
                facts = environments.describe(environment.path)
            except ValueError as error:
                raise Refused(str(error)) from error
            if facts != self.record.environments.get(label, facts):
                raise Refused(PACKAGES_CHANGED.format(label))
        threads, precision = environment.threads or plan.threads, environment.precision or plan.precision
        profile = plan.profile and device == "gpu"
        return Settings(threads, device, precision, plan.memory, environment.path, environment.install, profile)

    def _environment(self, label: str) -> Environment:
        """Return the environment with this label; pytest's own for ""."""
        return next((entry for entry in self.plan.environments if entry.label == label), Environment(""))

    def _worker(self, case: Case) -> Worker:
        worker_key = (*case.process_key, self.plan.ranks)
        if worker_key in self.no_device:
            raise Refused(self.no_device[worker_key])
        if self.worker is not None and (self.worker_key != worker_key or not self.worker.alive):
            self.worker.close()
            self.worker = None
        if self.worker is None:
            start = time.monotonic()
            try:
                self.worker = self.start_worker(case)
                if case.device == "gpu" and not self.plan.ranks:
                    self._open_device(self.worker, worker_key)
            except Unsupported as error:
                self.unsupported[case.impl, case.environment, case.device] = str(error)
                raise
            except OSError as error:
                raise Refused(f"no worker could be started: {error.strerror or error}") from error
            self.worker_key = worker_key
            self.record.starts_s[case.process_name] = time.monotonic() - start
        if case.impl_name not in self.record.sources:
            self.record.sources[case.impl_name] = self.worker.source(case.impl)
        return self.worker

    def _open_device(self, worker: Worker, worker_key: tuple[object, ...]) -> None:
        """Let a worker use the GPU for the first time. Raises Unsupported, or Refused for all cases of its process."""
        try:
            worker.open_device("gpu")
        except Refused as error:
            self.no_device[worker_key] = f"cannot use the gpu: {error}"
            raise Refused(self.no_device[worker_key]) from error

    def task(self, name: str, dtype: str, precision: str = "") -> PreparedProblem:
        """Return a problem on disk, built when first needed, for a precision. Raises Unsupported or Refused."""
        start = time.monotonic()
        try:
            return self.problems.get(name, dtype, precision or self.plan.precision)
        finally:
            self.record.reference_s += time.monotonic() - start


def mark_invalid(benchmark: BenchmarkFixture, reason: str) -> NoReturn:
    """Mark the row as INVALID wherever pytest-benchmark shows its rounds, and raise Invalid."""
    assert benchmark.stats is not None
    benchmark.stats.name = f"INVALID {benchmark.name}"
    raise Invalid(reason)
