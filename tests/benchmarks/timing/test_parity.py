"""Unequal conditions: through the real command, each ends as an invalid row or as none, with its reason in words."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from faulty import running, wait_until, written
from helpers import HONEST, MUTANTS, ROOT, Done, bench, command, environment, invalid, needs, one, python, saved, write

from benchmarks.machine import gpu as gpus
from benchmarks.timing import parity
from benchmarks.worker import probes
from results.__main__ import main as results

CASE = ("scalar", "float32")
TWO_CORES = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one core: no second thread to find")


BUSY_THREAD = """
import hashlib, os, threading

def work():
    os.sched_setaffinity(threading.get_native_id(), range(os.cpu_count()))
    while True:
        hashlib.sha256(bytes(4_000_000))  # without the lock of the interpreter

threading.Thread(target=work, daemon=True).start()
"""
WITH_A_THREAD = BUSY_THREAD + HONEST
MOVES = "import os\nos.sched_setaffinity(0, range(os.cpu_count()))\n" + HONEST
MORE_TORCH = """
import torch
from impls.torch_manual import prepare as honest

def prepare(problem, device):
    torch.set_num_threads(2)
    return honest(problem, device)
"""
MORE_BLAS = "import threadpoolctl\nkept = threadpoolctl.threadpool_limits(2)\n" + HONEST
REJITS = """
import jax
from impls._jax import fetch, mse, place, put

def prepare(problem, device):
    (X, y), lr = place(problem, device), problem.lr

    def run(start, steps, /):
        step = jax.jit(lambda w: w - lr * jax.grad(mse)(w, X, y))
        w = put(start, device)
        for _ in range(steps):
            w = step(w)
        return fetch(w)

    return run
"""
RECOMPILES = """
import torch
from impls._torch import fetch, place

def prepare(problem, device):
    X, y, lr = place(problem.X, device), place(problem.y, device), problem.lr

    def run(start, steps, /):
        torch.compiler.reset()

        @torch.compile(backend="eager")
        def step(w):
            residual = X @ w - y
            return w - (2 * lr / residual.numel()) * (X.T @ residual)

        w = place(start, device).clone()
        for _ in range(steps):
            w = step(w)
        return fetch(w.clone())

    return run
"""
COLLECTS = "import gc\n" + HONEST.replace("        return w\n", "        gc.collect()\n        return w\n")
COARSE = """
import numpy as np, torch
import impls._torch as shared
from impls.torch_manual import prepare

def cut(array):  # to the 10 bits of TF32
    mantissa, exponent = np.frexp(array)
    return np.ldexp(np.round(mantissa * 2**11) / 2**11, exponent).astype(array.dtype)

exact = shared.product
shared.product = lambda a, b, device: exact(cut(a), cut(b), device)
"""
JUMPS = (
    """
import itertools, random, time
time.time = time.monotonic = time.perf_counter = time.process_time = lambda: random.random() * 1e9
"""
    + HONEST
)
KNOWS = """
import numpy as np

def prepare(problem, device):
    X, y, lr = (np.asarray(a, np.longdouble) for a in (problem.X, problem.y, problem.lr))
    y = y.reshape(len(y), -1)
    H, c = 2 / y.size * X.T @ X, 2 / y.size * X.T @ y
    maps = [(np.eye(len(H), dtype=np.longdouble), np.zeros_like(c))]
    for t in range(problem.steps):  # a descent is affine in its start: all of it can be known beforehand
        M, b = maps[-1]
        maps.append((M - lr * H @ M, b - lr * (H @ b - c)))

    def run(start, steps, /):
        M, b = maps[steps]
        return (M @ start.reshape(len(start), -1) + b).reshape(start.shape).astype(start.dtype)

    return run
"""
FINISHES_LATER = """
import threading
import numpy as np
from impls.numpy_manual import prepare as honest

def prepare(problem, device):
    exact = honest(problem, device)

    def run(start, steps, /):
        w = start.copy()
        threading.Timer(0.02, lambda: np.copyto(w, exact(start, steps))).start()
        return w

    return run
"""
LAZY = """
import numpy as np
from impls.numpy_manual import prepare as honest

class Lazy(np.ndarray):
    def tolist(self):
        return self.compute().tolist()

def prepare(problem, device):
    exact = honest(problem, device)

    def run(start, steps, /):
        lazy = start.copy().view(Lazy)
        lazy.compute = lambda: exact(start, steps)
        return lazy

    return run
