"""JAX with a shard of the rows on each rank's device: one jitted `shard_map` of a `lax.scan`, `psum` adds gradients."""

from functools import cache, partial

import jax
from jax.sharding import PartitionSpec as P

from impls._jax import fetch, join, packed, pad, repeat, scatter
from impls.interface import Device, Problem, Run, shard

RANKS = True


def prepare(problem: Problem, device: Device) -> Run:
    mesh, n, order = join(device), len(problem.X), problem.order
    length = n // mesh.size + 2  # rows of each shard; the last are zeros and add nothing
    X, y = (scatter(pad(array[shard(n)], length), mesh) for array in (problem.X, problem.y))
    rows = None if order is None else scatter(packed(order, n, length - 1), mesh)
    rate = 2 * problem.lr / (problem.y[0].size * (n if order is None else order.shape[1]))

    def descend(w: jax.Array, X: jax.Array, y: jax.Array, rows: jax.Array | None, steps: int) -> jax.Array:
        def step(w: jax.Array, rows: jax.Array | None) -> tuple[jax.Array, None]:
            X_t, y_t = (X, y) if rows is None else (X[rows], y[rows])
            return w - rate * jax.lax.psum((X_t @ w - y_t).T @ X_t, "ranks").T, None  # X_t.T would be a copy

        return jax.lax.scan(step, w, None if rows is None else rows[:steps], length=steps)[0]

    spread = partial(jax.shard_map, mesh=mesh, in_specs=(P(), *[P("ranks")] * 3), out_specs=P())
    compiled = cache(lambda steps: jax.jit(spread(partial(descend, steps=steps))))
    return lambda start, steps, /: fetch(compiled(steps)(repeat(start, mesh), X, y, rows))
