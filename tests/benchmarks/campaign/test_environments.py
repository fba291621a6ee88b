"""--python and --with: one implementation in several environments, in the same blocks, and which one is slower."""

import json
import re
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from helpers import HONEST, Done, bench, command, ended, write

from benchmarks.campaign.campaign import PACKAGES_CHANGED
from benchmarks.machine import environments
from results.__main__ import main

SLOWER = HONEST.replace(
    "for t in", "for _ in range(planted.TIMES):\n            w = start.copy()\n            for t in"
)
SLOWER = re.sub(r"(?m)^(            (?:X_t|residual|w -=).*)$", r"    \1", SLOWER)
PLANTED = "import planted\n" + SLOWER


def metadata(folder: Path, name: str, version: str) -> None:
    (folder / f"{name}-{version}.dist-info").mkdir(parents=True)
    (folder / f"{name}-{version}.dist-info" / "METADATA").write_text(f"Name: {name}\nVersion: {version}\n")


def virtual_environment(folder: Path, times: int = 0) -> Path:
    """Make a virtual environment: that of the tests with a package `planted` of version `times`; 0: an empty one."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    (site,) = folder.glob("lib/python*/site-packages")
    if times:
        (site / "all.pth").write_text(sysconfig.get_path("purelib"))
        (site / "planted.py").write_text(f"TIMES = {times}\n__version__ = '{times}.0'\n")
        metadata(site, "planted", f"{times}.0")
    return folder / "bin" / "python"


@pytest.fixture(scope="module")
def pythons(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    folder = tmp_path_factory.mktemp("pythons")
    return SimpleNamespace(
        folder=folder,
        old=virtual_environment(folder / "old", 1),
        new=virtual_environment(folder / "new", 30),
        empty=virtual_environment(folder / "empty"),
        file=write(folder, "planted_loop", PLANTED),
    )


@pytest.fixture(scope="module")
def run(pythons: SimpleNamespace) -> Done:
    words = ["--python", f"old={pythons.old},new={pythons.new}", "--problem", "line", "--blocks", "2"]
    return bench(pythons.folder, "--impl", f"{pythons.file},numpy_manual", *words)


def test_each_environment_runs_in_every_block(run: Done) -> None:
    assert run.code == 0, run.out + run.err
    names = [f"{name}@{label}" for name in ("numpy_manual", "planted_loop") for label in ("new", "old")]
    assert sorted({row["impl"] for row in run.rows}) == names
    for block in range(2):
        assert sorted(row["impl"] for row in run.rows if row["block"] == block) == names


def test_rows_tell_their_environment(run: Done) -> None:
    known = run.json["campaign"]["environments"]
    assert [known[label]["packages"]["planted"] for label in ("old", "new")] == ["1.0", "30.0"]
    for row in run.rows:
        label = row["impl"].partition("@")[2]
        assert (row["environment"], row["packages"]) == (label, known[label]["digest"])
        assert row["python"] == known[label]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert {row["version"] for row in run.rows if row["impl"] == "planted_loop@new"} == {"30.0"}
    assert known["old"]["digest"] != known["new"]["digest"]


def compared(capsys: pytest.CaptureFixture[str], *words: str) -> list[dict[str, Any]]:
    """The rows of `python -m results compare`."""
    assert main(["compare", *words, "--format", "json"]) == 0
    return list(json.loads(capsys.readouterr().out))


def test_the_slower_environment_is_shown(
    run: Done, pythons: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = compared(capsys, "--over", "environment", str(pythons.folder / "out.json"))
    ratios = {row["impl"]: row["ratio"] for row in rows}
    assert ratios.keys() == {"planted_loop", "numpy_manual"}
    assert ratios["planted_loop"] > 3  # 30, where the machine is not busy


def test_numbers_of_threads_are_compared_in_one_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = bench(tmp_path, "--impl", "numpy_manual,numpy_gram", "--threads", "1,2")
    assert done.code == 0, done.out + done.err
    assert {(row["impl"], row["threads"]) for row in done.rows} == {
        (f"{name}@threads={count}", count) for name in ("numpy_manual", "numpy_gram") for count in (1, 2)
    }
    assert "numpy_manual@threads=2" in done.out
    rows = compared(capsys, *(f"numpy_manual@threads={count}" for count in (1, 2)), "--run", str(tmp_path / "out.json"))
    assert [row["refused"] for row in rows] == [""]


def test_a_run_without_an_axis_is_as_it_was(tmp_path: Path) -> None:
    done = bench(tmp_path, "--impl", "numpy_manual")
    (row,) = done.rows
    assert row["impl"] == "numpy_manual" and not {"environment", "packages"} & row.keys()
    assert not done.json["campaign"].get("environments")


def test_a_package_that_changes_under_a_run_is_noticed(tmp_path: Path) -> None:
    python = virtual_environment(tmp_path / "shifting", 1)
    changing = f"import pathlib\npathlib.Path({str(python.parents[1])!r}).glob('lib/python*/site-packages/planted-*')\n"
    changing += f"site, = pathlib.Path({str(python.parents[1])!r}).glob('lib/python*/site-packages')\n"
    changing += "(site / 'more-1.0.dist-info').mkdir(exist_ok=True)\n"
    changing += "(site / 'more-1.0.dist-info' / 'METADATA').write_text('Name: more\\nVersion: 1.0\\n')\n"
    words = ["--python", f"it={python}", "--impl", write(tmp_path, "changing", changing + HONEST), "--blocks", "2"]
    done = bench(tmp_path, *words)
    assert [row["block"] for row in done.rows if row["valid"]] == [0]
    assert [row["reason"] for row in done.refused] == [PACKAGES_CHANGED.format("it")]


def test_what_cannot_run_workers_is_one_line(pythons: SimpleNamespace, tmp_path: Path) -> None:
    old = tmp_path / "old"
    old.write_text("""#!/bin/sh\necho '{"version": [3, 9, 0], "packages": {"numpy": "1.26.4"}, "free": false}'\n""")
    old.chmod(0o755)
    says = {
        f"{old}": "is Python 3.9.0; workers need",
        f"{pythons.empty}": "has no NumPy, which workers need",
        f"{tmp_path}/nothing": "No such file",
        "/bin/true": "is no Python",
        f"a={pythons.old},a={pythons.new}": "two are called a; name them",
    }
    both = ["--python", str(pythons.old), "--with", "jax==0.9.0"]
    *ends, end = ended(*(command(tmp_path, "--python", word) for word in says), command(tmp_path, *both))
    for done, message in zip(ends, says.values(), strict=True):
        assert done.code == 4 and message in done.err and "Traceback" not in done.err
        assert len([line for line in done.err.splitlines() if line.strip()]) == 1
    assert end.code == 4 and "one axis at a time" in end.err


