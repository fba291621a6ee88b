"""Ranks on several hosts: where this process stands among them, and how rank 0 reaches the workers of the others.

Each worker of another rank is a TCP connection of its own, which that rank opens (`agent.py`). Both sides prove that
they know the key; then lines of JSON go to and fro, as with a worker here: nothing that comes is executed.
"""

import hmac
import json
import math
import os
import secrets
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.worker.client import Refused
from benchmarks.worker.process import POLL, Answer

KEY = "DESCENTBENCH_KEY"
SHORTEST = 16  # characters of a key
PATIENCE = 5.0  # seconds in which who connects must have said who it is
LONGEST = 4096  # bytes in which it must
NAMES = {  # torchrun's and Slurm's variables
    "rank": ("RANK", "SLURM_PROCID"),
    "ranks": ("WORLD_SIZE", "SLURM_NTASKS"),
    "local": ("LOCAL_RANK", "SLURM_LOCALID"),
    "local_ranks": ("LOCAL_WORLD_SIZE", "SLURM_NTASKS_PER_NODE"),
    "address": ("MASTER_ADDR", "SLURM_LAUNCH_NODE_IPADDR"),
}


@dataclass(frozen=True)
class RankInfo:
    """This process among `ranks`, and among those on its host; where rank 0 listens."""

    rank: int
    ranks: int
    local: int
    local_ranks: int
    address: str
    port: int
    key: bytes

    def environment(self, port: int, here: str) -> dict[str, str]:
        """What a worker of this rank finds in its environment: `place`, and the network of the address `here`."""
        at = place(self.rank, self.ranks, self.local, self.local_ranks, self.address, port)
        return at | interface(here)


def place(rank: int, ranks: int, local: int, local_ranks: int, address: str, port: int) -> dict[str, str]:
    """What a process finds in its environment when it is a rank, by torchrun's names."""
    numbers = {"RANK": rank, "WORLD_SIZE": ranks, "LOCAL_RANK": local, "LOCAL_WORLD_SIZE": local_ranks}
    return {name: str(number) for name, number in numbers.items()} | {"MASTER_ADDR": address, "MASTER_PORT": str(port)}


def job(environ: Mapping[str, str]) -> RankInfo:
    """What torchrun or Slurm has put into the environment. Raises ValueError for what is missing there."""
    told = {what: next((environ[name] for name in names if name in environ), "") for what, names in NAMES.items()}
    told["local_ranks"] = told["local_ranks"] or "1"
    for what, names in NAMES.items():
        if not told[what]:
            raise ValueError(f"no {' or '.join(names)} in the environment: start this by torchrun or srun")
    key = environ.get(KEY, "")
    if len(key) < SHORTEST:
        raise ValueError(f"set {KEY} to the same secret on all hosts, {SHORTEST} characters at least")
    rank, ranks, local, local_ranks = (int(told[what]) for what in ("rank", "ranks", "local", "local_ranks"))
    if not (0 <= rank < ranks and 0 <= local < local_ranks):
        raise ValueError(f"rank {rank} of {ranks}, {local} of {local_ranks} on its host: give srun --ntasks-per-node")
    port = int(environ.get("MASTER_PORT", "29500")) + 1  # torchrun listens on that itself
    return RankInfo(rank, ranks, local, local_ranks, told["address"], port, key.encode())


class JsonSocket:
    """A connection that carries lines of JSON."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket, self.alive, self.rest = connection, True, b""

    @property
    def here(self) -> str:
        """The address of this side."""
        return str(self.socket.getsockname()[0])

    def fileno(self) -> int:
        """The socket's."""
        return self.socket.fileno()

    def say(self, **words: object) -> None:
        """Send a line. Raises OSError."""
        self.socket.sendall(json.dumps(words).encode() + b"\n")

    def hear(self, most: float = math.inf) -> Answer:
        """Wait for a line of so many bytes at most. Raises OSError when none comes, ValueError when it is no JSON."""
        while b"\n" not in self.rest and len(self.rest) < most:
            part = self.socket.recv(1 << 16)
            if not part:
                raise ConnectionResetError("the connection was closed")
            self.rest += part
        line, _, self.rest = self.rest.partition(b"\n")
        return dict(json.loads(line))


