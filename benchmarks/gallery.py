"""The tutorials' descents as pictures, by every implementation that can run here, and the line's numbers as JSON."""

import importlib
import json
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from benchmarks import scratch
from benchmarks.fit import Descent, Section
from benchmarks.scenes import Descents, Scene, descents, difference, scenes
from benchmarks.workers import Refused
from impls.interface import Unsupported

LEAD = "numpy_manual"  # whose descent is shown where one has to do: this one's, or the first that takes part


def sections(chosen: list[str], out: Path) -> Iterator[Section]:
    """Who takes part, one by one, then the files. `chosen`: names or paths, as `impls.load` takes them.

    Before anything is computed, raises Unsupported when `out` cannot be written to, ModuleNotFoundError without
    matplotlib; later Unsupported when no implementation can run here.
    """
    importlib.import_module("matplotlib")
    _open(out)
    right: dict[str, Descents] = {}
    agrees = True
    with scratch.passing("gallery") as folder:
        stage = scenes(str(folder))
        for impl in chosen:
            name = Path(impl).stem
            try:
                right[name] = descents(impl, stage)
                yield [_agreement(name, right[name], stage)], True
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
    """What a page needs to play the line's descent: data, and weights and loss after each update, as plain lists.

    `impls`: by how much each implementation's weights differ from the reference's at most, relatively. Numbers have
    six significant digits.
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


def _write(out: Path, right: dict[str, Descents], stage: dict[str, Scene]) -> list[Path]:
    from benchmarks import pictures

    lead = right[LEAD] if LEAD in right else next(iter(right.values()))
    differences = {name: difference(found["line"], stage["line"]) for name, found in right.items()}
    played = out / "line.json"
    played.write_text(json.dumps(player(lead["line"], differences)) + "\n")
    return [*pictures.write(out, right, lead), played]


def _agreement(name: str, found: Descents, stage: dict[str, Scene]) -> str:
    worst = max(difference(found[scene], stage[scene]) for scene in stage)
    return f"{name} agrees with the reference after every update; largest relative difference {worst:.2g}"


def _digits(numbers: Iterable[float]) -> list[float]:
    """As plain numbers of six significant digits."""
    return [float(f"{number:.6g}") for number in numbers]


def _open(folder: Path) -> None:
    """Make the folder if need be. Raises Unsupported where nothing can be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise Unsupported(f"{folder}: cannot be written ({error.strerror})") from error
