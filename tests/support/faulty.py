"""Write implementations with one fault, and look for their remaining processes and folders."""

import os
import time
from collections.abc import Callable
from pathlib import Path

from helpers import write

PREPARE = """
import atexit, os, signal, subprocess, sys, threading, time
from pathlib import Path
HERE = Path(__file__).parent

def descend(problem, start, steps):
    w = start.copy()
    for t in range(steps):
        residual = problem.X @ w - problem.y
        w -= (2 * problem.lr / residual.size) * (problem.X.T @ residual)
    return w

def prepare(problem, device):
    calls = []
{prepare}
    def run(start, steps, /):
        calls.append(steps)
{run}
        return descend(problem, start, steps)
    return run
"""


def fault(folder: Path, name: str, prepare: str, run: str = "pass") -> str:
    return write(
        folder,
        name,
        PREPARE.format(prepare=f"    {prepare}", run=f"        {run}").replace("{{", "{").replace("}}", "}"),
    )


def folders(tmp_path: Path) -> list[str]:
    """Return the names of temporary folders that the command did not remove."""
    return [path.name for path in (tmp_path / "tmp").iterdir() if path.name.startswith("descentbench-")]


def running(pid: int) -> bool:
    """Return whether a process with this pid exists and is no zombie."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"


def written(path: Path) -> bool:
    """Return whether a file has content. A file exists before the process that creates it has written to it."""
    return path.exists() and path.stat().st_size > 0


def wait_until(condition: Callable[[], bool], seconds: float = 300) -> bool:
    """Wait until a condition holds, at most so many seconds. Return whether it does."""
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    return condition()
