"""The machine: what it is called and what it is. The host's name stays here."""

import functools
import hashlib
import importlib.metadata
import os
import re
import uuid
from pathlib import Path
from typing import Any

PACKAGES = ("numpy", "torch", "jax", "jaxlib", "pandas", "pytest", "pytest-benchmark")


@functools.cache
def slug() -> str:
    """CPU, cores, GPU and six hex digits that tell two equal machines apart: `amd-epyc-2c-3f9a1c`."""
    name = re.sub(r"\((r|tm)\)|\bcpu\b|\bprocessor\b|@.*|\d+-core", " ", cpu().lower())
    parts = [name, f"{cores()}c", gpu().lower(), fingerprint()]
    return "-".join(filter(None, (re.sub(r"[^a-z0-9]+", "-", part).strip("-") for part in parts)))


def check_slug(name: str) -> str:
    """The name, if it can be a folder's. Raises ValueError."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name):
        raise ValueError(f"machine {name!r}: letters, digits, '.', '_' and '-', at most 64, no '.' or '-' in front")
    return name


@functools.cache
def cpu() -> str:
    """The CPU's own name."""
    import cpuinfo

    return str(cpuinfo.get_cpu_info().get("brand_raw", "cpu"))


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@functools.cache
def gpu() -> str:
    """Name of the first NVIDIA GPU, or "" (also where nvidia-ml-py is not installed)."""
    try:
        import pynvml

        pynvml.nvmlInit()
        name = pynvml.nvmlDeviceGetName(pynvml.nvmlDeviceGetHandleByIndex(0))
    except ImportError:
        return ""
    except pynvml.NVMLError:
        return ""
    return name.decode() if isinstance(name, bytes) else str(name)


def fingerprint() -> str:
    """Six hex digits of a hash over the operating system's machine id, or the network card's address without one."""
    ids = (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id"))
    known = next((path.read_text().strip() for path in ids if path.exists() and path.read_text().strip()), "")
    return hashlib.sha256(f"descentbench {known or uuid.getnode()}".encode()).hexdigest()[:6]


def facts(name: str) -> dict[str, Any]:
    """What a run's `machine_info` says beside pytest-benchmark's own; `node` is the slug, not the host's name."""
    installed = {dist.name.lower() for dist in importlib.metadata.distributions() if dist.name}
    packages = {package: importlib.metadata.version(package) for package in PACKAGES if package in installed}
    ram = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {"node": name, "slug": name, "cores": cores(), "ram_bytes": ram, "gpu": gpu(), "packages": packages}
