"""Triton: a whole descent in one launch, with the rows in registers and a barrier of all programs in each step."""

from impls._torch import fetch, place
from impls._triton import copied, descent, need_device
from impls.interface import Array, Device, Problem, Run


def prepare(problem: Problem, device: Device) -> Run:
    need_device(device)
    X, y = place(problem.X, device), place(problem.y, device)
    descend = descent(X, y, None if problem.order is None else place(problem.order, device), problem.lr)

    def run(start: Array, steps: int, /) -> Array:
        w = copied(place(start, device))
        descend(w, steps)
        return fetch(w)

    return run
