"""A campaign carries out a plan: it builds problems, keeps the worker and collects the outcome of each case."""

import contextlib
import functools
import math
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, NoReturn

from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.campaign.outcome import INTERRUPTED, Outcome, Status
from benchmarks.campaign.plan import Case, Plan
from benchmarks.campaign.schedule import Costs, Question, choose
from benchmarks.distributed.ranks import Ranks, network_bytes
from benchmarks.machine import bandwidth, environments, gpu, load, roofline
from benchmarks.machine.environments import Environment
from benchmarks.problems import catalogue
from benchmarks.problems.tables import check_dtype
from benchmarks.timing import limits, parity
from benchmarks.timing.limits import Reader
from benchmarks.timing.measure import TimedCase, open_descent
from benchmarks.timing.prepared import PreparedProblem, prepare_problem
from benchmarks.worker import memory
from benchmarks.worker.client import Clock, Invalid, Refused, Settings, Worker
from benchmarks.worker.messages import REASON, printable
from benchmarks.worker.workspace import Workspace, remove_tree
from impls.interface import Array, Problem, Unsupported

MANY = 2_000  # rows in a step above which rounding may hide lost ones
LIMITS_EVERY = 600.0  # seconds: measuring the machine's limits takes about 10
STATE = (
    "runs_s",
    "reference_s",
    "system_load",
    "sources",
    "limits",
    "resumed",
    "left",
    "starts_s",
    "cases_s",
    "schedule",
    "environments",
)
CHANGED = "the packages of {} changed since this campaign began; keep them as they are, and begin a new campaign"
NO_MEMORY = "out of memory while the problem was made; give fewer rows or columns"
NO_ROOM = "the problem cannot be written to the temporary folder: {}; free some space, or set TMPDIR to another folder"


