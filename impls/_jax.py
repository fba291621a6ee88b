"""What the JAX implementations share: the device, the precision and the loss."""

import jax
import jax.numpy as jnp

from impls.interface import Array, Device, Problem, Unsupported

jax.config.update("jax_enable_x64", True)  # float64 is float64; float32 input stays float32
jax.config.update("jax_default_matmul_precision", "highest")  # float32 means float32: no TF32


def place(problem: Problem, device: Device) -> tuple[jax.Array, jax.Array]:
    """X and y, moved to the device."""
    return put(problem.X, device), put(problem.y, device)


def put(array: Array, device: Device) -> jax.Array:
    """The array on the device, and there to stay."""
    try:
        return jax.block_until_ready(jax.device_put(array, jax.devices(device)[0]))
    except RuntimeError as error:
        raise Unsupported(f"JAX sees no {device}") from error


def mse(w: jax.Array, X: jax.Array, y: jax.Array) -> jax.Array:
    """Mean squared error over all elements of X w - y."""
    return jnp.mean((X @ w - y) ** 2)
