"""The environment and the cores of a worker: they must be set before a framework is imported."""

import os

import impls
from benchmarks.worker import cleanup, memory

# CACHEDB is tinygrad's
CACHE_VARIABLES = ("TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR", "NUMBA_CACHE_DIR", "CUPY_CACHE_DIR", "CACHEDB")
THREAD_VARIABLES = (
    *("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS", "NPROC", "PJRT_NPROC"),
)
KERAS_BACKENDS = ("jax", "tensorflow", "torch")
RANK_PREFIXES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_", "TORCHELASTIC_")


def pinned(threads: int) -> list[int]:
    """Return the cores of a worker with that many threads: the last ones available; [] without a choice."""
    return sorted(os.sched_getaffinity(0))[-threads:] if hasattr(os, "sched_getaffinity") else []


def of_implementation(impl: str) -> dict[str, str]:
    """Return the variables that follow from an implementation's name or file: Keras reads its backend on import."""
    stem = os.path.basename(impl).removesuffix(".py").partition("@")[0]  # of an older file: NAME@COMMIT.py
    framework, _, variant = stem.partition("_")
    backend = {"keras": variant, "tensorflow": "tensorflow"}.get(framework)
    return {"KERAS_BACKEND": backend} if backend in KERAS_BACKENDS else {}


def environment(threads: int, device: str, precision: str, folder: str) -> dict[str, str]:
    """Return a worker's environment: threads, precision, fresh compiler caches, and no GPU unless asked for.

    It must be set before a framework is imported. JAX takes device memory as it needs it, unless the user's settings
    say otherwise. Temporary files and caches go to the folder. Its name is the tag of the worker and of its children.
    """
    settings = ("JAX_COMPILATION_CACHE_DIR", "NVIDIA_TF32_OVERRIDE", memory.LIMIT_VARIABLE, impls.INSTALL)
    unwanted = (*settings, *RANK_PREFIXES)
    env = {name: value for name, value in os.environ.items() if not name.startswith(unwanted)}
    env |= dict.fromkeys(THREAD_VARIABLES, str(threads)) | {"DESCENTBENCH_PRECISION": precision, "JAX_ENABLE_X64": "1"}
    env |= {cleanup.TAG: folder, "TMPDIR": folder}
    env |= dict.fromkeys(CACHE_VARIABLES, os.path.join(folder, "jit")) | {"TORCHINDUCTOR_COMPILE_THREADS": "1"}
    if device == "cpu":
        return env | {"JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": ""}
    return {"XLA_PYTHON_CLIENT_PREALLOCATE": "false", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"} | env
