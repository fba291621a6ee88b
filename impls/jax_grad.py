"""JAX without jit: `jax.grad` of the loss, each operation dispatched on its own."""

import jax

from impls._jax import fetch, mse, place, put
from impls.interface import Array, Device, Problem, Run

HALF = True


def prepare(problem: Problem, device: Device) -> Run:
    (X, y), lr, order = place(problem, device), problem.lr, problem.order
    gradient = jax.grad(mse)

    def run(start: Array, steps: int, /) -> Array:
        w = put(start, device)
        for t in range(steps):
            X_t, y_t = (X, y) if order is None else (X[order[t]], y[order[t]])
            w = w - lr * gradient(w, X_t, y_t)
        return fetch(w)

    return run
