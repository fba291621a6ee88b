"""Processes that answer requests in JSON lines: one worker, or the ranks of one descent; and how they ended."""

import contextlib
import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

from benchmarks.typed_json import printable
from benchmarks.worker import cleanup, memory
from benchmarks.worker.messages import parse
from benchmarks.worker.workspace import Workspace

ROOT = Path(__file__).parents[2]
SETTLE_S = 0.2  # for threads that wait for more work to go to sleep
POLL_S = 0.2  # between two checks whether a silent process is alive
LOSS_GRACE_S = 1.0  # for the other members to answer after one is lost
STDERR_TAIL_BYTES = 2**16  # that are searched for its last message
ANSWER_BYTES, ANSWER_FACTOR = 2**22, 8  # of an answer; more a byte of its request: weights are longer than a start
STDERR_BYTES = 2**26  # that are kept; a longer stderr is truncated
FRAME = re.compile(r'File "(.*/)?(.+)", line (\d+) in (\S+)')  # a line of faulthandler's
LIBRARY_PATH = re.compile(r"/lib\d*/python[\d.]+/|/site-packages/|^<frozen ")
Message = dict[str, Any]


class Member(ABC):
    """A partner for requests, with pipes to it: a worker on this host, or the command that reaches one on another."""

    def __init__(self, command: list[str], stderr: IO[bytes], **options: Any) -> None:
        self.closed, self.stderr, pipe = False, stderr, subprocess.PIPE
        self.process: subprocess.Popen[bytes] = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, stderr=stderr, start_new_session=True, **options
        )
        assert self.process.stdin is not None and self.process.stdout is not None
        self.stdin, self.stdout = self.process.stdin, self.process.stdout

    @property
    def alive(self) -> bool:
        """Return whether it can answer."""
        return not self.closed and self.process.poll() is None

    def fileno(self) -> int:
        """Return the descriptor that becomes readable when there is something to `receive`."""
        return self.stdout.fileno()

    def send(self, request: bytes) -> None:
        """Send a line. A dead member ignores it."""
        with contextlib.suppress(BrokenPipeError):
            self.stdin.write(request)
            self.stdin.flush()

    def receive(self) -> bytes:
        """Return what has arrived; b"" at the end."""
        return os.read(self.stdout.fileno(), 1 << 20)

    @abstractmethod
    def exit_reason(self, deadline: float) -> str:
        """Return how it ended. Wait for its end until the deadline."""

    @abstractmethod
    def where(self) -> str:
        """Return the function that it is in; "" if unknown."""

    @abstractmethod
    def close(self) -> None:
        """End it and everything that it has started."""


