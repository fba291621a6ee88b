"""Ranks on other hosts: `relay.py` runs there, started by ssh or another command, and its pipes carry the messages.

ssh authenticates and encrypts. The messages are the JSON lines of any worker: nothing that arrives is executed.
"""

import contextlib
import json
import os
import select
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.worker.client import Refused
from benchmarks.worker.process import POLL_S, ROOT, Member

SSH = "ssh -oBatchMode=yes -oConnectTimeout=10 -oServerAliveInterval=5 -oServerAliveCountMax=3"
END_S = 3.0  # for a remote rank to end after its pipe is closed
LOGIN_LINES = 100  # that a host's login scripts may print before the first message


def environment(rank: int, ranks: int, local: int, local_ranks: int, address: str, port: int) -> dict[str, str]:
    """Return a rank's environment, by torchrun's names."""
    numbers = {"RANK": rank, "WORLD_SIZE": ranks, "LOCAL_RANK": local, "LOCAL_WORLD_SIZE": local_ranks}
    return {name: str(number) for name, number in numbers.items()} | {"MASTER_ADDR": address, "MASTER_PORT": str(port)}


def interface(address: str) -> dict[str, str]:
    """Return the network interface that gloo and NCCL use to reach an address, unless the user has set one."""
    import psutil

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:  # connecting a datagram socket sends nothing
        probe.connect((address, 9))
        own_address = probe.getsockname()[0]
    names = [name for name, entries in psutil.net_if_addrs().items() if own_address in {e.address for e in entries}]
    variables = ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME") if names else ()
    return {variable: os.environ.get(variable, names[0]) for variable in variables}


def command(host: str, remote_shell: str) -> list[str]:
    """Return the command that runs a remote rank on a host. The repository has the same path there."""
    words = shlex.split(remote_shell)
    program = f"cd {shlex.quote(str(ROOT))} && exec {shlex.quote(sys.executable)} -m benchmarks.distributed.relay"
    if Path(words[0]).name == "ssh":  # ssh gives its words to a shell, others run them as they are
        return [*words, host, program]
    return [*words, host, "sh", "-c", program]


class RemoteRank(Member):
    """A worker on another host. Raises Refused, with the host's name, where it cannot start."""

    def __init__(self, host: str, remote_shell: str, settings: dict[str, Any], deadline: float) -> None:
        self.host, self.remote_shell = host, remote_shell
        super().__init__(command(host, remote_shell), tempfile.TemporaryFile())  # noqa: SIM115, it is closed with the rank
        try:
            self.send(json.dumps(settings).encode() + b"\n")
            self.cores: list[int] = self._first_answer(deadline)["cores"]
        except BaseException:
            self.close()
            raise

    def send(self, request: bytes) -> None:
        """Send a line. A problem travels as its recipe, because its folder is on this host."""
        message = json.loads(request)
        if message.get("op") == "prepare":
            message["plan"] = json.loads(Path(message["folder"], "plan.json").read_text())
        super().send(json.dumps(message).encode() + b"\n")

    def exit_reason(self, deadline: float) -> str:
        """Return the host's name and the last line that its command has written to stderr."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(END_S)
        self.stderr.seek(0)
        lines = self.stderr.read().decode(errors="replace").strip().splitlines()
        return f"host {self.host}: {lines[-1][:300] if lines else 'the connection was closed'}"

    def where(self) -> str:
        """Return the function that the worker is in, "" if the host does not answer."""
        self.send(b'{"op": "where"}')
        answer = self._line(time.monotonic() + 4 * POLL_S)
        with contextlib.suppress(ValueError, TypeError, KeyError):
            return str(json.loads(answer)["where"])
        return f" on host {self.host}"

    def close(self) -> None:
        """Close the pipes: the other side then ends its worker. Kill the command if it does not end."""
        if self.closed:
            return
        self.closed = True
        with contextlib.suppress(BrokenPipeError):
            self.stdin.close()
        try:
            self.process.wait(END_S)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self.stdout.close()
        self.stderr.close()

    def _first_answer(self, deadline: float) -> dict[str, Any]:
        for _ in range(LOGIN_LINES):
            line = self._line(deadline)
            if not line:
                break
            with contextlib.suppress(ValueError):
                answer = json.loads(line)
                if isinstance(answer, dict) and "cores" in answer:
                    return answer
        late = time.monotonic() >= deadline
        reason = f"host {self.host} did not answer in time" if late else self.exit_reason(deadline)
        raise Refused(f"{reason}; try: {self.remote_shell} {self.host} true")

    def _line(self, deadline: float) -> bytes:
        line = b""
        while not line.endswith(b"\n"):
            ready, _, _ = select.select([self.stdout], [], [], max(0.0, deadline - time.monotonic()))
            byte = os.read(self.stdout.fileno(), 1) if ready else b""
            if not byte:
                return b""
            line += byte
        return line
