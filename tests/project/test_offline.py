"""No network while measuring or reporting, and code of others in workers only."""

import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import HONEST, ROOT, UNNEEDED, Done, bench, environment, python, saved, write

FRAMEWORKS = {
    "numpy_manual": "numpy",
    "torch_manual": "torch",
    "jax_jit": "jax",
    "numba_fused": "numba",
    "tensorflow_function": "tensorflow",
}
HERE = [name for name, framework in FRAMEWORKS.items() if importlib.util.find_spec(framework)]
EMPTY = ["unshare", "--user", "--map-root-user", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
LISTENS = """
import os, sys

def note(event, args):
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        whom = args[1]
    elif event.startswith(("socket.getaddrinfo", "socket.gethostby")):
        whom = args[0]
    else:
        return
    with open(os.environ["WHOM"], "a") as file:
        file.write(f"{event} {whom!r}\\n")

sys.addaudithook(note)
"""
NEAR = r"\('(127\.0\.0\.1|::1|localhost)', .*\)|'(127\.0\.0\.1|::1|localhost)'|[b]?'[/\\].*'|None|''"
CALLS = "import socket\nsocket.socket().connect_ex(('127.0.0.1', 9))\n" + HONEST
NOTES = "import os, sys\nopen(os.environ['BY'], 'a').write(sys.modules['__main__'].__spec__.name + '\\n')\n" + HONEST


def isolated() -> list[str]:
    """What to put before a command, that it finds no network but a loopback; [] where that cannot be."""
    can = shutil.which("ip") and shutil.which("unshare")
    return EMPTY if can and subprocess.run([*EMPTY, "true"], capture_output=True).returncode == 0 else []


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("offline")


@pytest.fixture(scope="module")
def done(folder: Path) -> Done:
    """The quick preset with several frameworks, and one that calls; without a network, if that can be."""
    names = ",".join([*HERE, write(folder, "calls", CALLS)])
    out = ["--benchmark-json", str(folder / "out.json"), "--benchmark-storage", f"file://{folder / 'storage'}"]
    return run(
        folder,
        "pytest",
        "benchmarks",
        "--preset",
        "quick",
        "--problem",
        "crops@5",
        "--aa",
        "none",
        "--impl",
        names,
        "--no-limits",
        *UNNEEDED,
        *out,
    )


def run(folder: Path, *words: str) -> Done:
    """A program of Python's, and whom it calls written down, by all its processes."""
    write(folder, "sitecustomize", LISTENS)
    done = subprocess.run(
        [*isolated(), sys.executable, "-m", *words],
        cwd=ROOT,
        env=environment(PYTHONPATH=str(folder), WHOM=str(folder / "whom")),
        capture_output=True,
        text=True,
        timeout=600,
    )
    return Done(done.returncode, done.stdout, done.stderr, saved(folder / "out.json"))


def called(folder: Path) -> list[tuple[str, str]]:
    """Which call, and to whom."""
    events = [line.partition(" ") for line in (folder / "whom").read_text().splitlines()]
    return [(event, whom) for event, _, whom in events]


def test_run_needs_no_network(done: Done) -> None:
    if not isolated():
        pytest.skip("no network namespaces here: they take `unshare`, `ip`, and that users may have them")
    assert done.code == 0, done.out + done.err
    assert {row["impl"] for row in done.rows} >= {*HERE, "calls"}
    assert all(row["valid"] for row in done.rows)


def test_report_needs_no_network(done: Done, folder: Path) -> None:
    if not isolated():
        pytest.skip("no network namespaces here")
    said = run(folder, "results", "report", str(folder / "out.json"), "--out", str(folder / "report"))
    assert said.code == 0, said.out + said.err
    assert (folder / "report" / "report.html").stat().st_size > 10**5


def test_nobody_elsewhere_is_called(done: Done, folder: Path) -> None:
    assert done.rows
    everyone = called(folder)
    assert ("socket.connect", "('127.0.0.1', 9)") in everyone  # who calls is heard
    assert [(event, whom) for event, whom in everyone if not re.fullmatch(NEAR, whom)] == []


# Code of others


@pytest.mark.parametrize(
    ("words", "by"),
    [
        (["pytest", "benchmarks", "--help"], set()),
        (["pytest", "benchmarks", "--collect-only"], set()),
        (
            ["pytest", "benchmarks", "--preset", "quick", "--problem", "scalar", "--no-limits"],
            {"benchmarks.worker.server"},
        ),
        (["benchmarks", "fit", "scalar"], {"benchmarks.worker.server"}),
    ],
    ids=["help", "collect", "run", "fit"],
)
def test_who_imports_code_of_others(words: list[str], by: set[str], tmp_path: Path) -> None:
    """Workers, never pytest; `fit` is one process."""
    more = [*UNNEEDED, "--benchmark-storage", f"file://{tmp_path}"] if words[0] == "pytest" else []
    env = environment(BY=str(tmp_path / "by"))
    command = [sys.executable, "-m", *words, "--impl", write(tmp_path, "mine", NOTES), *more]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    notes = tmp_path / "by"
    assert {*(notes.read_text().split() if notes.exists() else [])} == by


def test_names_import_no_code_of_others(tmp_path: Path) -> None:
    (info := tmp_path / "theirs-1.0.dist-info").mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[descentbench.impls]\ntheir_way = their_descent\n")
    write(tmp_path, "their_descent", "raise SystemExit('imported')")
    code = "import impls, sys; assert 'their_way' in impls.names() and 'their_descent' not in sys.modules"
    done = python(code, env={"PYTHONPATH": str(tmp_path)})
    assert (done.code, done.err) == (0, "")
    assert bench(tmp_path, "--collect-only", "--impl", "their_way", env={"PYTHONPATH": str(tmp_path)}).code == 0
