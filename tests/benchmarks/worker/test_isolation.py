"""What a worker's code may do, and what is left of it: no process, no zombie, no shared memory, no port, no folder."""

import ctypes
import os
import re
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from textwrap import indent

import psutil
import pytest
from faulty import fault, folders, running, wait_until, written
from helpers import HONEST, ROOT, Done, bench, command, environment, random_problem, write

from benchmarks.campaign.campaign import Campaign
from benchmarks.campaign.plan import Plan
from benchmarks.distributed.ranks import Ranks
from benchmarks.machine import cgroup
from benchmarks.timing.prepared import write_problem
from benchmarks.worker import cleanup, memory
from benchmarks.worker import process as processes
from benchmarks.worker.client import Refused, Settings, Worker
from benchmarks.worker.workspace import Workspace
from impls.interface import Unsupported

DAEMON = """
import socket
if os.fork() == 0:
    os.setsid()
    if os.fork():
        os._exit(0)
    server = socket.create_server(("127.0.0.1", 0))
    HERE.joinpath("port").write_text(str(server.getsockname()[1]))
    HERE.joinpath("new").write_text(str(os.getpid())); HERE.joinpath("new").rename(HERE / "daemon")  # never empty
    time.sleep(300)
    os._exit(0)
while not HERE.joinpath("daemon").exists():
    time.sleep(0.01)
"""
SEGMENTS = """
import ctypes
from multiprocessing import resource_tracker, shared_memory
tracked, untracked = calls.here = [shared_memory.SharedMemory(create=True, size=65536) for _ in range(2)]
resource_tracker.unregister(untracked._name, "shared_memory")
HERE.joinpath("segments").write_text(f"{tracked.name} {untracked.name} {ctypes.CDLL(None).shmget(0, 4096, 0o1600)}")
"""
HARMLESS = {  # what is timed all the same
    "daemonises": DAEMON,
    "deaf_child": """
code = "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(300)"
deaf = subprocess.Popen([sys.executable, "-c", code], start_new_session=True, env={}).pid
HERE.joinpath("deaf").write_text(str(deaf))
""",
    "zombies": "calls.here = [os.fork() or os._exit(0) for _ in range(5)]",
    "many_children": """
many = [os.fork() or time.sleep(300) or os._exit(0) for _ in range(50)]
HERE.joinpath("many").write_text(" ".join(map(str, many)))
""",
    "segments": SEGMENTS,
    "leaves_badly": "atexit.register(os._exit, 7)",
    "has_no_cwd": "import tempfile; os.chdir(tempfile.mkdtemp()); os.rmdir(os.getcwd())",
    "fills_its_folder": """
import tempfile
locked = Path(tempfile.mkdtemp())
locked.joinpath("big").write_bytes(bytes(50 << 20))
locked.chmod(0)
""",
    "changes_its_limits": """
import resource
os.nice(5)
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
""",
}
FAULTS = {  # name: what prepare does, what the reason says
    "crashes": (
        "import ctypes; ctypes.string_at(0)",
        r"killed by SIGSEGV in string_at \(__init__.py:\d+\), called at crashes.py:\d+",
    ),
    "overflows": (
        "sys.setrecursionlimit(10**9); deep = lambda _: max([0], key=deep); deep(0)",
        r"killed by SIGSEGV in <lambda> \(overflows.py:\d+\)|raised RecursionError",  # from 3.12 on
    ),
    "ends_by_a_real_time_signal": ("os.kill(os.getpid(), 40)", "killed by signal 40"),
    "closes_pipes": ("os.close(0); os.close(1)", "exited with code 1: .*Bad file descriptor"),
    "talks_into_the_pipe": (
        "[os.write(fd, b'noise\\n') for fd in range(3, 20) if os.path.realpath(f'/proc/self/fd/{fd}').count('pipe:')]",
        "something else than an answer came from its pipe",
    ),
}


def mine(folder: Path, name: str, code: str) -> str:
    """An honest implementation whose `prepare` does that as well."""
    calls = "class Calls(list): pass\ncalls = Calls()\n" if "calls.here" in code else ""
    return fault(folder, name, indent(calls + code.strip(), "    ").strip())


