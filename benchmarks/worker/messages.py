"""Answers of a worker. They come from a process that runs a stranger's code, so every field is checked.

A field's annotation is its check: the type, and for numbers a range. Fields that no answer has are dropped.
"""

import json
import math
import reprlib
from dataclasses import MISSING, dataclass, fields
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

LINE, FILE = 300, 100_000  # characters: of a reason or a name, of a source file
REASON = 1_000  # characters of all reasons of a case
MOST = 2**13  # entries of a list: a machine may have as many cores
HELPERS, NAMES = 20, 100  # source files beside an implementation; other names, such as those of thread pools
SHORTEST = 1e-7  # seconds of a run: a call and the copy of its start take longer
CLOCK = 1.01, 0.001  # factor and seconds by which a worker's clock may exceed this process's
AHEAD = "its clock counts more seconds than passed here"


def printable(text: object, most: int = LINE) -> str:
    """Return one line of at most `most` printable characters. Others, such as terminal escapes, become U+FFFD.

    A longer line ends with a whole word: half a path could not be recognised, and replaced, when it is saved.
    """
    line = " ".join(str(text).split())
    if len(line) > most:
        line = line[: most + 1].rpartition(" ")[0] or line[:most]
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in line)


Seconds = Annotated[float, lambda value: 0 <= value < 1e9]
Duration = Annotated[float, lambda value: SHORTEST <= value < 1e9]  # of a run with steps
CpuSeconds = Annotated[float, lambda value: 0 <= value < 1e9]  # of all threads
Rate = Annotated[float, lambda value: 0 <= value < 1e17]
Speed = Annotated[float, lambda value: 0 < value < 1e18]
Count = Annotated[int, lambda value: 0 <= value < 2**53]  # sums stay below a column's limit
Text = Annotated[str, lambda value: value == printable(value)]
File = Annotated[str, lambda value: len(value) <= FILE]
Helpers = Annotated[dict[Text, File], lambda value: len(value) <= HELPERS and all(map(_is_below, value))]
Pools = Annotated[dict[Text, Count | None], lambda value: len(value) <= NAMES]
Speeds = Annotated[dict[Text, Speed], lambda value: len(value) <= NAMES]
Cores = Annotated[list[Count], lambda value: len(value) <= MOST]
Weights = Annotated[list[Any], lambda value: _are_floats(value) or _are_rows(value)]
Levels = Annotated[list[dict[str, Any]], lambda value: len(value) <= NAMES and all(map(_is_level, value))]
WALL = (Seconds, Seconds | None, Duration)  # what a clock counts between the request and the answer


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

    file: Text
    text: File
    digest: Text
    helpers: Helpers


@dataclass(frozen=True)
class Opened:
    """The implementation has used its device once. seconds: of that, which include the device's context."""

    seconds: Seconds


@dataclass(frozen=True)
class Prepared:
    """The implementation holds a problem. transfer_seconds: the part that moved data to the device."""

    seconds: Seconds
    transfer_seconds: Seconds | None


@dataclass(frozen=True)
class Run:
    """A finished run. weights: nested lists of w0's shape; they may hold NaN."""

    seconds: Duration
    cpu_seconds: CpuSeconds
    blocked_seconds: Seconds | None
    compiles: Count
    gc_runs: Count
    weights: Weights


@dataclass(frozen=True)
class Round(Run):
    """A finished run, and the run of 0 steps before it."""

    fixed_seconds: Seconds


@dataclass(frozen=True)
class Growth:
    """Seconds of runs of no steps, half of them, all, and all again."""

    none: Seconds
    half: Seconds
    all: Duration
    again: Duration


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
class Level:
    """A level of the memory and its bandwidth. holds: its size in bytes, None for main memory."""

    level: Text
    holds: Count | None
    bytes_per_s: Speed
    kernel: Text


@dataclass(frozen=True)
class Bandwidth:
    """Bytes that the framework's kernels read in a second, and their floating-point rates."""

    levels: Levels
    flops_per_s: Speeds
    matvec_flops_per_s: Speeds
    call_s: Seconds


@dataclass(frozen=True)
class Reading:
    """Bytes that a kernel has read in a second of an array of so many bytes."""

    bytes_per_s: Rate


def check(kind: type, answer: dict[str, Any], elapsed: float = math.inf) -> dict[str, Any]:
    """Return the fields of `kind` in an answer after `elapsed` seconds. Raises ValueError for missing or wrong ones."""
    hints, values = get_type_hints(kind, include_extras=True), {}
    for field in fields(kind):
        if field.name not in answer and field.default is MISSING:
            raise ValueError(f"its answer has no {field.name}")
        if field.name in answer:
            value = values[field.name] = answer[field.name]
            if not _fits(value, hints[field.name]):
                raise ValueError(f"its answer has an impossible {field.name}: {printable(reprlib.repr(value), 80)}")
            if hints[field.name] in WALL and (value or 0) > CLOCK[0] * elapsed + CLOCK[1]:
                raise ValueError(AHEAD)
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


def _fits(value: object, hint: Any) -> bool:
    """Return whether a value has the type of an annotation, and its range."""
    if get_origin(hint) is Annotated:
        type_, accepts = get_args(hint)
        return _fits(value, type_) and bool(accepts(value))
    if get_origin(hint) in (Union, UnionType):
        return any(_fits(value, option) for option in get_args(hint))
    if get_origin(hint) is list:
        return isinstance(value, list) and all(_fits(entry, get_args(hint)[0]) for entry in value)
    if get_origin(hint) is dict:
        key, entry = get_args(hint)
        return isinstance(value, dict) and all(_fits(a, key) and _fits(b, entry) for a, b in value.items())
    if hint is Any:
        return True
    if hint is float:
        return type(value) in (int, float) and abs(value) < math.inf  # type: ignore[arg-type]
    return type(value) is (type(None) if hint is None else hint)


def _is_level(value: dict[str, Any]) -> bool:
    try:
        return check(Level, value) == value
    except ValueError:
        return False


def _are_floats(values: object) -> bool:
    return isinstance(values, list) and bool(values) and all(type(value) is float for value in values)


def _are_rows(values: list[Any]) -> bool:
    """Return whether the values are lists of equally many numbers."""
    return bool(values) and all(map(_are_floats, values)) and len({len(row) for row in values}) == 1


def _is_below(name: str) -> bool:
    """Return whether a relative path stays in its folder."""
    return not {"", ".", ".."} & set(name.split("/"))
