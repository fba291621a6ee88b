"""Temporary folders of a run, all inside one folder of the process. The next run removes those of a killed run.

A process owns its folder while it locks a file in it. The kernel releases the lock however the process ends. Process
numbers would not do: they are used again, and other hosts may share the directory for temporary files.
"""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.worker import cleanup as orphans
from benchmarks.worker.locks import lock_descriptor

PREFIX, LOCK = "descentbench-", "lock"
_home: "Home | None" = None


class Home(tempfile.TemporaryDirectory[str]):
    """This process's folder. Python removes it when the process ends, if not before."""

    def __init__(self) -> None:
        super().__init__(prefix=f"{PREFIX}{os.getpid()}-", ignore_cleanup_errors=True)
        unlocked = Path(self.name, "making")
        self.lock = unlocked.open("w")
        with contextlib.suppress(OSError):  # a file system without locks: no other run removes this folder
            lock_descriptor(self.lock.fileno())
            unlocked.rename(Path(self.name, LOCK))  # only now: others take an unlocked LOCK for a killed run's

    def inside(self) -> list[Path]:
        """List its content without the lock file."""
        return [path for path in Path(self.name).iterdir() if path.name != LOCK]

    def cleanup(self) -> None:
        """Remove the folder, then release its lock."""
        super().cleanup()
        self.lock.close()


def new(what: str) -> Path:
    """Make a folder `what-XXXXXXXX` inside this process's folder."""
    global _home
    if _home is None:
        sweep()
        _home = Home()
    return Path(tempfile.mkdtemp(prefix=f"{what}-", dir=_home.name))


def remove(folder: Path) -> None:
    """Remove a folder that `new` made. The last one takes this process's folder with it."""
    global _home
    remove_tree(folder)
    if _home is not None and not _home.inside():
        _home.cleanup()
        _home = None


@contextlib.contextmanager
def passing(what: str) -> Iterator[Path]:
    """Make a folder that is removed at the end of the block."""
    folder = new(what)
    try:
        yield folder
    finally:
        remove(folder)


def close() -> None:
    """End a run: stop its orphans, remove its folders, and record each of them."""
    global _home
    if _home is not None:
        orphans.end_processes(_home.name)
        orphans.removed.extend(f"folder {path}" for path in _home.inside())
        _home.cleanup()
        _home = None


def sweep() -> None:
    """Stop the orphans and remove the folders of this user's killed runs."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        if is_stale(folder):
            orphans.end_processes(str(folder))
            remove_tree(folder)
            orphans.removed.append(f"folder {folder} of a run that was killed")


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
    """Return whether this user owns the folder and no process locks it."""
    try:
        if folder.is_symlink() or folder.stat().st_uid != os.getuid():
            return False
        with (folder / LOCK).open("r+") as lock:
            return lock_descriptor(lock.fileno(), blocking=False)
    except OSError:  # no lock file, or a file system without locks
        return False
