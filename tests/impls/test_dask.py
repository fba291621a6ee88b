"""Dask's cluster: in the worker or elsewhere, and what is said where there is none."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from helpers import Done, bench, needs, python

from benchmarks.campaign import options
from benchmarks.machine import roofline
from benchmarks.worker import arrays

pytestmark = needs("distributed")

ELSEWHERE = """
import sys
from distributed import LocalCluster, versions
if __name__ == "__main__":
    workers, other = int(sys.argv[1]), sys.argv[2]
    if other:
        true = versions._version_cached
        versions._version_cached = lambda name: other if name == "dask" else true(name)
    local = {"dashboard_address": "127.0.0.1:0", "worker_dashboard_address": "127.0.0.1:0", "protocol": "tcp://"}
    with LocalCluster(n_workers=workers, threads_per_worker=1, processes=False, **local) as cluster:
        print(cluster.scheduler_address, flush=True)
        sys.stdin.read()
"""
DESCEND = """
import sys
import numpy as np
import impls
from impls.interface import Problem, Unsupported
rng = np.random.default_rng(0)
X, y, w = rng.standard_normal((11, 3)), rng.standard_normal((11, 2)), rng.standard_normal((3, 2))
order = rng.integers(0, 11, (4, 5), dtype=np.int32)
try:
    for plan in (None, order):
        problem = Problem(X, y, w, 0.1, 4, plan)
        found, expected = (impls.load(name)(problem, "cpu")(w, 4) for name in ("dask_manual", "numpy_manual"))
        print(np.abs(found - expected).max() < 1e-12)
    from impls._dask import client, spread, threads
    print(sorted(len(X) for _, X, _ in client().gather(spread(problem))), threads())
except Unsupported as reason:
    print(reason)
"""


@pytest.fixture(scope="module")
def cluster(request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of a scheduler in another process, with so many workers and another version of dask."""
    workers, version = request.param
    words = [sys.executable, "-c", ELSEWHERE, str(workers), version]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdin is not None
        yield process.stdout.readline().strip()
        process.stdin.close()


def descend(address: str = "") -> Done:
    return python(DESCEND, env={"DASK_SCHEDULER_ADDRESS": address, "OMP_NUM_THREADS": "2"})


def test_a_cluster_of_its_own_leaves_no_word_behind() -> None:
    done = descend()
    assert (done.code, done.out.splitlines(), done.err) == (0, ["True", "True", "[5, 6] 2"], "")


@pytest.mark.parametrize("cluster", [(3, "")], indirect=True)
def test_a_cluster_elsewhere_gives_the_same(cluster: str) -> None:
    done = descend(cluster)
    assert (done.code, done.out.splitlines()) == (0, ["True", "True", "[3, 4, 4] None"]), done.err


@pytest.mark.parametrize("cluster", [(0, "")], indirect=True)
def test_a_cluster_without_workers_is_unsupported(cluster: str) -> None:
    assert descend(cluster).out == f"the dask scheduler at {cluster} has no workers\n"


@pytest.mark.parametrize("cluster", [(1, "2020.1.2")], indirect=True)
def test_a_cluster_of_another_version_is_unsupported(cluster: str) -> None:
    assert descend(cluster).out.startswith(f"the dask scheduler at {cluster} has dask 2020.1.2, here it is 20")


@pytest.mark.parametrize("cluster", [(3, "")], indirect=True)
def test_the_option_leads_to_the_cluster_and_the_row_says_so(cluster: str, tmp_path: Path) -> None:
    done = bench(
        tmp_path, "--impl", "dask_manual", "--problem", "2000x100", "--steps", "5", "--dask-scheduler", cluster
    )
    assert done.code == 0, done.out
    (row,) = done.rows
    assert (row["step_reads"], row["framework"], row["valid"]) == ("X, on a cluster", "dask", True)


def test_a_cluster_is_not_held_against_the_limits_of_this_machine() -> None:
    row = {"per_step_s": 1.0, "batch": 3, "step_reads": "X, on a cluster"}
    assert roofline.row_facts(row, {"levels": [], "flops_per_s": {}}) == {}


def test_a_dead_address_is_a_skip_with_the_reason(tmp_path: Path) -> None:
    done = bench(tmp_path, "--impl", "dask_manual", "--dask-scheduler", "tcp://127.0.0.1:1")
    assert done.code == 0
    assert "no dask scheduler answers at tcp://127.0.0.1:1" in done.out
    assert done.rows == []


def test_an_address_without_an_implementation_is_an_error(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pytest", "benchmarks", "--dask-scheduler", "tcp://127.0.0.1:1", "--collect-only"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 4
    assert "--dask-scheduler goes with an implementation that uses it: --impl dask_manual" in done.stderr


def test_it_runs_only_where_it_is_named(tmp_path: Path) -> None:
    assert "dask_manual" not in options.implementations(None, tmp_path)
    assert "numpy_manual" in options.implementations(None, tmp_path)
    assert options.implementations("dask_manual", tmp_path) == ["dask_manual"]


def test_an_array_beyond_memory_is_mapped_and_its_file_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved, path = np.arange(6.0).reshape(2, 3), tmp_path / "X.npy"
    np.save(path, saved)
    assert arrays.free_memory() > 2**20
    assert not isinstance(arrays.load_array(path).base, np.memmap)
    monkeypatch.setattr(arrays, "free_memory", lambda: 100.0)
    mapped = arrays.load_array(path)
    assert type(mapped) is np.ndarray
    assert isinstance(mapped.base, np.memmap)
    mapped[0, 0] = 9.0
    assert np.array_equal(np.load(path), saved)
