"""One measurement at a time on a machine: the second is refused or waits, and no lock outlives its process."""

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from faulty import wait_until
from helpers import ROOT, bench, command, ended, environment

from benchmarks.machine.lock import POLL_INTERVAL_S, Lock

HOLD = "import sys, time; from benchmarks.machine.lock import Lock; from pathlib import Path\n"
HOLD += "lock = Lock(Path(sys.argv[1])); print(lock.take(), flush=True); time.sleep(300)"


@contextlib.contextmanager
def holding(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock, until the block is left or it is killed."""
    words = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(words, cwd=ROOT, env=environment(), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "\n"
        try:
            yield process
        finally:
            process.kill()


def test_it_is_held_once_and_leaves_no_file(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    lock = Lock(path)
    assert lock.take() == "" and lock.take() == ""
    assert "process" in Lock(path).take()
    lock.release()
    assert not path.exists()
    assert Lock(path).take() == ""


def test_a_killed_process_holds_nothing(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with holding(path) as process:
        assert f"process {process.pid}, since" in Lock(path).take()
    assert path.exists()
    lock = Lock(path)
    assert lock.take() == ""
    lock.release()
    assert not path.exists()


def test_many_take_turns(tmp_path: Path) -> None:
    """Each adds to a number that it has read before: were two ever inside at once, one addition would be lost."""
    code = (
        "import sys; from pathlib import Path; from benchmarks.machine import lock\nlock.POLL_INTERVAL_S = 0.001\n"
        "for _ in range(20):\n"
        "    one = lock.Lock(Path(sys.argv[1], 'lock')); one.wait(lambda _: None)\n"
        "    at = Path(sys.argv[1], 'n'); n = int(at.read_text()); at.write_text(str(n + 1)); one.release()"
    )
    (tmp_path / "n").write_text("0")
    running = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, env=environment()) for _ in range(4)
    ]
    assert [process.wait(600) for process in running] == [0] * 4
    assert (tmp_path / "n").read_text() == "80"


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    """Where all may write, anybody can put one there: what it leads to would be emptied."""
    (victim := tmp_path / "victim").write_text("kept")
    (tmp_path / "descentbench.lock").symlink_to(victim)
    for done in ended(command(tmp_path), command(tmp_path, "--wait"), TMPDIR=str(tmp_path)):
        assert done.code == 4 and "Traceback" not in done.err, done.err
        assert "no way to be the only measurement here" in done.err and "descentbench.lock" in done.err
    assert victim.read_text() == "kept"


def test_a_second_run_is_refused_or_waits(tmp_path: Path) -> None:
    env, said = {"TMPDIR": str(tmp_path)}, tmp_path / "said"
    with holding(tmp_path / "descentbench.lock") as process:
        done = bench(tmp_path, env=env)
        assert done.code == 4
        assert f"another measurement runs (process {process.pid}, since" in done.err
        assert "--wait" in done.err
        assert not (tmp_path / "out.json").exists()
        with said.open("w") as out:
            words = command(tmp_path, "--wait", "-p", "tests.support.quicker")
            waiting = subprocess.Popen(words, cwd=ROOT, env=environment(**env), stdout=out, stderr=out)
        assert wait_until(lambda: "waiting for another measurement" in said.read_text()), said.read_text()
        time.sleep(2 * POLL_INTERVAL_S)
        assert waiting.poll() is None
    assert waiting.wait(600) == 0, said.read_text()
    assert (tmp_path / "out.json").exists()
    assert not (tmp_path / "descentbench.lock").exists()


def test_what_measures_nothing_needs_no_lock(tmp_path: Path) -> None:
    with holding(tmp_path / "descentbench.lock"):
        done = bench(tmp_path, "--collect-only", env={"TMPDIR": str(tmp_path)})
    assert done.code == 0, done.out
