"""`jax_scan` without command buffers: XLA launches each kernel of a step from the host."""

from functools import partial

import jax

from impls._jax import fetch, mse, place, put
from impls.interface import Device, Problem, Run, Unsupported

HALF = True
OPTIONS = {"xla_gpu_enable_command_buffer": ""}


def prepare(problem: Problem, device: Device) -> Run:
    return compiled_with(OPTIONS, problem, device)


def compiled_with(options: dict[str, str], problem: Problem, device: Device) -> Run:
    """Return the run of `jax_scan`, compiled with these options of XLA. Raises Unsupported on the CPU."""
    if device != "gpu":
        raise Unsupported("command buffers are CUDA graphs, which run on the gpu only")
    (X, y), lr = place(problem, device), problem.lr
    order = None if problem.order is None else put(problem.order, device)

    @partial(jax.jit, static_argnames="steps", compiler_options=options)
    def descend(w: jax.Array, X: jax.Array, y: jax.Array, order: jax.Array | None, steps: int) -> jax.Array:
        def step(w: jax.Array, rows: jax.Array | None) -> tuple[jax.Array, None]:
            X_t, y_t = (X, y) if rows is None else (X[rows], y[rows])
            return w - lr * jax.grad(mse)(w, X_t, y_t), None

        return jax.lax.scan(step, w, None if order is None else order[:steps], length=steps)[0]

    return lambda start, steps, /: fetch(descend(put(start, device), X, y, order, steps))
