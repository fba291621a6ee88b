"""The parent's side of a worker: start it with its environment, send requests, and turn answers into errors."""

import reprlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

import impls
from benchmarks.machine.roofline import Rates
from benchmarks.typed_json import printable
from benchmarks.worker import memory, messages
from benchmarks.worker.environment import environment, of_implementation, pinned
from benchmarks.worker.process import Member, Message, Process, exchange
from benchmarks.worker.workspace import Workspace
from impls.interface import Array, Unsupported

T = TypeVar("T")
R = TypeVar("R", bound=messages.RunResult)
TIMEOUT = 300.0  # seconds a case, unless --timeout says otherwise


class Refused(Exception):
    """This case has no time: the reason."""


class Invalid(Exception):
    """This case has a row that does not count: the reason."""


class Clock:
    """The seconds of workers' timed runs, set to 0 before each round: pytest-benchmark's timer."""

    def __init__(self) -> None:
        self.seconds = self.total = 0.0

    def zero(self) -> None:
        """Start a round."""
        self.seconds = 0.0

    def turn(self, seconds: float) -> None:
        """Add the seconds of a timed run."""
        self.seconds += seconds
        self.total += seconds

    def worker_seconds(self) -> float:
        """Return the clock's reading. It is a method so that the timer has a name in the JSON."""
        return self.seconds


@dataclass(frozen=True)
class Settings:
    """The environment of a worker's process.

    memory: its limit in bytes, or None. python: "" for this interpreter. install: how to add a {package} to another.
    profile: whether it is profiled on a GPU.
    """

    threads: int
    device: str = "cpu"
    precision: str = "highest"
    memory: int | None = None
    python: str = ""
    install: str = ""
    profile: bool = False


