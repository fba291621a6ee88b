"""Ranks on several hosts: the command that reaches one, the rows that each makes, and two hosts with a real sshd."""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from helpers import Done, command, ended, environment, saved, write
from test_ranks import WAITS, often

from benchmarks.__main__ import main
from benchmarks.distributed import hosts, relay
from benchmarks.problems import catalogue
from benchmarks.timing.prepared import write_problem
from benchmarks.worker.process import ROOT
from benchmarks.worker.server import read
from impls.interface import shard

HERE, THERE = "10.83.0.1", "10.83.0.2"
SSHD = "/usr/sbin/sshd"
LOCALLY = '#!/bin/sh\nshift\nexec "$@"\n'  # stands for a remote shell: it drops the host's name


def test_ssh_gets_one_word_for_the_shell_there_and_others_get_words() -> None:
    *words, host, program = hosts.command("node 2", "ssh -p 22")
    assert (words, host) == (["ssh", "-p", "22"], "node 2") and program.startswith("cd ") and "&& exec " in program
    assert hosts.command("n", "srun -N1 -w")[:6] == ["srun", "-N1", "-w", "n", "sh", "-c"]


def test_ranks_that_hosts_cannot_share(tmp_path: Path) -> None:
    words = ("--threads", "1", "--hosts", "a,b", "--ranks")
    odd, many = ended(command(tmp_path, *words, "3"), command(tmp_path, *words, "20"))
    assert odd.code == 4 and "--ranks 3: give a multiple of the 2 hosts" in odd.err
    assert many.code == 4 and "--ranks must be between 0 and" in many.err


def test_the_former_command_names_the_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["ranks", "--", "--impl", "torch_ddp"])
    assert ended.value.code == 2 and "--hosts" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["300x4", "300x4@7", "crops@5"])
def test_each_rank_makes_its_rows_bit_for_bit(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exact, _ = catalogue.build(name, seed=3)
    whole = catalogue.cast(exact, "float32")
    write_problem(whole, tmp_path / "whole", name=name, seed=3, target=None, dtype="float32")
    monkeypatch.setenv("WORLD_SIZE", "3")
    for rank in range(3):
        monkeypatch.setenv("RANK", str(rank))
        plan = json.loads((tmp_path / "whole" / "plan.json").read_text())
        (folder := tmp_path / str(rank)).mkdir()
        part, mine = read(relay.write_shard(plan, folder)), shard(len(whole.X))
        assert isinstance(part.X.base, np.memmap)
        for field in ("X", "y"):
            assert getattr(part, field)[mine].tobytes() == getattr(whole, field)[mine].tobytes()
            if name != "crops@5":
                assert np.count_nonzero(part.X) == part.X[mine].size
        assert part.w0.tobytes() == whole.w0.tobytes() and (part.lr, part.steps) == (whole.lr, whole.steps)
        assert (part.order is None) == (whole.order is None) and np.array_equal(part.order, whole.order)


def run(tmp_path: Path, *options: str, within: tuple[str, ...] = ()) -> Done:
    """`pytest benchmarks` to its end, in a network namespace if one is named."""
    words = [*within, *command(tmp_path, "--threads", "1", *options, "-p", "tests.support.quicker")]
    done = subprocess.run(words, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=600)
    return Done(done.returncode, done.stdout, done.stderr, saved(tmp_path / "out.json"))


def reason(done: Done) -> str:
    """Why the only case has no time: without a row nothing is saved."""
    lines = [line for line in done.out.splitlines() if "1 refused: " in line]
    assert len(lines) == 1, done.out + done.err
    return lines[0]


def locally(tmp_path: Path, script: str = LOCALLY) -> list[str]:
    """Options for two hosts that are both this one."""
    shell = tmp_path / "shell"
    shell.write_text(script)
    shell.chmod(0o755)
    return ["--hosts", "localhost,127.0.0.1", "--remote-shell", str(shell)]


def test_any_command_may_reach_hosts_that_share_many_rows(tmp_path: Path) -> None:
    """Login scripts may print. The extra check of many float32 rows needs this host's files. Steps are as asked for."""
    script = LOCALLY.replace("shift", "echo welcome; shift")
    plan = ["--problem", "30000x2,300x2@30", "--steps", "7", "--dtype", "float32"]
    done = run(tmp_path, "--impl", "torch_ddp", *plan, *locally(tmp_path, script))
    assert [(row["problem"], row["steps"], row["valid"]) for row in done.rows] == [
        ("30000x2", 7, True),
        ("300x2@30", 7, True),
    ], done.out
    assert done.code == 0 and {(row["ranks"], row["threads"]) for row in done.rows} == {(2, 2)}


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ("#!/bin/sh\necho no such host >&2\nexit 255\n", "host 127.0.0.1: no such host"),
        ("#!/bin/sh\nexec sleep 600\n", "host 127.0.0.1 did not answer in time"),
    ],
)
def test_a_host_that_cannot_be_reached_is_the_reason(script: str, says: str, tmp_path: Path) -> None:
    began = time.monotonic()
    done = run(tmp_path, "--impl", write(tmp_path, "mine", often("pass")), "--timeout", "4", *locally(tmp_path, script))
    assert done.code == 1 and says in reason(done)
    assert time.monotonic() - began < 300, "it would sleep for 600 seconds"


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


