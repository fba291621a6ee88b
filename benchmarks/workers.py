"""The parent's side of a worker: start it with its environment set, ask it, and bury it when it is lost."""

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.plan import Plan
from impls.interface import Array, Unsupported

ROOT = Path(__file__).parent.parent
POLL = 0.2  # seconds between two looks whether a silent worker is alive
CACHES = ("TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR", "NUMBA_CACHE_DIR", "CUPY_CACHE_DIR", "CACHEDB")  # tinygrad's
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS", "NPROC", "PJRT_NPROC")


class Refused(Exception):
    """This case has no time: the reason, in words."""


class Invalid(Exception):
    """This case has a row that must not be used: the reason, in words."""


class Clock:
    """The seconds that workers have spent inside timed runs, added up: the timer that pytest-benchmark reads."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def worker_seconds(self) -> float:
        """What the clock shows (a method, so that the timer has a name in the JSON)."""
        return self.seconds


class Worker:
    """A process of its own that holds one implementation. Raises what `ask` raises when it cannot be loaded."""

    def __init__(self, impl: str, threads: int, device: str, precision: str, timeout: float) -> None:
        self.scratch = tempfile.TemporaryDirectory(prefix="descentbench-worker-")
        self.cores = pinned(threads)
        self.stderr = Path(self.scratch.name, "stderr")
        with self.stderr.open("wb") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.worker", ",".join(map(str, self.cores))],
                cwd=ROOT,
                env=environment(threads, device, precision, self.scratch.name),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                start_new_session=True,
            )
        self.deadline = time.monotonic() + timeout
        try:
            self.loaded = self.ask("load", impl=impl)
        except BaseException:
            self.close()
            raise

    def ask(self, op: str, **fields: Any) -> dict[str, Any]:
        """Send a request, wait for its answer until the deadline.

        Raises Unsupported with the implementation's reason; Refused when it raises, breaks the contract, dies or hangs.
        """
        answer = json.loads(self._exchange(json.dumps({"op": op, **fields}).encode() + b"\n"))
        if "unsupported" in answer:
            raise Unsupported(answer["unsupported"])
        if "raised" in answer:
            self.close()  # what it has left behind, device memory above all, must not meet the next case
            raise Refused(answer["raised"])
        if wrong := answer.pop("wrong", ""):
            raise Refused(wrong)
        return dict(answer)

    def run(self, start: Array, steps: int, op: str = "descend") -> dict[str, Any]:
        """One run of the descent: what `worker.Host.descend` answers, or `round` or `grow` of it."""
        return self.ask(op, start=start.tolist(), steps=steps)

    @property
    def alive(self) -> bool:
        """Whether it can still be asked."""
        return self.process.poll() is None

    def close(self) -> None:
        """End the process and whatever it has started; remove its scratch folder."""
        with contextlib.suppress(ProcessLookupError):  # it has ended, and so has all that it started
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            with contextlib.suppress(BrokenPipeError):  # what was still to be sent has nobody to read it
                pipe.close()
        self.scratch.cleanup()

    def _exchange(self, request: bytes) -> bytes:
        assert self.process.stdin is not None and self.process.stdout is not None
        try:
            self.process.stdin.write(request)
            self.process.stdin.flush()
        except BrokenPipeError:
            raise Refused(self._obituary()) from None
        answer = b""
        while not answer.endswith(b"\n"):
            left, dead = max(0.0, self.deadline - time.monotonic()), not self.alive
            ready, _, _ = select.select([self.process.stdout], [], [], min(left, POLL))
            if not ready and dead:  # what it has started may hold the pipe open
                raise Refused(self._obituary())
            if not ready and left == 0:
                self.close()
                raise Refused("timed out and was killed")
            if not ready:
                continue
            part = os.read(self.process.stdout.fileno(), 1 << 20)
            if not part:
                raise Refused(self._obituary())
            answer += part
        return answer

    def _obituary(self) -> str:
        try:
            code = self.process.wait(max(POLL, self.deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            return "closed its pipes, timed out and was killed"
        last = self.stderr.read_text(errors="replace").strip().splitlines()[-1:]
        words = f": {last[0][:300]}" if last else ""
        return (f"killed by {signal.Signals(-code).name}" if code < 0 else f"exited with code {code}") + words


def program(plan: Plan, device: str, folder: str, module: str, *args: str) -> str:
    """What a program of this package prints, run as a worker is: first its cores are told to it, then the folder."""
    done = subprocess.run(
        [sys.executable, "-m", module, ",".join(map(str, pinned(plan.threads))), folder, *args],
        cwd=ROOT,
        env=environment(plan.threads, device, plan.precision, folder),
        check=True,
        capture_output=True,
        text=True,
        timeout=plan.timeout,
    )
    return done.stdout


def pinned(threads: int) -> list[int]:
    """Cores of a worker with so many threads: the last that are to be had; [] where there is no choice."""
    return sorted(os.sched_getaffinity(0))[-threads:] if hasattr(os, "sched_getaffinity") else []


def environment(threads: int, device: str, precision: str, scratch: str) -> dict[str, str]:
    """What must be set before a framework is imported: threads, precision, fresh compiler caches, no unasked GPU.

    JAX takes device memory as it needs it, unless the user's settings say otherwise: the rest is for others.
    """
    unwanted = ("JAX_COMPILATION_CACHE_DIR", "NVIDIA_TF32_OVERRIDE")
    env = {name: value for name, value in os.environ.items() if name not in unwanted}
    env |= dict.fromkeys(THREADS, str(threads)) | {"DESCENTBENCH_PRECISION": precision}
    env |= dict.fromkeys(CACHES, os.path.join(scratch, "jit")) | {"TORCHINDUCTOR_COMPILE_THREADS": "1"}
    if device == "cpu":
        return env | {"JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": ""}
    return {"XLA_PYTHON_CLIENT_PREALLOCATE": "false", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"} | env