class Remote(JsonSocket):
    """A worker on another host, as `processes.Member`."""

    def begin(self, **settings: object) -> list[int]:
        """Have it start a worker; the cores of that. Raises Refused."""
        try:
            self.say(**settings)
            self.socket.settimeout(PATIENCE)
            cores = self.hear()["cores"]
        except (OSError, ValueError, KeyError) as error:
            self.close()
            raise Refused(f"a rank has left: {error}") from error
        self.socket.settimeout(None)
        return list(cores)

    def send(self, request: bytes) -> None:
        """A problem is told by what it is made from: the folder is not there."""
        words = json.loads(request)
        if words["op"] == "prepare":
            words["plan"] = json.loads(Path(words["folder"], "plan.json").read_text())
        try:
            self.say(**words)
        except OSError:
            self.alive = False

    def receive(self) -> bytes:
        """What has come."""
        try:
            part = self.socket.recv(1 << 20)
        except OSError:
            part = b""
        self.alive = bool(part)
        return part

    def exit_reason(self, deadline: float) -> str:
        """All that is known."""
        return "its connection was closed"

    def where(self) -> str:
        """Where its worker is, by its own word."""
        self.send(b'{"op": "where"}')
        self.socket.settimeout(2 * POLL)
        try:
            return str(self.hear()["where"])
        except (OSError, ValueError, KeyError):
            return ""

    def close(self) -> None:
        """Then the other side ends the worker."""
        self.alive = False
        self.socket.close()


class Hosts:
    """Where rank 0 waits for the others. Raises OSError when the port is taken."""

    def __init__(self, job: RankInfo) -> None:
        self.job, self.server, self.missing = job, socket.create_server(("", job.port)), ""

    def gather(self, timeout: float) -> list[Remote]:
        """A new connection to each other rank. Raises Refused for who stays away, the second time at once."""
        found: dict[int, Remote] = {}
        deadline = time.monotonic() + timeout
        while not self.missing and len(found) < self.job.ranks - 1:
            self.server.settimeout(max(0.001, deadline - time.monotonic()))
            try:
                remote = Remote(self.server.accept()[0])
            except TimeoutError:
                absent = (str(rank) for rank in range(1, self.job.ranks) if rank not in found)
                self.missing = f"rank {', '.join(absent)} did not come within {timeout:g} s"
                break
            rank = authenticate(remote, self.job)
            if rank in found or rank == 0:
                remote.close()
            else:
                found[rank] = remote
        if self.missing:
            for remote in found.values():
                remote.close()
            raise Refused(self.missing)
        return [found[rank] for rank in sorted(found)]


def authenticate(line: JsonSocket, job: RankInfo) -> int:
    """The rank of who has connected; 0 of one who does not prove that it knows the key."""
    ours = secrets.token_hex(32)
    line.socket.settimeout(PATIENCE)
    try:
        line.say(challenge=ours)
        told = line.hear(LONGEST)
        rank, theirs = int(told["rank"]), str(told["challenge"])
        if not hmac.compare_digest(str(told["proof"]), proof(job, rank, ours)) or not 0 < rank < job.ranks:
            return 0
        line.say(proof=proof(job, 0, theirs))
    except (OSError, ValueError, KeyError, TypeError):
        return 0
    line.socket.settimeout(None)
    return rank


def authenticate_to(line: JsonSocket, job: RankInfo) -> None:
    """Prove to rank 0 that this rank knows the key, and have it do so. Raises PermissionError, ConnectionError."""
    ours = secrets.token_hex(32)
    theirs = str(line.hear(LONGEST)["challenge"])  # it comes when rank 0 needs this rank
    try:
        line.say(rank=job.rank, challenge=ours, proof=proof(job, job.rank, theirs))
        told = line.hear(LONGEST)
    except OSError:
        told = {}
    if not hmac.compare_digest(str(told.get("proof")), proof(job, 0, ours)):
        raise PermissionError(f"rank 0 has another {KEY}, or has this rank already")


def proof(job: RankInfo, rank: int, challenge: str) -> str:
    """What only a rank that knows the key can answer; of `ranks` in all, so that two jobs do not mix."""
    return hmac.digest(job.key, f"{rank} of {job.ranks} {challenge}".encode(), "sha256").hex()


def interface(address: str) -> dict[str, str]:
    """Which network the frameworks' own connections go over, that of this address, unless the user has said so."""
    import psutil

    found = [name for name, held in psutil.net_if_addrs().items() if address in {one.address for one in held}]
    names = {name: found[0] for name in ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME") if found}
    return {name: os.environ.get(name, held) for name, held in names.items()}
