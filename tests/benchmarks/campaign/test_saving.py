"""Saved files: whole or not there, an older one untouched, no number twice."""

import json
import os
import stat
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from helpers import HONEST, ROOT, bench, command, environment, write
from saving import storage

from benchmarks.campaign import storage as module
from benchmarks.campaign.storage import atomic_write


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_numbers_go_up(tmp_path: Path) -> None:
    for name in ("a", "b", "a"):
        storage(tmp_path).save({"benchmarks": []}, name)
    (tmp_path / "here" / "10000_c.json").write_text("{}")
    storage(tmp_path).save({"benchmarks": []}, "d")
    assert names(tmp_path) == ["0001_a.json", "0002_b.json", "0003_a.json", "10000_c.json", "10001_d.json"]


def test_two_savers_never_share_a_number(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: storage(tmp_path).save({"i": i}, f"run{i}"), range(40)))
    assert sorted(name[:4] for name in names(tmp_path)) == [f"{i:04}" for i in range(1, 41)]


def test_processes_that_save_at_once_lose_nothing(tmp_path: Path) -> None:
    code = (
        "import sys; sys.path.insert(0, 'tests/support'); from saving import storage; from pathlib import Path\n"
        "for i in range(10): storage(Path(sys.argv[1])).save({'i': i}, sys.argv[2])"
    )
    running = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path), name], cwd=ROOT, env=environment())
        for name in ("a", "b")
    ]
    assert [process.wait(600) for process in running] == [0, 0]
    assert sorted(name[:4] for name in names(tmp_path)) == [f"{i:04}" for i in range(1, 21)]


@pytest.mark.parametrize("fails_in", ["encoding", "writing", "renaming"])
def test_what_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails_in: str) -> None:
    path = tmp_path / "out.json"
    path.write_text("old")

    def fail(*args: Any, **more: Any) -> None:
        raise OSError(28, "No space left on device")

    if fails_in == "encoding":
        atomic_write(path, "old")
        with pytest.raises(UnicodeEncodeError):
            atomic_write(path, "half a pair: \ud800")
    else:
        monkeypatch.setattr(os, "fsync", fail) if fails_in == "writing" else monkeypatch.setattr(Path, "replace", fail)
        with pytest.raises(OSError, match="No space"):
            atomic_write(path, "new")
    assert path.read_text() == "old"
    assert names(tmp_path) == ["out.json"]


def test_a_storage_that_cannot_save_says_so_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any, **more: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    made = storage(tmp_path)
    made.save({"benchmarks": []}, "a")
    assert made.faults == ["could not save: [Errno 28] No space left on device"]
    assert names(tmp_path) == []


def test_what_a_killed_writer_has_left_goes(tmp_path: Path) -> None:
    (tmp_path / ".out.json.0badcafe.tmp").write_text('{"half')
    (tmp_path / ".other.json.0badcafe.tmp").write_text("another's")
    atomic_write(tmp_path / "out.json", "new")
    assert names(tmp_path) == [".other.json.0badcafe.tmp", "out.json"]


def test_a_link_keeps_being_one(tmp_path: Path) -> None:
    (tmp_path / "real.json").write_text("old")
    (tmp_path / "link.json").symlink_to("real.json")
    atomic_write(tmp_path / "link.json", "new")
    assert (tmp_path / "link.json").is_symlink()
    assert (tmp_path / "real.json").read_text() == "new"


def test_a_file_that_is_replaced_keeps_its_mode(tmp_path: Path) -> None:
    (path := tmp_path / "out.json").touch(0o600)
    atomic_write(path, "new")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    before = os.umask(0o027)
    try:
        atomic_write(tmp_path / "shared.json", "new")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "shared.json").stat().st_mode) == 0o640


