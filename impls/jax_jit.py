"""JAX with jit: one step compiled, called from a Python loop."""

import jax

from impls._jax import fetch, mse, place, put
from impls.interface import Array, Device, Problem, Run

HALF = True


def prepare(problem: Problem, device: Device) -> Run:
    (X, y), lr, order = place(problem, device), problem.lr, problem.order

    @jax.jit
    def step(w: jax.Array, X: jax.Array, y: jax.Array, rows: Array | None) -> jax.Array:
        X_t, y_t = (X, y) if rows is None else (X[rows], y[rows])
        return w - lr * jax.grad(mse)(w, X_t, y_t)

    def run(start: Array, steps: int, /) -> Array:
        w = put(start, device)
        for t in range(steps):
            w = step(w, X, y, None if order is None else order[t])
        return fetch(w)

    return run
