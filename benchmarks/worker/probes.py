"""Probes of the worker's process: threads, precision, compilations. They measure, because settings may be ignored."""

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
SUBNORMAL_ROW = PROBE_ROWS - 1  # its product is subnormal
CACHE_VARIABLES = ("JAX_COMPILATION_CACHE_DIR", *environment.CACHE_VARIABLES)
STATUS, CLEAR_REFS = Path("/proc/self/status"), Path("/proc/self/clear_refs")
SHARED_MODULES = sorted(path.stem[1:] for path in impls.HERE.glob("_[a-z]*.py"))


def framework(impl: str, module: str) -> str:
    """Return the implementation's framework: named by its file, else the last one loaded, else NumPy.

    The last one counts, because TensorFlow loads JAX if it is installed. module: that of its `prepare`; a package named
    like the implementation is no framework.
    """
    prefix, own_modules = Path(impl).stem.partition("_")[0], (Path(impl).stem, module.partition(".")[0])
    loaded = {module.__name__.removeprefix("impls._") for module in shared()} - {"keras"}  # its backend counts
    if prefix in sys.modules and prefix not in own_modules:
        return prefix
    latest_first = [name for name in reversed(sys.modules) if name in loaded]
    computing = [name for name in latest_first if name != "sklearn"]  # else it may only scale the data
    return (computing or latest_first or ["numpy"])[0]


def version(framework: str) -> str:
    """Return the framework's version, from the module or the installed package; "" if neither has one."""
    module_version = getattr(sys.modules.get(framework), "__version__", None)
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        return str(module_version or importlib.metadata.version(framework))
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
    """Return the involuntary and the voluntary context switches of this thread so far."""
    of_thread = getattr(resource, "RUSAGE_THREAD", resource.RUSAGE_SELF)  # macOS has no count of a thread
    usage = resource.getrusage(of_thread)
    return usage.ru_nivcsw, usage.ru_nvcsw


def take_seconds(*names: str) -> float | None:
    """Return the seconds of the frameworks' `Timed` functions of these names since the last call; None if unused."""
    timed = [function for module in shared() for name in names if isinstance(function := vars(module).get(name), Timed)]
    functions = [*dict.fromkeys(timed)]  # modules may import each other's functions
    spent = [function.seconds for function in functions if function.seconds is not None]
    for function in functions:
        function.seconds = None
    return sum(spent) if spent else None


def reset_peak() -> None:
    """Restart the kernel's count of peak resident memory (Linux)."""
    with contextlib.suppress(OSError):  # missing, or not writable
        CLEAR_REFS.write_text("5")


def peak() -> int:
    """Return peak resident memory in bytes: since `reset_peak` on Linux, else of the whole process."""
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
    """Return a run's launches per step, its kernels and copies per step, and the seconds in which the GPU was busy.

    `nothing` is a run of no steps: a profiler's first use may miss work. Raises RuntimeError if it sees no work.
    """
    profilers = [module.device_work for module in shared() if hasattr(module, "device_work")]
    if not profilers:
        raise RuntimeError("the framework has no profiler of its own")
    profilers[0](nothing)
    work = profilers[0](run)
    if not work:
        raise RuntimeError("the profiler saw no work on the GPU")
    launches = {operation.launch for operation in work}
    counts = {} if None in launches else {"launches": len(launches) / steps}
    return counts | {"gpu_operations": len(work) / steps, "busy_s": _covered(work) / 1e9}


def _covered(work: list[DeviceWork]) -> float:
    """Return the nanoseconds in which at least one operation runs."""
    covered, end = 0.0, -math.inf
    for operation in sorted(work, key=lambda operation: operation.start_ns):
        covered += max(0.0, operation.end_ns - max(end, operation.start_ns))
        end = max(end, operation.end_ns)
    return covered


def threads() -> dict[str, Any]:
    """Return the thread pools with their sizes, the frameworks' own count, the BLAS libraries and the cores."""
    counts = {module.__name__.removeprefix("impls._"): module.threads() for module in shared()}
    framework_counts = {name: count for name, count in counts.items() if count is not None}
    libraries: list[dict[str, Any]] = []
    with contextlib.suppress(ImportError):
        import threadpoolctl

        libraries = threadpoolctl.threadpool_info()
    pools = framework_counts | {library["internal_api"]: library["num_threads"] for library in libraries}
    names = ("internal_api", "version", "architecture")
    blas = [" ".join(filter(None, map(library.get, names))) for library in libraries if library["user_api"] == "blas"]
    most_threads = max(framework_counts.values(), default=None)
    return {"pools": pools, "framework_threads": most_threads, "blas": ", ".join(blas), "cores": cores()}


def cores() -> list[int] | None:
    """Return the cores that this process may use; None if unknown."""
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
    matrices = multiply(np.diag(fine), np.diag(unit), device), multiply(np.diag(unit), np.diag(fine), device)
    vectors = multiply(np.diag(fine), unit, device), multiply(np.diag(unit), fine, device)
    return {
        "matmul_bits": min(_kept(result.diagonal(), len(j)) for result in matrices),
        "matvec_bits": min(_kept(result, len(j)) for result in vectors),
        "denormals": "kept" if matrices[0][SUBNORMAL_ROW, SUBNORMAL_ROW] > 0 else "flushed",
    }


def _kept(products: Array, count: int) -> int:
    """Return how many of the first elements are exactly 1 + 2^-1, 1 + 2^-2, ..."""
    exact = np.asarray(products[:count], float) == 1 + 2.0 ** -np.arange(1, count + 1)
    return count if exact.all() else int(np.argmin(exact))