@pytest.fixture
def ssh(namespaces: str, tmp_path: Path) -> Iterator[list[str]]:
    """An sshd on the second host, and the options that reach it from the first."""
    if not Path(SSHD).exists():
        pytest.skip("no sshd here: make sshd")
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / name)], check=True)
    Path("/run/sshd").mkdir(exist_ok=True)
    settings = {
        "ListenAddress": THERE,
        "HostKey": tmp_path / "host",
        "AuthorizedKeysFile": tmp_path / "user.pub",
        "PidFile": "none",
        "StrictModes": "no",
        "UsePAM": "no",
    }
    (tmp_path / "sshd_config").write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
    words = ["ip", "netns", "exec", f"{namespaces}1", SSHD, "-D", "-e", "-f", str(tmp_path / "sshd_config")]
    with (tmp_path / "sshd.log").open("w") as log, subprocess.Popen(words, stderr=log) as server:
        try:
            client = f"ssh -F none -i {tmp_path / 'user'} -oBatchMode=yes -oStrictHostKeyChecking=no"
            client += f" -oUserKnownHostsFile={tmp_path / 'known'} -oConnectTimeout=5 -oLogLevel=ERROR"
            yield ["--hosts", f"{HERE},{THERE}", "--remote-shell", client]
        finally:
            server.terminate()


def test_two_hosts(namespaces: str, ssh: list[str], tmp_path: Path) -> None:
    """A valid row; a worker that is killed during a run is named with its rank."""
    killed = write(tmp_path, "killed", often("os.kill(os.getpid(), signal.SIGKILL)", meanwhile=WAITS))
    options = ("--impl", f"torch_ddp,{killed}", "--problem", "line@10", *ssh)
    done = run(tmp_path, *options, within=("ip", "netns", "exec", f"{namespaces}0"))
    assert done.rows, done.out + done.err + (tmp_path / "sshd.log").read_text()
    (row,) = done.rows
    assert (row["impl"], row["valid"], row["ranks"], row["threads"]) == ("torch_ddp", True, 2, 2)
    assert done.code == 1 and done.reasons("killed")["line@10", "float32"].startswith("rank 1: killed by SIGKILL")


@pytest.mark.parametrize("how", ["its program is killed", "its cable is cut"])
def test_a_host_that_goes_down_ends_all_ranks_and_is_named(
    how: str, namespaces: str, ssh: list[str], tmp_path: Path
) -> None:
    fault = {
        "its program is killed": "os.kill(os.getppid(), signal.SIGKILL)",
        "its cable is cut": "os.system('ip link set c1 down')",
    }[how]
    fatal = write(tmp_path, "fatal", often(fault, meanwhile=WAITS))
    options = ("--impl", fatal, "--problem", "line", "--timeout", "8", *ssh)
    began = time.monotonic()
    done = run(tmp_path, *options, within=("ip", "netns", "exec", f"{namespaces}0"))
    assert done.code == 1 and "rank 1: " in reason(done) and THERE in reason(done)
    assert time.monotonic() - began < 250, "rank 0 would wait for 300 seconds"


def test_a_host_that_does_not_let_us_in_is_named(namespaces: str, ssh: list[str], tmp_path: Path) -> None:
    (tmp_path / "user.pub").write_text("")
    mine = write(tmp_path, "mine", often("pass"))
    done = run(tmp_path, "--impl", mine, *ssh, within=("ip", "netns", "exec", f"{namespaces}0"))
    assert done.code == 1 and f"host {THERE}: " in reason(done)
    assert "Permission denied" in reason(done) and "try: ssh" in reason(done)
