"""The journal of a campaign: the result of a finished case is on the disk before the next case begins.

NAME-TIME-PID.journal holds JSON lines beside the saved runs: a head that describes the campaign, then a line for each
case. The first finished case creates the file. Saving the run removes it, so a journal marks an unfinished campaign.
"""

import contextlib
import dataclasses
import json
import os
import re
import time
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.campaign.outcome import Outcome
from benchmarks.campaign.storage import sync

SUFFIX = ".journal"
VERSION = 1
HEAD = {"name", "began", "options", "here", "plan", "code", "machine"}
RESERVE = 1 << 20  # bytes of the disk reserved for the next cases; readers take them for an unfinished line


@dataclass(frozen=True)
class FinishedCase:
    """A finished case: how it ended ("timed", "refused: why"), the facts of its row, its rounds in seconds."""

    end: str
    facts: dict[str, Any]
    rounds: list[float]


@dataclass
class Journal:
    """A campaign's head, its finished cases, and its own state when the last of them was finished."""

    path: Path
    head: dict[str, Any]
    loaded: dict[str, FinishedCase] = field(default_factory=dict)  # the cases read from the file
    finished: set[str] = field(default_factory=set)  # the names of these and of the cases added since
    state: dict[str, Any] = field(default_factory=dict)
    fault: str = ""  # why nothing more is written
    file: int | None = None
    end: int = 0  # bytes in it

    def add(self, case: str, result: FinishedCase, state: dict[str, Any]) -> None:
        """Write a finished case and the changes of the campaign's state to the disk.

        If that fails, `fault` gives the reason and the run goes on: it may still be saved elsewhere.
        """
        self.finished.add(case)
        changes = {name: value for name, value in json.loads(_line(state)).items() if self.state.get(name) != value}
        self.state |= changes
        if self.fault:
            return
        try:
            self._write({"case": case, **dataclasses.asdict(result), "state": changes})
        except OSError as error:
            self.fault = f"the journal cannot be written: {error.strerror}; if this run is cut short, it is lost"
            self.close()

    def close(self) -> None:
        """Close the file without its reserve."""
        if self.file is not None:
            with contextlib.suppress(OSError):
                os.ftruncate(self.file, self.end)
            os.close(self.file)
        self.file = None

    def remove(self) -> None:
        """Remove the file, once the run has been saved."""
        self.close()
        self.path.unlink(missing_ok=True)

    def _write(self, line: dict[str, Any]) -> None:
        data, file = f"{_line(line)}\n".encode(), self.file
        if file is None:
            file = self._open()
            data = data if self.end else f"{_line(self.head)}\n".encode() + data
        elif not os.fstat(file).st_nlink:  # somebody has deleted the file
            data = os.pread(file, self.end, 0) + data
            os.close(file)
            file = self._open()
        while data:
            written = os.pwrite(file, data, self.end)
            data, self.end = data[written:], self.end + written
        if hasattr(os, "posix_fallocate"):  # not on macOS
            with contextlib.suppress(OSError):
                os.posix_fallocate(file, self.end, RESERVE)
        os.fsync(file)
        sync(self.path.parent)

    def _open(self) -> int:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
        self.end = self.path.read_bytes().rfind(b"\n") + 1  # without the half line of a power cut
        return self.file


def named(folder: Path, name: str, **head: Any) -> Journal:
    """Return a new journal for the campaign that will be saved as `name`."""
    began = date()
    path = folder / f"{name}-{re.sub('[-:Z]', '', began)}-{os.getpid()}{SUFFIX}"
    return Journal(path, {"journal": VERSION, "name": name, "began": began, **head})


def date() -> str:
    """Return the current date and time in UTC, in ISO 8601."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def read(path: Path) -> Journal:
    """Read a journal. A damaged line is skipped, and its case will be measured again.

    Raises ValueError if the head is not that of a journal, and OSError.
    """
    head, *lines = path.read_bytes().split(b"\n")
    try:
        journal = Journal(path, json.loads(head))
        if journal.head["journal"] != VERSION or not journal.head.keys() >= HEAD:
            raise ValueError(f"{path} is of another version of this suite")
        datetime.fromisoformat(journal.head["began"])
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is no journal that can be resumed") from error
    for line in lines[:-1]:  # the text after the last line break is an unfinished line
        with contextlib.suppress(KeyError, TypeError, ValueError):
            entry = json.loads(line)
            Outcome.parse(entry["end"])
            journal.state |= entry["state"]
            journal.loaded[entry["case"]] = FinishedCase(entry["end"], entry["facts"], entry["rounds"])
    journal.finished |= journal.loaded.keys()
    return journal


def unfinished(folder: Path, name: str = "") -> list[Journal]:
    """Return the journals of unfinished campaigns, oldest first: all, or those to be saved as `name`."""
    journals = []
    for path in sorted(folder.glob(f"*{SUFFIX}"), key=lambda path: path.stat().st_mtime):
        with contextlib.suppress(ValueError, OSError):
            journal = read(path)
            if name in ("", journal.head["name"]):
                journals.append(journal)
    return journals


def describe(journal: Journal) -> str:
    """Describe an unfinished campaign in a few words."""
    name, began = journal.head["name"], datetime.fromisoformat(journal.head["began"])
    return f"{name!r}, begun {began.astimezone():%Y-%m-%d %H:%M}, {len(journal.finished)} cases finished"


def _line(value: object) -> str:
    return json.dumps(value, default=lambda value: f"UNSERIALIZABLE[{value!r}]")
