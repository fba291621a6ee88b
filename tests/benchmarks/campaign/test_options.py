"""The command's options: what is wrong is said in one line, and what is asked for is in the saved file."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import HONEST, ROOT, Done, bench, command, ended, environment, write

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
    (["--steps", "1000001"], "--steps must be between 1 and 1000000, not 1000001"),
    (["--benchmark-json", "/no/such/x.json"], "there is no folder /no/such; make it first"),
    (["--problem", ",".join(f"{n}x2" for n in range(1, 1002))], "--problem: 1,001 names; give 1,000 at most"),
    (["--minutes", "0"], "--minutes must be between 0.1 and"),
    (["--minutes", "nan"], "--minutes must be"),
    (["--precision", "tf23"], "no precision 'tf23'; did you mean 'tf32'?"),
    (["--precision", ""], "--precision ''"),
    (["--precision", "highest,tf32"], "the same on a CPU, which has no TF32; add --device gpu"),
    (["--precision", "highest,tf32", "--device", "gpu", "--dtype", "float64"], "add --dtype float32"),
    (["--precision", "highest,tf32", "--python", "here"], "compare along one axis at a time"),
    (["--impl", "impls/numpy_manual.py@HEAD", "--threads", "1,2"], "compare along one axis at a time"),
    (["--aa", "jax_scan"], "--aa 'jax_scan': name some that run, or none (running: numpy_manual)"),
    (["--problem", "0x10"], "problem '0x10': rows and features must be at least 1"),
    (["--problem", "100000000x1000"], "more than 1e+09 numbers"),
    (["--problem", "small@1001"], "problem 'small@1001': it has 1000 rows, fewer than a mini-batch of 1001"),
    (["--problem", "line,100x2@101"], "it has 100 rows, fewer than a mini-batch of 101"),
    *[(["--lr", rate], f"--lr must be between 1e-100 and 1e+100, not {rate}") for rate in ("0", "-1", "nan", "inf")],
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


MAIN = ["--impl", "numpy_manual,F/absent.py,F/threads.py", "--device", "cpu,gpu", "--problem", "line,scalar"]
MAIN += ["--seed", "1", "--threads", "1"]
RUNS = {  # what follows in the same process, by what it shows
    "blocks": ["--blocks", "2", "--problem", "line,scalar"],
    "diverges": ["--lr", "3"],
    "just below": ["--lr", "0.133"],
    "selected": ["--problem", "line,scalar@5,scalar@4", "-k", "scalar"],
    "skipped": ["--device", "gpu"],
    "required": ["--device", "gpu", "--require"],
    "off": ["--benchmark-skip"],
    "disabled": ["--benchmark-disable", "--impl", "numpy_manual,F/wrong.py"],
    "listed": ["--collect-only", "-q", "--impl", ",".join(impls.names()), "--problem", "line,small@32", "--blocks=2"],
}
THREADS = "import os\nTHREADS = os.environ['OMP_NUM_THREADS'], len(os.sched_getaffinity(0))\n" + HONEST.replace(
    "def prepare(problem, device):", "def prepare(problem, device):\n    assert THREADS == ('1', 1), THREADS"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The implementations of these runs."""
    folder = tmp_path_factory.mktemp("options")
    write(folder, "absent", "import a_framework_that_nobody_has\n")
    write(folder, "threads", THREADS)
    write(folder, "wrong", HONEST.replace("2 * lr", "2.1 * lr"))
    return folder


def in_folder(folder: Path, options: list[str]) -> list[str]:
    return [re.sub(r"\bF/", f"{folder}/", word) for word in options]


@pytest.fixture(scope="module")
def done(folder: Path) -> Done:
    """The command in a process of its own."""
    done = bench(folder, *in_folder(folder, MAIN))
    assert done.code == 0, done.out + done.err
    return done


@pytest.fixture(scope="module")
def ends(folder: Path) -> dict[str, Done]:
    commands = []
    for name, options in RUNS.items():
        (folder / name).mkdir()
        commands.append(command(folder / name, *in_folder(folder, options)))
    return dict(zip(RUNS, ended(*commands), strict=True))


