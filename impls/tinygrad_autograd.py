"""tinygrad: the gradient of the loss and the update in one TinyJit step, called from a Python loop."""

from tinygrad import Tensor, TinyJit

from impls._tinygrad import fetch, place
from impls.interface import Array, Device, Problem, Run


def prepare(problem: Problem, device: Device) -> Run:
    X, y, w, lr = place(problem.X, device), place(problem.y, device), place(problem.w0, device), problem.lr
    order = None if problem.order is None else [place(rows, device) for rows in problem.order]

    @TinyJit
    def step(rows: Tensor | None) -> None:
        X_t, y_t = (X, y) if rows is None else (X[rows], y[rows])
        loss = ((X_t @ w - y_t) ** 2).mean()
        w.assign(w - lr * loss.gradient(w)[0]).realize()

    def run(start: Array, steps: int, /) -> Array:
        w.assign(place(start, device)).realize()
        for t in range(steps):
            step(None if order is None else order[t])
        return fetch(w)

    return run
