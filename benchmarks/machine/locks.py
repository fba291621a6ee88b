"""Locks on open files: the kernel releases one when its process ends, however it ends."""

import fcntl


def lock_descriptor(file: int, *, blocking: bool = True) -> bool:
    """Lock an open file or folder until it is closed; False if another has it and not `blocking`. Raises OSError."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if blocking else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    return True
