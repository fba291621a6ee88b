"""torch.nn fed by TensorDataset and DataLoader, row by row: what the loader costs."""

import torch
from torch import nn
from torch.nn.functional import mse_loss
from torch.utils.data import DataLoader, TensorDataset

from impls._torch import fetch, place
from impls.interface import Array, Device, Problem, Run


def prepare(problem: Problem, device: Device) -> Run:
    X, y = place(problem.X, device), place(problem.y, device).view(len(problem.y), -1)  # (n, k)
    order = [[*range(len(X))]] * problem.steps if problem.order is None else problem.order.tolist()
    dataset = TensorDataset(X, y)
    model = nn.Linear(X.shape[1], y.shape[1], bias=False).to(X)
    optimizer = torch.optim.SGD(model.parameters(), lr=problem.lr)

    def run(start: Array, steps: int, /) -> Array:
        with torch.no_grad():
            model.weight.copy_(place(start, device).view(X.shape[1], -1).T)
        for X_t, y_t in DataLoader(dataset, batch_sampler=order[:steps]):
            loss = mse_loss(model(X_t), y_t)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        return fetch(model.weight.T).reshape(start.shape).copy()

    return run
