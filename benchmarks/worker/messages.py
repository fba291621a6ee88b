"""Answers of a worker. They come from a process that runs untrusted code, so every field is checked.

The annotations of `benchmarks/typed_json.py` are the checks. Fields that no message has are dropped.
"""

import json
import math
from dataclasses import dataclass
from typing import Annotated, Any, get_type_hints

from benchmarks.typed_json import (
    MAX_ENTRIES,
    Count,
    CpuSeconds,
    Duration,
    File,
    Helpers,
    Rate,
    Seconds,
    Text,
    Words,
    decode_fields,
)

MAX_CORES = 2**13  # of a machine
WORKER_SLACK = 1.01, 0.001  # factor and seconds by which a worker's clock may exceed this process's
CLOCK_AHEAD = "its clock counts more seconds than passed here"
Pools = Annotated[dict[Text, Count | None], lambda value: len(value) <= MAX_ENTRIES]
Cores = Annotated[list[Count], lambda value: len(value) <= MAX_CORES]
Weights = Annotated[list[Any], lambda value: _are_floats(value) or _are_rows(value)]
WALL_TYPES = (Seconds, Seconds | None, Duration)  # of seconds between the request and the answer


@dataclass(frozen=True)
class Loaded:
    """The implementation is imported, `seconds` after the worker's own code began. gradient, style, tuned: `Traits`."""

    seconds: Seconds
    framework: Text
    version: Text
    step_reads: Text
    ranks: bool
    gradient: Text
    style: Text
    tuned: Text


@dataclass(frozen=True)
class Source:
    """The implementation's file. digest: of its code and the modules beside it. helpers: their texts by path."""

    file: Words
    text: File
    digest: Text
    helpers: Helpers


@dataclass(frozen=True)
class Opened:
    """The implementation has used its device once. seconds: of this use, which includes the device's context."""

    seconds: Seconds


@dataclass(frozen=True)
class Prepared:
    """The implementation holds a problem. transfer_seconds: the part that moved data to the device."""

    seconds: Seconds
    transfer_seconds: Seconds | None


@dataclass(frozen=True)
class RunResult:
    """A finished run. weights: nested lists of w0's shape; they may hold NaN."""

    seconds: Duration
    cpu_seconds: CpuSeconds
    blocked_seconds: Seconds | None
    compiles: Count
    gc_runs: Count
    weights: Weights


@dataclass(frozen=True)
class Round(RunResult):
    """A finished run, and the run of 0 steps before it."""

    fixed_seconds: Seconds


@dataclass(frozen=True)
class Growth:
    """Seconds of runs of no steps, half of them, all, and all again."""

    none: Seconds
    half: Seconds
    all: Duration
    repeat: Duration


@dataclass(frozen=True)
class Busy:
    """CPU seconds per second."""

    cpu_over_wall: Rate


@dataclass(frozen=True)
class Finished:
    """Facts about the worker after all rounds. cores: of ranks, a list for each."""

    framework: Text
    version: Text
    rss_bytes: Count
    device_bytes: Count | None
    event_s: Seconds | None
    jit_cache: Text
    pools: Pools
    framework_threads: Count | None
    blas: Text
    cores: Cores | None
    matmul_bits: Count | None = None
    matvec_bits: Count | None = None
    denormals: Text | None = None


@dataclass(frozen=True)
class Profiled:
    """A run by the framework's profiler, or the reason why there is none. launches, gpu_operations: per step."""

    launches: Rate | None = None
    gpu_operations: Rate | None = None
    busy_s: Seconds | None = None
    unprofiled: Text | None = None


@dataclass(frozen=True)
class ReadRate:
    """The bytes a second at which a kernel has read an array."""

    bytes_per_s: Rate


def check(kind: type, answer: dict[str, Any], elapsed: float = math.inf) -> dict[str, Any]:
    """Return the fields of `kind` in an answer after `elapsed` seconds. Raises ValueError for missing or wrong ones."""
    try:
        values = decode_fields(kind, answer)
    except ValueError as error:
        raise ValueError(f"its answer {error}") from None
    clock_fields = [name for name, hint in get_type_hints(kind, include_extras=True).items() if hint in WALL_TYPES]
    if any((values.get(name) or 0) > WORKER_SLACK[0] * elapsed + WORKER_SLACK[1] for name in clock_fields):
        raise ValueError(CLOCK_AHEAD)
    return values


def parse(line: bytes) -> dict[str, Any]:
    """Return the answer in a line of JSON. Raises ValueError if it is none."""
    try:
        answer = json.loads(line)
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict) or not answer:
        raise ValueError("something else than an answer came from its pipe")
    return answer


def _are_floats(values: object) -> bool:
    return isinstance(values, list) and bool(values) and all(type(value) is float for value in values)


def _are_rows(values: list[Any]) -> bool:
    """Return whether the values are lists of equally many numbers."""
    return bool(values) and all(map(_are_floats, values)) and len({len(row) for row in values}) == 1
