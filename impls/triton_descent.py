"""Triton: a whole descent in one launch, with the rows in registers and a barrier of all programs in each step."""

from impls._torch import fetch, place, place_rows
from impls._triton import copied, descent, need_device
from impls.interface import Array, Device, Problem, Run

HALF = True


def prepare(problem: Problem, device: Device) -> Run:
    need_device(device)
    X, y = place_rows(problem, device), place(problem.y, device)
    descend = descent(X, y, None if problem.order is None else place(problem.order, device), problem.lr)

    def run(start: Array, steps: int, /) -> Array:
        w = copied(place(start, device))
        descend(w, steps)
        return fetch(w)

    return run
