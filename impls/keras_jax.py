"""Keras 3 on JAX: a `Dense` layer, `SGD` and `train_on_batch`, which compiles its step."""

from impls._jax import fetch, put
from impls._keras import model, need
from impls.interface import Array, Device, Problem, Run


def prepare(problem: Problem, device: Device) -> Run:
    X, y = put(problem.X, device), put(problem.y.reshape(len(problem.y), -1), device)  # (n, k)
    order = None if problem.order is None else put(problem.order, device)
    need("jax", problem.X.dtype.name)
    layer = model(problem)

    def run(start: Array, steps: int, /) -> Array:
        layer.set_weights([start.reshape(X.shape[1], -1)])
        for t in range(steps):
            X_t, y_t = (X, y) if order is None else (X[order[t]], y[order[t]])
            layer.train_on_batch(X_t, y_t)
        return fetch(layer.weights[0].value).reshape(start.shape)

    return run
