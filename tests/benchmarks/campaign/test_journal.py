"""The journal and --resume: after any end of the process, what was finished is kept, and only the rest is measured."""

import json
import os
import shutil
import signal
import stat
import subprocess
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from faulty import fault, wait_until, written
from helpers import HONEST, ROOT, Done, bench, command, ended, environment, saved, write

from benchmarks.campaign import journal
from benchmarks.campaign.journal import FinishedCase
from results.__main__ import main
from results.page.sections import run_card
from results.store.outcomes import is_wrong
from results.store.runs import find

PROBLEMS = ("--problem", "line,scalar")
STOPS = (  # in its second case: it notes every case that it is prepared for, and stops where a file is
    "problem.steps > 1 and HERE.joinpath('log').open('a').write(f'{len(problem.X)} '); "
    "len(problem.X) == 4 and HERE.joinpath('stop').exists() and (HERE.joinpath('pid').write_text('x'), time.sleep(300))"
)


def new(folder: Path) -> journal.Journal:
    return journal.named(folder, "a", options={}, here="/", plan={"blocks": 1}, code="1", machine="2")


def test_a_finished_case_is_on_the_disk(tmp_path: Path) -> None:
    one = new(tmp_path)
    assert list(tmp_path.iterdir()) == []  # nothing is finished yet
    facts = {"lr": 0.1, "nothing": None, "nan": float("nan"), "words": "ü \ud800", "odd": {1, 2}}
    one.add("x", FinishedCase("timed", facts, [0.1 + 0.2, 1e-300]), {"wall_s": 1.5, "limits": {"cpu": {0: "a"}}})
    one.add("y", FinishedCase("refused: why: so", {}, []), {"wall_s": 2.5, "limits": {"cpu": {0: "a"}}})
    assert one.path.read_text().count("limits") == 1  # what has not changed is not said again
    found = journal.read(one.path)
    assert found.head == one.head
    assert found.loaded["x"].rounds == [0.1 + 0.2, 1e-300]
    assert found.loaded["x"].facts["words"] == "ü \ud800"
    assert found.loaded["x"].facts["odd"] == "UNSERIALIZABLE[{1, 2}]"
    assert found.loaded["y"] == FinishedCase("refused: why: so", {}, [])
    assert found.state == {"wall_s": 2.5, "limits": {"cpu": {"0": "a"}}}
    one.remove()
    assert list(tmp_path.iterdir()) == []


def test_every_cut_of_a_journal_keeps_the_whole_lines(tmp_path: Path) -> None:
    one = new(tmp_path)
    for name in "xyz":
        one.add(name, FinishedCase("timed", {"n": 1}, [1.0]), {"wall_s": 1.0})
    one.close()
    text = one.path.read_bytes()
    ends = [at for at, byte in enumerate(text) if byte == ord("\n")]
    for cut in range(ends[0] + 1, len(text)):
        one.path.write_bytes(text[:cut])
        found = journal.read(one.path)
        assert list(found.loaded) == list("xyz")[: sum(end < cut for end in ends) - 1]
        found.add("w", FinishedCase("timed", {}, []), {"wall_s": 1.0})
        found.close()
        assert list(journal.read(one.path).loaded)[-1] == "w"


def test_a_line_that_is_no_longer_readable_is_one_case(tmp_path: Path) -> None:
    one = new(tmp_path)
    for name in "xyz":
        one.add(name, FinishedCase("timed", {}, [1.0]), {"wall_s": 1.0})
    lines = one.path.read_text().splitlines()
    one.path.write_text("\n".join([*lines[:2], "\0" * 40, '{"case": "q"}', "[]", *lines[3:], ""]))
    assert list(journal.read(one.path).loaded) == ["x", "z"]


