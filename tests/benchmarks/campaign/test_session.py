"""Other plugins and other files do not change what is measured: refused before it begins, or without effect."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import HONEST, ROOT, environment, write

LINE = ["--no-limits", "--aa", "none", "--preset", "quick", "--problem", "line", "--impl", "numpy_manual"]


def run(*arguments: str, cwd: Path = ROOT, **variables: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *arguments],
        cwd=cwd,
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert "Traceback" not in done.stderr and "INTERNALERROR" not in done.stdout
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("order", ["first", "last"])
def test_code_beside_a_named_file_does_not_run_in_this_process(tmp_path: Path, order: str) -> None:
    (tmp_path / "conftest.py").write_text("raise SystemExit('conftest.py was run')")
    impl = write(tmp_path, "mine", HONEST)
    (tmp_path / "table.csv").write_text("x,y\n1,2\n2,3\n3,5\n")
    options = ["--impl", impl, "--problem", str(tmp_path / "table.csv"), "--target", "y"]
    arguments = [*options, "benchmarks"] if order == "first" else ["benchmarks", *options]
    code, out = run(*arguments, "--collect-only", "-q")
    assert code == 0 and "bench_descent[mine-cpu-table.csv" in out and "conftest.py was run" not in out


def test_another_configuration_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    code, out = run("benchmarks", *LINE, "-c", str(tmp_path / "pytest.ini"), "--collect-only")
    assert code == 4 and str(tmp_path / "pytest.ini") in out and f"-c {ROOT / 'pyproject.toml'}" in out


SHUFFLE = """
import random, pytest

@pytest.hookimpl(HOW)
def pytest_collection_modifyitems(items):
    random.Random(1).shuffle(items)
"""


def test_cases_keep_the_order_of_the_plan(tmp_path: Path) -> None:
    for how in ("tryfirst", "trylast"):
        (tmp_path / f"shuffle_{how}.py").write_text(SHUFFLE.replace("HOW", f"{how}=True"))
    options = ["benchmarks", "--impl", "numpy_manual,numpy_blocked,jax_scan", "--blocks", "3", "--collect-only", "-q"]
    orders = [
        re.findall(r"bench_descent\[(.+)\]", run(*options, *more, PYTHONPATH=str(tmp_path))[1])
        for more in ([], ["-p", "shuffle_tryfirst"], ["-p", "shuffle_trylast", "--ff"])
    ]
    assert len(orders[0]) > 30 and orders[0] == orders[1] == orders[2]


@pytest.mark.parametrize(
    ("where", "arguments", "option"),
    [
        (ROOT / "benchmarks", ["-n", "2", "."], "-n"),
        (ROOT, ["-n", "2", "."], "-n"),
        (ROOT, ["benchmarks", "--benchmark-histogram"], "pygal"),
        (ROOT, ["benchmarks", "--benchmark-compare-fail=mean:5%"], "--benchmark-compare"),
        (ROOT, ["benchmarks", "--benchmark-compare-fail=mean:5%", "--benchmark-compare=9999"], "9999"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_measured_or_saved_is_said_first(where: Path, arguments: list[str], option: str) -> None:
    code, out = run(*arguments, *LINE, cwd=where)
    assert code == 4 and "passed" not in out
    assert any(option in line for line in out.splitlines() if line.startswith("ERROR: "))


def test_benchmarks_elsewhere_are_not_ours(tmp_path: Path) -> None:
    """Tests in a folder of that name may run side by side."""
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks" / "test_x.py").write_text("def test_x(): pass\n")
    folder, config = str(tmp_path / "benchmarks"), str(ROOT / "pyproject.toml")
    code, out = run("-n", "1", folder, "-c", config, "-p", "no:cacheprovider")
    assert code == 0 and "1 passed" in out
