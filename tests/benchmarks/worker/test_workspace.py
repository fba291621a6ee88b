"""A killed run's temporary folder is removed by the next run, wherever it was killed. Folders of users stay."""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from benchmarks.worker.workspace import LOCK_FILE, MARK, Home, Workspace

KILLED = """
import os, signal
from benchmarks.worker import workspace

def die(*args):
    os.kill(os.getpid(), signal.SIGKILL)

{WHERE} = die
with workspace.Workspace() as one:
    for name in "abcdefgh":
        one.new(name).joinpath("X.npy").write_text("1")
"""
WHERE = {
    "the folder is empty": "workspace.Home._own",
    "the lock is not taken": "workspace.lock_descriptor",
    "the lock has no name yet": "workspace.Path.rename",
    "the folder is in use": "workspace.tempfile.mkdtemp",
    "the folder loses its lock": "os.unlink",
}


@pytest.fixture(autouse=True)
def _own_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


@pytest.mark.parametrize("when", WHERE)
def test_the_next_run_removes_the_folder_of_one_that_was_killed(tmp_path: Path, when: str) -> None:
    code = KILLED.replace("{WHERE}", WHERE[when])
    if when == "the folder is in use":  # the first call makes the folder itself
        code = code.replace("def die(*args):", "make, made = workspace.tempfile.mkdtemp, []\n\ndef die(*args, **more):")
        code = code.replace(
            "    os.kill", "    made.append(1)\n    if len(made) < 2: return make(*args, **more)\n    os.kill"
        )
    if when == "the folder loses its lock":
        code = code.replace("def die(*args):", "unlink = os.unlink\n\ndef die(path, **more):\n    unlink(path, **more)")
        code = code.replace("    os.kill", "    if path == 'lock': os.kill")
    done = subprocess.run([sys.executable, "-c", code], env=os.environ | {"TMPDIR": str(tmp_path)}, timeout=60)
    assert done.returncode == -signal.SIGKILL and len(list(tmp_path.iterdir())) == 1
    workspace = Workspace()
    workspace.sweep()
    assert list(tmp_path.iterdir()) == [] and "of a run that was killed" in workspace.summary()


def test_folders_of_users_and_of_living_runs_stay(tmp_path: Path) -> None:
    for name in ("descentbench-notes", "descentbench-1-abcdefgh", "descentbench-2-abcdefgh"):
        (tmp_path / name).mkdir()
    (tmp_path / "descentbench-1-abcdefgh" / "mine.csv").write_text("x,y\n")
    (tmp_path / "descentbench-2-abcdefgh" / LOCK_FILE).write_text(f"{MARK}, or is it")
    with Home() as living:
        before = sorted(tmp_path.iterdir())
        Workspace().sweep()
        assert sorted(tmp_path.iterdir()) == before and Path(living) in before
