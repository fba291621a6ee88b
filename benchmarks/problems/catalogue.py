"""The catalogue: from a problem's name, `small` or `small@32` for mini-batches of 32 rows, to its data.

Data are made in float64 from a seed and then cast. Only operations with an exact IEEE 754 result are used (no BLAS, no
libm), and lr = 1/L is rounded down to three digits. A seed therefore gives the same bytes on every machine.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import ROUND_DOWN, Context
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.problems import tables, tutorials
from benchmarks.problems.table_files import SUFFIX_ADVICE, is_table
from benchmarks.problems.table_text import TableFormat
from benchmarks.problems.tables import Data
from impls import nearest
from impls.interface import Array, Problem, shard


@dataclass(frozen=True)
class Entry:
    """One problem of the catalogue: how to make its data, for full batch and for mini-batches."""

    about: str
    make: Callable[[np.random.Generator, bool], Data]
    steps: tuple[int, int] | None = None  # full batch, mini-batch; None = from the size of the data


def synthetic(n: int, d: int, rng: np.random.Generator, minibatch: bool) -> Data:
    """Make X (n, d), independent uniform columns with scales from 1 to 1/10, and y = X a + noise.

    E X'X / n is diagonal, from 1 down to 1/100, so the condition of X'X is about 100. Each of several ranks makes its
    shard; the other rows are 0 in memory that is never touched.
    """
    scales = 1 / (1 + 9 * np.arange(d) / max(d - 1, 1))
    a, w0 = rng.random(d) * 2 - 1, rng.random(d) * 2 - 1
    X, y = uniform(rng, (n, d)), uniform(rng, (n,))
    blocks = (np.array_split(array[shard(n)], max(1, n // 4096)) for array in (X, y))  # a block stays in the cache
    for X_block, y_block in zip(*blocks, strict=True):
        X_block -= 0.5
        X_block *= scales * 3.4641016151377544  # sqrt(12): variance 1 before scaling
        y_block -= 0.5
        for j in range(d):
            y_block += X_block[:, j] * a[j]
    return Data(X, y, w0)


def uniform(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Return `rng.random(shape)`. A rank draws its shard and skips the rest."""
    numbers, own_rows = np.zeros(shape), shard(shape[0])
    assert isinstance(rng.bit_generator, np.random.PCG64)
    rng.bit_generator.advance(numbers[: own_rows.start].size)
    rng.random(out=numbers[own_rows])
    rng.bit_generator.advance(numbers[own_rows.stop :].size)
    return numbers


# Steps: a run of the fastest implementation (jax_scan) lasts at least 1 ms on 2 cores. The tutorials' few rows would
# need 80,000 steps for that; they have enough steps to show in its time.
CATALOGUE = {
    "line": Entry("a line through 100 noisy points, lr 0.1", tutorials.line, (400, 1000)),
    "crops": Entry("3 features and an intercept to 2 targets, lr 1e-5; batches: 15 rows", tutorials.crops, (600, 300)),
    "scalar": Entry("f = w x on 4 points, no intercept, lr 0.01", tutorials.scalar, (1000, 1000)),
    "tiny": Entry("synthetic, 100 x 2", partial(synthetic, 100, 2), (5000, 5000)),
    "small": Entry("synthetic, 1,000 x 10", partial(synthetic, 1_000, 10), (300, 1000)),
    "medium": Entry("synthetic, 10,000 x 100", partial(synthetic, 10_000, 100), (20, 200)),
    "large": Entry("synthetic, 100,000 x 100", partial(synthetic, 100_000, 100), (10, 100)),
    "huge": Entry("synthetic, 1,000,000 x 100", partial(synthetic, 1_000_000, 100), (10, 20)),
    "diabetes": Entry("442 patients, 10 features (scikit-learn)", partial(tables.bundled, "diabetes")),
    "linnerud": Entry("20 athletes, 3 features to 3 targets (scikit-learn)", partial(tables.bundled, "linnerud")),
}

SIZE = re.compile(r"(?P<n>[1-9]\d{0,9})x(?P<d>[1-9]\d{0,9})")
EMPTY_SIZE = re.compile(r"(-\d+|0+)x-?\d+|-?\d+x(-\d+|0+)")  # without rows or features
HALF_DTYPES = ("float16", "bfloat16")  # of X alone: y, w and all sums are float32
MAX_ELEMENTS = 10**9  # of X: 8 GB in float64


