"""Take an implementation as it was in a git revision: `--impl path.py@REVISION`. Nothing is checked out."""

import re
import subprocess
from pathlib import Path

from benchmarks.worker.process import ROOT

FORM = re.compile(r"(?P<path>.+\.py)@(?P<revision>\S+)")
FOLDER = ROOT / "build" / "revisions"
SHARED = re.compile(r"\bimpls\.(_\w+|interface)\b")  # modules of this suite that an implementation imports


def file_of(path: Path, revision: str) -> Path:
    """Return a file NAME@COMMIT.py as `path` was in a revision, with its folder's other modules. Raises ValueError."""
    is_option = revision.startswith("-")
    commit = None if is_option else _git(path.parent, "rev-parse", "--verify", "--short", f"{revision}^{{commit}}")
    if commit is None:
        raise ValueError(f"{path.name}@{revision}: git knows no such revision in {path.parent}; see: git log")
    commit = commit.strip()
    text = _git(path.parent, "show", f"{commit}:./{path.name}")
    if text is None:
        raise ValueError(f"{path.name}@{revision}: commit {commit} has no such file; see: git log -- {path}")
    for name in sorted(set(SHARED.findall(text))) if path.is_relative_to(ROOT) else []:
        shared = ROOT / "impls" / f"{name}.py"
        if not shared.is_file() or shared.read_text("utf-8") != _git(ROOT, "show", f"{commit}:./impls/{name}.py"):
            raise ValueError(
                f"{path.name}@{revision}: impls/{name}.py, which it imports, has changed since; measure two checkouts,"
                " and compare their runs with: python -m results gate"
            )
    names = _git(path.parent, "ls-tree", "-r", "-z", "--name-only", commit, "./") or ""
    beside = [name for name in names.split("\0") if name.endswith(".py") and path.parent != ROOT / "impls"]
    old = FOLDER / commit / path.parent.name / f"{path.stem}@{commit}.py"
    try:
        old.parent.mkdir(parents=True, exist_ok=True)
        for name in beside:
            (old.parent / name).parent.mkdir(parents=True, exist_ok=True)
            (old.parent / name).write_text(_git(path.parent, "show", f"{commit}:./{name}") or "", "utf-8")
        old.write_text(text, "utf-8")
    except OSError as error:
        raise ValueError(f"{path.name}@{revision}: cannot write {old.parent}: {error.strerror}") from error
    return old


def _git(folder: Path, *words: str) -> str | None:
    """Return what git prints; None if it fails or is missing."""
    try:
        done = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True, encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    return done.stdout if done.returncode == 0 else None
