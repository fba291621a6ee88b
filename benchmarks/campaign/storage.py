"""Saved files: whole or not there, an older one untouched until the new one is complete, no number used twice."""

import contextlib
import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pytest_benchmark.session import BenchmarkSession
from pytest_benchmark.storage.file import FileStorage
from pytest_benchmark.utils import safe_dumps

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


class Storage(FileStorage):
    """pytest-benchmark's folder of numbered files; what cannot be saved is kept in `faults`, in words."""

    faults: list[str]

    def save(self, output_json: dict[str, Any], save: str) -> None:
        """Write NNNN_save.json, the number above all that are there."""
        with told(self.faults):
            folder, text = self.get("").resolve(), encoded(output_json)  # type: ignore[no-untyped-call]
            with alone(folder):
                numbers = [path.name.partition("_")[0] for path in folder.glob("*_*.json")]
                number = max((int(word) for word in numbers if word.isdecimal()), default=0) + 1
                write(path := folder / f"{number:04}_{save}.json", text)
            self.logger.info(f"Saved benchmark data in: {path}")


def install(session: BenchmarkSession) -> list[str]:
    """Have pytest-benchmark save so; the list is of what it could not save, in words."""
    faults: list[str] = []
    if type(session.storage) is FileStorage:
        old = session.storage
        session.storage = Storage(old.path, old.logger, old.default_machine_id)  # type: ignore[no-untyped-call]
        session.storage.faults = faults
    if isinstance(session.json, (str, Path)):  # an open file in older versions

        def save_json(output_json: dict[str, Any]) -> None:
            with told(faults):
                write(Path(session.json), encoded(output_json))
                session.logger.info(f"Wrote benchmark data in: {session.json}", purple=True)  # type: ignore[no-untyped-call]

        session.save_json = save_json  # type: ignore[method-assign]
    return faults


def encoded(document: object) -> str:
    """JSON as pytest-benchmark lays it out."""
    return str(safe_dumps(document, ensure_ascii=True, indent=4))  # type: ignore[no-untyped-call]


def plain(facts: dict[str, Any]) -> dict[str, Any]:
    """Facts as they come back from JSON; words stand for one that cannot be written, as pytest-benchmark has it."""
    return {name: _plain(held) for name, held in facts.items()}


def _plain(held: object) -> object:
    try:
        return json.loads(encoded(held))
    except (TypeError, ValueError, RecursionError):
        return f"UNSERIALIZABLE[{type(held).__name__}]"


@contextlib.contextmanager
def told(faults: list[str]) -> Iterator[None]:
    """A failure to save is words in `faults`: the journal keeps what was measured."""
    try:
        yield
    except (OSError, TypeError, ValueError, RecursionError) as error:
        faults.append(f"could not save: {error}")


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """While no other process saves in that folder."""
    file = os.open(folder, os.O_RDONLY)
    try:
        if fcntl:
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(file)


def write(path: Path, text: str) -> None:
    """Write a text file at once: who reads it sees the old one or the new one. Raises OSError."""
    if path.exists() and not path.is_file():  # /dev/stdout, a pipe
        path.write_text(text)
        return
    path = Path(os.path.realpath(path))
    for left in path.parent.glob(f".{path.name}.*.tmp"):  # by one that was killed while it wrote
        left.unlink(missing_ok=True)
    new = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with new.open("x", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
    sync(path.parent)


def sync(folder: Path) -> None:
    """Have a folder's new names on the disk."""
    with contextlib.suppress(OSError):  # not every system opens folders
        file = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(file)
        finally:
            os.close(file)
