"""One measurement at a time on a machine: two at once would time each other."""

import contextlib
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: nobody is kept out
    fcntl = None  # type: ignore[assignment]

NO_LINK = getattr(os, "O_NOFOLLOW", 0)  # where all may write, a link may lead to a file that is not to be emptied
LOOK = 0.5  # seconds between two looks whether the other has ended


def place() -> Path:
    """The file that all users of this machine lock; each temporary directory has its own."""
    return Path(tempfile.gettempdir(), "descentbench.lock")


@dataclass
class Lock:
    """A lock that the system lets go of when its process ends, however it ends."""

    path: Path = field(default_factory=place)
    held: int | None = None

    def take(self) -> str:
        """Hold it and return ""; or, where another process holds it, what that says of itself. Raises OSError."""
        while self.held is None and fcntl:
            file = self._opened()
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                said = os.pread(file, 300, 0).decode(errors="replace").strip()
                os.close(file)
                return said or "another process"
            if self._is(file):
                self.held = file
                os.ftruncate(file, 0)
                os.pwrite(file, f"process {os.getpid()}, since {time.strftime('%H:%M:%S')}".encode(), 0)
            else:  # its holder has ended meanwhile, and removed it
                os.close(file)
        return ""

    def wait(self, say: Callable[[str], object]) -> None:
        """Hold it as soon as nobody else does; says once whom it waits for."""
        told = False
        while holder := self.take():
            if not told:
                say(f"waiting for another measurement to end ({holder})\n")
            told = True
            time.sleep(LOOK)

    def release(self) -> None:
        """Let go of it; the file goes too, unless it is another user's."""
        if self.held is not None:
            with contextlib.suppress(OSError):
                self.path.unlink()
            os.close(self.held)
            self.held = None

    def _opened(self) -> int:
        try:
            return os.open(self.path, os.O_RDWR | NO_LINK)
        except FileNotFoundError:
            file = os.open(self.path, os.O_RDWR | os.O_CREAT | NO_LINK)
            with contextlib.suppress(OSError):  # another user's, made between the two calls
                os.fchmod(file, 0o666)
            return file

    def _is(self, file: int) -> bool:
        """Whether an open file is still what the path leads to."""
        try:
            return os.path.samestat(os.fstat(file), os.stat(self.path))
        except FileNotFoundError:
            return False
