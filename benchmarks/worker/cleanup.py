"""Orphan cleanup: end the processes and remove the shared memory that a worker's code leaves behind.

Every process that a worker starts inherits a tag in its environment. Tagged processes are found in /proc, also those
that have left the worker's session. Without /proc the worker's process group is ended.
"""

import contextlib
import ctypes
import functools
import os
import signal
import sys
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from benchmarks.machine.files import text_of

TAG = "DESCENTBENCH_WORKER"  # in a worker's environment: its working folder
PROC, SHM = Path("/proc"), Path("/dev/shm")
KILL_TIMEOUT_S = 5.0  # for a killed process to end
TRACKER_GRACE_S = 1.0  # for multiprocessing's trackers, which unlink shared memory and then end by themselves
POLL_S = 0.002
EXEC_LOOKS = 50  # attempts to read a process during an exec
ENV_START = 47  # the place of env_start among the fields of /proc/PID/stat after the name (proc_pid_stat(5))
PR_SET_CHILD_SUBREAPER, IPC_RMID = 36, 0  # linux/prctl.h, linux/ipc.h


@dataclass(frozen=True)
class ProcessInfo:
    """A process as /proc describes it. State "Z": it has ended, and its parent has not waited for it."""

    pid: int
    parent: int
    session: int
    state: str
    name: str


@functools.cache
def become_subreaper() -> None:
    """Make the orphans of workers children of this process instead of init's (Linux), so that it can wait for them."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def end_processes(tag: str, leader: int | None = None, before: Collection[str | int] = ()) -> list[str]:
    """End the tagged processes, those of the leader's session, and all their children. Do not wait for the leader.

    Then remove the shared memory that they held or made, unless it existed `before`. Return descriptions of the removed
    shared memory, and of the processes that had left the session or survived the kill.
    """
    until, grace = time.monotonic() + KILL_TIMEOUT_S, time.monotonic() + TRACKER_GRACE_S
    processes, files, removed = dict[int, ProcessInfo](), set[Path](), list[str]()
    if leader is not None and not PROC.joinpath("self").exists():
        with contextlib.suppress(ProcessLookupError):
            os.killpg(leader, signal.SIGKILL)
    while True:
        for process in tagged_processes(tag, leader):
            if process.pid not in processes:
                processes[process.pid] = process
                files |= shared_memory_of(process.pid)
                if process.session != leader and process.state != "Z":
                    removed.append(f"process {process.pid} ({process.name})")
        alive = [pid for pid in processes if not has_ended(pid, leader)]
        if not alive:
            break
        if time.monotonic() > until:
            survivors = [processes[pid] for pid in alive if pid != leader]
            removed += [f"process {info.pid} ({info.name}), which was killed and does not end" for info in survivors]
            break
        for pid in alive:
            if time.monotonic() > grace or b"resource_tracker" not in read(pid, "cmdline"):  # multiprocessing's, loky's
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
        time.sleep(POLL_S)
    return removed + remove_shared_memory(files, {*processes, leader}, before)


def tagged_processes(tag: str, leader: int | None) -> list[ProcessInfo]:
    """Return the processes whose tag starts with `tag`, those of the leader's session, and their descendants."""
    pids = {int(name) for name in os.listdir(PROC) if name.isdecimal()} if PROC.is_dir() else set[int]()
    processes = {process.pid: process for process in map(process_info, pids - {os.getpid()}) if process}
    entry = b"\0" + os.fsencode(f"{TAG}={tag}")
    pids = {pid for pid, info in processes.items() if info.session == leader or entry in b"\0" + environment_of(info)}
    while children := {pid for pid, info in processes.items() if info.parent in pids} - pids:
        pids |= children
    return [processes[pid] for pid in pids]


def helper_seconds(tag: str, leader: int) -> float:
    """Return the CPU seconds of the tagged processes except the leader, and of the children that they waited for."""
    pids = {process.pid for process in tagged_processes(tag, leader)} - {leader}
    return sum(sum(cpu_seconds(pid)) for pid in pids) + cpu_seconds(leader)[1]


