"""Save runs: files are written atomically, and no two runs get the same number."""

import contextlib
import errno
import glob
import json
import os
import secrets
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pytest_benchmark.session import BenchmarkSession
from pytest_benchmark.storage.file import FileStorage
from pytest_benchmark.utils import safe_dumps

from benchmarks.machine.files import lock_descriptor, without_links

RANDOM_GLOB = "[0-9a-f]" * 8  # in an unfinished file's name
READER_TIMEOUT_S = 10.0  # within which somebody must read a pipe


class Storage(FileStorage):
    """pytest-benchmark's folder of numbered files. faults: why a file was not saved. saved: the file of this run."""

    faults: list[str]
    saved: Path | None = None

    def save(self, output_json: dict[str, Any], save: str) -> None:
        """Write NNNN_save.json, numbered one above the highest number in the folder."""
        with record_failure(self.faults):
            folder, text = self.get("").resolve(), encoded(output_json)  # type: ignore[no-untyped-call]
            with exclusive_lock(folder):
                numbers = [path.name.partition("_")[0] for path in folder.glob("*_*.json")]
                number = max((int(word) for word in numbers if word.isdecimal()), default=0) + 1
                atomic_write(path := folder / f"{number:04}_{save}.json", text)
            self.saved = path
            self.logger.info(f"Saved benchmark data in: {path}")


def install(session: BenchmarkSession) -> list[str]:
    """Make pytest-benchmark save through this module. Return the list that failures are added to."""
    faults: list[str] = []
    if type(session.storage) is FileStorage:
        old = session.storage
        session.storage = Storage(old.path, old.logger, old.default_machine_id)  # type: ignore[no-untyped-call]
        session.storage.faults = faults
    if isinstance(session.json, (str, Path)):  # an open file in older versions

        def save_json(output_json: dict[str, Any]) -> None:
            with record_failure(faults):
                atomic_write(Path(session.json), encoded(output_json))
                session.logger.info(f"Wrote benchmark data in: {session.json}", purple=True)  # type: ignore[no-untyped-call]

        session.save_json = save_json  # type: ignore[method-assign]
    return faults


def saved_file(session: BenchmarkSession) -> Path | None:
    """Return the file in which this run has been saved, or None."""
    if isinstance(session.storage, Storage) and session.storage.saved:
        return session.storage.saved
    is_written = isinstance(session.json, (str, Path)) and Path(session.json).is_file() and bool(session.benchmarks)
    return Path(session.json) if is_written else None


def write_unsaved(session: BenchmarkSession, path: Path) -> None:
    """Write the rows of a run that is not saved to `path`, as pytest-benchmark would. Raises OSError, ValueError."""
    hook, config = session.config.hook, session.config
    commit_info = hook.pytest_benchmark_generate_commit_info(config=config)
    hook.pytest_benchmark_update_commit_info(config=config, commit_info=commit_info)
    machine_info = session.get_machine_info()  # type: ignore[no-untyped-call]
    rows = {"benchmarks": session.benchmarks}
    facts = {"include_data": False, "machine_info": machine_info, "commit_info": commit_info}
    document = hook.pytest_benchmark_generate_json(config=config, **rows, **facts)
    hook.pytest_benchmark_update_json(config=config, output_json=document, **rows)
    atomic_write(path, encoded(document))


def encoded(document: object, indent: int | None = 4) -> str:
    """Encode a document as pytest-benchmark does. Without an indent it takes a tenth of the time."""
    return str(safe_dumps(document, ensure_ascii=True, indent=indent))  # type: ignore[no-untyped-call]


def plain(value: object) -> object:
    """Return a value as JSON gives it back; a placeholder for one that JSON cannot hold."""
    try:
        return json.loads(encoded(value))
    except (TypeError, ValueError, RecursionError):
        return f"UNSERIALIZABLE[{type(value).__name__}]"


@contextlib.contextmanager
def record_failure(faults: list[str]) -> Iterator[None]:
    """Add a failure to save to `faults` and go on: the journal still has the measurements."""
    try:
        yield
    except (OSError, TypeError, ValueError, RecursionError) as error:
        faults.append(f"could not save: {error}")


@contextlib.contextmanager
def exclusive_lock(folder: Path) -> Iterator[None]:
    """Wait until no other process saves in the folder, and lock it for the block. Raises OSError."""
    file = os.open(folder, os.O_RDONLY)
    try:
        lock_descriptor(file)  # of the folder itself: no lock file appears among the runs
        yield
    finally:
        os.close(file)


def atomic_write(path: Path, text: str) -> None:
    """Write a text file atomically: readers see old or new text. Raises OSError, also for another user's link."""
    if path.is_symlink() and path.lstat().st_uid not in (os.geteuid(), 0):
        raise OSError(f"{path} is a link of another user; name the file itself")
    if path.exists() and not path.is_file():  # /dev/stdout, a pipe
        with open(_open_pipe(path, time.monotonic() + READER_TIMEOUT_S), "w", encoding="utf-8") as stream:
            stream.write(text)
        return
    path = Path(os.path.realpath(path))
    for unfinished in path.parent.glob(f".{glob.escape(path.name)}.{RANDOM_GLOB}.tmp"):
        remove_unlocked(unfinished)
    new = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with new.open("x", encoding="utf-8") as file:
            with contextlib.suppress(OSError):  # a file system without locks
                lock_descriptor(file.fileno(), blocking=False)
            with contextlib.suppress(FileNotFoundError):  # the mode of the file that it replaces
                os.fchmod(file.fileno(), stat.S_IMODE(path.stat().st_mode))
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
    sync(path.parent)


def _open_pipe(path: Path, end: float) -> int:
    """Return the descriptor of a pipe or device. Raises OSError if nobody reads a pipe until `end`."""
    while True:
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            if time.monotonic() > end:
                raise OSError(f"{path}: nobody reads this pipe; start its reader first, or name a file") from error
            time.sleep(0.05)
        else:
            os.set_blocking(descriptor, True)
            return descriptor


def remove_unlocked(path: Path) -> None:
    """Remove an unfinished file of a killed process. A running process locks the file that it writes."""
    with contextlib.suppress(OSError), open(path, "rb", opener=without_links) as file:  # another user's, or gone
        if stat.S_ISREG(os.fstat(file.fileno()).st_mode) and lock_descriptor(file.fileno(), blocking=False):
            path.unlink()


def sync(folder: Path) -> None:
    """Flush a folder's new entries to the disk."""
    with contextlib.suppress(OSError):  # not every system opens folders
        file = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(file)
        finally:
            os.close(file)
