"""Open and lock files, and read those of the system."""

import fcntl
import os
from pathlib import Path


def text_of(path: Path) -> str:
    """Return the text of a file of the system; "" for one that is not there, or not for us."""
    try:
        return path.read_text()
    except OSError:
        return ""


def without_links(name: str, flags: int) -> int:
    """Open a file, but not what a link leads to, and without waiting for the writer of a pipe: an opener of `open`."""
    return os.open(name, flags | os.O_NOFOLLOW | os.O_NONBLOCK)


def lock_descriptor(file: int, *, blocking: bool = True) -> bool:
    """Lock an open file or folder until it is closed; False if another has it and not `blocking`. Raises OSError.

    The kernel releases a lock when its process ends, however it ends.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if blocking else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    return True
