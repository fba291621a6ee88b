"""Take an implementation as it was in a git revision: `--impl path.py@REVISION`. Nothing is checked out."""

import re
import subprocess
from pathlib import Path

from benchmarks.worker.process import ROOT

FILE_AT_REVISION = re.compile(r"(?P<path>.+\.py)@(?P<revision>\S+)")
FOLDER = ROOT / "build" / "revisions"


def file_of(path: Path, revision: str) -> Path:
    """Return a file NAME@COMMIT.py as `path` was in a revision, with its folder's other modules. Raises ValueError.

    A file of this suite comes with the folder `impls` of that revision, whose `_<framework>.py` it imports.
    """
    if _git(path.parent, "rev-parse", "--git-dir") is None:
        reason = f"git is missing or finds no repository in {path.parent}"
        raise ValueError(f"{path.name}@{revision}: {reason}; leave out @{revision}")
    is_option = revision.startswith("-")
    commit = None if is_option else _git(path.parent, "rev-parse", "--verify", "--short", f"{revision}^{{commit}}")
    if commit is None:
        raise ValueError(f"{path.name}@{revision}: git knows no such revision in {path.parent}; see: git log")
    commit = commit.strip()
    text = _git(path.parent, "show", f"{commit}:./{path.name}")
    if text is None:
        raise ValueError(f"{path.name}@{revision}: commit {commit} has no such file; see: git log -- {path}")
    folders = {path.parent, ROOT / "impls"} if path.is_relative_to(ROOT) else {path.parent}
    old = FOLDER / commit / path.parent.name / f"{path.stem}@{commit}.py"
    try:
        for folder in folders:
            _write_modules(folder, commit, FOLDER / commit / folder.name)
        old.write_text(text, "utf-8")
    except OSError as error:
        raise ValueError(f"{path.name}@{revision}: cannot write {old.parent}: {error.strerror}") from error
    return old


def _write_modules(folder: Path, commit: str, target: Path) -> None:
    """Write the modules of a folder and below as they were in a commit. Raises OSError."""
    target.mkdir(parents=True, exist_ok=True)
    for name in (_git(folder, "ls-tree", "-r", "-z", "--name-only", commit, "./") or "").split("\0"):
        if name.endswith(".py"):
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            (target / name).write_text(_git(folder, "show", f"{commit}:./{name}") or "", "utf-8")


def _git(folder: Path, *words: str) -> str | None:
    """Return what git prints; None if it fails or is missing."""
    try:
        result = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True, encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    return result.stdout if result.returncode == 0 else None
