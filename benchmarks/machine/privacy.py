"""Keep people out of saved files: no user, host, home, temporary path, or value of a variable that is not listed."""

import getpass
import os
import re
import socket
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
SETTING_NAMES = """
OMP_NUM_THREADS OMP_PROC_BIND OMP_PLACES OMP_SCHEDULE OMP_WAIT_POLICY OMP_DYNAMIC OMP_STACKSIZE GOMP_CPU_AFFINITY
GOMP_SPINCOUNT KMP_AFFINITY KMP_BLOCKTIME KMP_HW_SUBSET NPROC OPENBLAS_NUM_THREADS OPENBLAS_CORETYPE OPENBLAS_L2_SIZE
OPENBLAS_THREAD_TIMEOUT NPY_DISABLE_CPU_FEATURES ATEN_CPU_CAPABILITY BLIS_NUM_THREADS BLIS_ARCH_TYPE MKL_NUM_THREADS
MKL_DYNAMIC MKL_CBWR MKL_ENABLE_INSTRUCTIONS MKL_DEBUG_CPU_TYPE VECLIB_MAXIMUM_THREADS ONEDNN_MAX_CPU_ISA
ONEDNN_DEFAULT_FPMATH_MODE ONEDNN_PRIMITIVE_CACHE_CAPACITY NUMBA_NUM_THREADS NUMBA_OPT NUMBA_DISABLE_JIT
NUMBA_CPU_NAME NUMBA_CPU_FEATURES NUMBA_THREADING_LAYER NUMBA_ENABLE_AVX NUMBA_FASTMATH NUMBA_SLP_VECTORIZE
NUMBA_CACHE_DIR PJRT_NPROC XLA_FLAGS XLA_PYTHON_CLIENT_PREALLOCATE XLA_PYTHON_CLIENT_MEM_FRACTION
XLA_PYTHON_CLIENT_ALLOCATOR JAX_PLATFORMS JAX_ENABLE_X64 JAX_DISABLE_JIT JAX_DEFAULT_MATMUL_PRECISION
JAX_CPU_ENABLE_ASYNC_DISPATCH JAX_COMPILATION_CACHE_DIR JAX_ENABLE_COMPILATION_CACHE JAX_USE_SHARDY_PARTITIONER
TF_XLA_FLAGS TF_ENABLE_ONEDNN_OPTS TF_NUM_INTEROP_THREADS TF_NUM_INTRAOP_THREADS TF_FORCE_GPU_ALLOW_GROWTH
TORCHINDUCTOR_CACHE_DIR TORCHINDUCTOR_FREEZING TORCHINDUCTOR_MAX_AUTOTUNE TORCHINDUCTOR_COMPILE_THREADS
TORCH_COMPILE_DISABLE TORCHDYNAMO_DISABLE TORCH_ALLOW_TF32_CUBLAS_OVERRIDE TORCH_CUDNN_V8_API_DISABLED
TRITON_INTERPRET TRITON_CACHE_DIR PYTORCH_CUDA_ALLOC_CONF PYTORCH_ALLOC_CONF PYTORCH_NO_CUDA_MEMORY_CACHING
CUDA_VISIBLE_DEVICES CUDA_LAUNCH_BLOCKING CUDA_DEVICE_ORDER CUDA_CACHE_DISABLE CUDA_MODULE_LOADING
CUDA_DEVICE_MAX_CONNECTIONS CUDA_AUTO_BOOST CUBLAS_WORKSPACE_CONFIG NVIDIA_TF32_OVERRIDE MALLOC_ARENA_MAX MALLOC_CONF
MALLOC_TRIM_THRESHOLD_ MALLOC_TOP_PAD_ MALLOC_MMAP_THRESHOLD_ LD_PRELOAD PYTHONHASHSEED PYTHONMALLOC PYTHONOPTIMIZE
PYTHON_GIL PYTHON_JIT
"""  # variables that change speed or threads
SETTINGS = frozenset(SETTING_NAMES.split())
SAFE_VALUE = re.compile(r"[\w.,:;=+{}() -]{0,200}", re.ASCII)
COMMON_NAMES = {"", "root", "user", "users", "ubuntu", "debian", "runner", "admin", "nobody", "jovyan", "localhost"}
HOMES = re.compile(r"(?:/home|/Users|[A-Za-z]:\\Users)[/\\][^/\\\s'\":,;()]+")
NAME_END = r"(?![\w-])"
SECRET_NAME = re.compile(r"TOKEN|SECRET|PASSW|CREDENTIAL|(API|ACCESS|PRIVATE|AUTH)_?KEY", re.IGNORECASE)
MIN_SECRET_CHARACTERS = 8  # a shorter value may be a word of any text
NO_MATCH = "(?!)"
# Facts that the user has named
CHOSEN_FIELDS = {"impl", "environment", "problem", "duplicate_of", "aa", "machine", "slug", "node"}


