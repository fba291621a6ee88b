"""Check pytest's own settings before anything is measured, keep the plan's order, go on without output, end on signals.

The first signal acts like Ctrl-C and keeps finished cases, later ones are ignored.
"""

import contextlib
import copy
import importlib.util
import io
import os
import re
import signal
import sys
import threading
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TextIO, cast

import pytest
from pytest_benchmark.session import BenchmarkSession

import impls
from benchmarks.campaign import options
from benchmarks.campaign.plan import Plan
from benchmarks.worker import process

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

ROOT = process.ROOT.resolve()  # a link may lead to it
BENCHMARKS = ROOT / "benchmarks"
TEST_FOLDERS = (BENCHMARKS, ROOT / "tests")  # with tests of this project
END_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SIDE_BY_SIDE = "benchmarks that run at the same time disturb one another"
OWN_CLOCKS = "the processes of this suite read their own clocks"
OWN_GC = "this suite checks that timed rounds collect no garbage"
OWN_ROUNDS = "a case has 3 to 50 rounds, by the time of one, or 1 if that is long; use --blocks and --minutes"
# Options of other plugins: attribute, values that change nothing, name, effect on a measurement or why it has none
CHANGES_TIMING: tuple[tuple[str, tuple[object, ...], str, str], ...] = (
    ("numprocesses", (None, 0), "-n", SIDE_BY_SIDE),
    ("dist", (None, "no"), "--dist", SIDE_BY_SIDE),
    ("tx", (None, []), "--tx", SIDE_BY_SIDE),
    ("forked", (None, False), "--forked", "each case runs in a process already, and its rows would be lost"),
    ("codspeed", (None, False), "--codspeed", "it replaces the timer of this suite"),
    ("count", (None, 1), "--count", "it repeats cases outside the plan; use --blocks"),
    ("reruns", (None, 0), "--reruns", "a failed case would be timed until it passes"),
    ("cov_source", (None, []), "--cov", "it traces what is timed"),
    ("benchmark_timer", ("time.perf_counter",), "--benchmark-timer", OWN_CLOCKS),
    ("benchmark_min_time", ("0.000005",), "--benchmark-min-time", OWN_ROUNDS),
    ("benchmark_max_time", ("1.0",), "--benchmark-max-time", OWN_ROUNDS),
    ("benchmark_min_rounds", (5,), "--benchmark-min-rounds", OWN_ROUNDS),
    ("benchmark_warmup", (False,), "--benchmark-warmup", "a case has run before its first round"),
    ("benchmark_disable_gc", (False,), "--benchmark-disable-gc", OWN_GC),
)


class Output(io.FileIO):
    """stdout or stderr that discards output when a disk is full: `write_error` is why. A broken pipe still raises."""

    write_error = ""

    def write(self, data: "ReadableBuffer", /) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            raise
        except OSError as error:
            self.write_error = error.strerror or str(error)
            return memoryview(data).nbytes


@dataclass
class Streams:
    """stdout of this process. closed: whether it was when the process began. results: where they are, what to do."""

    stdout: TextIO
    file: Output
    closed: bool
    results: str = ""

    def lost(self) -> str:
        """Flush stdout. Return why output is lost; "" if it is not."""
        with contextlib.suppress(BrokenPipeError):  # pytest itself ends on it
            self.stdout.flush()
        if self.file.write_error:
            return f"stdout cannot be written: {self.file.write_error}"
        return "stdout is closed" if self.closed else ""


STREAMS = pytest.StashKey[Streams]()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_load_initial_conftests(
    early_config: pytest.Config, parser: pytest.Parser, args: list[str]
) -> Generator[None, None, None]:
    """Refuse paths outside this project. Replace stdout and stderr before pytest captures them."""
    check_paths(early_config, parser, args)
    closed = sys.stdout is None
    sys.stdout, file = _output(sys.stdout, sys.__stdout__, 1)
    sys.stderr, _ = _output(sys.stderr, sys.__stderr__, 2)
    if file is not None:
        early_config.stash[STREAMS] = Streams(sys.stdout, file, closed)
    return (yield)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> Generator[None, int, int]:
    """If output is lost, say on stderr where the results are. A full disk changes the exit status from 0 to 3."""
    status = yield
    streams = config.stash.get(STREAMS, None)
    if streams is not None and (lost := streams.lost()):
        sys.stderr.write("; ".join(filter(None, [lost, streams.results])) + "\n")
        return int(status) or 3 * bool(streams.file.write_error)
    return status


