"""Faults: what strikes a run, at which points, and what it is expected to say of it."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from aftermath import Scene
from faulty import wait_until
from helpers import ROOT, command, environment

HUMBLE = """
import ctypes, os, signal, sys

signal.signal(signal.SIGINT, signal.SIG_DFL)  # what a shell starts in the background ignores Ctrl-C
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # and what nohup starts ignores that its terminal closes
PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH = 24, 1, 2  # linux/prctl.h, linux/capability.h
for capability in (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH):
    ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""
VICTIM = """
import ctypes, os, shutil, signal, socket, subprocess, sys, tempfile, threading, time
from pathlib import Path

HERE, POINT = Path(__file__).parent, {point!r}
STRUCK = HERE / "struck"

def strike(problem, start):
{code}

def once(problem, start=None):
    if not STRUCK.exists():
        STRUCK.touch()
        return strike(problem, start)

def later(problem):
    while not (HERE / "reached").exists():
        time.sleep(0.01)
    once(problem)

def note(what, word):
    with HERE.joinpath(what).open("a") as file:
        file.write(f"{{word}} ")

def prepare(problem, device):
    calls, answers, second = [], [], len(problem.X) == 4
    if second and POINT == "after":
        threading.Thread(target=later, args=(problem,), daemon=True).start()
    if second and POINT == "before" and not {returns}:
        once(problem)

    def run(start, steps, /):
        calls.append(steps)
        if second and len(calls) > 30 * (POINT == "during") and POINT in ("before", "during"):
            answer = strike(problem, start) if answers else once(problem, start)
            if {returns} and answer is not None:
                answers.append(answer)  # and so on: nobody looks at the answers of uncounted runs
                return answer
        w = start.copy()
        for _ in range(steps):
            residual = problem.X @ w - problem.y
            w -= (2 * problem.lr / residual.size) * (problem.X.T @ residual)
        return w
    return run
"""
PAUSE = """
(HERE / "reached").touch()
while not (HERE / "go").exists():
    time.sleep(0.01)
"""


@dataclass
class Struck(Scene):
    """A scene with the process that is struck."""

    process: subprocess.Popen[str] | None = None
    disk: Path | None = None  # a small one, mounted here
    others: list[subprocess.Popen[str]] = field(default_factory=list)

    def signal(self, *numbers: signal.Signals, pause: float = 0.1) -> None:
        """Send the process one signal after the other."""
        assert self.process is not None
        for number in numbers:
            self.process.send_signal(number)
            time.sleep(pause)

    @property
    def reached(self) -> bool:
        """Whether the moment has come, or never will."""
        return (self.folder / "reached").exists() or self.process is None or self.process.poll() is not None

    @property
    def saved(self) -> Path:
        """The folder in the storage that saved runs go to."""
        from pytest_benchmark.utils import get_machine_id

        return self.storage / str(get_machine_id())

    def second(self, *options: str) -> subprocess.Popen[str]:
        """Another run beside it, with the same folder for temporary files."""
        beside = self.folder / "beside"
        beside.mkdir(exist_ok=True)
        env, words = environment(TMPDIR=str(self.tmp)), command(beside, *options)
        with (beside / "said").open("w") as said:
            self.others.append(subprocess.Popen(words, cwd=ROOT, env=env, stdout=said, stderr=said, text=True))
        return self.others[-1]


@dataclass(frozen=True, eq=False)
class Fault:
    """What strikes: `code` in the implementation's process, `strike` from outside; at `points`, by their first letters.

    reason: what the struck case's reason says, "" where it is timed; then exit statuses are 0 and 1 by what has a time.
    exits: the exit statuses that are right, by point, for others. again: its case may be measured again.
    """

    name: str
    points: str
    code: str = ""
    strike: Callable[[Struck], None] | None = None
    reason: str = ""
    exits: dict[str, set[int]] = field(default_factory=dict)
    options: tuple[str, ...] = ()
    fact: str = ""
    repair: Callable[[Struck], None] = lambda scene: None
    small: bool = False  # runs are saved on a small disk
    again: bool = False
    saving: str = "saving"  # which moment that is: saving or writing