def grid(plans: list[str]) -> list[str]:
    """Return the problems on a grid of rows x features, for `all` rows or mini-batches. Raises ValueError."""
    sizes = [(10**n, d) for n in range(2, 7) for d in (2, 10, 30, 100, 1_000) if 10**n * d <= 3 * 10**7]
    names = []
    for plan in plans or [""]:
        if plan != "all" and not re.fullmatch(r"[1-9]\d{0,5}", plan):
            raise ValueError(f"--grid {plan!r}: give `all`, the rows of a mini-batch such as 256, or both: all,256")
        batch = 0 if plan == "all" else int(plan)
        names += [f"{n}x{d}{f'@{batch}' if batch else ''}" for n, d in sizes if n > batch]
    return names


def parse(name: str) -> tuple[str, int | None]:
    """Split `small@32` into ("small", 32), `small` into ("small", None). Raises ValueError for an unknown name."""
    base, separator, batch = name.rpartition("@") if re.search(r"@\d+$", name) else (name, "", "")
    if separator and int(batch) < 1:
        raise ValueError(f"problem {name!r}: a mini-batch has at least one row")
    size = SIZE.fullmatch(base)
    if size and int(size["n"]) * int(size["d"]) > MAX_ELEMENTS:
        raise ValueError(f"problem {name!r}: more than {MAX_ELEMENTS:.0e} numbers in X")
    if EMPTY_SIZE.fullmatch(base):
        raise ValueError(f"problem {name!r}: rows and features must be at least 1")
    if not size and base not in CATALOGUE and not is_table(base):
        if "/" in base or Path(base).is_file():
            raise ValueError(f"{base}: {SUFFIX_ADVICE}")
        raise ValueError(f"no problem {base!r}{nearest(base, [*CATALOGUE, '10000x100', 'path.csv'])}")
    if separator and 0 < _synthetic_size(base)[0] < int(batch):
        raise ValueError(_too_few(name, _synthetic_size(base)[0], int(batch)))
    return base, int(batch) if separator else None


def _too_few(name: str, rows: int, batch: int) -> str:
    return f"problem {name!r}: it has {rows} rows, fewer than a mini-batch of {batch}"


def build(
    name: str,
    *,
    seed: int = 0,
    target: list[str] | None = None,
    lr: float | None = None,
    steps: int | None = None,
    reading: TableFormat = TableFormat(),  # noqa: B008, it is frozen
) -> tuple[Problem, Data]:
    """Return the problem in float64 and the data that it is made of. Raises ValueError, or Unsupported for a missing
    package.

    ValueError says "diverges: lr must be below ..." if lr is not below 2/L, L the largest curvature of any batch.
    """
    data, steps, order = made(name, seed, target, steps, reading)
    L = max(high for _, high in curvatures(data.X, data.y, order))
    lr = lr if lr is not None else data.lr or _round_down(1 / L)
    problem = Problem(data.X, data.y, data.w0, lr, steps, order)
    if lr * L >= 2:
        raise ValueError(f"diverges: lr must be below {_round_down(2 / L):g} on {name}, not {lr:g}")
    return problem, data


def made(
    name: str,
    seed: int,
    target: list[str] | None,
    steps: int | None = None,
    reading: TableFormat = TableFormat(),  # noqa: B008, it is frozen
) -> tuple[Data, int, Array | None]:
    """Return the data, the steps and the order of a problem. Raises ValueError."""
    base, batch = parse(name)
    if entry := _entry(base):
        rng = np.random.default_rng([seed, *base.encode()])
        data = entry.make(rng, batch is not None)
    else:
        data, rng = tables.read(base, target or [], reading, seed)
    if batch is not None and batch > len(data.X):
        raise ValueError(_too_few(name, len(data.X), batch))
    steps = steps or _steps(entry, len(data.X), data.X.shape[1], batch)
    return data, steps, None if batch is None else shuffled(rng, len(data.X), batch, steps)


