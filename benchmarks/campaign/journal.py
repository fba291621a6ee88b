"""The journal of a campaign: the result of a finished case is on the disk before the next case begins.

NAME-TIME-RANDOM.journal holds JSON lines beside the saved runs: a head that describes the campaign, then a line for
each case. The first finished case creates the file. Saving the run removes it: a journal marks an unfinished campaign.
"""

import contextlib
import dataclasses
import json
import os
import re
import secrets
import stat
import time
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.campaign.record import Outcome
from benchmarks.campaign.storage import encoded, sync
from benchmarks.machine.files import without_links
from benchmarks.typed_json import Fact, Seconds, decode_fields

SUFFIX = ".journal"
VERSION = 1
HEAD_FIELDS = {"name", "began", "options", "here", "plan", "code", "machine"}
MAX_BYTES, MAX_JSON_VALUES = 1 << 27, 3 * 10**6  # of a journal: as for a saved file
RESERVED_BYTES = 1 << 20  # on the disk for the next cases; readers ignore them as an unfinished line


@dataclass(frozen=True)
class FinishedCase:
    """A finished case: how it ended ("timed", "refused: why"), the facts of its row, its rounds in seconds."""

    end: str
    facts: dict[str, Fact]
    rounds: list[Seconds]


@dataclass
class Journal:
    """A campaign's head, its finished cases, and its own state when the last of them was finished."""

    path: Path
    head: dict[str, Any]
    loaded: dict[str, FinishedCase] = field(default_factory=dict)  # the cases read from the file
    finished: set[str] = field(default_factory=set)  # the names of loaded and added cases
    written: set[str] = field(default_factory=set)  # the names of cases on the disk
    state: dict[str, Any] = field(default_factory=dict)
    error: str = ""  # why the last case is not on the disk
    file: int | None = None
    end: int = 0  # bytes in the file
    pending: bytes = b""  # lines that could not be written yet

    def add(self, case: str, result: FinishedCase, state: dict[str, Any]) -> None:
        """Write a finished case and the changed state. If that fails, `error` is why, and the next case tries again."""
        self.finished.add(case)
        new = json.loads(encoded(state, indent=None))
        changes = {name: value for name, value in new.items() if self.state.get(name) != value}
        self.state |= changes
        line = {"case": case, **dataclasses.asdict(result), "state": changes}
        self.pending += f"{encoded(line, indent=None)}\n".encode()
        try:
            self._write()
            self.written, self.error = set(self.finished), ""
        except OSError as error:
            self.error = f"the journal cannot be written: {error.strerror}; if this run is cut short, it is lost"
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
        try:
            if self.written:
                self.path.unlink(missing_ok=True)
        except OSError as error:
            self.error = f"the journal cannot be removed: {error.strerror}; the run is saved, delete {self.path}"

    def _write(self) -> None:
        if self.file is not None and not os.fstat(self.file).st_nlink:  # somebody has deleted the file
            self.pending = os.pread(self.file, self.end, 0) + self.pending
            os.close(self.file)
            self.file = None
        if self.file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
            content = os.pread(self.file, os.fstat(self.file).st_size, 0)
            self.end = content.rfind(b"\n") + 1  # without an unfinished last line
        data = self.pending if self.end else f"{encoded(self.head, indent=None)}\n".encode() + self.pending
        while data:
            count = os.pwrite(self.file, data, self.end)
            data, self.end = data[count:], self.end + count
        self.pending = b""
        if hasattr(os, "posix_fallocate"):  # not on macOS
            with contextlib.suppress(OSError):
                os.posix_fallocate(self.file, self.end, RESERVED_BYTES)
        os.fsync(self.file)
        sync(self.path.parent)


def named(folder: Path, name: str, **head: Any) -> Journal:
    """Return a new journal for the campaign that will be saved as `name`."""
    began = date()
    path = folder / f"{name}-{re.sub('[-:Z]', '', began)}-{secrets.token_hex(4)}{SUFFIX}"
    return Journal(path, {"journal": VERSION, "name": name, "began": began, **head})


def date() -> str:
    """Return the current date and time in UTC, in ISO 8601."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def read(path: Path) -> Journal:
    """Read a journal without its damaged lines. Raises OSError, and ValueError if it is no journal of this user."""
    head, *lines = _content(path).split(b"\n")
    try:
        journal = Journal(path, json.loads(head))
        if journal.head["journal"] != VERSION or not journal.head.keys() >= HEAD_FIELDS:
            raise ValueError(f"{path} is of another version of this suite")
        datetime.fromisoformat(journal.head["began"]).astimezone()
        kinds = {"name": str, "options": dict, "here": str, "plan": dict}
        if not all(isinstance(journal.head[name], kind) for name, kind in kinds.items()):
            raise ValueError(f"{path} has another head")
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise ValueError(f"{path} is no journal that can be resumed") from error
    for line in lines[:-1]:  # the text after the last line break is an unfinished line
        with contextlib.suppress(KeyError, TypeError, ValueError, RecursionError):
            entry = json.loads(line)
            case, state = str(entry["case"]), dict(entry["state"])
            result = FinishedCase(**decode_fields(FinishedCase, entry))
            Outcome.parse(result.end)  # raises ValueError for another text
            journal.state |= state
            journal.loaded[case] = result
    journal.finished |= journal.loaded.keys()
    journal.written |= journal.loaded.keys()
    return journal


def _content(path: Path) -> bytes:
    """Read a file. Raises ValueError if it is not this user's regular file, or too large; raises OSError."""
    with open(path, "rb", opener=without_links) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.getuid() or status.st_size > MAX_BYTES:
            raise ValueError(f"{path} is not a regular file of this user with at most {MAX_BYTES:,} bytes")
        content = file.read(status.st_size)
    if sum(map(content.count, (b",", b"[", b"{"))) > MAX_JSON_VALUES:
        raise ValueError(f"{path} holds more than {MAX_JSON_VALUES:,} values")
    return content


def unfinished(folder: Path, name: str = "") -> list[Journal]:
    """Return the journals of unfinished campaigns, oldest first: all, or those to be saved as `name`."""
    journals = []
    for path in sorted(folder.glob(f"*{SUFFIX}"), key=lambda path: path.lstat().st_mtime):
        with contextlib.suppress(ValueError, OSError):
            journal = read(path)
            if name in ("", journal.head["name"]):
                journals.append(journal)
    return journals


def describe(journal: Journal) -> str:
    """Describe an unfinished campaign in a few words."""
    name, began = journal.head["name"], datetime.fromisoformat(journal.head["began"])
    return f"{name!r}, begun {began.astimezone():%Y-%m-%d %H:%M}, {len(journal.written)} cases finished"
