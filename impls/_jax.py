"""Shared by the JAX implementations: device, precision and loss, and probes of JAX."""

import os
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from impls.interface import (
    PRECISION,
    Array,
    Device,
    DeviceWork,
    Problem,
    Timed,
    Unsupported,
    need_ranks,
    product_by,
    rows_of_shard,
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
    """Return X and y on the device, X in the 16 bits that the problem may ask for: its products with w are float32."""
    X = problem.X.astype(problem.storage) if problem.storage else problem.X
    return put(X, device), put(problem.y, device)


@Timed
def put(array: Array, device: Device) -> jax.Array:
    """Return the array on the device, where it stays. Raises Unsupported if JAX sees no such device."""
    try:
        there = jax.local_devices(backend=device)[0]
    except RuntimeError as error:
        raise Unsupported(f"JAX sees no {device}") from error
    return jax.block_until_ready(jax.device_put(array, there))


def join(device: Device) -> Mesh:
    """Make this process a rank, once. Return a mesh with one device per rank and the axis "ranks".

    Raises Unsupported if it is no rank or has no device of its own.
    """
    need_ranks()
    rank, ranks, local = (int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"))
    if ranks > 1 and not jax.distributed.is_initialized():
        where = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
        jax.distributed.initialize(where, ranks, rank, [local], cluster_detection_method="deactivate")
    try:
        put(np.empty(0), device)
    except Unsupported as error:
        raise Unsupported(f"rank {rank} has no {device} of its own: {error.__cause__}") from error
    mine = {one.process_index: one for one in reversed(jax.devices(device))}  # the first of each rank
    return Mesh([mine[rank] for rank in range(ranks)], "ranks")


def scatter(array: Array, mesh: Mesh) -> jax.Array:
    """Return an array over all ranks. Each rank holds its own part, one after the other along the first axis."""
    spread = NamedSharding(mesh, PartitionSpec("ranks"))
    return jax.block_until_ready(jax.make_array_from_process_local_data(spread, array))


def repeat(array: Array, mesh: Mesh) -> jax.Array:
    """Return an array that is the same on all ranks."""
    here = jax.device_put(array, mesh.local_devices[0])
    return jax.make_array_from_single_device_arrays(array.shape, NamedSharding(mesh, PartitionSpec()), [here])


def pad(array: Array, length: int, value: int = 0) -> Array:
    """Return the array with rows of a value appended, up to a length."""
    return np.pad(array, [(0, length - len(array)), *[(0, 0)] * (array.ndim - 1)], constant_values=value)


def packed(order: Array, n: int, spare: int) -> Array:
    """Return this rank's rows of each batch. The row `spare` fills them up to the same number on every rank."""
    longest = max(len(rows) for rank in range(int(os.environ["WORLD_SIZE"])) for rows in rows_of_shard(order, n, rank))
    return np.stack([pad(rows, longest, spare) for rows in rows_of_shard(order, n)])


def blocks(problem: Problem, device: Device) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Return X, y and (1 or steps, blocks, ...) indices of each block of a batch, at most BLOCK bytes each.

    All blocks have the same number of rows. Rows of 0 fill the last one: they add nothing to a gradient, but must not
    be counted.
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


@Timed
def fetch(w: jax.Array) -> Array:
    """Return the array on the host when it is ready. It is a copy."""
    return np.array(w)


def mse(w: jax.Array, X: jax.Array, y: jax.Array) -> jax.Array:
    """Return the mean squared error over all elements of X w - y."""
    return jnp.mean((X @ w - y) ** 2)


product = product_by(put, fetch)
resident = put


def total(x: jax.Array, times: int) -> jax.Array:
    """Read all of x (m,) `times` times, to measure the bandwidth."""
    for _ in range(times):
        result = jnp.sum(x)
    return result


def threads() -> int | None:
    """Return the threads of XLA's pool for one operation, found by their name (Linux); None if unknown."""
    names = [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]
    return names.count("tf_XLAEigen") if names else None


def device_work(run: Callable[[], object]) -> list[DeviceWork]:
    """Return the kernels and copies of a run, from the lines of the GPU's streams in the profiler's file."""
    with TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            run()
        (file,) = Path(folder).glob("**/*.xplane.pb")
        data = jax.profiler.ProfileData.from_file(str(file))
        lines = [line for plane in data.planes if plane.name.startswith("/device:GPU") for line in plane.lines]
        return [
            DeviceWork(event.start_ns, event.end_ns, dict(event.stats).get("correlation_id"))
            for line in lines
            if line.name.startswith("Stream")
            for event in line.events
        ]


def device_bytes() -> int | None:
    """Return the most bytes that arrays have held on the GPU since the process began; None on the CPU."""
    return (jax.local_devices()[0].memory_stats() or {}).get("peak_bytes_in_use")


def compilations() -> int:
    """Return the number of programs that XLA has compiled in this process."""
    return len(compiled)