def humble(words: list[str]) -> list[str]:
    """A command to which what permissions forbid is forbidden, to root as well.

    Not by a function between fork and exec: JAX, once it is loaded here, forbids that.
    """
    return [sys.executable, "-c", HUMBLE, *words]


def each(points: str, *codes: int) -> dict[str, set[int]]:
    """The same exit statuses at each of these points."""
    return {point: set(codes) for point in points}


def fill(scene: Struck) -> None:
    """Leave no byte of the small disk."""
    assert scene.disk is not None
    with contextlib.suppress(OSError), (scene.disk / "filler").open("wb", buffering=0) as file:
        for size in (4096, 1):
            with contextlib.suppress(OSError):
                while file.write(b"x" * size):
                    pass


def empty(scene: Struck) -> None:
    assert scene.disk is not None
    (scene.disk / "filler").unlink()


def limited(what: str, most: int) -> Callable[[Struck], None]:
    """The process may have so many open files, or bytes in a file, from now on."""

    def strike(scene: Struck) -> None:
        import resource

        assert scene.process is not None
        resource.prlimit(scene.process.pid, getattr(resource, what), (most, most))

    return strike


def locked(scene: Struck) -> None:
    for folder in (scene.storage, scene.saved):
        folder.chmod(0o500)


def unlocked(scene: Struck) -> None:
    for folder in (scene.storage, scene.saved):
        folder.chmod(0o700)


def replaced(scene: Struck) -> None:
    """Where the folder of runs was, there is a file."""
    scene.storage.rename(scene.folder / "moved")
    scene.storage.write_text("in the way")


def restored(scene: Struck) -> None:
    scene.storage.unlink()
    (scene.folder / "moved").rename(scene.storage)


