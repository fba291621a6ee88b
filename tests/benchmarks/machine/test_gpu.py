"""The GPU's half without one: CUDA, NVIDIA's management library and full memory are played by fakes."""

import contextlib
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from helpers import HONEST, Done, bench, needs, random_problem, write

from benchmarks.machine import gpu as gpus
from benchmarks.reference.solution import truth
from benchmarks.timing import parity
from benchmarks.worker import client
from impls.interface import Unsupported

pytestmark = needs("torch")  # imported where it is used: each process of tests collects this file

FULL = """
import os
from pathlib import Path
class OutOfMemoryError(RuntimeError): pass
def prepare(problem, device):
    Path(__file__).with_suffix(f".{len(problem.X)}").write_text(str(os.getpid()))
    if len(problem.X) == 4: raise OutOfMemoryError("CUDA out of memory.\\nTried 3 GiB")
    if len(problem.X) == 5: raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate")
    return honest(problem, device)
""" + HONEST.replace("def prepare", "def honest")
NVML = """
class NVMLError(Exception): pass
NVML_CLOCK_SM, NVML_CLOCK_MEM, NVML_TEMPERATURE_GPU = "sm", "memory", 0
nvmlClocksThrottleReasonGpuIdle = 1
nvmlClocksThrottleReasonSwPowerCap = 4
nvmlClocksThrottleReasonSwThermalSlowdown = 32
def nvmlInit(): pass
def nvmlDeviceGetHandleByIndex(number): return number
def nvmlDeviceGetHandleByUUID(name): return name
def nvmlDeviceGetName(gpu): return f"GPU {gpu}"
def nvmlDeviceGetCurrentClocksThrottleReasons(gpu): return REASONS
def nvmlDeviceGetClockInfo(gpu, which): return {"sm": 1000, "memory": 3201}[which]
def nvmlDeviceGetMaxClockInfo(gpu, which): return {"sm": 1980, "memory": 3201}[which]
def nvmlDeviceGetTemperature(gpu, which): return 88
def nvmlDeviceGetPowerUsage(gpu): return 312_500
def __getattr__(name):
    def refuse(*what): raise NVMLError(name)
    if name.startswith("nvml"): return refuse
    raise AttributeError(name)
"""


def on_a_gpu(tmp_path: Path, reasons: int) -> Done:
    """A row of an implementation that takes any device, beside a library that speaks of a GPU."""
    write(tmp_path, "pynvml", NVML.replace("REASONS", str(reasons)))
    mine = write(tmp_path, "mine", HONEST)
    return bench(tmp_path, "--impl", mine, "--device", "gpu,cpu", env={"PYTHONPATH": str(tmp_path)})


def test_full_device_memory_is_said_and_the_next_case_has_a_fresh_process(tmp_path: Path) -> None:
    path = write(tmp_path, "full", FULL)
    done = bench(tmp_path, "--impl", path, "--problem", "scalar,crops,line")
    assert done.code == 1
    assert done.reasons("full") == {
        ("scalar", "float32"): "out of device memory: CUDA out of memory. Tried 3 GiB (full.py:7)",
        (
            "crops",
            "float32",
        ): "out of device memory: RESOURCE_EXHAUSTED: Out of memory while trying to allocate (full.py:8)",
    }
    assert done.timed("full") == {("line", "float32")}
    assert len({Path(path).with_suffix(f".{n}").read_text() for n in (4, 5, 100)}) == 3


def test_a_row_says_what_the_gpu_did(tmp_path: Path) -> None:
    done = on_a_gpu(tmp_path, 1 | 4)
    assert done.code == 0, done.out
    cpu, gpu = sorted(done.rows, key=lambda row: row["device"])
    assert {name: gpu[name] for name in ("sm_mhz_before", "sm_mhz_after", "memory_mhz_after", "max_sm_mhz")} == {
        "sm_mhz_before": 1000, "sm_mhz_after": 1000, "memory_mhz_after": 3201, "max_sm_mhz": 1980,
    }  # fmt: skip
    assert (gpu["gpu_celsius_before"], gpu["gpu_watts_after"], gpu["throttle_reasons"]) == (88, 312.5, "SwPowerCap")
    assert not {"sm_mhz_before", "throttle_reasons", "event_s", "device_bytes"} & set(cpu)


def test_a_row_of_a_gpu_that_heat_slowed_down_is_invalid(tmp_path: Path) -> None:
    done = on_a_gpu(tmp_path, 4 | 32)
    assert done.code == 1
    cpu, gpu = sorted(done.rows, key=lambda row: row["device"])
    assert cpu["valid"] and not gpu["valid"]
    assert gpu["reason"] == "the GPU was throttled (SwThermalSlowdown): 1000 MHz of 1980 MHz"


@pytest.mark.parametrize(
    ("throttled", "after", "top"),
    [("", 500, 1980), ("SwPowerCap", 500, 1980), ("HwSlowdown", 1500, 1980), ("HwSlowdown", None, None)],
)  # fmt: skip
def test_slow_by_choice_or_hardly_slowed_is_no_fault(throttled: str, after: int | None, top: int | None) -> None:
    assert (
        parity._clocks({"throttle_reasons": throttled, "sm_mhz_before": 1980, "sm_mhz_after": after, "max_sm_mhz": top})
        == []
    )


