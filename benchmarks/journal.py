"""The journal of a campaign: what a finished case has given is on the disk before the next one begins.

JSON lines beside the saved runs, in NAME-TIME-PID.journal: first what the campaign is, then a line for each case. The
file comes with the first of them and goes when the run has been saved: one that is there is of a campaign cut short.
"""

import contextlib
import dataclasses
import json
import os
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.saving import sync

SUFFIX = ".journal"
VERSION = 1


@dataclass(frozen=True)
class Kept:
    """A finished case: how it ended ("timed", "refused: why"), the facts of its row, its rounds in seconds."""

    end: str
    facts: dict[str, Any]
    rounds: list[float]


@dataclass
class Journal:
    """A campaign's head, its finished cases, and its own state when the last of them was finished."""

    path: Path
    head: dict[str, Any]
    kept: dict[str, Kept] = field(default_factory=dict)  # as they were read
    finished: set[str] = field(default_factory=set)  # these, and those that were added since
    state: dict[str, Any] = field(default_factory=dict)
    fault: str = ""  # why it is written no more
    file: int | None = None

    def add(self, case: str, kept: Kept, state: dict[str, Any]) -> None:
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
            os.close(self.file)
        self.file = None

    def remove(self) -> None:
        """All that it holds has been saved."""
        self.close()
        self.path.unlink(missing_ok=True)

    def _write(self, line: dict[str, Any]) -> None:
        text = _line(line)
        if self.file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
            os.ftruncate(self.file, self.path.read_bytes().rfind(b"\n") + 1)  # without the half line of a power cut
            if not os.fstat(self.file).st_size:
                text = f"{_line(self.head)}\n{text}"
        left = f"{text}\n".encode()
        while left:
            left = left[os.write(self.file, left) :]
        os.fsync(self.file)
        sync(self.path.parent)


def named(folder: Path, name: str, **head: Any) -> Journal:
    """A new journal of the campaign that will be saved as `name`."""
    began = datetime.now(UTC)
    path = folder / f"{name}-{began:%Y%m%dT%H%M%S}-{os.getpid()}{SUFFIX}"
    return Journal(path, {"journal": VERSION, "name": name, "began": began.isoformat(timespec="seconds"), **head})


def read(path: Path) -> Journal:
    """A journal from the disk; a line that is not whole is left out, and its case will be measured again.

    Raises ValueError where the head is not one of ours, OSError.
    """
    head, *lines = path.read_bytes().split(b"\n")
    try:
        journal = Journal(path, json.loads(head))
        if journal.head["journal"] != VERSION:
            raise ValueError(f"{path} is of another version of this suite")
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is no journal that can be resumed") from error
    for line in lines[:-1]:  # what follows the last line break was never finished
        with contextlib.suppress(KeyError, TypeError, ValueError):
            found = json.loads(line)
            journal.state |= found["state"]
            journal.kept[found["case"]] = Kept(found["end"], found["facts"], found["rounds"])
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
