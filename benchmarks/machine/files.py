"""Open and lock files, and read those of the system."""

import fcntl
import os
from pathlib import Path


def text_of(path: Path) -> str:
    """Return the text of a file of the system; "" if it is missing or unreadable."""
    try:
        return path.read_text()
    except OSError:
        return ""


def without_links(name: str, flags: int) -> int:
    """Open a file without following a link or waiting for the writer of a pipe. This is an `opener` for `open`."""
    return os.open(name, flags | os.O_NOFOLLOW | os.O_NONBLOCK)


def lock_descriptor(file: int, *, blocking: bool = True) -> bool:
    """Lock an open file or folder until it is closed. Return False if it is locked and not `blocking`. Raises OSError.

    The kernel releases the lock when the process ends for any reason.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if blocking else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    return True