@pytest.mark.parametrize(
    "text", ["", "{", "[]\n", '{"journal": 99}\n', '{"journal": 1, "name": 3}\n', "\xff\n", "null\n"]
)
def test_what_is_no_journal_is_passed_over(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.journal"
    path.write_text(text, encoding="latin-1")
    assert journal.unfinished(tmp_path) == []
    with pytest.raises(ValueError, match=r"journal|version"):
        journal.read(path)


def test_a_full_disk_delays_the_journal_and_not_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any) -> int:
        raise OSError(28, "No space left on device")

    one = new(tmp_path)
    one.add("x", FinishedCase("timed", {}, [1.0]), {"wall_s": 1.0})
    with monkeypatch.context() as full:
        full.setattr(os, "pwrite", fail)
        one.add("y", FinishedCase("timed", {}, [1.0]), {"wall_s": 2.0})
        assert "No space left" in one.error
        assert (one.finished, one.written) == ({"x", "y"}, {"x"})
        assert list(journal.read(one.path).loaded) == ["x"]
    one.add("z", FinishedCase("timed", {}, [1.0]), {"wall_s": 3.0})
    assert one.error == "" and one.written == {"x", "y", "z"}
    again = journal.read(one.path)
    assert list(again.loaded) == ["x", "y", "z"] and again.state == {"wall_s": 3.0}


def test_only_a_regular_file_of_this_user_is_a_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = new(tmp_path)
    one.add("x", FinishedCase("timed", {}, [1.0]), {})
    one.close()
    os.mkfifo(tmp_path / "a.journal")
    (tmp_path / "0.journal").symlink_to("nowhere")
    (tmp_path / "b.journal").symlink_to(one.path)
    (tmp_path / "c.journal").symlink_to("/dev/zero")
    with (tmp_path / "d.journal").open("wb") as sparse:
        sparse.truncate(journal.MAX_BYTES + 1)
    (tmp_path / "e.journal").write_text("[" * 100_000 + "\n")
    (tmp_path / "f.journal").write_text("[]," * journal.MAX_JSON_VALUES + "\n")
    assert [found.path for found in journal.unfinished(tmp_path)] == [one.path]
    assert stat.S_IMODE(one.path.stat().st_mode) == 0o600
    monkeypatch.setattr(os, "getuid", lambda: one.path.stat().st_uid + 1)
    assert journal.unfinished(tmp_path) == []


@pytest.mark.parametrize(
    "change",
    [
        *({"rounds": rounds} for rounds in (None, 1.0, ["x"], [float("nan")], [-1.0], [float("inf")])),
        *({"facts": facts} for facts in (None, 3, ["x"])),
        *({"end": end} for end in (None, "", "what", ["timed"])),
        *({"state": state} for state in (None, 3, "x")),
    ],
    ids=str,
)
def test_a_line_with_impossible_values_is_skipped(tmp_path: Path, change: dict[str, object]) -> None:
    one = new(tmp_path)
    one.add("x", FinishedCase("timed", {}, [1.0]), {})
    one.close()
    line = {"case": "y", "end": "timed", "facts": {}, "rounds": [1.0], "state": {}} | change
    with one.path.open("a") as file:
        file.write(json.dumps(line) + "\n")
    assert list(journal.read(one.path).loaded) == ["x"]


def test_there_is_room_for_what_follows(tmp_path: Path) -> None:
    """On a disk that is full from now on."""
    one = new(tmp_path)
    one.add("x", FinishedCase("timed", {}, [1.0]), {"wall_s": 1.0})
    assert os.stat(one.path).st_blocks * 512 >= journal.RESERVED_BYTES
    assert list(journal.read(one.path).loaded) == ["x"]
    one.close()
    assert one.path.read_text().endswith("}\n")


def test_one_that_was_deleted_comes_again(tmp_path: Path) -> None:
    one = new(tmp_path / "runs")
    one.add("x", FinishedCase("timed", {}, [1.0]), {"wall_s": 1.0})
    shutil.rmtree(tmp_path / "runs")
    for name in "yz":
        one.add(name, FinishedCase("timed", {}, [2.0]), {"wall_s": 2.0})
    assert one.error == ""
    assert {name: case.rounds for name, case in journal.read(one.path).loaded.items()} == {
        "x": [1.0],
        "y": [2.0],
        "z": [2.0],
    }


def begun(tmp_path: Path, *options: str, by: signal.Signals = signal.SIGKILL) -> int:
    """A run that is ended by a signal in its second case."""
    (tmp_path / "stop").touch()
    (tmp_path / "pid").unlink(missing_ok=True)
    with (tmp_path / "said").open("w") as said:
        process = subprocess.Popen(
            [*command(tmp_path, *options), "-p", "tests.support.quicker"],
            cwd=ROOT,
            env=environment(),
            stdout=said,
            stderr=said,
        )
    try:
        assert wait_until(lambda: written(tmp_path / "pid") or process.poll() is not None)
        assert process.poll() is None, (tmp_path / "said").read_text()
        process.send_signal(by)
        code = process.wait(600)
    finally:
        process.kill()
        process.wait()
    (tmp_path / "stop").unlink()
    return code


