"""Measure the machine's limits: bytes read per second for each level of memory, and floating-point rates.

In each block the best of several kernels and tries counts, because load only lengthens them. The kernels are the
frameworks', each in its own process, with the implementations' threads and cores.
"""

import math
from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from functools import partial
from itertools import count
from statistics import median
from time import perf_counter
from types import SimpleNamespace
from typing import cast

import numpy as np

from benchmarks.machine.roofline import MEMORY, Level, Rates, caches
from impls.interface import Array, Device, Kernels, Unsupported

MEASURE_S = 0.1  # a kernel and level
TRY_S = {"cpu": 2e-3, "gpu": 2e-2}  # long compared with a call, and with a wait for the device
MIN_READ_TRIES, READ_S = 3, 0.03  # of a reading beside a round, the first of which fill the cache
CALLS = 100  # that are timed together for `call_s`
UNCACHED_BYTES = {"cpu": 2**28, "gpu": 2**31}  # read at least, to go past all caches
SQUARE_ROWS = {"cpu": 512, "gpu": 8192}  # of the matrices that are multiplied
MATVEC_COLUMNS = 256  # of the matrix


def _total(x: Array, times: int) -> Array:
    """Read all of x (m,) `times` times."""
    for _ in range(times):
        result = x @ x
    return np.asarray(result)


NUMPY = SimpleNamespace(resident=lambda array, device: array, total=_total, fetch=lambda x: x)  # its `Kernels`


def typical(blocks: Collection[Rates]) -> Rates:
    """Return the medians over the blocks: on shared machines some blocks read twice what others do."""
    last = [*blocks][-1]
    return Rates(
        levels=[replace(level, bytes_per_s=median(_speeds(blocks, level.level))) for level in last.levels],
        flops_per_s={name: median(rates.flops_per_s[name] for rates in blocks) for name in last.flops_per_s},
        matvec_flops_per_s={
            name: median(rates.matvec_flops_per_s[name] for rates in blocks) for name in last.matvec_flops_per_s
        },
        call_s=median(rates.call_s for rates in blocks),
    )


def _speeds(blocks: Iterable[Rates], name: str) -> list[float]:
    return [level.bytes_per_s for rates in blocks for level in rates.levels if level.level == name]


def better(first: Rates, second: Rates) -> Rates:
    """Return the best of two measurements: the higher rates, the shorter call."""
    levels = {level.level: level for level in first.levels}
    for level in second.levels:
        levels[level.level] = max(levels.get(level.level, level), level, key=lambda level: level.bytes_per_s)
    return Rates(
        levels=sorted(levels.values(), key=lambda level: level.holds or math.inf),
        flops_per_s={name: max(rate, second.flops_per_s[name]) for name, rate in first.flops_per_s.items()},
        matvec_flops_per_s={
            name: max(rate, second.matvec_flops_per_s[name]) for name, rate in first.matvec_flops_per_s.items()
        },
        call_s=min(first.call_s, second.call_s),
    )


