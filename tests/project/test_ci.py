"""The workflows and the action: their YAML, and each script that they call."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import Any

import pytest
from helpers import HONEST, ROOT, environment, write
from ruamel.yaml import YAML

from results.store.runs import ROOT as RUNS
from results.store.runs import find_paths

ACTION, WORKFLOWS = ROOT / "action.yml", sorted((ROOT / ".github" / "workflows").glob("*.yml"))
AB = ROOT / ".ci" / "ab"
RUN = "intel-xeon-2c-e60e65/five-minutes"
Done = subprocess.CompletedProcess[str]


def run(script: Path, *words: object, cwd: Path, **variables: str) -> Done:
    """Run a script of .ci."""
    env = environment(**variables, PYTHONPATH="")
    return subprocess.run([script, *map(str, words)], cwd=cwd, env=env, capture_output=True, text=True, timeout=600)


def git(folder: Path, *words: str) -> str:
    names = ["-c", "user.name=t", "-c", "user.email=t@t", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", *names, *words], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def steps(path: Path) -> list[dict[str, Any]]:
    read = YAML(typ="safe").load(path)
    jobs = [read["runs"]] if path == ACTION else list(read["jobs"].values())
    return [step for job in jobs for step in job["steps"]]


@pytest.mark.parametrize(("kind", "paths"), [("actions", [ACTION]), ("workflows", WORKFLOWS)])
def test_yaml_keeps_to_its_schema(kind: str, paths: list[Path]) -> None:
    words = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.github-{kind}", *map(str, paths)]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("path", [ACTION, *WORKFLOWS], ids=lambda path: path.name)
def test_every_shell_step_is_a_script_that_reads_what_it_is_given(path: Path) -> None:
    for step in steps(path):
        if "run" not in step:
            inputs = YAML(typ="safe").load(ACTION)["inputs"]
            assert step["uses"] != "./" or set(step["with"]) <= set(inputs)
            continue
        first = shlex.split(step["run"].replace("$GITHUB_ACTION_PATH/", ""))[0]
        assert os.access(ROOT / first, os.X_OK), step
        words = (ROOT / first).read_text() + step["run"]
        for name in set(step.get("env", {})) - {"GH_TOKEN"}:
            assert re.search(rf"\$\{{?{name}\b", words), f"{first} does not read {name}"


GH = """#!{python}
import os, sys, pathlib
folder, words = pathlib.Path(os.environ["GH_FOLDER"]), sys.argv[1:]
with (folder / "calls").open("a") as calls:
    calls.write(" ".join(words) + "\\n")
if "--jq" in words:
    print((folder / "own").read_text() if (folder / "own").exists() else "", end="")
elif (folder / "forbidden").exists():
    sys.exit("HTTP 403: Resource not accessible by integration")
else:
    (folder / "body").write_text(pathlib.Path(words[-1].removeprefix("body=@")).read_text())
"""


@pytest.fixture
def gh(tmp_path: Path) -> Path:
    """A folder with a `gh` that writes down how it was called."""
    (tmp_path / "gh").write_text(GH.format(python=sys.executable))
    (tmp_path / "gh").chmod(0o755)
    (tmp_path / "table.md").write_text("| case |\n" * 9000)
    return tmp_path


def comment(gh: Path, name: str = "table.md") -> Done:
    path = f"{gh}:{os.environ['PATH']}"
    script = ROOT / ".ci" / "comment"
    return run(script, gh / name, 7, cwd=gh, PATH=path, GH_FOLDER=str(gh), GITHUB_REPOSITORY="a/b")


def test_the_first_comment_is_new_and_the_next_replaces_it(gh: Path) -> None:
    assert comment(gh).returncode == 0
    assert "repos/a/b/issues/7/comments -F" in (gh / "calls").read_text() and "PATCH" not in (gh / "calls").read_text()
    body = (gh / "body").read_text()
    assert body.startswith("<!-- descentbench -->\n| case |") and len(body) < 65_536
    (gh / "own").write_text("41\n42\n")
    assert comment(gh).returncode == 0
    assert "--method PATCH repos/a/b/issues/comments/41 -F" in (gh / "calls").read_text()


def test_a_comment_that_may_not_be_written_fails_nothing(gh: Path) -> None:
    (gh / "forbidden").touch()
    done = comment(gh)
    assert done.returncode == 0 and "the token may not write" in done.stdout
    done = comment(gh, "nothing.md")
    assert done.returncode == 0 and "nothing.md is empty or missing" in done.stdout


@pytest.fixture(scope="module")
def shared_clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with this code and one run, and a commit that adds another run."""
    folder = tmp_path_factory.mktemp("clone") / "checkout"
    for name in (".ci", "benchmarks", "impls", "results"):
        ignored = shutil.ignore_patterns("__pycache__", "runs", "report", "gallery", "endurance")
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    (source,) = find_paths([RUN], RUNS)
    for path in (source, RUNS / "project.txt"):
        kept = folder / path.relative_to(ROOT)
        kept.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, kept)
    git(folder, "init", "-q")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "--allow-empty", "-m", "base")
    git(folder, "tag", "base")
    added = folder / "results" / "runs" / "new" / "Linux" / "0001_mine.json"
    added.parent.mkdir(parents=True)
    shutil.copy(source, added)
    with (folder / "results" / "runs" / "project.txt").open("a") as listed:
        listed.write("new/Linux/0001_mine.json\n")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "add a run")
    git(folder, "tag", "added")
    return folder


