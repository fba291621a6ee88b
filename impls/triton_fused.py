"""Triton: residuals and gradient in one pass over X, by a kernel of our own; on a GPU in a CUDA graph."""

from impls._torch import captured, fetch, place, place_rows
from impls._triton import copied, fused, need_device
from impls.interface import Array, Device, Problem, Run

HALF = True


def prepare(problem: Problem, device: Device) -> Run:
    need_device(device)
    X, y, w = place_rows(problem, device), place(problem.y, device), copied(place(problem.w0, device))
    order = None if problem.order is None else place(problem.order, device)
    t, step = fused(X, y, w, order, problem.lr)
    replay = captured(lambda _: step(), problem.steps) if device == "gpu" else None

    def run(start: Array, steps: int, /) -> Array:
        w.copy_(place(start, device))
        t.zero_()
        if replay:
            replay(steps)
        else:  # the interpreter
            for _ in range(steps):
                step()
        return fetch(w).copy()

    return run