def numbers(name: str, steps: int | None) -> tuple[int, int]:
    """Return how many numbers X, y and w0 will hold, and how many `order`; (0, 0) for a table."""
    base, batch = parse(name)
    n, d = _synthetic_size(base)
    return n * d + n + d, (batch or 0) * (steps or _steps(_entry(base), n, d, batch)) if n else 0


def counted(problem: Problem) -> tuple[int, int]:
    """Return how many numbers X, y and w0 of a problem hold, and how many its `order`."""
    order = problem.order
    return sum(array.size for array in (problem.X, problem.y, problem.w0)), 0 if order is None else order.size


def host_dtype(dtype: str) -> str:
    """Return the dtype in which a problem's arrays are on the host."""
    return "float32" if dtype in HALF_DTYPES else dtype


def cast(problem: Problem, dtype: str) -> Problem:
    """Return the same problem in float32 or float64; for HALF_DTYPES in float32, with X rounded to 16 bits."""
    X, y, w0 = (np.ascontiguousarray(array, host_dtype(dtype)) for array in (problem.X, problem.y, problem.w0))
    return replace(problem, X=_rounded(X, dtype), y=y, w0=w0, storage=dtype if dtype in HALF_DTYPES else "")


def _rounded(X: Array, dtype: str) -> Array:
    """Return float32 numbers, for a dtype of HALF_DTYPES rounded to it: to the nearest, ties to even."""
    if dtype == "float16":
        with np.errstate(over="ignore"):  # the problem refuses numbers that are not finite
            return X.astype(np.float16).astype(np.float32)
    if dtype == "bfloat16":  # the upper half of a float32
        bits = X.view(np.uint32)
        return ((bits + 0x7FFF + ((bits >> 16) & 1)) & np.uint32(0xFFFF0000)).view(np.float32)
    return X


def shuffled(rng: np.random.Generator, n: int, batch: int, steps: int) -> Array:
    """Return (steps, b) int32: each epoch shuffles all rows and cuts them into batches; the remainder is dropped."""
    per_epoch = n // batch
    epochs = [rng.permutation(n)[: per_epoch * batch].reshape(per_epoch, batch) for _ in range(-(-steps // per_epoch))]
    return np.concatenate(epochs)[:steps].astype(np.int32)


def steps_for(elements: int) -> int:
    """Return 10 to 5000 steps that take about 1 ms, at 0.2 us a step and 5e-11 s an element."""
    return int(np.clip(float(f"{1e-3 / (0.2e-6 + 5e-11 * elements):.1g}"), 10, 5000))


def curvatures(X: Array, y: Array, order: Array | None) -> list[tuple[float, float]]:
    """Return the smallest and largest eigenvalue of each batch's Hessian 2/(b k) X'X; one pair for full batch.

    With fewer rows than features, X X' has the same eigenvalues above 0, and the smallest of X'X is 0.
    """
    k = y[0].size
    batches = [X] if order is None else (X[rows] for rows in order)
    wide = X.shape[1] > (len(X) if order is None else order.shape[1])
    spectra = (np.linalg.eigvalsh((2 / (len(X_t) * k)) * (X_t @ X_t.T if wide else X_t.T @ X_t)) for X_t in batches)
    return [(0.0 if wide else max(float(spectrum[0]), 0.0), float(spectrum[-1])) for spectrum in spectra]


def _entry(base: str) -> Entry | None:
    """Return the catalogue's entry, or synthetic data of the size in the name; None for a table."""
    if size := SIZE.fullmatch(base):
        return Entry(base, partial(synthetic, int(size["n"]), int(size["d"])))
    return CATALOGUE.get(base)


def _synthetic_size(base: str) -> tuple[int, int]:
    """Return rows and features of a synthetic problem; (0, 0) for other data."""
    entry = _entry(base)
    return entry.make.args if entry and isinstance(entry.make, partial) and entry.make.func is synthetic else (0, 0)


def _steps(entry: Entry | None, n: int, d: int, batch: int | None) -> int:
    full, minibatch = (entry and entry.steps) or (steps_for(n * d), steps_for(4 * (batch or 1) * d))
    return full if batch is None else minibatch


def _round_down(value: float) -> float:
    return float(Context(prec=3, rounding=ROUND_DOWN).create_decimal_from_float(value))