"""


def beside(tmp_path: Path, name: str, text: str, *options: str) -> dict[tuple[str, str], str]:
    """Why each of its cases has no time, when it runs beside an honest one, which has all of them."""
    done = bench(tmp_path, "--impl", f"{write(tmp_path, name, text)},numpy_manual", *options)
    assert done.code == 1, done.out + done.err
    assert done.timed(name) == set() and done.reasons("numpy_manual") == {}
    assert set(done.reasons(name)) == done.timed("numpy_manual")
    return done.reasons(name)


@pytest.fixture(scope="module")
def on_one_thread(tmp_path_factory: pytest.TempPathFactory) -> Done:
    """What uses more threads than the one that was asked for, in one run of the command."""
    folder = tmp_path_factory.mktemp("threads")
    texts = {"moves": MOVES, "torch_more": MORE_TORCH, "more_blas": MORE_BLAS}
    paths = [write(folder, name, text) for name, text in texts.items()]
    return bench(folder, "--impl", ",".join(paths), "--threads", "1")


@pytest.mark.measures
@TWO_CORES
@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("moves", r"it moved itself to the cores \[0, 1.*"),
        pytest.param("torch_more", r".*torch has 2 threads, 1 asked for.*", marks=needs("torch")),
        pytest.param("more_blas", r"openblas has 2 threads, 1 asked for", marks=needs("threadpoolctl")),
    ],
)
def test_more_threads_than_asked_for_are_noticed(on_one_thread: Done, name: str, says: str) -> None:
    """By the cores, by the framework's own count and by that of BLAS."""
    (entry,) = (entry for entry in on_one_thread.json["benchmarks"] if entry["extra_info"]["impl"] == name)
    assert on_one_thread.code == 1 and entry["name"].startswith("INVALID ")
    assert entry["extra_info"]["valid"] is False
    assert re.fullmatch(says, entry["extra_info"]["reason"])


@pytest.mark.measures
@TWO_CORES
def test_a_thread_of_its_own_is_noticed_by_the_cpu_time(tmp_path: Path) -> None:
    """In one of ten runs at least: there is a second CPU second a second only while nobody else has that core."""
    done = [one(tmp_path, "threaded", WITH_A_THREAD, "--threads", "1")]
    while done[-1].code == 0 and len(done) < 10:
        done.append(one(tmp_path, "threaded", WITH_A_THREAD, "--threads", "1"))
    assert re.fullmatch(r"[12]\.\d\d CPU seconds a second, 1 thread asked for", invalid(done[-1], "threaded"))


@needs("jax")
def test_compiling_in_every_run_is_noticed_in_jax(tmp_path: Path) -> None:
    done = one(tmp_path, "jax_again", REJITS, "--problem", "crops", "--steps", "50")
    assert re.match(r"something was compiled in timed runs \(compilations: \d+\)", invalid(done, "jax_again"))


@needs("torch")
def test_compiling_in_every_run_and_coarse_products_are_noticed_in_torch(tmp_path: Path) -> None:
    texts = {"torch_again": RECOMPILES, "torch_coarse": COARSE}
    paths = ",".join(write(tmp_path, name, text) for name, text in texts.items())
    done = bench(tmp_path, "--impl", f"{paths},torch_manual", "--steps", "100")
    assert done.code == 1, done.out + done.err
    bits = {row["impl"]: (row["matmul_bits"], row["matvec_bits"], row["valid"]) for row in done.rows}
    assert bits == {
        "torch_manual": (23, 23, True),
        "torch_again": (23, 23, False),
        "torch_coarse": (10, 10, False),
    }
    reasons = {row["impl"]: row["reason"] for row in done.rows}
    assert re.match(r"something was compiled in timed runs \(compilations: \d+\)", reasons["torch_again"])
    assert "a matmul keeps 10 bits of the mantissa, 23 asked for" in reasons["torch_coarse"]


@pytest.mark.measures
def test_garbage_collected_in_a_timed_run_is_noticed(tmp_path: Path) -> None:
    assert invalid(one(tmp_path, "collects", COLLECTS), "collects").startswith("garbage was collected in timed runs")


def test_tf32_is_allowed_where_it_is_asked_for(tmp_path: Path) -> None:
    """A NumPy that rounds as TF32 does, which test_mutants.py has refused elsewhere; the real thing needs a GPU."""
    path = str(MUTANTS / "numpy_tf32.py")
    coarse = bench(tmp_path, "--impl", path, "--precision", "tf32", "--problem", "line,small@100")
    assert (coarse.code, coarse.refused) == (0, [])
    assert {row["precision"] for row in coarse.rows} == {"tf32"}
    assert coarse.json["campaign"]["precision"] == "tf32"


