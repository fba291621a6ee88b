"""Their descent, in torch, without anything of ours but the interface."""

import torch

from impls.interface import Array, Device, Problem, Run, Unsupported


def prepare(problem: Problem, device: Device) -> Run:
    if device != "cpu" or problem.order is not None:
        raise Unsupported("theirs takes all rows, on the cpu")
    X, y = torch.from_numpy(problem.X), torch.from_numpy(problem.y)

    def run(start: Array, steps: int, /) -> Array:
        w = torch.from_numpy(start.copy())
        for _ in range(steps):
            residual = X @ w - y
            w -= 2 * problem.lr / residual.numel() * (X.T @ residual)
        return w.numpy()

    return run
