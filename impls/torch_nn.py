"""torch.nn: `nn.Linear`, `mse_loss` and `optim.SGD`, the way most torch programs are written."""

import torch
from torch import nn
from torch.nn.functional import mse_loss

from impls._torch import batches, fetch, place
from impls.interface import Array, Device, Problem, Run


def prepare(problem: Problem, device: Device) -> Run:
    X, y = place(problem.X, device), place(problem.y, device).view(len(problem.y), -1)  # (n, k): (n,) would broadcast
    batch = batches(X, y, problem.order)
    model = nn.Linear(X.shape[1], y.shape[1], bias=False).to(X)  # X has its column of ones
    optimizer = torch.optim.SGD(model.parameters(), lr=problem.lr)

    def run(start: Array, steps: int, /) -> Array:
        with torch.no_grad():
            model.weight.copy_(place(start, device).view(X.shape[1], -1).T)  # (k, d)
        for t in range(steps):
            X_t, y_t = batch(t)
            loss = mse_loss(model(X_t), y_t)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        return fetch(model.weight.T).reshape(start.shape).copy()

    return run
