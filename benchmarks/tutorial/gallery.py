"""The command `gallery`: plots of the tutorials' descents by every implementation, and the line's numbers as JSON."""

import contextlib
import importlib
import json
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.problems import catalogue, tutorials
from benchmarks.timing.measure import judge
from benchmarks.timing.prepared import PreparedProblem
from benchmarks.tutorial.fit import Descent, Descents, Request, Section
from benchmarks.worker.client import TIMEOUT, Refused, Settings, Worker
from benchmarks.worker.workspace import Workspace
from impls.interface import Array, Unsupported

DTYPE = "float32"
LEAD_IMPL = "numpy_manual"  # whose descent is drawn; without it, the first that takes part
GalleryCase = tuple[Request, PreparedProblem]  # a problem with its tutorial's updates, in float32


def sections(impls: list[str], out: Path, problem: str | None = None) -> Iterator[Section]:
    """Yield a line for each implementation, then the files. `impls`: names or paths. problem: the only one drawn.

    Raises, before computing, Unsupported if `out` cannot be written, and ModuleNotFoundError without matplotlib. Raises
    Unsupported later if no implementation can run here.
    """
    importlib.import_module("matplotlib")
    try:
        out.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=out).close()
    except OSError as error:
        raise Unsupported(f"{out}: cannot be written ({error.strerror})") from error
    right: dict[str, Descents] = {}
    agrees = True
    with Workspace() as workspace:
        stage = {name: case for name, case in gallery_cases(workspace).items() if problem in (None, case[0].name)}
        for impl in impls:
            name = Path(impl).stem
            try:
                right[name] = descents(impl, stage, workspace)
                worst = max(map(difference, right[name].values()))
                words = "agrees with the reference after every update; largest relative difference"
                yield [f"{name} {words} {worst:.2g}"], True
            except Unsupported as error:
                yield [f"{name} is not in the pictures: {error}"], True
            except Refused as error:
                agrees = False
                yield [f"{name} is REFUSED from the pictures: {error}"], False
    if right:
        yield [f"written: {path}" for path in _write(out, right)], True
    elif agrees:
        raise Unsupported("nothing is drawn: no implementation can run here")


def player(line: Descent, differences: dict[str, float]) -> dict[str, Any]:
    """Return what a page needs to play the line's descent, with each implementation's relative difference."""
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


def _write(out: Path, right: dict[str, Descents]) -> list[Path]:
    from benchmarks.tutorial import gallery_plots

    lead = right[LEAD_IMPL] if LEAD_IMPL in right else next(iter(right.values()))
    files = gallery_plots.write(out, right, lead)
    if "line" not in lead:
        return files
    differences = {name: difference(by_problem["line"]) for name, by_problem in right.items()}
    played = out / "line.json"
    played.write_text(json.dumps(player(lead["line"], differences)) + "\n")
    return [*files, played]


def _digits(numbers: Iterable[float]) -> list[float]:
    """Return plain numbers of six significant digits."""
    return [float(f"{number:.6g}") for number in numbers]


def gallery_cases(workspace: Workspace) -> dict[str, GalleryCase]:
    """Return the line from both tutorials' starts, and the crops."""
    notes, scratch = map(np.array, tutorials.LINE_RUNS)
    return {
        "line": _scene("line", workspace, scratch),
        "line of the notes": _scene("line", workspace, notes),
        "crops": _scene("crops", workspace),
    }


def descents(impl: str, gallery_cases: dict[str, GalleryCase], workspace: Workspace) -> Descents:
    """Return each case's descent, all iterates checked, from one worker on one core. Raises Unsupported or Refused."""
    checked = {}
    with contextlib.closing(Worker(impl, Settings(threads=1), TIMEOUT, workspace)) as worker:
        for name, (request, task) in gallery_cases.items():
            descent = Descent(request, Path(impl).stem, task, worker)
            descent.weights(0)
            for t in range(1, descent.problem.steps + 1):
                judge(task, descent.weights(t), t, 0.0, descent.problem.w0)
            descent.checked(seconds=0.0)
            checked[name] = descent
    return checked


def difference(descent: Descent) -> float:
    """Return the largest ||w - reference|| / ||reference|| after any update, in Frobenius norms."""
    right = {t: descent.task.truth.expected(t, 0.0) for t in range(1, descent.problem.steps + 1)}
    errors = {t: np.linalg.norm(descent.weights(t).reshape(w.shape) - w) for t, w in right.items()}
    return max(float(errors[t] / np.linalg.norm(w)) for t, w in right.items())


def _scene(name: str, workspace: Workspace, start: Array | None = None) -> GalleryCase:
    exact, data = catalogue.build(name)
    w0 = exact.w0 if start is None else start
    problem = catalogue.cast(replace(exact, w0=w0, steps=tutorials.STEPS[name]), DTYPE)
    request = Request(name, problem, problem, data, "cpu")
    return request, request.prepared(workspace, range(1, problem.steps + 1))
