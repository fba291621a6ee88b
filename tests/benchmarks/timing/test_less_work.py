"""Implementations that do less work than they are timed for, in ways that rounding or a clock could hide."""

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from helpers import HONEST, Done, bench, random_problem, write

import impls
from benchmarks.reference.coarse import tf32
from benchmarks.reference.solution import truth
from benchmarks.reference.tolerance import TF32
from benchmarks.timing import parity
from benchmarks.timing.measure import TimedCase
from benchmarks.timing.prepared import write_problem, write_rows_check
from benchmarks.worker import process
from benchmarks.worker.arrays import read
from benchmarks.worker.client import Clock, Settings, Worker
from benchmarks.worker.messages import Round, RunResult
from benchmarks.worker.workspace import Workspace
from impls.interface import Array, Problem

LOOP = """
import numpy as np

def data(problem):
    return {DATA}

def prepare(problem, device):
    (X, y), lr = data(problem), problem.lr

    def run(start, steps, /):
        w = start.copy()
        for t in range(steps):
            residual = X @ w - y
            w -= (2 * lr / len(y)) * (X.T @ residual)
        return w

    return run
"""
WRAPPED = """
import sys, time
from impls.numpy_manual import prepare as honest

def prepare(problem, device):
    inner, longest = honest(problem, device), [0.0]

    def run(start, steps, /):
        began = time.perf_counter()
{CHEAT}
        result = inner(start, steps)
        longest[0] = max(longest[0], time.perf_counter() - began)
        return result

    return run
"""
HELPERS = """
import os, subprocess, sys
from impls.numpy_manual import prepare as honest

LOOP = "import os; os.sched_setaffinity(0, range(os.cpu_count()))\\nwhile os.getppid() == {}: pass"

def prepare(problem, device):
    for _ in range(12):
        subprocess.Popen([sys.executable, "-c", LOOP.format(os.getpid())], start_new_session=True)
    return honest(problem, device)
"""
ROUNDED = "(problem.X.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32), problem.y"
CHEATS = {
    "first_rows": LOOP.replace("{DATA}", "problem.X[:65_536], problem.y[:65_536]"),
    "all_but_the_last": LOOP.replace("{DATA}", "problem.X[:-1], problem.y[:-1]"),
    "all_but_the_first": LOOP.replace("{DATA}", "problem.X[1:].copy(), problem.y[1:].copy()"),
    "every_other": LOOP.replace("{DATA}", "problem.X[::2].copy(), problem.y[::2].copy()"),
    "rounded": LOOP.replace("{DATA}", ROUNDED),
    "half_floats": LOOP.replace("{DATA}", "problem.X.astype(np.float16).astype(np.float32), problem.y"),
    "half_targets": LOOP.replace("{DATA}", "problem.X, problem.y.astype(np.float16).astype(np.float32)"),
    "in_no_steps": WRAPPED.replace(
        "{CHEAT}", "        while steps == 0 and time.perf_counter() - began < min(0.9 * longest[0], 0.05): pass"
    ),
    "slow_clock": WRAPPED.replace(
        "{CHEAT}",
        "        main = sys.modules['__main__']\n"
        "        if not hasattr(main, 'begin'):\n"
        "            main.begin = time.perf_counter()\n"
        "            main.perf_counter = lambda: main.begin + (time.perf_counter() - main.begin) / 10",
    ),
}
LEFT_OUT = "a step leaves out rows of X, or rounds X"
REASONS = {
    "first_rows": LEFT_OUT,
    "all_but_the_last": LEFT_OUT,
    "all_but_the_first": LEFT_OUT,
    "every_other": LEFT_OUT,
    "rounded": LEFT_OUT,
    "half_floats": LEFT_OUT,
    "half_targets": LEFT_OUT,
    "in_no_steps": "a run of no steps takes as long as many steps",
    "slow_clock": " CPU seconds a second, | s by its own clock",  # whichever shows it
}


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    folder = tmp_path_factory.mktemp("cheats")
    paths = ",".join(write(folder, name, text) for name, text in CHEATS.items())
    options = ["--problem", "100000x4", "--steps", "20", "--dtype", "float32", "--threads", "1"]
    return bench(folder, "--impl", f"{paths},numpy_manual,jax_scan,numpy_gram", *options)


