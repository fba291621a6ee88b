"""tinygrad: the gradient of the loss and the update in one TinyJit step, called from a Python loop."""

from tinygrad import TinyJit, UOp, Variable

from impls._tinygrad import fetch, place
from impls.interface import Array, Device, Problem, Run


def prepare(problem: Problem, device: Device) -> Run:
    X, y, w, lr = place(problem.X, device), place(problem.y, device), place(problem.w0, device), problem.lr
    order = None if problem.order is None else place(problem.order, device)
    batch = Variable("batch", 0, problem.steps)  # its value is an argument: a Python int would be part of the program

    @TinyJit
    def step(t: UOp) -> None:
        X_t, y_t = (X, y) if order is None else (X[order[t]], y[order[t]])
        loss = ((X_t @ w - y_t) ** 2).mean()
        w.assign(w - lr * loss.gradient(w)[0]).realize()

    def run(start: Array, steps: int, /) -> Array:
        w.assign(place(start, device)).realize()
        for t in range(steps):
            step(batch.bind(t))
        return fetch(w)

    return run