def words(folder: Path, name: str) -> list[str]:
    return (folder / name).read_text().split()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("isolation")


@pytest.fixture(scope="module")
def done(folder: Path) -> Done:
    """All of them beside an honest implementation, in one run."""
    (folder / "tmp").mkdir()
    paths = [mine(folder, name, code) for name, code in HARMLESS.items()]
    paths += [mine(folder, name, code) for name, (code, _) in FAULTS.items()]
    paths.append(write(folder, "honest", HONEST))
    return bench(folder, "--impl", ",".join(paths), env={"TMPDIR": str(folder / "tmp")})


@pytest.mark.parametrize("name", ["honest", *HARMLESS])
def test_it_is_timed(name: str, done: Done) -> None:
    assert done.reasons(name) == {}
    assert done.timed(name) == {("scalar", "float32")}


@pytest.mark.parametrize("name", FAULTS)
def test_it_is_refused_with_the_reason(name: str, done: Done) -> None:
    ((_, reason),) = done.reasons(name).items()
    assert re.match(FAULTS[name][1], reason), reason


@pytest.mark.parametrize("name", ["daemon", "deaf", "many"])
def test_no_process_is_left(name: str, done: Done, folder: Path) -> None:
    assert done.rows
    pids = words(folder, name)
    assert pids and not any(running(int(pid)) for pid in pids)


def test_no_port_is_left(done: Done, folder: Path) -> None:
    assert done.rows
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", int((folder / "port").read_text())), timeout=5)


def test_no_shared_memory_is_left(done: Done, folder: Path) -> None:
    assert done.rows
    tracked, untracked, number = words(folder, "segments")
    assert int(number) >= 0
    assert cleanup.segments().isdisjoint({tracked, untracked, int(number)})


def test_no_folder_is_left(done: Done, folder: Path) -> None:
    assert done.rows
    assert [*(folder / "tmp").iterdir()] == []


def test_what_had_left_is_told(done: Done, folder: Path) -> None:
    """Not who stayed in the worker's session, nor what multiprocessing's tracker has unlinked."""
    _, untracked, number = words(folder, "segments")
    expected = {
        f"process {(folder / 'daemon').read_text()} (python)",
        f"process {(folder / 'deaf').read_text()} (python)",
        f"shared memory /dev/shm/{untracked}",
        f"shared memory segment {number}",
    }
    told = done.json["campaign"]["orphans"]
    removed = {re.sub(r"\(python[\d.]*\)", "(python)", words) for words in told}
    assert expected <= removed and len(removed) <= 2 * len(expected)  # the check of rows prepares once more
    assert f"left behind, and removed: {', '.join(told)}" in done.out


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Worker]:
    """One that has loaded an implementation which does, in `prepare`, what the problem's folder has as `code.py`."""
    path = mine(tmp_path, "obeys", "exec((HERE / 'code.py').read_text(), globals())")
    write_problem(random_problem(9, 3, None, None), tmp_path / "problem")
    employed = Worker(path, Settings(threads=1), 60, Workspace())
    yield employed
    employed.close()


def reason(worker: Worker, tmp_path: Path, code: str) -> str:
    """The reason for which it is refused."""
    (tmp_path / "code.py").write_text(code)
    with pytest.raises(Refused) as refused:
        worker.prepare(str(tmp_path / "problem"), "cpu")
    return str(refused.value)


def test_stopped_is_hanging(worker: Worker, tmp_path: Path) -> None:
    (member,) = worker.members
    assert isinstance(member, processes.Process)
    member.process.send_signal(signal.SIGSTOP)
    worker.deadline = time.monotonic() + 1
    assert reason(worker, tmp_path, "pass") == "timed out and was killed"
    assert not worker.alive


