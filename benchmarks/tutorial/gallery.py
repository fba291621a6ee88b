"""The command `gallery`: plots of the tutorials' descents by every implementation, and the line's numbers as JSON."""

import contextlib
import importlib
import json
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.problems import catalogue, tutorials
from benchmarks.timing.measure import judge
from benchmarks.timing.prepared import PreparedProblem, prepare_problem
from benchmarks.tutorial.fit import Descent, Descents, Section
from benchmarks.worker.client import TIMEOUT, Refused, Settings, Worker
from benchmarks.worker.workspace import Workspace
from impls.interface import Array, Device, Problem, Run, Unsupported

DTYPE = "float32"

TARGETS = {"line": ["y"], "crops": tutorials.CROPS_NAMES}  # what the texts predict


@dataclass(frozen=True, eq=False)
class GalleryCase:
    """A problem with its tutorial's updates, in float32, on disk for the workers, with its reference solution."""

    name: str
    problem: Problem
    columns: list[str]
    task: PreparedProblem

    @property
    def updates(self) -> range:
        """All updates, from the first to the last."""
        return range(1, self.problem.steps + 1)


LEAD = "numpy_manual"  # whose descent is shown where one has to do: this one's, or the first that takes part


def sections(chosen: list[str], out: Path, problem: str | None = None) -> Iterator[Section]:
    """Yield a line for each implementation, then the files. `chosen`: names or paths. problem: the only one drawn.

    Raises, before computing, Unsupported if `out` cannot be written, and ModuleNotFoundError without matplotlib. Raises
    Unsupported later if no implementation can run here.
    """
    importlib.import_module("matplotlib")
    _open(out)
    right: dict[str, Descents] = {}
    agrees = True
    with Workspace() as workspace:
        cases = gallery_cases(str(workspace.new("gallery")))
        stage = {name: case for name, case in cases.items() if problem in (None, case.name)}
        for impl in chosen:
            name = Path(impl).stem
            try:
                right[name] = descents(impl, stage, workspace)
                worst = max(difference(right[name][scene], stage[scene]) for scene in stage)
                words = "agrees with the reference after every update; largest relative difference"
                yield [f"{name} {words} {worst:.2g}"], True
            except Unsupported as error:
                yield [f"{name} is not in the pictures: {error}"], True
            except Refused as error:
                agrees = False
                yield [f"{name} is REFUSED from the pictures: {error}"], False
    if right:
        yield [f"written: {path}" for path in _write(out, right, stage)], True
    elif agrees:
        raise Unsupported("nothing is drawn: no implementation can run here")


def player(line: Descent, differences: dict[str, float]) -> dict[str, Any]:
    """Return what a page needs to play the line's descent: data, weights and losses after each update, as plain lists.

    `impls`: the largest relative difference of each implementation's weights from the reference. Numbers have six
    digits.
    """
    updates = list(range(line.problem.steps + 1))
    return {
        "x": _digits(line.problem.X[:, 0]),
        "y": _digits(line.problem.y),
        "start": _digits(line.problem.w0),
        "updates": updates,
        "weights": [_digits(line.weights(t)) for t in updates],
        "loss": _digits([line.loss(t) for t in updates]),
        "impls": dict(zip(differences, _digits(differences.values()), strict=True)),
    }


def _write(out: Path, right: dict[str, Descents], stage: dict[str, GalleryCase]) -> list[Path]:
    from benchmarks.tutorial import gallery_plots

    lead = right[LEAD] if LEAD in right else next(iter(right.values()))
    files = gallery_plots.write(out, right, lead)
    if "line" not in stage:
        return files
    differences = {name: difference(found["line"], stage["line"]) for name, found in right.items()}
    played = out / "line.json"
    played.write_text(json.dumps(player(lead["line"], differences)) + "\n")
    return [*files, played]


def _digits(numbers: Iterable[float]) -> list[float]:
    """Return plain numbers of six significant digits."""
    return [float(f"{number:.6g}") for number in numbers]


def _open(folder: Path) -> None:
    """Make the folder if needed. Raises Unsupported if nothing can be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise Unsupported(f"{folder}: cannot be written ({error.strerror})") from error


def gallery_cases(folder: str) -> dict[str, GalleryCase]:
    """Return the line from both tutorials' starts, and the crops; their problems are below `folder`."""
    notes, scratch = map(np.array, tutorials.LINE_RUNS)
    return {
        "line": _scene("line", folder, scratch),
        "line of the notes": _scene("line", folder, notes),
        "crops": _scene("crops", folder),
    }


def descents(impl: str, gallery_cases: dict[str, GalleryCase], workspace: Workspace) -> Descents:
    """Return the descent of each case, every iterate checked, from one worker on one core.

    Raises Unsupported with the implementation's reason, or Refused with the error.
    """
    with contextlib.closing(Worker(impl, Settings(threads=1), TIMEOUT, workspace)) as worker:
        return {name: _descent(worker, Path(impl).stem, scene) for name, scene in gallery_cases.items()}


def difference(descent: Descent, scene: GalleryCase) -> float:
    """Return the largest ||w - reference|| / ||reference|| after any update, in Frobenius norms."""
    right = {t: scene.task.truth.expected(t, 0.0) for t in scene.updates}
    errors = {t: np.linalg.norm(descent.weights(t).reshape(w.shape) - w) for t, w in right.items()}
    return max(float(errors[t] / np.linalg.norm(w)) for t, w in right.items())


def _scene(name: str, folder: str, start: Array | None = None) -> GalleryCase:
    exact, data = catalogue.build(name)
    w0 = exact.w0 if start is None else start
    problem = catalogue.cast(replace(exact, w0=w0, steps=tutorials.STEPS[name]), DTYPE)
    problem_folder = Path(tempfile.mkdtemp(dir=folder), "problem")
    task = prepare_problem(name, problem, problem_folder, shown=range(1, problem.steps + 1))
    return GalleryCase(name, problem, data.columns, task)


def _descent(worker: Worker, impl: str, scene: GalleryCase) -> Descent:
    def prepare(problem: Problem, device: Device) -> Run:
        worker.prepare(scene.task.folder, device)
        return lambda start, steps, /: np.array(worker.run(start, steps).weights, start.dtype)

    targets, start = TARGETS[scene.name], scene.problem.w0
    descent = Descent(scene.name, impl, scene.problem, "cpu", prepare, scene.columns, targets, scene.task, worker)
    descent.weights(0)
    for t in scene.updates:
        judge(scene.task, descent.weights(t), t, 0.0, start)
    descent.checked(seconds=0.0)
    return descent
