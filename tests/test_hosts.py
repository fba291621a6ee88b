"""Ranks on several hosts: who may join, what each makes, and the real command over two network namespaces."""

import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers import Done, command, environment, saved, write
from test_ranks import OFTEN

from benchmarks.campaign.campaign import write_problem
from benchmarks.distributed import hosts, rank_server
from benchmarks.distributed.hosts import Hosts, JsonSocket, RankInfo
from benchmarks.distributed.ranks import free_port
from benchmarks.problems import catalogue
from benchmarks.worker.client import Refused
from benchmarks.worker.server import read
from impls.interface import shard

KEY = "a secret of two dozen characters"
TORCHRUN = {
    "RANK": "1",
    "WORLD_SIZE": "4",
    "LOCAL_RANK": "1",
    "LOCAL_WORLD_SIZE": "2",
    "MASTER_ADDR": "a",
    "MASTER_PORT": "5",
}
SLURM = {"SLURM_PROCID": "1", "SLURM_NTASKS": "4", "SLURM_LOCALID": "1", "SLURM_LAUNCH_NODE_IPADDR": "a"}


@pytest.fixture
def job() -> RankInfo:
    """Rank 1 of two, with rank 0 on this machine."""
    return RankInfo(1, 2, 0, 1, "127.0.0.1", free_port(), KEY.encode())


@pytest.fixture
def awaited(job: RankInfo) -> Iterator[Hosts]:
    """Where rank 0 waits for it."""
    waiting = Hosts(replace(job, rank=0))
    yield waiting
    waiting.server.close()


def test_job_is_what_torchrun_or_slurm_says() -> None:
    key = {"DESCENTBENCH_KEY": KEY}
    assert hosts.job(TORCHRUN | key) == RankInfo(1, 4, 1, 2, "a", 6, KEY.encode())
    two = {"SLURM_NTASKS_PER_NODE": "2"}
    assert hosts.job(SLURM | key | two) == RankInfo(1, 4, 1, 2, "a", 29501, KEY.encode())
    with pytest.raises(ValueError, match="rank 1 of 4, 1 of 1 on its host: give srun --ntasks-per-node"):
        hosts.job(SLURM | key)
    with pytest.raises(ValueError, match="no RANK or SLURM_PROCID in the environment: start this by torchrun or srun"):
        hosts.job(key)
    for short in ({}, {"DESCENTBENCH_KEY": "short"}):
        with pytest.raises(ValueError, match="set DESCENTBENCH_KEY to the same secret on all hosts"):
            hosts.job(TORCHRUN | short)


def knocks(job: RankInfo, *words: bytes) -> None:
    """One that connects and says so much, whatever it is asked."""
    with socket.create_connection((job.address, job.port)) as connection:
        for word in words:
            connection.sendall(word)
        connection.recv(1 << 16)


def joins(job: RankInfo) -> None:
    with socket.create_connection((job.address, job.port)) as connection:
        hosts.authenticate_to(JsonSocket(connection), job)


def refused_at_the_door(job: RankInfo) -> None:
    with pytest.raises(PermissionError, match="rank 0 has another DESCENTBENCH_KEY"):
        joins(job)


def at_once(*doings: Callable[[], None]) -> list[threading.Thread]:
    threads = [threading.Thread(target=doing) for doing in doings]
    for thread in threads:
        thread.start()
        time.sleep(0.1)  # in this order
    return threads


def test_only_who_knows_the_key_is_let_in(job: RankInfo, awaited: Hosts) -> None:
    """Not who says nothing, nonsense, too much, another key or another rank; then the true one is."""
    nonsense = [b"\n", b"GET / HTTP/1.0\r\n\r\n", b"x" * 5000, b'{"rank": 1}\n', b"[]\n", b"\xff\xfe\n"]
    strangers = [lambda words=words: knocks(job, words) for words in nonsense]
    others = [replace(job, key=b"another secret of sixteen"), replace(job, ranks=3), replace(job, rank=5)]
    strangers += [lambda one=one: refused_at_the_door(one) for one in others]
    threads = at_once(*strangers, lambda: joins(job))
    (found,) = awaited.gather(20)
    assert found.alive
    found.close()
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()


def test_a_rank_that_does_not_come_is_named_and_not_waited_for_again(awaited: Hosts) -> None:
    with pytest.raises(Refused, match=r"^rank 1 did not come within 0.3 s$"):
        awaited.gather(0.3)
    began = time.monotonic()
    with pytest.raises(Refused, match="rank 1 did not come"):
        awaited.gather(300)
    assert time.monotonic() - began < 1


