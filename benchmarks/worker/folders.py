"""Folders that a run needs while it runs, all of a process in one: what a killed run has left, the next one finds.

The folder is this process's as long as a lock in it is held, which the kernel lets go however the process ends: a
process's number may come again, and is another host's where they share the folder for temporary files.
"""

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.worker import cleanup as leftovers

PREFIX, LOCK = "descentbench-", "lock"
_home: "Home | None" = None


class Home(tempfile.TemporaryDirectory[str]):
    """This process's folder; Python removes it at the latest when the process ends."""

    def __init__(self) -> None:
        super().__init__(prefix=f"{PREFIX}{os.getpid()}-", ignore_cleanup_errors=True)
        making = Path(self.name, "making")
        self.lock = making.open("w")
        with contextlib.suppress(OSError):  # a file system without locks: nobody will sweep here
            fcntl.flock(self.lock, fcntl.LOCK_EX)
            making.rename(Path(self.name, LOCK))  # not before it is held

    def inside(self) -> list[Path]:
        """What is in it, the lock apart."""
        return [path for path in Path(self.name).iterdir() if path.name != LOCK]

    def cleanup(self) -> None:
        """Remove it, whatever the permissions inside."""
        super().cleanup()
        self.lock.close()


def new(what: str) -> Path:
    """A fresh folder, `what-XXXXXXXX`, in this process's own."""
    global _home
    if _home is None:
        sweep()
        _home = Home()
    return Path(tempfile.mkdtemp(prefix=f"{what}-", dir=_home.name))


def remove(folder: Path) -> None:
    """Remove what `new` has made; with the last one this process's own folder goes."""
    global _home
    remove_tree(folder)
    if _home is not None and not _home.inside():
        _home.cleanup()
        _home = None


@contextlib.contextmanager
def passing(what: str) -> Iterator[Path]:
    """A fresh folder that goes when the block is left."""
    folder = new(what)
    try:
        yield folder
    finally:
        remove(folder)


def close() -> None:
    """At the end of a run: nothing bears a mark of this process's, no folder is there. What is, is removed and told."""
    global _home
    if _home is not None:
        leftovers.end(_home.name)
        leftovers.told.extend(f"folder {path}" for path in _home.inside())
        _home.cleanup()
        _home = None


def sweep() -> None:
    """Remove what this user's runs have left that were killed: processes that bear their mark, their folder."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        if is_stale(folder):
            leftovers.end(str(folder))
            remove_tree(folder)
            leftovers.told.append(f"folder {folder} of a run that was killed")


def remove_tree(folder: Path) -> None:
    """Remove a folder, also what nobody may look into."""
    shutil.rmtree(folder, ignore_errors=True)
    if folder.exists():
        folder.chmod(0o700)
        for root, names, _ in os.walk(folder):
            for path in (os.path.join(root, name) for name in names):
                if not os.path.islink(path):
                    os.chmod(path, 0o700)
        shutil.rmtree(folder, ignore_errors=True)


def is_stale(folder: Path) -> bool:
    """Whether a folder is this user's, and nobody holds its lock."""
    try:
        if folder.is_symlink() or folder.stat().st_uid != os.getuid():
            return False
        with (folder / LOCK).open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # held; or without a lock
        return False
    return True