def test_an_interpreter_without_the_framework_is_told_how_to_install_it_there(tmp_path: Path) -> None:
    python = virtual_environment(tmp_path / "bare")
    (site,) = (tmp_path / "bare").glob("lib/python*/site-packages")
    for part in Path(sysconfig.get_path("purelib")).glob("numpy*"):
        (site / part.name).symlink_to(part)
    words = ["--impl", "jax_scan,sklearn_sgd,numpy_manual", "--python", f"bare={python}", "--problem", "small@1"]
    done = bench(tmp_path, *words)
    assert done.code == 0, done.out + done.err
    skipped = {entry["impl"]: entry["reason"] for entry in done.json["campaign"]["skipped"]}
    how = "is not installed; python -m pip install {}, with the Python called bare"
    assert skipped["jax_scan@bare"] == f"jax {how.format('jax')}"
    assert skipped["sklearn_sgd@bare"] == f"sklearn {how.format('scikit-learn')}"


@pytest.mark.parametrize("word", ["", "--index-url=http://x", "../here", "jax==0.9.0; rm", "git+https://x/y"])
def test_only_packages_are_installed(word: str) -> None:
    with pytest.raises(ValueError, match="--with"):
        environments.of_packages([word])


def test_a_package_runs_what_uses_it() -> None:
    known = {"jax", "numpy", "torch"}
    jax, numpy, scipy, here = environments.of_packages(["jaxlib==0.9", "numpy==2.3", "scipy", "here"])

    def labels(impl: str, *given: environments.Environment) -> list[str]:
        return [one.label for one in environments.serving(impl, list(given), known)]

    assert labels("jax_scan", jax, here) == ["jaxlib==0.9", "here"]
    assert labels("numpy_manual", jax, here) == []
    assert labels("numpy_manual", jax, numpy) == ["numpy==2.3"]
    assert labels("torch_nn", scipy) == ["scipy"]
    assert labels("/home/mine.py", jax, numpy) == ["jaxlib==0.9", "numpy==2.3"]


def wheel(folder: Path, name: str, version: str, files: dict[str, str]) -> None:
    """Write a package that pip installs."""
    info = f"{name}-{version}.dist-info"
    files = files | {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        for path, text in (files | {f"{info}/RECORD": record}).items():
            archive.writestr(path, text)


def test_packages_are_installed_once(tmp_path: Path) -> None:
    """Without a network: from a folder of packages, of which NumPy is the one that is here."""
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    wheel(wheels, "numpy", np.__version__, {"all.pth": sysconfig.get_path("purelib")})
    wheel(wheels, "threadpoolctl", "9.0", {"nothing.py": ""})
    wheel(wheels, "planted", "1.0", {"planted.py": "TIMES = 1\n__version__ = '1.0'\n"})
    env = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels), "XDG_CACHE_HOME": str(tmp_path / "cache"), "PATH": ""}
    words = ["--impl", write(tmp_path, "planted_loop", PLANTED)]
    first = bench(tmp_path, *words, "--with", "planted==1.0", env=env)
    assert first.code == 0, first.out + first.err
    assert [(row["impl"], row["environment"]) for row in first.rows] == [("planted_loop@planted==1.0", "planted==1.0")]
    assert "making the environment planted==1.0" in first.out
    more = ["--with", "planted==1.0", "--collect-only"]
    again = bench(tmp_path, *words, *more, env=env | {"PIP_FIND_LINKS": ""})
    assert again.code == 0 and "making the environment" not in again.out
    absent = bench(tmp_path, *words, "--with", "planted==2.0", env=env)
    assert absent.code == 4 and "--with planted==2.0" in absent.err and "Traceback" not in absent.err
    kept = {path.name for path in (tmp_path / "cache" / "descentbench" / "environments").iterdir() if path.is_dir()}
    assert len(kept) == 1, "nothing is left of an environment that could not be made"
