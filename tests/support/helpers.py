"""What several test files share: the real command in a process of its own, and small problems."""

import atexit
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import impls
from impls.interface import Array, Device, Problem

ROOT = Path(__file__).parents[2]
UNNEEDED = ["-p", "no:cacheprovider", "-p", "no:hypothesispytest"]  # the latter takes longer to load than all the rest
QUICKER = ["-p", "tests.support.quicker", "-p", "pytest_benchmark.plugin"]  # with no search for plugins
# TensorFlow's last: triton's copy of LLVM ends a process that has loaded TensorFlow's; the other way round they get on.
IMPLS = sorted(impls.names(), key=lambda name: name.startswith("tensorflow"))
COMPILED = ("torch_compile", "numba_fused", "jax_", "tensorflow", "tinygrad", "triton", "dask", "mlx", "keras")
DEVICE: Device = "gpu" if os.environ.get("DESCENTBENCH_DEVICE", "cpu") == "gpu" else "cpu"  # of the tests for each
MUTANTS = Path(__file__).parent / "mutants"
HONEST = """
def prepare(problem, device):
    X, y, lr, order = problem.X, problem.y, problem.lr, problem.order

    def run(start, steps, /):
        w = start.copy()
        for t in range(steps):
            X_t, y_t = (X, y) if order is None else (X[order[t]], y[order[t]])
            residual = X_t @ w - y_t
            w -= (2 * lr / residual.size) * (X_t.T @ residual)
        return w

    return run
"""


@dataclass
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str
    json: dict[str, Any] = field(default_factory=dict)

    @property
    def rows(self) -> list[dict[str, Any]]:
        """`extra_info` of each saved row."""
        return [row["extra_info"] for row in self.json.get("benchmarks", [])]

    @property
    def refused(self) -> list[dict[str, Any]]:
        """Cases that have no time."""
        return list(self.json["campaign"]["refused"])

    def reasons(self, impl: str) -> dict[tuple[str, str], str]:
        """Why an implementation's cases have no time, by problem and dtype."""
        return {(row["problem"], row["dtype"]): row["reason"] for row in self.refused if row["impl"] == impl}

    def timed(self, impl: str) -> set[tuple[str, str]]:
        """Problem and dtype of an implementation's rows."""
        return {(row["problem"], row["dtype"]) for row in self.rows if row["impl"] == impl}


def command(tmp_path: Path, *options: str) -> list[str]:
    """`pytest benchmarks` with one quick float32 case of numpy_manual, unless options say otherwise."""
    defaults = {
        "--impl": "numpy_manual",
        "--problem": "scalar",
        "--preset": "quick",
        "--machine": "test",
        "--aa": "none",
    }
    defaults["--benchmark-storage"] = f"file://{tmp_path / 'storage'}"
    given = {option.partition("=")[0] for option in options}
    if "--resume" in given:  # what it began with holds
        given |= defaults.keys() - {"--benchmark-storage", "--machine"}
    more = [word for name, value in defaults.items() if name not in given for word in (name, value)]
    saved = ["--benchmark-json", str(tmp_path / "out.json")]
    return [sys.executable, "-m", "pytest", "benchmarks", "--no-limits", *UNNEEDED, *saved, *more, *options]


def environment(**more: str) -> dict[str, str]:
    """This process's environment without what pytest has put there."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")} | more


def bench(tmp_path: Path, *options: str, cwd: Path = ROOT, env: dict[str, str] | None = None) -> Done:
    """Run `pytest benchmarks` to its end, without the answer: in a fork of `forks`, unless it must start by itself."""
    words, wanted = command(tmp_path, *options), environment(**(env or {}))
    if cwd == ROOT:
        words, wanted = words + QUICKER, wanted | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
        if at_start(wanted) == at_start(environment()):
            return _forked(words[3:], wanted, tmp_path / "out.json")
    done = subprocess.run(words, cwd=cwd, env=wanted, capture_output=True, text=True, timeout=600)
    return Done(done.returncode, done.stdout, done.stderr, saved(tmp_path / "out.json"))


def at_start(env: dict[str, str]) -> dict[str, str]:
    """The variables that Python, the loader and NumPy read only once; a fork follows a change of PYTHONPATH."""
    read = {name: env[name] for name in env if name.startswith(("PYTHON", "LD_", "OPENBLAS", "OMP", "MKL"))}
    return {name: value for name, value in read.items() if name != "PYTHONPATH"}


FORKS = """
import atexit, contextlib, gc, importlib, io, json, os, signal, sys, tempfile
import pytest

def each(commands):
    for words in commands:
        err = io.StringIO()
        with contextlib.redirect_stderr(err), contextlib.redirect_stdout(io.StringIO()) as out:
            code = pytest.main(words)
        print(json.dumps([int(code), out.getvalue(), err.getvalue()]))
    return 0

with contextlib.redirect_stdout(io.StringIO()):
    pytest.main(json.loads(sys.stdin.readline()))  # imports what a run imports
