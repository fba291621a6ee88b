"""Dask: X in chunks of rows on the workers of a cluster, the gradient by hand, summed over the chunks."""

from impls._dask import ADDRESS, fetch, put, spread, submit
from impls.interface import Array, Device, Problem, Run, Unsupported

STEP_READS = "X, on a cluster" if ADDRESS else "X"


def prepare(problem: Problem, device: Device) -> Run:
    if device != "cpu":
        raise Unsupported("Dask runs on the cpu only")
    chunks, order = spread(problem), problem.order
    scale = 2 * problem.lr / (problem.y if order is None else problem.y[order[0]]).size

    def gradient(chunk: tuple[int, Array, Array], w: Array, rows: Array | None) -> Array:
        low, X, y = chunk
        mine = slice(None) if rows is None else rows[(rows >= low) & (rows < low + len(X))] - low
        X, y = X[mine], y[mine]
        return X.T @ (X @ w - y)

    def update(w: Array, gradients: list[Array]) -> Array:
        return w - scale * sum(gradients)

    def run(start: Array, steps: int, /) -> Array:
        w = put(start)
        for rows in [None] * steps if order is None else order[:steps]:
            w = submit(update, w, [submit(gradient, chunk, w, rows) for chunk in chunks])
        return fetch(w)  # all steps were sent at once: Dask begins one when the one before it is done

    return run
