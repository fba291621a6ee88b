"""JAX, compiled whole: each step scans blocks of rows that fit into the cache; rows of 0, uncounted, fill the last."""

from functools import partial

import jax
import jax.numpy as jnp

from impls._jax import blocks, fetch, put
from impls.interface import Device, Problem, Run


def prepare(problem: Problem, device: Device) -> Run:
    X, y, order = blocks(problem, device)
    b = len(problem.X) if problem.order is None else problem.order.shape[1]
    scale = 2 * problem.lr / (b * problem.y[0].size)

    @partial(jax.jit, static_argnames="steps")
    def descend(w: jax.Array, X: jax.Array, y: jax.Array, order: jax.Array, steps: int) -> jax.Array:
        def add(at: tuple[jax.Array, jax.Array], block: jax.Array) -> tuple[tuple[jax.Array, jax.Array], None]:
            w, g = at
            return (w, g + (X[block] @ w - y[block]).T @ X[block]), None  # g: (k, d); X_b' residual takes longer

        def step(w: jax.Array, t: jax.Array) -> tuple[jax.Array, None]:
            start = (w, jnp.zeros_like(w.T))
            return w - scale * jax.lax.scan(add, start, order[t % len(order)])[0][1].T, None

        return jax.lax.scan(step, w, jnp.arange(steps))[0]

    return lambda start, steps, /: fetch(descend(put(start, device), X, y, order, steps))
