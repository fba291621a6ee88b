"""The command's options: what is wrong is said in one line, and what is asked for is in the saved file."""

import functools
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from helpers import HONEST, ROOT, Done, bench, command, environment, write

import impls
from benchmarks.machine import identity
from benchmarks.problems import catalogue

KEYS = {
    "impl": str,
    "framework": str,
    "version": str,
    "device": str,
    "dtype": str,
    "problem": str,
    "n": int,
    "d": int,
    "k": int,
    "batch": int,
    "steps": int,
    "lr": float,
    "block": int,
    "seed": int,
    "threads": int,
    "valid": bool,
    "reason": str,
    "error": float,
    "tolerance": float,
    "import_s": float,
    "prepare_s": float,
    "first_s": float,
    "steady_s": float,
    "fixed_s": float,
    "per_step_s": float,
    "cpu_over_wall": float,
    "rss_bytes": int,
    "problem_hash": str,
    "duplicate_of": str,
    "precision": str,
    "matmul_bits": int,
    "matvec_bits": int,
    "denormals": str,
    "blas": str,
    "pools": str,
    "affinity": str,
    "half_steps_ratio": float,
    "compiles": int,
    "gc_runs": int,
    "jit_cache": str,
    "runs_s": float,
    "iterates": str,
    "distances": str,
    "losses": str,
    "digest": str,
}
TOO_MANY = identity.cores() + 1

WRONG = [  # options, what the one line says
    (["--problem", "smal"], "no problem 'smal'; did you mean 'small'?"),
    (["--problem", "small@0"], "problem 'small@0'"),
    (["--problem", "small@"], "problem 'small@'"),
    (["--problem", "small@x"], "problem 'small@x'"),
    (["--problem", "small@-3"], "problem 'small@-3'"),
    (["--problem", "line,smal"], "no problem 'smal'"),
    (["--impl", "numpy_manul"], "no implementation 'numpy_manul'; did you mean 'numpy_manual'?"),
    (["--impl", "nowhere/mine.py"], "nowhere/mine.py"),
    (["--impl", "interface"], "no implementation 'interface'"),
    (["--device", "gpus"], "no device 'gpus'; did you mean 'gpu'?"),
    (["--device", "cpu,tpu"], "no device 'tpu'"),
    (["--preset", "quik"], "no preset 'quik'; did you mean 'quick'?"),
    (["--preset", ","], "preset"),
    (["--preset", "quick,full"], "preset"),
    (["--dtype", "float46"], "no dtype 'float46'; did you mean 'float64'?"),
    (["--impl", ","], "--impl"),
    (["--dtype", ","], "--dtype"),
    (["--device", ","], "--device"),
    (["--problem", ","], "--problem"),
    (["--grid", ""], "--grid ''"),
    (["--grid", "all,0"], "--grid '0': give `all`, the rows of a mini-batch such as 256, or both"),
    (["--threads", "two"], "--threads 'two': give a number"),
    (["--threads", "0"], "--threads must be between 1 and"),
    (["--threads", str(TOO_MANY)], f"not {TOO_MANY}"),
    (["--blocks", "0"], "--blocks must be between 1 and"),
    (["--blocks", "-1"], "--blocks must be between 1 and"),
    (["--blocks", "1001"], "--blocks must be between 1 and 1000"),
    (["--problem", ",".join(f"{n}x2" for n in range(1, 1002))], "--problem: 1,001 names; give 1,000 at most"),
    (["--minutes", "0"], "--minutes must be between 0.1 and"),
    (["--minutes", "nan"], "--minutes must be"),
    (["--precision", "tf23"], "no precision 'tf23'; did you mean 'tf32'?"),
    (["--precision", ""], "--precision ''"),
    (["--precision", "highest,tf32"], "the same on a CPU, which has no TF32; add --device gpu"),
    (["--precision", "highest,tf32", "--device", "gpu", "--dtype", "float64"], "add --dtype float32"),
    (["--precision", "highest,tf32", "--python", "here"], "compare along one axis at a time"),
    (["--aa", "jax_scan"], "--aa 'jax_scan': name some that run, or none (running: numpy_manual)"),
    (["--problem", "0x10"], "problem '0x10': rows and features must be at least 1"),
    (["--problem", "100000000x1000"], "more than 1e+09 numbers"),
    (["--timeout", "0"], "--timeout must be"),
    (["--timeout", "-1"], "--timeout must be"),
    (["--timeout", "nan"], "--timeout must be"),
    (["--seed", "-1"], "--seed"),
    (["--machine", "a/b"], "machine 'a/b'"),
    (["--machine", "../up"], "machine '../up'"),
    (["--machine", ".hidden"], "machine '.hidden'"),
    (["--machine", "box."], "no '.' at the end"),
    (["--machine", "b\u043ex"], "machine 'b\u043ex'"),  # a Cyrillic letter
    (["--machine", "Aux.b"], "Windows has a device of that name"),
    (["--benchmark-save", ".."], "--benchmark-save '..'"),
    (["--benchmark-save", "a b"], "--benchmark-save 'a b'"),
    (["--benchmark-save", "x" * 65], "at most 64"),
    (["--benchmark-save", "com1"], "Windows has a device of that name"),
    (
        ["--impl", "impls/numpy_manual.py,numpy_manual"],
        "two implementations are called 'numpy_manual'; rename one file",
    ),
    (["-n", "2"], "ERROR: -n: "),  # with pytest-xdist, cases would be timed side by side
]
NO_NUMBERS = [["--blocks", "1.5"], ["--lr", "fast"], ["--timeout", "soon"], ["--seed", "x"]]


