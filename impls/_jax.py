"""What the JAX implementations share: the device, the precision, the loss; and what JAX says of itself."""

import os
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from impls.interface import (
    PRECISION,
    Array,
    Device,
    Problem,
    Unsupported,
    held,
    need_ranks,
    noting_transfer,
    noting_wait,
)

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


@noting_transfer
def put(array: Array, device: Device) -> jax.Array:
    """The array on the device, and there to stay."""
    try:
        there = jax.local_devices(backend=device)[0]
    except RuntimeError as error:
        raise Unsupported(f"JAX sees no {device}") from error
    return jax.block_until_ready(jax.device_put(array, there))


def join(device: Device) -> Mesh:
    """Make this process a rank among the others, once; the mesh of one device a rank, its axis "ranks"."""
    need_ranks()
    rank, ranks, local = (int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"))
    if ranks > 1 and not jax.distributed.is_initialized():
        where = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
        jax.distributed.initialize(where, ranks, rank, [local], cluster_detection_method="deactivate")
    put(np.empty(0), device)
    mine = {one.process_index: one for one in reversed(jax.devices(device))}  # the first of each rank
    return Mesh([mine[rank] for rank in range(ranks)], "ranks")


def scatter(array: Array, mesh: Mesh) -> jax.Array:
    """What this rank holds as its part of an array over all ranks, one after another along the first axis."""
    spread = NamedSharding(mesh, PartitionSpec("ranks"))
    return jax.block_until_ready(jax.make_array_from_process_local_data(spread, array))


def repeat(array: Array, mesh: Mesh) -> jax.Array:
    """The same array on all ranks."""
    here = jax.device_put(array, mesh.local_devices[0])
    return jax.make_array_from_single_device_arrays(array.shape, NamedSharding(mesh, PartitionSpec()), [here])


def pad(array: Array, length: int, value: int = 0) -> Array:
    """The array with as many rows more (of that value) as make it so long."""
    return np.pad(array, [(0, length - len(array)), *[(0, 0)] * (array.ndim - 1)], constant_values=value)


def packed(order: Array, n: int, spare: int) -> Array:
    """Of each batch the rows that this rank holds, as many on every rank: filled up with the row `spare`."""
    longest = max(len(rows) for rank in range(int(os.environ["WORLD_SIZE"])) for rows in held(order, n, rank))
    return np.stack([pad(rows, longest, spare) for rows in held(order, n)])


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
    return (jax.local_devices()[0].memory_stats() or {}).get("peak_bytes_in_use")


def compilations() -> int:
    """Programs that XLA has compiled in this process."""
    return len(compiled)
