"""torch.compile: the loss compiled, and its backward with it; the update by hand, as in torch_autograd."""

import torch
from torch import Tensor

from impls._torch import batches, fetch, place
from impls.interface import Array, Device, Problem, Run


def prepare(problem: Problem, device: Device) -> Run:
    torch.compiler.reset()  # torch remembers by code object: a second problem would not be compiled for its own shapes
    X, y, lr = place(problem.X, device), place(problem.y, device), problem.lr
    batch = batches(X, y, problem.order)

    @torch.compile
    def mse(w: Tensor, X: Tensor, y: Tensor) -> Tensor:
        return ((X @ w - y) ** 2).mean()

    def run(start: Array, steps: int, /) -> Array:
        w = place(start, device).clone().requires_grad_()
        for t in range(steps):
            mse(w, *batch(t)).backward()
            with torch.no_grad():
                w -= lr * w.grad  # type: ignore[operator]
            w.grad = None
        return fetch(w)

    return run