@needs("torch")
@needs("jax")
def test_tf32_is_asked_of_torch_and_jax_alike() -> None:
    code = """
import os, sys
for precision in ("highest", "tf32"):
    os.environ["DESCENTBENCH_PRECISION"] = precision
    import impls._torch, impls._jax, torch, jax
    print(torch.get_float32_matmul_precision(), jax.config.jax_default_matmul_precision)
    for name in [name for name in sys.modules if name.partition(".")[0] == "impls"]:  # they ask when they are imported
        del sys.modules[name]
"""
    done = python(code, env={"JAX_PLATFORMS": "cpu"})
    assert done.out.splitlines() == ["highest highest", "high tensorfloat32"], done.err


@pytest.mark.measures
def test_an_answer_known_beforehand_takes_no_more_time_for_more_steps(tmp_path: Path) -> None:
    reasons = beside(tmp_path, "knows", KNOWS, "--problem", "scalar,line,crops,small,medium")
    assert set(reasons.values()) == {"more steps take no more time"}


@pytest.mark.measures
@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("later", FINISHES_LATER, "wrong weights after 1 update"),
        ("lazy", LAZY, "run returned a Lazy, not a NumPy array"),
    ],
)
def test_what_returns_before_it_is_done_has_no_time(tmp_path: Path, name: str, text: str, says: str) -> None:
    assert says in beside(tmp_path, name, text)[CASE]


@pytest.mark.measures
def test_clocks_that_jump_change_no_number(tmp_path: Path) -> None:
    """The worker's own clocks are steady ones, bound before an implementation is loaded."""
    paths = [write(tmp_path, "jumps", JUMPS), write(tmp_path, "honest", HONEST)]
    done = bench(tmp_path, "--impl", ",".join(paths))
    assert done.code == 0, done.out
    steps = {row["impl"]: row["per_step_s"] for row in done.rows}
    assert 0.2 < steps["jumps"] / steps["honest"] < 5


def test_no_source_measures_with_a_clock_that_can_be_set() -> None:
    for path in [*(ROOT / "benchmarks").rglob("*.py"), *(ROOT / "impls").glob("*.py"), ROOT / "conftest.py"]:
        assert not re.search(r"\btime\.time\(|CLOCK_REALTIME|datetime\.now|import time as", path.read_text()), path