@pytest.mark.parametrize("name", ["300x4", "300x4@7", "crops@5"])
def test_each_rank_makes_its_rows_bit_for_bit(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exact, _ = catalogue.build(name, seed=3)
    whole = catalogue.cast(exact, "float32")
    write_problem(whole, tmp_path / "whole", name=name, seed=3, target=None, dtype="float32")
    monkeypatch.setenv("WORLD_SIZE", "3")
    for rank in range(3):
        monkeypatch.setenv("RANK", str(rank))
        plan = rank_server.json.loads((tmp_path / "whole" / "plan.json").read_text())
        (folder := tmp_path / str(rank)).mkdir()
        part, mine = read(rank_server.written(plan, folder)), shard(len(whole.X))
        assert isinstance(part.X.base, np.memmap)
        for field in ("X", "y"):
            assert getattr(part, field)[mine].tobytes() == getattr(whole, field)[mine].tobytes()
            if name != "crops@5":
                assert np.count_nonzero(part.X) == part.X[mine].size
        assert part.w0.tobytes() == whole.w0.tobytes() and (part.lr, part.steps) == (whole.lr, whole.steps)
        assert (part.order is None) == (whole.order is None) and np.array_equal(part.order, whole.order)


def rank(
    number: int, tmp_path: Path, port: int, *options: str, inside: str = "", key: str = KEY
) -> subprocess.Popen[str]:
    """One of two ranks by the real command, in a network namespace; of rank 0 the options count."""
    address = "10.83.0.1" if inside else "127.0.0.1"
    env = {
        "RANK": str(number),
        "WORLD_SIZE": "2",
        "LOCAL_RANK": "0",
        "MASTER_ADDR": address,
        "MASTER_PORT": str(port - 1),
    }
    words = command(tmp_path, *options)[4:]
    within = ["ip", "netns", "exec", f"{inside}{number}"] if inside else []
    return subprocess.Popen(
        [*within, sys.executable, "-m", "benchmarks", "ranks", "--", *words],
        cwd=rank_server.ROOT,
        env=environment(**env, DESCENTBENCH_KEY=key),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(*processes: subprocess.Popen[str], out: Path) -> list[Done]:
    told = [(process, *process.communicate(timeout=120)) for process in processes]
    return [Done(process.returncode, text, err, saved(out)) for process, text, err in told]


def test_key_that_rank_0_does_not_have(tmp_path: Path) -> None:
    port = free_port()
    options = ("--impl", "torch_ddp", "--timeout", "10")
    zero, one = (rank(at, tmp_path, port, *options, key=KEY + at * "x") for at in (0, 1))
    first, second = ended(zero, one, out=tmp_path / "out.json")
    assert (second.code, second.err) == (2, "error: rank 0 has another DESCENTBENCH_KEY, or has this rank already\n")
    assert first.code == 1 and "rank 1 did not come within 10 s" in first.out


@pytest.fixture
def namespaces() -> Iterator[str]:
    """Two hosts with a cable between them, 10.83.0.1 and 10.83.0.2: the names of both but for the number."""
    name = f"db{os.getpid()}-"
    if shutil.which("ip") is None or subprocess.run(["ip", "netns", "add", f"{name}0"], capture_output=True).returncode:
        pytest.skip("no network namespaces here: they take root, and `ip`")
    cable = f"link add c0 netns {name}0 type veth peer name c1 netns {name}1"
    lines = [f"netns add {name}1", cable]
    for at in (0, 1):
        lines += [f"-n {name}{at} addr add 10.83.0.{at + 1}/24 dev c{at}", f"-n {name}{at} link set c{at} up"]
        lines.append(f"-n {name}{at} link set lo up")
    try:
        for line in lines:
            subprocess.run(["ip", *line.split()], check=True, capture_output=True)
        yield name
    finally:
        for at in (0, 1):
            subprocess.run(["ip", "netns", "del", f"{name}{at}"], capture_output=True, check=False)


def test_two_hosts(namespaces: str, tmp_path: Path) -> None:
    """A valid row; a worker killed in the midst of a run is named; rank 1 ends well when rank 0 does."""
    dies = "calls.append(t := len(calls)); t > 7 and os.kill(os.getpid(), signal.SIGKILL)"
    killed = write(tmp_path, "killed", OFTEN.format(base="torch_ddp", at_once="calls = []", fault=dies))
    options = ("--impl", f"torch_ddp,{killed}", "--threads", "1", "--problem", "line@10")
    processes = [rank(at, tmp_path, 29501, *options, inside=namespaces) for at in (1, 0)]
    one, zero = ended(*processes, out=tmp_path / "out.json")
    (row,) = zero.rows
    assert (row["impl"], row["valid"], row["ranks"], row["threads"]) == ("torch_ddp", True, 2, 2)
    assert zero.code == 1 and zero.reasons("killed")["line@10", "float32"].startswith("rank 1: killed by SIGKILL")
    assert (one.code, one.out) == (0, "")


def test_host_that_goes_down(namespaces: str, tmp_path: Path) -> None:
    dies = "os.kill(os.getppid(), signal.SIGKILL)"
    fatal = write(tmp_path, "fatal", OFTEN.format(base="torch_ddp", at_once="", fault=dies))
    options = ("--impl", fatal, "--threads", "1", "--problem", "line", "--timeout", "20")
    processes = [rank(at, tmp_path, 29501, *options, inside=namespaces) for at in (1, 0)]
    one, zero = ended(*processes, out=tmp_path / "out.json")
    assert one.code == -9
    assert zero.code == 1 and re.search(r"1 refused: rank 1: its connection was closed", zero.out)
