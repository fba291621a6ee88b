"""A plugin for runs that are to be struck: it stops once at a moment, until it was struck, and notes what has finished.

FAULTS_AT names the moment: before, after (the second case), writing (a file is about to be saved), saving (it is
written, not yet there). What is to happen during a case is the implementation's.
"""

import json
import os
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.campaign import storage

FOLDER, AT = Path(os.environ["FAULTS_FOLDER"]), os.environ["FAULTS_AT"]
SECOND = "-scalar-"  # in the name of the second case
PATIENCE = 20.0  # seconds that it waits at most


def pause(moment: str) -> None:
    """Say that the moment has come, and wait."""
    if moment == AT and not (FOLDER / "reached").exists():
        (FOLDER / "reached").touch()
        until = time.monotonic() + PATIENCE
        while not (FOLDER / "go").exists() and time.monotonic() < until:
            time.sleep(0.01)


def pytest_runtest_logstart(nodeid: str) -> None:
    if SECOND in nodeid:
        pause("before")


def pytest_runtest_logfinish(nodeid: str) -> None:
    with (FOLDER / "finished").open("a") as file:
        file.write("1 ")
    if SECOND in nodeid:
        pause("after")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Function, call: Any) -> Generator[None, Any, Any]:
    """Bear witness: the name of a case that has ended, and its rounds."""
    report = yield
    benchmark = item.funcargs.get("benchmark") if call.when == "call" else None
    ended = call.excinfo is None or call.excinfo.errisinstance((pytest.skip.Exception, pytest.fail.Exception))
    if benchmark is not None and ended:
        rounds = list(benchmark.stats.stats.data) if benchmark.stats and not benchmark.has_error else []
        with (FOLDER / "witness").open("a") as file:
            file.write(json.dumps([item.nodeid, rounds]) + "\n")
    return report


@pytest.fixture(autouse=True)
def strange_facts(request: pytest.FixtureRequest) -> None:
    """What a case's facts are given beside, as another plugin might: FAULTS_FACT is a Python expression."""
    if "benchmark" in request.fixturenames and os.environ.get("FAULTS_FACT"):
        request.getfixturevalue("benchmark").extra_info["strange"] = eval(os.environ["FAULTS_FACT"])


def fsync(file: int, real: Any = os.fsync) -> None:
    """As it is, but a file that is being saved has its moment."""
    if os.readlink(f"/proc/self/fd/{file}").endswith(".tmp"):
        pause("saving")
    real(file)


def atomic_write(path: Path, text: str, real: Any = storage.atomic_write) -> None:
    """As it is, after its moment."""
    pause("writing")
    real(path, text)


os.fsync, storage.atomic_write = fsync, atomic_write
