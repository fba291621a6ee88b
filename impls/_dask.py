"""Shared by the Dask implementations: cluster and chunks of rows, and probes of Dask."""

import atexit
import functools
import os
from collections.abc import Callable
from typing import Any

import dask
import numpy as np
from distributed import Client, Future, LocalCluster
from threadpoolctl import threadpool_limits

from impls.interface import Array, Device, Problem, Timed, Unsupported

ADDRESS = dask.config.get("scheduler-address", "")  # Dask's own setting, DASK_SCHEDULER_ADDRESS; "": a local cluster
CHUNK = 2**27  # bytes of X in a chunk at most, as of Dask's own arrays
PATIENCE = 5  # seconds for a scheduler to answer, and for its first worker


@functools.cache
def client() -> Client:
    """Return a client of the scheduler at ADDRESS, or of a cluster in this process. Raises Unsupported."""
    return _of(ADDRESS) if ADDRESS else _own()


def _own() -> Client:
    """Return a cluster in this process, with the requested threads and cores. A thread of Dask is one of BLAS."""
    threadpool_limits(1)
    threads = int(os.environ.get("OMP_NUM_THREADS") or dask.system.CPU_COUNT)
    local = {"dashboard_address": "127.0.0.1:0", "worker_dashboard_address": "127.0.0.1:0"}  # there is no "none"
    cluster = LocalCluster(n_workers=1, processes=False, threads_per_worker=threads, memory_limit=0, **local)
    atexit.register(cluster.close)
    connected = Client(cluster)
    atexit.register(connected.close)  # before the cluster: it would complain of lost data
    return connected


def _of(address: str) -> Client:
    try:
        connected = Client(address, timeout=PATIENCE)
    except (OSError, ValueError) as error:
        raise Unsupported(f"no dask scheduler answers at {address}") from error
    try:
        connected.wait_for_workers(1, timeout=PATIENCE)
        reason = _unequal(connected.get_versions())  # type: ignore[arg-type]  # no coroutine: it is not asynchronous
    except TimeoutError:
        reason = "has no workers"
    if reason:
        connected.close()
        raise Unsupported(f"the dask scheduler at {address} {reason}")
    atexit.register(connected.close)
    return connected


def _unequal(versions: dict[str, Any]) -> str:
    """Return the packages whose first two version numbers differ from those here: functions travel as Python code."""
    sides = versions["client"], versions["scheduler"], *versions["workers"].values()
    here, *there = (side["packages"] for side in sides)
    differences = {
        f"{name} {other.get(name)}, here it is {here[name]}"
        for other in there
        for name in ("python", "dask", "distributed", "cloudpickle", "numpy")
        if str(other.get(name)).split(".")[:2] != here[name].split(".")[:2]
    }
    return f"has {'; '.join(sorted(differences))}" if differences else ""


def spread(problem: Problem) -> list[Future[Any]]:
    """Send X and y in chunks to the workers in turn. Return for each chunk its first row, X and y."""
    n, d = problem.X.shape
    rows = max(1, min(-(-n // sum(client().nthreads().values())), CHUNK // (d * problem.X.itemsize)))
    return [put((low, problem.X[low : low + rows], problem.y[low : low + rows])) for low in range(0, n, rows)]


def put(thing: object) -> Future[Any]:
    """Send an object to a worker."""
    return client().scatter([thing], hash=False)[0]


def submit(function: Callable[..., Array], *arguments: object) -> Future[Any]:
    """Run a function on a worker, without reuse of an earlier result."""
    return client().submit(function, *arguments, pure=False)


@Timed
def fetch(w: Future[Any]) -> Array:
    """Return the array on the host when it is ready. It is a copy."""
    return np.array(w.result())


def product(a: Array, b: Array, device: Device) -> Array:
    """Return a @ b as a worker computes it, to probe its precision."""
    return fetch(submit(np.matmul, a, b))


def threads() -> int | None:
    """Return the threads of a cluster in this process, None for another cluster."""
    return sum(client().nthreads().values()) if not ADDRESS else None


def compilations() -> int:
    """Return 0: Dask compiles nothing."""
    return 0
