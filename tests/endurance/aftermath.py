"""What must hold after a run, however it ended: nothing lost, nothing twice, nothing torn, nothing left behind."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from faulty import running, wait_until

from benchmarks.campaign import journal
from benchmarks.machine.identity import cores, cpu

QUICKER = os.environ.get("ENDURANCE_OPTIONS", "").split()  # pytest's, in test_endurance.py: no answer
NO_SEARCH = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"} if QUICKER else {}  # they name the plugins
SHM, SYSTEM_V = Path("/dev/shm"), Path("/proc/sysvipc/shm")
SOON, PATIENCE = 30.0, 30.0  # seconds in which what was killed must be gone; what another run here may hold
INTERRUPTED = "interrupted"


@dataclass
class Scene:
    """A folder in which a run takes place, with its own folder for temporary files and for saved runs."""

    folder: Path
    before: set[str] = field(default_factory=lambda: segments())

    def __post_init__(self) -> None:
        self.tmp, self.storage, self.out = self.folder / "tmp", self.folder / "storage", self.folder / "out.json"
        for made in (self.tmp, self.storage):
            made.mkdir(parents=True, exist_ok=True)

    @property
    def journals(self) -> list[Path]:
        """Of campaigns that were cut short."""
        return sorted(self.storage.glob("*.journal")) if self.storage.is_dir() else []

    def kept(self) -> dict[str, list[float]]:
        """Finished cases of the journal, with their rounds."""
        with contextlib.suppress(ValueError, OSError, IndexError):
            return {name: one.rounds for name, one in journal.read(self.journals[-1]).loaded.items()}
        return {}

    def finished(self) -> int:
        """Cases in the journal."""
        try:
            return self.journals[0].read_bytes().count(b"\n") - 1
        except (IndexError, FileNotFoundError):
            return 0

    def litter(self) -> list[str]:
        """All that a run has left, in words."""
        left = [f"process {pid} ({name(pid)})" for pid in self.processes()]
        left += [f"port {port}" for port in self.ports()]
        left += [f"temporary file {path.relative_to(self.tmp)}" for path in sorted(self.tmp.glob("*"))]
        halves = [path for path in sorted(self.folder.rglob(".*.tmp")) if self.tmp not in path.parents]
        left += [f"half a file {path.name}" for path in halves]
        wait_until(lambda: segments() <= self.before, PATIENCE)  # that of a run beside this one goes with it
        return left + [f"shared memory {segment}" for segment in sorted(segments() - self.before)]

    def processes(self, seconds: float | None = None) -> list[int]:
        """Which live on that have this folder in their environment, or were noted in `pids`; waits so long for none."""
        until = time.monotonic() + (SOON if seconds is None else seconds)
        while (left := list(self._alive())) and time.monotonic() < until:
            time.sleep(0.02)
        return left

    def _alive(self) -> Iterator[int]:
        noted = {int(word) for word in self.noted("pids")}
        for path in Path("/proc").glob("[0-9]*"):
            pid = int(path.name)
            with contextlib.suppress(OSError):
                ours = os.fsencode(f"{self.folder}/") in (path / "environ").read_bytes() or pid in noted
                if ours and pid != os.getpid() and running(pid):
                    yield pid

    def ports(self) -> list[int]:
        """Which of those noted in `ports` still answer."""
        return [port for port in map(int, self.noted("ports")) if answers(port)]

    def noted(self, what: str) -> list[str]:
        """Words that an implementation has written down."""
        path = self.folder / what
        return path.read_text().split() if path.exists() else []

    def clean(self) -> None:
        """End and remove what a run has left here; another run will not find it."""
        for pid in self.processes(0):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for segment in self.noted("segments"):
            (SHM / segment).unlink(missing_ok=True)


def torn(*folders: Path) -> list[str]:
    """Saved files that are not whole."""
    found = []
    for path in (path for folder in folders for path in sorted(folder.rglob("*.json"))):
        try:
            json.loads(path.read_text())
        except ValueError as error:
            found.append(f"{path.name} is torn: {error}")
    return found


def cases(document: dict[str, Any]) -> dict[str, list[float]]:
    """Finished cases of a saved run, with their rounds (none: refused). Raises ValueError where one is there twice."""
    where = "benchmarks/bench_descent.py::bench_descent"
    facts = [row["extra_info"] for row in document["benchmarks"]]
    rows = {f"{where}[{case(row['extra_info'])}]": row["stats"]["data"] for row in document["benchmarks"]}
    refused = [row for row in document["campaign"]["refused"] if row["reason"] != INTERRUPTED]
    names = [f"{where}[{case(row)}]" for row in (*facts, *refused)]
    if twice := [one for one, count in Counter(names).items() if count > 1]:
        raise ValueError(f"twice: {', '.join(twice)}")
    return rows | {f"{where}[{case(row)}]": [] for row in refused}


def case(row: dict[str, Any]) -> str:
    """What pytest calls the case of a row."""
    return "-".join(str(row[part]) for part in ("impl", "device", "problem", "dtype", "block"))


def compared(found: dict[str, list[float]], witnessed: dict[str, list[float]]) -> list[str]:
    """What was finished and is lost or has other rounds, in words."""
    lost = [f"lost {short(one)}" for one in witnessed if one not in found]
    return lost + [f"other rounds {short(one)}" for one in witnessed if one in found and found[one] != witnessed[one]]


def short(nodeid: str) -> str:
    """The case of a test's name."""
    return nodeid.partition("[")[2].removesuffix("]")


def segments() -> set[str]:
    """Shared memory that no living process holds: names in /dev/shm, numbers of System V segments."""
    names, held = {path.name for path in SHM.iterdir()} if SHM.is_dir() else set(), set[str]()
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            told = [*(path / "maps").read_text().splitlines(), *(os.readlink(file) for file in (path / "fd").iterdir())]
            held |= {line.rpartition(f"{SHM}/")[2] for line in told}
    rows = [line.split() for line in SYSTEM_V.read_text().splitlines()[1:]] if SYSTEM_V.exists() else []
    left = {name for name in names - held if (SHM / name).exists()}
    return left | {f"segment {row[1]}" for row in rows if row[6] == "0"}


def answers(port: int) -> bool:
    """Whether somebody listens there."""
    with socket.socket() as client:
        client.settimeout(1)
        return client.connect_ex(("127.0.0.1", port)) == 0


def name(pid: int) -> str:
    """What a process is called."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return "gone"


def setting(command: str, seconds: float) -> str:
    """A line under a table: command, machine, date."""
    date = time.strftime("%Y-%m-%d %H:%MZ", time.gmtime())
    return f"`{command}`, {seconds / 60:.0f} minutes; {cpu()}, {cores()} cores, Linux {os.uname().release}; {date}."


def alone() -> None:
    """Begin again where shared memory and small disks are nobody else's, if this user may have that."""
    if os.getuid() == 0 and shutil.which("unshare") and "FAULTS_ALONE" not in os.environ:
        os.environ["FAULTS_ALONE"] = "1"
        os.execvp("unshare", ["unshare", "--mount", sys.executable, *sys.argv])
    if os.environ.get("FAULTS_ALONE") == "1":
        subprocess.run(["mount", "-t", "tmpfs", "none", str(SHM)], check=True)
        os.environ["FAULTS_ALONE"] = "done"