def journals(tmp_path: Path) -> list[Path]:
    return list((tmp_path / "storage").glob("*.journal"))


def cases(done: Done | dict[str, Any]) -> list[tuple[str, str, int]]:
    rows = done.rows if isinstance(done, Done) else [row["extra_info"] for row in done["benchmarks"]]
    return [(row["impl"], row["problem"], row["block"]) for row in rows]


def test_after_sigkill_only_what_is_missing_is_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = fault(tmp_path, "slow", STOPS)
    options = ("--impl", f"{path},numpy_manual", *PROBLEMS, "--blocks", "2", "--seed", "3", "--benchmark-save=mine")
    assert begun(tmp_path, *options) == -signal.SIGKILL
    assert saved(tmp_path / "out.json") == {}
    (file,) = journals(tmp_path)
    kept = journal.read(file).loaded
    rounds = {name: one.rounds for name, one in kept.items()}
    assert kept
    before = (tmp_path / "log").read_text().split()

    done = bench(tmp_path, "--resume")  # and nothing else: the campaign knows what it is
    assert done.code == 0, done.out + done.err
    assert "resuming 'mine', begun" in done.out
    every = product(("slow", "numpy_manual"), PROBLEMS[1].split(","), (0, 1))
    assert sorted(cases(done)) == sorted(every)
    for row in done.json["benchmarks"]:
        if row["fullname"] in rounds:
            assert row["stats"]["data"] == rounds[row["fullname"]]
    assert done.json["campaign"]["seed"] == 3
    assert [one["kept"] for one in done.json["campaign"]["resumed"]] == [len(kept)]
    assert main(["show", str(tmp_path / "out.json")]) == 0
    assert "Resumed once" in " ".join(capsys.readouterr().out.split())
    again = (tmp_path / "log").read_text().split()[len(before) :]
    assert len(again) == 4 - sum("slow" in name for name in kept)
    assert journals(tmp_path) == []
    assert len(list((tmp_path / "storage").rglob("0001_mine.json"))) == 1


THIRD = (  # stops in its third case
    "problem.steps > 1 and HERE.joinpath('log').open('a').write('x'); "
    "HERE.joinpath('log').read_text() == 'xxx' and (HERE.joinpath('pid').write_text('x'), time.sleep(300))"
)


def test_a_resumed_campaign_without_time_keeps_the_blocks_that_it_has(tmp_path: Path) -> None:
    path = fault(tmp_path, "slow", THIRD)
    begun(tmp_path, "--impl", path, "--problem", "line", "--blocks", "4", "--minutes", "9", "--benchmark-save=mine")
    (file,) = journals(tmp_path)
    *lines, last = (json.loads(line) for line in file.read_text().split("\n")[:3])
    last["state"]["wall_s"] = 539.9
    file.write_text("".join(json.dumps(line) + "\n" for line in [*lines, last]))
    done = bench(tmp_path, "--resume")
    assert [block for _, _, block in cases(done)] == [0, 1] and done.json["campaign"]["blocks"] == 2


def cut_short(tmp_path: Path, by: signal.Signals) -> None:
    """A campaign of three cases that a signal ends in its second one saves its first one."""
    path = fault(tmp_path, "slow", STOPS)
    options = ("--impl", path, "--problem", "line,scalar,crops", "--benchmark-save=mine")
    assert begun(tmp_path, *options, by=by) == 2
    assert "--resume goes on with it" in (tmp_path / "said").read_text()
    assert cases(saved(tmp_path / "out.json")) == [("slow", "line", 0)]
    campaign = saved(tmp_path / "out.json")["campaign"]
    assert (campaign["blocks"], campaign["partial_blocks"]) == (0, [0]), "it is not counted as a block"


def test_sighup_saves_what_is_there(tmp_path: Path) -> None:
    cut_short(tmp_path, signal.SIGHUP)