def cpu_seconds(pid: int) -> tuple[float, float]:
    """Return the CPU seconds of a process, and of its children that have ended and were waited for."""
    fields = read(pid, "stat").rpartition(b")")[2].split()[11:15]  # utime, stime, cutime, cstime
    user, system, child_user, child_system = (int(field) for field in fields or [b"0"] * 4)
    tick = os.sysconf("SC_CLK_TCK")
    return (user + system) / tick, (child_user + child_system) / tick


def settle(pid: int, until: float) -> None:
    """Wait until none of a process's threads runs: those of OpenBLAS spin for some 30 ms after their work (Linux)."""
    while time.monotonic() < until and any(
        read(pid, f"task/{task}/stat").rpartition(b")")[2].split()[:1] == [b"R"] for task in tasks(pid)
    ):
        time.sleep(POLL_S)


def tasks(pid: int) -> list[str]:
    """Return the numbers of a process's threads; [] without /proc."""
    try:
        return os.listdir(f"{PROC}/{pid}/task")
    except OSError:
        return []


def process_info(pid: int) -> ProcessInfo | None:
    """Return one process; None if there is none."""
    name, _, rest = read(pid, "stat").decode(errors="replace").partition("(")[2].rpartition(")")
    if not rest:
        return None
    state, parent, _, session = rest.split()[:4]
    return ProcessInfo(pid, int(parent), int(session), state, name)


def environment_of(process: ProcessInfo) -> bytes:
    """Return a process's environment. Retry for a short time if it is empty, as it is during an exec."""
    for _ in range(EXEC_LOOKS):
        if variables := read(process.pid, "environ"):
            return variables
        if process.state in "ZX" or not _in_exec(process.pid):
            return b""
        time.sleep(POLL_S)
    return b""


def _in_exec(pid: int) -> bool:
    """Return whether a process has a program, but no arguments yet. A kernel's thread has no program."""
    with contextlib.suppress(OSError):
        os.readlink(f"{PROC}/{pid}/exe")
        fields = read(pid, "stat").rpartition(b")")[2].split()
        return len(fields) > ENV_START and fields[ENV_START] == b"0"
    return False


def read(pid: int, name: str) -> bytes:
    """Return a file of /proc/PID; b"" if it is missing or unreadable."""
    try:
        with open(f"{PROC}/{pid}/{name}", "rb") as file:
            return file.read()
    except OSError:
        return b""


def has_ended(pid: int, leader: int | None) -> bool:
    """Return whether a process has ended. Wait for it if it is an orphan, which is now a child of this process."""
    if pid != leader:  # its Popen waits for the leader
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
    process = process_info(pid)
    return process is None or process.state in "ZX"


def shared_memory_of(pid: int) -> set[Path]:
    """Return the files directly in /dev/shm that a process has mapped or open."""
    lines = [line.partition(b"/") for line in read(pid, "maps").splitlines()]
    names = {os.fsdecode(slash + rest) for _, slash, rest in lines}
    with contextlib.suppress(OSError):
        for number in os.listdir(f"{PROC}/{pid}/fd"):
            with contextlib.suppress(OSError):  # it was closed since
                names.add(os.readlink(f"{PROC}/{pid}/fd/{number}"))
    return {Path(name) for name in names if os.path.dirname(name) == str(SHM)}


def segments() -> set[str | int]:
    """Return this machine's shared memory: names in /dev/shm and System V numbers."""
    return {*(os.listdir(SHM) if SHM.is_dir() else []), *(number for number, _, _ in _system_v())}


def remove_shared_memory(files: set[Path], makers: Collection[int | None], before: Collection[str | int]) -> list[str]:
    """Remove this user's files and the makers' System V segments that are new since `before`. Return their names."""
    removed = []
    for path in sorted(files):
        if path.name not in before and path.is_file() and path.stat().st_uid == os.getuid():
            path.unlink()
            removed.append(f"shared memory {path}")
    for number, maker, owner in _system_v():
        if number not in before and maker in makers and owner == os.getuid():
            ctypes.CDLL(None).shmctl(number, IPC_RMID, None)
            removed.append(f"shared memory segment {number}")
    return removed


def _system_v() -> list[tuple[int, int, int]]:
    """Return number, maker and owner of each System V segment."""
    rows = [line.split() for line in text_of(PROC / "sysvipc" / "shm").splitlines()[1:]]
    return [(int(row[1]), int(row[4]), int(row[7])) for row in rows]