def overwrite(scene: Struck) -> None:
    for path in scene.journals:
        with path.open("r+b") as file:
            file.seek(path.stat().st_size // 2)
            file.write(b"\0" * 400)


def tear(scene: Struck) -> None:
    """Killed, and of its last line one half never came to the disk."""
    scene.signal(KILL)
    for path in scene.journals:
        os.truncate(path, path.stat().st_size - 200)


def forget(scene: Struck) -> None:
    for path in scene.journals:
        path.unlink()


def forget_and_kill(scene: Struck) -> None:
    forget(scene)
    (scene.folder / "go").touch()
    wait_until(lambda: len(scene.noted("finished")) == 2)
    scene.signal(KILL)


def take(scene: Struck) -> None:
    """The next number is taken by another run."""
    for number in range(2, 5):
        (scene.saved / f"000{number}_x.json").write_text('{"by": "another"}')


def another(scene: Struck) -> None:
    """A second run is refused, and says so."""
    code = scene.second().wait(600)
    said = (scene.folder / "beside" / "said").read_text()
    if code != 4 or "another measurement runs" not in said:
        raise AssertionError(f"the second run: exit {code}")


def savers(scene: Struck) -> None:
    """Another process saves ten runs into the same folder meanwhile."""
    code = "import sys; sys.path.insert(0, 'tests/support'); from saving import storage; from pathlib import Path\n"
    code += "for i in range(10): storage(Path(sys.argv[1])).save({'i': i}, 'other')"
    words = [sys.executable, "-c", code, str(scene.storage)]
    scene.others.append(subprocess.Popen(words, cwd=ROOT, env=environment(), text=True))


def hangs_up(scene: Struck) -> None:
    """Nobody reads any more what it writes."""
    assert scene.process is not None and scene.process.stdout is not None
    scene.process.stdout.close()


def by(*numbers: signal.Signals) -> Callable[[Struck], None]:
    """These signals, one after the other."""
    return lambda scene: scene.signal(*numbers)


def ending(*reporting: int) -> dict[str, set[int]]:
    """As Ctrl-C ends a run; what is being saved is saved; a report is not a run."""
    return each("bda", 2) | each("s", 0) | each("r", *reporting)


INT, TERM, HUP, KILL = signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL
FULL = each("bdas", 3) | each("r", 2)
FOLDER = "Path(os.environ['NUMBA_CACHE_DIR']).parent"
PROBLEMS = "(HERE / 'tmp').rglob('X.npy')"
WORKER = [
    Fault("raises", "bd", "raise RuntimeError('out of luck')", reason="raised RuntimeError: out of luck"),
    Fault("raises what cannot be printed", "bd", r"raise RuntimeError('half \ud800 and \x1b[31m')", reason="half"),
    Fault("returns NaN", "bd", "return start * float('nan')", reason="not finite|start, 0. is not start"),
    Fault("returns another shape", "bd", "return start[:0]", reason="the result has shape"),
    Fault("returns something else", "bd", "return 'weights'", reason="returned a str"),
    Fault("exits with 0", "bda", "os._exit(0)", reason="exited with code 0"),
    Fault("exits with 3", "bda", "os._exit(3)", reason="exited with code 3"),
    Fault("is killed (SIGKILL)", "bda", "os.kill(os.getpid(), 9)", reason="SIGKILL"),
    Fault("is told to end (SIGTERM)", "bda", "os.kill(os.getpid(), 15)", reason="SIGTERM"),
    Fault("segmentation fault", "bda", "ctypes.string_at(0)", reason="SIGSEGV"),
    Fault("aborts", "bda", "os.abort()", reason="SIGABRT"),
    Fault("is stopped (SIGSTOP)", "bda", "os.kill(os.getpid(), 19)", reason="timed out", options=("--timeout", "10")),
    Fault("hangs", "bd", "time.sleep(300)", reason="timed out", options=("--timeout", "10")),
    Fault(
        "hangs, deaf to SIGTERM and SIGINT",
        "bd",
        "signal.signal(15, signal.SIG_IGN); signal.signal(2, signal.SIG_IGN); time.sleep(300)",
        reason="timed out",
        options=("--timeout", "10"),
    ),
    Fault("raises MemoryError", "bd", "bytearray(1 << 60)", reason="MemoryError"),
    Fault("writes without end", "bda", "note('pids', subprocess.Popen(['yes']).pid)"),
    Fault("closes its pipes", "bd", "os.closerange(0, 64)", reason="exited with code|timed out"),
    Fault(
        "writes into the pipe of its answers",
        "bda",
        "[os.write(fd, b'noise\\n') for fd in range(3, 20) if 'pipe:' in os.path.realpath(f'/proc/self/fd/{fd}')]",
        reason="something else",
    ),
    Fault("prints garbage", "bda", "print('{}' * 1000); os.write(1, b'\\xff\\n'); os.write(2, b'\\x00\\n')"),
    Fault("leaves a child", "bda", "note('pids', subprocess.Popen(['sleep', '300']).pid)"),
    Fault(
        "leaves a child of another session",
        "bda",
        "note('pids', subprocess.Popen(['sleep', '300'], start_new_session=True).pid)",
    ),
    Fault(
        "leaves a daemon that listens on a port",
        "bda",
        """
if os.fork() == 0:
    os.setsid()
    if os.fork():
        os._exit(0)
    server = socket.create_server(("127.0.0.1", 0))
    note("ports", server.getsockname()[1])
    note("pids", os.getpid())
    (HERE / "listens").touch()
    time.sleep(300)
while not (HERE / "listens").exists():
    time.sleep(0.01)
""",
    ),
    Fault("leaves zombies", "bda", "[os.fork() or os._exit(0) for _ in range(5)]"),
    Fault(
        "leaves POSIX shared memory",
        "bda",
        """
from multiprocessing import resource_tracker, shared_memory
made = sys.modules["made"] = shared_memory.SharedMemory(create=True, size=65536)
resource_tracker.unregister(made._name, "shared_memory")
note("segments", made.name)
""",
    ),
    Fault("leaves a System V segment", "bda", "ctypes.CDLL(None).shmget(0, 4096, 0o1600)"),
    Fault("deletes its folder for temporary files", "bda", f"shutil.rmtree({FOLDER})"),
    Fault(
        "fills its folder with what cannot be read",
        "bda",
        "where = Path(tempfile.mkdtemp(dir=" + FOLDER + "))\n"
        "where.joinpath('big').write_bytes(bytes(1 << 24)); where.chmod(0)",
    ),
    Fault("lowers its own limits", "bda", "import resource; os.nice(5); resource.setrlimit(7, (64, 64))"),
    Fault(
        "deletes the problem's files",
        "bda",
        f"[shutil.rmtree(path.parent) for path in {PROBLEMS}]",
        reason="raised FileNotFoundError",
    ),
    Fault("deletes all problems", "bda", f"[shutil.rmtree(path.parents[1], True) for path in {PROBLEMS}]", reason="No"),
    Fault("overwrites the problem's files", "bda", f"[path.write_bytes(b'0') for path in {PROBLEMS}]", reason="raised"),
]
PARENT = [
    Fault("Ctrl-C (SIGINT)", "bdasr", strike=by(INT), exits=ending(130)),
    Fault("Ctrl-C twice", "bdasr", strike=by(INT, INT), exits=ending(130, -2)),
    Fault("SIGTERM", "bdasr", strike=by(TERM), exits=ending(-15)),
    Fault("closed terminal (SIGHUP)", "bdasr", strike=by(HUP), exits=ending(-1)),
    Fault("SIGKILL", "bdasr", strike=by(KILL), exits=each("bdasr", -9)),
    Fault("SIGQUIT", "bdasr", strike=by(signal.SIGQUIT), exits=each("bdasr", -3)),
    Fault("stopped and continued", "bdasr", strike=by(signal.SIGSTOP, signal.SIGCONT)),
    Fault("nobody reads its output (| head)", "bdasr", strike=hangs_up, exits=each("bdas", 1)),
    Fault("a second run", "bdas", strike=another),
    Fault("a second run that waits (--wait)", "bdas", strike=lambda scene: scene.second("--wait") and None),
]
DISK = [
    Fault(
        "disk full",
        "bdasr",
        strike=fill,
        exits=each("bdas", 3) | each("r", 2),
        repair=empty,
        small=True,
        saving="writing",
    ),
    Fault(
        "no file may grow: what follows is told and measured again",
        "bdas",
        strike=limited("RLIMIT_FSIZE", 100),
        exits=each("bdas", 3),
        again=True,
        saving="writing",
    ),
    Fault("no more open files", "bdas", strike=limited("RLIMIT_NOFILE", 3), exits=each("bdas", 1, 3)),
    Fault("folder of runs read-only", "bdas", strike=locked, exits=each("bdas", 3), repair=unlocked, saving="writing"),
    Fault("folder of runs deleted", "bdas", strike=lambda scene: shutil.rmtree(scene.storage), saving="writing"),
    Fault("a file in the folder's place", "bdas", strike=replaced, exits=FULL, repair=restored, saving="writing"),
    Fault("journal overwritten", "bdas", strike=overwrite),
    Fault("journal deleted", "bdas", strike=forget),
    Fault("journal deleted, a case later SIGKILL", "b", strike=forget_and_kill, exits=each("b", -9)),
    Fault("SIGKILL and half a line of the journal", "bda", strike=tear, exits=each("bda", -9), again=True),
    Fault("number of the saved file taken", "bdas", strike=take, saving="writing"),
    Fault("another process saves", "bdas", strike=savers, saving="writing"),
    Fault(
        "folder for temporary files deleted",
        "bdas",
        strike=lambda scene: shutil.rmtree(scene.tmp),
        repair=lambda scene: scene.tmp.mkdir(exist_ok=True),
        exits=each("bda", 1),
    ),
    Fault("a fact that is no JSON", "d", fact="{1, 2}"),
    Fault("a fact with half a character", "d", fact=r"'\ud800'"),
    Fault("a fact that contains itself", "d", fact="(lambda a: a.append(a) or a)([])"),
]
