"""Find the saved runs by name, and put their tables together."""

import difflib
import os
import sys
from itertools import chain
from pathlib import Path

import pandas as pd

from results.format import words
from results.read import Run, RunError
from results.table import laid_out, opened, read

ROOT = Path(__file__).parent / "runs"


def load(*runs: str, root: Path | str | None = None) -> pd.DataFrame:
    """One tidy table of the runs named (default: the latest): a row per case and block, columns as in COLUMNS.

    Times are in seconds, memory in bytes; what a file does not say is NaN. Raises RunError.
    """
    return join([run.rows for run in find_all(list(runs), Path(root or ROOT))])


def find_all(names: list[str], root: Path) -> list[Run]:
    """The runs named (default: the latest), each once, by machine. Raises RunError, also where two share a label.

    `all` is every run that can be read; the others are named on stderr.
    """
    found: dict[str, Run] = {}
    for run in chain.from_iterable(_named(name, root) for name in names or ["latest"]):
        if found.setdefault(run.label, run).when != run.when:
            raise RunError(f"two files are both {run.label}; put them under one --runs folder")
    return sorted(found.values(), key=lambda run: (run.machine, run.label))


def _named(name: str, root: Path) -> list[Run]:
    *folders, last = name.split("/")
    if last != "all" or os.path.isfile(name):
        return [find(name, root)]
    runs, faults = read_all(_inside(files(root), folders, root), root)
    if not runs:
        raise RunError(next(iter(faults.values())))
    for fault in faults.values():
        sys.stderr.write(f"skipped: {words(fault)}\n")
    return runs


def join(frames: list[pd.DataFrame]) -> pd.DataFrame:
    """The tables under one another; the empty ones only lend their columns."""
    filled = [frame for frame in frames if len(frame)]
    return pd.concat(filled, ignore_index=True) if filled else frames[0]


def files(root: Path) -> list[Path]:
    """Every JSON file under `root`. Raises RunError if there is none or a folder cannot be read."""

    def refuse(error: OSError) -> None:
        raise RunError(f"cannot read {error.filename}: {error.strerror}")

    found = [Path(folder, name) for folder, _, names in os.walk(root, onerror=refuse) for name in names]
    if not (runs := sorted(path for path in found if path.suffix == ".json")):
        raise RunError(f"no runs in {root}; make one with: pytest benchmarks --benchmark-save=NAME")
    return runs


def find(name: str, root: Path) -> Run:
    """The run that `name` means: a path, or [machine/]latest, number, save name or NNNN_name. Raises RunError."""
    if name.endswith(".json") or os.path.isfile(name):
        return _open(Path(name), root)
    *folders, last = name.split("/")
    known = _inside(files(root), folders, root)
    if last == "latest":
        return _latest(known, root)
    matches = [path for path in known if _answers(path, last)]
    if len(matches) > 1:
        raise RunError(f"{name!r} is ambiguous: {', '.join(label(path, root) for path in matches)}")
    if not matches:
        raise RunError(f"no run is called {name!r}; {nearest(name, [label(path, root) for path in known])}")
    return _open(matches[0], root)


def nearest(name: str, known: list[str]) -> str:
    """What to offer for a name that is not known."""
    close = difflib.get_close_matches(name, known, n=3)
    return f"nearest: {', '.join(close)}" if close else f"known: {', '.join(known[:12]) or 'none'}"


def _inside(paths: list[Path], folders: list[str], root: Path) -> list[Path]:
    """The paths in those folders under `root`, each named in full or by a beginning that no other shares."""
    for depth, folder in enumerate(folders):
        paths = [path for path in paths if len(path.relative_to(root).parts) > depth + 1]
        names = sorted({path.relative_to(root).parts[depth] for path in paths})
        chosen = [folder] if folder in names else [name for name in names if name.startswith(folder)]
        if not chosen:
            raise RunError(f"no machine is called {folder!r}; {nearest(folder, names)}")
        if len(chosen) > 1:
            raise RunError(f"{folder!r} is ambiguous: {', '.join(chosen)}")
        paths = [path for path in paths if path.relative_to(root).parts[depth] == chosen[0]]
    return paths


def _answers(path: Path, name: str) -> bool:
    number, _, saved = path.stem.partition("_")
    same_number = name.isdecimal() and number.isdecimal() and name.lstrip("0") == number.lstrip("0")
    return same_number or (name != "" and name in (path.stem, saved))


def _latest(paths: list[Path], root: Path) -> Run:
    runs, faults = read_all(paths, root)
    if not runs:
        raise RunError(next(iter(faults.values())))
    return max(runs, key=lambda run: (run.when, run.label))


def read_all(paths: list[Path], root: Path) -> tuple[list[Run], dict[str, str]]:
    """The runs that can be read, and by label why the others cannot."""
    found, faults = [], {}
    for path in paths:
        try:
            found.append(opened(path, label(path, root)))
        except RunError as error:
            faults[label(path, root)] = str(error)
    return laid_out(found), faults


def label(path: Path, root: Path) -> str:
    """How a file under `root` is called: short, and like no other there."""
    parts = path.relative_to(root).with_suffix("").parts
    only = len(parts) == 3 and sum(entry.is_dir() for entry in path.parent.parent.iterdir()) == 1
    return "/".join([parts[0], parts[2]] if only else parts)


def _open(path: Path, root: Path) -> Run:
    place, base = path.absolute(), root.absolute()
    return read(path, label(place, base) if place.is_relative_to(base) else "")
