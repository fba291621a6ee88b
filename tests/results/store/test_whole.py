"""Reports are written whole or not at all, and how a command ends that was interrupted or has no reader."""

import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from helpers import ROOT, environment

from results import __main__ as command
from results.store.atomic import atomic_open, atomic_write


def test_what_fails_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "report.md"
    path.write_text("old")
    with pytest.raises(OSError, match="full"), atomic_open(path) as stream:
        stream.write(b"half")
        raise OSError("the disk is full")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["report.md"]


def test_a_file_that_is_replaced_keeps_its_mode(tmp_path: Path) -> None:
    (path := tmp_path / "report.md").touch(0o600)
    with atomic_open(path) as stream:
        stream.write(b"private")
        stream.flush()
        assert {stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()} == {0o600}
    assert path.read_bytes() == b"private" and stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_killed_process_leaves_its_half_file_to_the_next(tmp_path: Path) -> None:
    """The half file of a process that lives is left alone."""
    code = (
        "import sys; from pathlib import Path; from results.store.atomic import atomic_open\n"
        "with atomic_open(Path('mine')) as stream: stream.write(b'half'), stream.flush(), print(flush=True), input()"
    )
    words = [sys.executable, "-c", code]
    env = environment(PYTHONPATH=str(ROOT))
    with subprocess.Popen(words, cwd=tmp_path, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline()
        atomic_write(tmp_path / "mine", "first")
        assert len(list(tmp_path.iterdir())) == 2
        process.kill()
    (tmp_path / ".mine.of-a-pipe.tmp").symlink_to("mine")
    atomic_write(tmp_path / "mine", "second")
    assert {path.name for path in tmp_path.iterdir()} == {"mine", ".mine.of-a-pipe.tmp"}
    assert (tmp_path / "mine").read_text() == "second"


def test_a_link_stays_one_and_a_pipe_is_written_to(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to("real")
    atomic_write(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "real").read_text() == "new"
    os.mkfifo(tmp_path / "pipe")
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit((tmp_path / "pipe").read_text)
        atomic_write(tmp_path / "pipe", "through")
        assert reading.result(10) == "through"


def test_ctrl_c_ends_a_command_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "_write", interrupted)
    assert command.main(["list"]) == 130
    assert capsys.readouterr() == ("", "")


def test_a_table_without_a_reader_is_no_verdict() -> None:
    """Exit status 1 is what `gate` says of a slower run."""
    words = f"{sys.executable} -m results list | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", words], cwd=ROOT, env=environment(), capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
