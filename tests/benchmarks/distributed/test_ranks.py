"""Several processes that are one descent: the iterates are the reference's, and whoever fails is named."""

import re
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from helpers import ROOT, bench, command, ended, random_problem, write

from benchmarks.distributed.ranks import Ranks, network_bytes, shares
from benchmarks.reference.solution import truth
from benchmarks.timing.prepared import write_problem
from benchmarks.worker.client import Refused, Settings
from benchmarks.worker.workspace import Workspace
from impls.interface import Problem, rows_of_shard, shard

PROBLEMS = [  # n, targets, rows of a mini-batch, dtype: uneven and empty shards, batches of which a rank holds nothing
    (9, None, None, "float32"),
    (9, 3, 4, "float64"),
    (2, None, None, "float64"),
    (1, 2, 1, "float32"),
]
OFTEN = """
import os, signal, time
from impls.{base} import prepare as honest
{at_once}
RANKS = True

def prepare(problem, device):
    inner, second = honest(problem, device), os.environ.get("RANK") == "1"
    def run(start, steps, /):
        if second and steps: {fault}
        if steps and not second: {meanwhile}
        return inner(start, steps)
    return run
"""
WAITS = "time.sleep(300)"  # as in an all-reduce that the others do not enter


def often(fault: str, base: str = "numpy_manual", at_once: str = "", meanwhile: str = "pass") -> str:
    """An implementation of several ranks, of which rank 1 has a fault in each run, while rank 0 does something else."""
    return OFTEN.format(fault=fault, base=base, at_once=at_once, meanwhile=meanwhile)


WITH_TORCH = ("os.kill(os.getpid(), signal.SIGKILL)", "time.sleep(300)")  # where it has its own ways to wait
FAULTS = {  # what rank 1 does, while rank 0 waits for it: what the reason says, all of it
    "raise ValueError('no')": r"rank 1: raised ValueError: no \(mine.py:10\)",
    "os.kill(os.getpid(), signal.SIGKILL)": r"rank 1: killed by SIGKILL.*",
    "os._exit(3)": r"rank 1: exited with code 3.*",
    "time.sleep(300)": r"rank 0: timed out in all_reduce .*; rank 1: timed out in run \(mine.py:10\) and was killed",
    "os.kill(os.getpid(), signal.SIGSTOP)": r"rank 0: timed out in .*; rank 1: timed out and was killed",
    "return inner(start, steps).tolist()": r"rank 1: run returned a list, not a NumPy array",
    "return inner(start, steps) + 1": r"rank 1 has other weights than rank 0",
}


SHARED = Path("/dev/shm")


def ranks(impl: str, number: int, timeout: float = 60) -> Ranks:
    return Ranks(impl, number, Settings(threads=2), timeout, Workspace())


@pytest.mark.parametrize("impl", ["torch_ddp", "jax_sharded"])
def test_iterates_are_the_references(impl: str, tmp_path: Path) -> None:
    """On uneven shards, empty ones, and batches of which a rank holds nothing."""
    together = ranks(impl, 3)
    try:
        for case, (n, k, batch, dtype) in enumerate(PROBLEMS):
            problem = random_problem(n, 3, k, batch, dtype)
            write_problem(problem, tmp_path / str(case))
            together.prepare(str(tmp_path / str(case)), "cpu")
            exact = truth(problem, [1, 2, problem.steps])
            for t in exact.at:
                weights = np.asarray(together.run(exact.start(0.5), t).weights)
                error, allowed = exact.distance(weights, t, 0.5, exact.start(0.5))
                assert error <= allowed, (n, k, batch, dtype, t)
        assert together.run(problem.w0, 0).weights == problem.w0.tolist()
        told = together.finish(1)
        assert told.cores == together.cores and len(told.cores) == 3
    finally:
        together.close()


@pytest.fixture
def problem(tmp_path: Path) -> tuple[Problem, str]:
    """A small one, and its folder."""
    problem = random_problem(9, 3, None, None)
    write_problem(problem, tmp_path / "problem")
    return problem, str(tmp_path / "problem")