def test_a_problem_that_the_temporary_folder_cannot_hold_costs_itself_alone(tmp_path: Path) -> None:
    (tmp_path / "tmp").mkdir()
    words = command(
        tmp_path, "--problem", "crops,10000x200,10000x100,scalar", "--in-order", "-p", "tests.support.quicker"
    )
    limited = ["bash", "-c", 'ulimit -f 2048; exec "$@"', "-", *words]  # KiB of a file
    ended = subprocess.run(limited, cwd=ROOT, env=environment(TMPDIR=str(tmp_path / "tmp")), capture_output=True)
    rows = json.loads((tmp_path / "out.json").read_text())
    assert ended.returncode == 1 and b"Traceback" not in ended.stdout + ended.stderr
    assert [row["extra_info"]["problem"] for row in rows["benchmarks"]] == ["crops", "scalar"]
    reasons = {row["problem"]: row["reason"] for row in rows["campaign"]["refused"]}
    assert reasons.keys() == {"10000x200", "10000x100"}
    assert all(reason.startswith("the problem cannot be written to the temp") for reason in reasons.values())
    assert not [path for path in (tmp_path / "tmp").iterdir() if path.name.startswith("descentbench-")]


def test_a_reader_never_sees_half_a_file(tmp_path: Path) -> None:
    path, whole = tmp_path / "out.json", {"a" * 200_000, "b" * 200_000}
    atomic_write(path, "a" * 200_000)
    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(lambda: [atomic_write(path, letter * 200_000) for letter in "ba" * 20])
        end = time.monotonic() + 300
        while not writing.done() and time.monotonic() < end:
            assert path.read_text() in whole
        writing.result(300)


def test_a_pipe_may_be_where_the_json_goes(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit((tmp_path / "pipe").read_text)
        atomic_write(tmp_path / "pipe", "through")
        assert reading.result(300) == "through"


def test_a_pipe_that_nobody_reads_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "READER_TIMEOUT_S", 0.2)
    os.mkfifo(tmp_path / "pipe")
    os.mkfifo(tmp_path / ".x.json.0badcafe.tmp")  # beside another file, and no unfinished one of ours
    (tmp_path / ".x.json.mine.tmp").write_text("the user's")
    with pytest.raises(OSError, match="pipe"):
        atomic_write(tmp_path / "pipe", "through")
    atomic_write(tmp_path / "x.json", "saved")
    assert len([*tmp_path.iterdir()]) == 4


def test_a_run_that_cannot_be_saved_is_kept(tmp_path: Path) -> None:
    """The folder of saved runs is a file: the rows are in the journal, the exit status says that nothing was saved."""
    (tmp_path / "storage").mkdir()
    (tmp_path / "storage" / saving_folder()).write_text("in the way")
    done = bench(tmp_path, "--benchmark-save=x")
    assert done.code == 3, done.out
    assert "could not save" in done.out + done.err
    assert "--resume" in done.out
    assert [json.loads(line).get("case", "")[-6:] for line in journal_lines(tmp_path)][1:] == ["at32-0]"[-6:]]
    (tmp_path / "storage" / saving_folder()).unlink()
    again = bench(tmp_path, "--benchmark-save=x", "--resume")
    assert again.code == 0, again.out + again.err
    assert len(again.rows) == 1
    assert len(list((tmp_path / "storage").rglob("0001_x.json"))) == 1
    assert journal_lines(tmp_path) == []


def saving_folder() -> str:
    from pytest_benchmark.utils import get_machine_id

    return str(get_machine_id())


def journal_lines(tmp_path: Path) -> list[str]:
    return [line for path in (tmp_path / "storage").glob("*.journal") for line in path.read_text().splitlines()]


def test_encoded_is_what_pytest_benchmark_writes() -> None:
    assert module.encoded({"a": [1.5, "ü"]}) == '{\n    "a": [\n        1.5,\n        "\\u00fc"\n    ]\n}'


def test_facts_are_what_json_can_hold() -> None:
    around: list[Any] = []
    around.append(around)
    facts = {"n": 1, "pair": (1, 2), "set": {1}, "half": "\ud800", "around": around, "by": {(1, 2): 3}}
    found = {name: module.plain(value) for name, value in facts.items()}
    assert found == facts | {
        "pair": [1, 2],
        "set": "UNSERIALIZABLE[{1}]",
        "around": "UNSERIALIZABLE[list]",
        "by": "UNSERIALIZABLE[dict]",
    }
    json.dumps(found)


def test_two_blanks_in_the_name_of_an_implementation_stay(tmp_path: Path) -> None:
    done = bench(tmp_path, "--impl", write(tmp_path, "my  own", HONEST))
    assert (done.code, [row["impl"] for row in done.rows]) == (0, ["my  own"]), done.out
