"""The parent's side of a worker: start it with its environment, send requests, and turn answers into errors."""

import json
import time
from collections.abc import Sequence
from typing import Any

from benchmarks.worker import folders, memory
from benchmarks.worker.environment import environment, pinned
from benchmarks.worker.process import Answer, Member, Process, exchange
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


class Worker:
    """A process that holds one implementation, with at most `most` bytes of memory.

    Raises what `ask` raises if the implementation cannot be loaded.
    """

    ranks = 1
    members: Sequence[Member]
    cores: Sequence[int | list[int]]  # of ranks: a list for each

    def __init__(
        self, impl: str, threads: int, device: str, precision: str, timeout: float, most: int | None = None
    ) -> None:
        self.threads, self.cores = threads, (cores := pinned(threads))
        self.members = [started(cores, threads, device, precision, most)]
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


def started(cores: list[int], threads: int, device: str, precision: str, most: int | None, **more: str) -> Process:
    """Start a worker's process with its environment and further variables, with at most `most` bytes of memory."""
    folder = folders.new("worker")
    limit = {} if most is None else {memory.ALLOWED: str(most)}
    return Process(cores, environment(threads, device, precision, str(folder)) | limit | more, folder)
