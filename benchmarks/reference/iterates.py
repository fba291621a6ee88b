"""The iterates of a row: where they were checked, their errors and their losses."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.reference.solution import Quadratic
from impls.interface import Array

CHUNK_PRODUCTS = 2**18  # up to here OpenBLAS uses one thread; others would spin into the next case's clocks


@dataclass(frozen=True)
class Iterate:
    """The weights after `t` updates, the seconds of the run, the error and the tolerance."""

    t: int
    weights: Array
    seconds: float
    error: float
    allowed: float


def row_facts(folder: str, start: Array, iterates: list[Iterate], quadratic: Quadratic | None = None) -> dict[str, str]:
    """Return a row's `iterates` (updates), `distances` (error over tolerance) and `losses`, separated by blanks.

    start: the weights of update 0, which comes first. folder: the problem's X and y. quadratic: gives the losses
    without a pass over X, if it is known and precise enough.
    """
    rising = sorted({iterate.t: iterate for iterate in iterates}.items())
    weights = [start, *(iterate.weights for _, iterate in rising)]
    exact_losses = [None if quadratic is None else quadratic.loss(w) for w in weights]
    all_losses = [loss for loss in exact_losses if loss is not None]
    if len(all_losses) < len(weights):
        X, y = (np.load(Path(folder, f"{name}.npy"), mmap_mode="r") for name in ("X", "y"))
        all_losses = losses(X, y, weights)
    return {
        "iterates": " ".join(["0", *(str(t) for t, _ in rising)]),
        "distances": " ".join(["0", *(f"{iterate.error / iterate.allowed:.3g}" for _, iterate in rising)]),
        "losses": " ".join(f"{loss:.9g}" for loss in all_losses),
    }


def losses(X: Array, y: Array, weights: list[Array]) -> list[float]:
    """Return the MSE over all rows, in float64, for each of the weights, chunk by chunk without a copy of X."""
    n, d = X.shape
    W = np.stack([w.reshape(d, -1) for w in weights], axis=1, dtype=np.float64)  # (d, m, k)
    total = np.zeros(len(weights))
    rows = max(1, CHUNK_PRODUCTS // W.size)
    for first in range(0, n, rows):
        chunk = slice(first, first + rows)
        residual = (X[chunk].astype(np.float64) @ W.reshape(d, -1)).reshape(-1, *W.shape[1:])
        residual -= y[chunk].reshape(-1, 1, W.shape[2])
        total += np.einsum("imk,imk->m", residual, residual)
    return [float(loss) for loss in total / y.size]
