"""How a case ended: with a time, or without one and for which reason."""

from dataclasses import dataclass
from enum import StrEnum

from benchmarks.worker.client import Invalid, Refused
from benchmarks.worker.messages import REASON, printable
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
        """Read such a text. Raises ValueError for another one."""
        status, _, reason = text.partition(": ")
        return cls(Status(status), reason)

    @classmethod
    def of(cls, error: Unsupported | Refused | Invalid) -> "Outcome":
        """Return the outcome of a case that raised this error."""
        kinds = {Unsupported: Status.SKIPPED, Refused: Status.REFUSED, Invalid: Status.INVALID}
        return cls(kinds[type(error)], printable(error, REASON))


INTERRUPTED = Outcome(Status.REFUSED, "interrupted")
