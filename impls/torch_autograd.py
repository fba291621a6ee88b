"""torch autograd: the loss written down, its gradient by `backward`, the update by hand."""

import torch

from impls._torch import batches, fetch, place
from impls.interface import Array, Device, Problem, Run


def prepare(problem: Problem, device: Device) -> Run:
    X, y, lr = place(problem.X, device), place(problem.y, device), problem.lr
    batch = batches(X, y, problem.order)

    def run(start: Array, steps: int, /) -> Array:
        w = place(start, device).clone().requires_grad_()
        for t in range(steps):
            X_t, y_t = batch(t)
            loss = ((X_t @ w - y_t) ** 2).mean()
            loss.backward()
            with torch.no_grad():
                w -= lr * w.grad  # type: ignore[operator]
            w.grad = None
        return fetch(w)

    return run
