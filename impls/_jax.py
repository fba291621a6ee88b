"""What the JAX implementations share: the device, the precision, the loss; and what JAX says of itself."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from impls.interface import PRECISION, Array, Device, Problem, Unsupported, noting_wait

jax.config.update("jax_enable_x64", True)  # float64 is float64; float32 input stays float32
jax.config.update("jax_default_matmul_precision", "tensorfloat32" if PRECISION == "tf32" else "highest")

BLOCK = 2**17  # bytes of X that are scanned at a time

compiled: list[str] = []  # an entry for each compilation of this process


def _note(event: str, duration_secs: float, **about: Any) -> None:
    if event == "/jax/core/compile/backend_compile_duration":
        compiled.append(event)


jax.monitoring.register_event_duration_secs_listener(_note)


def place(problem: Problem, device: Device) -> tuple[jax.Array, jax.Array]:
    """X and y, moved to the device."""
    return put(problem.X, device), put(problem.y, device)


def put(array: Array, device: Device) -> jax.Array:
    """The array on the device, and there to stay."""
    try:
        return jax.block_until_ready(jax.device_put(array, jax.devices(device)[0]))
    except RuntimeError as error:
        raise Unsupported(f"JAX sees no {device}") from error


def blocks(problem: Problem, device: Device) -> tuple[jax.Array, jax.Array, jax.Array]:
    """X, y, and (1 or steps, blocks, ...) what to index them by for each block of up to BLOCK bytes of a batch.

    All blocks have as many rows: rows of 0 fill the last. They add nothing to a gradient, but must not be counted.
    """
    X, y, order, b = problem.X, problem.y, problem.order, len(problem.X if problem.order is None else problem.order[0])
    count = -(-b * X[0].nbytes // BLOCK)
    X, y = (np.pad(array, [(0, -b % count), *[(0, 0)] * (array.ndim - 1)]) for array in (X, y))
    if order is None:
        X, y = (array.reshape(count, -1, *array.shape[1:]) for array in (X, y))
        plan = np.arange(count)[None]
    else:
        filled = np.pad(order, ((0, 0), (0, -b % count)), constant_values=len(problem.X))
        plan = filled.reshape(len(order), count, -1)
    return put(X, device), put(y, device), put(plan, device)


@noting_wait
def fetch(w: jax.Array) -> Array:
    """The array on the host, when it is done; a copy."""
    return np.array(w)


def mse(w: jax.Array, X: jax.Array, y: jax.Array) -> jax.Array:
    """Mean squared error over all elements of X w - y."""
    return jnp.mean((X @ w - y) ** 2)


def product(a: Array, b: Array, device: Device) -> Array:
    """a @ b as JAX computes it there: what a probe of the precision looks at."""
    return np.array(put(a, device) @ put(b, device))


def threads() -> int | None:
    """Threads of XLA's pool for one operation, by their name (Linux); None where that is not to be had."""
    names = [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]
    return names.count("tf_XLAEigen") if names else None


def compilations() -> int:
    """Programs that XLA has compiled in this process."""
    return len(compiled)
