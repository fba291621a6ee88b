"""Nothing that is saved or shown names a user, a host, a home, a temporary path or a secret."""

import json
import tempfile
from pathlib import Path

import pytest
from helpers import HONEST, ROOT, bench, write

from benchmarks.machine import privacy
from results.__main__ import main

PLANTED = ("zanzibar", "ghp_", "10.1.2.3", "quagga")
FAULTY = f"""
import getpass, os, tempfile
{HONEST.replace("def run(start, steps, /):", "def run(start, steps, /):" + chr(10) + "        if steps > 5: fail()")}
def fail():
    places = [os.path.expanduser("~/data.csv"), __file__, tempfile.gettempdir() + "/x", "/home/quagga/secret"]
    raise ValueError(" ".join([*places, getpass.getuser(), os.environ["HOSTNAME"], os.environ["TORCH_HUB_TOKEN"]]))
"""


def test_secrets_are_in_no_file_and_on_no_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "home-of-zanzibar"
    (folder / "tmp").mkdir(parents=True)
    env = {"HOME": str(folder), "TMPDIR": str(folder / "tmp"), "USER": "zanzibar", "LOGNAME": "zanzibar"}
    env |= {"HOSTNAME": "zanzibar-3", "TORCH_HUB_TOKEN": "ghp_1234", "JAX_COORDINATOR_ADDRESS": "10.1.2.3:99"}
    env |= {"XLA_FLAGS": f"--xla_dump_to={folder}", "OMP_PROC_BIND": "true", "MALLOC_CONF": "ghp_5678\n"}
    paths = f"{write(folder, 'mine', FAULTY)},{write(folder, 'good', HONEST)}"
    done = bench(tmp_path, "--impl", paths, env=env)
    assert "10.1.2.3" not in done.out
    (refused,) = done.refused
    assert refused["impl"] == "mine" and "ValueError" in refused["reason"] and "~/data.csv" in refused["reason"]
    assert done.json["machine_info"]["env"]["OMP_PROC_BIND"] == "true"
    assert done.json["machine_info"]["env"]["XLA_FLAGS"] == "(a path)"
    assert done.json["machine_info"]["env"]["MALLOC_CONF"] == "(not shown)"
    assert set(done.json["commit_info"]) <= {"id", "time", "author_time", "dirty", "project"}
    saved = json.dumps(done.json)
    assert [word for word in (*PLANTED, str(tmp_path), f"{ROOT}/") if word in saved] == []
    (tmp_path / "run.json").write_text(saved)
    assert main(["report", str(tmp_path / "run.json"), "--baseline", "good", "--out", str(tmp_path / "report")]) == 0
    assert main(["show", str(tmp_path / "run.json")]) == 0
    shown = capsys.readouterr().out.replace(str(tmp_path), "")
    pages = [shown, *(path.read_text() for path in (tmp_path / "report").rglob("*.[hm][td]*") if path.is_file())]
    assert len(pages) > 2 and [word for word in PLANTED for page in pages if word in page] == []


def test_names_are_replaced_as_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USER", "ann")
    monkeypatch.setenv("HOME", "/srv/people/ann")
    monkeypatch.setattr(privacy.socket, "gethostname", lambda: "node7.lab.example")
    replace = privacy.replacer(["gpu-a", "gpu-b"])
    texts = {
        f"{ROOT}/impls/mine.py": "impls/mine.py",
        "no /srv/people/ann/x.csv for ann": "no ~/x.csv for (user)",
        f"{tempfile.gettempdir()}/a": "(tmp)/a",
        f"benchmarks{tempfile.gettempdir()}orary, a{ROOT}/x": f"benchmarks{tempfile.gettempdir()}orary, a{ROOT}/x",
        f"in {ROOT}: {ROOT}/a ({tempfile.gettempdir()})": "in .: a ((tmp))",
        r"C:\Users\Bob\x.py, /Users/Bob/y.py and /home/bob": r"~\x.py, ~/y.py and ~",
        "node7 is node7.lab.example": "(host) is (host)",
        "host gpu-a: closed; host gpu-b": "host (host 0): closed; host (host 1)",
        "annual planning, ann-2, np.annotate": "annual planning, ann-2, np.annotate",
        "killed by SIGKILL": "killed by SIGKILL",
    }
    assert {text: replace(text) for text in texts} == texts


def test_names_that_the_user_gave_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USER", "line")
    facts = {"problem": "line", "impl": "line", "reason": "line", "cells": [{"aa": "line", "why": ["line"]}], "n": 3}
    cleaned = facts | {"reason": "(user)", "cells": [{"aa": "line", "why": ["(user)"]}]}
    assert privacy.clean(facts, privacy.replacer()) == cleaned
