"""A rank on another host: it starts a worker there and passes messages between the worker and its own pipes.

The first line is the settings; the answer names the worker's cores. It ends, with the worker, when its stdin ends.
"""

import json
import os
import select
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.distributed.hosts import interface
from benchmarks.distributed.ranks import shares
from benchmarks.problems import catalogue
from benchmarks.problems.table_text import TableFormat
from benchmarks.worker.client import Settings, start_process
from benchmarks.worker.environment import pinned
from benchmarks.worker.process import LOSS_GRACE_S, POLL_S, Message, Process
from benchmarks.worker.workspace import Workspace
from impls.interface import Unsupported, shard


def main() -> int:
    """Serve one worker until stdin ends. Return 0."""
    for end_signal in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(end_signal, signal.default_int_handler)  # like Ctrl-C: it closes the worker
    requests = messages(0)
    with Workspace() as workspace:
        if start := next(requests, None):
            serve(start, requests, workspace)
        workspace.close()
        if workspace.removed:
            sys.stderr.write(f"{workspace.summary()}\n")
    return 0


def serve(start: Message, requests: Iterator[Message], workspace: Workspace) -> None:
    """Start the worker that the first message describes, and pass requests to it."""
    env: dict[str, str] = start["environment"]
    os.environ |= env  # `shard` reads it
    local, local_ranks = (int(env[name]) for name in ("LOCAL_RANK", "LOCAL_WORLD_SIZE"))
    cores = shares(pinned(start["threads"]), local_ranks)[local]
    env |= interface(env["MASTER_ADDR"])
    process, folder = start_process(cores, Settings(**start["settings"]), workspace, **env), workspace.new("shards")
    try:
        say({"cores": cores})
        for request in requests:
            try:
                if "plan" in request:
                    request["folder"] = write_shard(request.pop("plan"), Path(tempfile.mkdtemp(dir=folder)))
            except (ValueError, OSError, Unsupported) as error:
                say({"number": request["number"], "raised": f"{type(error).__name__}: {error}"})
                continue
            process.send(json.dumps(request).encode() + b"\n")
            if not pass_answer(process, requests):
                break
    except KeyboardInterrupt:
        pass
    finally:
        process.close()
        workspace.remove(folder)


def messages(file: int) -> Iterator[Message]:
    """Yield each line of JSON; end with the file."""
    unfinished = b""
    while chunk := os.read(file, 1 << 16):
        *lines, unfinished = (unfinished + chunk).split(b"\n")
        yield from (json.loads(line) for line in lines)


def say(message: Message) -> None:
    """Write a line of JSON."""
    os.write(1, json.dumps(message).encode() + b"\n")


def pass_answer(process: Process, requests: Iterator[Message]) -> bool:
    """Pass on the answer, or how it was lost, and say where the worker is if asked. Return False if stdin ends."""
    answer = b""
    while not answer.endswith(b"\n"):
        dead = not process.alive
        ready, _, _ = select.select([process.fileno(), 0], [], [], POLL_S)
        if 0 in ready:
            if next(requests, None) is None:
                return False
            say({"where": process.where()})
        chunk = process.receive() if process.fileno() in ready else b""
        answer += chunk
        if not chunk and (process.fileno() in ready or dead):
            answer = json.dumps({"lost": process.exit_reason(time.monotonic() + LOSS_GRACE_S)}).encode() + b"\n"
    while answer:
        answer = answer[os.write(1, answer) :]
    return True


def write_shard(plan: dict[str, Any], folder: Path) -> str:
    """Write a problem as `prepared.write_problem` does, with this rank's rows of X and y: the files are sparse."""
    dtype = plan["made"].pop("dtype")
    reading = TableFormat(**plan["made"].pop("reading", {}))
    data, _, order = catalogue.made(**plan["made"], reading=reading)
    own_rows = shard(len(data.X))
    for name, array in (("X", data.X), ("y", data.y)):
        file = np.lib.format.open_memmap(folder / f"{name}.npy", "w+", dtype, array.shape)
        file[own_rows] = array[own_rows]
    np.save(folder / "w0.npy", data.w0.astype(dtype))
    if order is not None:
        np.save(folder / "order.npy", order)
    (folder / "plan.json").write_text(json.dumps(plan))
    return str(folder)


if __name__ == "__main__":
    sys.exit(main())