def _output(stream: TextIO | None, original: TextIO | None, descriptor: int) -> tuple[TextIO, Output | None]:
    """Return a stream that survives a full disk, and its file. A stream that is not the process's own is unchanged."""
    if stream is None:  # closed: no file opened later may get its descriptor
        null = os.open(os.devnull, os.O_WRONLY)
        if null < descriptor:  # stdin was closed too
            os.dup2(null, descriptor)
            os.close(null)
            null = descriptor
        file = Output(null, "w")
        return io.TextIOWrapper(io.BufferedWriter(file), encoding="utf-8"), file
    if stream is not original or not isinstance(stream, io.TextIOWrapper):
        return stream, None
    stream.flush()
    file = Output(descriptor, "w", closefd=False)
    buffer = file if stream.write_through else io.BufferedWriter(file)  # PYTHONUNBUFFERED: as Python itself does
    text = io.TextIOWrapper(cast(BinaryIO, buffer), stream.encoding, stream.errors)
    text.reconfigure(line_buffering=stream.line_buffering, write_through=stream.write_through)
    return text, file


def check_paths(config: pytest.Config, parser: pytest.Parser, args: list[str]) -> None:
    """Raise UsageError if this suite's options or benchmarks are mixed with foreign paths or unknown options.

    pytest runs the conftest.py beside each path: `--imp mine.py` would run what is beside mine.py in this process.
    """
    parsed, unknown = parser.parse_known_and_unknown_args(args, copy.copy(config.option))
    known_options = [option.name for option in options.OPTIONS]
    directory = config.invocation_params.dir
    names = [str(path) for path in parsed.file_or_dir]
    if not any((directory / name.partition("::")[0]).exists() for name in names):
        names.append(str(directory))  # pytest then runs its conftest.py
    paths = {name: _place(config, name, parsed.pyargs) for name in names}
    given_names = {arg.partition("=")[0] for arg in args}
    if not (given_names & {*known_options} or any(path.is_relative_to(BENCHMARKS) for path in paths.values())):
        return
    unknown_names = [arg.partition("=")[0] for arg in unknown]
    foreign = [name for name, path in paths.items() if path != ROOT and not any(map(path.is_relative_to, TEST_FOLDERS))]
    if unknown_names:
        nearest = impls.nearest(unknown_names[0], known_options).partition(" (known")[0]
        raise pytest.UsageError(f"no option {unknown_names[0]}{nearest}")
    if foreign:
        raise pytest.UsageError(
            f"{foreign[0]}: not in this suite's benchmarks; give files by an option, several with commas:"
            " pytest benchmarks --impl A.py,B.py"
        )
    confcutdir = Path(directory, config.known_args_namespace.confcutdir).resolve()
    if parsed.noconftest or not ROOT.is_relative_to(confcutdir):
        raise pytest.UsageError("--noconftest, --confcutdir: this suite's conftest.py makes the cases; leave them out")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Skip folders in this checkout that are not the project's: pytest would run their conftest.py."""
    by_folder = ROOT in [_place(config, arg, False) for arg in config.args]
    is_folder = collection_path.is_dir() and collection_path.resolve().parent == ROOT
    return True if by_folder and is_folder and collection_path.resolve() not in TEST_FOLDERS else None


def _place(config: pytest.Config, name: str, is_module: bool) -> Path:
    """Return the path that an argument of pytest names, also as a module of this suite."""
    file = name.partition("::")[0].partition("[")[0]
    module = ROOT / file.replace(".", "/")
    is_module = is_module and re.fullmatch(r"\w+(\.\w+)*", file) is not None
    paths = [path for path in (module, Path(f"{module}.py")) if is_module and path.exists()]
    return paths[0] if paths else Path(config.invocation_params.dir, file).resolve()


