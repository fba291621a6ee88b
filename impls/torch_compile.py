"""torch.compile: loss, gradient and update of one step compiled together."""

import torch
from torch import Tensor
from torch.nn.functional import mse_loss

from impls._torch import batches, fetch, place
from impls.interface import Array, Device, Problem, Run


def prepare(problem: Problem, device: Device) -> Run:
    torch.compiler.reset()  # torch remembers by code object: a second problem would not be compiled for its own shapes
    X, y, lr = place(problem.X, device), place(problem.y, device), problem.lr
    batch = batches(X, y, problem.order)

    @torch.compile
    def step(w: Tensor, X: Tensor, y: Tensor) -> Tensor:
        return w - lr * torch.func.grad(lambda w: mse_loss(X @ w, y))(w)

    @torch.no_grad()
    def run(start: Array, steps: int, /) -> Array:
        w = place(start, device).clone()
        for t in range(steps):
            w = step(w, *batch(t))
        return fetch(w)

    return run
