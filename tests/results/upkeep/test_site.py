"""The site: an index of the machines, a page for each, and their comparison; a name from a file is no path."""

import html
import json
import re
import shutil
from pathlib import Path

import pytest
from helpers import ROOT

from results.__main__ import main

RUNS = ROOT / "results" / "runs"
(SMALL,) = RUNS.glob("*/*/0004_five-minutes.json")


def copied(folder: Path, machine: str, source: Path = SMALL) -> None:
    """Copy a run as one of `machine`."""
    place = folder / machine / "Linux-CPython-3.11-64bit"
    place.mkdir(parents=True)
    shutil.copy(source, place / "0001_copy.json")


def test_two_machines_have_a_page_each_and_are_compared(tmp_path: Path) -> None:
    machines = {source.parts[-3]: source for source in RUNS.glob("*/*/*_layers.json")}
    assert len(machines) > 1
    for machine, source in machines.items():
        copied(tmp_path / "runs", machine, source)
    assert main(["site", "--runs", str(tmp_path / "runs"), "--out", str(tmp_path / "site")]) == 0
    index = html.unescape((tmp_path / "site" / "index.html").read_text())
    links = re.findall(r'href="([^"]+)"', index)
    assert len(links) == len(machines) + 1 and all((tmp_path / "site" / link).is_file() for link in links)
    assert all(machine in index for machine in machines)
    assert "script-src 'none'" in index and "<script" not in index


def test_one_machine_is_compared_with_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copied(tmp_path / "runs", "alone")
    assert main(["site", "--runs", str(tmp_path / "runs"), "--out", str(tmp_path / "site"), "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)[0] == {"file": "index.html"}
    pages = [path.relative_to(tmp_path / "site").parts for path in (tmp_path / "site").rglob("*.html")]
    assert sorted(map(len, pages)) == [1, 2] and ("index.html",) in pages


def test_a_machine_is_no_path(tmp_path: Path) -> None:
    copied(tmp_path / "runs", "a")
    (path,) = (tmp_path / "runs").rglob("*.json")
    content = json.loads(path.read_text())
    content["campaign"]["machine"] = "../../<b>x"
    path.write_text(json.dumps(content))
    assert main(["site", "--runs", str(tmp_path / "runs"), "--out", str(tmp_path / "deep" / "site")]) == 0
    outside = [one for one in tmp_path.rglob("*.html") if not one.is_relative_to(tmp_path / "deep" / "site")]
    assert not outside and "<b>" not in (tmp_path / "deep" / "site" / "index.html").read_text()


def test_no_run_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "runs").mkdir()
    assert main(["site", "--runs", str(tmp_path / "runs"), "--out", str(tmp_path / "site")]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1 and not (tmp_path / "site").exists()