def test_after_a_signal_what_is_there_is_saved_and_the_rest_can_follow(tmp_path: Path) -> None:
    cut_short(tmp_path, signal.SIGTERM)
    assert "Cut short in every block" in " ".join(run_card(find(str(tmp_path / "out.json"), tmp_path)).notes)
    done = bench(tmp_path, "--resume", "--benchmark-save=mine")
    assert done.code == 0, done.out + done.err
    assert cases(done) == [("slow", problem, 0) for problem in ("line", "scalar", "crops")]
    assert done.json["campaign"]["interrupted"] is False
    assert (done.json["campaign"]["blocks"], done.json["campaign"]["partial_blocks"]) == (1, [])
    assert sorted(path.name for path in (tmp_path / "storage").rglob("*.json")) == ["0001_mine.json", "0002_mine.json"]


def test_cases_without_a_time_end_again_as_they_did(tmp_path: Path) -> None:
    """Refused, skipped and invalid ones, with the exit status that they ask for, and none of them is run again."""
    stops = fault(tmp_path, "slow", STOPS)
    wrong = write(tmp_path, "wrong", HONEST.replace("2 * lr", "lr"))
    raises = "    raise Unsupported('not: here')\n"
    head = "from impls.interface import Unsupported\ndef prepare(problem, device):\n"
    cannot = write(tmp_path, "cannot", head + raises)
    collects = write(
        tmp_path, "collects", HONEST.replace("        w = start", "        import gc; gc.collect()\n        w = start")
    )
    names = f"{wrong},{cannot},{collects},{stops}"
    seed = next(n for n in range(100) if order(n, names.split(","))[-1] == stops)
    assert begun(tmp_path, "--impl", names, *PROBLEMS, "--seed", str(seed), "--threads", "1") == -signal.SIGKILL
    ends = {name.partition("[")[2]: one.end for name, one in journal.read(journals(tmp_path)[0]).loaded.items()}
    assert len(ends) == 7
    for path in (wrong, cannot, collects):
        Path(path).touch()
    done = bench(tmp_path, "--resume")
    assert done.code == 1
    assert set(done.reasons("wrong")) == {(problem, "float32") for problem in ("line", "scalar")}
    assert all(is_wrong({"status": "refused", "reason": reason}) for reason in done.reasons("wrong").values())
    assert {one["reason"] for one in done.json["campaign"]["skipped"]} == {"not: here"}
    invalid = [row for row in done.json["benchmarks"] if row["extra_info"]["impl"] == "collects"]
    assert [row["name"][:8] for row in invalid] == ["INVALID "] * 2
    assert [row["extra_info"]["valid"] for row in invalid] == [False] * 2
    assert len(done.rows) == len(invalid) + 2