class Worker:
    """A process that holds one implementation. Raises what `_ask` raises if it cannot be loaded."""

    ranks = 1
    requests = 0
    context_s: float | None = None  # seconds of `open_device`
    began: float  # the time before its process was started
    elapsed = 0.0  # seconds of the last request by this process's clock
    folder = ""  # of the problem that it has
    members: Sequence[Member]
    cores: Sequence[int | list[int]]  # of ranks: a list for each

    def __init__(self, impl: str, settings: Settings, timeout: float, workspace: Workspace) -> None:
        self.began, self.threads, self.cores = time.monotonic(), settings.threads, (cores := pinned(settings.threads))
        self.members = [start_process(cores, settings, workspace, **of_implementation(impl))]
        self.load(impl, timeout)

    def load(self, impl: str, timeout: float) -> None:
        """Make the worker import the implementation. `loaded` is its answer."""
        self.deadline = time.monotonic() + timeout
        try:
            self.loaded = self._ask(messages.Loaded, "load", impl=impl)
        except BaseException:
            self.close()
            raise

    def source(self, impl: str) -> messages.Source:
        """Return the file that the implementation was loaded from."""
        return self._ask(messages.Source, "source", impl=impl)

    def bandwidth(self, device: str) -> Rates:
        """Measure the rates at which the framework's kernels read and multiply."""
        return self._ask(Rates, "bandwidth", device=device)

    def read(self, size: int) -> float:
        """Return the bytes a second at which the framework's kernel reads an array of `size` bytes."""
        return self._ask(messages.ReadRate, "read", size=size).bytes_per_s

    def open_device(self, device: str) -> None:
        """Let the implementation use a device for the first time. `context_s` is its time."""
        self.context_s = self._ask(messages.Opened, "open_device", device=device).seconds

    def prepare(self, folder: str, device: str) -> messages.Prepared:
        """Give the implementation the problem in a folder."""
        self.folder = folder
        return self._ask(messages.Prepared, "prepare", folder=folder, device=device)

    def run(self, start: Array, steps: int) -> messages.RunResult:
        """Run the descent once."""
        return self._shaped(start, self._ask(messages.RunResult, "descend", start=start.tolist(), steps=steps))

    def round(self, start: Array, elsewhere: Array, steps: int) -> messages.Round:
        """Run no steps from `elsewhere` and then `steps` from `start`."""
        starts = {"start": start.tolist(), "elsewhere": elsewhere.tolist()}
        return self._shaped(start, self._ask(messages.Round, "round", **starts, steps=steps))

    def grow(self, start: Array, steps: int, uncounted: int = 1) -> messages.Growth:
        """Time runs of no steps, half of them and all. `uncounted` pairs of warm-up runs precede each."""
        return self._ask(messages.Growth, "grow", start=start.tolist(), steps=steps, uncounted=uncounted)

    def busy(self, start: Array, steps: int, runs: int) -> messages.Busy:
        """Return CPU seconds per second over that many runs."""
        return self._ask(messages.Busy, "busy", start=start.tolist(), steps=steps, runs=runs)

    def profile(self) -> messages.Profiled:
        """Return what the GPU does in a run, by the framework's profiler. Later times of this process do not count."""
        return self._ask(messages.Profiled, "profile")

    def helper_seconds(self) -> float:
        """Return the CPU seconds so far of the processes that the worker has started on this host."""
        return sum(member.helper_seconds() for member in self.members if isinstance(member, Process))

    def settle(self) -> None:
        """Wait until the worker's threads on this host are asleep."""
        for member in self.members:
            if isinstance(member, Process):
                member.settle()

    def finish(self, event_runs: int) -> messages.Finished:
        """Return memory, threads and precision; event_runs: by the device's clock. Raises Refused for changed data."""
        return self._ask(messages.Finished, "finish", event_runs=event_runs)

    def _ask(self, kind: type[T], op: str, **fields: Any) -> T:
        """Send a request and return the answer. Wait until the deadline.

        Raises Unsupported with the implementation's reason. Raises Refused if it raises, breaks the contract, dies,
        hangs, or answers something else.
        """
        self.requests += 1
        before = self.began if op == "load" else time.monotonic()
        answers = exchange(self.members, {"number": self.requests, "op": op, **fields}, self.deadline)
        self.elapsed = time.monotonic() - before
        return kind(**self.merge([self._checked(kind, answer) for answer in answers]))

    def _checked(self, kind: type, answer: Message) -> Message:
        """Return the fields of an answer, or {"unsupported", "lost", "wrong" or "raised": reason}; {} for no answer."""
        for name in ("lost", "unsupported", "raised", "wrong"):
            if answer.get(name):
                reason = answer[name] if isinstance(answer[name], str) else reprlib.repr(answer[name])
                return {name: printable(reason)}
        try:
            return messages.check(kind, answer, self.elapsed) if answer else {}
        except ValueError as error:
            self.close()
            return {"lost": str(error)}

    def _shaped(self, start: Array, result: R) -> R:
        """Return a finished run. Raises Refused if its weights have another shape than the start."""
        if (shape := np.shape(result.weights)) != start.shape:
            self.close()
            raise Refused(f"its answer has weights of shape {shape}, w0 {start.shape}")
        return result

    def merge(self, answers: list[Message]) -> Message:
        """Return one answer for all members. Raises Unsupported or Refused."""
        (answer,) = answers
        if "unsupported" in answer:
            raise Unsupported(answer["unsupported"])
        if reason := answer.get("lost") or answer.get("wrong"):
            raise Refused(reason)
        if "raised" in answer:
            self.close()  # the device memory that it still holds must not affect the next case
            raise Refused(answer["raised"])
        return answer

    @property
    def alive(self) -> bool:
        """Return whether the worker can answer."""
        return all(member.alive for member in self.members)

    def close(self) -> None:
        """End the worker and everything that it has started."""
        for member in self.members:
            member.close()


def start_process(cores: list[int], settings: Settings, workspace: Workspace, **variables: str) -> Process:
    """Start a worker's process with its environment and further variables."""
    folder = workspace.new("worker")
    limit = {} if settings.memory is None else {memory.LIMIT_VARIABLE: str(settings.memory)}
    env = environment(settings.threads, settings.device, settings.precision, str(folder))
    if settings.python:  # with packages of its own
        env = {name: value for name, value in env.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    env |= {impls.INSTALL: settings.install} if settings.install else {}
    if settings.profile:  # XLA would profile another program than the timed one, without its CUDA graphs
        env["XLA_FLAGS"] = f"{env.get('XLA_FLAGS', '')} --xla_enable_command_buffers_during_profiling=true".strip()
    return Process(cores, env | limit | variables, folder, workspace, settings.python)