@pytest.mark.parametrize("fault", FAULTS)
def test_rank_that_fails_is_named_and_nothing_is_left(fault: str, problem: tuple[Problem, str], tmp_path: Path) -> None:
    others = psutil.Process().children(recursive=True)  # of tests before
    base = "torch_ddp" if fault in WITH_TORCH else "numpy_manual"
    meanwhile = "pass" if fault in WITH_TORCH or fault.startswith("return") else WAITS  # none needs to for a result
    together = ranks(write(tmp_path, "mine", often(fault, base, meanwhile=meanwhile)), 2)
    processes = [child for child in psutil.Process().children(recursive=True) if child not in others]
    assert len(processes) >= 2
    together.prepare(problem[1], "cpu")
    assert together.run(problem[0].w0, 0).weights == problem[0].w0.tolist()
    hangs, began = "timed out" in FAULTS[fault], time.monotonic()
    together.deadline = began + (3 if hangs else 200)
    with pytest.raises(Refused) as refused:
        together.run(problem[0].w0, 5)
    assert re.fullmatch(FAULTS[fault], str(refused.value))
    assert time.monotonic() - began < 150, "others' faults are not waited for"
    assert not together.alive
    together.close()  # a second time is as good
    assert not any(process.is_running() for process in processes)


def left_behind() -> set[str]:
    """Ports that are listened on, shared memory, and folders of workers: what a descent must not leave on a host."""
    ports = {str(one.laddr) for one in psutil.net_connections("tcp") if one.status == psutil.CONN_LISTEN}
    folders = {str(path) for path in Path(tempfile.gettempdir()).glob("descentbench-*/worker-*")}
    return ports | folders | {str(path) for path in SHARED.glob("*") if path.is_file()}


@pytest.mark.measures
@pytest.mark.parametrize("impl", ["torch_ddp", "jax_sharded"])
@pytest.mark.parametrize("lost", [False, True])
def test_no_port_and_no_shared_memory_is_left(
    impl: str, lost: bool, problem: tuple[Problem, str], tmp_path: Path
) -> None:
    before = left_behind()
    fault = "os.kill(os.getpid(), signal.SIGKILL)" if lost else "pass"
    together = ranks(write(tmp_path, "mine", often(fault, impl)), 2)
    together.prepare(problem[1], "cpu")
    assert left_behind() - before, "ranks that run have a port and folders"
    if lost:
        with pytest.raises(Refused):
            together.run(problem[0].w0, 5)
    else:
        together.run(problem[0].w0, 5)
    together.close()
    assert left_behind() <= before


