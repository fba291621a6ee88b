"""torch tensors, the gradient written by hand: what torch costs without autograd."""

import torch

from impls._torch import batches, fetch, place
from impls.interface import Array, Device, Problem, Run


def prepare(problem: Problem, device: Device) -> Run:
    X, y, lr = place(problem.X, device), place(problem.y, device), problem.lr
    batch = batches(X, y, problem.order)

    @torch.no_grad()
    def run(start: Array, steps: int, /) -> Array:
        w = place(start, device).clone()
        for t in range(steps):
            X_t, y_t = batch(t)
            residual = X_t @ w - y_t  # (b,) or (b, k)
            w -= (2 * lr / residual.numel()) * (X_t.T @ residual)
        return fetch(w)

    return run