def measures_benchmarks(config: pytest.Config) -> bool:
    """Return whether the command line names benchmarks of this project, directly or by a folder that holds them."""
    paths = [_place(config, arg, config.option.pyargs) for arg in config.args]
    return any(path.is_relative_to(BENCHMARKS) or path in BENCHMARKS.parents for path in paths)


def another_configuration(config: pytest.Config) -> pytest.UsageError:
    """Return the error for a configuration that is not this project's."""
    if config.inipath is not None and config.inipath.resolve() == ROOT / "pyproject.toml":
        return pytest.UsageError("--override-ini: this project's addopts load its options; leave addopts as it is")
    return pytest.UsageError(
        f"pytest reads {config.inipath or 'no configuration'} instead of this project's pyproject.toml; "
        f"add: -c {ROOT / 'pyproject.toml'}"
    )


def check(config: pytest.Config) -> None:
    """Refuse settings under which nothing can be measured or saved. Raises UsageError."""
    option = config.option
    if config.inipath is None or config.inipath.resolve() != ROOT / "pyproject.toml":
        raise another_configuration(config)
    if not measures_benchmarks(config):
        return
    for attribute, harmless, flag, reason in CHANGES_TIMING:
        if getattr(option, attribute, None) not in harmless:
            raise pytest.UsageError(f"{flag}: {reason}; leave {flag} out")
    if option.benchmark_histogram and importlib.util.find_spec("pygal") is None:
        raise pytest.UsageError("--benchmark-histogram needs pygal: pip install pygal, or use python -m results report")
    base = option.benchmark_compare
    if isinstance(base, str) and (len(Path(base).parts) > 2 or os.path.isabs(base)) and not os.path.isfile(base):
        raise pytest.UsageError(f"--benchmark-compare={base}: no such file; give a file or the number of a saved run")
    if option.benchmark_compare_fail and not base:
        raise pytest.UsageError("--benchmark-compare-fail needs a run to compare with: add --benchmark-compare=NUMBER")


def check_base(config: pytest.Config, benchmarks: BenchmarkSession) -> None:
    """Raise UsageError if --benchmark-compare-fail has no saved run to compare with."""
    option = config.option
    names = [] if option.benchmark_compare is True else [option.benchmark_compare]
    if option.benchmark_compare_fail and not list(benchmarks.storage.query(*names)):
        raise pytest.UsageError(f"--benchmark-compare: no saved run {' '.join(names)} in {benchmarks.storage.path}")


def in_plan_order(items: list[Any], plan: Plan) -> list[Any]:
    """Return the test items with the cases in the order of the plan. Other items keep their places."""
    places = {str(case): place for place, case in enumerate(plan.cases())}
    cases = [item for item in items if case_name(item) in places]
    ordered = iter(sorted(cases, key=lambda item: (places[case_name(item)], item.name)))
    return [next(ordered) if case_name(item) in places else item for item in items]


def case_name(item: Any) -> str:
    """Return the name of a test item's case; "" for other tests."""
    return str(item.callspec.params.get("case", "")) if hasattr(item, "callspec") else ""


def install_signal_handlers() -> None:
    """Make the first of END_SIGNALS act like Ctrl-C. A signal that is already ignored (nohup) stays ignored."""
    if threading.current_thread() is threading.main_thread():
        for end_signal in END_SIGNALS:
            if signal.getsignal(end_signal) in (signal.SIG_DFL, signal.default_int_handler):
                signal.signal(end_signal, _interrupt)


def ignore_signals() -> None:
    """Ignore END_SIGNALS, because the run is about to be saved."""
    for end_signal in END_SIGNALS:
        if signal.getsignal(end_signal) is _interrupt:
            signal.signal(end_signal, signal.SIG_IGN)


def _interrupt(number: int, frame: Any) -> None:
    ignore_signals()
    raise KeyboardInterrupt
