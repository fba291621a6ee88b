"""Everything that an implementation may know of the project: the problem, the run, and how to say no.

Five sentences hold an implementation; `tests/impls/test_contract.py` tests each over all of them:

1. `run(start, 0)` is `start`, bit for bit.
2. The result is a host array of the problem's dtype and of w0's shape, owned by the caller.
3. Runs do not remember.
4. The iterates are the reference's.
5. Importing a module imports its own framework and no other.

A module whose steps do not read X names the data that they read in a constant `STEP_READS` ("Gram matrix"). Its times
are labelled so, and never compared with others as equal. A module that several processes run together sets
`RANKS = True`: each process runs the same code on its own `shard` of the rows and returns the same weights, bit by bit.
A module that keeps X in 16 bits on the device where the problem asks for it sets `HALF = True`.
"""

import math
import os
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Generic, Literal, ParamSpec, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Device = Literal["cpu", "gpu"]
P = ParamSpec("P")
T = TypeVar("T")

# What products of float32 keep on every framework: "highest" = float32, "tf32" = TF32 where the device has it.
PRECISION = os.environ.get("DESCENTBENCH_PRECISION", "highest")


class Unsupported(Exception):
    """This implementation cannot run here. The message is the reason, in one line."""


@dataclass(frozen=True, eq=False)
class Problem:
    """Minimise f(w) = sum((X w - y)^2) / (n k) by w[t+1] = w[t] - lr * grad f_t(w[t]); f_t is f over batch t.

    X: (n, d) float32 or float64, C-contiguous, on the host; an intercept is a column of ones.
    y: (n,) or (n, k), the same dtype.
    w0: (d,) or (d, k), the same dtype: where the problem starts.
    lr: the learning rate, a Python float (np.float64 would widen float32 weights in JAX).
    steps: how many updates one run makes.
    order: (steps, b) int32, the rows of batch t; None = all rows, every step.
    storage: "float16" or "bfloat16", in which X is to be kept on the device; its numbers are exact in it, and y,
    w and all sums stay float32. "" = X's own dtype.

    Of several ranks each may rely on no rows of X and y but those of its `shard`.

    Raises ValueError, naming the field, when they do not fit together.
    """

    X: Array
    y: Array
    w0: Array
    lr: float
    steps: int
    order: Array | None
    storage: str = ""

    def __post_init__(self) -> None:
        _check_data(self.X, self.y, self.w0)
        if type(self.lr) is not float or not math.isfinite(self.lr) or self.lr <= 0:
            raise ValueError(f"lr must be a finite positive Python float, not {self.lr!r}")
        if type(self.steps) is not int or self.steps < 1:
            raise ValueError(f"steps must be a positive int, not {self.steps!r}")
        if self.order is not None:
            _check_order(self.order, self.steps, len(self.X))


class Run(Protocol):
    """A prepared descent: the data are on the device, and the step is built."""

    def __call__(self, start: Array, steps: int, /) -> Array:
        """Return the weights after `steps` updates from `start`: a new NumPy array of the problem's dtype and w0's
        shape.

        Batch t of a call is row t of `order`, counted from 0 in every call. `steps` is at most `problem.steps`.
        """


Prepare = Callable[[Problem, Device], Run]


class Framework(Protocol):
    """The functions that every `impls/_<framework>.py` offers to the worker. Those of `Kernels` are optional.

    `fetch` (device to host) is `Timed`, and so is `place` or `put` (host to device), which takes one array. The rest of
    a run is dispatch.
    Also optional: `product(a, b, device)`, a @ b as the framework computes it; `caches()`, bytes of a device's caches
    by level; `event_seconds(run)`, `device_bytes()` and `reset_device_bytes()`, by the device's own counters;
    `device_work(run)`, the `DeviceWork` of a run by the framework's profiler.
    """

    def threads(self) -> int | None:
        """Return the threads that the framework uses for one operation; None if unknown."""

    def compilations(self) -> int:
        """Return the number of compilations in this process so far."""


@dataclass(frozen=True)
class DeviceWork:
    """A kernel or a copy that a GPU has carried out. launch: the same for all work of one launch from the host."""

    start_ns: float
    end_ns: float
    launch: int | None