@pytest.fixture(scope="module")
def refusals(folder: Path) -> list[Done]:
    (folder / "refused").mkdir()
    return ended(*(command(folder / "refused", *options) for options in [*(words for words, _ in WRONG), *NO_NUMBERS]))


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


def test_option_that_is_not_a_number_is_exit_code_4(refusals: list[Done]) -> None:
    for options, done in zip(NO_NUMBERS, refusals[len(WRONG) :], strict=True):
        assert done.code == 4
        assert f"argument {options[0]}" in done.err
        assert "Traceback" not in done.err


def test_lr_at_which_it_diverges_is_refused(ends: dict[str, Done]) -> None:
    done = ends["diverges"]
    assert done.code == 1
    assert done.rows == []
    assert "diverges: lr must be below 0.133" in done.out  # 2/L: L = 2 (1 + 4 + 9 + 16) / 4 = 15
    assert "Traceback" not in done.out


@pytest.mark.parametrize("lr", [float("nan"), float("inf"), 0.0, -1.0, 0.1334, 1e300])
@pytest.mark.parametrize("name", ["scalar", "scalar@2"])
def test_lr_that_no_descent_survives(name: str, lr: float) -> None:
    with pytest.raises(ValueError, match=r"diverges: lr must be below|lr must be a finite positive"):
        catalogue.build(name, lr=lr)


def test_lr_just_below_is_run_and_recorded(ends: dict[str, Done]) -> None:
    assert [row["lr"] for row in ends["just below"].rows] == [0.133]


def test_mini_batch_of_more_rows_than_there_are_is_refused(ends: dict[str, Done]) -> None:
    done = ends["selected"]
    assert done.code == 1
    assert done.reasons("numpy_manual") == {
        ("scalar@5", "float32"): "problem 'scalar@5': it has 4 rows, fewer than a mini-batch of 5"
    }
    assert [(row["problem"], row["batch"]) for row in done.rows] == [("scalar@4", 4)]


def test_k_selects_cases(ends: dict[str, Done]) -> None:
    assert {row["problem"] for row in [*ends["selected"].rows, *ends["selected"].refused]} == {"scalar@5", "scalar@4"}
    assert ends["selected"].json["campaign"]["interrupted"] is False, "what was not selected has not been interrupted"


def test_gpu_that_is_not_there_is_skipped_and_told(done: Done) -> None:
    assert [row["device"] for row in done.rows if row["impl"] == "numpy_manual"] == ["cpu", "cpu"]
    reason = "NumPy runs on the cpu only"  # it has no gpu anywhere
    assert {"impl": "numpy_manual", "device": "gpu", "reason": reason} in done.json["campaign"]["skipped"]
    assert done.reasons("numpy_manual") == {}
    table = done.out.split(" implementations ")[1]
    assert any(line.startswith("numpy_manual  gpu") and reason in line for line in table.splitlines())


def test_require_makes_a_skip_an_error(ends: dict[str, Done]) -> None:
    done = ends["required"]
    assert done.code == 1
    assert "NumPy runs on the cpu only" in done.out
    assert "Traceback" not in done.out
    assert "During handling of the above exception" not in done.out


def test_all_skipped_is_no_failure_but_nothing_is_saved(ends: dict[str, Done]) -> None:
    done = ends["skipped"]
    assert done.code == 0
    assert done.rows == []
    assert "1 skipped: NumPy runs on the cpu only" in done.out


def test_framework_that_is_not_installed_is_skipped(done: Done) -> None:
    reason = "a_framework_that_nobody_has is not installed"
    assert {"impl": "absent", "device": "cpu", "reason": reason} in done.json["campaign"]["skipped"]
    assert done.timed("numpy_manual") == {("line", "float32"), ("scalar", "float32")}


