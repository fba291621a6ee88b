"""Write files atomically: the old content stays until the new content is complete."""

import contextlib
import errno
import glob
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

ABANDONED = 3600.0  # seconds after which an unfinished file belongs to a killed process


@contextlib.contextmanager
def atomic_open(path: Path) -> Iterator[BinaryIO]:
    """Open a binary stream. Replace the file when the `with` block ends without an error. Raises OSError.

    Links of this user and of root are followed. Pipes and character devices are written to directly.
    """
    check_writable(path)
    if path.exists() and not path.is_file():  # /dev/stdout, a pipe
        with path.open("wb") as stream:
            yield stream
        return
    path = path.resolve()
    for old in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        with contextlib.suppress(FileNotFoundError):  # another process has removed it
            if old.lstat().st_mtime < time.time() - ABANDONED:
                old.unlink()
    new = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with new.open("xb") as stream:
            yield stream
        new.replace(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise


def check_writable(path: Path) -> None:
    """Raise OSError if the path is another user's link or a block device."""
    if path.is_symlink() and path.lstat().st_uid not in (os.geteuid(), 0):
        raise OSError(errno.EPERM, "a link of another user; name the file itself", str(path))
    if path.is_block_device():
        raise OSError(errno.EPERM, "a disk, not a file", str(path))


def atomic_write(path: Path, content: str | bytes) -> None:
    """Write a file atomically, text as UTF-8. Raises OSError."""
    with atomic_open(path) as stream:
        stream.write(content.encode() if isinstance(content, str) else content)