@dataclass
class Campaign:
    """A plan in progress: its current worker, its problems on disk, and the outcome of each case."""

    plan: Plan
    clock: Clock = field(default_factory=Clock)
    workspace: Workspace = field(default_factory=Workspace)
    folder: Path | None = None
    worker: Worker | None = None
    host: tuple[object, ...] | None = None
    tasks: dict[tuple[str, str, str], PreparedProblem | Unsupported | Refused] = field(default_factory=dict)
    unsupported: dict[tuple[str, ...], str] = field(default_factory=dict)
    no_device: dict[tuple[object, ...], str] = field(default_factory=dict)  # by host: why it could not use its device
    done: dict[Case, Outcome] = field(default_factory=dict)
    checked: dict[str, Array] = field(default_factory=dict)  # by `Case.place`: final weights, once checked in full
    exact: set[tuple[str, ...]] = field(default_factory=set)  # implementations, with their dtype, that do not round X
    sources: dict[str, dict[str, Any]] = field(default_factory=dict)  # implementation to its file and what that says
    system_load: list[dict[str, Any]] = field(default_factory=list)  # what the machine did besides, block by block
    limits: dict[str, dict[int, dict[str, Any]]] = field(default_factory=dict)  # by device and block, what it could do
    limits_at: float = -math.inf  # when they were measured last
    readers: dict[int, Reader] = field(default_factory=dict)  # by number of threads
    started: float = field(default_factory=time.monotonic)
    selected: dict[str, Case] = field(default_factory=dict)  # the cases that are to run, by name, in order
    cut: set[int] = field(default_factory=set)  # blocks without a case that is selected in another block
    interrupted: bool = False
    resumed: list[dict[str, Any]] = field(default_factory=list)  # when, and with how many finished cases
    reference_s: float = 0.0  # seconds in which problems and their truth were made
    left: list[str] = field(default_factory=list)  # what had to be removed in the processes before this one
    runs_s: float = 0.0  # seconds in workers' prepare, first and timed runs
    starts_s: dict[str, float] = field(default_factory=dict)  # seconds of the last start, by `Case.process_name`
    cases_s: dict[str, float] = field(default_factory=dict)  # seconds of the last time of each case, by `Case.place`
    case_began: float = 0.0  # when the case of the moment began, once its worker and its problem were there
    schedule: list[dict[str, Any]] = field(default_factory=list)  # with --until-decided: what each block left out
    environments: dict[str, dict[str, Any]] = field(default_factory=dict)  # by label: threads, or `environments.Facts`
    gpu_processes: int | None = None  # that computed on the GPU when the block of the moment began: none is ours
    before: dict[str, Any] | None = None  # the machine when the block of the moment began

    def select(self, names: Collection[object]) -> None:
        """Run only these cases. A block that lacks a case of another block is cut; one case less in all is none."""
        self.selected = {str(case): case for case in self.plan.cases() if str(case) in names}
        places: dict[int, set[str]] = {}
        for case in self.selected.values():
            places.setdefault(case.block, set()).add(case.place)
        self.cut = {block for block, own in places.items() if own != set().union(*places.values())}

    def make_environments(self, report: Callable[[str], object]) -> None:
        """Make the environments of the cases; `report` gets lines. Raises ValueError for a failed or changed one."""
        needed = {case.environment for case in self.selected.values()}
        for environment in self.plan.environments:
            if environment.label in needed:
                if environment.requirements:
                    environments.make(environment, report)
                facts = environment.settings or describe(environment)
                if self.environments.setdefault(environment.label, facts) != facts:
                    raise ValueError(CHANGED.format(environment.label))

    def open(self, case: Case) -> TimedCase:
        """Return the case, verified and ready to be timed. Raises Unsupported or Refused."""
        place = (case.impl, case.environment, case.device)
        for known in (place, (*place, case.problem, case.dtype)):  # what was asked in one block is not asked again
            if known in self.unsupported:
                raise Unsupported(self.unsupported[known])
        worker = self._worker(case)  # first: who cannot run here needs no problem
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
        self.sources[case.original] = vars(worker.source(case.impl))  # again: a run may have imported more modules
        asked: dict[str, Any] = {"seed": self.plan.seed, "precision": precision}
        if self.plan.ranks:
            descent.facts["network_bytes"] = network_bytes(
                worker.ranks, *(task.facts[name] for name in ("d", "k", "dtype"))
            )
        if case.device == "gpu" and self.gpu_processes is not None:
            asked["gpu_processes"] = self.gpu_processes
        descent.energy = self.plan.energy and case.device == "gpu"
        descent.profile = self._is_profiled(case)
        descent.read = self._reader(case, descent.facts)
        if self.plan.memory is not None:
            asked["memory_limit_bytes"] = self.plan.memory
        facts = self.environments.get(case.environment, {})
        if "digest" in facts:
            asked |= {"python": facts["python"], "packages": facts["digest"]}
        descent.facts |= case.row | asked
        seen = case.place in self.checked or (task.facts["batch"] < MANY and (*place, case.dtype) in self.exact)
        descent.rows_check = None if seen else task.rows_check
        self.checked[case.place] = descent.iterates[-1].weights
        self.runs_s += descent.facts["prepare_s"] + descent.facts["first_s"]
        return descent

    def _reader(self, case: Case, facts: dict[str, Any]) -> Callable[[], float | None] | None:
        """Return what reads as many bytes as the case does. None for few bytes, ranks, and on a GPU."""
        if not self.plan.limits or self.plan.ranks or case.device == "gpu" or facts["step_reads"] != "X":
            return None
        size = int(roofline.least(facts).shared_bytes)
        if size < limits.READ_FROM:
            return None
        settings = replace(self._settings(case.device), threads=facts["threads"], memory=None)
        if settings.threads not in self.readers:
            self.readers[settings.threads] = Reader(settings, self.plan.timeout, self.workspace)
        reader = self.readers[settings.threads]
        return lambda: reader.bytes_per_s(size)

    def finish(self, case: Case, facts: dict[str, Any]) -> None:
        """Count the seconds of a case that has been timed. facts: of its row."""
        self.runs_s += facts["runs_s"]
        self.exact.add((case.impl, case.environment, case.device, case.dtype))
        self.cases_s[case.place] = time.monotonic() - self.case_began
        if self._is_profiled(case) and self.worker is not None:
            self.worker.close()  # a profiler that has been at work may slow down the next case

    def _is_profiled(self, case: Case) -> bool:
        return self.plan.profile and case.device == "gpu" and not self.plan.ranks

    def enter(self, case: Case) -> None:
        """Record the system load when a block begins. Measure the machine's limits, if that was LIMITS_EVERY ago."""
        if self.before is None:
            self.before = load.now() | {"block": case.block}
            if "gpu" in self.plan.devices:
                self.gpu_processes = gpu.processes()
            if self.plan.limits and time.monotonic() - self.limits_at > LIMITS_EVERY:
                for device in self.plan.devices:
                    self.measure_limits(device, device, case.block)
                self.limits_at = time.monotonic()

    def measure_limits(self, name: str, device: str, block: int) -> None:
        """Measure once a block what a device can do with the plan's threads. `name` is the key in `limits`."""
        if block not in self.limits.setdefault(name, {}):
            settings = replace(self._settings(device), memory=None)
            self.limits[name][block] = limits.measure(settings, self.plan.timeout, self.workspace)

    def with_limits(self, facts: dict[str, Any]) -> dict[str, Any]:
        """Return a row's facts with the machine's limit beside them. A step that is too fast for it is not valid."""
        own = self.plan.threads, self.plan.precision  # what the limits were measured with
        others = [
            one.label for one in self.plan.environments if (one.threads or own[0], one.precision or own[1]) != own
        ]
        of_blocks = {} if facts.get("environment") in others else self.limits.get(facts["device"], {})
        measured = [block for block in of_blocks if block <= facts["block"]]
        most = {"read_bytes_per_s": facts.pop("most_read", None)}  # load only makes a limit too low
        near = roofline.row_facts(facts, of_blocks[max(measured)] if measured else {})
        complete = [measured for measured in of_blocks.values() if "levels" in measured]
        highest = roofline.row_facts(facts | most, functools.reduce(bandwidth.better, complete, {}))
        faults = [*filter(None, [facts["reason"]]), *parity.above_limit(highest)]
        return facts | near | {"valid": not faults, "reason": printable("; ".join(faults), REASON)}

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
        shared = (
            f"other processes used the GPU ({self.gpu_processes}), so times may be longer: stop them and measure again"
        )
        return gpu.notes() + ([shared] if self.gpu_processes else [])

    def leave(self) -> None:
        """Record what else the machine did during the block."""
        if self.before is not None:
            self.system_load.append(load.between(self.before, load.now()))
        self.before = None

    def has_time(self) -> bool:
        """Return whether one more block, as long as the longest so far, ends within the plan's minutes."""
        longest = max((float(passed["seconds"]) for passed in self.system_load), default=0.0)
        return longest <= self.seconds_left

    @property
    def seconds_left(self) -> float:
        """The seconds until the plan's minutes are over."""
        return self.started + 60 * self.plan.minutes - time.monotonic()

    def leave_out(self, block: list[Case], look: dict[str, Any], questions: list[Question]) -> list[Case]:
        """Return the cases of the next block that need not run, as before if resumed. Record them with the `look`."""
        number = block[0].block
        known = next((entry["left_out"] for entry in self.schedule if entry["block"] == number), None)
        if known is None:
            failed = {case.place for case, outcome in self.done.items() if outcome.status is not Status.TIMED}
            costs = Costs(self.starts_s, self.cases_s)
            chosen = choose([case for case in block if case.place not in failed], questions, costs, self.seconds_left)
            known = sorted({case.place for case in block} - {case.place for case in chosen})
            after_s = time.monotonic() - self.started
            self.schedule.append({"block": number, "after_s": after_s, **look, "left_out": known})
        return [case for case in block if case.place in known]

    def close(self) -> None:
        """End the workers and everything that they left behind. Remove the problems from the disk."""
        for reader in self.readers.values():
            reader.close()
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
        """Continue from such a state, read from JSON. Raises an error if it is none."""
        for name, now in self.state().items():
            value: Any = state.get(name)
            is_time = type(now) is float
            if not (type(value) in (int, float) and 0 <= value < 1e12 if is_time else type(value) is type(now)):
                raise ValueError(f"its {name} is {value!r:.80}")
        for name in STATE:
            setattr(self, name, state[name])
        self.limits = {
            device: {int(block): measured for block, measured in blocks.items()}
            for device, blocks in self.limits.items()
        }
        self.started, self.clock.total = time.monotonic() - state["wall_s"], state["timed_s"]

    def summary(self) -> dict[str, Any]:
        """Return what the saved JSON says of the campaign besides its rows. `blocks` counts complete ones."""
        unfinished = self.cut | {case.block for case in self.not_run}
        skipped = sorted({(case.name, case.device, reason) for case, reason in self.without_time(Status.SKIPPED)})
        return {
            "planned": len(self.selected),
            "seed": self.plan.seed,
            "threads": self.plan.threads,
            "precision": self.plan.precision,
            "memory_limit_bytes": self.plan.memory,
            "aa": ", ".join(sorted({case.original for case in self.selected.values() if case.again})),
            "blocks": len({case.block for case in self.selected.values()} - unfinished),
            "partial_blocks": sorted(unfinished & {case.block for case in self.done.keys() - self.not_run}),
            "interrupted": self.interrupted,
            "orphans": self.left + self.workspace.removed,
            "wall_s": time.monotonic() - self.started,
            "runs_s": self.runs_s,
            "timed_s": self.clock.total,
            "resumed": self.resumed,
            "reference_s": self.reference_s,
            "skipped": [dict(zip(("impl", "device", "reason"), row, strict=True)) for row in skipped],
            "system_load": self.system_load,
            **({"schedule": self.schedule} if self.plan.until_decided else {}),
            **({"environments": self.environments} if self.environments else {}),
            "sources": self.sources,
            "limits": {device: bandwidth.typical([*blocks.values()]) for device, blocks in self.limits.items()},
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
                facts = describe(environment)
            except ValueError as error:
                raise Refused(str(error)) from error
            if facts != self.environments.get(label, facts):
                raise Refused(CHANGED.format(label))
        threads, precision = environment.threads or plan.threads, environment.precision or plan.precision
        return Settings(threads, device, precision, plan.memory, environment.path)

    def _environment(self, label: str) -> Environment:
        """Return the environment of that label; that of pytest for ""."""
        return next((one for one in self.plan.environments if one.label == label), Environment(""))

    def _worker(self, case: Case) -> Worker:
        host = (*case.host, self.plan.ranks)
        if host in self.no_device:
            raise Refused(self.no_device[host])
        if self.worker is not None and (self.host != host or not self.worker.alive):
            self.worker.close()
            self.worker = None
        if self.worker is None:
            start = time.monotonic()
            try:
                self.worker = self.start_worker(case)
                if case.device == "gpu" and not self.plan.ranks:
                    self._open_device(self.worker, host)
            except Unsupported as error:
                self.unsupported[case.impl, case.environment, case.device] = str(error)
                raise
            except OSError as error:
                raise Refused(f"no worker could be started: {error.strerror or error}") from error
            self.host = host
            self.starts_s[case.process_name] = time.monotonic() - start
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

    def task(self, name: str, dtype: str, precision: str = "") -> PreparedProblem:
        """Return a problem on disk, built when first needed, for a precision. Raises Unsupported or Refused."""
        precision = precision or self.plan.precision
        if (name, dtype, precision) not in self.tasks:
            start = time.monotonic()
            self._build(name, precision)
            self.reference_s += time.monotonic() - start
        task = self.tasks[name, dtype, precision]
        if isinstance(task, Exception):
            raise task
        return task

    def _build(self, name: str, precision: str) -> None:
        """Build a problem in the dtypes that fit, write it for the workers, and compute its reference solution."""
        plan = self.plan
        dtypes = self._fitting(name, precision, *catalogue.numbers(name, plan.steps))
        if not dtypes:
            return
        try:
            exact, data = catalogue.build(
                name, seed=plan.seed, target=plan.target, lr=plan.lr, steps=plan.steps, reading=plan.reading
            )
        except (Unsupported, ValueError, MemoryError) as error:
            self.tasks |= {(name, dtype, precision): no_problem(error) for dtype in dtypes}
            return
        for dtype in self._fitting(name, precision, *catalogue.counted(exact)):
            try:
                check_dtype(catalogue.parse(name)[0], exact.y, data.targets, catalogue.host_dtype(dtype))
                self.tasks[name, dtype, precision] = self._prepare(name, catalogue.cast(exact, dtype), dtype, precision)
            except (ValueError, MemoryError, OSError) as error:
                self.tasks[name, dtype, precision] = no_problem(error)

    def _fitting(self, name: str, precision: str, floats: int, indices: int) -> list[str]:
        """Return the plan's dtypes in which the problem fits into memory. Record the reason for the others."""
        for dtype in self.plan.dtypes:
            try:
                memory.require(floats, indices, catalogue.host_dtype(dtype), self.plan.memory)
            except Unsupported as error:
                self.tasks[name, dtype, precision] = error
        return [dtype for dtype in self.plan.dtypes if (name, dtype, precision) not in self.tasks]

    def _prepare(self, name: str, problem: Problem, dtype: str, precision: str) -> PreparedProblem:
        plan, made = self.plan, None
        if len(plan.hosts) > 1:  # other hosts make a problem from its recipe, and have no check of rows
            recipe = {"name": name, "seed": plan.seed, "target": plan.target, "steps": plan.steps}
            made = recipe | {"reading": asdict(plan.reading)}
        self.folder = self.folder or self.workspace.new("problems")
        folder = self.folder / f"{len(self.tasks)}-{dtype}"
        try:
            return prepare_problem(name, problem, folder, precision=precision, made=made)
        except OSError:
            remove_tree(folder)  # its half would take the room of the next one
            raise


def no_problem(error: Exception) -> Unsupported | Refused:
    """Return the error of the cases whose problem could not be made or written, from the error of the attempt."""
    if isinstance(error, Unsupported):
        return error
    if isinstance(error, MemoryError):
        return Refused(NO_MEMORY)
    return Refused(NO_ROOM.format(error.strerror or error) if isinstance(error, OSError) else str(error))


def describe(environment: Environment) -> dict[str, Any]:
    """Return the version and the packages of an environment. Raises ValueError if it cannot run workers."""
    return asdict(environments.describe(environment.path))


def mark_invalid(benchmark: BenchmarkFixture, reason: str) -> NoReturn:
    """Mark the row as INVALID wherever pytest-benchmark shows its rounds, and raise Invalid."""
    assert benchmark.stats is not None
    benchmark.stats.name = f"INVALID {benchmark.name}"
    raise Invalid(reason)
