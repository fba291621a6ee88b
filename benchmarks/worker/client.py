"""The parent's side of a worker: start it with its environment, send requests, and turn answers into errors."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.worker import memory
from benchmarks.worker.environment import environment, pinned
from benchmarks.worker.process import Answer, Member, Process, exchange
from benchmarks.worker.workspace import Workspace
from impls.interface import Array, Unsupported

TIMEOUT = 300.0  # seconds a case, unless --timeout says otherwise


class Refused(Exception):
    """This case has no time: the reason."""


class Invalid(Exception):
    """This case has a row that does not count: the reason."""


class Clock:
    """The seconds that workers have spent inside timed runs: pytest-benchmark's timer.

    It is set to 0 before each round, so a round's seconds are exactly the worker's.
    """

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
    """The environment of a worker's process. memory: its limit in bytes, or None."""

    threads: int
    device: str = "cpu"
    precision: str = "highest"
    memory: int | None = None


class Worker:
    """A process that holds one implementation.

    Raises what `ask` raises if the implementation cannot be loaded.
    """

    ranks = 1
    members: Sequence[Member]
    cores: Sequence[int | list[int]]  # of ranks: a list for each

    def __init__(self, impl: str, settings: Settings, timeout: float, workspace: Workspace) -> None:
        self.threads, self.cores = settings.threads, (cores := pinned(settings.threads))
        self.members = [start_process(cores, settings, workspace)]
        self.load(impl, timeout)

    def load(self, impl: str, timeout: float) -> None:
        """Make the worker import the implementation. `loaded` is its answer."""
        self.deadline = time.monotonic() + timeout
        try:
            self.loaded = self.ask("load", impl=impl)
        except BaseException:
            self.close()
            raise

    def ask(self, op: str, **fields: Any) -> dict[str, Any]:
        """Send a request and return the answer. Wait until the deadline.

        Raises Unsupported with the implementation's reason. Raises Refused if it raises, breaks the contract, dies or
        hangs.
        """
        request = json.dumps({"op": op, **fields}).encode() + b"\n"
        return self.judged(exchange(self.members, request, self.deadline))

    def judged(self, ends: list[Answer]) -> Answer:
        """Return the answer of an exchange. Raises Unsupported, Refused."""
        (answer,) = ends
        if "unsupported" in answer:
            raise Unsupported(answer["unsupported"])
        if fault := answer.get("lost") or answer.pop("wrong", ""):
            raise Refused(fault)
        if "raised" in answer:
            self.close()  # what it has left behind, device memory above all, must not meet the next case
            raise Refused(answer["raised"])
        return answer

    def run(self, start: Array, steps: int, op: str = "descend") -> dict[str, Any]:
        """Run the descent once. `op` is `descend`, `round` or `grow` of `server.WorkerServer`."""
        return self.ask(op, start=start.tolist(), steps=steps)

    @property
    def alive(self) -> bool:
        """Whether the worker can answer."""
        return all(member.alive for member in self.members)

    def close(self) -> None:
        """End the worker and everything that it has started."""
        for member in self.members:
            member.close()


def start_process(cores: list[int], settings: Settings, workspace: Workspace, **more: str) -> Process:
    """Start a worker's process with its environment and the further variables `more`."""
    folder = workspace.new("worker")
    limit = {} if settings.memory is None else {memory.ALLOWED: str(settings.memory)}
    env = environment(settings.threads, settings.device, settings.precision, str(folder))
    return Process(cores, env | limit | more, folder, workspace)
