"""What NVIDIA's management library says of the first GPU; nothing without one, or without nvidia-ml-py."""

import functools
from collections.abc import Callable
from typing import Any


@functools.cache
def _first() -> tuple[Any, Any] | None:
    """The library, and its handle of the first GPU."""
    try:
        import pynvml

        pynvml.nvmlInit()
        return pynvml, pynvml.nvmlDeviceGetHandleByIndex(0)
    except ImportError:
        return None
    except pynvml.NVMLError:
        return None


def name() -> str:
    """Its name, or ""."""
    return str(_asked(lambda nvml, gpu: _text(nvml.nvmlDeviceGetName(gpu))) or "")


def facts() -> dict[str, Any]:
    """Driver, CUDA, power limit (W), highest clocks (MHz), memory (bytes), persistence; {} without a GPU."""
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
    """What holds its clocks back now, in the library's words; "" for nothing."""
    found = _asked(lambda nvml, gpu: (nvml, nvml.nvmlDeviceGetCurrentClocksThrottleReasons(gpu)))
    if found is None:
        return ""
    nvml, bits = found
    prefix = "nvmlClocksThrottleReason"
    reasons = {name.removeprefix(prefix): getattr(nvml, name) for name in dir(nvml) if name.startswith(prefix)}
    return ", ".join(name for name, bit in reasons.items() if bits & bit and name not in ("GpuIdle", "All"))


def _asked(ask: Callable[[Any, Any], Any]) -> Any:
    """The answer, or None where there is no GPU or it does not tell."""
    first = _first()
    if first is None:
        return None
    try:
        return ask(*first)
    except first[0].NVMLError:
        return None


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value
