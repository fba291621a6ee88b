"""The tutorials' descents as an implementation makes them in a worker of its own, every iterate held against the truth.

For implementations beside one another: `fit` runs one in its own process, which should not hold two frameworks.
"""

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks import problems, tutorials
from benchmarks.campaign import shelve
from benchmarks.fit import Descent
from benchmarks.measure import Task, check_iterate, judge
from benchmarks.options import TIMEOUT
from benchmarks.reference import truth
from benchmarks.workers import Refused, Worker
from impls.interface import Array, Device, Problem, Run

DTYPE = "float32"
TARGETS = {"line": ["y"], "crops": tutorials.CROPS_NAMES}  # what the texts predict
Descents = dict[str, Descent]  # by scene


@dataclass(frozen=True, eq=False)
class Scene:
    """A problem with its text's updates, in float32, on disk for the workers; its truth is known after each update."""

    name: str
    problem: Problem
    columns: list[str]
    task: Task


def scenes(folder: str) -> dict[str, Scene]:
    """The line from both of its texts' starts and the crops, kept below `folder`."""
    notes, scratch = map(np.array, tutorials.LINE_RUNS)
    return {
        "line": _scene("line", folder, scratch),
        "line of the notes": _scene("line", folder, notes),
        "crops": _scene("crops", folder),
    }


def descents(impl: str, scenes: dict[str, Scene]) -> Descents:
    """The descent of each scene, all iterates known and right, from one worker on one core.

    Raises Unsupported with the implementation's reason, Refused with what is wrong.
    """
    worker = Worker(impl, 1, "cpu", "highest", TIMEOUT)
    try:
        return {name: _descent(worker, Path(impl).stem, scene) for name, scene in scenes.items()}
    finally:
        worker.close()


def difference(descent: Descent, scene: Scene) -> float:
    """The largest ||w - reference|| / ||reference|| after any update, in Frobenius norms."""
    known = scene.task.truth
    right = {t: known.expected(t, 0.0) for t in known.at}
    return max(
        float(np.linalg.norm(descent.weights(t).reshape(w.shape) - w) / np.linalg.norm(w)) for t, w in right.items()
    )


def _scene(name: str, folder: str, start: Array | None = None) -> Scene:
    exact, columns = problems.build(name)
    w0 = exact.w0 if start is None else start
    problem = problems.cast(replace(exact, w0=w0, steps=tutorials.STEPS[name]), DTYPE)
    kept = Path(tempfile.mkdtemp(dir=folder), "problem")
    shelve(problem, kept)
    known = truth(problem, list(range(1, problem.steps + 1)))
    return Scene(name, problem, columns, Task(str(kept), known, {"dtype": DTYPE}))


def _descent(worker: Worker, impl: str, scene: Scene) -> Descent:
    def prepare(problem: Problem, device: Device) -> Run:
        worker.ask("prepare", folder=scene.task.folder, device=device)
        return lambda start, steps, /: np.array(worker.run(start, steps)["weights"], start.dtype)

    start = scene.problem.w0
    descent = Descent(scene.name, impl, scene.problem, "cpu", prepare, scene.columns, TARGETS[scene.name])
    if not np.array_equal(descent.weights(0), start):
        raise Refused("run(start, 0) is not start")
    for t in scene.task.truth.at:
        judge(scene.task, descent.weights(t), t, 0.0, start)
    check_iterate(worker, scene.task, 1, 0.5)  # does it remember the first start?
    return descent
