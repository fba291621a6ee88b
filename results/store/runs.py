"""Find saved runs by name, and combine their tables."""

import difflib
import glob
import os
import shlex
import sys
from pathlib import Path

import pandas as pd

from results.output import words
from results.store.frame import load_file
from results.store.json_values import clean
from results.store.reading import Run, RunError

ROOT = Path(__file__).parents[1] / "runs"
PROJECT_FILE = "project.txt"  # in a folder of runs: the files that the project committed, one path a line
RUN_GROUPS = ("all", "project")  # names of several runs
LIST_COMMAND = "python -m results list"
SHORT_NAME_CHARACTERS = 5  # at least, of an abbreviated machine name
SHOWN_NAMES, SHOWN_NEAREST = 12, 6  # in a message: known names, and those that begin with the unknown one
FEW_NAMES = 3  # of runs, that a message lists
SIMILAR_RATIO = 0.65  # of difflib; below it, names are not alike: larg and scalar have 0.6, new and nww 0.67


def load(*runs: str, root: Path | str | None = None) -> pd.DataFrame:
    """Return one tidy table of the named runs (default: the latest), see `find_all` and COLUMNS.

    A row is one case and block. Times are in seconds, memory in bytes. Unknown values are NaN. Raises RunError.
    """
    return join([run.rows for run in find_all(list(runs), Path(root or ROOT))])


def find_all(names: list[str], root: Path) -> list[Run]:
    """Return the named runs (default: the latest) in order, without repetition.

    `all` names every readable run, `project` those of the project. machine/all and machine/project: those of a machine.
    Unreadable files are listed on stderr. Raises RunError, also if two files have the same label.
    """
    by_label: dict[str, Run] = {}
    for name in names or ["latest"]:
        paths = _paths_of_group(name, root)
        loaded, errors = _read_readable(paths, root) if paths else ([find(name, root)], {})
        sys.stderr.writelines(f"skipped: {words(error)}\n" for error in errors.values())
        for run in loaded:
            if by_label.setdefault(run.label, run).when != run.when:
                raise RunError(f"two files have the label {run.label}; put them under one --runs folder")
    return list(by_label.values())


def _paths_of_group(name: str, root: Path) -> list[Path]:
    """Return the files of `all`, `project`, FOLDER/all or FOLDER/project; [] for other names. Raises RunError."""
    *folders, last = name.split("/")
    if last not in RUN_GROUPS or os.path.isfile(name):
        return []
    paths = _select_machine(files(root), folders, root)
    if last == "all":
        return paths
    if not (paths := [path for path in paths if is_of_project(path, root)]):
        raise RunError(f"{name}: the project has no run in {root}; name runs of your own ({LIST_COMMAND})")
    return paths


def join(frames: list[pd.DataFrame]) -> pd.DataFrame:
    """Concatenate tables. If all are empty, return the first for its columns."""
    filled = [frame for frame in frames if len(frame)]
    return pd.concat(filled, ignore_index=True) if filled else frames[0]


def files(root: Path) -> list[Path]:
    """Return every JSON file under `root`, sorted. Raises RunError if there is none or a folder is unreadable."""

    def fail(error: OSError) -> None:
        raise RunError(f"cannot read {error.filename}: {error.strerror}")

    paths = [Path(folder, name) for folder, _, names in os.walk(root, onerror=fail) for name in names]
    if not (runs := sorted(path for path in paths if path.suffix == ".json")):
        raise RunError(f"no runs in {root}; make one with: pytest benchmarks --benchmark-save=NAME")
    return runs


def find(name: str, root: Path) -> Run:
    """Return one run by path, or by [machine/]latest, number, save name or NNNN_name. Raises RunError."""
    *folders, last = name.split("/")
    if last != "latest" or os.path.isfile(name):
        path = _find_path(name, root)
        return load_file(path, label(path, root))
    own_paths = [path for path in _select_machine(files(root), folders, root) if not is_of_project(path, root)]
    if not own_paths:
        advice = "make one with: pytest benchmarks --benchmark-save=NAME"
        largest = label(max(_select_machine(files(root), folders, root), key=os.path.getsize), root)
        raise RunError(f"no run of yours in {root}; {advice}, or name one of the project's: {largest} ({LIST_COMMAND})")
    loaded, _ = _read_readable(own_paths, root)
    return max(loaded, key=lambda run: (run.when, run.label))


def is_of_project(path: Path, root: Path) -> bool:
    """Return whether the project itself has committed a run. Such a run is never `latest`."""
    file, path, base = root / PROJECT_FILE, path.absolute(), root.absolute()
    if not file.is_file() or not path.is_relative_to(base):
        return False
    return path.relative_to(base).as_posix() in file.read_text(encoding="utf-8").splitlines()


def name_of(run: Run) -> str:
    """Return the shortest name of a saved run for a shell: its file's name, with a unique prefix of its machine's name
    if several machines have such a file.

    A run outside the default folder is named by its path.
    """
    if not run.path.absolute().is_relative_to(ROOT):
        return shlex.quote(str(run.path))
    if len([*ROOT.rglob(f"{glob.escape(run.path.stem)}.json")]) == 1:
        return shlex.quote(run.path.stem)
    folder, *rest = run.path.absolute().relative_to(ROOT).parts
    if not rest:
        return shlex.quote(run.label)
    other_folders = [path.name for path in ROOT.iterdir() if path.name != folder]
    ends = range(SHORT_NAME_CHARACTERS, len(folder) + 1)
    end = next((end for end in ends if not any(name.startswith(folder[:end]) for name in other_folders)), len(folder))
    return shlex.quote(f"{folder[:end]}/{run.path.stem}")


