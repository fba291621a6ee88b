"""Ranks: several processes that share one descent. They get the same requests, and their answers are merged into one.

A run takes as long as its slowest rank. CPU time and memory are sums over all ranks.
"""

import socket
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from benchmarks.distributed.hosts import SSH, RemoteRank, environment, interface
from benchmarks.worker.client import Refused, Settings, Worker, start_process
from benchmarks.worker.environment import pinned
from benchmarks.worker.process import Member, Message
from benchmarks.worker.workspace import Workspace
from impls.interface import Unsupported

SUMMED_FACTS = {"cpu_seconds", "cpu_over_wall", "rss_bytes", "device_bytes", "compiles", "gc_runs"}
SLOWEST_FACTS = {
    *("seconds", "fixed_seconds", "blocked_seconds", "transfer_seconds", "event_s"),
    *("none", "half", "all", "repeat", "framework_threads"),
}
LOCAL_ADDRESS = "127.0.0.1"


class Ranks(Worker):
    """A worker of several processes: one per rank, each on cores of its own.

    The ranks of a host share its threads; all ranks share its memory limit. More ranks than threads share cores, one
    thread each. `hosts` names the hosts, this one first. Raises what `Worker` raises, naming the rank, and
    Unsupported if the implementation does not run as ranks.
    """

    def __init__(
        self,
        impl: str,
        ranks: int,
        settings: Settings,
        timeout: float,
        workspace: Workspace,
        hosts: Sequence[str] = (),
        remote_shell: str = SSH,
    ) -> None:
        self.began, on_host = time.monotonic(), ranks // max(1, len(hosts))
        self.ranks, each, port = ranks, max(1, settings.threads // on_host), free_port()
        self.threads, own_cores = each * ranks, shares(pinned(settings.threads), on_host)
        memory = None if settings.memory is None else settings.memory // ranks
        of_rank = replace(settings, threads=each, memory=memory)
        address = hosts[0] if hosts else LOCAL_ADDRESS
        network = interface(address) if len(hosts) > 1 else {}
        deadline, members = time.monotonic() + timeout, list[Member]()
        try:
            for rank in range(ranks):
                env = environment(rank, ranks, rank % on_host, on_host, address, port)
                if rank < on_host:
                    members.append(start_process(own_cores[rank], of_rank, workspace, **env, **network))
                else:
                    message = {"threads": settings.threads, "settings": asdict(of_rank), "environment": env}
                    members.append(RemoteRank(hosts[rank // on_host], remote_shell, message, deadline))
        except BaseException:
            for member in members:
                member.close()
            raise
        self.members = members
        self.cores = [*own_cores, *(member.cores for member in members if isinstance(member, RemoteRank))]
        self.load(impl, timeout)
        if not self.loaded.ranks:
            self.close()
            raise Unsupported("does not run as ranks")

    def merge(self, answers: list[Message]) -> Message:
        """Return one answer for all ranks. If one has failed, end them all and raise Unsupported or Refused."""
        try:
            for kind in ("lost", "unsupported", "raised", "wrong"):  # a rank that waits for a lost one may raise
                reasons = {rank: answer[kind] for rank, answer in enumerate(answers) if kind in answer}
                if kind == "unsupported" and reasons:
                    raise Unsupported(next(iter(reasons.values())))
                if reasons:
                    raise Refused("; ".join(f"rank {rank}: {reason}" for rank, reason in reasons.items()))
            return merged(answers)
        except (Unsupported, Refused):
            self.close()
            raise


def merged(answers: list[Message]) -> Message:
    """Merge the ranks' answers. Raises Refused if weights, versions, code or probes differ."""
    merged_answer = dict(answers[0])
    for name, first in answers[0].items():
        values = [answer[name] for answer in answers]
        if name in SUMMED_FACTS:
            merged_answer[name] = None if None in values else sum(values)
        elif name in SLOWEST_FACTS:
            merged_answer[name] = max((value for value in values if value is not None), default=None)
        elif name == "pools":
            merged_answer[name] = {pool: max(pools.get(pool) or 0 for pools in values) for pool in first}
        elif name == "cores":
            merged_answer[name] = None if None in values else values
        elif name != "blas":
            _require_equal(name, values)
    return merged_answer


def _require_equal(name: str, values: list[Any]) -> None:
    for rank, value in enumerate(values[1:], 1):
        if name == "weights" and np.asarray(value).tobytes() != np.asarray(values[0]).tobytes():
            raise Refused(f"rank {rank} has other weights than rank 0")
        if name != "weights" and value != values[0]:
            raise Refused(f"rank {rank} has {name} {str(value)[:80]}, rank 0 {str(values[0])[:80]}")


def shares(cores: list[int], ranks: int) -> list[list[int]]:
    """Return each rank's cores: equally many for all, or one shared core if there are more ranks than cores."""
    if not cores:
        return [[] for _ in range(ranks)]
    each = max(1, len(cores) // ranks)
    return [[cores[i % len(cores)] for i in range(rank * each, (rank + 1) * each)] for rank in range(ranks)]


def free_port() -> int:
    """Return a port that no process listens on."""
    with socket.create_server(("", 0)) as server:
        return int(server.getsockname()[1])


def network_bytes(ranks: int, d: int, k: int, dtype: str) -> int:
    """Return the bytes that a rank sends per step: a ring's all-reduce sends 2 (r - 1) / r of the gradient."""
    return round(2 * (ranks - 1) / ranks * d * k * np.dtype(dtype).itemsize)
