"""Check pytest's own settings before anything is measured, keep the plan's order, and end on signals.

The first signal acts like Ctrl-C and keeps finished cases, later ones are ignored.
"""

import importlib.util
import signal
import threading
from pathlib import Path
from typing import Any

import pytest
from pytest_benchmark.session import BenchmarkSession

from benchmarks.campaign.plan import Plan
from benchmarks.worker.process import ROOT

BENCHMARKS = ROOT / "benchmarks"
ENDING = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
CHANGES_TIMING = (  # options of other plugins: attribute, values that change nothing, name, effect on a measurement
    ("numprocesses", (None, 0), "-n", "benchmarks that run at the same time disturb one another"),
    ("codspeed", (None, False), "--codspeed", "it replaces the timer of this suite"),
    ("count", (None, 1), "--count", "it repeats cases outside the plan; use --blocks"),
)


def measures_benchmarks(config: pytest.Config) -> bool:
    """Return whether the command line names benchmarks of this project, directly or by a folder that holds them."""
    paths = [Path(config.invocation_params.dir, arg.partition("::")[0]).resolve() for arg in config.args]
    return any(path == BENCHMARKS or BENCHMARKS in path.parents or path in BENCHMARKS.parents for path in paths)


def check(config: pytest.Config) -> None:
    """Refuse settings under which nothing can be measured or saved. Raises UsageError."""
    option = config.option
    if config.inipath != ROOT / "pyproject.toml":
        raise pytest.UsageError(
            f"pytest reads {config.inipath or 'no configuration'} instead of this project's pyproject.toml; "
            f"add: -c {ROOT / 'pyproject.toml'}"
        )
    if not measures_benchmarks(config):
        return
    for attribute, harmless, flag, why in CHANGES_TIMING:
        if getattr(option, attribute, None) not in harmless:
            raise pytest.UsageError(f"{flag}: {why}; leave {flag} out")
    if option.benchmark_histogram and importlib.util.find_spec("pygal") is None:
        raise pytest.UsageError("--benchmark-histogram needs pygal: pip install pygal, or use python -m results report")
    if option.benchmark_compare_fail and not option.benchmark_compare:
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

    def place(item: Any) -> int:
        return places.get(item.callspec.params.get("case"), -1) if hasattr(item, "callspec") else -1

    cases = sorted((item for item in items if place(item) >= 0), key=lambda item: (place(item), item.name))
    ordered = iter(cases)
    return [next(ordered) if place(item) >= 0 else item for item in items]


def install_signal_handlers() -> None:
    """Make the first of these signals act like Ctrl-C. A signal that is already ignored (nohup) stays ignored."""
    if threading.current_thread() is threading.main_thread():
        for ending in ENDING:
            if signal.getsignal(ending) in (signal.SIG_DFL, signal.default_int_handler):
                signal.signal(ending, _interrupt)


def ignore_signals() -> None:
    """Ignore all of them: the run is ending and is about to be saved."""
    for ending in ENDING:
        if signal.getsignal(ending) is _interrupt:
            signal.signal(ending, signal.SIG_IGN)


def _interrupt(number: int, frame: Any) -> None:
    ignore_signals()
    raise KeyboardInterrupt
