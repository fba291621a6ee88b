"""Processes that answer requests, JSON lines: one worker, or the ranks of one descent; and what becomes of them."""

import contextlib
import json
import os
import re
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

ROOT = Path(__file__).parent.parent
POLL = 0.2  # seconds between two looks whether a silent process is alive
GRACE = 1.0  # seconds that are left to the others when one is lost: who waits for it waits in vain
Answer = dict[str, Any]


class Member(Protocol):
    """What can be asked: a process here, or a rank on another host."""

    @property
    def alive(self) -> bool:
        """Whether it can still be asked."""

    def fileno(self) -> int:
        """What becomes readable when there is something to `receive`."""

    def send(self, request: bytes) -> None:
        """Send a line; one that is dead does not mind."""

    def receive(self) -> bytes:
        """What there is; b"" when it will say no more."""

    def obituary(self, deadline: float) -> str:
        """How it ended, in words; waits for its end until then."""

    def where(self) -> str:
        """In which function it is, "" if it does not say."""

    def close(self) -> None:
        """End it, and all that it has started."""


class Process:
    """A `benchmarks.worker` of its own session, on those cores, with that environment; `scratch` is its folder."""

    def __init__(self, cores: list[int], env: dict[str, str], scratch: tempfile.TemporaryDirectory[str]) -> None:
        self.scratch, self.stderr = scratch, Path(scratch.name, "stderr")
        with self.stderr.open("wb") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.worker", ",".join(map(str, cores))],
                cwd=ROOT,
                env=env,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                start_new_session=True,
            )
        assert self.process.stdin is not None and self.process.stdout is not None
        self.stdin, self.stdout = self.process.stdin, self.process.stdout

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self.process.poll() is None

    def fileno(self) -> int:
        """Its stdout."""
        return self.stdout.fileno()

    def send(self, request: bytes) -> None:
        """To its stdin."""
        with contextlib.suppress(BrokenPipeError):
            self.stdin.write(request)
            self.stdin.flush()

    def receive(self) -> bytes:
        """From its stdout."""
        return os.read(self.stdout.fileno(), 1 << 20)

    def obituary(self, deadline: float) -> str:
        """How it ended, with the last line that it wrote."""
        try:
            code = self.process.wait(max(POLL, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            return "closed its pipes, timed out and was killed"
        last = self.stderr.read_text(errors="replace").strip().splitlines()[-1:]
        words = f": {last[0][:300]}" if last else ""
        return (f"killed by {signal.Signals(-code).name}" if code < 0 else f"exited with code {code}") + words

    def where(self) -> str:
        """In which function it is, as `faulthandler` writes to its stderr when a signal asks."""
        before = self.stderr.stat().st_size
        self.process.send_signal(signal.SIGUSR1)
        time.sleep(POLL)
        said = self.stderr.read_bytes()[before:].decode(errors="replace")
        found = re.search(r'File "(?:.*/)?(.+)", line (\d+) in (\S+)', said)
        return f" in {found[3]} ({found[1]}:{found[2]})" if found else ""

    def close(self) -> None:
        """End it and whatever it has started; remove its scratch folder."""
        with contextlib.suppress(ProcessLookupError):  # it has ended, and so has all that it started
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        for pipe in (self.stdin, self.stdout):
            with contextlib.suppress(BrokenPipeError):  # what was still to be sent has nobody to read it
                pipe.close()
        self.scratch.cleanup()


def exchange(members: Sequence[Member], request: bytes, deadline: float) -> list[Answer]:
    """Send all the same request, wait for all answers until the deadline; the end of each.

    An end is the answer; or {"lost": how}, of one that died or timed out and was killed; or {} of one that has not
    answered soon after another was lost or raised, and would not.
    """
    heard, ends = [b""] * len(members), dict[int, Answer]()
    for member in members:
        member.send(request)
    until = deadline
    while len(ends) < len(members):
        waiting = {member.fileno(): at for at, member in enumerate(members) if at not in ends}
        left, dead = max(0.0, until - time.monotonic()), [at for at in waiting.values() if not members[at].alive]
        ready, _, _ = select.select(list(waiting), [], [], min(left, POLL))
        for at in (waiting[one] for one in ready):
            part = members[at].receive()
            heard[at] += part
            if heard[at].endswith(b"\n"):
                ends[at] = json.loads(heard[at])
            elif not part:
                ends[at] = {"lost": members[at].obituary(until)}
        if not ready:
            ends |= {at: {"lost": members[at].obituary(until)} for at in dead}  # what it has started may hold the pipe
        if not ready and left == 0:
            for at in set(waiting.values()) - set(dead):
                ends[at] = {"lost": f"timed out{members[at].where()} and was killed"} if until == deadline else {}
                members[at].close()
        if any({"lost", "raised", "unsupported"} & end.keys() for end in ends.values()):
            until = min(until, time.monotonic() + GRACE)
    return [ends[at] for at in range(len(members))]
