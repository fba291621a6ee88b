"""JAX with jit and `lax.scan`: the whole descent compiled into one call."""

from functools import partial

import jax

from impls._jax import fetch, mse, place, put
from impls.interface import Device, Problem, Run

HALF = True


def prepare(problem: Problem, device: Device) -> Run:
    (X, y), lr = place(problem, device), problem.lr
    order = None if problem.order is None else put(problem.order, device)

    @partial(jax.jit, static_argnames="steps")
    def descend(w: jax.Array, X: jax.Array, y: jax.Array, order: jax.Array | None, steps: int) -> jax.Array:
        def step(w: jax.Array, rows: jax.Array | None) -> tuple[jax.Array, None]:
            X_t, y_t = (X, y) if rows is None else (X[rows], y[rows])
            return w - lr * jax.grad(mse)(w, X_t, y_t), None

        return jax.lax.scan(step, w, None if order is None else order[:steps], length=steps)[0]

    return lambda start, steps, /: fetch(descend(put(start, device), X, y, order, steps))
