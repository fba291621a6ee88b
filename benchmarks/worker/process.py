"""Processes that answer requests, JSON lines: one worker, or the ranks of one descent; and what becomes of them."""

import contextlib
import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from benchmarks.worker import cleanup, folders, memory

ROOT = Path(__file__).parents[2]
POLL = 0.2  # seconds between two looks whether a silent process is alive
GRACE = 1.0  # seconds that are left to the others when one is lost: who waits for it waits in vain
LAST = 2**16  # bytes at the end of stderr in which its last words are looked for
MOST = 2**26  # bytes of stderr that are kept: all of it goes when there are more
FRAME = re.compile(r'File "(?:.*/)?(.+)", line (\d+) in (\S+)')  # a line of faulthandler's
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

    def exit_reason(self, deadline: float) -> str:
        """How it ended, in words; waits for its end until then."""

    def where(self) -> str:
        """In which function it is, "" if it does not say."""

    def close(self) -> None:
        """End it, and all that it has started."""


class Process:
    """A `benchmarks.worker.server` in a session of its own, with its cores, its environment and its working folder."""

    def __init__(self, cores: list[int], env: dict[str, str], folder: Path) -> None:
        cleanup.become_subreaper()
        self.folder, self.closed, self.allowed = folder, False, int(env.get(memory.ALLOWED, 0))
        self.segments, self.oom_kills = cleanup.segments(), memory.oom_kills()
        self.stderr = (folder / "stderr").open("a+b", buffering=0)  # written at its end, wherever `alive` has put that
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.worker.server", ",".join(map(str, cores))],
                cwd=ROOT,
                env=env,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self.stderr,
                start_new_session=True,
            )
        except BaseException:
            self.stderr.close()
            folders.remove(folder)
            raise
        assert self.process.stdin is not None and self.process.stdout is not None
        self.stdin, self.stdout = self.process.stdin, self.process.stdout

    @property
    def alive(self) -> bool:
        """Whether it runs. If it has filled its stderr, that is emptied: nothing but last words is ever asked of it."""
        if not self.closed and os.fstat(self.stderr.fileno()).st_size > MOST:
            self.stderr.truncate(0)
        return not self.closed and self.process.poll() is None

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

    def said(self, begin: int = 0) -> str:
        """What it has written to its stderr from there on, the last of it."""
        size = os.fstat(self.stderr.fileno()).st_size
        return os.pread(self.stderr.fileno(), LAST, max(begin, size - LAST)).decode(errors="replace")

    def exit_reason(self, deadline: float) -> str:
        """How it ended, with the last line that it wrote; a crash also names the function, as `faulthandler` does."""
        try:
            code = self.process.wait(max(POLL, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.close()
            return "closed its pipes, timed out and was killed"
        said, _, fault = self.said().partition("Fatal Python error: ")
        last = said.strip().splitlines()[-1:]
        words = f"{frame(fault)}: {last[0][:300]}" if last else frame(fault)
        if -code == signal.SIGKILL and memory.oom_kills() > self.oom_kills:
            words = f": the machine ran out of memory{words}"
        names = {one.value: one.name for one in signal.Signals}
        how = f"killed by {names.get(-code, f'signal {-code}')}" if code < 0 else f"exited with code {code}"
        return memory.blamed(how + words, self.allowed, said)

    def where(self) -> str:
        """In which function it is, as `faulthandler` writes to its stderr when a signal asks."""
        before = os.fstat(self.stderr.fileno()).st_size
        self.process.send_signal(signal.SIGUSR1)
        time.sleep(POLL)
        return frame(self.said(before))

    def close(self) -> None:
        """End it and whatever it has started; remove its scratch folder."""
        if self.closed:
            return
        self.closed = True
        cleanup.end(str(self.folder), self.process.pid, self.segments)
        try:
            self.process.wait(cleanup.PATIENCE)
        except subprocess.TimeoutExpired:
            cleanup.told.append(f"process {self.process.pid} (a worker), which was killed and does not end")
        for pipe in (self.stdin, self.stdout, self.stderr):
            with contextlib.suppress(BrokenPipeError):  # what was still to be sent has nobody to read it
                pipe.close()
        folders.remove(self.folder)


def parse_answer(line: bytes) -> Answer:
    """What a worker has answered; it is lost when something else has written to its pipe."""
    try:
        return dict(json.loads(line))
    except (ValueError, TypeError):
        return {"lost": "something else than an answer came from its pipe"}


def frame(said: str) -> str:
    """The first function that `faulthandler` has written: " in run (mine.py:12)", or ""."""
    found = FRAME.search(said)
    return f" in {found[3]} ({found[1]}:{found[2]})" if found else ""


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
                ends[at] = parse_answer(heard[at])
            elif not part:
                ends[at] = {"lost": members[at].exit_reason(until)}
        if not ready:
            ends |= {
                at: {"lost": members[at].exit_reason(until)} for at in dead
            }  # what it has started may hold the pipe
        if not ready and left == 0:
            for at in set(waiting.values()) - set(dead):
                ends[at] = {"lost": f"timed out{members[at].where()} and was killed"} if until == deadline else {}
                members[at].close()
        if any({"lost", "raised", "unsupported"} & end.keys() for end in ends.values()):
            until = min(until, time.monotonic() + GRACE)
    return [ends[at] for at in range(len(members))]