@pytest.mark.parametrize("name", CHEATS)
def test_less_work_is_refused_with_a_reason(done: Done, name: str) -> None:
    reasons = [row["reason"] for row in [*done.refused, *done.rows] if row["impl"] == name]
    assert len(reasons) == 1 and any(words in reasons[0] for words in REASONS[name].split("|")), reasons


def test_honest_implementations_are_timed_beside_them(done: Done) -> None:
    assert {row["impl"] for row in done.rows if row["valid"]} == {"numpy_manual", "jax_scan", "numpy_gram"}


@pytest.mark.measures
def test_work_in_helper_processes_is_not_valid(tmp_path: Path) -> None:
    helped = write(tmp_path, "helped", HELPERS)
    done = bench(
        tmp_path, "--impl", f"{helped},numpy_manual", "--problem", "200000x4", "--steps", "20", "--threads", "1"
    )
    reasons = {row["impl"]: row["reason"] for row in done.rows}
    assert "CPU seconds a second, 1 thread asked for" in reasons["helped"]
    assert reasons["numpy_manual"] == ""


def test_cpu_time_of_helper_processes_is_counted(tmp_path: Path) -> None:
    worker = Worker(write(tmp_path, "helped", HELPERS), Settings(threads=1), 60, Workspace())
    try:
        write_problem(random_problem(9, 3, None, None), tmp_path / "problem")
        assert worker.helper_seconds() == 0
        worker.prepare(str(tmp_path / "problem"), "cpu")
        until = time.monotonic() + 30
        while worker.helper_seconds() < 0.3 and time.monotonic() < until:
            time.sleep(0.05)
        assert worker.helper_seconds() >= 0.3
    finally:
        worker.close()


SPINS = (
    HONEST
    + """
import threading, time
def spin(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass
honest = prepare
def prepare(problem, device):
    threading.Thread(target=spin, args=(0.3,)).start()
    return honest(problem, device)
"""
)


