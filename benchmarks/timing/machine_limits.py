"""The machine's limits: rates of reading and computing, measured in some blocks and beside the rounds of a case."""

import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import asdict
from functools import reduce
from typing import Any

from benchmarks.machine import roofline
from benchmarks.machine.bandwidth import better, most_read, typical
from benchmarks.machine.roofline import Rates
from benchmarks.timing import parity
from benchmarks.typed_json import REASON_CHARACTERS, printable
from benchmarks.worker.client import Refused, Settings, Worker
from benchmarks.worker.environment import pinned
from benchmarks.worker.workspace import Workspace
from impls.interface import Unsupported

KERNELS = {
    "cpu": ("numpy_manual", "numba_fused", "torch_manual"),
    "gpu": ("torch_manual", "cupy_manual", "jax_jit"),
}  # an implementation of each framework whose kernels read
READER_IMPLS = ("numba_fused", "numpy_manual")  # whose kernel reads beside the rounds: the first that runs
BUSY_SHARE = 0.15  # of the CPU time, used by others on a BUSY machine: `results.stats.quiet_or_busy.OTHERS_SHARE`
MIN_READ_BYTES = 2**20  # fewer take no longer than some calls


class Reader:
    """A process that reads as many bytes as a case beside its rounds, because bandwidth changes with time."""

    def __init__(self, settings: Settings, timeout: float, workspace: Workspace) -> None:
        self.timeout, self.most = timeout, most_read(pinned(settings.threads))
        self.worker: Worker | None = None
        for impl in READER_IMPLS:
            with suppress(Unsupported, Refused):  # not installed, or it does not start
                self.worker = Worker(impl, settings, timeout, workspace)
                break

    def bytes_per_s(self, size: int) -> float | None:
        """Return the bytes a second at which it reads `size` bytes, `most` at most; None if it cannot."""
        if self.worker is None or not self.worker.alive:
            return None
        self.worker.deadline = time.monotonic() + self.timeout
        try:
            return self.worker.read(min(size, self.most))
        except Refused:  # too large for the memory that is left
            return None
        finally:
            self.worker.settle()

    def close(self) -> None:
        """End the process."""
        if self.worker is not None:
            self.worker.close()


class MachineLimits:
    """The measured rates of each device by block, and the processes that read memory between the rounds of a case."""

    def __init__(self, timeout: float, workspace: Workspace) -> None:
        self.timeout, self.workspace = timeout, workspace
        self.rates: dict[str, dict[int, Rates]] = {}  # by name and block
        self.failed: dict[str, dict[str, str]] = {}  # by name: kernels that could not measure, with the reasons
        self.tried: set[tuple[str, int]] = set()
        self.readers: dict[int, Reader] = {}  # by number of threads

    def measure(self, name: str, settings: Settings, block: int) -> None:
        """Run each framework's kernels in their own worker, and keep the best result as `name`, once a block."""
        if (name, block) in self.tried or block in self.rates.get(name, {}):  # or by the process that this one resumes
            return
        self.tried.add((name, block))
        for impl in KERNELS[settings.device]:
            try:
                with closing(Worker(impl, settings, self.timeout, self.workspace)) as worker:
                    rates, blocks = worker.bandwidth(settings.device), self.rates.setdefault(name, {})
                    blocks[block] = better(blocks[block], rates) if block in blocks else rates
            except Unsupported:  # not installed, or not for this device
                continue
            except Refused as error:
                self.failed.setdefault(name, {})[impl] = str(error)

    def reading(self, settings: Settings, facts: dict[str, Any]) -> Callable[[], float | None] | None:
        """Return a function that reads as many bytes as the steps of a case share; None for few bytes."""
        size = int(roofline.least(facts).shared_bytes)
        if size < MIN_READ_BYTES:
            return None
        if settings.threads not in self.readers:
            self.readers[settings.threads] = Reader(settings, self.timeout, self.workspace)
        reader = self.readers[settings.threads]
        return lambda: reader.bytes_per_s(size)

    def beside(self, facts: dict[str, Any], most_read: float | None, others_share: float) -> dict[str, Any]:
        """Return a row's facts with the latest limit beside them. A step that is too fast for the highest is not valid.

        most_read: the most bytes a second that were read beside its rounds. others_share: the part of the CPU
        time that other processes used. They make a limit too low, so a row that exceeds it then gets no limit.
        """
        blocks = self.rates.get(facts["device"], {})
        earlier = [block for block in blocks if block <= facts["block"]]
        limited = roofline.row_facts(facts, blocks[max(earlier)] if earlier else None)
        highest = reduce(better, blocks.values()) if blocks else None
        of_step, of_run = (
            _nearest(facts | {"per_step_s": seconds}, highest, most_read)
            for seconds in (facts["per_step_s"], facts["steady_s"] / facts["steps"])
        )
        unknown, above = parity.unknown_time(of_step, of_run), parity.above_limit(of_run)
        slowed = parity.above_limit(limited) and not above  # the reading was slowed, so its limit does not count
        if not unknown and (slowed or (above and others_share > BUSY_SHARE)):
            return {name: value for name, value in facts.items() if not name.startswith("read_")}
        faults = [*filter(None, [facts["reason"]]), *(unknown or above)]
        return facts | limited | {"valid": not faults, "reason": printable("; ".join(faults), REASON_CHARACTERS)}

    def summary(self) -> dict[str, Any]:
        """Return, by name, the typical rates and the kernels that failed, for the saved run."""
        typical_rates = {name: asdict(typical(blocks.values())) for name, blocks in self.rates.items()}
        failures = {name: {"failed": failed} for name, failed in self.failed.items()}
        return {name: typical_rates.get(name, {}) | failures.get(name, {}) for name in typical_rates | failures}

    def close(self) -> None:
        """End the processes that read."""
        for reader in self.readers.values():
            reader.close()


def _nearest(facts: dict[str, Any], highest: Rates | None, most_read: float | None) -> dict[str, Any]:
    """Return a row's facts beside the highest limit: by the readings beside its rounds, or by those of the blocks."""
    rows = [roofline.row_facts(facts | {"read_bytes_per_s": read}, highest) for read in (most_read, None)]
    return min(rows, key=lambda row: row.get("limit_s", 0.0))
