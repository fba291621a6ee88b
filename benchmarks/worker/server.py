"""A fresh process that holds one implementation: it loads, prepares, runs and times it. It judges nothing.

Requests arrive as JSON lines on stdin. Answers leave as JSON lines on the original stdout; prints of the implementation
go to stderr. The parent sets the environment before this process starts (`benchmarks/worker/client.py`).
"""

from time import perf_counter, process_time  # bound here: an implementation that changes `time` changes no clock

STARTED = perf_counter()

import ctypes
import faulthandler
import gc
import hashlib
import json
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import asdict
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np

import impls
from benchmarks.machine import bandwidth
from benchmarks.typed_json import printable
from benchmarks.worker import memory, probes
from benchmarks.worker.arrays import other_ranks_bytes, read, read_mapped
from benchmarks.worker.reasons import no_run, raised
from impls.interface import Array, Device, Prepare, Problem, Run, Unsupported, shard
from impls.traits import traits

Answer = dict[str, Any]
ORDERS = (  # a Latin square balanced for carry-over effects (Williams, 1949)
    ("none", "half", "repeat", "all"),
    ("half", "all", "none", "repeat"),
    ("all", "repeat", "half", "none"),
    ("repeat", "none", "all", "half"),
)
TRANSFER_FUNCTIONS, WAIT_FUNCTION = ("place", "put"), "fetch"  # of a framework: to its device, and back
PR_SET_PDEATHSIG = 1  # linux/prctl.h
SOURCE_BYTES, MAX_HELPERS = 20_000, 20  # of a file; modules beside it whose text is included
ROOT, STDLIB = Path(__file__).resolve().parents[2], Path(os.__file__).resolve().parent
SUITE_FILES = {Path(str(module.__file__)) for module in (impls, impls.interface, impls.traits)}  # of no implementation


