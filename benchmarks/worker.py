"""A fresh process that holds one implementation: it loads, prepares, runs and times it, and judges nothing.

Requests come as JSON lines on stdin, answers go as JSON lines to what was stdout; what an implementation prints goes to
stderr. The parent sets the environment before this process starts (`benchmarks/workers.py`).
"""

import time

STARTED = time.perf_counter()

import gc  # noqa: E402
import json  # noqa: E402
import os  # noqa: E402
import resource  # noqa: E402
import sys  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import numpy as np  # noqa: E402

import impls  # noqa: E402
from impls.interface import Array, Device, Prepare, Problem, Run, Unsupported  # noqa: E402

Answer = dict[str, Any]


class Host:
    """One implementation and the problem that it has been given last."""

    prepare_run: Prepare
    problem: Problem
    run: Run
    folder: str
    last: Array | None = None  # the result of the last run, overwritten with NaN: nobody else may write to it

    def load(self, impl: str) -> Answer:
        """Import the implementation. `seconds` counts from the start of this process's own code, NumPy included."""
        self.prepare_run = impls.load(impl)
        framework = Path(impl).stem.partition("_")[0]
        version = str(getattr(sys.modules.get(framework), "__version__", ""))
        return {"seconds": time.perf_counter() - STARTED, "framework": framework, "version": version}

    def prepare(self, folder: str, device: Device) -> Answer:
        """Read a problem from its folder and give it to the implementation; only the latter is timed."""
        self.problem, self.folder, self.last = read(folder), folder, None
        reset_peak()
        start = time.perf_counter()
        self.run = self.prepare_run(self.problem, device)
        seconds = time.perf_counter() - start
        gc.collect()
        gc.freeze()
        return {"seconds": seconds}

    def descend(self, start: list[Any], steps: int) -> Answer:
        """One run, timed from the call to the host array, garbage collection off."""
        here = np.array(start, self.problem.w0.dtype)
        given = here.copy()
        gc.disable()
        cpu, wall = time.process_time(), time.perf_counter()
        result = self.run(here, steps)
        seconds, cpu_seconds = time.perf_counter() - wall, time.process_time() - cpu
        gc.enable()
        wrong = self.wrong_with(result, here) or ("" if np.array_equal(here, given) else "run changed its start")
        answer = {"seconds": seconds, "cpu_seconds": cpu_seconds, "wrong": wrong}
        if not wrong:
            answer["weights"] = result.tolist()
            result.fill(np.nan)
            self.last = result
        return answer

    def round(self, start: list[Any], steps: int) -> Answer:
        """A run of 0 steps and one of `steps`, after some that do not count: waiting cools caches and threads."""
        for uncounted in (1, 0, 0, 0):
            self.run(self.problem.w0.copy(), uncounted)
        nothing = self.descend(start, 0)
        if not nothing["wrong"] and nothing["weights"] != start:
            nothing["wrong"] = "run(start, 0) is not start"
        return nothing if nothing["wrong"] else self.descend(start, steps) | {"fixed_seconds": nothing["seconds"]}

    def wrong_with(self, result: object, start: Array) -> str:
        """What contract sentence 2 has against a result, or ""."""
        w0, others = self.problem.w0, (start, self.problem.w0, self.problem.X, self.problem.y)
        if not isinstance(result, np.ndarray):
            return f"run returned a {type(result).__name__}, not a NumPy array"
        if result.dtype != w0.dtype:
            return f"the result is {result.dtype}, the problem {w0.dtype}"
        if result.shape != w0.shape:
            return f"the result has shape {result.shape}, w0 {w0.shape}"
        if not result.flags.writeable:
            return "the result is not the caller's own: it cannot be written to"
        if any(np.may_share_memory(result, other) for other in others):
            return "the result is not the caller's own: it is the memory of start or of the problem"
        if self.last is not None and not np.isnan(self.last).all():
            return "the result is not the caller's own: a later run wrote to an earlier result"
        return ""

    def finish(self) -> Answer:
        """Peak memory since `prepare` (bytes), and whether the problem is still what it was."""
        rss, saved = peak(), read(self.folder)
        names = ["X", "y", "w0", *(["order"] if saved.order is not None else [])]
        intact = all(np.array_equal(getattr(self.problem, name), getattr(saved, name)) for name in names)
        return {"rss_bytes": rss, "wrong": "" if intact else "run changed the problem's data"}


def read(folder: str) -> Problem:
    """The problem that `campaign.py` wrote there."""
    path = Path(folder)
    plan = json.loads((path / "plan.json").read_text())
    order = np.load(path / "order.npy") if (path / "order.npy").exists() else None
    X, y, w0 = (np.load(path / f"{name}.npy") for name in ("X", "y", "w0"))
    return Problem(X, y, w0, plan["lr"], plan["steps"], order)


def reset_peak() -> None:
    """Have the kernel count the peak of resident memory from here on, where it can (Linux)."""
    clear = Path("/proc/self/clear_refs")
    if os.access(clear, os.W_OK):
        clear.write_text("5")


def peak() -> int:
    """Peak resident memory in bytes: since `reset_peak` on Linux, of the whole process elsewhere."""
    status = Path("/proc/self/status")
    if status.exists():
        return next(int(line.split()[1]) * 1024 for line in status.read_text().splitlines() if "VmHWM" in line)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def pin(cores: str) -> None:
    """Keep this process to these cores, "0,1,..."; "" where the system has no such thing."""
    if cores:
        os.sched_setaffinity(0, [int(core) for core in cores.split(",")])


def answer(host: Host, line: str) -> Answer:
    """Do what a request asks; what goes wrong in an implementation is an answer, not the end."""
    request = json.loads(line)
    try:
        done: Answer = getattr(host, request.pop("op"))(**request)
    except Unsupported as error:
        return {"unsupported": str(error)}
    except Exception as error:  # a stranger's code may raise anything
        return {"raised": f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"}
    return done


def main() -> None:
    """Answer requests until stdin ends."""
    pin(sys.argv[1])
    with os.fdopen(os.dup(1), "w", buffering=1) as out:
        os.dup2(2, 1)
        host = Host()
        for line in sys.stdin:
            print(json.dumps(answer(host, line)), file=out)


if __name__ == "__main__":
    main()
