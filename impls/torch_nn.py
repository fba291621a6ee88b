"""torch.nn: `nn.Linear`, `mse_loss` and `optim.SGD`, the way most torch programs are written."""

import torch
from torch import nn
from torch.nn.functional import mse_loss

from impls._torch import batches, place
from impls.interface import Array, Device, Problem, Run


def prepare(problem: Problem, device: Device) -> Run:
    batch = batches(problem, device)
    shape = problem.w0.shape
    model = nn.Linear(shape[0], problem.y[0].size, bias=False).to(batch(0)[0])  # X has its column of ones
    optimizer = torch.optim.SGD(model.parameters(), lr=problem.lr)

    def run(start: Array, steps: int, /) -> Array:
        with torch.no_grad():
            model.weight.copy_(place(start, device).view(shape[0], -1).T)  # (k, d)
        for t in range(steps):
            X, y = batch(t)
            loss = mse_loss(model(X), y.view(len(y), -1))  # (b, k): (b, 1) minus (b,) would broadcast
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return model.weight.T.numpy(force=True).reshape(shape).copy()

    return run