class WorkerServer:
    """One implementation and the last problem that it was given."""

    impl: str = ""
    prepare_run: Prepare
    problem: Problem
    run: Run
    folder: str
    framework: str
    named: Answer  # the framework and its version
    device: Device = "cpu"
    reading: bandwidth.Reading | None = None
    last: Array | None = None  # the result of the last run, overwritten with NaN: nobody else may write to it
    half: bool = False  # whether it can keep X in 16 bits

    def __init__(self) -> None:
        self.orders: Iterator[tuple[str, ...]] = cycle(ORDERS)  # of the runs of `grow`
        self.precision: dict[str, Answer] = {}  # by dtype, once measured
        self.jit_cache = probes.jit_cache()

    def load(self, impl: str) -> Answer:
        """Import the implementation. `seconds` counts from the start of this process's own code, NumPy included.

        Raises Unsupported, and whatever the import raises.
        """
        self.impl = impl
        self.prepare_run = impls.load(impl)
        seconds = perf_counter() - STARTED
        gc.collect()
        gc.freeze()  # later collections skip what the framework has imported
        self.name_framework()
        module = getattr(self.prepare_run, "__globals__", {})
        if "WORK" in module:
            raise Unsupported("its constant WORK is called STEP_READS now; rename it")
        self.half = module.get("HALF", False) is True
        facts = {"step_reads": str(module.get("STEP_READS", "X")), "ranks": module.get("RANKS", False) is True}
        return {"seconds": seconds, **self.named, **facts, **traits(impl)}

    def name_framework(self) -> None:
        """Find the framework that the implementation has imported so far, and its version."""
        self.framework = probes.framework(self.impl, getattr(self.prepare_run, "__module__", ""))
        self.named = {"framework": self.framework, "version": probes.version(self.framework)}

    def source(self, impl: str) -> Answer:
        """Return the file that the implementation was loaded from, as `source` describes it."""
        return source(impls.file(impl))

    def bandwidth(self, device: Device) -> Answer:
        """Measure the rates of the framework's kernels: see `benchmarks/machine/bandwidth.py`."""
        module = probes.shared_module(self.framework)
        return asdict(bandwidth.measured(self.framework, module, device, probes.cores()))

    def read(self, size: int) -> Answer:
        """Read an array of that many bytes, which is kept for the next time."""
        if self.reading is None or self.reading.size != size:
            self.reading = None  # its memory goes first
            kernels = bandwidth.kernels_of(self.framework, probes.shared_module(self.framework))
            self.reading = bandwidth.Reading(kernels, size)
        return {"bytes_per_s": self.reading.bytes_per_s()}

    def open_device(self, device: Device) -> Answer:
        """Prepare a problem of two rows, timed. This makes the device's context. Raises what `prepare` raises."""
        self.device, X = device, np.ones((2, 1), np.float32)
        start = perf_counter()
        self.prepare_run(Problem(X, X[:, 0].copy(), X[0].copy(), 0.1, 1, None), device)
        return {"seconds": perf_counter() - start}

    def prepare(self, folder: str, device: Device) -> Answer:
        """Read a problem from its folder and give it to the implementation. Only the latter is timed.

        Raises Unsupported, and whatever the implementation raises.
        """
        self.run = self.problem = self.last = None  # type: ignore[assignment]  # their memory must not count as this one's
        memory.limit_this_process(other_ranks_bytes(folder))
        self.problem, self.folder, self.device = read(folder), folder, device
        if self.problem.storage and not self.half:
            raise Unsupported("keeps X in its own dtype only, not in 16 bits")
        gc.collect()
        probes.reset_peak()
        probes.reset_device_bytes()
        probes.take_seconds(*TRANSFER_FUNCTIONS)
        start = perf_counter()
        self.run = self.prepare_run(self.problem, device)
        seconds = perf_counter() - start
        if wrong := no_run(self.run, self.prepare_run):
            return {"wrong": wrong}
        gc.collect()
        return {"seconds": seconds, "transfer_seconds": probes.take_seconds(*TRANSFER_FUNCTIONS)}

    def descend(self, start: list[Any], steps: int) -> Answer:
        """Run once, timed from the call to the host array, with garbage collection off."""
        w = np.array(start, self.problem.w0.dtype)
        original = w.copy()
        probes.take_seconds(WAIT_FUNCTION)
        gc.disable()
        compiled, collected = probes.compilations(), collections()
        cpu, wall = process_time(), perf_counter()
        result = self.run(w, steps)
        seconds, cpu_seconds = perf_counter() - wall, process_time() - cpu
        collected = collections() - collected
        gc.enable()
        answer = {
            "seconds": seconds,
            "cpu_seconds": cpu_seconds,
            "blocked_seconds": probes.take_seconds(WAIT_FUNCTION),
            "compiles": probes.compilations() - compiled,
            "gc_runs": collected,
            "wrong": self.wrong_with(result, w) or ("" if np.array_equal(w, original) else "run changed its start"),
        }
        if not answer["wrong"]:
            answer["weights"] = result.tolist()
            result.fill(np.nan)
            self.last = result
        return answer

    def round(self, start: list[Any], elsewhere: list[Any], steps: int) -> Answer:
        """Time a run of 0 steps and one of `steps`, after uncounted runs, because waiting cools caches and threads."""
        for uncounted in (1, 0, 0, 0):
            self.run(self.problem.w0.copy(), uncounted)
        no_steps = self.descend(elsewhere, 0)
        if not no_steps["wrong"] and no_steps["weights"] != elsewhere:
            no_steps["wrong"] = "run(start, 0) is not start"
        if no_steps["wrong"]:
            return no_steps
        all_steps = self.descend(start, steps)
        all_steps["compiles"] += no_steps["compiles"]
        return all_steps | {"fixed_seconds": no_steps["seconds"]}

    def grow(self, start: list[Any], steps: int, uncounted: int) -> Answer:
        """Time runs of no steps, half of them, and all of them twice, each after `uncounted` pairs of uncounted runs.

        The position in a try costs some microseconds, as much as half of the steps of a small problem. In four tries
        each run has every position, and follows each other run once (`ORDERS`).
        A preempted run counts with its CPU seconds, if they are fewer. On a busy machine the scheduler preempts at the
        same position of each try, and so only one of the four runs. A run that waited keeps its wall time: the CPU
        clock of other threads advances in ticks, and a device has none.
        """
        counts = {"none": 0, "half": steps // 2, "all": steps, "repeat": steps}
        seconds = {}
        for name in next(self.orders):
            count = counts[name]
            for warm_up in (steps, count) * uncounted:
                self.run(self.problem.w0.copy(), warm_up)
            (preemptions, waits), result = probes.switches(), self.descend(start, count)
            if result["wrong"]:
                return result
            preemptions_now, waits_now = probes.switches()
            seconds[name] = result["seconds"]
            preempted = preemptions_now > preemptions and waits_now == waits
            if preempted and self.device == "cpu" and result["cpu_seconds"]:  # 0 below a tick
                seconds[name] = min(result["seconds"], result["cpu_seconds"])
        return seconds

    def busy(self, start: list[Any], steps: int, runs: int) -> Answer:
        """Return CPU seconds per second over that many consecutive runs: the process's clock advances in ticks."""
        w, cpu, wall = np.array(start, self.problem.w0.dtype), process_time(), perf_counter()
        for _ in range(runs):  # a number, not a duration: all ranks must run equally often
            self.run(w.copy(), steps)
        return {"cpu_over_wall": (process_time() - cpu) / (perf_counter() - wall)}

    def profile(self) -> Answer:
        """Return what the GPU does in a run, by the framework's profiler: see `probes.device_work`.

        The profiler may slow down what comes later, so this is the last request of a process. Where it fails,
        `unprofiled` is the reason.
        """
        w0, steps = self.problem.w0, self.problem.steps
        try:
            return probes.device_work(lambda: self.run(w0.copy(), steps), lambda: self.run(w0.copy(), 0), steps)
        except Exception as error:  # a profiler or a driver may raise anything: the row is complete without its numbers
            return {"unprofiled": printable(f"{type(error).__name__}: {error}")}

    def wrong_with(self, result: object, start: Array) -> str:
        """Return how a result breaks sentence 2 of the contract, or ""."""
        w0, foreign = self.problem.w0, (start, self.problem.w0, self.problem.X, self.problem.y)
        if type(result) is not np.ndarray:  # a subclass may compute later
            return f"run returned a {type(result).__name__}, not a NumPy array"
        if result.dtype != w0.dtype:
            return f"the result is {result.dtype}, the problem {w0.dtype}"
        if result.shape != w0.shape:
            return f"the result has shape {result.shape}, w0 {w0.shape}"
        if not result.flags.writeable:
            return "the result is not the caller's own: it cannot be written to"
        if any(np.may_share_memory(result, array) for array in foreign):
            return "the result is not the caller's own: it is the memory of start or of the problem"
        if self.last is not None and not np.isnan(self.last).all():
            return "the result is not the caller's own: a later run wrote to an earlier result"
        return ""

    def finish(self, event_runs: int) -> Answer:
        """Return peak memory since `prepare` (bytes), the probes, and whether the problem is unchanged."""
        rss, device_bytes, saved = probes.peak(), probes.device_bytes(), read_mapped(self.folder)
        event_s = probes.event_seconds(lambda: self.run(self.problem.w0.copy(), self.problem.steps), event_runs)
        dtype = str(saved.X.dtype)
        if self.framework == "numpy":  # it may have imported another one since
            self.name_framework()
        if dtype not in self.precision:
            self.precision[dtype] = probes.precision(self.framework, dtype, self.device)
        own_rows, all_rows = shard(len(saved.X)), slice(None)
        rows = {"X": own_rows, "y": own_rows, "w0": all_rows} | ({} if saved.order is None else {"order": all_rows})
        pairs = ((getattr(self.problem, name)[part], getattr(saved, name)[part]) for name, part in rows.items())
        intact = all(np.array_equal(array, original) for array, original in pairs)
        facts = {"rss_bytes": rss, "device_bytes": device_bytes, "event_s": event_s, "jit_cache": self.jit_cache}
        facts |= self.named | self.precision[dtype] | probes.threads()
        return facts | {"wrong": "" if intact else "run changed the problem's data"}


OPERATIONS = {  # the methods that a request may name
    *("load", "source", "bandwidth", "read", "open_device", "prepare"),
    *("descend", "round", "grow", "busy", "finish", "profile"),
}


def source(path: Path) -> Answer:
    """Describe a source file.

    `file`: its path in the repository, elsewhere its name. `text`: its first SOURCE_BYTES.
    `helpers`: the same of at most MAX_HELPERS modules that it has imported from its folder and below, by relative path.
    `digest`: a hash over the file and these modules.
    """
    resolved = path.resolve()
    short = resolved.relative_to(ROOT) if resolved.is_relative_to(ROOT) else Path(path.name)
    file = path.name if "site-packages" in short.parts else short.as_posix()
    helpers = {name: module for name, module in modules_beside(resolved).items() if module not in SUITE_FILES}
    texts = {printable(name): source_text(helpers[name]) for name in sorted(helpers)[:MAX_HELPERS]}
    return {"file": file, "text": source_text(path), "helpers": texts, "digest": code_digest(helpers | {"": resolved})}


def source_text(path: Path) -> str:
    """Return the first SOURCE_BYTES of a Python file, a line with a hash of others, "" for no file. Raises OSError."""
    if not path.is_file():
        return ""
    content = path.read_bytes()
    total = f"{len(content)} bytes, SHA-256 {hashlib.sha256(content).hexdigest()}"
    if path.suffix != ".py":
        return f"# not text: {total}"
    text = content.decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n")
    if len(text.encode()) > SOURCE_BYTES:
        first = text.encode()[:SOURCE_BYTES].decode(errors="ignore")
        text = f"{first}\n# cut here: the first {SOURCE_BYTES} of {total}"
    return text


def modules_beside(path: Path) -> dict[str, Path]:
    """Return the imported files in the folder of a Python file and below it, without itself, by relative path.

    Without installed packages, the standard library and, unless it is in that very folder, this suite.
    """
    folder, modules = path.parent, {}
    for loaded in {str(getattr(module, "__file__", None)) for module in [*sys.modules.values()]}:
        installed = "site-packages" in loaded or "dist-packages" in loaded or loaded.startswith(f"{STDLIB}{os.sep}")
        if installed or not os.path.isfile(loaded):
            continue
        for file in (Path(os.path.abspath(loaded)), Path(loaded).resolve()):  # also the target of a link
            of_suite = file.parent != folder and file.is_relative_to(ROOT / "benchmarks")
            if file.is_relative_to(folder) and file != path and not (of_suite or file.is_relative_to(STDLIB)):
                modules[file.relative_to(folder).as_posix()] = file
                break
    return modules


def code_digest(files: dict[str, Path]) -> str:
    """Return 16 hex digits of a hash over the names and contents of files."""
    digest = hashlib.sha256()
    for name, file in sorted(files.items()):
        if file.is_file():
            digest.update(hashlib.sha256(name.encode()).digest() + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:16]


def collections() -> int:
    """Return how often this process has collected garbage."""
    return sum(generation["collections"] for generation in gc.get_stats())


def pin(cores: str) -> None:
    """Restrict this process to these cores, "0,1,...". Do nothing for ""."""
    if cores:
        os.sched_setaffinity(0, [int(core) for core in cores.split(",")])


def die_with_parent() -> None:
    """Let the kernel kill this process when its parent dies (Linux). Elsewhere it ends at its next request."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def answer(host: WorkerServer, request: Answer) -> Answer:
    """Carry out a request. An error of the implementation is an answer, not the end of the worker."""
    try:
        operation = request.pop("op")
        if operation not in OPERATIONS:
            return {"raised": f"unknown request {operation!r}"}
        result: Answer = getattr(host, operation)(**request)
    except Unsupported as error:
        return {"unsupported": str(error)}
    except impls.LoadError as error:
        return {"raised": str(error)}
    except Exception as error:  # untrusted code may raise anything
        reason = raised(error, host.impl)
        no_memory = type(error).__name__ == "OutOfMemoryError" or "RESOURCE_EXHAUSTED" in reason  # torch and CuPy; XLA
        if no_memory and not (host.device == "cpu" and memory.allowed()):
            return {"raised": f"out of device memory: {reason.partition(': ')[2]}"}
        return {"raised": memory.blame_memory(reason, memory.allowed())}
    return result


def main() -> None:
    """Answer requests until stdin ends."""
    pin(sys.argv[1])
    die_with_parent()
    memory.limit_this_process()
    faulthandler.enable(all_threads=False)  # a crash reports where
    faulthandler.register(signal.SIGUSR1, all_threads=False)  # the parent sends it before it kills this process
    with os.fdopen(os.dup(1), "w", buffering=1) as out:
        os.dup2(2, 1)
        host = WorkerServer()
        for line in sys.stdin:
            request = json.loads(line)
            print(json.dumps({"number": request.pop("number"), **answer(host, request)}), file=out)


if __name__ == "__main__":
    main()