@functools.cache
def ran(*options: str) -> Done:
    """One run of the command a set of options; the tests share it."""
    with tempfile.TemporaryDirectory() as folder:
        return bench(Path(folder), *options)


EACH = """
import contextlib, io, json, sys
import pytest

for words in json.load(sys.stdin):
    err = io.StringIO()
    with contextlib.redirect_stderr(err), contextlib.redirect_stdout(io.StringIO()):
        code = pytest.main(words)
    print(json.dumps([int(code), err.getvalue()]))
"""


def ended(*several: list[str]) -> list[Done]:
    """How the command ends with each of several options, all in one process: starting it is most of the time."""
    with tempfile.TemporaryDirectory() as folder:
        words = [command(Path(folder), *options)[3:] for options in several]
        done = subprocess.run(
            [sys.executable, "-c", EACH],
            input=json.dumps(words), cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=600,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [Done(code, "", err) for code, err in map(json.loads, done.stdout.splitlines())]


@pytest.fixture(scope="module")
def refusals() -> list[Done]:
    return ended(*(options for options, _ in WRONG))


def errors(done: Done) -> list[str]:
    return [line for line in done.err.splitlines() if line.strip()]


@pytest.mark.parametrize("i", range(len(WRONG)), ids=[" ".join(options) for options, _ in WRONG])
def test_wrong_option_is_one_line_and_exit_code_4(i: int, refusals: list[Done]) -> None:
    done, (_, says) = refusals[i], WRONG[i]
    assert done.code == 4
    assert len(errors(done)) == 1, done.err
    assert errors(done)[0].startswith("ERROR: ")
    assert says in done.err


def test_wrong_option_in_a_process_of_its_own(tmp_path: Path) -> None:
    done = bench(tmp_path, "--problem", "smal")
    assert (done.code, done.json) == (4, {})
    assert len(errors(done)) == 1
    assert errors(done)[0].startswith("ERROR: no problem 'smal'; did you mean 'small'?")


def test_option_that_is_not_a_number_is_exit_code_4() -> None:
    for options, done in zip(NO_NUMBERS, ended(*NO_NUMBERS), strict=True):
        assert done.code == 4
        assert f"argument {options[0]}" in done.err
        assert "Traceback" not in done.err


def test_lr_at_which_it_diverges_is_refused(tmp_path: Path) -> None:
    done = bench(tmp_path, "--lr", "3")
    assert done.code == 1
    assert done.rows == []
    assert "diverges: lr must be below 0.133" in done.out  # 2/L: L = 2 (1 + 4 + 9 + 16) / 4 = 15
    assert "Traceback" not in done.out


def test_lr_that_is_none_is_refused(tmp_path: Path) -> None:
    done = bench(tmp_path, "--lr", "nan")
    assert done.code in (1, 4)
    assert "lr must be a finite positive" in done.out + done.err
    assert "Traceback" not in done.out + done.err
    assert done.rows == []


@pytest.mark.parametrize("lr", [float("nan"), float("inf"), 0.0, -1.0, 0.1334, 1e300])
@pytest.mark.parametrize("name", ["scalar", "scalar@2"])
def test_lr_that_no_descent_survives(name: str, lr: float) -> None:
    with pytest.raises(ValueError, match=r"diverges: lr must be below|lr must be a finite positive"):
        catalogue.build(name, lr=lr)


def test_lr_just_below_is_run_and_recorded() -> None:
    assert [row["lr"] for row in ran("--lr", "0.133").rows] == [0.133]


def test_mini_batch_of_more_rows_than_there_are_is_refused(tmp_path: Path) -> None:
    done = bench(tmp_path, "--problem", "scalar@5,scalar@4")
    assert done.code == 1
    assert done.reasons("numpy_manual") == {
        ("scalar@5", "float32"): "problem 'scalar@5': it has 4 rows, fewer than a mini-batch of 5"
    }
    assert [(row["problem"], row["batch"]) for row in done.rows] == [("scalar@4", 4)]


def test_gpu_that_is_not_there_is_skipped_and_told() -> None:
    done = ran("--device", "cpu,gpu")  # NumPy has none anywhere
    assert done.code == 0
    assert [row["device"] for row in done.rows] == ["cpu"]
    reason = "NumPy runs on the cpu only"
    assert done.json["campaign"]["skipped"] == [{"impl": "numpy_manual", "device": "gpu", "reason": reason}]
    assert done.refused == []
    table = done.out.split(" implementations ")[1]
    assert any(line.startswith("numpy_manual  gpu") and reason in line for line in table.splitlines())


def test_require_makes_a_skip_an_error(tmp_path: Path) -> None:
    done = bench(tmp_path, "--device", "gpu", "--require")
    assert done.code == 1
    assert "NumPy runs on the cpu only" in done.out
    assert "Traceback" not in done.out
    assert "During handling of the above exception" not in done.out


def test_all_skipped_is_no_failure_but_nothing_is_saved(tmp_path: Path) -> None:
    done = bench(tmp_path, "--device", "gpu")
    assert done.code == 0
    assert done.rows == []
    assert "1 skipped: NumPy runs on the cpu only" in done.out


def test_framework_that_is_not_installed_is_skipped(tmp_path: Path) -> None:
    path = write(tmp_path, "mine", "import a_framework_that_nobody_has\n")
    done = bench(tmp_path, "--impl", f"{path},numpy_manual", "--problem", "line,scalar")
    assert done.code == 0
    reason = "a_framework_that_nobody_has is not installed"
    assert done.json["campaign"]["skipped"] == [{"impl": "mine", "device": "cpu", "reason": reason}]
    assert done.timed("numpy_manual") == {("line", "float32"), ("scalar", "float32")}


def test_blocks_are_rows_of_their_own() -> None:
    done = ran("--blocks", "2", "--problem", "line,scalar")
    assert sorted((row["problem"], row["block"]) for row in done.rows) == [
        ("line", 0), ("line", 1), ("scalar", 0), ("scalar", 1)
    ]  # fmt: skip
    assert done.json["campaign"]["blocks"] == 2
    assert len({row["problem_hash"] for row in done.rows}) == 2
    assert len({row["import_s"] for row in done.rows}) == 2, "a process each"


def test_seed_changes_the_problems_that_are_random() -> None:
    def hashes(*options: str) -> dict[str, str]:
        return {row["problem"]: row["problem_hash"] for row in ran("--problem", "line,line@4,scalar", *options).rows}

    first, other = hashes("--seed", "1"), hashes("--seed", "2")
    assert all(first[name] != other[name] for name in ("line", "line@4"))
    assert first["scalar"] == other["scalar"]  # four given points
    assert len(set(first.values())) == 3


@pytest.mark.measures
def test_facts_of_a_row_are_flat_plain_values() -> None:
    done = ran("--problem", "line,small@32,crops", "--threads", "1", "--seed", "3", "--dtype", "float32,float64")
    assert len(done.rows) == 6
    for row in done.rows:
        assert {name: type(row[name]) for name in KEYS} == KEYS
        assert all(type(value) in (str, int, float, bool) for value in row.values())
        assert (row["threads"], row["seed"], row["block"], row["device"]) == (1, 3, 0, "cpu")
        assert (row["impl"], row["framework"], row["valid"], row["reason"]) == ("numpy_manual", "numpy", True, "")
        assert 0 <= row["error"] <= row["tolerance"]
        assert all(row[name] > 0 for name in ("import_s", "prepare_s", "first_s", "steady_s", "fixed_s", "rss_bytes"))
        assert 0 < row["per_step_s"] == pytest.approx((row["steady_s"] - row["fixed_s"]) / row["steps"], rel=0.2)
    shapes = {row["problem"]: (row["n"], row["d"], row["k"], row["batch"]) for row in done.rows}
    assert shapes == {"line": (100, 2, 1, 100), "small@32": (1000, 10, 1, 32), "crops": (5, 4, 2, 5)}
    assert done.json["campaign"]["threads"] == 1


def test_threads_are_set_before_the_framework_is_imported(tmp_path: Path) -> None:
    text = "import os\nTHREADS = os.environ['OMP_NUM_THREADS'], len(os.sched_getaffinity(0))\n" + HONEST.replace(
        "def prepare(problem, device):", "def prepare(problem, device):\n    assert THREADS == ('1', 1), THREADS"
    )
    done = bench(tmp_path, "--impl", write(tmp_path, "mine", text), "--threads", "1")
    assert done.code == 0, done.out


def test_raw_rounds_are_saved() -> None:
    for row in ran("--blocks", "2", "--problem", "line,scalar").json["benchmarks"]:
        stats = row["stats"]
        assert len(stats["data"]) == stats["rounds"] >= 3
        assert all(seconds > 0 for seconds in stats["data"])
        assert stats["median"] == pytest.approx(row["extra_info"]["steady_s"], rel=1e-6)


PRIVATE = """
import platform, socket
platform.node = socket.gethostname = socket.getfqdn = lambda *args: "zanzibar-host-3f"
"""


def test_names_of_the_host_and_of_an_implementations_folder_are_not_in_the_file(tmp_path: Path) -> None:
    write(tmp_path, "private", PRIVATE)
    (folder := tmp_path / "zanzibar").mkdir()
    options = ["-p", "private", f"--machine={identity.slug()}", "--impl", write(folder, "mine", HONEST)]
    done = bench(tmp_path, *options, env={"PYTHONPATH": str(tmp_path), "HOSTNAME": "zanzibar-host-3f"})
    assert [row["impl"] for row in done.rows] == ["mine"]
    assert done.json["machine_info"]["node"] == identity.slug() == done.json["campaign"]["machine"]
    assert "zanzibar" not in json.dumps(done.json)
    named = ran("--lr", "0.133")
    assert named.json["machine_info"]["node"] == named.json["campaign"]["machine"] == "test"


STANDARD = ("--benchmark-storage=file://./.benchmarks", "--problem", "scalar")  # as without the option


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The house in another place, with two saved runs, so that this one stays as it is."""
    house = tmp_path_factory.mktemp("copy") / "house"
    house.mkdir()
    unneeded = shutil.ignore_patterns("__pycache__", "runs", "report", "gallery")
    for name in ("impls", "benchmarks", "results"):
        shutil.copytree(ROOT / name, house / name, ignore=unneeded)
    for name in ("conftest.py", "pyproject.toml"):
        shutil.copy(ROOT / name, house)
    for name in ("first", "second"):
        done = bench(house, "--benchmark-save", name, *STANDARD, cwd=house)
        assert done.code == 0, done.out
    return house


def test_runs_are_saved_by_machine(copy: Path) -> None:
    files = sorted(path.name for path in (copy / "results/runs/test").rglob("*.json"))
    assert [name.replace(".", "_").split("_")[:2] for name in files] == [["0001", "first"], ["0002", "second"]]
    assert not (copy / ".benchmarks").exists()


def test_runs_are_saved_under_the_machines_slug_without_a_name(copy: Path, tmp_path: Path) -> None:
    words = [
        sys.executable,
        "-m",
        "pytest",
        "benchmarks",
        "-p",
        "no:cacheprovider",
        "--impl",
        "numpy_manual",
        "--problem",
        "scalar",
    ]
    done = subprocess.run(
        [*words, "--preset=quick", "--aa=none", "--benchmark-autosave", "--no-limits"],
        cwd=copy,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout
    (file,) = (copy / "results/runs" / identity.slug()).rglob("*.json")
    row = json.loads(file.read_text())["benchmarks"][0]
    assert row["stats"]["data"]


def test_options_of_pytest_benchmark_hold(tmp_path: Path) -> None:
    storage = f"--benchmark-storage=file://{tmp_path / 'store'}"
    done = bench(tmp_path, "--benchmark-only", "--benchmark-group-by=param:case", "--benchmark-save", "here", storage)
    assert done.code == 0, done.out
    assert len(done.rows) == 1
    assert len(list((tmp_path / "store").rglob("*_here.json"))) == 1
    assert list((tmp_path / "store").glob("*.journal")) == [], "it has ended"


def test_compare_with_a_saved_run(copy: Path) -> None:
    done = bench(
        copy, *STANDARD, "--rounds-table", "--benchmark-compare=0001", "--benchmark-compare-fail=min:100000%", cwd=copy
    )
    assert done.code == 0, done.out
    assert "(0001_first" in done.out and "(NOW)" in done.out
    assert "Warning" not in done.out + done.err


def test_compare_fail_fails_and_a_run_that_is_not_saved_leaves_no_folder(copy: Path, tmp_path: Path) -> None:
    (file,) = (copy / "results/runs/test").rglob("0001_*.json")
    fast = json.loads(file.read_text())
    for row in fast["benchmarks"]:
        row["stats"]["min"] = 1e-12
    (tmp_path / "fast.json").write_text(json.dumps(fast))
    options = [f"--benchmark-compare={tmp_path / 'fast.json'}", "--benchmark-compare-fail=min:100%"]
    done = bench(copy, "--machine", "unsaved", *STANDARD, *options, cwd=copy)
    assert done.code != 0 and not (copy / "results/runs/unsaved").exists()
    assert "Performance has regressed" in done.out + done.err


def test_pytest_benchmark_compares_the_saved_files(copy: Path) -> None:
    words = [
        sys.executable,
        "-m",
        "pytest_benchmark",
        "--storage",
        "results/runs/test",
        "compare",
        "--group-by=param:case",
        "--columns=median",
    ]
    done = subprocess.run(words, cwd=copy, env=environment(), capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("numpy_manual-cpu-scalar-float32-0") >= 2


def test_benchmark_disable_checks_and_times_nothing(tmp_path: Path) -> None:
    wrong = write(tmp_path, "wrong", HONEST.replace("2 * lr", "2.1 * lr"))
    done = bench(tmp_path, "--benchmark-disable", "--impl", f"numpy_manual,{wrong}")
    assert (done.code, done.rows) == (1, []) and "1 failed, 1 passed" in done.out
    assert "the gradient is 1.05 times the reference" in done.out


def test_benchmark_skip_skips(tmp_path: Path) -> None:
    done = bench(tmp_path, "--benchmark-skip")
    assert (done.code, done.json) == (0, {})
    assert "1 skipped" in done.out


def test_collect_only_lists_the_cases(tmp_path: Path) -> None:
    done = bench(
        tmp_path,
        "--collect-only",
        "-q",
        "--impl",
        ",".join(impls.names()),
        "--problem",
        "line,small@32",
        "--blocks",
        "2",
    )
    assert done.code == 0
    cases = [line for line in done.out.splitlines() if "bench_descent[" in line]
    assert len(cases) == len(set(cases)) == len(impls.names()) * 2 * 2
    assert "benchmarks/bench_descent.py::bench_descent[numpy_manual-cpu-small@32-float32-1]" in cases
    assert done.json == {}


def test_k_selects_cases(tmp_path: Path) -> None:
    done = bench(tmp_path, "--problem", "line,scalar", "-k", "scalar")
    assert done.code == 0
    assert [row["problem"] for row in done.rows] == ["scalar"]
    assert done.json["campaign"]["interrupted"] is False, "what was not selected has not been interrupted"


@pytest.mark.parametrize("preset", ["quick", "default", "full"])
def test_presets_problems_are_in_the_catalogue(preset: str) -> None:
    from benchmarks.campaign.plan import PRESETS

    for problem in PRESETS[preset].problems:
        assert catalogue.parse(problem)[0] in catalogue.CATALOGUE


ONLY_NUMPY = """
import sys

def pytest_unconfigure(config):
    loaded = {"torch", "jax", "tensorflow", "sklearn"} & set(sys.modules)
    print("frameworks here:", sorted(loaded))
"""


def test_pytests_own_process_has_no_framework(tmp_path: Path) -> None:
    write(tmp_path, "only_numpy", ONLY_NUMPY)
    done = bench(tmp_path, "-p", "only_numpy", "--impl", "torch_manual", env={"PYTHONPATH": str(tmp_path)})
    assert done.code == 0, done.out
    assert [row["impl"] for row in done.rows] == ["torch_manual"]
    assert "frameworks here: []" in done.out


def test_another_folder_to_start_from(tmp_path: Path) -> None:
    """Paths are those of the folder where the command is given."""
    write(tmp_path, "mine", HONEST)
    words = [
        sys.executable,
        "-m",
        "pytest",
        str(ROOT / "benchmarks"),
        "-p",
        "no:cacheprovider",
        "--impl=mine.py",
        "--problem=scalar",
    ]
    more = [
        "--preset=quick",
        "--aa=none",
        "--no-limits",
        f"--benchmark-storage=file://{tmp_path}",
        f"--benchmark-json={tmp_path / 'out.json'}",
    ]
    done = subprocess.run([*words, *more], cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [row["extra_info"]["impl"] for row in json.loads((tmp_path / "out.json").read_text())["benchmarks"]] == [
        "mine"
    ]