def test_killed_for_want_of_memory_is_told_apart(
    worker: Worker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when the kernel has killed one more."""
    count = memory.oom_kills()
    (tmp_path / "vmstat").write_text(f"nr_free_pages 1\noom_kill {count + 1}\n")
    monkeypatch.setattr(memory, "VMSTAT", tmp_path / "vmstat")
    said = reason(worker, tmp_path, "os.kill(os.getpid(), signal.SIGKILL)")
    assert said == "killed by SIGKILL: the machine ran out of memory"


def test_no_zombie_is_left_here(worker: Worker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the process that started the worker: it gets the orphans."""
    before = {child.pid for child in psutil.Process().children()}
    litter = HARMLESS["zombies"].replace("calls.here", "here") + DAEMON
    assert reason(worker, tmp_path, f"{litter}\nraise ValueError") == "raised ValueError (obeys.py:15)"
    assert {child.pid for child in psutil.Process().children()} <= before


def test_stderr_does_not_grow_without_bound(worker: Worker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "STDERR_BYTES", 2**20)
    (member,) = worker.members
    assert isinstance(member, processes.Process)
    shout = "[os.write(2, b'x' * 2**20) for _ in range(100)]\nwhile os.fstat(2).st_size > 2**20: time.sleep(0.01)\n"
    said = reason(worker, tmp_path, f"{shout}os.write(2, b'end'); os._exit(3)")
    assert said == "exited with code 3: end"
    assert os.fstat(member.stderr.fileno()).st_size < 2**20


def test_what_does_not_end_is_told_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a process that waits for a disk or a driver, which no signal reaches."""
    monkeypatch.setattr(cleanup, "KILL_TIMEOUT_S", 0.3)
    monkeypatch.setattr(os, "kill", lambda pid, number: None)
    child = subprocess.Popen(["sleep", "300"], env={cleanup.TAG: "/nowhere/else"})
    try:
        began = time.monotonic()
        removed = cleanup.end_processes("/nowhere/else")
        assert time.monotonic() - began < 200, "it would sleep for 300 seconds"
        assert f"process {child.pid} (sleep), which was killed and does not end" in removed
    finally:
        monkeypatch.undo()
        child.kill()
        child.wait()


def test_a_process_is_found_in_the_middle_of_its_start() -> None:
    """It has no environment for an instant: /proc shows an empty one."""
    for _ in range(30):
        child = subprocess.Popen(["sleep", "300"], env={cleanup.TAG: "/nowhere/else"})
        found = {process.pid for process in cleanup.tagged_processes("/nowhere/else", None)}
        child.kill()
        child.wait()
        assert child.pid in found


def test_strangers_are_left_alone(tmp_path: Path) -> None:
    """Another worker's process, one without a mark, a zombie that is somebody's child here, others' segments."""
    others = [subprocess.Popen(["sleep", "300"], env={cleanup.TAG: mark}) for mark in ("/else/worker-b", "")]
    ended = subprocess.Popen(["true"], start_new_session=True)
    number = ctypes.CDLL(None).shmget(0, 4096, 0o1600)
    segment = cleanup.SHM / f"descentbench-test-{os.getpid()}"
    try:
        with segment.open("w"):
            assert wait_until(lambda: not running(ended.pid))
            removed = cleanup.end_processes("/else/worker-a")
            assert all(process.poll() is None for process in others)
            assert cleanup.segments() >= {number, segment.name}
            assert (ended.wait(), removed) == (0, [])
    finally:
        segment.unlink()
        ctypes.CDLL(None).shmctl(number, cleanup.IPC_RMID, None)
        for process in others:
            process.kill()
            process.wait()


# What a killed run leaves to the next


def test_what_a_killed_run_has_left_is_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = mine(tmp_path, "hangs", DAEMON + "HERE.joinpath('pid').write_text(str(os.getpid()))\ntime.sleep(300)")
    (tmp_path / "tmp").mkdir()
    process = subprocess.Popen(
        command(tmp_path, "--impl", path),
        cwd=ROOT,
        env=environment(TMPDIR=str(tmp_path / "tmp")),
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    workspace = Workspace()
    try:
        assert wait_until(lambda: written(tmp_path / "pid"))
        workspace.sweep()
        (left,) = folders(tmp_path)
        assert left.startswith(f"descentbench-{process.pid}-") and workspace.removed == []  # it lives
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    daemon, worker = (int((tmp_path / name).read_text()) for name in ("daemon", "pid"))
    assert wait_until(lambda: not running(worker)) and running(daemon)
    workspace.sweep()
    assert folders(tmp_path) == [] and not running(daemon)
    swept = f"folder {tmp_path / 'tmp' / left} of a run that was killed"
    assert re.fullmatch(rf"process {daemon} \(python[\d.]*\)", workspace.removed[0])
    assert workspace.removed[1:] == [swept]


def test_only_folders_of_ended_runs_are_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    workspace = Workspace()
    made = workspace.new("worker")
    strange, of_user = tmp_path / "descentbench-strange", tmp_path / "descentbench-12-paper"
    for folder in (strange, of_user):
        folder.mkdir()
    (of_user / "lock").write_text("a file of the user's")
    (tmp_path / "descentbench-link").symlink_to(made.parent)
    workspace.sweep()
    assert made.is_dir() and strange.is_dir() and of_user.is_dir()
    workspace.remove(made)
    assert not made.parent.exists()


def test_end_of_a_run_removes_and_tells_what_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    workspace = Workspace()
    made = workspace.new("worker")
    child = subprocess.Popen(["sleep", "300"], env={cleanup.TAG: str(made)})
    workspace.close()
    child.wait()
    assert workspace.removed == [f"process {child.pid} (sleep)", f"folder {made}"]
    assert [*tmp_path.iterdir()] == []


# --memory


@pytest.mark.parametrize(
    ("text", "size"),
    [("1", 1), ("1000000", 10**6), ("8GB", 8 * 10**9), ("512MiB", 2**29), ("1.5 g", 1_500_000_000), ("64kib", 65536)],
)
def test_sizes(text: str, size: int) -> None:
    assert memory.parse_size(text) == size


@pytest.mark.parametrize("text", ["", "0", "-1", "GB", "8XB", "8 GB GB", "1e9", "0.1", "nan", "9999999TB"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(ValueError, match="give bytes, or a number with its unit"):
        memory.parse_size(text)


def test_no_size_ends_the_command(tmp_path: Path) -> None:
    done = bench(tmp_path, "--memory", "8XB")
    assert done.code == 4
    assert "--memory '8XB': give bytes" in done.err


def test_sizes_in_words() -> None:
    sizes = {
        2**29: "512 MiB",
        3 * 2**30: "3 GiB",
        8 * 10**9: "8.0 GB",
        1_500_000: "1.5 MB",
        1200: "1.2 kB",
        7: "7 bytes",
    }
    assert {size: memory.format_size(size) for size in sizes} == sizes


HOGS = {
    "hog": "calls.append(bytearray(2 << 30))",
    "numpy_hog": "import numpy; calls.append(numpy.ones(1 << 28))",
    "hog_in_a_child": """
words = [sys.executable, "-c", "bytearray(2 << 30)"]
raise RuntimeError(subprocess.run(words, capture_output=True, text=True).stderr)
""",
}


@pytest.fixture(scope="module")
def tight(tmp_path_factory: pytest.TempPathFactory) -> Done:
    """Hogs and an honest one with 1 GB each, on a problem that fits and on one that cannot."""
    folder = tmp_path_factory.mktemp("memory")
    paths = [write(folder, "honest", HONEST), *(mine(folder, name, code) for name, code in HOGS.items())]
    options = ("--impl", ",".join(paths), "--problem", "scalar,30000x10000", "--memory", "1GB")
    return bench(folder, *options)


@pytest.mark.parametrize("name", HOGS)
def test_hog_meets_the_ceiling(name: str, tight: Done) -> None:
    assert set(tight.reasons(name)) == {("scalar", "float32")}
    reason = tight.reasons(name)["scalar", "float32"]
    assert reason.startswith("out of memory: --memory allows 1.0 GB (raised ")


def test_what_fits_is_timed_and_says_its_ceiling(tight: Done) -> None:
    (row,) = tight.rows
    assert (row["impl"], row["memory_limit_bytes"]) == ("honest", 10**9)


def test_what_cannot_fit_is_skipped_with_the_bytes(tight: Done) -> None:
    reasons = {row["reason"] for row in tight.json["campaign"]["skipped"]}
    assert reasons == {"needs at least 1.2 GB; --memory allows 1.0 GB"}
    assert len(tight.json["campaign"]["skipped"]) == 4


@pytest.mark.parametrize(
    "end",
    [
        "raised MemoryError: Unable to allocate 8.00 GiB for an array",
        "raised RuntimeError: [enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory",
        "raised JaxRuntimeError: RESOURCE_EXHAUSTED: Out of memory allocating 8589934592 bytes.",
        "raised ResourceExhaustedError: OOM when allocating tensor",
        "raised ImportError: cpu_feature_guard.so: failed to map segment from shared object",
        "raised RuntimeError: can't start new thread",
        "killed by SIGABRT in f (a.py:1): what():  std::bad_alloc",
        "killed by SIGABRT: LLVM ERROR: pthread_create failed: Resource temporarily unavailable",
        "exited with code 1: OpenBLAS error: Memory allocation still failed after 10 retries, giving up.",
    ],
)
def test_ends_for_want_of_memory(end: str) -> None:
    """As they were met."""
    assert memory.blame_memory(end, 10**9) == f"out of memory: --memory allows 1.0 GB ({end})"
    assert memory.blame_memory(end, 0) == end
    assert memory.blame_memory("killed by SIGINT", 10**9, f"... {end}\n").startswith("out of memory: ")
    assert memory.blame_memory("raised ValueError: no", 10**9, "Killed\n") == "raised ValueError: no"


def campaign(**more: object) -> Campaign:
    fields = dict(impls=[], devices=[], problems=[], dtypes=["float32", "float64"], blocks=1, seconds=0, threads=1)
    return Campaign(Plan(**fields, seed=0, timeout=60, **more))  # type: ignore[arg-type]


def test_one_dtype_may_fit_and_the_other_not() -> None:
    some = campaign(memory=120_000)  # X has 20,000 numbers
    try:
        assert some.task("1000x20", "float32").facts["d"] == 20
        with pytest.raises(Unsupported, match=r"^needs at least 168\.2 kB; --memory allows 120\.0 kB$"):
            some.task("1000x20", "float64")
    finally:
        some.close()


def test_order_counts_as_well() -> None:
    with pytest.raises(Unsupported, match=r"^needs at least 4\.0 GB; --memory"):
        campaign(memory=10**6, steps=10**6).task("2000x1@1000", "float32")


def test_table_is_measured_once_it_has_been_read(tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    table.write_text("a,b\n" + "".join(f"{i},{i * i % 7}\n" for i in range(200)))
    with pytest.raises(Unsupported, match=r"^needs at least 2\.4 kB; --memory allows 1\.0 kB$"):
        campaign(memory=1000, target=["b"]).task(str(table), "float32")


def test_what_cannot_be_made_here_is_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "total", lambda: 4e9)
    with pytest.raises(Unsupported, match=r"^needs at least 8\.0 GB to be made; there are 4\.0 GB of memory here \("):
        campaign().task("100000x10000", "float32")


@pytest.mark.parametrize(
    ("line", "file", "text", "total"),
    [
        ("0::/a/b", "a/memory.max", "5000", 5000),
        ("0::/a/b", "a/b/memory.max", "max", 2048 * 1024),
        ("4:memory:/a/b", "memory/memory.limit_in_bytes", "9223372036854771712", 2048 * 1024),
        ("4:memory:/a/b", "memory/a/b/memory.limit_in_bytes", "6000", 6000),
        ("5:cpu:/a", "memory/memory.limit_in_bytes", "7000", 2048 * 1024),
    ],
)
def test_total_is_the_machines_or_its_cgroups(
    line: str, file: str, text: str, total: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "meminfo").write_text("MemTotal:    2048 kB\nMemFree: 1 kB\n")
    (tmp_path / "cgroup").write_text(f"{line}\n")
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).write_text(f"{text}\n")
    monkeypatch.setattr(memory, "MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(cgroup, "PROC", tmp_path / "cgroup")
    monkeypatch.setattr(cgroup, "ROOT", tmp_path)
    assert memory.total() == total


@pytest.mark.parametrize(
    ("line", "files", "quota", "throttled"),
    [
        ("0::/", {"cpu.max": "max 100000", "cpu.stat": "nr_periods 3\nnr_throttled 0"}, None, 0),
        ("0::/a/b", {"cpu.max": "400000 100000", "a/cpu.max": "50000 100000", "a/b/cpu.max": "max 100000"}, 0.5, None),
        ("0::/a", {"a/cpu.stat": "nr_periods 160\nnr_throttled 155\nthrottled_usec 9"}, None, 155),
        ("4:cpu,cpuacct:/q", {"cpu/q/cpu.cfs_quota_us": "50000", "cpu/q/cpu.cfs_period_us": "100000"}, 0.5, None),
        ("4:cpu,cpuacct:/q", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None, None),
        ("4:cpu:/q", {"cpu/cpu.stat": "nr_throttled 1", "cpu/q/cpu.stat": "nr_throttled 7"}, None, 7),
        ("4:memory:/q", {"memory/q/cpu.max": "1 2"}, None, None),
    ],
)
def test_cpu_time_of_every_outer_group_counts(
    line: str,
    files: dict[str, str],
    quota: float | None,
    throttled: int | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "groups").write_text(f"3:pids:/\n{line}\n")
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"{text}\n")
    monkeypatch.setattr(cgroup, "PROC", tmp_path / "groups")
    monkeypatch.setattr(cgroup, "ROOT", tmp_path)
    assert (cgroup.quota(), cgroup.throttled()) == (quota, throttled)


def data_limit(process: object) -> int:
    """Bytes of RLIMIT_DATA of a worker's process, the soft one."""
    assert isinstance(process, processes.Process)
    found = re.search(r"Max data size +(\d+)", Path(f"/proc/{process.process.pid}/limits").read_text())
    assert found
    return int(found[1])


def test_ranks_share_the_ceiling_and_others_rows_do_not_count(tmp_path: Path) -> None:
    """Each maps the whole of X and y, of which half is the other's: 9 x 3 and 9 numbers of 8 bytes, two headers."""
    path = write(tmp_path, "mine", HONEST + "RANKS = True\n")
    write_problem(random_problem(9, 3, None, None), tmp_path / "problem")
    both = Ranks(path, 2, Settings(threads=2, memory=2**31), 60, Workspace())
    try:
        assert [data_limit(member) for member in both.members] == [2**30, 2**30]
        both.prepare(str(tmp_path / "problem"), "cpu")
        assert [data_limit(member) for member in both.members] == [2**30 + (36 * 8 + 2 * 128) // 2] * 2
    finally:
        both.close()


def test_problem_counts_once_while_it_is_prepared_and_checked(tmp_path: Path) -> None:
    """The problem before it is gone by then, and what it is held against at the end is mapped."""
    problem = random_problem(20_000, 100, None, None)  # 16 MB
    write_problem(problem, tmp_path / "problem")

    def used(most: int | None = None) -> int:
        """Bytes that the kernel counts while it holds the problem and has run."""
        worker = Worker("numpy_manual", Settings(threads=1, memory=most), 60, Workspace())
        try:
            (member,) = worker.members
            assert isinstance(member, processes.Process)
            for _ in range(2):
                worker.prepare(str(tmp_path / "problem"), "cpu")
                worker.run(problem.w0, 2)
                worker.finish(1)
            return int(psutil.Process(member.process.pid).memory_info().data)
        finally:
            worker.close()

    most = used() + problem.X.nbytes // 2
    assert used(most) <= most
    with pytest.raises(Refused, match=r"^out of memory: --memory allows "):
        used(most - problem.X.nbytes)
