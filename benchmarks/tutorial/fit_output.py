"""The output of `fit`, as a tutorial shows a descent: weights, prediction and loss, before and after, and a check."""

from collections.abc import Iterator

import numpy as np

from benchmarks.problems import catalogue
from benchmarks.timing.measure import judge
from benchmarks.tutorial.fit import Descent, Section, least_squares, table, unscaled
from benchmarks.tutorial.published_output import published
from benchmarks.worker.client import Refused
from impls.interface import Array, Problem

PROBES = {"scalar": ("f(5)", [5.0]), "line": ("f(0.5)", [0.5, 1.0])}  # what the texts predict
SHOWN_WEIGHTS = 8  # of a target


def sections(descent: Descent, every: int | None) -> Iterator[Section]:
    """Yield the parts of the output, each with whether it agrees with the reference."""
    steps = descent.problem.steps
    updates = shown(steps, every)
    of_descent = f"{descent.impl}, {descent.problem.X.dtype}, {descent.request.device}"
    yield [*problem_lines(descent.request.name, descent.problem), of_descent], True
    yield state(descent, "before", 0), True
    yield table(["update", "loss before it"], [[str(t), f"{descent.loss(t):#.6g}"] for t in updates]), True
    smallest = min(least_squares(descent.request.exact), descent.loss(steps))  # the former is rounded
    best = f"loss after         {descent.loss(steps):#.6g} (least squares: {smallest:#.6g})"
    yield [*state(descent, "after", steps), best], True
    lines, agrees = agreement(descent, [*updates, steps])
    yield lines, agrees
    if agrees:
        yield published(descent)


def shown(steps: int, every: int | None) -> range:
    """Return the updates before which a loss is shown."""
    return range(0, steps, every or max(1, round(steps / 10)))


def problem_lines(name: str, problem: Problem) -> list[str]:
    """Return what a problem is, its size and its plan."""
    base = catalogue.parse(name)[0]
    about = catalogue.CATALOGUE[base].about if base in catalogue.CATALOGUE else "a table"
    batch = "full batch" if problem.order is None else f"mini-batches of {problem.order.shape[1]} rows"
    (n, d), k, steps = problem.X.shape, problem.y[0].size, problem.steps
    return [
        f"{name}: {about}",
        f"n = {n} rows, d = {d} weights, k = {k} target{'s' * (k > 1)}, {batch}, lr = {problem.lr:g}, {steps} updates",
    ]


def state(descent: Descent, when: str, t: int) -> list[str]:
    """Return weights and prediction after t updates."""
    lines = []
    for name, w in zip(descent.targets, descent.weights(t).reshape(len(descent.columns), -1).T, strict=True):
        owner = f"{name}: " * (len(descent.targets) > 1)
        lines.append(f"{f'weights {when}':18} {owner}{_named(descent, w)}")
        if descent.request.data.scale.size:
            lines.append(f"{'  as in the file':18} {owner}{_named(descent, unscaled(descent.request.data, w))}")
    return lines + prediction(descent, f"prediction {when}", t)


def _named(descent: Descent, w: Array) -> str:
    words = [f"{column} {value:#.5g}" for column, value in zip(descent.columns, w[:SHOWN_WEIGHTS], strict=False)]
    more = [f"... {len(w) - SHOWN_WEIGHTS} more"] * (len(w) > SHOWN_WEIGHTS)
    return ", ".join(words + more)


def prediction(descent: Descent, title: str, t: int) -> list[str]:
    """Return f(x) if the tutorial asks for it, else predictions beside targets: all of crops, else one row."""
    if descent.base in PROBES:
        label, x = PROBES[descent.base]
        return [f"{title:18} {label} = {descent.predict(np.array([x]), t)[0, 0]:.3f}"]
    rows = 5 if descent.base == "crops" else 1
    predictions, y = descent.predict(descent.problem.X[:rows], t), descent.problem.y[:rows].reshape(rows, -1)
    cells = [
        [f"row {i + 1}", *(f"{value:.4g}" for pair in zip(predictions[i], y[i], strict=True) for value in pair)]
        for i in range(rows)
    ]
    return table([title, *(word for name in descent.targets for word in (name, "target"))], cells)


def agreement(descent: Descent, updates: list[int]) -> Section:
    """Check as `pytest benchmarks` does, and also check the weights after these updates."""
    try:
        reason = descent.checked(seconds=0.0).facts["reason"]
        updates = sorted({1, *updates} - {0})
        pairs = [judge(descent.task, descent.weights(t), t, 0.0, descent.problem.w0) for t in updates]
    except Refused as error:
        return [f"does NOT agree with the reference: {error}"], False
    worst = max(error / allowed for error, allowed in pairs)
    invalid = [f"a time of it would not count: {reason}"] if reason else []
    return [f"agrees with the reference: worst error is {worst:.2%} of what is allowed", *invalid], True
