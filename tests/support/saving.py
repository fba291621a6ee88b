"""A folder of saved runs that reports nothing, also for processes that save beside a test."""

from pathlib import Path

from pytest_benchmark.logger import Logger

from benchmarks.campaign.storage import Storage


def storage(folder: Path) -> Storage:
    made = Storage(str(folder), Logger(Logger.QUIET), default_machine_id="here")
    made.faults = []
    return made
