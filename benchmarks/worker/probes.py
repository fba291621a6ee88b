"""Probes of the worker's own process: threads, precision, compilations. Measured, for settings may be ignored."""

import contextlib
import importlib
import importlib.metadata
import math
import os
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median
from types import ModuleType
from typing import Any

import numpy as np

import impls
from benchmarks.worker import environment, memory
from impls.interface import Array, Device, DeviceWork, Timed

PROBE_ROWS = 256  # large enough for the kernels that keep fewer bits
SUBNORMAL_ROW = PROBE_ROWS - 1  # asks for a subnormal number
CACHE_VARIABLES = ("JAX_COMPILATION_CACHE_DIR", *environment.CACHE_VARIABLES)
STATUS, CLEAR_REFS = Path("/proc/self/status"), Path("/proc/self/clear_refs")
SHARED_MODULES = sorted(path.stem[1:] for path in impls.HERE.glob("_[a-z]*.py"))


def framework(impl: str, module: str) -> str:
    """Return the implementation's framework: named by its file, else the last one loaded, else NumPy.

    The last, because TensorFlow loads JAX if it is installed. module: where its `prepare` comes from, for a package may
    have the name of its implementations.
    """
    named, own = Path(impl).stem.partition("_")[0], (Path(impl).stem, module.partition(".")[0])
    loaded = {module.__name__.removeprefix("impls._") for module in shared()} - {"keras"}  # its backend is one
    if named in sys.modules and named not in own:
        return named
    known = [name for name in reversed(sys.modules) if name in loaded]
    computing = [name for name in known if name != "sklearn"]  # else it may only scale the data
    return (computing or known or ["numpy"])[0]


def version(framework: str) -> str:
    """Return the framework's version, from the module or the installed package; "" if neither has one."""
    own = getattr(sys.modules.get(framework), "__version__", None)
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        return str(own or importlib.metadata.version(framework))
    return ""


def shared() -> list[ModuleType]:
    """Return the underscore modules of all frameworks that this process has loaded. They also set the precision."""
    return [importlib.import_module(f"impls._{name}") for name in SHARED_MODULES if name in sys.modules]


def shared_module(framework: str) -> ModuleType | None:
    """Return the underscore module of one framework; None if it has none, as NumPy."""
    return next((module for module in shared() if module.__name__ == f"impls._{framework}"), None)


def jit_cache() -> str:
    """Return the settings that name a cache with older compiled code, or "fresh"."""
    names = [name for name in CACHE_VARIABLES if name in os.environ and Path(os.environ[name]).exists()]
    return ", ".join(names) or "fresh"


def compilations() -> int:
    """Return the compilations of this process so far, by the frameworks' own counters."""
    return sum(module.compilations() for module in shared())


def switches() -> tuple[int, int]:
    """Return how often the kernel has taken the core from this thread so far, and how often the thread has waited."""
    of_thread = getattr(resource, "RUSAGE_THREAD", resource.RUSAGE_SELF)  # macOS has no count of a thread
    used = resource.getrusage(of_thread)
    return used.ru_nivcsw, used.ru_nvcsw


def take_seconds(*names: str) -> float | None:
    """Return the seconds of the frameworks' `Timed` functions of these names since the last call; None if unused."""
    timed = [one for module in shared() for name in names if isinstance(one := vars(module).get(name), Timed)]
    functions = [*dict.fromkeys(timed)]  # a module may have imported that of another
    spent = [one.seconds for one in functions if one.seconds is not None]
    for one in functions:
        one.seconds = None
    return sum(spent) if spent else None


def reset_peak() -> None:
    """Restart the kernel's count of peak resident memory (Linux)."""
    with contextlib.suppress(OSError):  # not there, or not for us
        CLEAR_REFS.write_text("5")


def peak() -> int:
    """Return peak resident memory in bytes: since `reset_peak` on Linux; of the whole process where no line says it."""
    if kibibytes := memory.read_number(STATUS, "VmHWM:"):
        return kibibytes * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def reset_device_bytes() -> None:
    """Restart the frameworks' counts of peak device memory, where they can: JAX cannot."""
    for module in shared():
        getattr(module, "reset_device_bytes", lambda: None)()


def device_bytes() -> int | None:
    """Return the frameworks' peak of device memory in bytes; None without a device."""
    counts = [getattr(module, "device_bytes", lambda: None)() for module in shared()]
    return max((count for count in counts if count is not None), default=None)