def settings(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the listed variables. A value that is no plain setting is replaced: "(a path)" or "(not shown)"."""
    return {name: _setting(environ[name]) for name in sorted(environ) if name in SETTINGS}


def _setting(value: str) -> str:
    if "/" in value or "\\" in value:
        return "(a path)"
    return value if SAFE_VALUE.fullmatch(value) else "(not shown)"


def clean(value: Any, replace: Callable[[str], str]) -> Any:
    """Return JSON data with every text replaced, except what the user has named."""
    if isinstance(value, str):
        return replace(value)
    if isinstance(value, dict):
        return {name: entry if name in CHOSEN_FIELDS else clean(entry, replace) for name, entry in value.items()}
    return [clean(entry, replace) for entry in value] if isinstance(value, list) else value


def path_replacer() -> Callable[[str], str]:
    """Return a function that replaces homes, temporary folders and the path of this checkout in a text."""
    folders = {f"{ROOT}{os.sep}": "", str(ROOT): "."}
    for name, folder in (("(tmp)", tempfile.gettempdir()), ("~", os.path.expanduser("~"))):
        folders |= {folder: name, os.path.realpath(folder): name}
    longest = sorted((folder for folder in folders if len(folder) > 1), key=len, reverse=True)
    patterns = [rf"(?<![\w.~-]){re.escape(folder)}{'' if folder.endswith(os.sep) else NAME_END}" for folder in longest]
    places = re.compile("|".join(patterns))
    return lambda text: HOMES.sub("~", places.sub(lambda match: folders[match[0]], text))


def replacer(hosts: Iterable[str] = ()) -> Callable[[str], str]:
    """Return a function that also replaces names of this user and of hosts, and values of variables with secrets."""
    paths = path_replacer()
    values = {value for name, value in os.environ.items() if SECRET_NAME.search(name)}
    values = {value for value in values if len(value) >= MIN_SECRET_CHARACTERS}
    secrets = re.compile("|".join(map(re.escape, sorted(values, key=len, reverse=True))) or NO_MATCH)
    host_words = {host: f"(host {number})" for number, host in enumerate(hosts)}
    host = socket.gethostname()
    words = dict.fromkeys(_users(), "(user)")
    words |= dict.fromkeys([host, host.partition(".")[0], os.environ.get("HOSTNAME", "")], "(host)") | host_words
    private = (name for name in words if name.lower() not in COMMON_NAMES and len(name) > 2)
    names = sorted(private, key=len, reverse=True)
    pattern = re.compile("|".join(rf"(?<![\w-]){re.escape(name)}(?![\w-])" for name in names) or NO_MATCH)
    return lambda text: pattern.sub(lambda match: words[match[0]], paths(secrets.sub("(secret)", text)))


def _users() -> set[str]:
    names = {os.environ.get(name, "") for name in ("USER", "LOGNAME", "USERNAME", "SUDO_USER")}
    try:
        return names | {getpass.getuser()}
    except (OSError, KeyError):  # a number without a name
        return names
