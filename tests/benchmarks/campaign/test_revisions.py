"""--impl path.py@REV: a file as it was, beside the file as it is, and one line for what git does not have."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import HONEST, ROOT, bench, command, ended, environment, saved, write

from benchmarks.campaign import revisions

SLOWER = HONEST.replace("w = start.copy()", "w = start.copy()\n        import helper; helper.wait(steps)")


KNOWN = subprocess.run(["git", "-C", str(ROOT), "rev-parse", "HEAD"], capture_output=True).returncode == 0
HAS_GIT = pytest.mark.skipif(not KNOWN, reason="this checkout is no git repository, or another user's")


def git(folder: Path, *words: str) -> str:
    settings = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", *settings, *words], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A repository in which mine.py and its helper were committed, and then changed."""
    write(tmp_path, "mine", SLOWER)
    write(tmp_path, "helper", "from pkg.waiting import wait\n")
    (tmp_path / "pkg").mkdir()
    write(tmp_path / "pkg", "waiting", "import time\n\ndef wait(steps):\n    time.sleep(1e-4 * steps)\n")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "first")
    write(tmp_path, "mine", HONEST)
    (tmp_path / "helper.py").unlink()
    (tmp_path / "pkg" / "waiting.py").unlink()
    return tmp_path


def test_a_file_and_its_past_are_measured_side_by_side(checkout: Path) -> None:
    path, commit = str(checkout / "mine.py"), git(checkout, "rev-parse", "--short", "HEAD")
    done = bench(checkout, "--impl", f"{path}@HEAD,{path}", "--problem", "line")
    assert done.code == 0, done.out
    per_step = {row["impl"]: row["per_step_s"] for row in done.rows}
    assert per_step[f"mine@{commit}"] > 3 * per_step["mine"]  # some 30 times
    assert done.json["campaign"]["sources"][f"mine@{commit}"]["text"] == SLOWER
    assert git(checkout, "status", "--short", "--", "mine.py") == "M mine.py", "nothing is checked out"


