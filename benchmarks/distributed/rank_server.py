"""A rank of a job over several hosts: rank 0 runs pytest, the others have workers of their own and do as it asks."""

import contextlib
import json
import os
import select
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.distributed import hosts, ranks
from benchmarks.distributed.hosts import JsonSocket, RankInfo
from benchmarks.problems import catalogue
from benchmarks.worker import cleanup, folders
from benchmarks.worker.client import TIMEOUT, started
from benchmarks.worker.environment import RANKED, pinned
from benchmarks.worker.process import GRACE, POLL, ROOT, Process
from impls.interface import Unsupported, shard


def main(words: Sequence[str]) -> int:
    """Rank 0: pytest's exit code. The others: 0 when rank 0 has ended. Raises ValueError, OSError."""
    job = hosts.job(os.environ)
    if job.rank:
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: nothing is left
        return follow(job)
    for name in [name for name in os.environ if name.startswith(RANKED)]:
        del os.environ[name]  # pytest itself is no rank, it makes whole problems
    if job.ranks > 1:
        ranks.others = hosts.Hosts(job)
    import pytest

    return int(pytest.main([str(ROOT / "benchmarks"), *words, "--ranks", str(job.ranks)]))


def follow(job: RankInfo) -> int:
    """Serve one worker after another until rank 0 has ended. Raises TimeoutError when it never answers."""
    os.environ |= hosts.place(job.rank, job.ranks, job.local, job.local_ranks, job.address, 0)  # for `shard`
    deadline, served = time.monotonic() + TIMEOUT, False
    while True:
        try:
            connection = socket.create_connection((job.address, job.port), timeout=hosts.PATIENCE)
        except OSError as error:
            if served:
                sys.stderr.write(f"{cleanup.line()}\n" * bool(cleanup.told))
                return 0
            if time.monotonic() > deadline:
                raise TimeoutError(f"rank 0 does not answer at {job.address}:{job.port}: {error}") from error
            time.sleep(POLL)
            continue
        served = True
        connection.settimeout(None)
        with connection, contextlib.suppress(ConnectionError):  # that it is closed ends the worker, or all
            line = JsonSocket(connection)
            hosts.authenticate_to(line, job)
            serve(line, job)


def serve(line: JsonSocket, job: RankInfo) -> None:
    """One worker, as rank 0 wants it, until rank 0 closes the connection. Raises ConnectionError then."""
    asked = line.hear()
    cores = ranks.shares(pinned(asked["threads"]), job.local_ranks)[job.local]
    env = job.environment(asked["port"], line.here)
    process = started(cores, asked["each"], asked["device"], asked["precision"], asked["most"], **env)
    try:
        line.say(cores=cores)
        with folders.passing("shards") as folder:
            while True:
                request = line.hear()
                try:
                    if "plan" in request:
                        request["folder"] = written(request.pop("plan"), Path(tempfile.mkdtemp(dir=folder)))
                except (ValueError, OSError, Unsupported) as error:
                    line.say(raised=f"{type(error).__name__}: {error}")
                    continue
                process.send(json.dumps(request).encode() + b"\n")
                line.socket.sendall(answer(process, line))
    finally:
        process.close()


def answer(process: Process, line: JsonSocket) -> bytes:
    """What the worker answers, or how it was lost; on the way rank 0 may ask where it is, or close the connection."""
    heard = b""
    while not heard.endswith(b"\n"):
        dead = not process.alive
        ready, _, _ = select.select([process.fileno(), line.fileno()], [], [], POLL)
        if line.fileno() in ready:
            line.hear()
            line.say(where=process.where())
        part = process.receive() if process.fileno() in ready else b""
        heard += part
        if not part and (process.fileno() in ready or dead):
            return json.dumps({"lost": process.exit_reason(time.monotonic() + GRACE)}).encode() + b"\n"
    return heard


def written(plan: dict[str, Any], folder: Path) -> str:
    """Write a problem as `campaign.write_problem` does, of X and y only this rank's rows: the files are sparse."""
    dtype = plan["made"].pop("dtype")
    data, _, order = catalogue.made(**plan["made"])
    mine = shard(len(data.X))
    for name, array in (("X", data.X), ("y", data.y)):
        file = np.lib.format.open_memmap(folder / f"{name}.npy", "w+", dtype, array.shape)
        file[mine] = array[mine]
    np.save(folder / "w0.npy", data.w0.astype(dtype))
    if order is not None:
        np.save(folder / "order.npy", order)
    (folder / "plan.json").write_text(json.dumps(plan))
    return str(folder)
