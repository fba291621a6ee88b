"""The journal of a campaign: what a finished case has given is on the disk before the next one begins.

JSON lines beside the saved runs, in NAME-TIME-PID.journal: first what the campaign is, then a line for each case. The
file comes with the first of them and goes when the run has been saved: one that is there is of a campaign cut short.
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

from benchmarks.campaign.storage import sync

SUFFIX = ".journal"
VERSION = 1
HEAD = {"name", "began", "options", "here", "plan", "code", "machine"}
RESERVE = 1 << 20  # bytes of the disk that are held for the next cases; they read as what was never finished


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
    kept: dict[str, FinishedCase] = field(default_factory=dict)  # as they were read
    finished: set[str] = field(default_factory=set)  # these, and those that were added since
    state: dict[str, Any] = field(default_factory=dict)
    fault: str = ""  # why it is written no more
    file: int | None = None
    end: int = 0  # bytes in it

    def add(self, case: str, kept: FinishedCase, state: dict[str, Any]) -> None:
        """Put a finished case on the disk, and what is new of the campaign's state.

        Where that fails, `fault` says why and the run goes on: it may still be saved elsewhere.
        """
        self.finished.add(case)
        new = {name: held for name, held in json.loads(_line(state)).items() if self.state.get(name) != held}
        self.state |= new
        if self.fault:
            return
        try:
            self._write({"case": case, **dataclasses.asdict(kept), "state": new})
        except OSError as error:
            self.fault = f"the journal cannot be written: {error.strerror}; if this run is cut short, it is lost"
            self.close()

    def close(self) -> None:
        """Write no more."""
        if self.file is not None:
            with contextlib.suppress(OSError):
                os.ftruncate(self.file, self.end)
            os.close(self.file)
        self.file = None

    def remove(self) -> None:
        """All that it holds has been saved."""
        self.close()
        self.path.unlink(missing_ok=True)

    def _write(self, line: dict[str, Any]) -> None:
        left, file = f"{_line(line)}\n".encode(), self.file
        if file is None:
            file = self._open()
            left = left if self.end else f"{_line(self.head)}\n".encode() + left
        elif not os.fstat(file).st_nlink:  # somebody has deleted it
            left = os.pread(file, self.end, 0) + left
            os.close(file)
            file = self._open()
        while left:
            written = os.pwrite(file, left, self.end)
            left, self.end = left[written:], self.end + written
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
    """A new journal of the campaign that will be saved as `name`."""
    began = date()
    path = folder / f"{name}-{re.sub('[-:Z]', '', began)}-{os.getpid()}{SUFFIX}"
    return Journal(path, {"journal": VERSION, "name": name, "began": began, **head})


def date() -> str:
    """The date and the time of day, UTC, ISO 8601."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def read(path: Path) -> Journal:
    """A journal from the disk; a line that is not whole is left out, and its case will be measured again.

    Raises ValueError where the head is not one of ours, OSError.
    """
    head, *lines = path.read_bytes().split(b"\n")
    try:
        journal = Journal(path, json.loads(head))
        if journal.head["journal"] != VERSION or not journal.head.keys() >= HEAD:
            raise ValueError(f"{path} is of another version of this suite")
        datetime.fromisoformat(journal.head["began"])
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is no journal that can be resumed") from error
    for line in lines[:-1]:  # what follows the last line break was never finished
        with contextlib.suppress(KeyError, TypeError, ValueError):
            found = json.loads(line)
            journal.state |= found["state"]
            journal.kept[found["case"]] = FinishedCase(found["end"], found["facts"], found["rounds"])
    journal.finished |= journal.kept.keys()
    return journal


def unfinished(folder: Path, name: str = "") -> list[Journal]:
    """Journals of campaigns that were cut short, the oldest first: all, or those that were to be saved as `name`."""
    found = []
    for path in sorted(folder.glob(f"*{SUFFIX}"), key=lambda path: path.stat().st_mtime):
        with contextlib.suppress(ValueError, OSError):
            journal = read(path)
            if name in ("", journal.head["name"]):
                found.append(journal)
    return found


def told(journal: Journal) -> str:
    """What is left of a campaign, in words."""
    name, began = journal.head["name"], datetime.fromisoformat(journal.head["began"])
    return f"{name!r}, begun {began.astimezone():%Y-%m-%d %H:%M}, {len(journal.finished)} cases finished"


def _line(value: object) -> str:
    return json.dumps(value, default=lambda held: f"UNSERIALIZABLE[{held!r}]")
