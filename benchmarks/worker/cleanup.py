"""What a worker's code leaves behind: processes, also those that have left its session, and shared memory.

All that a worker starts inherits a mark in its environment. Who bears it is found in /proc and ended with the worker;
where there is no /proc, the worker's process group is.
"""

import contextlib
import ctypes
import functools
import os
import signal
import sys
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

MARK = "DESCENTBENCH_WORKER"  # in a worker's environment: its scratch folder
PROC, SHM = Path("/proc"), Path("/dev/shm")
PATIENCE = 5.0  # seconds in which what was killed must have ended
GRACE = 1.0  # seconds for multiprocessing's trackers, which unlink what others have left, and then end by themselves
LOOK = 0.002  # seconds between two looks
PR_SET_CHILD_SUBREAPER, IPC_RMID = 36, 0  # linux/prctl.h, linux/ipc.h
told: list[str] = []  # what had to be removed in this process's time, in words


@dataclass(frozen=True)
class ProcessInfo:
    """A process when it was looked at; its state is "Z" when it has ended and nobody has asked how."""

    pid: int
    parent: int
    session: int
    state: str
    name: str


@functools.cache
def become_subreaper() -> None:
    """Have workers' orphans become this process's children, not init's (Linux): so they can be waited for."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def line() -> str:
    """All that had to be removed, for the terminal; "" where nothing was left."""
    return f"left behind, and removed: {', '.join(told)}" if told else ""


def end(mark: str, leader: int | None = None, before: Collection[str | int] = ()) -> None:
    """End who bears the mark or is of the leader's session, and all their children; the leader is not waited for.

    What is then left of the shared memory that they held or made, and that was not there `before`, is removed. It is
    told, as are processes that had left the session, and who is killed and does not end.
    """
    until, grace = time.monotonic() + PATIENCE, time.monotonic() + GRACE
    known, files = dict[int, ProcessInfo](), set[Path]()
    if leader is not None and not PROC.joinpath("self").exists():
        with contextlib.suppress(ProcessLookupError):
            os.killpg(leader, signal.SIGKILL)
    while True:
        for one in family(mark, leader):
            if one.pid not in known:
                known[one.pid] = one
                files |= held(one.pid)
                if one.session != leader and one.state != "Z":
                    told.append(f"process {one.pid} ({one.name})")
        left = [pid for pid in known if not gone(pid, leader)]
        if not left:
            break
        if time.monotonic() > until:
            lasting = [known[pid] for pid in left if pid != leader]
            told.extend(f"process {one.pid} ({one.name}), which was killed and does not end" for one in lasting)
            break
        for pid in left:
            if time.monotonic() > grace or not tracks(pid):
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
        time.sleep(LOOK)
    unlink(files, {*known, leader}, before)


def family(mark: str, leader: int | None) -> list[ProcessInfo]:
    """Who bears the mark (or one that begins so), is of the leader's session, or descends from one of these."""
    everyone = {seen.pid: seen for seen in processes() if seen.pid != os.getpid()}
    words = b"\0" + os.fsencode(f"{MARK}={mark}")
    found = {pid for pid, seen in everyone.items() if seen.session == leader or words in b"\0" + read(pid, "environ")}
    while more := {pid for pid, seen in everyone.items() if seen.parent in found} - found:
        found |= more
    return [everyone[pid] for pid in found]


def processes() -> Iterator[ProcessInfo]:
    """All there are."""
    for name in os.listdir(PROC) if PROC.is_dir() else []:
        if name.isdecimal() and (seen := look(int(name))):
            yield seen


def look(pid: int) -> ProcessInfo | None:
    """One of them; None where there is none."""
    name, _, rest = read(pid, "stat").decode(errors="replace").partition("(")[2].rpartition(")")
    if not rest:
        return None
    state, parent, _, session = rest.split()[:4]
    return ProcessInfo(pid, int(parent), int(session), state, name)


def read(pid: int, what: str) -> bytes:
    """A file of a process; b"" where it is not there, or not for us."""
    try:
        with open(f"{PROC}/{pid}/{what}", "rb") as file:
            return file.read()
    except OSError:
        return b""


def gone(pid: int, leader: int | None) -> bool:
    """Whether a process has ended. Orphans have become this process's children: they are waited for, by number."""
    if pid != leader:  # whose end is its Popen's
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
    seen = look(pid)
    return seen is None or seen.state in "ZX"


def tracks(pid: int) -> bool:
    """Whether it is a tracker of multiprocessing's, or of loky's."""
    return b"resource_tracker" in read(pid, "cmdline")


def held(pid: int) -> set[Path]:
    """Files directly in /dev/shm that a process has mapped or open."""
    lines = [line.partition(b"/") for line in read(pid, "maps").splitlines()]
    names = {os.fsdecode(slash + rest) for _, slash, rest in lines}
    with contextlib.suppress(OSError):
        for number in os.listdir(f"{PROC}/{pid}/fd"):
            with contextlib.suppress(OSError):  # it was closed since
                names.add(os.readlink(f"{PROC}/{pid}/fd/{number}"))
    return {Path(name) for name in names if os.path.dirname(name) == str(SHM)}


def segments() -> set[str | int]:
    """Shared memory on this machine: names in /dev/shm, System V's numbers."""
    return {*(os.listdir(SHM) if SHM.is_dir() else []), *(number for number, _, _ in _system_v())}


def unlink(files: set[Path], makers: Collection[int | None], before: Collection[str | int]) -> None:
    """Of these files, and of System V's segments by these makers, remove this user's that were not there before."""
    for path in sorted(files):
        if path.name not in before and path.is_file() and path.stat().st_uid == os.getuid():
            path.unlink()
            told.append(f"shared memory {path}")
    for number, maker, owner in _system_v():
        if number not in before and maker in makers and owner == os.getuid():
            ctypes.CDLL(None).shmctl(number, IPC_RMID, None)
            told.append(f"shared memory segment {number}")


def _system_v() -> list[tuple[int, int, int]]:
    """Number, maker's process, owner of each System V segment."""
    table = PROC / "sysvipc" / "shm"
    rows = [line.split() for line in table.read_text().splitlines()[1:]] if table.exists() else []
    return [(int(row[1]), int(row[4]), int(row[7])) for row in rows]
