"""torch autograd: the loss written down, its gradient by `backward`, the update by hand."""

import torch

from impls._torch import batches, place
from impls.interface import Array, Device, Problem, Run


def prepare(problem: Problem, device: Device) -> Run:
    batch, lr = batches(problem, device), problem.lr

    def run(start: Array, steps: int, /) -> Array:
        w = place(start, device).clone().requires_grad_()
        for t in range(steps):
            X, y = batch(t)
            loss = ((X @ w - y) ** 2).mean()
            loss.backward()
            with torch.no_grad():
                w -= lr * w.grad  # type: ignore[operator]
            w.grad = None
        return w.numpy(force=True)

    return run
