"""The loop of "Gradient Descent from Scratch in PyTorch"."""

import torch
from torch import nn

from impls.interface import Array, Device, Problem, Run


def prepare(problem: Problem, device: Device) -> Run:
    x, y, lr = torch.tensor(problem.X), torch.tensor(problem.y), problem.lr

    def mse(y: torch.Tensor, y_hat: torch.Tensor) -> torch.Tensor:
        return ((y - y_hat) ** 2).mean()

    def update(a: torch.Tensor) -> None:
        y_hat = x @ a
        loss = mse(y, y_hat)
        loss.backward()  # type: ignore[no-untyped-call]
        with torch.no_grad():
            a.sub_(lr * a.grad)  # type: ignore[operator]
            a.grad.zero_()  # type: ignore[union-attr]

    def run(start: Array, steps: int, /) -> Array:
        a = nn.Parameter(torch.tensor(start))
        for _ in range(steps):
            update(a)
        return a.detach().numpy()

    return run
