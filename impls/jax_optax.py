"""Optax: `optax.sgd` in one jitted step, called from a Python loop."""

import jax
import optax

from impls._jax import fetch, mse, place, put
from impls.interface import Array, Device, Problem, Run


def prepare(problem: Problem, device: Device) -> Run:
    (X, y), order = place(problem, device), problem.order
    optimizer = optax.sgd(problem.lr)

    @jax.jit
    def step(
        w: jax.Array, state: optax.OptState, X: jax.Array, y: jax.Array, rows: Array | None
    ) -> tuple[jax.Array, optax.OptState]:
        X_t, y_t = (X, y) if rows is None else (X[rows], y[rows])
        updates, state = optimizer.update(jax.grad(mse)(w, X_t, y_t), state)
        return optax.apply_updates(w, updates), state

    def run(start: Array, steps: int, /) -> Array:
        w = put(start, device)
        state = optimizer.init(w)
        for t in range(steps):
            w, state = step(w, state, X, y, None if order is None else order[t])
        return fetch(w)

    return run
