"""Slow an implementation down by 5 %: the verdicts must find a slowdown whose true size is known."""

import impls
from impls.interface import Array, Device, Prepare, Problem, Run


def slowed(name: str) -> Prepare:
    """Return the `prepare` of an implementation whose runs make 5 % more steps of the same work, thrown away.

    A run of 0 steps calls it twice as well, so the call itself adds nothing to the time of a step.
    """
    original = impls.load(name)

    def prepare(problem: Problem, device: Device) -> Run:
        run = original(problem, device)

        def slower(start: Array, steps: int, /) -> Array:
            result = run(start, steps)
            run(result, round(steps / 20))
            return result

        return slower

    return prepare
