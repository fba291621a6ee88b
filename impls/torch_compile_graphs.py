"""torch.compile with mode="reduce-overhead": the compiled step updates w in place and is replayed as a CUDA graph."""

import torch

from impls._torch import fetch, place, place_fixed
from impls.interface import Array, Device, Problem, Run, Unsupported


def prepare(problem: Problem, device: Device) -> Run:
    if device != "gpu":
        raise Unsupported("CUDA graphs run on the gpu only")
    torch.compiler.reset()
    X, y, w = (place_fixed(array, device) for array in (problem.X, problem.y, problem.w0))
    order = None if problem.order is None else place(problem.order, device).long()

    @torch.compile(mode="reduce-overhead")
    def step(w: torch.Tensor, X: torch.Tensor, y: torch.Tensor, rows: torch.Tensor | None) -> None:
        X_t, y_t = (X, y) if rows is None else (X[rows], y[rows])
        residual = X_t @ w - y_t
        w -= (2 * problem.lr / residual.numel()) * (residual @ X_t if y.ndim == 1 else X_t.T @ residual)

    @torch.no_grad()
    def run(start: Array, steps: int, /) -> Array:
        w.copy_(place(start, device))
        for t in range(steps):
            step(w, X, y, None if order is None else order[t])
        return fetch(w)

    return run
