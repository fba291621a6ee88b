"""Facts about CUDA's first GPU from NVIDIA's management library (NVML); nothing without a GPU or nvidia-ml-py.

`python -m benchmarks.machine.gpu` names the GPU, or says why none is found and exits with status 1.
"""

import functools
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

NODE = Path("/dev/nvidia0")


@functools.cache
def _opened() -> tuple[tuple[Any, Any] | None, str]:
    """Return NVML and the first GPU that CUDA_VISIBLE_DEVICES lets through (by PCI bus), or why there is none."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "0").partition(",")[0].strip()
    try:
        import pynvml

        pynvml.nvmlInit()
        if visible.isdigit():
            return (pynvml, pynvml.nvmlDeviceGetHandleByIndex(int(visible))), ""
        if visible in ("", "-1"):
            return None, "CUDA_VISIBLE_DEVICES lets no GPU through"
        return (pynvml, pynvml.nvmlDeviceGetHandleByUUID(visible)), ""
    except ImportError:
        return None, "nvidia-ml-py is not installed"
    except pynvml.NVMLError as error:
        return None, f"NVML says: {error}"


def notes() -> list[str]:
    """Return what makes the GPU's facts incomplete, a line each: no NVML, or slices of a card."""
    reason = _opened()[1]
    lines = [f"no clocks, power and temperature of the GPU: {reason}"] if reason else []
    if mig():
        lines.append("the card is cut into MIG slices: its clocks, power and energy are those of all slices")
    return lines


def mig() -> bool:
    """Return whether the card is cut into slices (MIG)."""
    mode = _asked(lambda nvml, gpu: nvml.nvmlDeviceGetMigMode(gpu))
    return bool(mode and mode[0])


def processes() -> int | None:
    """Return how many processes compute on the GPU; None if unknown."""
    return cast(int | None, _asked(lambda nvml, gpu: len(nvml.nvmlDeviceGetComputeRunningProcesses(gpu))))


def joules() -> float | None:
    """Return the energy that the GPU has used since its driver was loaded; None if unknown."""
    return cast(float | None, _asked(lambda nvml, gpu: nvml.nvmlDeviceGetTotalEnergyConsumption(gpu) / 1000))


def sm_mhz() -> float | None:
    """Return the clock of the GPU's processors now; None if unknown."""
    return cast(float | None, _asked(lambda nvml, gpu: nvml.nvmlDeviceGetClockInfo(gpu, nvml.NVML_CLOCK_SM)))


def name() -> str:
    """Return its name, or ""."""
    return str(_asked(lambda nvml, gpu: _text(nvml.nvmlDeviceGetName(gpu))) or "")


def facts() -> dict[str, Any]:
    """Return driver, CUDA, power limit (W), highest clocks (MHz), memory (bytes), persistence; {} without a GPU."""
    return _all_asked(
        driver=lambda nvml, gpu: _text(nvml.nvmlSystemGetDriverVersion()),
        cuda=lambda nvml, gpu: nvml.nvmlSystemGetCudaDriverVersion() / 1000,
        power_limit_w=lambda nvml, gpu: nvml.nvmlDeviceGetEnforcedPowerLimit(gpu) / 1000,
        max_sm_mhz=lambda nvml, gpu: nvml.nvmlDeviceGetMaxClockInfo(gpu, nvml.NVML_CLOCK_SM),
        max_memory_mhz=lambda nvml, gpu: nvml.nvmlDeviceGetMaxClockInfo(gpu, nvml.NVML_CLOCK_MEM),
        memory_bytes=lambda nvml, gpu: nvml.nvmlDeviceGetMemoryInfo(gpu).total,
        mig=lambda nvml, gpu: nvml.nvmlDeviceGetMigMode(gpu)[0],
        persistence=lambda nvml, gpu: nvml.nvmlDeviceGetPersistenceMode(gpu),
    )


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
    answers = _all_asked(
        sm_mhz=lambda nvml, gpu: nvml.nvmlDeviceGetClockInfo(gpu, nvml.NVML_CLOCK_SM),
        memory_mhz=lambda nvml, gpu: nvml.nvmlDeviceGetClockInfo(gpu, nvml.NVML_CLOCK_MEM),
        gpu_celsius=lambda nvml, gpu: nvml.nvmlDeviceGetTemperature(gpu, nvml.NVML_TEMPERATURE_GPU),
        gpu_watts=lambda nvml, gpu: nvml.nvmlDeviceGetPowerUsage(gpu) / 1000,
        max_sm_mhz=lambda nvml, gpu: nvml.nvmlDeviceGetMaxClockInfo(gpu, nvml.NVML_CLOCK_SM),
    )
    return answers and answers | {"throttle_reasons": throttle_reasons()}


def over(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """Return the facts of a row from `now` before its timed rounds and after them; {} without a GPU."""
    if not before or not after:
        return {}
    reasons = sorted({word for state in (before, after) for word in state["throttle_reasons"].split(", ") if word})
    clocks = ("sm_mhz", "memory_mhz", "gpu_celsius", "gpu_watts")
    states = (("before", before), ("after", after))
    facts = {f"{name}_{when}": state[name] for name in clocks for when, state in states}
    return facts | {"max_sm_mhz": after["max_sm_mhz"], "throttle_reasons": ", ".join(reasons)}


def _asked(ask: Callable[[Any, Any], Any]) -> Any:
    """Return the library's answer; None without a GPU or without an answer."""
    first = _opened()[0]
    if first is None:
        return None
    try:
        return ask(*first)
    except first[0].NVMLError:
        return None


def _all_asked(**queries: Callable[[Any, Any], Any]) -> dict[str, Any]:
    """Return the library's answers by name; {} without a GPU."""
    return {name: _asked(query) for name, query in queries.items()} if _opened()[0] else {}


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value


def main() -> None:
    """Print the GPU's name. Exit with status 1 and the reason if there is none."""
    if _opened()[0] is None and not NODE.exists():
        sys.exit(f"no GPU here: {_opened()[1]}, and there is no {NODE}")
    sys.stdout.write("; ".join([name() or f"a GPU at {NODE}", *notes()]) + "\n")


if __name__ == "__main__":
    main()