def test_blocks_are_rows_of_their_own(ends: dict[str, Done]) -> None:
    done = ends["blocks"]
    assert sorted((row["problem"], row["block"]) for row in done.rows) == [
        ("line", 0), ("line", 1), ("scalar", 0), ("scalar", 1)
    ]  # fmt: skip
    assert done.json["campaign"]["blocks"] == 2
    assert len({row["problem_hash"] for row in done.rows}) == 2
    assert len({row["import_s"] for row in done.rows}) == 2, "a process each"


def test_seed_changes_the_problems_that_are_random(done: Done, ends: dict[str, Done]) -> None:
    one, zero = ({row["problem"]: row["problem_hash"] for row in run.rows} for run in (done, ends["blocks"]))
    assert ({row["seed"] for row in done.rows}, {row["seed"] for row in ends["blocks"].rows}) == ({1}, {0})
    assert one["line"] != zero["line"]
    assert one["scalar"] == zero["scalar"]  # four given points
    order, other = (catalogue.build("line@4", seed=seed)[0].order for seed in (0, 1))
    assert order is not None and other is not None and (order != other).any()


@pytest.mark.measures
def test_facts_of_a_row_are_flat_plain_values(tmp_path: Path) -> None:
    options = ["--problem", "line,small@32,crops", "--threads", "1", "--seed", "3", "--dtype", "float32,float64"]
    done = bench(tmp_path, *options)
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


def test_threads_are_set_before_the_framework_is_imported(done: Done) -> None:
    assert done.reasons("threads") == {}
    assert ("scalar", "float32") in done.timed("threads")


def test_raw_rounds_are_saved(ends: dict[str, Done]) -> None:
    for row in ends["blocks"].json["benchmarks"]:
        stats = row["stats"]
        assert len(stats["data"]) == stats["rounds"] >= 3
        assert all(seconds > 0 for seconds in stats["data"])
        assert stats["median"] == pytest.approx(row["extra_info"]["steady_s"], rel=1e-6)


PRIVATE = """
import platform, socket, sys

platform.node = socket.gethostname = socket.getfqdn = lambda *args: "zanzibar-host-3f"

def pytest_unconfigure(config):
    loaded = {"torch", "jax", "tensorflow", "sklearn"} & set(sys.modules)
    print("frameworks here:", sorted(loaded))
"""


@pytest.fixture(scope="module")
def private(tmp_path_factory: pytest.TempPathFactory) -> Done:
    """A run on a machine of another name, with a file in a folder of that name and with a framework."""
    place = tmp_path_factory.mktemp("private")
    write(place, "private", PRIVATE)
    (place / "zanzibar").mkdir()
    options = [f"--machine={identity.slug()}", "--impl", f"jax_jit,{write(place / 'zanzibar', 'mine', HONEST)}"]
    done = bench(place, "-p", "private", *options, env={"PYTHONPATH": str(place), "HOSTNAME": "zanzibar-host-3f"})
    assert done.code == 0, done.out
    assert {row["impl"] for row in done.rows} == {"jax_jit", "mine"}
    return done


def test_names_of_the_host_and_of_an_implementations_folder_are_not_in_the_file(private: Done, done: Done) -> None:
    assert private.json["machine_info"]["node"] == identity.slug() == private.json["campaign"]["machine"]
    assert "zanzibar" not in json.dumps(private.json)
    assert done.json["machine_info"]["node"] == done.json["campaign"]["machine"] == "test"


def test_pytests_own_process_has_no_framework(private: Done) -> None:
    assert "frameworks here: []" in private.out


