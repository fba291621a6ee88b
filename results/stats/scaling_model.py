"""What a step takes on r ranks, as a sum of what is paid for; fitted to measured rows, and asked for more ranks.

    per step = call + reading * R + exchange * E(r) + byte * B(r)

R: the seconds in which as many threads read these rows of X once, at the machine's limit, from the nearest level that
holds them; beyond the most ranks that were measured, ranks share memories as these do. E: exchanges between ranks that
follow one another, r - 1 in a ring, log2 r in a tree: as long as two ranks are all that was measured, both fit the same
and only predictions differ. B: bytes that a rank sends, 2 (r - 1) / r of the gradient. No parameter is below zero.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import nnls

from results.store.reading import RunError

Array = NDArray[np.float64]
PARAMETERS = {
    "call": "seconds a step, whatever its size",
    "reading": "times the seconds of reading X once at the limit",
    "exchange": "seconds until two ranks have heard of one another",
    "byte": "seconds a byte that a rank sends",
}
LAWS: dict[str, Callable[[float], float]] = {"tree": lambda r: math.ceil(math.log2(r)), "ring": lambda r: r - 1}
DRAWS, SEED = 400, 1
DEPENDENT = 1e-6  # of the largest singular value: what a smaller one says is rounding


@dataclass(frozen=True, eq=False)
class Limits:
    """By a number of threads, the levels that they read from, the nearest first: (bytes held, bytes a second)."""

    levels: dict[int, list[tuple[float, float]]]

    def reading(self, n: float, d: float, k: float, size: float, ranks: float) -> float:
        """Seconds to read X (n, d) and y (n, k) once by so many ranks of one thread."""
        together = max(count for count in self.levels if count <= ranks)
        held = n * (d + k) * size * together / ranks
        speed = next(speed for holds, speed in self.levels[together] if held <= holds)
        return held / speed


@dataclass(frozen=True, eq=False)
class Model:
    """One implementation's parameters under one law of exchanges, with those of DRAWS other draws of its blocks."""

    law: str
    limits: Limits
    parameters: Array  # (4,)
    draws: Array  # (DRAWS, 4)
    residuals: Array  # (rows,): fitted over measured, less 1

    def per_step(self, cases: pd.DataFrame) -> Array:
        """(1 + DRAWS, cases) seconds: by the parameters, then by each draw."""
        return np.vstack([self.parameters, self.draws]) @ design(cases, self.limits, self.law).T


def design(cases: pd.DataFrame, limits: Limits, law: str) -> Array:
    """(cases, 4): what each parameter is multiplied by; cases have n, d, k, size (bytes of a number) and ranks."""
    n, d, k, size, r = (cases[name].to_numpy(float) for name in ("n", "d", "k", "size", "ranks"))
    reading = [limits.reading(*case) for case in zip(n, d, k, size, r, strict=True)]
    return np.column_stack(
        [np.ones(len(r)), reading, [LAWS[law](ranks) for ranks in r], 2 * (r - 1) / r * d * k * size]
    )


def model(rows: pd.DataFrame, limits: Limits, law: str) -> Model:
    """Fit the rows of one implementation: as `design` takes them, and block, per_step_s.

    The interval is over draws of blocks, with replacement: rows of a block share its spells. Raises RunError where the
    rows cannot tell the parameters apart.
    """
    names = {"ranks": "numbers of ranks", "block": "blocks"}
    for name, words in names.items():
        if rows[name].nunique() < 2:
            raise RunError(f"a model takes at least two {words}, here is {rows[name].nunique()}")
    scaled, took = design(rows, limits, law), rows["per_step_s"].to_numpy(float)
    relative = scaled / took[:, None]
    singular = np.linalg.svd(relative / np.linalg.norm(relative, axis=0), compute_uv=False)
    if len(rows) < len(PARAMETERS) or singular[-1] < DEPENDENT * singular[0]:
        raise RunError(f"these sizes cannot tell apart {', '.join(PARAMETERS)}: more of n and d are needed")
    rng, blocks = np.random.default_rng(SEED), rows["block"].to_numpy()
    places = [np.flatnonzero(blocks == block) for block in np.unique(blocks)]
    drawn = [rng.integers(len(places), size=len(places)) for _ in range(DRAWS)]
    draws = [_solved(relative[np.concatenate([places[at] for at in some])]) for some in drawn]
    found = _solved(relative)
    return Model(law, limits, found, np.array(draws), scaled @ found / took - 1)


def _solved(relative: Array) -> Array:
    """Least squares of the relative errors, no parameter below zero."""
    scale = np.linalg.norm(relative, axis=0)
    scale[scale == 0] = 1.0
    return np.asarray(nnls(relative / scale, np.ones(len(relative)))[0] / scale)
