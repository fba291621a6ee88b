"""What a worker finds out about its own process: threads, precision, compilations; probed, for settings are ignored."""

import contextlib
import importlib
import importlib.metadata
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
from impls.interface import Array, Device

SIZE = 256  # rows of the probe's matrix: large enough for the kernels that keep fewer bits
SPARE = SIZE - 1  # the row that asks for a subnormal number
CACHES = (
    "JAX_COMPILATION_CACHE_DIR",
    "TORCHINDUCTOR_CACHE_DIR",
    "TRITON_CACHE_DIR",
    "NUMBA_CACHE_DIR",
    "CUPY_CACHE_DIR",
    "CACHEDB",
)
SHARED = sorted(path.stem[1:] for path in impls.HERE.glob("_[a-z]*.py"))


def framework(impl: str, module: str) -> str:
    """What the implementation is written in: named by its file, or else the last that was loaded, or else NumPy.

    The last, for TensorFlow loads JAX, where that is installed, and is itself complete when JAX is.
    module: where its `prepare` comes from, for a package may be named as its implementations are.
    """
    named, own = Path(impl).stem.partition("_")[0], (Path(impl).stem, module.partition(".")[0])
    loaded = {module.__name__.removeprefix("impls._") for module in shared()}
    if named in sys.modules and named not in own:
        return named
    return next((name for name in reversed(sys.modules) if name in loaded), "numpy")


def version(framework: str) -> str:
    """The framework's version, as it says itself, or else as its package does; "" where neither is to be had."""
    said = getattr(sys.modules.get(framework), "__version__", None)
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        return str(said or importlib.metadata.version(framework))
    return ""


def shared() -> list[ModuleType]:
    """The underscore files of all frameworks that this process has loaded: they also set the precision."""
    return [importlib.import_module(f"impls._{name}") for name in SHARED if name in sys.modules]


def jit_cache() -> str:
    """What compiled code from before this process it could find, by the settings that name it; or "fresh"."""
    kept = [name for name in CACHES if name in os.environ and Path(os.environ[name]).exists()]
    return ", ".join(kept) or "fresh"


def compilations() -> int:
    """Compilations in this process so far, by the frameworks' own counters."""
    return sum(module.compilations() for module in shared())


def reset_peak() -> None:
    """Have the kernel count the peak of resident memory from here on, where it can (Linux)."""
    clear = Path("/proc/self/clear_refs")
    if os.access(clear, os.W_OK):
        clear.write_text("5")


def peak() -> int:
    """Peak resident memory in bytes: since `reset_peak` on Linux, of the whole process elsewhere."""
    status = Path("/proc/self/status")
    if status.exists():
        return next(int(line.split()[1]) * 1024 for line in status.read_text().splitlines() if "VmHWM" in line)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def reset_device_bytes() -> None:
    """Have the frameworks count their peak of device memory anew, where they can: JAX cannot."""
    for module in shared():
        getattr(module, "reset_device_bytes", lambda: None)()


def device_bytes() -> int | None:
    """The frameworks' peak of device memory; None where none knows of a device."""
    told = [getattr(module, "device_bytes", lambda: None)() for module in shared()]
    return max((count for count in told if count is not None), default=None)


def event_seconds(run: Callable[[], object]) -> float | None:
    """What a run takes by the device's own clock, the median of three; None where no framework can tell."""
    clocks = [module.event_seconds for module in shared() if hasattr(module, "event_seconds")]
    told = [seconds for clock in clocks for _ in range(3) if (seconds := clock(run)) is not None]
    return median(told) if told else None


def threads() -> dict[str, Any]:
    """Each thread pool with its size, by threadpoolctl and by the frameworks' own count; the cores; BLAS in words."""
    counts = {module.__name__.removeprefix("impls._"): module.threads() for module in shared()}
    pools = {name: count for name, count in counts.items() if count is not None}
    own = list(pools.values())
    blas = []
    try:
        import threadpoolctl
    except ImportError:
        libraries = []
    else:
        libraries = threadpoolctl.threadpool_info()
    for library in libraries:
        pools[library["internal_api"]] = library["num_threads"]
        if library["user_api"] == "blas":
            words = (library["internal_api"], library["version"], library.get("architecture"))
            blas.append(" ".join(str(word) for word in words if word))
    return {"pools": pools, "framework_threads": max(own, default=None), "blas": ", ".join(blas), "cores": cores()}


def cores() -> list[int] | None:
    """The cores that this process is kept to; None where the system does not tell."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None


def precision(framework: str, dtype: str, device: Device) -> dict[str, Any]:
    """Mantissa bits that a matmul and a matvec keep, and what becomes of subnormal numbers; {} where none can be asked.

    (1 + 2^-j) * 1 is 1 + 2^-j just when a product keeps j bits of its factors; both factors and both kinds are tried.
    """
    product = next(
        (getattr(module, "product", None) for module in shared() if module.__name__ == f"impls._{framework}"), None
    )
    if product is None and framework != "numpy":
        return {}
    multiply = product or (lambda a, b, device: a @ b)
    j = np.arange(1, np.finfo(dtype).nmant + 1)
    fine = np.ones(SIZE, dtype)
    fine[: len(j)] += (2.0**-j).astype(dtype)
    fine[SPARE] = np.finfo(dtype).tiny
    unit = np.ones(SIZE, dtype)
    unit[SPARE] = 0.5
    both = multiply(np.diag(fine), np.diag(unit), device), multiply(np.diag(unit), np.diag(fine), device)
    vectors = multiply(np.diag(fine), unit, device), multiply(np.diag(unit), fine, device)
    return {
        "matmul_bits": min(_kept(result.diagonal(), len(j)) for result in both),
        "matvec_bits": min(_kept(result, len(j)) for result in vectors),
        "denormals": "kept" if both[0][SPARE, SPARE] > 0 else "flushed",
    }


def _kept(found: Array, tried: int) -> int:
    """How many of the first elements are 1 + 2^-1, 1 + 2^-2, ..., not rounded."""
    exact = np.asarray(found[:tried], float) == 1 + 2.0 ** -np.arange(1, tried + 1)
    return tried if exact.all() else int(np.argmin(exact))