def _find_path(name: str, root: Path) -> Path:
    """Return the file for a name other than `latest` and `all`; the user's file comes before one of the project.

    Raises RunError if there is none or more than one.
    """
    if name.endswith(".json") or os.path.isfile(name) or name.startswith(("/", "./", "../")):
        return Path(name)
    *folders, last = name.split("/")
    candidates = _select_folders(files(root), folders, root)
    matches = [path for path in candidates if _matches(path, last)]
    if len(matches) > 1:
        matches = [path for path in matches if not is_of_project(path, root)] or matches
    if len(matches) > 1:
        raise RunError(f"{name!r} is ambiguous: {', '.join(label(path, root) for path in matches)}; give one of them")
    if last in RUN_GROUPS:
        raise RunError(f"{name!r} names several runs; name one ({LIST_COMMAND})")
    if not matches:
        labels = [label(path, root) for path in candidates]
        if len(labels) <= FEW_NAMES or _similar(name, labels):
            raise RunError(f"no run is called {name!r}; {nearest(name, labels)}")
        examples = ", ".join(newest_of_machines(candidates, root)[:FEW_NAMES])
        raise RunError(f"no run is called {name!r}; there are {len(labels)}, such as {examples} ({LIST_COMMAND})")
    return matches[0]


def find_paths(names: list[str], root: Path) -> list[Path]:
    """Return the named files (default: all), readable or not. Raises RunError for an unknown name."""
    paths: dict[Path, None] = {}
    for name in names or ["all"]:
        if group := _paths_of_group(name, root):
            paths |= dict.fromkeys(group)
        else:
            paths[find(name, root).path if name.split("/")[-1] == "latest" else _find_path(name, root)] = None
    return [*paths]


def nearest(name: str, names: list[str], command: str = "") -> str:
    """Return a hint for an unknown name: known names that begin with it, else similar ones, else all.

    command: lists all names; it is added if there are more than SHOWN_NAMES.
    """
    if similar := _similar(name, names):
        return f"nearest: {', '.join(similar)}"
    return f"known: {first_names(names)}" + (f": {command}" if command and len(names) > SHOWN_NAMES else "")


def _similar(name: str, names: list[str]) -> list[str]:
    """Return known names that begin with an unknown one, else names that are like it."""
    beginning = [candidate for candidate in names if name and candidate.startswith(name)][:SHOWN_NEAREST]
    return beginning or difflib.get_close_matches(name, names, n=3, cutoff=SIMILAR_RATIO)


def newest_of_machines(paths: list[Path], root: Path) -> list[str]:
    """Return the label of the newest readable run of each machine, newest first."""
    newest: dict[str, Run] = {}
    for run in sorted(read_all(paths, root)[0], key=lambda run: (run.when, run.label)):
        newest[run.machine] = run
    return [run.label for run in sorted(newest.values(), key=lambda run: (run.when, run.label), reverse=True)]


def first_names(names: list[str], limit: int = SHOWN_NAMES) -> str:
    """Return the first names and the number of further ones: `a, b and 3 more`."""
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return (", ".join(names[:limit]) or "none") + more


def _select_machine(paths: list[Path], folders: list[str], root: Path) -> list[Path]:
    """Return the paths in `folders` under `root`. Raises RunError if the folders are those of several machines."""
    selected = _select_folders(paths, folders, root)
    names = sorted({"/".join(path.relative_to(root).parts[: len(folders)]) for path in selected})
    if len(names) > 1:
        raise RunError(f"{'/'.join(folders)!r} is ambiguous: {', '.join(names)}; give one of them")
    return selected


def _select_folders(paths: list[Path], folders: list[str], root: Path) -> list[Path]:
    """Return the paths in `folders` under `root`. A folder may be abbreviated, and then mean several."""
    for depth, folder in enumerate(folders):
        paths = [path for path in paths if len(path.relative_to(root).parts) > depth + 1]
        names = sorted({path.relative_to(root).parts[depth] for path in paths})
        chosen = [folder] if folder in names else [name for name in names if name.startswith(folder)]
        if not chosen:
            raise RunError(f"no machine is called {folder!r}; {nearest(folder, names)}")
        paths = [path for path in paths if path.relative_to(root).parts[depth] in chosen]
    return paths


def _matches(path: Path, name: str) -> bool:
    number, _, save_name = path.stem.partition("_")
    same_number = name.isdecimal() and number.isdecimal() and name.lstrip("0") == number.lstrip("0")
    return same_number or (name != "" and name in (path.stem, save_name))


def read_all(paths: list[Path], root: Path) -> tuple[list[Run], dict[str, str]]:
    """Return the readable runs, and the errors of unreadable files by label."""
    loaded, errors = [], {}
    for path in paths:
        try:
            loaded.append(load_file(path, label(path, root)))
        except RunError as error:
            errors[label(path, root)] = str(error)
    return loaded, errors


def _read_readable(paths: list[Path], root: Path) -> tuple[list[Run], dict[str, str]]:
    """Return `read_all`. Raises RunError if no file is readable."""
    loaded, errors = read_all(paths, root)
    if not loaded:
        raise RunError(next(iter(errors.values())))
    return loaded, errors


def label(path: Path, root: Path) -> str:
    """Return the shortest unique name of a file under `root`: machine/NNNN_name; "" for a file elsewhere."""
    path, root = path.absolute(), root.absolute()
    if not path.is_relative_to(root):
        return ""
    folders = path.relative_to(root).with_suffix("").parts
    one_platform = len(folders) == 3 and sum(entry.is_dir() for entry in path.parent.parent.iterdir()) == 1
    return str(clean("/".join([folders[0], folders[2]] if one_platform else folders)))