def measured(framework: str, module: object, device: Device, cores: list[int] | None) -> Rates:
    """Measure how fast a framework reads and multiplies. module: holds its kernels. Raises Unsupported without any."""
    kernels, dtypes = kernels_of(framework, module), ("float32", "float64")
    sizes = caches(cores or []) if device == "cpu" else getattr(kernels, "caches", dict)()
    # Name, size, and the bytes to read: half of the size; for memory, more than all caches hold
    levels: list[tuple[str, int | None, int]] = [(name, size, size // 2) for name, size in sizes.items()]
    levels.append((MEMORY, None, max(UNCACHED_BYTES[device], 4 * max(sizes.values(), default=0))))
    return Rates(
        levels=[Level(name, holds, _reading(kernels, device, size), framework) for name, holds, size in levels],
        flops_per_s={dtype: _multiplying(kernels, device, dtype) for dtype in dtypes},
        matvec_flops_per_s={dtype: _matvec(kernels, device, dtype) for dtype in dtypes},
        call_s=_calling(kernels, device),
    )


def kernels_of(framework: str, module: object) -> Kernels:
    """Return the kernels of a framework's shared module. Raises Unsupported where it has none."""
    if framework != "numpy" and not hasattr(module, "total"):
        raise Unsupported(f"{framework} has no kernel that reads")
    return cast(Kernels, NUMPY if framework == "numpy" else module)


class Reading:
    """A host array of `size` bytes that is read again and again, beside the rounds of a case."""

    def __init__(self, kernels: Kernels, size: int) -> None:
        self.kernels, self.size = kernels, size
        self.x = kernels.resident(_numbers(max(size // 16 * 4, 4)), "cpu")

    def bytes_per_s(self) -> float:
        """Return the best rate in READ_S. A try repeats short passes until it lasts TRY_S."""
        once, end, tries = _seconds(lambda: self._passes(1)), perf_counter() + READ_S, list[float]()
        times = max(1, round(TRY_S["cpu"] / once))
        while len(tries) < MIN_READ_TRIES or perf_counter() < end:
            tries.append(_seconds(lambda: self._passes(times)) / times)
        return self.size / min(tries)

    def _passes(self, times: int) -> Array:
        return self.kernels.fetch(self.kernels.total(self.x, times))


def most_read(cores: list[int]) -> int:
    """Return the bytes beyond which caches no longer help: far more than they hold."""
    return max(UNCACHED_BYTES["cpu"], 4 * max(caches(cores).values(), default=0))


def _reading(kernels: Kernels, device: Device, size: int) -> float:
    """Return bytes per second, the best of many tries."""
    x = kernels.resident(_numbers(size // 16 * 4), device)
    return size / _shortest(device, lambda times: kernels.fetch(kernels.total(x, times)))


def _calling(kernels: Kernels, device: Device) -> float:
    """Return the seconds of an additional call, without the wait for its result."""
    x = kernels.resident(_numbers(16), device)

    def calls(count: int) -> Array:
        return kernels.fetch([kernels.total(x, 1) for _ in range(count)][-1])

    many_s, one_s = (min(_seconds(partial(calls, count)) for _ in range(50)) for count in (1 + CALLS, 1))
    return max(0.0, many_s - one_s) / CALLS


def _multiplying(kernels: Kernels, device: Device, dtype: str) -> float:
    """Return operations per second of a product of square matrices."""
    side = SQUARE_ROWS[device]
    a, b = (kernels.resident(_numbers(side**2, dtype).reshape(side, side), device) for _ in range(2))
    return float(2 * side**3) / _shortest(device, lambda times: kernels.fetch([a @ b for _ in range(times)][-1][:1]))


def _matvec(kernels: Kernels, device: Device, dtype: str) -> float:
    """Return operations per second of a matrix-vector product, the matrix in a cache (1 MiB)."""
    a = kernels.resident(_numbers(2**20 // np.dtype(dtype).itemsize, dtype).reshape(-1, MATVEC_COLUMNS), device)
    w = kernels.resident(_numbers(MATVEC_COLUMNS, dtype), device)
    seconds = _shortest(device, lambda times: kernels.fetch([a @ w for _ in range(times)][-1]))
    return float(2 * a.shape[0] * MATVEC_COLUMNS) / seconds


def _numbers(count: int, dtype: str = "float32") -> Array:
    """Return random numbers, repeated beyond 2^20: equal numbers flip fewer bits and run at a higher clock."""
    numbers = np.random.default_rng(0).standard_normal(min(count, 2**20)).astype(dtype)
    return np.resize(numbers, count)


def _shortest(device: Device, work: Callable[[int], object]) -> float:
    """Return the seconds of one execution: the shortest of many tries, each repeated until it lasts TRY_S."""
    work(1)
    repeats = (2**power for power in count())
    times = next(times for times in repeats if min(_seconds(partial(work, times)) for _ in range(3)) >= TRY_S[device])
    end, best = perf_counter() + MEASURE_S, float("inf")
    while perf_counter() < end:
        best = min(best, _seconds(lambda: work(times)) / times)
    return best


def _seconds(work: Callable[[], object]) -> float:
    start = perf_counter()
    work()
    return perf_counter() - start
