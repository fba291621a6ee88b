"""The machine's name and facts. The host's name is never saved."""

import functools
import hashlib
import importlib
import importlib.metadata
import json
import os
import platform
import re
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.machine import cgroup, gpu, privacy
from benchmarks.machine.files import text_of

PACKAGES = (
    *("numpy", "torch", "jax", "jaxlib", "triton", "numba", "tensorflow-cpu", "tensorflow", "tinygrad", "cupy-cuda12x"),
    *("cupy-cuda13x", "keras", "optax", "mlx", "scikit-learn", "dask", "distributed"),
    *("pandas", "pytest", "pytest-benchmark"),
)
ISA_FLAGS = ("avx", "avx2", "fma", "avx512f", "avx512_bf16", "avx512_vnni", "amx_tile", "neon", "asimd", "sve")
MACHINE_ID_FILES = (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id"))
BOOT_ID_FILE = Path("/proc/sys/kernel/random/boot_id")
MULTICAST_BIT = 1 << 40  # set in the random number that `uuid.getnode` returns without a network card
PROCESSOR_KEYS = ("vendor_id_raw", "family", "model", "stepping")
FLUCTUATING_KEYS = ("hz_actual", "hz_actual_friendly")  # else every comparison warns of another machine
CPUFREQ = Path("/sys/devices/system/cpu")
PLATFORM = (  # functions of `platform`
    *("processor", "machine", "release", "system"),
    *("python_version", "python_build", "python_compiler", "python_implementation"),
)


@functools.cache
def slug() -> str:
    """Return CPU, cores, GPU and six hex digits that distinguish equal machines: `amd-epyc-2c-3f9a1c`."""
    name = re.sub(r"\((r|tm)\)|\bcpu\b|\bprocessor\b|@.*|\d+-core", " ", cpu().lower())
    words = [name, f"{cores()}c", gpu.name().lower(), fingerprint()]
    return "-".join(filter(None, (re.sub(r"[^a-z0-9]+", "-", word).strip("-") for word in words)))


def check_slug(name: str, label: str = "machine") -> str:
    """Return the name if it is valid for a file on any system. Raises ValueError."""
    if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,62}[A-Za-z0-9_-])?", name):
        rule = "letters, digits, '.', '_' and '-', at most 64, no '.', '_' or '-' in front, no '.' at the end"
        raise ValueError(f"{label} {name!r}: {rule}")
    if re.fullmatch(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", name, re.IGNORECASE):
        raise ValueError(f"{label} {name!r}: Windows has a device of that name")
    return name


@functools.cache
def cpu() -> str:
    """Return the CPU's name."""
    return str(cpu_info().get("brand_raw", "cpu"))


@functools.cache
def cpu_info() -> dict[str, Any]:
    """Return py-cpuinfo's result."""
    import cpuinfo

    return dict(cpuinfo.get_cpu_info())


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def fingerprint() -> str:
    """Return six hex digits of a hash over the machine's id and its processor: copies of one image share the id.

    Without an id, the network card's address or the boot's id is used.
    """
    machine_id = next((text for path in MACHINE_ID_FILES if (text := text_of(path).strip())), "")
    card = uuid.getnode()
    address = "" if card & MULTICAST_BIT else str(card)
    return _short_hash(" ".join([machine_id or address or text_of(BOOT_ID_FILE).strip(), *processor()]))


def processor() -> list[str]:
    """Return what distinguishes processors of one name: vendor, family, model and stepping, as far as known."""
    return [f"{key} {cpu_info()[key]}" for key in PROCESSOR_KEYS if key in cpu_info()]


def _short_hash(text: str) -> str:
    return hashlib.sha256(f"descentbench {text}".encode()).hexdigest()[:6]


def facts(name: str) -> dict[str, Any]:
    """Return a run's `machine_info`: pytest-benchmark's keys and more. `node` is the slug, not the host's name.

    RAM is in bytes, cores respect the cgroup's quota, None or "" stands for unknown. `setup_hash` is over what must
    agree for times to be comparable: runs with equal hashes were made on one machine with one setup.
    """
    installed = _installed()
    setup = {
        "slug": name,
        "isa": ", ".join(flag for flag in ISA_FLAGS if flag in cpu_info().get("flags", [])),
        "cores": cores(),
        "physical_cores": _psutil("cpu_count", logical=False),
        "quota_cores": cgroup.quota(),
        "governor": text_of(CPUFREQ / "cpu0" / "cpufreq" / "scaling_governor").strip(),
        "turbo": turbo(),
        "ram_bytes": getattr(_psutil("virtual_memory"), "total", None),
        "gpu": gpu.name(),
        "gpu_facts": gpu.facts(),
        "system_release": platform.release(),
        "python": platform.python_version(),
        "packages": {package: installed[package] for package in PACKAGES if package in installed},
        "env": privacy.settings(os.environ),
    }
    boot, booted = text_of(BOOT_ID_FILE).strip(), _psutil("boot_time")
    digest = hashlib.sha256(json.dumps([cpu(), processor(), setup], sort_keys=True).encode()).hexdigest()
    return {
        "node": name,
        **{fact: getattr(platform, fact)() for fact in PLATFORM},
        "python_implementation_version": platform.python_version(),
        "cpu": {key: value for key, value in cpu_info().items() if key not in FLUCTUATING_KEYS},
        **setup,
        "boot_hash": _short_hash(boot) if boot else "",
        "boot_time": f"{datetime.fromtimestamp(booted, UTC):%Y-%m-%dT%H:%MZ}" if booted else "",
        "installed": installed,
        "setup_hash": digest[:16],
    }


def _installed() -> dict[str, str]:
    """Return the version of each installed package, from the first lines of its metadata: parsing it all is slow."""
    versions = {}
    for dist in importlib.metadata.distributions():
        text = dist.read_text("METADATA") or dist.read_text("PKG-INFO") or ""
        fields = dict(re.findall(r"^(Name|Version): *(.*?) *$", text.partition("\n\n")[0], re.MULTILINE))
        if len(fields) == 2:
            versions[fields["Name"].lower()] = fields["Version"]
    return versions


def turbo() -> str:
    """Return "on" or "off"; "" if unknown."""
    switches = {CPUFREQ / "intel_pstate" / "no_turbo": "01", CPUFREQ / "cpufreq" / "boost": "10"}
    settings = {text_of(path).strip(): on_off for path, on_off in switches.items() if path.exists()}
    return next(("on" if word == on_off[0] else "off" for word, on_off in settings.items()), "")


def _psutil(function: str, **options: Any) -> Any:
    """Return psutil's answer; None if it is not installed, or the system does not say."""
    try:
        return getattr(importlib.import_module("psutil"), function)(**options)
    except (ImportError, OSError, RuntimeError, ValueError, KeyError):  # no /proc, or one without these lines
        return None
