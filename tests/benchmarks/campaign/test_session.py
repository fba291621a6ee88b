"""Other plugins and other files do not change what is measured: refused before it begins, or without effect.

Output that is lost loses no rows.
"""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import HONEST, ROOT, command, ended, environment, write

from benchmarks.campaign.campaign import Campaign
from benchmarks.campaign.plan import Plan
from benchmarks.campaign.record import Outcome, Status

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


def together(*several: list[str], **variables: str) -> list[tuple[int, str]]:
    """Like `run` with each of several lists of arguments, one after the other in one process."""
    ends = ended(*([sys.executable, "-m", "pytest", *words] for words in several), **variables)
    assert all("Traceback" not in done.err and "INTERNALERROR" not in done.out for done in ends)
    return [(done.code, done.out + done.err) for done in ends]


def test_code_beside_a_named_file_does_not_run_in_this_process(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text("raise SystemExit('conftest.py was run')")
    impl = write(tmp_path, "mine", HONEST)
    (tmp_path / "table.csv").write_text("x,y\n1,2\n2,3\n3,5\n")
    options = ["--impl", impl, "--problem", str(tmp_path / "table.csv"), "--target", "y"]
    for code, out in together(
        [*options, "benchmarks", "--collect-only", "-q"], ["benchmarks", *options, "--collect-only", "-q"]
    ):
        assert code == 0 and "bench_descent[mine-cpu-table.csv" in out and "conftest.py was run" not in out


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stranger's folder: implementations, a configuration, and a conftest.py that must not run."""
    folder = tmp_path_factory.mktemp("theirs")
    (folder / "conftest.py").write_text("raise SystemExit('conftest.py was run')")
    (folder / "other.ini").write_text("[pytest]\n")
    for name in ("mine", "other", "odd[1]"):
        write(folder, name, HONEST)
    return folder


MISTAKES = [  # arguments, the line
    (["benchmarks", "--imp", "F/mine.py"], "ERROR: no option --imp; did you mean '--impl'?"),
    (["--impls", "F/mine.py", "benchmarks"], "ERROR: no option --impls; did you mean '--impl'?"),
    (["benchmarks", "--problems", "F/mine.py"], "ERROR: no option --problems; did you mean '--problem'?"),
    (
        ["benchmarks", "--impl", "F/mine.py", "F/other.py"],
        "ERROR: F/other.py: not in this suite's benchmarks; give",
    ),
    (["benchmarks", "--impl=F/mine.py", "F"], "ERROR: F: not in this suite's benchmarks; give files by an option"),
    (["benchmarks", "--impl", "numpy_manual", "F/odd[1].py"], "ERROR: F/odd[1].py: not in this suite's benchmarks"),
    (["F/mine.py::x", "benchmarks"], "ERROR: F/mine.py::x: not in this suite's benchmarks"),
    (["-c", "F/other.ini", "benchmarks", "--impl", "F/mine.py"], "ERROR: pytest reads F/other.ini instead of"),
    (["benchmarks", "--rootdir=F", "--impl", "F/mine.py"], "ERROR: pytest reads no configuration instead of"),
    (
        ["benchmarks", "--confcutdir=benchmarks"],
        "ERROR: --noconftest, --confcutdir: this suite's conftest.py makes",
    ),
    (["benchmarks", "--impl", "F/mine.py", "-o", "addopts="], "ERROR: --override-ini: this project's addopts load"),
    (["benchmarks", "--noconftest"], "ERROR: --noconftest, --confcutdir: this suite's conftest.py makes the cases"),
    (["@F/options"], "ERROR: no option --imp; did you mean '--impl'?"),
]


@pytest.fixture(scope="module")
def mistaken(theirs: Path) -> list[tuple[int, str]]:
    (theirs / "options").write_text(f"benchmarks\n--imp\n{theirs}/mine.py\n")
    several = [[re.sub(r"\bF\b", str(theirs), word) for word in words] for words, _ in MISTAKES]
    return together(*([*words, "--collect-only", "-q"] for words in several))


@pytest.mark.parametrize("i", range(len(MISTAKES)), ids=[" ".join(words) for words, _ in MISTAKES])
def test_no_mistake_in_the_command_runs_what_lies_beside_a_file(
    i: int, theirs: Path, mistaken: list[tuple[int, str]]
) -> None:
    code, out = mistaken[i]
    assert code == 4 and "conftest.py was run" not in out
    assert re.sub(r"\bF\b", str(theirs), MISTAKES[i][1]) in out


def test_options_of_the_environment_and_folders_of_others_run_nothing(theirs: Path) -> None:
    code, out = run("benchmarks", "--collect-only", "-q", PYTEST_ADDOPTS=f"--imp {theirs}/mine.py")
    assert code == 4 and "ERROR: no option --imp; did you mean '--impl'?" in out
    config = ["-c", str(ROOT / "pyproject.toml"), "--collect-only", "-q"]
    for words in (["--impl", "mine.py"], ["--pyargs", "benchmarks"], ["nothing", "--impl", "mine.py"]):
        code, out = run(*words, *config, cwd=theirs)
        assert code == 4 and "not in this suite's benchmarks; give files by an option" in out
    code, out = run(str(ROOT / "benchmarks"), "--impl", "mine.py,odd[1].py", "--collect-only", "-q", cwd=theirs)
    assert code == 0 and "bench_descent[odd[1]-cpu" in out and "conftest.py was run" not in out


def test_a_folder_of_others_in_the_checkout_is_passed_over(theirs: Path) -> None:
    beside = ROOT / "zz_theirs"
    assert not beside.exists()
    try:
        shutil.copytree(theirs, beside)
        code, out = run(".", "--impl", "zz_theirs/mine.py", "--ignore=tests", "--collect-only", "-q")
    finally:
        shutil.rmtree(beside)
    assert code == 0 and "bench_descent[mine-cpu" in out and "conftest.py was run" not in out


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
    options += ["-o", f"cache_dir={tmp_path}/cache"]
    named = re.compile(r"^(benchmarks/.+bench_descent\[.+\])$", re.MULTILINE)
    names = named.findall(run(*options)[1])
    assert len(names) > 30
    (tmp_path / "cache/v/cache").mkdir(parents=True, exist_ok=True)
    (tmp_path / "cache/v/cache/lastfailed").write_text(json.dumps({names[9]: True}))
    (tmp_path / "cache/v/cache/nodeids").write_text(json.dumps(names[:20]))
    several = (["--nf"], ["-p", "shuffle_tryfirst"], ["-p", "shuffle_trylast", "--ff"])
    for code, out in together(*([*options, *more] for more in several), PYTHONPATH=str(tmp_path)):
        assert code == 0 and named.findall(out) == names


OTHERS = ("--forked", "--cov", "--reruns")  # of plugins that are not installed here


REFUSED = [  # arguments, what a line of error says
    (["-n", "2", "."], "-n"),
    (
        ["benchmarks", "--benchmark-timer=time.process_time"],
        "--benchmark-timer: the processes of this suite read their own clocks",
    ),
    (["benchmarks", "--benchmark-min-rounds=100"], "--benchmark-min-rounds: a case has 3 to 50 rounds"),
    (["benchmarks", "--benchmark-warmup=on"], "--benchmark-warmup: a case has run before its first round"),
    (["benchmarks", "--tx", "2*popen", "--dist", "load"], "--dist: "),
    *((["benchmarks", "-p", "tests.support.other_options", word], f"{word}: ") for word in OTHERS),
    (["benchmarks", "--benchmark-compare=/none/x.json"], "--benchmark-compare=/none/x.json: no such file"),
    (["benchmarks", "--benchmark-histogram"], "pygal"),
    (["benchmarks", "--benchmark-compare-fail=mean:5%"], "--benchmark-compare"),
    (["benchmarks", "--benchmark-compare-fail=mean:5%", "--benchmark-compare=9999"], "9999"),
]


@pytest.fixture(scope="module")
def refused() -> list[tuple[int, str]]:
    return together(*([*words, *LINE] for words, _ in REFUSED))


def is_refused(code: int, out: str, option: str) -> bool:
    assert code == 4 and "passed" not in out
    return any(option in line for line in out.splitlines() if line.startswith("ERROR: "))


@pytest.mark.parametrize("i", range(len(REFUSED)), ids=[" ".join(words) for words, _ in REFUSED])
def test_what_cannot_be_measured_or_saved_is_said_first(i: int, refused: list[tuple[int, str]]) -> None:
    assert is_refused(*refused[i], REFUSED[i][1])


@pytest.mark.parametrize(
    ("where", "arguments", "option"),
    [
        (ROOT / "benchmarks", ["-n", "2", "."], "-n"),
        (ROOT / "tests", ["--pyargs", "benchmarks", "-n", "2"], "-n: "),
        (ROOT / "tests", ["--pyargs", "benchmarks.bench_descent", "-n", "2"], "-n: "),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_processes_side_by_side_are_refused_wherever_it_starts(where: Path, arguments: list[str], option: str) -> None:
    assert is_refused(*run(*arguments, *LINE, cwd=where), option)


def test_benchmarks_elsewhere_are_not_ours(tmp_path: Path) -> None:
    """Tests in a folder of that name may run side by side."""
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks" / "test_x.py").write_text("def test_x(): pass\n")
    folder, config = str(tmp_path / "benchmarks"), str(ROOT / "pyproject.toml")
    code, out = run("-n", "1", folder, "-c", config, "-p", "no:cacheprovider")
    assert code == 0 and "1 passed" in out


def measure(folder: Path, *options: str, to: str) -> subprocess.CompletedProcess[str]:
    """Run one case of `pytest benchmarks` in a shell, with redirections `to`."""
    words = [word for word in command(folder, *options) if word not in ("--benchmark-json", str(folder / "out.json"))]
    script = f'ulimit -f {LARGEST // 512}; exec "$@" {to}'
    arguments = ["sh", "-c", script, "sh", *words]
    return subprocess.run(arguments, capture_output=True, text=True, cwd=ROOT, env=environment(), timeout=600)


QUICK = ("-p", "tests.support.quicker")  # without the answer
LARGEST = 1 << 30  # bytes of a file in these tests


@pytest.mark.parametrize(
    ("to", "code", "says"),
    [
        ("> /dev/full", 3, "stdout cannot be written: No space left on device; the run is saved: python -m results"),
        (">&-", 0, "stdout is closed; the run is saved: python -m results answer"),
        ("<&- >&- 2>&-", 0, ""),
        ("> /dev/full 2> /dev/full", 3, ""),
    ],
)
def test_a_run_is_saved_where_stdout_takes_nothing(tmp_path: Path, to: str, code: int, says: str) -> None:
    done = measure(tmp_path, "--benchmark-save=x", *([] if says else QUICK), to=to)
    (path,) = tmp_path.rglob("0001_x.json")
    rows = json.loads(path.read_text())["benchmarks"]
    assert (done.returncode, len(rows)) == (code, 1), done.stderr
    lines = [line for line in done.stderr.splitlines() if line and " benchmark data in: " not in line]
    assert len(lines) == bool(says) and all(line.startswith(says) for line in lines), done.stderr


@pytest.mark.parametrize(("to", "why"), [("> /dev/full", "No space left on device"), (">&-", "stdout is closed")])
def test_nothing_is_measured_that_would_neither_be_shown_nor_saved(tmp_path: Path, to: str, why: str) -> None:
    done = measure(tmp_path, to=to)
    (line,) = filter(None, done.stderr.splitlines())
    assert done.returncode == 4 and why in line and line.endswith("add --benchmark-save=NAME")


def test_a_disk_that_fills_with_output_leaves_the_journal(tmp_path: Path) -> None:
    """The header fits, the answer does not. The run goes on, and --resume shows it."""
    with (tmp_path / "output").open("w") as output:
        output.truncate(LARGEST - 1200)
    done = measure(tmp_path, to=f">> {tmp_path / 'output'}")
    (line,) = filter(None, done.stderr.splitlines())
    assert done.returncode == 3 and line.startswith("stdout cannot be written: File too large; kept: 'unsaved', begun ")
    assert line.endswith("1 cases finished; --resume goes on with it")
    again = measure(tmp_path, "--resume", to="")
    assert again.returncode == 0 and "1 timed" in again.stdout and not list(tmp_path.rglob("*.journal"))


def test_a_reader_that_leaves_does_not_leave_the_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    done = measure(tmp_path, "--benchmark-save=x", to="| true")
    assert "Traceback" not in done.stderr and not list(tmp_path.glob("*.lock"))


PARTS = [  # cases of two blocks of two that are not selected, how many blocks are complete, which are not
    (["numpy_blocked-cpu-scalar-float32-1"], 1, [1]),
    (["numpy_blocked-cpu-scalar-float32-0"], 1, [0]),
    ([f"numpy_blocked-cpu-scalar-float32-{block}" for block in (0, 1)], 2, []),  # a smaller plan
    ([f"{impl}-cpu-scalar-float32-0" for impl in ("numpy_manual", "numpy_blocked")], 1, []),
]


@pytest.mark.parametrize(("absent", "blocks", "partial"), PARTS)
def test_a_block_without_a_case_of_the_others_is_none(absent: list[str], blocks: int, partial: list[int]) -> None:
    campaign = Campaign(Plan(["numpy_manual", "numpy_blocked"], ["cpu"], ["scalar"], ["float32"], 2, 0.1, 1, 0, 300.0))
    names = {str(case) for case in campaign.plan.cases()}
    assert names >= {*absent}
    campaign.select(names - {*absent})
    campaign.done = dict.fromkeys(campaign.selected.values(), Outcome(Status.TIMED))
    summary = campaign.summary()
    campaign.close()
    assert (summary["blocks"], summary["partial_blocks"]) == (blocks, partial)


def test_a_block_that_is_not_selected_in_full_is_none(tmp_path: Path) -> None:
    words = ["--impl", "numpy_manual,numpy_blocked", "--blocks", "2", "-k", "not (numpy_blocked and float32-1)"]
    (done,) = ended(command(tmp_path, *words))
    assert done.code == 0, done.out + done.err
    assert (done.json["campaign"]["blocks"], done.json["campaign"]["partial_blocks"]) == (1, [1])