def test_threads_that_wait_for_work_in_a_loop_have_ended_before_another_process_reads(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    worker = Worker(write(tmp_path, "spins", SPINS), Settings(threads=1), 60, Workspace())
    try:
        write_problem(random_problem(9, 3, None, None), tmp_path / "problem")
        for most, waits in ((10.0, True), (0.05, False)):
            monkeypatch.setattr(process, "SETTLE_S", most)
            began = time.monotonic()
            worker.prepare(str(tmp_path / "problem"), "cpu")
            worker.settle()
            assert (time.monotonic() - began > 0.25) == waits
    finally:
        worker.close()


def rounds(seconds: float, fixed: float = 0.001) -> list[Round]:
    return [Round(seconds, seconds, None, 0, 0, [], fixed)] * 3


@pytest.mark.parametrize(
    ("claimed", "elapsed", "says"),
    [
        (rounds(0.1), [0.15, 0.15, 0.15], ""),
        (rounds(0.1), [0.15, 2.0, 2.0], ""),  # others had the cores for a while
        (rounds(1e-6, 1e-7), [0.005, 0.005, 0.005], ""),
        (rounds(0.01), [0.1, 0.1, 0.1], "by its own clock"),
        (rounds(0.1), [0.15, 0.05, 0.15], "more seconds than passed"),
    ],
)
def test_both_clocks_agree(claimed: list[Round], elapsed: list[float], says: str) -> None:
    faults = parity.clocks_differ(claimed, elapsed, 100, 1)
    assert (says in faults[0]) if says else faults == []


@pytest.mark.parametrize(
    ("claimed", "elapsed", "is_valid"),
    [
        (0.001, 0.002, True),  # a round took longer because its uncounted runs woke threads
        (0.1, 0.1, False),  # honest alone, not in the rounds
        (0.001, 0.1, False),
    ],
)
def test_a_single_run_shows_whether_the_rounds_claim_too_little(claimed: float, elapsed: float, is_valid: bool) -> None:
    """The rounds claim 1 ms each, and took 100 ms by the other clock. claimed, elapsed: of a single run."""
    problem = random_problem(9, 3, None, None)

    def run(start: Array, steps: int) -> RunResult:
        run_numpy = impls.load("numpy_manual")(problem, "cpu")
        return RunResult(claimed, claimed, None, 0, 0, run_numpy(start, steps).tolist())

    task: Any = SimpleNamespace(truth=truth(problem, [12]), facts={"steps": 12})
    worker: Any = SimpleNamespace(run=run, elapsed=elapsed)
    case = TimedCase(worker, task, Clock(), np.random.default_rng(0), 3, (6, 0.1), [], {})
    case.rounds_done, case.elapsed = rounds(0.001), [0.1] * 3
    assert (case.clock_faults([]) == []) == is_valid and case.clock_faults(["another"]) != []


def test_many_weights_take_time_to_exchange() -> None:
    assert (
        parity.clocks_differ(rounds(0.001), [0.06] * 3, 100, 5_000)
        == []
        != parity.clocks_differ(rounds(0.001), [0.06] * 3, 100, 10)
    )


@pytest.mark.parametrize(
    ("of_step", "of_run", "fault"),
    [
        (0.9, 0.9, ""),
        (1.4, 1.2, ""),
        (71.0, 70.0, "70.0 times as fast as this machine's limit (memory)"),
        (1.7, 1.6, "1.6 times as fast"),
        (115.3, 0.8, "its time is unknown"),  # honest, beside others: only the runs of no steps met them
        (115.3, 1.8, "its time is unknown"),
    ],
)
def test_a_step_above_the_limit_is_not_valid(of_step: float, of_run: float, fault: str) -> None:
    near, run = ({"fraction_of_limit": fraction, "limited_by": "memory"} for fraction in (of_step, of_run))
    faults = parity.unknown_time(near, run) or parity.above_limit(run)
    assert (fault in faults[0]) if fault else not faults


@pytest.mark.parametrize("n", [3, 700, 30_000])
@pytest.mark.parametrize("batch", [None, 3])
def test_one_update_shows_rounded_data_at_any_size(tmp_path: Path, n: int, batch: int | None) -> None:
    rng = np.random.default_rng(n)
    order = None if batch is None else np.array([rng.permutation(n)[:batch]], np.int32)
    X, y, w0 = (rng.normal(size=shape).astype(np.float32) for shape in ((n, 4), (n, 2), (4, 2)))
    problem = Problem(X, y, w0, 0.1, 1, order)
    write_problem(problem, tmp_path / "problem")
    check = write_rows_check(problem, tmp_path / "problem", 0.0)
    other = read(check.folder)

    def fits(X: Array, y: Array) -> bool:
        rows = slice(None) if order is None else order[0]
        update = 2 * other.lr / y[rows].size * (X[rows].T @ y[rows])
        return bool((np.abs(update - check.expected) <= check.tolerance).all())

    assert fits(other.X, other.y)
    assert not fits(other.X.astype(np.float16).astype(np.float32), other.y)
    assert not fits(other.X, other.y.astype(np.float16).astype(np.float32))
    left_out = other.y.copy()
    left_out[np.flatnonzero(other.y[:, 0])[0]] = 0
    assert not fits(other.X, left_out)


def test_products_in_tf32_pass_where_they_are_allowed(tmp_path: Path) -> None:
    for seed in range(30):
        X = np.random.default_rng(seed).normal(size=(50, 3)).astype(np.float32)
        problem = Problem(X, X[:, 0].copy(), X[0].copy(), 0.1, 1, None)
        write_problem(problem, tmp_path / str(seed))
        check = write_rows_check(problem, tmp_path / str(seed), TF32)
        update = tf32(X).T.astype(np.float64) @ tf32(read(check.folder).y)
        assert (np.abs(update - check.expected) <= check.tolerance).all()
