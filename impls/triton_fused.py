"""Triton: residuals and gradient in one pass over X, by a kernel of our own."""

from impls._torch import fetch, place
from impls._triton import INTERPRETED, stepper
from impls.interface import Array, Device, Problem, Run, Unsupported


def prepare(problem: Problem, device: Device) -> Run:
    if INTERPRETED != (device == "cpu"):
        raise Unsupported("Triton runs on the gpu, and with TRITON_INTERPRET=1 (interpreted) on the cpu only")
    X, y = place(problem.X, device), place(problem.y, device)
    step = stepper(X, y, None if problem.order is None else place(problem.order, device), problem.lr)

    def run(start: Array, steps: int, /) -> Array:
        w = place(start, device).clone()
        for t in range(steps):
            step(w, t)
        return fetch(w)

    return run