def test_sigkill_in_the_middle_saves_no_number_and_leaves_no_process(tmp_path: Path) -> None:
    hangs = HONEST.replace(
        "        w = start", f"        import os, time; open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid()))\n"
        "        time.sleep(300)\n        w = start",
    )  # fmt: skip
    path = write(tmp_path, "hangs", hangs)
    process = subprocess.Popen(
        command(tmp_path, "--impl", path), cwd=ROOT, env=environment(TMPDIR=str(tmp_path)),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    pid = tmp_path / "pid"
    assert wait_until(lambda: written(pid))
    process.send_signal(signal.SIGKILL)
    assert process.wait(600) == -signal.SIGKILL
    assert saved(tmp_path / "out.json") == {}
    assert wait_until(lambda: not running(int(pid.read_text()))), "the worker outlived its parent"


def test_a_row_that_is_edited_by_hand_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = bench(tmp_path, "--problem", "scalar,line", "--benchmark-save=run")
    (path,) = (tmp_path / "storage").rglob("*_run.json")
    text = path.read_text()

    def reasons(edited: str) -> list[str]:
        path.write_text(edited)
        assert results(["export", str(path), "--format", "json"]) == 0
        return [row["reason"] for row in json.loads(capsys.readouterr().out)]

    assert done.code == 0 and reasons(text) == ["", ""]
    per_step = json.loads(text)["benchmarks"][0]["extra_info"]["per_step_s"]
    first = json.loads(text)["benchmarks"][0]["stats"]["data"][0]
    told = "edited by hand: its rounds or facts do not match their digest"
    assert reasons(text.replace(repr(per_step), repr(per_step / 2))) == [told, ""]
    assert reasons(text.replace(repr(first), repr(first / 2), 1))[0] == told
    facts = reasons(re.sub(r'"cores": \d+', '"cores": 99', text))
    assert all("the facts of the machine or the campaign do not match" in reason for reason in facts)


@pytest.fixture(scope="module")
def twice(tmp_path_factory: pytest.TempPathFactory) -> Done:
    """An implementation that runs twice in both blocks, where variables are set."""
    env = {"OMP_PROC_BIND": "false", "JAX_COMPILATION_CACHE_DIR": "/somewhere/private"}
    folder = tmp_path_factory.mktemp("twice")
    return bench(folder, "--impl", "numpy_manual", "--aa", "numpy_manual", "--blocks", "2", env=env)


def test_the_twin_runs_in_every_block_under_its_own_label(twice: Done) -> None:
    done = twice
    assert sorted((row["impl"], row["duplicate_of"], row["block"]) for row in done.rows) == [
        *(("numpy_manual", "", block) for block in range(2)),
        *(("numpy_manual-again", "numpy_manual", block) for block in range(2)),
    ]
    assert done.json["campaign"]["aa"] == "numpy_manual"
    assert [moment["block"] for moment in done.json["campaign"]["system_load"]] == [0, 1]
    assert all(moment["seconds"] > 0 for moment in done.json["campaign"]["system_load"])


def test_by_default_numpy_manual_runs_twice_or_else_the_first(tmp_path: Path) -> None:
    path = write(tmp_path, "honest", HONEST)
    for impls, twin in ((f"{path},numpy_manual", "numpy_manual-again"), (path, "honest-again")):
        words = [
            word for word in command(tmp_path, "--impl", impls, "--collect-only", "-q") if word not in ("--aa", "none")
        ]
        done = subprocess.run(words, cwd=ROOT, env=environment(), capture_output=True, text=True)
        assert done.returncode == 0, done.stdout
        assert f"bench_descent[{twin}-cpu-scalar-float32-0]" in done.stdout


@pytest.mark.measures
def test_minutes_are_filled_with_whole_blocks(tmp_path: Path) -> None:
    done = bench(tmp_path, "--problem", "scalar,line", "--minutes", "0.1")
    blocks = [row["block"] for row in done.rows]
    assert done.code == 0, done.out
    assert 2 <= max(blocks) + 1 < 40 and all(blocks.count(block) == 2 for block in range(max(blocks) + 1))
    campaign = done.json["campaign"]
    assert (campaign["planned"], campaign["blocks"]) == (len(blocks), max(blocks) + 1)
    assert campaign["wall_s"] < 7


def test_the_machine_and_the_moment_are_told(twice: Done) -> None:
    done, machine = twice, twice.json["machine_info"]
    assert {"isa", "physical_cores", "quota_cores", "governor", "turbo", "gpu_facts", "setup_hash"} <= set(machine)
    assert machine["env"]["OMP_PROC_BIND"] == "false"
    assert machine["env"]["JAX_COMPILATION_CACHE_DIR"] == "(a path)"
    assert "/somewhere/private" not in json.dumps(done.json)
    assert {name: machine["installed"][name] for name in ("numpy", "pytest")}.keys() == {"numpy", "pytest"}
    assert done.json["campaign"]["runs_s"] > 0
    assert set(done.json["campaign"]["system_load"][0]) == {
        "block",
        "seconds",
        "load_before",
        "load_after",
        "steal",
        "others",
        "throttled",
        "gpu_throttled",
    }


def nvml(**more: object) -> SimpleNamespace:
    """A library that speaks of one GPU."""

    class NVMLError(Exception):
        pass

    def refuse(gpu: object) -> None:
        raise NVMLError("not supported")

    asked = {
        "nvmlInit": lambda: None, "nvmlDeviceGetHandleByIndex": lambda number: "gpu 0",
        "nvmlDeviceGetName": lambda gpu: b"NVIDIA H200", "nvmlSystemGetDriverVersion": lambda: "575.1",
        "nvmlSystemGetCudaDriverVersion": lambda: 12090, "nvmlDeviceGetEnforcedPowerLimit": lambda gpu: 700_000,
        "nvmlDeviceGetMaxClockInfo": lambda gpu, which: {"sm": 1980, "memory": 3201}[which],
        "nvmlDeviceGetMemoryInfo": lambda gpu: SimpleNamespace(total=150_000_000_000),
        "nvmlDeviceGetPersistenceMode": refuse, "nvmlDeviceGetMigMode": lambda gpu: (0, 0),
        "nvmlDeviceGetCurrentClocksThrottleReasons": lambda gpu: 1 | 4 | 64,
        "nvmlClocksThrottleReasonGpuIdle": 1, "nvmlClocksThrottleReasonSwPowerCap": 4,
        "nvmlClocksThrottleReasonHwThermalSlowdown": 64, "nvmlClocksThrottleReasonHwSlowdown": 8,
        "NVML_CLOCK_SM": "sm", "NVML_CLOCK_MEM": "memory", "NVMLError": NVMLError,
    }  # fmt: skip
    return SimpleNamespace(**(asked | more))


@pytest.fixture
def gpu_library(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[object], None]]:
    """Puts a library in the place of nvidia-ml-py; None: it is not installed."""

    def use(library: object) -> None:
        monkeypatch.setitem(sys.modules, "pynvml", library)
        gpus._opened.cache_clear()

    yield use
    monkeypatch.undo()
    gpus._opened.cache_clear()


