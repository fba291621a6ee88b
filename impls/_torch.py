"""Shared by the torch implementations: device, precision and batches, and probes of torch."""

import os
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, distributed, profiler

from impls.interface import PRECISION, Array, Device, DeviceWork, Problem, Timed, Unsupported, need_ranks, product_by

events: list[Any] | None = None  # moments on the GPU's clock, while they are noted
GRAPH = 50  # steps of a graph: enough to share the cost of a replay, few enough to be captured in no time

torch.set_float32_matmul_precision("high" if PRECISION == "tf32" else "highest")


def accelerator() -> str:
    """Return torch's name of the first gpu: "cuda", or "mps" on Apple's. Raises Unsupported without one."""
    if torch.cuda.is_available():
        return "cuda"
    if torch.backends.mps.is_available():
        return "mps"
    raise Unsupported("torch sees no gpu")


@Timed
def place(array: Array, device: Device) -> Tensor:
    """Return the array as a tensor on the device when it is there. On the CPU it shares the memory.

    Raises Unsupported if there is no such device, or if it lacks the dtype.
    """
    name = accelerator() if device == "gpu" else "cpu"
    if name == "mps" and array.dtype == np.float64:
        raise Unsupported("torch has no float64 on Apple's mps; use float32")
    tensor = torch.from_numpy(array).to(name)
    mark()
    return tensor


def place_rows(problem: Problem, device: Device) -> Tensor:
    """Return X on the device, in the 16 bits that the problem may ask for."""
    X = place(problem.X, device)
    return X.to(getattr(torch, problem.storage)) if problem.storage else X


def place_fixed(array: Array, device: Device) -> Tensor:
    """Return the array as `place` does, for compiled CUDA graphs to use where it is: other inputs are copied."""
    tensor = place(array, device)
    torch._dynamo.mark_static_address(tensor)
    return tensor


def join(device: Device) -> None:
    """Make this process a rank, once, by gloo or by NCCL with a GPU of its own.

    Raises Unsupported if it is no rank or has no GPU of its own.
    """
    need_ranks()
    if device == "gpu" and torch.cuda.is_available():  # before the first tensor, which makes a context on its GPU
        local = int(os.environ["LOCAL_RANK"])
        if local >= torch.cuda.device_count():
            raise Unsupported(f"rank {os.environ['RANK']} has no gpu of its own: {torch.cuda.device_count()} here")
        torch.cuda.set_device(local)
    place(np.empty(0), device)
    if not distributed.is_initialized():
        distributed.init_process_group("nccl" if device == "gpu" else "gloo")


@Timed
def fetch(w: Tensor) -> Array:
    """Return the tensor on the host when it is ready. On the CPU it shares the memory."""
    mark()
    return w.numpy(force=True)


def mark() -> None:
    """Record a time of the GPU's own clock, while `event_seconds` measures."""
    if events is not None:
        events.append(torch.cuda.Event(enable_timing=True))
        events[-1].record()


def event_seconds(run: Callable[[], object]) -> float | None:
    """Return a run's seconds by the GPU's clock, from the arrival of its start to its last work; None on the CPU."""
    global events
    if not torch.cuda.is_initialized():
        return None
    events = []
    try:
        run()
        torch.cuda.synchronize()
        return events[0].elapsed_time(events[-1]) / 1e3
    finally:
        events = None


def device_work(run: Callable[[], object]) -> list[DeviceWork]:
    """Return the kernels and copies of a run. Those of a graph have the launch of the graph in common."""
    with profiler.profile() as profile:
        run()
        torch.cuda.synchronize()
    return [
        DeviceWork(event.start_ns(), event.start_ns() + event.duration_ns(), event.correlation_id())
        for event in profile.profiler.kineto_results.events()
        if event.device_type().name == "CUDA" and not event.is_user_annotation()
    ]


def reset_device_bytes() -> None:
    """Restart the count of `device_bytes`."""
    if torch.cuda.is_initialized():
        torch.cuda.reset_peak_memory_stats()


def device_bytes() -> int | None:
    """Return the most bytes that tensors have held on the GPU; None on the CPU."""
    return torch.cuda.max_memory_allocated() if torch.cuda.is_initialized() else None


def batches(X: Tensor, y: Tensor, order: Array | None) -> Callable[[int], tuple[Tensor, Tensor]]:
    """Return `batch(t)`, which returns the rows of X and y in batch t."""
    if order is None:
        return lambda t: (X, y)
    rows = torch.from_numpy(order).to(X.device).long()
    return lambda t: (X[rows[t]], y[rows[t]])


def captured(step: Callable[[Tensor], None], most: int) -> Callable[[int], None]:
    """Return `replay(steps)`, which makes the steps 0, 1, ... from CUDA graphs, at most `most` of them.

    `step(t)` gets its number on the device; one that uses it adds 1 to it. A graph of many steps is replayed while it
    fits, one of half as many and one of a single step do the rest. Raises Unsupported without an NVIDIA GPU.
    """
    if not torch.cuda.is_available():
        raise Unsupported("CUDA graphs need an NVIDIA GPU")
    t = torch.zeros(1, dtype=torch.long, device="cuda")
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        step(t)  # what cuBLAS allocates when it is first called must not be captured
    torch.cuda.synchronize()
    longest = min(most, GRAPH)  # half of the steps are one launch as well, so that time can grow with the steps
    counts = sorted({longest, max(longest // 2, 1), 1}, reverse=True)
    graphs = [(count, torch.cuda.CUDAGraph()) for count in counts]
    for count, graph in graphs:
        with torch.cuda.graph(graph):
            for _ in range(count):
                step(t)

    def replay(steps: int) -> None:
        t.zero_()
        for count, graph in graphs:
            for _ in range(steps // count):
                graph.replay()
            steps %= count

    return replay


product = product_by(place, fetch)
resident = place


def total(x: Tensor, times: int) -> Tensor:
    """Read all of x (m,) `times` times, to measure the bandwidth."""
    for _ in range(times):
        result = x.sum()
    return result


def caches() -> dict[str, int]:
    """Return the size of the first GPU's cache in bytes."""
    return {"L2": torch.cuda.get_device_properties(0).L2_cache_size}


def threads() -> int:
    """Return the threads that torch uses for one operation."""
    return torch.get_num_threads()


def compilations() -> int:
    """Return the number of graphs that torch.compile has compiled in this process."""
    dynamo = sys.modules.get("torch._dynamo.utils")
    return dynamo.counters["stats"]["unique_graphs"] if dynamo else 0
