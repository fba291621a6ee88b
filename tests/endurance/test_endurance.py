"""The long proofs in short: cells of the fault matrix, two kills, a short soak; and that their checks can fail."""

import json
import os
import signal
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import aftermath
import faults
import pytest
from aftermath import SHM, Scene, cases, compared, torn
from helpers import QUICKER, ROOT, environment
from soak import Sample, grown
from strikes import Fault, Struck, each

CELLS = [  # that no other test has
    "Ctrl-C twice, during a case",
    "SIGTERM, while saving",
    "stopped and continued, during a case",
    "folder of runs deleted, after a case",
    "folder for temporary files deleted, while saving",
    "a fact that contains itself, during a case",
    "disk full, during a case",
]


def script(name: str, tmp_path: Path, *options: str) -> str:
    """What one of the programs says, which must find nothing wrong."""
    words = [sys.executable, f"tests/endurance/{name}.py", "--folder", str(tmp_path / "here"), *options]
    env = environment(ENDURANCE_OPTIONS=" ".join(QUICKER))
    done = subprocess.run(words, cwd=ROOT, env=env, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.skipif(os.getuid() != 0, reason="a small disk has to be mounted")
def test_some_of_the_fault_matrix(tmp_path: Path) -> None:
    said = script("faults", tmp_path, "--only", f"^({'|'.join(CELLS)})$", "--out", str(tmp_path / "faults.md"))
    assert said.count(": ok\n") == len(CELLS)
    assert (tmp_path / "faults.md").read_text().count(" ok ") >= len(CELLS)


def test_two_kills(tmp_path: Path) -> None:
    said = script("kills", tmp_path, "--kills", "2", "--blocks", "1")
    assert "| kills in all | 2 |" in said
    assert "| cases lost or changed | 0 |" in said


def test_a_short_soak(tmp_path: Path) -> None:
    said = script("soak", tmp_path, "--cases", "18", "--every", "4")
    assert said.startswith("# Soak\n\nBetween ")


LEFT: list["subprocess.Popen[bytes]"] = []
LOST = "benchmarks/bench_descent.py::bench_descent[lost-cpu-line-float32-0]"


def sabotage(scene: Struck) -> None:
    """Everything that no run may leave, and a case that has finished and is nowhere."""
    LEFT.append(subprocess.Popen(["sleep", "300"], env=environment(TMPDIR=str(scene.tmp)), start_new_session=True))
    (scene.tmp / "forgotten").touch()
    (scene.folder / ".other.json.0badcafe.tmp").touch()
    (scene.saved / "0001_older.json").write_text('{"kept": "as it')
    with (scene.folder / "witness").open("a") as file:
        file.write(json.dumps([LOST, [1.0]]) + "\n")


def test_a_cell_finds_what_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faults, "QUICKER", QUICKER)
    monkeypatch.setattr(faults, "NO_SEARCH", {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"})
    monkeypatch.setattr(aftermath, "SOON", 0.5)
    monkeypatch.setattr(aftermath, "PATIENCE", 0.5)
    found = faults.cell(Fault("sabotage", "a", strike=sabotage, exits=each("a", 5)), "a", tmp_path / "here")
    assert LEFT.pop().wait(600) == -signal.SIGKILL  # it is found and ended
    for words in ("exit 0, not 5", "process ", "temporary file forgotten", "half a file .other.json.0badcafe.tmp"):
        assert any(words in one for one in found), (words, found)
    assert any(one.startswith("0001_older.json is torn") for one in found)
    assert "lost lost-cpu-line-float32-0" in found
    assert "an older file is not what it was" in found


def test_growth_is_seen() -> None:
    grows = [Sample(cases, 0, 10**6 * cases, 14 + cases // 10, 2, 1, 2) for cases in range(10, 110, 10)]
    assert grown(grows) == (90 * 10**6, 4)
    assert grown([replace(one, rss=5, descriptors=14) for one in grows]) == (0, 0)


def test_litter_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aftermath, "PATIENCE", 0.5)
    scene = Scene(tmp_path)
    segment = SHM / f"descentbench-endurance-{os.getpid()}"
    with socket.create_server(("127.0.0.1", 0)) as server:
        (tmp_path / "ports").write_text(str(server.getsockname()[1]))
        segment.touch()
        assert {f"port {server.getsockname()[1]}", f"shared memory {segment.name}"} <= set(scene.litter())
        segment.unlink()
    assert [words for words in scene.litter() if "port" in words or segment.name in words] == []


def test_process_without_the_folder_in_its_environment_is_seen_by_its_number(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    child = subprocess.Popen(["sleep", "300"], env={})
    (tmp_path / "pids").write_text(f"{child.pid} ")
    assert scene.processes(0) == [child.pid]
    scene.clean()
    assert child.wait() == -signal.SIGKILL
    assert scene.processes(0) == []


def row(problem: str, *rounds: float) -> dict[str, object]:
    facts = {"impl": "a", "device": "cpu", "problem": problem, "dtype": "float32", "block": 0}
    name = f"benchmarks/bench_descent.py::bench_descent[a-cpu-{problem}-float32-0]"
    return {"fullname": name, "extra_info": facts, "stats": {"data": list(rounds)}}


def test_a_case_that_is_lost_or_other_or_twice_is_seen() -> None:
    saved = {"benchmarks": [row("line", 1.0), row("crops", 2.0)], "campaign": {"refused": []}}
    found = cases(saved)
    assert compared(found, found) == []
    name = next(iter(found))
    assert compared(found, {name: [1.5]}) == ["other rounds a-cpu-line-float32-0"]
    assert compared({}, {name: [1.0]}) == ["lost a-cpu-line-float32-0"]
    with pytest.raises(ValueError, match=r"twice: .*line"):
        cases(saved | {"benchmarks": [row("line", 1.0), row("line", 1.0)]})
    refused = row("line")["extra_info"] | {"reason": "wrong"}  # type: ignore[operator]
    with pytest.raises(ValueError, match=r"twice: .*line"):
        cases(saved | {"campaign": {"refused": [refused]}})
    assert cases(saved | {"campaign": {"refused": [refused | {"reason": "interrupted"}]}}) == found


def test_a_torn_file_is_seen(tmp_path: Path) -> None:
    (tmp_path / "whole.json").write_text("{}")
    (tmp_path / "half.json").write_text('{"benchmarks": [')
    assert [words.partition(" is torn")[0] for words in torn(tmp_path)] == ["half.json"]
