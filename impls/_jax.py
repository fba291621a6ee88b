"""What the JAX implementations share: the device, the precision, the loss; and what JAX says of itself."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from impls.interface import PRECISION, Array, Device, Problem, Unsupported, noting_transfer, noting_wait

jax.config.update("jax_enable_x64", True)  # float64 is float64; float32 input stays float32
jax.config.update("jax_default_matmul_precision", "tensorfloat32" if PRECISION == "tf32" else "highest")

compiled: list[str] = []  # an entry for each compilation of this process


def _note(event: str, duration_secs: float, **about: Any) -> None:
    if event == "/jax/core/compile/backend_compile_duration":
        compiled.append(event)


jax.monitoring.register_event_duration_secs_listener(_note)


def place(problem: Problem, device: Device) -> tuple[jax.Array, jax.Array]:
    """X and y, moved to the device."""
    return put(problem.X, device), put(problem.y, device)


@noting_transfer
def put(array: Array, device: Device) -> jax.Array:
    """The array on the device, and there to stay."""
    try:
        there = jax.devices(device)[0]
    except RuntimeError as error:
        raise Unsupported(f"JAX sees no {device}") from error
    return jax.block_until_ready(jax.device_put(array, there))


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


resident = put


def total(x: jax.Array, times: int) -> jax.Array:
    """Read all of x (m,) so many times: what a bandwidth is measured with."""
    for _ in range(times):
        result = jnp.sum(x)
    return result


def threads() -> int | None:
    """Threads of XLA's pool for one operation, by their name (Linux); None where that is not to be had."""
    names = [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]
    return names.count("tf_XLAEigen") if names else None


def device_bytes() -> int | None:
    """Most memory that arrays have held on the GPU since the process began, in bytes; None on the CPU."""
    return (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use")


def compilations() -> int:
    """Programs that XLA has compiled in this process."""
    return len(compiled)