replies = os.dup(1)
gc.freeze()
for line in sys.stdin:
    words, env, out, err = json.loads(line)
    pid = os.fork()
    if pid:
        os.write(replies, b"%d\\n" % os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        continue
    for number, name in enumerate((os.devnull, out, err)):
        os.dup2(os.open(name, os.O_RDWR | os.O_CREAT | os.O_TRUNC), number)
    os.environ.clear()
    os.environ.update(env)
    sys.path[1:1] = filter(None, env.get("PYTHONPATH", "").split(os.pathsep))
    importlib.invalidate_caches()
    tempfile.tempdir = None
    signal.alarm(600)
    code = each(words) if isinstance(words[0], list) else pytest.main(words)
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # to free a large heap takes long
"""


@cache
def forks() -> subprocess.Popen[str]:
    """A process that has imported what a run imports, which is half of a run, and forks for each command it is sent."""
    env = environment(PYTEST_DISABLE_PLUGIN_AUTOLOAD="1")
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    process = subprocess.Popen([sys.executable, "-c", FORKS], cwd=ROOT, env=env, text=True, **pipes)
    atexit.register(process.communicate)  # closes its input, which ends it
    words = ["benchmarks", "--collect-only", "--machine", "test", *UNNEEDED, *QUICKER]
    print(json.dumps(words), file=process.stdin, flush=True)
    return process


def _forked(words: list[str] | list[list[str]], env: dict[str, str], report: Path) -> Done:
    """How one command ends, or several in one process, which prints the end of each."""
    process = forks()
    if process.poll() is not None:  # a test has killed more than its own
        forks.cache_clear()
        process = forks()
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder, "out"), Path(folder, "err")
        print(json.dumps([words, env, str(out), str(err)]), file=process.stdin, flush=True)
        code = process.stdout.readline()
        assert code, "the process of `forks` has ended"
        return Done(int(code), out.read_text(), err.read_text(), saved(report))


def ended(*commands: list[str], **variables: str) -> list[Done]:
    """How each of several `python -m pytest ...` ends, all in one process: starting it is most of their time."""
    words = [[*one[3:], *QUICKER, "-p", "xdist.plugin"] for one in commands]
    env = environment(PYTEST_DISABLE_PLUGIN_AUTOLOAD="1", **variables)
    done = _forked(words, env, Path(os.devnull))
    assert done.code == 0, done.err
    files = [Path(dict(pairwise(one)).get("--benchmark-json", os.devnull)) for one in commands]
    return [Done(*end, saved(file)) for end, file in zip(map(json.loads, done.out.splitlines()), files, strict=True)]


def saved(path: Path) -> dict[str, Any]:
    """The JSON of a run; {} where nothing was saved."""
    return dict(json.loads(path.read_text())) if path.exists() and path.stat().st_size else {}


def python(code: str, *args: str, env: dict[str, str] | None = None, isolated: Iterable[str] = ()) -> Done:
    """Run a program of a few lines in a fresh interpreter."""
    words = [sys.executable, *isolated, "-c", code, *args]
    done = subprocess.run(words, cwd=ROOT, env=environment(**(env or {})), capture_output=True, text=True, timeout=600)
    return Done(done.returncode, done.stdout, done.stderr)


def write(folder: Path, name: str, text: str) -> str:
    """A module of that text; its path."""
    path = folder / f"{name}.py"
    path.write_text(text)
    return str(path)


def random_problem(
    n: int, d: int, k: int | None, batch: int | None, dtype: str = "float64", *, steps: int = 12, seed: int = 0
) -> Problem:
    """Small random data, lr half of what its largest batch curvature allows; k None: y is (n,)."""
    rng = np.random.default_rng(seed)
    tail = () if k is None else (k,)
    X, y, w0 = (rng.standard_normal(shape).astype(dtype) for shape in ((n, d), (n, *tail), (d, *tail)))
    order = None if batch is None else rng.integers(0, n, (steps, batch), dtype=np.int32)
    batches: list[Array] = [X] if order is None else [X[rows] for rows in order]
    curvature = max(2 / (len(X_t) * (k or 1)) * np.linalg.norm(X_t.astype(float), 2) ** 2 for X_t in batches)
    return Problem(X, y, w0, float(1 / curvature), steps, order)


def needs(framework: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(importlib.util.find_spec(framework) is None, reason=f"{framework} is not installed")


def one_kernel(folder: Path) -> str:
    """A plugin of pytest in that folder, `-p one_kernel`: limits are measured by NumPy's kernel alone."""
    lines = ["from benchmarks.timing.machine_limits import KERNELS", "KERNELS['cpu'] = ('numpy_manual',)", ""]
    write(folder, "one_kernel", "\n".join(lines))
    return str(folder)


def one(tmp_path: Path, name: str, text: str, *options: str) -> Done:
    return bench(tmp_path, "--impl", write(tmp_path, name, text), *options)


def invalid(done: Done, name: str) -> str:
    """The reason of the one row, which is marked wherever it may be read."""
    assert done.code == 1, done.out + done.err
    (row,) = done.rows
    assert (row["impl"], row["valid"]) == (name, False)
    assert done.json["benchmarks"][0]["name"].startswith("INVALID ")
    assert f"1 invalid: {row['reason']}" in done.out
    assert "Traceback" not in done.out + done.err
    return str(row["reason"])