@pytest.mark.parametrize(("visible", "name"), [("2,0", "GPU 2"), ("GPU-1f", "GPU GPU-1f"), ("", ""), ("-1", "")])
def test_the_gpu_is_the_one_that_cuda_would_use(monkeypatch: pytest.MonkeyPatch, visible: str, name: str) -> None:
    module: dict[str, Any] = {}
    exec(NVML, module)
    monkeypatch.setitem(sys.modules, "pynvml", SimpleNamespace(**module))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    gpus._opened.cache_clear()
    assert gpus.name() == name
    gpus._opened.cache_clear()


def test_gpu_workers_keep_the_users_choice_of_gpu_and_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    env = client.environment(1, "gpu", "highest", "scratch")
    assert (env["CUDA_VISIBLE_DEVICES"], env["CUDA_DEVICE_ORDER"]) == ("1", "PCI_BUS_ID")
    assert env["XLA_PYTHON_CLIENT_PREALLOCATE"] == "false"
    monkeypatch.setenv("XLA_PYTHON_CLIENT_PREALLOCATE", "true")
    assert client.environment(1, "gpu", "highest", "scratch")["XLA_PYTHON_CLIENT_PREALLOCATE"] == "true"
    assert client.environment(1, "cpu", "highest", "scratch")["CUDA_VISIBLE_DEVICES"] == ""


def test_full_memory_is_not_taken_for_a_missing_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    jax = pytest.importorskip("jax")
    from impls import _jax

    def full(array: object, where: object) -> None:
        raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory")

    monkeypatch.setattr(jax, "device_put", full)
    with pytest.raises(RuntimeError, match="RESOURCE_EXHAUSTED"):
        _jax.put(np.ones(2), "cpu")
    monkeypatch.undo()
    with pytest.raises(Unsupported, match="JAX sees no gpu"):
        _jax.put(np.ones(2), "gpu")


def test_events_go_from_the_starts_arrival_to_the_last_work(monkeypatch: pytest.MonkeyPatch) -> None:
    from impls import _torch

    clock = iter(range(100))

    class Event:
        def __init__(self, enable_timing: bool) -> None:
            assert enable_timing

        def record(self) -> None:
            self.at = next(clock)

        def elapsed_time(self, other: "Event") -> float:
            return 1000.0 * (other.at - self.at)

    def run() -> None:
        w = _torch.place(np.zeros(2), "cpu")  # 0
        next(clock)
        _torch.fetch(w)  # 2
        next(clock)

    assert _torch.event_seconds(run) is None
    cuda = SimpleNamespace(is_initialized=lambda: True, synchronize=lambda: None, Event=Event)
    monkeypatch.setattr(_torch.torch, "cuda", cuda)
    clock = iter(range(100))
    assert _torch.event_seconds(run) == 2.0
    assert _torch.events is None


def tape(tapes: list[Any]) -> Any:
    """A CUDA graph for CPU tensors. Captured calls take effect when the graph is replayed, in the same tensors.

    Each one that is made is added to `tapes`.
    """
    from torch.utils._python_dispatch import TorchDispatchMode

    class Tape(TorchDispatchMode):
        def __init__(self) -> None:
            super().__init__()
            self.calls: list[Any] = []
            tapes.append(self)
            self.were: list[Any] = []

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            changed = (kwargs or {}).get("out", args[0] if func.overloadpacket.__name__.endswith("_") else None)
            if changed is not None:
                self.were.append((changed, changed.clone()))
            result = func(*args, **(kwargs or {}))
            self.calls.append((func, args, kwargs or {}, result))
            return result

        def __exit__(self, *how: Any) -> None:
            super().__exit__(*how)
            for tensor, was in reversed(self.were):
                tensor.copy_(was)

        def replay(self) -> None:
            for func, args, kwargs, result in self.calls:
                result.copy_(func(*args, **kwargs))

    return Tape


@pytest.mark.parametrize("k", [None, 3])
@pytest.mark.parametrize("batch", [None, 4])
def test_graphs_of_steps_descend(monkeypatch: pytest.MonkeyPatch, k: int | None, batch: int | None) -> None:
    import torch

    from impls import _torch, torch_graph

    tapes: list[Any] = []
    zeros, stream = torch.zeros, SimpleNamespace(wait_stream=lambda other: None)
    cuda = {
        "Stream": lambda: stream, "current_stream": lambda: stream, "stream": lambda s: contextlib.nullcontext(),
        "is_available": lambda: True, "synchronize": lambda: None,
        "CUDAGraph": tape(tapes), "graph": lambda graph: graph,
    }  # fmt: skip
    for name, fake in cuda.items():
        monkeypatch.setattr(torch.cuda, name, fake)
    monkeypatch.setattr(torch, "zeros", lambda *shape, device, **more: zeros(*shape, **more))
    monkeypatch.setattr(_torch, "GRAPH", 5)
    monkeypatch.setattr(torch_graph, "place", lambda array, device: torch.from_numpy(array.copy()))
    monkeypatch.setattr(torch_graph, "fetch", lambda w: w.numpy().copy())
    problem = random_problem(9, 3, k, batch)
    exact, run = truth(problem, [1, 2, 5, 7, 12]), torch_graph.prepare(problem, "gpu")
    for t in (12, *exact.at):
        error, allowed = exact.distance(run(problem.w0, t), t, 0.0, problem.w0)
        assert error <= allowed, t
    assert run(problem.w0, 0).tobytes() == problem.w0.tobytes()
    counted = [func for each in tapes for func, *_ in each.calls if func.overloadpacket.__name__ == "add_"]
    assert bool(counted) == (batch is not None)  # a step over all rows needs no number, and no launch for it
