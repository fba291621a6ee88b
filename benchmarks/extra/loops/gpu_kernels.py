"""Seconds of single kernels on a GPU, alone: sums over 4 MB to 4 GB, X w and X' r. A program: run it with `python`.

Each is repeated in a CUDA graph and timed by the GPU's own clock, so no launch from Python is in its time. The last
lines name the kernels that cuBLAS uses for both products.
"""

import sys
from collections.abc import Callable
from functools import partial

import torch

REPEATS, TRIES = 20, 5  # in a graph; replays, of which the shortest counts
SUMS = (22, 24, 26, 28, 30, 32)  # powers of 2: bytes
SHAPES = ((3 * 10**6, 100), (10**6, 1000), (10**5, 100), (10**4, 100))  # rows and columns of X


def microseconds(work: Callable[[], object]) -> float:
    """Return the time of one call of `work` within a graph of REPEATS."""
    work()
    torch.cuda.synchronize()
    graph, event = torch.cuda.CUDAGraph(), partial(torch.cuda.Event, enable_timing=True)
    start, end = event(), event()
    with torch.cuda.graph(graph):
        for _ in range(REPEATS):
            work()
    times: list[float] = []
    for _ in range(TRIES):
        start.record()
        graph.replay()
        end.record()
        torch.cuda.synchronize()
        times.append(start.elapsed_time(end) * 1e3 / REPEATS)
    return min(times)


def line(what: str, size: float, work: Callable[[], object]) -> str:
    """Return a line: what, its time and the bytes that it reads a second."""
    time = microseconds(work)
    return f"{what:32} {time:10.2f} us {size / time / 1e3:8.0f} GB/s\n"


def main() -> None:
    """Print a line for each kernel as soon as it is measured."""
    if not torch.cuda.is_available():
        sys.exit("torch sees no gpu")
    for power in SUMS:
        x = torch.rand(2**power // 4, device="cuda")
        sys.stdout.write(line(f"sum of {2**power / 1e6:.0f} MB", 2**power, x.sum))
        sys.stdout.flush()
    for n, d in SHAPES:
        X, r, w = (torch.rand(*shape, device="cuda") for shape in ((n, d), (n,), (d,)))
        sys.stdout.write(line(f"X w, {n} x {d}", 4.0 * n * d, lambda X=X, w=w: X @ w))  # type: ignore[misc]
        sys.stdout.write(line(f"X' r, {n} x {d}", 4.0 * n * d, lambda X=X, r=r: X.T @ r))  # type: ignore[misc]
        sys.stdout.flush()
    with torch.profiler.profile() as profile:
        _ = X @ w, X.T @ r
        torch.cuda.synchronize()
    sys.stdout.write(
        profile.key_averages().table(sort_by="self_cuda_time_total", row_limit=40, max_name_column_width=90) + "\n"
    )


if __name__ == "__main__":
    main()