def test_what_git_does_not_have_is_one_line(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    says = {
        "mine.py@nothing": "mine.py@nothing: git knows no such revision",
        "other.py@HEAD": "has no such file; see: git log -- ",
        "mine.py@--all": "git knows no such revision",
    }
    (outside := tmp_path_factory.mktemp("outside") / "mine.py").write_text(HONEST)
    says = {str(checkout / word): message for word, message in says.items()}
    says[f"{outside}@HEAD"] = "finds no repository in "
    ends = ended(*(command(checkout, "--impl", word) for word in says))
    for done, message in zip(ends, says.values(), strict=True):
        assert done.code == 4 and message in done.err and "Traceback" not in done.err


@HAS_GIT
def test_a_file_of_the_suite_uses_the_shared_module_of_its_revision(clone: Path, tmp_path: Path) -> None:
    """`make ab` measures every implementation of a framework whose _<framework>.py differs."""
    shared = clone / "impls" / "_mine.py"
    shared.write_text("import time\n\ndef wait(steps):\n    time.sleep(1e-4 * steps)\n")
    waiting = "w = start.copy()\n        from impls._mine import wait; wait(steps)"
    write(clone / "impls", "mine_fast", HONEST.replace("w = start.copy()", waiting))
    git(clone, "add", "impls")
    git(clone, "commit", "-qm", "slow")
    shared.write_text("def wait(steps):\n    pass\n")
    done = run_ab(clone, OUT=str(tmp_path), ARGS="--problem line --blocks 1 --preset quick --no-limits --aa none")
    git(clone, "reset", "-q", "--hard", "HEAD~1")
    assert done.returncode in (0, 2), done.stdout + done.stderr  # 2: not known, in so short a time
    content = saved(tmp_path / "mine_fast.json")
    rows = [row["extra_info"] for row in content["benchmarks"]]
    now, before = ({row["per_step_s"] for row in rows if ("@" in row["impl"]) == old} for old in (False, True))
    assert min(before) > 3 * max(now)
    assert [list(source["helpers"]) for source in content["campaign"]["sources"].values()] == [["_mine.py"]] * 2


@HAS_GIT
def test_an_implementation_of_this_suite_as_it_is_committed() -> None:
    commit = git(ROOT, "rev-parse", "--short", "HEAD")
    old = revisions.file_of(ROOT / "impls" / "numpy_manual.py", "HEAD")
    assert old.name == f"numpy_manual@{commit}.py"
    assert old.read_text() == git(ROOT, "show", "HEAD:impls/numpy_manual.py") + "\n"


AB = ROOT / ".ci" / "ab"


def run_ab(checkout: Path, **variables: str) -> "subprocess.CompletedProcess[str]":
    """Run .ci/ab in a clone of this repository."""
    options = {"PYTHON": sys.executable, "ARGS": "--problem line,small,crops --preset quick --no-limits --aa none"}
    env = environment(**(options | variables), PYTHONPATH="")
    return subprocess.run(
        [str(checkout / ".ci" / "ab")], cwd=checkout, env=env, capture_output=True, text=True, timeout=600
    )


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone of this repository, with this script."""
    folder = tmp_path_factory.mktemp("clone") / "checkout"
    git(ROOT, "clone", "-q", "--shared", str(ROOT), str(folder))
    for name in (".ci/ab", "conftest.py"):
        shutil.copy(ROOT / name, folder / name)
    return folder


OLD = "4c4ae64"  # its _jax.py imports a name that impls/interface.py has renamed since


@HAS_GIT
def test_an_old_revision_runs_with_the_present_interface(tmp_path: Path) -> None:
    known = subprocess.run(["git", "-C", str(ROOT), "cat-file", "-e", OLD], capture_output=True).returncode == 0
    if not known:
        pytest.skip(f"this checkout is shallow: it has no {OLD}")
    done = bench(tmp_path, "--impl", f"{ROOT / 'impls' / 'jax_scan.py'}@{OLD}", "--problem", "line")
    assert done.code == 0 and done.timed(f"jax_scan@{OLD}"), done.out + done.err


@HAS_GIT
def test_without_a_change_there_is_nothing_to_compare(clone: Path) -> None:
    done = run_ab(clone)
    assert done.returncode == 0 and "no file of impls/ differs from HEAD" in done.stdout
    assert "no revision nothing" in run_ab(clone, BASE="nothing").stdout
    assert run_ab(clone, SLOWER="5").returncode == 2  # 1 is a slower case
    assert run_ab(clone, FILE="impls/numpy_manual.py", OUT="/dev/null/x").returncode == 2
    assert "README.md is no Python file" in run_ab(clone, FILE="README.md").stdout


@HAS_GIT
def test_what_was_not_measured_is_not_passed(clone: Path) -> None:
    options = {"FILE": "impls/cupy_manual.py", "MINUTES": "0.1", "ARGS": "--problem line --no-limits --aa none"}
    done = run_ab(clone, **options)
    assert done.returncode == 2 and "cupy_manual: nothing was measured" in done.stdout, done.stdout + done.stderr
    assert "Nothing was measured" in (clone / "build" / "ab" / "summary.md").read_text()
    assert run_ab(clone, UNDECIDED="pass", **options).returncode == 2, "it is not undecided"
    assert "neither fail nor pass" in run_ab(clone, UNDECIDED="Pass", **options).stdout


@HAS_GIT
def test_a_shared_module_takes_all_that_import_it(clone: Path) -> None:
    shared = clone / "impls" / "_triton.py"
    text = shared.read_text()
    for name in ("_triton", "_keras"):
        (clone / "impls" / f"{name}.py").write_text((clone / "impls" / f"{name}.py").read_text() + "# changed\n")
    done = run_ab(clone, ARGS="--collect-only -q")
    git(clone, "checkout", "-q", "--", "impls")
    assert shared.read_text() == text
    compared = [line.partition(":")[0] for line in done.stdout.splitlines() if "nothing was measured" in line]
    assert compared == ["keras_jax", "keras_torch", "triton_descent", "triton_fused"]


@HAS_GIT
@pytest.mark.measures
def test_a_slower_file_fails_and_the_summary_says_which(clone: Path, tmp_path: Path) -> None:
    """On a busy machine it may not be claimed: tests of `gate` judge there."""
    file = clone / "impls" / "numpy_manual.py"
    text = file.read_text()
    file.write_text(
        text.replace("w = start.copy()", "w = start.copy()\n        __import__('time').sleep(2e-4 * steps)")
    )
    summary = tmp_path / "summary.md"
    done = run_ab(clone, MINUTES="1", GITHUB_STEP_SUMMARY=str(summary))
    file.write_text(text)
    text = summary.read_text()
    withheld = "the machine was busy" in text
    assert done.returncode == (2 if withheld else 1), done.stdout + done.stderr
    assert ("BUSY" if withheld else "FAIL") in text
    rows = [row["extra_info"] for row in saved(clone / "build" / "ab" / "numpy_manual.json")["benchmarks"]]
    now, before = ({row["per_step_s"] for row in rows if ("@" in row["impl"]) == old} for old in (False, True))
    assert min(now) > 3 * max(before)  # some 13 times and more
    assert (clone / "build" / "ab" / "numpy_manual.xml").exists()
