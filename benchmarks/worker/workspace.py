"""Temporary folders of a run, all inside one folder of the process. The next run removes those of a killed run.

A process owns its folder while it locks a file in it. The kernel releases the lock however the process ends. Process
numbers are no such sign: they are reused, and several hosts may share the directory for temporary files.
"""

import contextlib
import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import Self

from benchmarks.machine.files import lock_descriptor
from benchmarks.worker.cleanup import end_processes

PREFIX, MAKING_FILE, LOCK_FILE, MARK = "descentbench-", "making", "lock", "a working folder of descentbench"
UNFINISHED_FOLDER = re.compile(rf"{PREFIX}\d+-[a-z0-9_]{{8}}")  # its process may have died while it made it


class Home(tempfile.TemporaryDirectory[str]):
    """This process's folder. Python removes it when the process ends, if not before."""

    def __init__(self) -> None:
        owned = False
        while not owned:  # again if another run removed the empty folder as a killed run's
            super().__init__(prefix=f"{PREFIX}{os.getpid()}-", ignore_cleanup_errors=True)
            owned = self._own()

    def _own(self) -> bool:
        """Lock the folder. Return whether it is still there."""
        unlocked = Path(self.name, MAKING_FILE)
        try:
            self.lock = unlocked.open("w")
        except FileNotFoundError:
            return False
        self.lock.write(MARK)  # distinguishes it from a user's folder
        self.lock.flush()
        with contextlib.suppress(OSError):  # a file system without locks: no other run removes this folder
            lock_descriptor(self.lock.fileno())
            unlocked.rename(Path(self.name, LOCK_FILE))  # after locking: others remove an unlocked folder
        return Path(self.name).is_dir()

    def inside(self) -> list[Path]:
        """Return the paths in the folder, without the lock file."""
        return [path for path in Path(self.name).iterdir() if path.name != LOCK_FILE]

    def cleanup(self) -> None:
        """Remove the folder, then release its lock."""
        remove_content(Path(self.name))
        super().cleanup()
        self.lock.close()


class Workspace:
    """The temporary folders of this process inside its `Home`, and descriptions of what had to be removed."""

    def __init__(self) -> None:
        self.removed: list[str] = []
        self._home: Home | None = None

    def new(self, prefix: str) -> Path:
        """Make a folder `PREFIX-XXXXXXXX`."""
        if self._home is None:
            self.sweep()
            self._home = Home()
        return Path(tempfile.mkdtemp(prefix=f"{prefix}-", dir=self._home.name))

    def remove(self, folder: Path) -> None:
        """Remove a folder that `new` made."""
        remove_tree(folder)
        if self._home is not None and not self._home.inside():
            self._home.cleanup()
            self._home = None

    def close(self) -> None:
        """Stop the orphans and remove the folders that are left. Record each of them."""
        if self._home is not None:
            self.removed += end_processes(self._home.name)
            self.removed += [f"folder {path}" for path in self._home.inside()]
            self._home.cleanup()
            self._home = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def sweep(self) -> None:
        """Stop the orphans and remove the folders of this user's killed runs. Record each of them."""
        for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
            if is_stale(folder):
                self.removed += end_processes(str(folder))
                remove_content(folder)
                remove_tree(folder)
                self.removed.append(f"folder {folder} of a run that was killed")

    def summary(self) -> str:
        """Return one line with everything that was removed; "" if there was nothing."""
        return f"left behind, and removed: {', '.join(self.removed)}" if self.removed else ""


def remove_content(home: Path) -> None:
    """Remove the content of a process's folder except its lock, which marks the folder if this process is killed."""
    with contextlib.suppress(OSError):  # it is gone, or a worker has changed it: the rest is for `remove_tree`
        for path in home.iterdir():
            if path.is_dir() and not path.is_symlink():
                remove_tree(path)
            elif path.name not in (LOCK_FILE, MAKING_FILE):
                path.unlink(missing_ok=True)


def remove_tree(folder: Path) -> None:
    """Remove a folder with all its content, including subfolders without read permission."""
    shutil.rmtree(folder, ignore_errors=True)
    if folder.exists():
        folder.chmod(0o700)
        for root, names, _ in os.walk(folder):
            for path in (os.path.join(root, name) for name in names):
                if not os.path.islink(path):
                    os.chmod(path, 0o700)
        shutil.rmtree(folder, ignore_errors=True)


def is_stale(folder: Path) -> bool:
    """Return whether a process of this user made the folder, or began to, and none locks it."""
    try:
        if folder.is_symlink() or folder.stat().st_uid != os.getuid():
            return False
        names, unfinished = os.listdir(folder), bool(UNFINISHED_FOLDER.fullmatch(folder.name))
        if not names:
            return unfinished
        with (folder / (MAKING_FILE if names == [MAKING_FILE] else LOCK_FILE)).open("r+") as lock:
            mark = lock.read(len(MARK) + 1)
            ours = mark == MARK or (unfinished and names == [MAKING_FILE] and not mark)
            return ours and lock_descriptor(lock.fileno(), blocking=False)
    except (OSError, UnicodeDecodeError):  # no lock file, or a file system without locks
        return False