QUICKER = {"PYTHONPATH": str(ROOT / "tests" / "support")}
STANDARD = ("-p", "quicker", "--benchmark-storage=file://./.benchmarks", "--problem", "scalar")  # as without the option
COMPARED = ("--rounds-table", "--benchmark-compare=0001", "--benchmark-compare-fail=min:100000%")


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The house in another place, with two saved runs, so that this one stays as it is."""
    house = tmp_path_factory.mktemp("copy") / "house"
    house.mkdir()
    unneeded = shutil.ignore_patterns("*.pyc.*", "runs", "report", "gallery")  # the first: files that are being written
    for name in ("impls", "benchmarks", "results"):
        shutil.copytree(ROOT / name, house / name, ignore=unneeded)
    for name in ("conftest.py", "pyproject.toml"):
        shutil.copy(ROOT / name, house)
    for name, options in (("first", []), ("second", COMPARED)):
        done = bench(house, "--benchmark-save", name, *STANDARD, *options, cwd=house, env=QUICKER)
        assert done.code == 0, done.out
    (house / "said").write_text(done.out + done.err)
    return house


def test_runs_are_saved_by_machine(copy: Path) -> None:
    files = sorted(path.name for path in (copy / "results/runs/test").rglob("*.json"))
    assert [name.replace(".", "_").split("_")[:2] for name in files] == [["0001", "first"], ["0002", "second"]]
    assert not (copy / ".benchmarks").exists()


def test_runs_are_saved_under_the_machines_slug_without_a_name(copy: Path, tmp_path: Path) -> None:
    words = [sys.executable, "-m", "pytest", "benchmarks", "-p", "no:cacheprovider", "-p", "quicker"]
    options = ["--impl", "numpy_manual", "--problem", "scalar", "--preset=quick", "--aa=none", "--no-limits"]
    done = subprocess.run(
        [*words, *options, "--benchmark-autosave"],
        cwd=copy,
        env=environment(**QUICKER),
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
    said = (copy / "said").read_text()
    assert "(0001_first" in said and "(NOW)" in said
    assert "Warning" not in said


def test_compare_fail_fails_and_a_run_that_is_not_saved_leaves_no_folder(copy: Path, tmp_path: Path) -> None:
    (file,) = (copy / "results/runs/test").rglob("0001_*.json")
    fast = json.loads(file.read_text())
    for row in fast["benchmarks"]:
        row["stats"]["min"] = 1e-12
    (tmp_path / "fast.json").write_text(json.dumps(fast))
    options = [f"--benchmark-compare={tmp_path / 'fast.json'}", "--benchmark-compare-fail=min:100%"]
    done = bench(copy, "--machine", "unsaved", *STANDARD, *options, cwd=copy, env=QUICKER)
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


def test_benchmark_disable_checks_and_times_nothing(ends: dict[str, Done]) -> None:
    done = ends["disabled"]
    assert (done.code, done.rows) == (1, []) and "1 failed, 1 passed" in done.out
    assert "the gradient is 1.05 times the reference" in done.out


def test_benchmark_skip_skips(ends: dict[str, Done]) -> None:
    assert (ends["off"].code, ends["off"].json) == (0, {})
    assert "1 skipped" in ends["off"].out


def test_collect_only_lists_the_cases(ends: dict[str, Done]) -> None:
    done = ends["listed"]
    assert done.code == 0
    cases = [line for line in done.out.splitlines() if "bench_descent[" in line]
    assert len(cases) == len(set(cases)) == len(impls.names()) * 2 * 2
    assert "benchmarks/bench_descent.py::bench_descent[numpy_manual-cpu-small@32-float32-1]" in cases
    assert done.json == {}


@pytest.mark.parametrize("preset", ["quick", "default", "full"])
def test_presets_problems_are_in_the_catalogue(preset: str) -> None:
    from benchmarks.campaign.plan import PRESETS

    for problem in PRESETS[preset].problems:
        assert catalogue.parse(problem)[0] in catalogue.CATALOGUE


def test_another_folder_to_start_from(tmp_path: Path) -> None:
    """Paths are those of the folder where the command is given."""
    write(tmp_path, "mine", HONEST)
    words = [sys.executable, "-m", "pytest", str(ROOT / "benchmarks"), "-p", "no:cacheprovider", "-p", "quicker"]
    options = ["--impl=mine.py", "--problem=scalar", "--preset=quick", "--aa=none", "--no-limits"]
    options += [f"--benchmark-storage=file://{tmp_path}", f"--benchmark-json={tmp_path / 'out.json'}"]
    env = environment(**QUICKER)
    done = subprocess.run([*words, *options], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [row["extra_info"]["impl"] for row in json.loads((tmp_path / "out.json").read_text())["benchmarks"]] == [
        "mine"
    ]
