"""A second package that brings implementations: built, installed, and run by the real command."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import ROOT, Done, bench, environment, needs, python

PLUGIN = ROOT / "tests" / "support" / "plugin"
BRINGS = ["theirs_broken", "theirs_manual", "theirs_needs", "theirs_torch"]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which pip has installed the package, without a network."""
    folder = tmp_path_factory.mktemp("plugin")
    shutil.copytree(PLUGIN, folder / "source")  # building leaves things behind
    offline = ["--no-build-isolation", "--no-deps", "--no-index", "--quiet", "--disable-pip-version-check"]
    words = [sys.executable, "-m", "pip", "install", *offline, "--target", str(folder / "site"), str(folder / "source")]
    done = subprocess.run(words, env=environment(), capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return folder / "site"


@pytest.fixture(scope="module")
def done(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Done:
    """All that it brings, in one run beside ours."""
    env = {"PYTHONPATH": str(site), "THEIRS_IMPORTED_BY": str(site / "notes")}
    return bench(tmp_path_factory.mktemp("run"), "--impl", ",".join([*BRINGS, "numpy_manual"]), env=env)


def row(done: Done, name: str) -> dict[str, object]:
    (found,) = (row for row in done.rows if row["impl"] == name)
    return found


def test_it_is_timed_as_ours_are(done: Done) -> None:
    theirs, ours = row(done, "theirs_manual"), row(done, "numpy_manual")
    assert (theirs["valid"], theirs["framework"], theirs["version"]) == (True, "numpy", ours["version"])
    assert {*theirs} == {*ours}
    assert theirs["matmul_bits"] == 23


@needs("torch")
def test_its_framework_is_the_one_that_it_loads(done: Done) -> None:
    theirs = row(done, "theirs_torch")
    assert (theirs["valid"], theirs["framework"], theirs["matmul_bits"]) == (True, "torch", 23)


def test_its_code_is_saved_without_its_path(done: Done) -> None:
    text = (PLUGIN / "theirs" / "manual.py").read_text()
    source = done.json["campaign"]["sources"]["theirs_manual"]
    assert (source["file"], source["text"]) == ("manual.py", text)


def test_it_is_imported_by_workers_only(done: Done, site: Path) -> None:
    assert done.rows
    assert {*(site / "notes").read_text().split()} == {"benchmarks.worker.server"}


def test_what_it_needs_and_is_not_there_is_a_skip_with_the_reason(done: Done) -> None:
    (skipped,) = done.json["campaign"]["skipped"]
    why = "a_framework_that_nobody_has is not installed"
    assert skipped == {"impl": "theirs_needs", "device": "cpu", "reason": why}
    assert f"skipped: {why}" in done.out


def test_what_breaks_when_it_is_imported_is_refused_with_the_reason(done: Done) -> None:
    assert done.code == 1
    ((_, reason),) = done.reasons("theirs_broken").items()
    assert reason.startswith("raised ImportError: cannot import name 'Descent' from 'impls.interface'")
    assert "Traceback" not in done.out


def test_a_name_of_ours_stays_ours(done: Done, site: Path) -> None:
    assert done.timed("numpy_manual")
    code = "import impls, json; print(json.dumps([impls.names(), impls.load('numpy_manual').__module__]))"
    names, module = json.loads(python(code, env={"PYTHONPATH": str(site)}).out)
    assert module == "impls.numpy_manual"
    assert names.count("numpy_manual") == 1
    assert names[-4:] == BRINGS
