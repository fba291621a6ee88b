"""MLX: the gradient of the loss and the update in one `mx.compile` step, evaluated in each turn of a Python loop."""

import mlx.core as mx

from impls._mlx import fetch, place
from impls.interface import Array, Device, Problem, Run


def prepare(problem: Problem, device: Device) -> Run:
    X, y, lr = place(problem.X, device), place(problem.y, device), problem.lr
    order = None if problem.order is None else place(problem.order, device)

    def mse(w: mx.array, X: mx.array, y: mx.array) -> mx.array:
        return mx.mean((X @ w - y) ** 2)

    @mx.compile
    def step(w: mx.array, X: mx.array, y: mx.array) -> mx.array:
        return w - lr * mx.grad(mse)(w, X, y)

    def run(start: Array, steps: int, /) -> Array:
        w = place(start, device)
        for t in range(steps):
            w = step(w, *((X, y) if order is None else (X[order[t]], y[order[t]])))
            mx.eval(w)  # without it the steps of a run would be one graph
        return fetch(w)

    return run