@pytest.mark.parametrize(
    ("at_once", "says"),
    [
        ("import numpy; numpy.__version__ = os.environ['RANK']", "rank 1 has version 1, rank 0 0"),
        ("if os.environ['RANK'] == '1': os._exit(4)", "rank 1: exited with code 4"),
        ("if os.environ['RANK'] == '1': time.sleep(300)", "rank 1: timed out"),
    ],
)
def test_rank_that_is_not_like_the_others_is_refused(at_once: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(Refused, match=f"^{says}"):
        ranks(
            write(tmp_path, "mine", often("pass", at_once=at_once)),
            2,
            8 if "sleep" in at_once else 200,
        )


def test_the_slowest_rank_is_told_and_memory_of_all(problem: tuple[Problem, str], tmp_path: Path) -> None:
    both = ranks(write(tmp_path, "mine", often("time.sleep(0.3)")), 2)
    try:
        both.prepare(problem[1], "cpu")
        assert 0.3 <= both.run(problem[0].w0, 1).seconds < 200
        told, each = both.finish(1), [psutil.Process(one.process.pid) for one in both.members]
        assert told.rss_bytes > sum(process.memory_info().rss for process in each) / 2
        assert told.rss_bytes > 1.5 * each[0].memory_info().rss
        assert told.pools["openblas"] == 1
    finally:
        both.close()


def mutant(folder: Path, name: str, line: str) -> str:
    """torch_ddp with another line in place of its all-reduce."""
    source = (ROOT / "impls" / "torch_ddp.py").read_text()
    assert source.count("all_reduce(gradient)\n") == 1
    return write(folder, name, source.replace("all_reduce(gradient)\n", f"{line}\n"))


def test_command(tmp_path: Path) -> None:
    """Rows say how many ranks; mutants are refused, what is no rank is skipped. Of the 9 rows, a rank has 5."""
    mean = "gradient *= n / len(X) / 2; all_reduce(gradient)"
    drop = "gradient *= shard(n).start != 5; all_reduce(gradient)"
    names = ["torch_ddp", "numpy_manual", mutant(tmp_path, "mean", mean), mutant(tmp_path, "drop", drop)]
    done = bench(
        tmp_path, "--impl", ",".join(names), "--problem", "9x2", "--steps", "20", "--ranks", "2", "--oversubscribe"
    )
    assert done.code == 1
    (row,) = done.rows
    assert (row["impl"], row["ranks"], row["threads"]) == ("torch_ddp", 2, 2)
    assert row["valid"] or "this machine is too busy to tell" in row["reason"], row["reason"]  # beside other tests
    assert row["network_bytes"] == network_bytes(2, 2, 1, "float32") == 8
    assert re.search(r"numpy_manual +cpu +0 timed +1 skipped: does not run as ranks", done.out)
    for name in ("mean", "drop"):
        assert "wrong weights after 1 update" in done.reasons(name)["9x2", "float32"]


def test_ranks_as_they_cannot_be(tmp_path: Path) -> None:
    cases: list[tuple[list[str], int, str]] = [
        (["--ranks", "3", "--threads", "2"], 4, "--ranks must be between 0 and 2, not 3"),
        (["--ranks", "-1"], 4, "--ranks must be between 0 and"),
        (["--impl", "jax_sharded"], 0, "skipped: runs as ranks: --ranks 1 or more"),
    ]
    for done, (_, code, says) in zip(ended(*(command(tmp_path, *words) for words, *_ in cases)), cases, strict=True):
        assert done.code == code
        assert says in done.out + done.err


@pytest.mark.parametrize("n", [1, 2, 9, 10])
@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_shards_are_those_of_array_split(n: int, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", str(number))
    order = np.random.default_rng(0).integers(0, n, (3, 4), dtype=np.int32)
    for rank, rows in enumerate(np.array_split(np.arange(n), number)):
        assert np.arange(n)[shard(n, rank)].tolist() == rows.tolist()
        monkeypatch.setenv("RANK", str(rank))
        assert shard(n) == shard(n, rank)
        mine = [[row for row in batch if row in rows] for batch in order]
        assert [(some + shard(n).start).tolist() for some in rows_of_shard(order, n)] == mine


def test_without_ranks_all_rows_are_here(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    assert shard(7) == slice(0, 7)


def test_problem_looks_at_its_shard_only(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = random_problem(9, 3, None, None)
    whole.X[8, 0] = np.nan
    parts = whole.X, whole.y, whole.w0, whole.lr, whole.steps, None
    with pytest.raises(ValueError, match="X has values that are not finite"):
        Problem(*parts)
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    assert Problem(*parts).steps == whole.steps
    monkeypatch.setenv("RANK", "1")
    with pytest.raises(ValueError, match="X has values that are not finite"):
        Problem(*parts)


@pytest.mark.parametrize(
    ("cores", "number", "own"),
    [([4, 5, 6, 7], 2, [[4, 5], [6, 7]]), ([4, 5, 6], 2, [[4], [5]]), ([4, 5], 3, [[4], [5], [4]]), ([], 2, [[], []])],
)
def test_each_rank_has_cores_of_its_own_where_there_are_enough(
    cores: list[int], number: int, own: list[list[int]]
) -> None:
    assert shares(cores, number) == own
