"""Model the seconds of a step on r ranks as a sum of costs. Fit it to measured rows, and predict more ranks.

    per step = call + reading * R + exchange * E(r) + byte * B(r)

R: seconds in which as many threads read these rows of X once, at the machine's limit, from the nearest memory level
that is large enough. Beyond the most measured ranks, ranks share memories in the same proportion.
E: consecutive exchanges between ranks: r - 1 in a ring, log2 r in a tree. If at most two ranks were measured, both fit
equally well, and only predictions differ.
B: bytes that a rank sends: 2 (r - 1) / r of the gradient.
All parameters are zero or more.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from results.store.reading import RunError

Array = NDArray[np.float64]
Limits = dict[int, list[tuple[float, float]]]  # by threads: bytes and bytes/s of each memory, the nearest first
PARAMETERS = {
    "call": "seconds per step, independent of its size",
    "reading": "factor on the seconds of reading X once at the limit",
    "exchange": "seconds of one exchange between two ranks",
    "byte": "seconds per byte that a rank sends",
}
LAWS: dict[str, Callable[[float], float]] = {"tree": lambda r: math.ceil(math.log2(r)), "ring": lambda r: r - 1}
DRAWS, SEED = 400, 1
SMALLEST_SINGULAR = 1e-6  # relative to the largest; a smaller one is rounding


@dataclass(frozen=True, eq=False)
class Model:
    """Fitted parameters of one implementation under one law, and of DRAWS bootstrap draws of its blocks."""

    law: str
    limits: Limits
    parameters: Array  # (4,)
    draws: Array  # (DRAWS, 4)
    residuals: Array  # (rows,): fitted / measured - 1

    def per_step(self, cases: pd.DataFrame) -> Array:
        """Return seconds (1 + DRAWS, cases): first by the parameters, then by each draw."""
        return np.vstack([self.parameters, self.draws]) @ design(cases, self.limits, self.law).T


def reading_seconds(limits: Limits, n: float, d: float, k: float, size: float, ranks: float) -> float:
    """Return the seconds in which single-threaded ranks read X (n, d) and y (n, k) once. size: bytes of a number."""
    threads = max(count for count in limits if count <= ranks)
    read = n * (d + k) * size * threads / ranks
    return read / next(speed for capacity, speed in limits[threads] if read <= capacity)


def design(cases: pd.DataFrame, limits: Limits, law: str) -> Array:
    """Return the design matrix (cases, 4). Cases have n, d, k, size (bytes of a number) and ranks."""
    n, d, k, size, r = (cases[name].to_numpy(float) for name in ("n", "d", "k", "size", "ranks"))
    reading = [reading_seconds(limits, *case) for case in zip(n, d, k, size, r, strict=True)]
    return np.column_stack(
        [np.ones(len(r)), reading, [LAWS[law](ranks) for ranks in r], 2 * (r - 1) / r * d * k * size]
    )


def model(rows: pd.DataFrame, limits: Limits, law: str) -> Model:
    """Fit the rows of one implementation. Columns: those of `design`, block, per_step_s.

    The draws are a bootstrap over blocks, because the rows of a block share their interference. Raises RunError if the
    rows do not determine the parameters.
    """
    names = {"ranks": "numbers of ranks", "block": "blocks"}
    for name, plural in names.items():
        if rows[name].nunique() < 2:
            raise RunError(f"a model takes at least two {plural}, here is {rows[name].nunique()}")
    costs, seconds = design(rows, limits, law), rows["per_step_s"].to_numpy(float)
    relative = costs / seconds[:, None]
    singular = np.linalg.svd(relative / np.linalg.norm(relative, axis=0), compute_uv=False)
    if len(rows) < len(PARAMETERS) or singular[-1] < SMALLEST_SINGULAR * singular[0]:
        raise RunError(f"these sizes cannot tell apart {', '.join(PARAMETERS)}; measure more values of n and d")
    rng, blocks = np.random.default_rng(SEED), rows["block"].to_numpy()
    rows_by_block = [np.flatnonzero(blocks == block) for block in np.unique(blocks)]
    drawn = [rng.integers(len(rows_by_block), size=len(rows_by_block)) for _ in range(DRAWS)]
    draws = [_solve(relative[np.concatenate([rows_by_block[i] for i in draw])]) for draw in drawn]
    parameters = _solve(relative)
    return Model(law, limits, parameters, np.array(draws), costs @ parameters / seconds - 1)


def _solve(relative: Array) -> Array:
    """Return the non-negative least squares solution for relative errors."""
    from scipy.optimize import nnls  # imported here: few commands need it, and it takes long

    scale = np.linalg.norm(relative, axis=0)
    scale[scale == 0] = 1.0
    return np.asarray(nnls(relative / scale, np.ones(len(relative)))[0] / scale)
