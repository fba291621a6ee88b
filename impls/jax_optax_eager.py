"""Optax without jit: `jax.grad` and `optax.sgd`, each operation dispatched on its own."""

import jax
import optax

from impls._jax import fetch, mse, place, put
from impls.interface import Array, Device, Problem, Run


def prepare(problem: Problem, device: Device) -> Run:
    (X, y), order = place(problem, device), problem.order
    optimizer, gradient = optax.sgd(problem.lr), jax.grad(mse)

    def run(start: Array, steps: int, /) -> Array:
        w = put(start, device)
        state = optimizer.init(w)
        for t in range(steps):
            X_t, y_t = (X, y) if order is None else (X[order[t]], y[order[t]])
            updates, state = optimizer.update(gradient(w, X_t, y_t), state)
            w = optax.apply_updates(w, updates)
        return fetch(w)

    return run
