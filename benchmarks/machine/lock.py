"""The machine lock: one measurement at a time, because two at once would slow each other down."""

import contextlib
import os
import stat
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.machine.files import lock_descriptor

POLL_INTERVAL_S = 0.5  # between two attempts while another measurement runs


class Lock:
    """An exclusive lock on a file of the temporary folder. The kernel releases it when the process ends.

    The holder writes its process number and start time into the file, for the message to others.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or Path(tempfile.gettempdir(), "descentbench.lock")
        self._file: int | None = None

    def take(self) -> str:
        """Acquire the lock and return "", or return a description of its holder. Raises OSError."""
        while self._file is None:
            file = self._open()
            if not lock_descriptor(file, blocking=False):
                holder = os.pread(file, 300, 0).decode(errors="replace").strip()
                os.close(file)
                return holder or "another process"
            if self._is_current(file):
                if not stat.S_ISREG(os.fstat(file).st_mode) or os.fstat(file).st_nlink != 1:
                    os.close(file)
                    raise OSError(f"{self.path} is not a lock file: it is special, or has a second name")
                self._file = file
                os.ftruncate(file, 0)
                os.pwrite(file, f"process {os.getpid()}, since {time.strftime('%H:%M:%S')}".encode(), 0)
            else:  # the former holder has ended and removed the file
                os.close(file)
        return ""

    def wait(self, say: Callable[[str], object]) -> None:
        """Acquire the lock as soon as it is free. Name the holder once while waiting. Raises OSError."""
        if holder := self.take():
            say(f"waiting for another measurement to end ({holder})\n")
        while self.take():
            time.sleep(POLL_INTERVAL_S)

    def release(self) -> None:
        """Remove the file, unless another user owns it, and release the lock."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                self.path.unlink()
            os.close(self._file)
            self._file = None

    def _open(self) -> int:
        """Open the file without following a link: in a folder for all, a link may lead to somebody's file."""
        try:
            return os.open(self.path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
        except FileNotFoundError:
            file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
            with contextlib.suppress(OSError):  # another user made it between the two calls
                os.fchmod(file, 0o666)  # every user of this machine locks it
            return file

    def _is_current(self, file: int) -> bool:
        """Return whether an open file is still the one at the path."""
        try:
            return os.path.samestat(os.fstat(file), os.stat(self.path))
        except FileNotFoundError:
            return False
