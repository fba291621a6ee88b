"""The parent's side of a worker: start it with its environment set, ask it, and say what is wrong."""

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
    """This case has no time: the reason, in words."""


class Invalid(Exception):
    """This case has a row that must not be used: the reason, in words."""


class Clock:
    """The seconds that workers have spent inside timed runs: the timer that pytest-benchmark reads.

    It is set to 0 before each round, so that a round's seconds are what the worker said, to the last bit.
    """

    def __init__(self) -> None:
        self.seconds = self.total = 0.0

    def zero(self) -> None:
        """Begin a round."""
        self.seconds = 0.0

    def turn(self, seconds: float) -> None:
        """So long was a timed run."""
        self.seconds += seconds
        self.total += seconds

    def worker_seconds(self) -> float:
        """What the clock shows (a method, so that the timer has a name in the JSON)."""
        return self.seconds


class Worker:
    """A process of its own that holds one implementation, in so many bytes of memory at `most`.

    Raises what `ask` raises when it cannot be loaded.
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
        """Have the implementation imported; `loaded` is the answer."""
        self.deadline = time.monotonic() + timeout
        try:
            self.loaded = self.ask("load", impl=impl)
        except BaseException:
            self.close()
            raise

    def ask(self, op: str, **fields: Any) -> dict[str, Any]:
        """Send a request, wait for its answer until the deadline.

        Raises Unsupported with the implementation's reason; Refused when it raises, breaks the contract, dies or hangs.
        """
        request = json.dumps({"op": op, **fields}).encode() + b"\n"
        return self.judged(exchange(self.members, request, self.deadline))

    def judged(self, ends: list[Answer]) -> Answer:
        """The answer, of how the exchange has ended. Raises Unsupported, Refused."""
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
        """One run of the descent: what `server.WorkerServer.descend` answers, or `round` or `grow` of it."""
        return self.ask(op, start=start.tolist(), steps=steps)

    @property
    def alive(self) -> bool:
        """Whether it can still be asked."""
        return all(member.alive for member in self.members)

    def close(self) -> None:
        """End it and whatever it has started."""
        for member in self.members:
            member.close()


def started(cores: list[int], threads: int, device: str, precision: str, most: int | None, **more: str) -> Process:
    """A worker's process with its environment, and more of it; in so many bytes of memory at `most`."""
    folder = folders.new("worker")
    limit = {} if most is None else {memory.ALLOWED: str(most)}
    return Process(cores, environment(threads, device, precision, str(folder)) | limit | more, folder)
