"""Write files atomically: the old content stays until the new content is complete."""

import contextlib
import errno
import fcntl
import glob
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

RANDOM_GLOB = "[0-9a-f]" * 8  # of the name of an unfinished file


@contextlib.contextmanager
def atomic_open(path: Path) -> Iterator[BinaryIO]:
    """Open a binary stream. Replace the file when the `with` block ends without an error.

    Links of this user and of root are followed. Pipes and character devices are written to directly. Raises OSError,
    also for another user's link and for a block device.
    """
    if path.is_symlink() and path.lstat().st_uid not in (os.geteuid(), 0):
        raise OSError(errno.EPERM, "a link of another user; name the file itself", str(path))
    if path.is_block_device():
        raise OSError(errno.EPERM, "a disk, not a file", str(path))
    if path.exists() and not path.is_file():  # /dev/stdout, a pipe
        with path.open("wb") as stream:
            yield stream
        return
    path = Path(os.path.realpath(path))
    for old in path.parent.glob(f".{glob.escape(path.name)}.{RANDOM_GLOB}.tmp"):
        remove_abandoned(old)
    try:
        new, lock = create(path)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error  # not the name of the unfinished file
    try:
        with os.fdopen(os.dup(lock), "wb") as stream:
            yield stream
        new.replace(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
    finally:
        os.close(lock)


def create(path: Path) -> tuple[Path, int]:
    """Return a new file beside the path, and its descriptor: a lock while this process lives."""
    while True:
        new = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
        lock = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        fcntl.flock(lock, fcntl.LOCK_EX)
        if os.fstat(lock).st_nlink:  # else another process took it for abandoned before it was locked
            with contextlib.suppress(FileNotFoundError):  # the mode of the file that it replaces
                os.fchmod(lock, stat.S_IMODE(path.stat().st_mode))
            return new, lock
        os.close(lock)


def remove_abandoned(old: Path) -> None:
    """Remove an unfinished file of this user that no process locks: its process was killed."""
    with contextlib.suppress(OSError):  # removed by another process, or not ours to open
        lock = os.open(old, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            status = os.fstat(lock)
            if stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid():
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                old.unlink()
        finally:
            os.close(lock)


def atomic_write(path: Path, content: str | bytes) -> None:
    """Write a file atomically, text as UTF-8. Raises OSError."""
    with atomic_open(path) as stream:
        stream.write(content.encode() if isinstance(content, str) else content)