class Process(Member):
    """A `benchmarks.worker.server` in its own session, with its cores, its environment and its working folder."""

    def __init__(
        self, cores: list[int], env: dict[str, str], folder: Path, workspace: Workspace, python: str = ""
    ) -> None:
        cleanup.become_subreaper()
        self.folder, self.workspace = folder, workspace
        self.allowed = int(env.get(memory.LIMIT_VARIABLE, 0))
        self.segments, self.oom_kills = cleanup.segments(), memory.oom_kills()
        stderr = (folder / "stderr").open("a+b", buffering=0)  # appended, because `alive` may truncate it
        command = [python or sys.executable, "-m", "benchmarks.worker.server", ",".join(map(str, cores))]
        try:
            super().__init__(command, stderr, cwd=ROOT, env=env)
        except BaseException:
            stderr.close()
            workspace.remove(folder)
            raise

    @property
    def alive(self) -> bool:
        """Return whether it runs. Truncate a stderr that is too long, because only its last lines are needed."""
        if not self.closed and os.fstat(self.stderr.fileno()).st_size > STDERR_BYTES:
            self.stderr.truncate(0)
        return super().alive

    def last_output(self, begin: int = 0) -> str:
        """Return the end of what it has written to stderr since `begin`."""
        first = max(begin, os.fstat(self.stderr.fileno()).st_size - STDERR_TAIL_BYTES)
        return os.pread(self.stderr.fileno(), STDERR_TAIL_BYTES, first).decode(errors="replace")

    def exit_reason(self, deadline: float) -> str:
        """Return how it ended, with its last line; after a crash with the function that `faulthandler` reports."""
        try:
            code = self.process.wait(max(POLL_S, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.close()
            return "closed its pipes, timed out and was killed"
        output, _, crash = self.last_output().partition("Fatal Python error: ")
        last = output.strip().splitlines()[-1:]
        details = frame(crash) + "".join(f": {printable(line)}" for line in last)
        if -code == signal.SIGKILL and memory.oom_kills() > self.oom_kills:
            details = f": the machine ran out of memory{details}"
        names = {entry.value: entry.name for entry in signal.Signals}
        end = f"killed by {names.get(-code, f'signal {-code}')}" if code < 0 else f"exited with code {code}"
        return memory.blame_memory(end + details, self.allowed, output)

    def where(self) -> str:
        """Return the function that it is in, from `faulthandler`'s answer to a signal."""
        before = os.fstat(self.stderr.fileno()).st_size
        self.process.send_signal(signal.SIGUSR1)
        time.sleep(POLL_S)
        return frame(self.last_output(before))

    def settle(self) -> None:
        """Wait until none of its threads runs, SETTLE_S at most, so that they take no core from another process."""
        cleanup.settle(self.process.pid, time.monotonic() + SETTLE_S)

    def helper_seconds(self) -> float:
        """Return the CPU seconds so far of the processes that it has started; 0 without /proc."""
        return cleanup.helper_seconds(str(self.folder), self.process.pid)

    def close(self) -> None:
        """End it and everything that it has started. Remove its working folder."""
        if self.closed:
            return
        self.closed = True
        self.workspace.removed += cleanup.end_processes(str(self.folder), self.process.pid, self.segments)
        try:
            self.process.wait(cleanup.KILL_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.workspace.removed.append(f"process {self.process.pid} (a worker), which was killed and does not end")
        for pipe in (self.stdin, self.stdout, self.stderr):
            with contextlib.suppress(BrokenPipeError):  # an unsent request has no reader
                pipe.close()
        self.workspace.remove(self.folder)


def frame(output: str) -> str:
    """Return the innermost function in `faulthandler`'s output, with its caller if it is a library's; "" for none.

    " in run (mine.py:12)", " in string_at (__init__.py:519), called at mine.py:12".
    """
    match = FRAME.search(output)
    if match is None:
        return ""
    calls = FRAME.findall(output[match.start() :].partition("\n\n")[0])
    user_call = next((call for call in calls if not LIBRARY_PATH.search(call[0] or call[1])), calls[0])
    caller = f", called at {printable(user_call[1])}:{user_call[2]}" if user_call != calls[0] else ""
    return f" in {printable(match[4])} ({printable(match[2])}:{match[3]}){caller}"


def exchange(members: Sequence[Member], request: Message, deadline: float) -> list[Message]:
    """Send the same request to all members and wait for their answers until the deadline.

    Return one answer for each member: {"lost": reason} if it died, or timed out and was killed; {} if it did not answer
    soon after another member was lost or raised.
    """
    sent = json.dumps(request).encode() + b"\n"
    for member in members:
        member.send(sent)
    longest = ANSWER_BYTES + ANSWER_FACTOR * len(sent)
    lines, answers, until = [bytearray() for _ in members], dict[int, Message](), deadline
    while len(answers) < len(members):
        waiting = {member.fileno(): i for i, member in enumerate(members) if i not in answers}
        remaining, dead = max(0.0, until - time.monotonic()), [i for i in waiting.values() if not members[i].alive]
        ready, _, _ = select.select(list(waiting), [], [], min(remaining, POLL_S))
        for i in (waiting[descriptor] for descriptor in ready):
            chunk = members[i].receive()
            lines[i] += chunk
            if len(lines[i]) > longest:
                answers[i] = _lost(members[i], f"its answer is longer than {longest:,} bytes")
            elif chunk.endswith(b"\n"):
                answers[i] = _answer(members[i], bytes(lines[i]), request)
            elif not chunk:
                answers[i] = {"lost": members[i].exit_reason(until)}
        for i in dead if not ready else []:  # a child process may hold the pipe
            answers[i] = {"lost": members[i].exit_reason(until)}
        for i in waiting.values() - answers.keys() if remaining == 0 else []:
            reason = f"timed out{members[i].where()} and was killed"
            answers[i] = _lost(members[i], reason) if until == deadline else _lost(members[i], "")
        if any({"lost", "raised", "unsupported"} & answer.keys() for answer in answers.values()):
            until = min(until, time.monotonic() + LOSS_GRACE_S)
    return [answers[i] for i in range(len(members))]


def _answer(member: Member, line: bytes, request: Message) -> Message:
    """Return a member's answer. End the member after anything else: later answers would belong to older requests."""
    try:
        answer = parse(line)
    except ValueError as error:
        return _lost(member, str(error))
    if answer.pop("number", None) != request["number"] and "lost" not in answer:
        return _lost(member, "its answer belongs to another request")
    return answer


def _lost(member: Member, reason: str) -> Message:
    """End a member. Return its answer, {} without a reason."""
    member.close()
    return {"lost": reason} if reason else {}