def order(seed: int, impls: list[str]) -> list[str]:
    """The order of a first block."""
    from benchmarks.campaign.plan import Plan

    plan = Plan(impls, ["cpu"], ["line"], ["float32"], 1, 0.1, 1, seed, 300.0)
    return [case.impl for case in plan.cases()]


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a campaign of one implementation killed in its second case, with a copy of what it saved."""
    folder = tmp_path_factory.mktemp("killed")
    begun(folder, "--impl", fault(folder, "slow", STOPS), *PROBLEMS, "--benchmark-save=mine")
    shutil.copytree(folder / "storage", folder / "copy")
    return folder


@pytest.fixture
def cut(killed: Path) -> Path:
    """The folder as the kill has left it."""
    fault(killed, "slow", STOPS)
    shutil.rmtree(killed / "storage")
    shutil.copytree(killed / "copy", killed / "storage")
    return killed


UNFIT = [  # options, what the one line says
    (["--resume", "--blocks", "3"], "leave --blocks out"),
    (["--resume", "--benchmark-save=other"], "no campaign to go on with"),
    (["--resume", "--problem", "medium"], "leave --problem out"),
]
DAMAGE: list[tuple[int, str, str, object]] = [  # line, part, name, value
    *((1, "state", name, None) for name in ("runs_s", "rates")),
    *((1, "state", name, "x") for name in ("orphans", "sources", "environments", "system_load", "resumed")),
    (1, "state", "sources", {"slow": {"file": "slow.py", "text": "", "digest": "\x1b[31m", "helpers": {}}}),
    (1, "state", "system_load", [{"block": 0, "seconds": -1.0}]),
    (1, "state", "schedule", [{"block": 1, "after_s": 1.0, "comparisons": 3, "decided": 0, "left_out": "all"}]),
    (1, "state", "rates", {"cpu": {"0": {"levels": [{"level": "L1"}]}}}),
    (1, "state", "starts_s", {"slow-cpu": float("inf")}),
    *((1, "state", "wall_s", value) for value in ("x", float("nan"), -1.0, 10**400, True)),
    *((0, "options", name, value) for name, value in (("blocks", "x"), ("impl", [1]), ("in_order", 1))),
]


def damage(path: Path, line: int, part: str, name: str, value: object) -> None:
    lines = [json.loads(text) for text in path.read_bytes().split(b"\n")[:2]]
    lines[line][part][name] = value
    path.write_text("".join(json.dumps(entry) + "\n" for entry in lines))


@pytest.fixture(scope="module")
def ends(killed: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Done]:
    """How commands end after the kill, with a copy of its journal: other options, a damaged one, none, a new run."""
    options = [words for words, _ in UNFIT] + [["--resume"]] * (len(DAMAGE) + 1) + [[]]
    folders = [tmp_path_factory.mktemp("end") for _ in options]
    for folder, damaged in zip(folders, [None] * len(UNFIT) + DAMAGE + [None, None], strict=True):
        if folder != folders[-2]:
            shutil.copytree(killed / "copy", folder / "storage")
            shutil.copy(killed / "slow.py", folder)
            (file,) = journals(folder)
            file.write_text(file.read_text().replace(str(killed), str(folder)))  # as if it had begun there
            if damaged:
                damage(file, *damaged)
    texts = [file.read_bytes() for folder in folders for file in journals(folder)]
    ends = ended(*(command(folder, *words) for folder, words in zip(folders, options, strict=True)))
    assert [file.read_bytes() for folder in folders for file in journals(folder)] == texts, "nothing is lost"
    return ends


@pytest.mark.parametrize("i", range(len(UNFIT)), ids=[" ".join(options) for options, _ in UNFIT])
def test_what_does_not_fit_is_refused(i: int, ends: list[Done]) -> None:
    assert ends[i].code == 4, ends[i].out
    assert UNFIT[i][1] in ends[i].err


def test_another_code_is_refused(cut: Path) -> None:
    with (cut / "slow.py").open("a") as file:
        file.write("# another one")
    done = bench(cut, "--resume")
    assert done.code == 4
    assert "the code of the suite, of an implementation or a table changed" in done.err
    assert len(journals(cut)) == 1  # nothing is lost by it


@pytest.mark.parametrize("i", range(len(DAMAGE)), ids=[f"{name} {value}" for *_, name, value in DAMAGE])
def test_a_damaged_journal_is_one_line(i: int, ends: list[Done]) -> None:
    done, (line, _, name, _) = ends[len(UNFIT) + i], DAMAGE[i]
    assert done.code == 4 and "Traceback" not in done.out + done.err
    fault = f"its state has an impossible {name}: " if line else f"its --{name.replace('_', '-')} is "
    assert f"is damaged ({fault}" in done.err


def test_a_journal_without_a_whole_case_is_resumed_from_the_start(cut: Path) -> None:
    """As a power cut may leave it: the head, and half of the first line."""
    (file,) = journals(cut)
    head, first, *_ = file.read_text().split("\n")
    file.write_text(f"{head}\n{first[:200]}")
    done = bench(cut, "--resume")
    assert done.code == 0, done.out + done.err
    assert cases(done) == [("slow", problem, 0) for problem in ("line", "scalar")]


def test_a_new_run_beside_it_says_so_and_touches_nothing(ends: list[Done]) -> None:
    assert ends[-1].code == 0
    assert "cut short: 'mine', begun" in ends[-1].out
    assert "1 cases finished; --resume goes on with it" in ends[-1].out


def test_nothing_to_resume_is_an_error(ends: list[Done]) -> None:
    assert ends[-2].code == 4
    assert "no campaign to go on with" in ends[-2].err and "none is in that folder" in ends[-2].err


def test_each_line_is_whole_while_the_run_goes_on(cut: Path) -> None:
    (file,) = journals(cut)
    *whole, rest = file.read_text().split("\n")
    assert rest.strip("\0") == ""  # room on the disk for what follows
    lines = [json.loads(line) for line in whole]
    assert lines[0]["journal"] == journal.VERSION
    assert [line["end"] for line in lines[1:]] == ["timed"]
    assert lines[1]["facts"]["problem"] == "line"
    assert lines[1]["rounds"]