def test_a_gpu_says_what_it_is_and_what_holds_it_back(gpu_library: Callable[[object], None]) -> None:
    gpu_library(nvml())
    assert gpus.name() == "NVIDIA H200"
    facts = gpus.facts()
    assert (facts["driver"], facts["cuda"], facts["power_limit_w"]) == ("575.1", 12.09, 700)
    assert (facts["max_sm_mhz"], facts["max_memory_mhz"], facts["persistence"]) == (1980, 3201, None)
    assert gpus.throttle_reasons() == "HwThermalSlowdown, SwPowerCap"


def test_no_gpu_and_no_library_say_nothing(gpu_library: Callable[[object], None]) -> None:
    broken = nvml()

    def fails() -> None:
        raise broken.NVMLError("no driver")

    broken.nvmlInit = fails
    for library in (None, broken):
        gpu_library(library)
        assert (gpus.name(), gpus.facts(), gpus.throttle_reasons()) == ("", {}, "")


def test_compiled_code_from_before_is_a_fault(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in probes.CACHE_VARIABLES:
        monkeypatch.setenv(name, str(tmp_path / name))
    assert probes.jit_cache() == "fresh"
    (tmp_path / "TRITON_CACHE_DIR").mkdir()
    fair = {
        "threads": 1,
        "ranks": 1,
        "pools": {},
        "cores": None,
        "cpu_over_wall": 1.0,
        "dtype": "float32",
        "precision": "highest",
    }
    fair |= {"compiles": 0, "gc_runs": 0, "jit_cache": "fresh"}
    assert parity.faults(fair, []) == []
    (fault,) = parity.faults(fair | {"jit_cache": probes.jit_cache()}, [])
    assert fault == "compiled code from before was at hand (TRITON_CACHE_DIR)"


@pytest.mark.parametrize(("dtype", "bits"), [("float32", 23), ("float64", 52)])
def test_numpy_keeps_every_bit_and_subnormal_numbers(dtype: str, bits: int) -> None:
    found = probes.precision("numpy", dtype, "cpu")
    assert found == {"matmul_bits": bits, "matvec_bits": bits, "denormals": "kept"}


@pytest.mark.parametrize("bits", [7, 10, 16])
def test_a_product_that_rounds_is_found_out_to_the_bit(monkeypatch: pytest.MonkeyPatch, bits: int) -> None:
    def cut(array: np.ndarray) -> np.ndarray:
        mantissa, exponent = np.frexp(array)
        return np.ldexp(np.round(mantissa * 2 ** (bits + 1)) / 2 ** (bits + 1), exponent).astype(array.dtype)

    rounding = SimpleNamespace(__name__="impls._rounding", product=lambda a, b, device: cut(a) @ cut(b))
    monkeypatch.setattr(probes, "shared", lambda: [rounding])
    found = probes.precision("rounding", "float32", "cpu")
    assert (found["matmul_bits"], found["matvec_bits"]) == (bits, bits)
    assert probes.precision("unknown", "float32", "cpu") == {}


COMPILES_LONG = HONEST.replace(
    "    def run(start, steps, /):", "    import time\n    seen = set()\n\n    def run(start, steps, /):"
).replace(
    "        w = start.copy()",
    "        time.sleep(0.3 * (steps not in seen))\n        seen.add(steps)\n        w = start.copy()",
)


def test_a_long_compilation_is_not_taken_for_a_long_run(tmp_path: Path) -> None:
    """For each number of steps: one round would be all that is measured, and would hold the compilation of one step."""
    done = bench(tmp_path, "--impl", write(tmp_path, "compiling", COMPILES_LONG))
    assert [row["valid"] for row in done.rows] == [True], done.out
    assert done.json["benchmarks"][0]["stats"]["rounds"] >= 3