@pytest.fixture
def clone(shared_clone: Path) -> Path:
    git(shared_clone, "reset", "-q", "--hard", "added")
    return shared_clone


def check(clone: Path, **variables: str) -> Done:
    git(clone, "add", "-A")
    git(clone, "commit", "-q", "--allow-empty", "-m", "more")
    return run(clone / ".ci" / "results", cwd=clone, **({"BASE": "base", "PYTHON": sys.executable} | variables))


def test_an_added_run_is_verified_and_answered(clone: Path, tmp_path: Path) -> None:
    done = check(clone, GITHUB_STEP_SUMMARY=str(tmp_path / "summary.md"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "matches" in done.stdout and "QUIET" in (tmp_path / "summary.md").read_text()
    assert (clone / "build" / "site" / "index.html").exists()


def test_a_run_that_is_damaged_unlisted_changed_or_removed_is_refused(clone: Path) -> None:
    runs = clone / "results" / "runs"
    added, (old,) = runs / "new" / "Linux" / "0001_mine.json", find_paths([RUN], runs)
    text = added.read_text()
    document = json.loads(text)
    document["benchmarks"][0]["stats"]["median"] *= 0.5
    added.write_text(json.dumps(document))
    done = check(clone)
    assert done.returncode == 1 and "0001_mine" in done.stdout + done.stderr
    added.write_text(text)
    added.rename(added.with_name("0002_other.json"))
    assert "project.txt does not list new/Linux/0002_other.json" in check(clone).stdout
    old.write_text(old.read_text() + "\n")
    done = check(clone)
    assert done.returncode == 1 and old.name in done.stdout and "never changed" in done.stdout
    old.unlink()
    assert old.name in check(clone).stdout


def test_nothing_added_and_no_base(clone: Path) -> None:
    assert "no saved run is added" in check(clone, BASE="HEAD").stdout
    done = check(clone, BASE="nothing")
    assert done.returncode == 2 and done.stdout == "no revision nothing\n"


PIP = """#!/bin/sh
echo "$@" >> "{calls}"
case "$*" in *tensorflow*) exit 1 ;; esac
"""


def test_an_extra_without_a_release_is_said_and_left_out(tmp_path: Path) -> None:
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci" / "install", tmp_path / ".ci" / "install")
    calls, python = tmp_path / "calls", tmp_path / "python"
    pip = shlex.quote(PIP.format(calls=calls))
    python.write_text(f"#!/bin/sh\nmkdir -p .venv/bin; printf %s {pip} > .venv/bin/pip; chmod +x .venv/bin/pip\n")
    python.chmod(0o755)
    done = run(tmp_path / ".ci" / "install", cwd=tmp_path, PYTHON=str(python), EXTRAS="numba tensorflow")
    assert done.returncode == 0 and done.stdout.startswith("without tensorflow")
    assert ".[numba]" in calls.read_text() and (tmp_path / ".venv" / "ready").exists()


def test_a_file_of_another_repository_is_compared_with_its_head(tmp_path: Path) -> None:
    """Its descent runs twelve times in the working tree. A busy machine withholds the verdict, so 2 is possible."""
    there, out = tmp_path / "there", tmp_path / "out"
    there.mkdir()
    file = Path(write(there, "mine", HONEST))
    git(there, "init", "-q")
    git(there, "add", "mine.py")
    git(there, "commit", "-q", "-m", "Add mine")
    slow = "    return lambda start, steps, /: [run(start, steps) for _ in range(12)][0]\n"
    file.write_text(HONEST.replace("    return run\n", slow))
    more = "--problem small --blocks 3 --preset quick --no-limits --machine test"
    done = run(AB, cwd=there, FILE="mine.py", OUT=str(out), PYTHON=sys.executable, MINUTES="2", ARGS=more)
    assert done.returncode in (1, 2), done.stdout + done.stderr
    rows = [row["extra_info"] for row in json.loads((out / "mine.json").read_text())["benchmarks"]]
    before, after = ([row["per_step_s"] for row in rows if ("@" in row["impl"]) == old] for old in (True, False))
    assert before and median(after) > 2 * median(before)
    assert (out / "mine.xml").exists() and "## mine, compared with " in (out / "summary.md").read_text()
    assert git(there, "status", "--porcelain", "--untracked-files=no") == "M mine.py", "nothing is checked out"


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"FILE": "absent.py"}, "FILE names files of implementations"), ({"BASE": "nowhere"}, "no revision nowhere")],
)
def test_a_wrong_file_or_revision_is_one_line(settings: dict[str, str], message: str, tmp_path: Path) -> None:
    done = run(AB, cwd=tmp_path, OUT=str(tmp_path / "out"), **settings)
    assert done.returncode == 2 and message in done.stdout and not (tmp_path / "out").exists()
