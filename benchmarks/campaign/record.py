"""The outcome of a case, and the record of a campaign: what the journal stores besides the finished cases."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from benchmarks.machine.environments import Facts
from benchmarks.machine.load import BlockLoad
from benchmarks.machine.roofline import Rates
from benchmarks.typed_json import REASON_CHARACTERS, Count, Seconds, Words, decode_fields, printable
from benchmarks.worker.client import Invalid, Refused
from benchmarks.worker.messages import Source
from impls.interface import Unsupported


class Status(StrEnum):
    """How a case ended."""

    TIMED = "timed"
    SKIPPED = "skipped"
    REFUSED = "refused"
    INVALID = "invalid"


@dataclass(frozen=True)
class Outcome:
    """The status of a case, and the reason where it has no valid time."""

    status: Status
    reason: str = ""

    def __str__(self) -> str:
        """Return `timed`, or `refused: the reason`: the text that the journal holds."""
        return f"{self.status}: {self.reason}" if self.reason else str(self.status)

    @classmethod
    def parse(cls, text: str) -> "Outcome":
        """Parse the text of `str(outcome)`. Raises ValueError for any other text."""
        status, _, reason = text.partition(": ")
        return cls(Status(status), reason)

    @classmethod
    def of(cls, error: Unsupported | Refused | Invalid) -> "Outcome":
        """Return the outcome of a case that raised this error."""
        kinds = {Unsupported: Status.SKIPPED, Refused: Status.REFUSED, Invalid: Status.INVALID}
        return cls(kinds[type(error)], printable(error, REASON_CHARACTERS))


INTERRUPTED = Outcome(Status.REFUSED, "interrupted")


@dataclass(frozen=True)
class Resumed:
    """The time of a resume, in UTC, and the number of finished cases that it kept."""

    at: Words
    kept: Count


@dataclass(frozen=True)
class ScheduledBlock:
    """With --until-decided: the comparisons decided before a block, and the cases that it leaves out, by place."""

    block: Count
    after_s: Seconds
    comparisons: Count
    decided: Count
    left_out: list[Words]


@dataclass
class Record:
    """The state of a campaign, as the journal stores it. Seconds do not include the time between two processes."""

    wall_s: Seconds = 0.0
    timed_s: Seconds = 0.0
    runs_s: Seconds = 0.0  # in workers' prepare, first and timed runs
    reference_s: Seconds = 0.0  # spent on problems and reference solutions
    orphans: list[Words] = field(default_factory=list)  # processes and folders that had to be removed
    system_load: list[BlockLoad] = field(default_factory=list)
    sources: dict[Words, Source] = field(default_factory=dict)  # by implementation
    rates: dict[Words, dict[int, Rates]] = field(default_factory=dict)  # by device and block
    failed_kernels: dict[Words, dict[Words, Words]] = field(default_factory=dict)  # by device: the reasons
    resumed: list[Resumed] = field(default_factory=list)
    starts_s: dict[Words, Seconds] = field(default_factory=dict)  # of the last start, by `Case.process_name`
    cases_s: dict[Words, Seconds] = field(default_factory=dict)  # of the last time of each case, by `Case.place`
    schedule: list[ScheduledBlock] = field(default_factory=list)
    environments: dict[Words, Facts | dict[Words, Count | Words]] = field(default_factory=dict)  # by label

    @classmethod
    def of(cls, state: dict[str, Any]) -> "Record":
        """Return the record in a journal. Raises ValueError if a part is missing or wrong."""
        if missing := vars(cls()).keys() - state.keys():
            raise ValueError(f"has no {min(missing)}")
        return cls(**decode_fields(cls, state))