class Kernels(Protocol):
    """The functions that the machine's bandwidth and rates are measured with."""

    def resident(self, array: Array, device: Device) -> Any:
        """Move an array to where the kernels read it."""

    def total(self, x: Any, times: int) -> Any:
        """Read all of x (m,) `times` times, and return a sum."""

    def fetch(self, x: Any) -> Array:
        """Wait for a result and return it as a host array."""


class Timed(Generic[P, T]):
    """A function with the seconds of its calls, None before the first. It must return only when it is done."""

    seconds: float | None = None

    def __init__(self, function: Callable[P, T]) -> None:
        self.function = function

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        start = perf_counter()
        result = self.function(*args, **kwargs)
        self.seconds = (self.seconds or 0.0) + perf_counter() - start
        return result


def product_by(place: Callable[[Array, Device], Any], fetch: Callable[[Any], Array]) -> Callable[..., Array]:
    """Return a framework's `product(a, b, device)`: a @ b on the device, to probe its precision."""
    return lambda a, b, device: fetch(place(a, device) @ place(b, device))


def shard(n: int, rank: int | None = None) -> slice:
    """Return a rank's part of n rows as a slice, cut as np.array_split does; all rows without ranks."""
    ranks = int(os.environ.get("WORLD_SIZE", 1))
    rank = int(os.environ.get("RANK", 0)) if rank is None else rank
    return slice(*(n // ranks * at + min(at, n % ranks) for at in (rank, rank + 1)))


def rows_of_shard(order: Array, n: int, rank: int | None = None) -> list[Array]:
    """Return the rows of each batch that are in a rank's shard, counted from the shard's first row."""
    mine = shard(n, rank)
    return [rows[(mine.start <= rows) & (rows < mine.stop)] - mine.start for rows in order]


held = rows_of_shard  # the name that files of older git revisions import


def need_ranks() -> None:
    """Raise Unsupported if this process is not a rank."""
    if "WORLD_SIZE" not in os.environ:
        raise Unsupported("runs as ranks: --ranks 1 or more")


def _check_data(X: Array, y: Array, w0: Array) -> None:
    if X.ndim != 2 or 0 in X.shape:
        raise ValueError(f"X must be (n, d) with n and d at least 1, not {X.shape}")
    if X.dtype not in (np.float32, np.float64):
        raise ValueError(f"X must be float32 or float64, not {X.dtype}")
    if not X.flags.c_contiguous:
        raise ValueError("X must be C-contiguous")
    n, d = X.shape
    if y.ndim not in (1, 2) or y.shape[0] != n or 0 in y.shape:
        raise ValueError(f"y must be ({n},) or ({n}, k) to go with X {X.shape}, not {y.shape}")
    if w0.shape != (d, *y.shape[1:]):
        raise ValueError(f"w0 must be {(d, *y.shape[1:])} to go with X {X.shape} and y {y.shape}, not {w0.shape}")
    for name, array in (("y", y), ("w0", w0)):
        if array.dtype != X.dtype:
            raise ValueError(f"{name} must be {X.dtype} like X, not {array.dtype}")
    for name, array in (("X", X[shard(n)]), ("y", y[shard(n)]), ("w0", w0)):
        ends = [array.min(initial=0), array.max(initial=0)]  # without a copy: X may be larger than memory
        if not np.isfinite(ends).all():
            raise ValueError(f"{name} has values that are not finite")


def _check_order(order: Array, steps: int, n: int) -> None:
    if order.ndim != 2 or order.shape[0] != steps or order.shape[1] < 1:
        raise ValueError(f"order must be ({steps}, b) with b at least 1, not {order.shape}")
    if order.dtype != np.int32:
        raise ValueError(f"order must be int32, not {order.dtype}")
    if order.min() < 0 or order.max() >= n:
        raise ValueError(f"order must name rows 0 to {n - 1}, not {order.min()} to {order.max()}")


@contextmanager
def hidden(*modules: str) -> Generator[None, None, None]:
    """Make modules look as if they were not installed, unless they are loaded already, as long as this context is open.

    Some frameworks import others where they are installed, and need none of them: their import time would be theirs.
    """
    others = [name for name in modules if name not in sys.modules]
    sys.modules.update(dict.fromkeys(others))  # type: ignore[arg-type]  # None: Python does not look for it
    try:
        yield
    finally:
        for name in others:
            del sys.modules[name]