def event_seconds(run: Callable[[], object], runs: int) -> float | None:
    """Return a run's seconds by the device's own clock, the median of `runs`; None if no framework can tell."""
    clocks = [module.event_seconds for module in shared() if hasattr(module, "event_seconds")]
    times = [seconds for clock in clocks for _ in range(runs) if (seconds := clock(run)) is not None]
    return median(times) if times else None


def device_work(run: Callable[[], object], nothing: Callable[[], object], steps: int) -> dict[str, float]:
    """Return a run's launches and its kernels and copies, per step, and the seconds in which the GPU carried out any.

    `nothing` is a run of no steps: a profiler's first use may miss work. Raises RuntimeError where it sees none.
    """
    profilers = [module.device_work for module in shared() if hasattr(module, "device_work")]
    if not profilers:
        raise RuntimeError("the framework has no profiler of its own")
    profilers[0](nothing)
    work = profilers[0](run)
    if not work:
        raise RuntimeError("the profiler saw no work on the GPU")
    launches = {one.launch for one in work}
    known = {} if None in launches else {"launches": len(launches) / steps}
    return known | {"gpu_operations": len(work) / steps, "busy_s": _covered(work) / 1e9}


def _covered(work: list[DeviceWork]) -> float:
    """Return the nanoseconds in which at least one is under way."""
    covered, end = 0.0, -math.inf
    for one in sorted(work, key=lambda one: one.start_ns):
        covered += max(0.0, one.end_ns - max(end, one.start_ns))
        end = max(end, one.end_ns)
    return covered


def threads() -> dict[str, Any]:
    """Return the thread pools with their sizes, the frameworks' own count, the BLAS libraries and the cores."""
    counts = {module.__name__.removeprefix("impls._"): module.threads() for module in shared()}
    own = {name: count for name, count in counts.items() if count is not None}
    libraries: list[dict[str, Any]] = []
    with contextlib.suppress(ImportError):
        import threadpoolctl

        libraries = threadpoolctl.threadpool_info()
    pools = own | {library["internal_api"]: library["num_threads"] for library in libraries}
    names = ("internal_api", "version", "architecture")
    blas = [" ".join(filter(None, map(one.get, names))) for one in libraries if one["user_api"] == "blas"]
    most = max(own.values(), default=None)
    return {"pools": pools, "framework_threads": most, "blas": ", ".join(blas), "cores": cores()}


def cores() -> list[int] | None:
    """Return the cores that this process may use; None if the system does not tell."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None


def precision(framework: str, dtype: str, device: Device) -> dict[str, Any]:
    """Return the mantissa bits that a matmul and a matvec keep, and whether subnormal numbers are kept; {} if unknown.

    (1 + 2^-j) * 1 is 1 + 2^-j only if a product keeps j bits of its factors. Both factors and both products are tried.
    """
    product = getattr(shared_module(framework), "product", None)
    if product is None and framework != "numpy":
        return {}
    multiply = product or (lambda a, b, device: a @ b)
    j = np.arange(1, np.finfo(dtype).nmant + 1)
    fine = np.ones(PROBE_ROWS, dtype)
    fine[: len(j)] += (2.0**-j).astype(dtype)
    fine[SUBNORMAL_ROW] = np.finfo(dtype).tiny
    unit = np.ones(PROBE_ROWS, dtype)
    unit[SUBNORMAL_ROW] = 0.5
    both = multiply(np.diag(fine), np.diag(unit), device), multiply(np.diag(unit), np.diag(fine), device)
    vectors = multiply(np.diag(fine), unit, device), multiply(np.diag(unit), fine, device)
    return {
        "matmul_bits": min(_kept(result.diagonal(), len(j)) for result in both),
        "matvec_bits": min(_kept(result, len(j)) for result in vectors),
        "denormals": "kept" if both[0][SUBNORMAL_ROW, SUBNORMAL_ROW] > 0 else "flushed",
    }


def _kept(products: Array, tried: int) -> int:
    """Return how many of the first elements are exactly 1 + 2^-1, 1 + 2^-2, ..."""
    exact = np.asarray(products[:tried], float) == 1 + 2.0 ** -np.arange(1, tried + 1)
    return tried if exact.all() else int(np.argmin(exact))
