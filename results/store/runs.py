"""Find the saved runs by name, and put their tables together."""

import contextlib
import difflib
import gc
import multiprocessing
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import chain
from pathlib import Path

import pandas as pd

from results.output import words
from results.store.frame import File, laid_out, opened, runs_of
from results.store.json_values import clean
from results.store.reading import Run, RunError

ROOT = Path(__file__).parents[1] / "runs"
THREADED = {"jax", "tensorflow", "torch"}  # their threads may hold locks while a process is forked
MANY = 64  # files, from which on a second process is worth its start


def load(*runs: str, root: Path | str | None = None) -> pd.DataFrame:
    """One tidy table of the runs named (default: the latest; `all`: every readable one), columns as in COLUMNS.

    A row per case and block. Times are in seconds, memory in bytes; what a file does not say is NaN. Raises RunError.
    """
    return laid_out(_opened(list(runs), Path(root or ROOT)))


def find_all(names: list[str], root: Path) -> list[Run]:
    """The runs named (default: the latest), each once, in that order. Raises RunError, also where two share a label.

    `all`, also with a machine/ in front, is every run that can be read; the others are named on stderr.
    """
    return runs_of(_opened(names, root))


def find(name: str, root: Path) -> Run:
    """The run that `name` means: a path, or [machine/]latest, number, save name or NNNN_name. Raises RunError."""
    return runs_of([_meant(name, root)])[0]


def _opened(names: list[str], root: Path) -> list[File]:
    found: dict[str, File] = {}
    for file in chain.from_iterable(_named(name, root) for name in names or ["latest"]):
        if found.setdefault(file.label, file).when != file.when:
            raise RunError(f"two files are both {file.label}; put them under one --runs folder")
    return list(found.values())


def _named(name: str, root: Path) -> list[File]:
    *folders, last = name.split("/")
    if last != "all" or os.path.isfile(name):
        return [_meant(name, root)]
    found, faults = _readable(_inside(files(root), folders, root), root)
    for fault in faults.values():
        sys.stderr.write(f"skipped: {words(fault)}\n")
    return found


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


def _meant(name: str, root: Path) -> File:
    *folders, last = name.split("/")
    if last != "latest" or os.path.isfile(name):
        return _open(_place(name, root), root)
    return max(_readable(_inside(files(root), folders, root), root)[0], key=lambda file: (file.when, file.label))


def _place(name: str, root: Path) -> Path:
    """The file that a name other than `latest` or `all` means. Raises RunError."""
    if name.endswith(".json") or os.path.isfile(name):
        return Path(name)
    *folders, last = name.split("/")
    known = _inside(files(root), folders, root)
    matches = [path for path in known if _answers(path, last)]
    if len(matches) > 1:
        raise RunError(f"{name!r} is ambiguous: {', '.join(label(path, root) for path in matches)}")
    if not matches:
        raise RunError(f"no run is called {name!r}; {nearest(name, [label(path, root) for path in known])}")
    return matches[0]


def places(names: list[str], root: Path) -> list[Path]:
    """The files named (default: all), whether they can be read or not. Raises RunError for a name that fits none."""
    found: dict[Path, None] = {}
    for name in names or ["all"]:
        *folders, last = name.split("/")
        if last == "all" and not os.path.isfile(name):
            found |= dict.fromkeys(_inside(files(root), folders, root))
        else:
            found[_meant(name, root).path if last == "latest" else _place(name, root)] = None
    return [*found]


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


def read_all(paths: list[Path], root: Path) -> tuple[list[Run], dict[str, str]]:
    """The runs that can be read, and by label why the others cannot."""
    found, faults = _tried(paths, root)
    return runs_of(found), faults


def _readable(paths: list[Path], root: Path) -> tuple[list[File], dict[str, str]]:
    """What `_tried` gives; raises RunError if nothing can be read."""
    found, faults = _tried(paths, root)
    if not found:
        raise RunError(next(iter(faults.values())))
    return found, faults


def _tried(paths: list[Path], root: Path) -> tuple[list[File], dict[str, str]]:
    with uncollected():
        tried = _by_all_cores(partial(_attempt, root=root), paths)
    faults = zip(paths, tried, strict=True)
    return (
        [file for file in tried if isinstance(file, File)],
        {label(path, root): str(fault) for path, fault in faults if isinstance(fault, RunError)},
    )


def _attempt(path: Path, root: Path) -> File | RunError:
    try:
        return _open(path, root)
    except RunError as error:
        return error


def _by_all_cores(work: Callable[[Path], File | RunError], paths: list[Path]) -> list[File | RunError]:
    """`work` done for each path, in order: where there are many, by a process per core."""
    cores = _cores()
    if len(paths) < MANY or cores == 1:
        return list(map(work, paths))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # forked beside threads: the children parse, no more
        with ProcessPoolExecutor(min(cores, 8), multiprocessing.get_context("fork")) as pool:
            return list(pool.map(work, paths, chunksize=16))


def _cores() -> int:
    """How many processes may open files: one where a fork may not be safe."""
    if sys.platform != "linux" or multiprocessing.current_process().daemon or THREADED & sys.modules.keys():
        return 1
    return len(os.sched_getaffinity(0))


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """Without garbage collections: among millions of numbers and words they take a fifth of the time, and find none."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def label(path: Path, root: Path) -> str:
    """How a file under `root` is called: short, and like no other there."""
    parts = path.relative_to(root).with_suffix("").parts
    only = len(parts) == 3 and sum(entry.is_dir() for entry in path.parent.parent.iterdir()) == 1
    return str(clean("/".join([parts[0], parts[2]] if only else parts)))


def _open(path: Path, root: Path) -> File:
    place, base = path.absolute(), root.absolute()
    return opened(path, label(place, base) if place.is_relative_to(base) else "")
