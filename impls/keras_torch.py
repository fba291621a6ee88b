"""Keras 3 on torch: a `Dense` layer, `SGD` and `train_on_batch`."""

from impls._keras import model, need
from impls._torch import batches, fetch, place
from impls.interface import Array, Device, Problem, Run


def prepare(problem: Problem, device: Device) -> Run:
    X, y = place(problem.X, device), place(problem.y, device).view(len(problem.y), -1)  # (n, k)
    need("torch", problem.X.dtype.name)
    batch, layer = batches(X, y, problem.order), model(problem)

    def run(start: Array, steps: int, /) -> Array:
        layer.set_weights([start.reshape(X.shape[1], -1)])
        for t in range(steps):
            layer.train_on_batch(*batch(t))
        return fetch(layer.weights[0].value).reshape(start.shape).copy()

    return run
