"""Files of the system: their text, and locks on open ones."""

import fcntl
from pathlib import Path


def text_of(path: Path) -> str:
    """Return the text of a file of the system; "" for one that is not there, or not for us."""
    try:
        return path.read_text()
    except OSError:
        return ""


def lock_descriptor(file: int, *, blocking: bool = True) -> bool:
    """Lock an open file or folder until it is closed; False if another has it and not `blocking`. Raises OSError.

    The kernel releases a lock when its process ends, however it ends.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if blocking else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    return True
