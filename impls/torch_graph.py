"""torch CUDA graph: many steps captured once and replayed, so that a step costs no launch from Python."""

import torch

from impls._torch import captured, fetch, place
from impls.interface import Array, Device, Problem, Run, Unsupported


def prepare(problem: Problem, device: Device) -> Run:
    if device != "gpu":
        raise Unsupported("CUDA graphs run on the gpu only")
    X, y, w = (place(array, device) for array in (problem.X, problem.y, problem.w0))
    order = None if problem.order is None else place(problem.order, device).long()
    add = torch.addmv if y.ndim == 1 else torch.addmm

    def step(t: torch.Tensor) -> None:
        X_t, y_t = (X, y) if order is None else (X[rows := order[t][0]], y[rows])
        residual = add(y_t, X_t, w, beta=-1)  # X_t w - y_t
        add(w, X_t.T, residual, alpha=-2 * problem.lr / residual.numel(), out=w)
        if order is not None:  # without batches a step needs no number, and no launch for it
            t.add_(1)

    replay = captured(step, problem.steps)

    def run(start: Array, steps: int, /) -> Array:
        w.copy_(place(start, device))
        replay(steps)
        return fetch(w)

    return run
