"""How far a campaign is: a bar with the time left on a terminal, a line a process elsewhere.

It is drawn when a case begins and at no other time: nothing of it runs while a worker is being timed.
"""

import importlib.util
import math
import shutil
import sys
import time
from dataclasses import dataclass
from typing import Literal

import pytest

from benchmarks.campaign.campaign import Campaign
from benchmarks.campaign.plan import Case

WIDEST, NARROWEST = 40, 5  # columns of the bar
KNOWN = 9  # cases after which the time left is worth telling


@dataclass(frozen=True)
class CampaignProgress:
    """Where a campaign is when a case begins: its cases, the share of its time, seconds left (NaN: not known yet)."""

    case: Case
    number: int
    total: int | None
    blocks: int | None
    share: float
    left_s: float


def standing(campaign: Campaign, case: Case) -> CampaignProgress:
    """From the cases done so far; with --minutes, how many cases and blocks there will be is not known."""
    limit_s, passed = 60 * campaign.plan.minutes, time.monotonic() - campaign.started
    done, total = len(campaign.done), len(campaign.selected)
    left = min(passed / done * (total - done), max(limit_s - passed, 0)) if done >= KNOWN else math.nan
    share = min(max(done / total, passed / limit_s), 1.0)
    known = limit_s == math.inf
    return CampaignProgress(
        case, done + 1, total if known else None, campaign.plan.blocks if known else None, share, left
    )


def show(reporter: pytest.TerminalReporter, campaign: Campaign, case: Case) -> None:
    """Say what runs now and how much is left."""
    at = standing(campaign, case)
    if has_bar(reporter):
        columns = shutil.get_terminal_size().columns - 1  # in the last one, some terminals begin a new line
        reporter.write(f"\r{line(at, columns, reporter.hasmarkup)}\r", flush=True)  # what comes next begins there
    elif not campaign.done or next(reversed(campaign.done)).host != case.host:
        if reporter.verbosity > 0:
            reporter.ensure_newline()  # pytest names each case
        left = f", about {duration(at.left_s)} left" if at.left_s >= 0 else ""
        reporter.write(f"[{counted(at)}] {case.name} on {case.device}, {block(at)}{left}\n")


def clear(reporter: pytest.TerminalReporter) -> None:
    """Leave an empty line where the bar was: whatever comes next, Ctrl-C among it, finds a clean terminal."""
    if has_bar(reporter):
        reporter.write(f"\r{' ' * (shutil.get_terminal_size().columns - 1)}\r", flush=True)


def has_bar(reporter: pytest.TerminalReporter) -> bool:
    """On a terminal, unless pytest writes a line a case there (-v) or rich is not installed."""
    return bool(reporter.isatty) and reporter.verbosity <= 0 and importlib.util.find_spec("rich") is not None


def line(at: CampaignProgress, columns: int, colours: bool) -> str:
    """The bar, how much is left and what runs now, in just so many columns: what finds no room is left out."""
    from rich.console import Console  # not before: most runs have no terminal
    from rich.progress_bar import ProgressBar
    from rich.text import Text

    system: Literal["standard"] | None = "standard" if colours else None
    console = Console(file=sys.__stdout__, width=columns, height=1, force_terminal=True, color_system=system)
    width = min(max(columns // 5, NARROWEST), WIDEST)
    drawn = console.render(ProgressBar(total=1, completed=at.share, width=width, complete_style="cyan"))
    bar = Text.assemble(*[(piece.text, piece.style or "") for piece in drawn])
    bar.truncate(width, pad=True)
    what = Text(plain(f"{at.case.name} {at.case.title} {at.case.dtype} {at.case.device}"))
    room = columns - width - 1
    told = next((told for told, rest in remaining_texts(at, what.cell_len) if len(told) + rest <= room), "")
    what.truncate(max(room - len(told), 0), overflow="ellipsis")
    whole = Text.assemble(bar, " ", told, what)
    whole.truncate(columns, overflow="crop", pad=True)
    with console.capture() as caught:
        console.print(whole, end="", soft_wrap=True)
    return caught.get().encode(console.encoding, "replace").decode(console.encoding)


def remaining_texts(at: CampaignProgress, whole: int) -> list[tuple[str, int]]:
    """How much is left, in ever fewer words, each with the columns that it leaves to what runs, at the least."""
    left = duration(at.left_s)
    where, short = block(at), block(at).replace(" of ", "/")
    said = [
        ([counted(at), where, left and f"about {left} left"], whole),
        ([counted(at), short, left and f"~{left} left"], 24),
        ([short, left and f"~{left}"], 6),
        ([left and f"~{left}"], 4),
    ]
    return [(f"{', '.join(filter(None, parts))}: ", rest) for parts, rest in said if any(parts)]


def plain(name: str) -> str:
    """A name of a file without what moves a cursor."""
    return "".join(letter if letter.isprintable() else " " for letter in name)


def counted(at: CampaignProgress) -> str:
    """`3/40`, or `3` where nobody knows how many there will be."""
    return f"{at.number}" + (f"/{at.total}" if at.total else "")


def block(at: CampaignProgress) -> str:
    """`block 2 of 12`, or `block 2`."""
    return f"block {at.case.block + 1}" + (f" of {at.blocks}" if at.blocks else "")


def duration(seconds: float) -> str:
    """`4 min`, `40 s`, 10 s at least, or nothing for NaN."""
    if math.isnan(seconds):
        return ""
    return f"{round(seconds / 60)} min" if seconds >= 90 else f"{max(round(seconds, -1), 10):.0f} s"
