"""Facts about CUDA's first GPU from NVIDIA's management library; nothing without a GPU or without nvidia-ml-py."""

import functools
import os
from collections.abc import Callable
from typing import Any


@functools.cache
def _first() -> tuple[Any, Any] | None:
    """The library, and its handle of the first GPU that CUDA_VISIBLE_DEVICES lets through (both count by PCI bus)."""
    seen = os.environ.get("CUDA_VISIBLE_DEVICES", "0").partition(",")[0].strip()
    try:
        import pynvml

        pynvml.nvmlInit()
        if seen.isdigit():
            return pynvml, pynvml.nvmlDeviceGetHandleByIndex(int(seen))
        return (pynvml, pynvml.nvmlDeviceGetHandleByUUID(seen)) if seen not in ("", "-1") else None
    except ImportError:
        return None
    except pynvml.NVMLError:
        return None


def name() -> str:
    """Return its name, or ""."""
    return str(_asked(lambda nvml, gpu: _text(nvml.nvmlDeviceGetName(gpu))) or "")


def facts() -> dict[str, Any]:
    """Return driver, CUDA, power limit (W), highest clocks (MHz), memory (bytes), persistence; {} without a GPU."""
    asked: dict[str, Callable[[Any, Any], Any]] = {
        "driver": lambda nvml, gpu: _text(nvml.nvmlSystemGetDriverVersion()),
        "cuda": lambda nvml, gpu: nvml.nvmlSystemGetCudaDriverVersion() / 1000,
        "power_limit_w": lambda nvml, gpu: nvml.nvmlDeviceGetEnforcedPowerLimit(gpu) / 1000,
        "max_sm_mhz": lambda nvml, gpu: nvml.nvmlDeviceGetMaxClockInfo(gpu, nvml.NVML_CLOCK_SM),
        "max_memory_mhz": lambda nvml, gpu: nvml.nvmlDeviceGetMaxClockInfo(gpu, nvml.NVML_CLOCK_MEM),
        "memory_bytes": lambda nvml, gpu: nvml.nvmlDeviceGetMemoryInfo(gpu).total,
        "persistence": lambda nvml, gpu: nvml.nvmlDeviceGetPersistenceMode(gpu),
    }
    return {what: _asked(ask) for what, ask in asked.items()} if _first() else {}


def throttle_reasons() -> str:
    """Return what lowers its clocks now, in the library's words; "" for nothing."""
    answer = _asked(lambda nvml, gpu: (nvml, nvml.nvmlDeviceGetCurrentClocksThrottleReasons(gpu)))
    if answer is None:
        return ""
    nvml, bits = answer
    prefix = "nvmlClocksThrottleReason"
    reasons = {name.removeprefix(prefix): getattr(nvml, name) for name in dir(nvml) if name.startswith(prefix)}
    return ", ".join(name for name, bit in reasons.items() if bits & bit and name not in ("GpuIdle", "All"))


def now() -> dict[str, Any]:
    """Return clocks (MHz), the highest clock, temperature (degrees Celsius), power (W) and throttle reasons."""
    asked: dict[str, Callable[[Any, Any], Any]] = {
        "sm_mhz": lambda nvml, gpu: nvml.nvmlDeviceGetClockInfo(gpu, nvml.NVML_CLOCK_SM),
        "memory_mhz": lambda nvml, gpu: nvml.nvmlDeviceGetClockInfo(gpu, nvml.NVML_CLOCK_MEM),
        "gpu_celsius": lambda nvml, gpu: nvml.nvmlDeviceGetTemperature(gpu, nvml.NVML_TEMPERATURE_GPU),
        "gpu_watts": lambda nvml, gpu: nvml.nvmlDeviceGetPowerUsage(gpu) / 1000,
        "max_sm_mhz": lambda nvml, gpu: nvml.nvmlDeviceGetMaxClockInfo(gpu, nvml.NVML_CLOCK_SM),
    }
    return {what: _asked(ask) for what, ask in asked.items()} | {"throttle_reasons": throttle_reasons()} if _first() else {}


def over(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """Return the facts of a row from `now` before its timed rounds and after them; {} without a GPU."""
    if not before or not after:
        return {}
    reasons = sorted({word for one in (before, after) for word in one["throttle_reasons"].split(", ") if word})
    clocks = ("sm_mhz", "memory_mhz", "gpu_celsius", "gpu_watts")
    facts = {f"{name}_{when}": one[name] for name in clocks for when, one in (("before", before), ("after", after))}
    return facts | {"max_sm_mhz": after["max_sm_mhz"], "throttle_reasons": ", ".join(reasons)}


def _asked(ask: Callable[[Any, Any], Any]) -> Any:
    """Return the library's answer; None without a GPU or without an answer."""
    first = _first()
    if first is None:
        return None
    try:
        return ask(*first)
    except first[0].NVMLError:
        return None


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value
