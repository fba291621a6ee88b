"""The machine lock: one measurement at a time, because two at once would slow each other down."""

import contextlib
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock, Timeout

POLL_INTERVAL_S = 0.5  # between two attempts while another measurement runs


def default_path() -> Path:
    """The lock file of this machine's users. Each temporary directory has its own."""
    return Path(tempfile.gettempdir(), "descentbench.lock")


class Lock:
    """An exclusive lock on a file. The kernel releases it when the process ends, however it ends.

    The holder writes its process number and start time into the file, for the message to others.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or default_path()
        self._file_lock = FileLock(
            self.path,
            mode=0o666,  # all users of the machine share it
            blocking=False,
            thread_local=False,
            fallback_to_soft=False,  # a soft lock would outlive a killed process
            on_acquired=_write_holder,
        )

    def take(self) -> str:
        """Acquire the lock and return "", or return a description of its holder. Raises OSError."""
        if not self._file_lock.is_locked:
            try:
                self._file_lock.acquire()
            except Timeout:
                return self._holder()
        return ""

    def wait(self, say: Callable[[str], object]) -> None:
        """Acquire the lock as soon as it is free. Name the holder once while waiting. Raises OSError."""
        announced = False
        while holder := self.take():
            if not announced:
                say(f"waiting for another measurement to end ({holder})\n")
            announced = True
            time.sleep(POLL_INTERVAL_S)

    def release(self) -> None:
        """Remove the file, unless another user owns it, and release the lock."""
        if self._file_lock.is_locked:
            with contextlib.suppress(OSError):
                self.path.unlink()  # before the release: a process that waits for this file tries again with a new one
            self._file_lock.release()

    def _holder(self) -> str:
        with contextlib.suppress(OSError):  # the holder has just removed the file
            file = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
            try:
                return os.read(file, 300).decode(errors="replace").strip() or "another process"
            finally:
                os.close(file)
        return "another process"


def _write_holder(file: int) -> None:
    os.ftruncate(file, 0)
    os.pwrite(file, f"process {os.getpid()}, since {time.strftime('%H:%M:%S')}".encode(), 0)
