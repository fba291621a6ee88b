"""Show the progress of a campaign: a bar with the remaining time on a terminal, elsewhere one line per process.

The bar is drawn only when a case begins, so none of this code runs while a worker is timed.
"""

import importlib.util
import math
import shutil
import sys
import textwrap
import time
from dataclasses import dataclass
from typing import Literal

import pytest

from benchmarks.campaign.campaign import Campaign
from benchmarks.campaign.plan import Case
from benchmarks.typed_json import printable

MAX_BAR_COLUMNS, MIN_BAR_COLUMNS = 40, 5
BLOCK_LINE_COLUMNS = 79  # of a line after a block
ESTIMATE_FROM_CASES = 9  # with fewer, the remaining time is not shown


@dataclass(frozen=True)
class CampaignProgress:
    """The state of a campaign when a case begins. `remaining_s` is NaN until it can be estimated."""

    case: Case
    number: int
    total: int | None
    blocks: int | None
    share: float
    remaining_s: float


def standing(campaign: Campaign, case: Case) -> CampaignProgress:
    """Estimate the progress from the finished cases. With --minutes or --until-decided, the totals are unknown."""
    limit_s, elapsed_s = 60 * campaign.plan.minutes, time.monotonic() - campaign.started
    open_end = campaign.plan.until_decided and limit_s == math.inf
    finished, total = len(campaign.done), len(campaign.selected)
    estimated = finished >= ESTIMATE_FROM_CASES and not open_end
    remaining_s = min(elapsed_s / finished * (total - finished), max(limit_s - elapsed_s, 0)) if estimated else math.nan
    share = min(max(finished / total, elapsed_s / limit_s), 1.0)
    shown_total, blocks = (total, campaign.plan.blocks) if limit_s == math.inf and not open_end else (None, None)
    return CampaignProgress(case, finished + 1, shown_total, blocks, share, remaining_s)


def show(reporter: pytest.TerminalReporter, campaign: Campaign, case: Case) -> None:
    """Show the case that runs now and the remaining time."""
    progress = standing(campaign, case)
    if has_bar(reporter):
        columns = shutil.get_terminal_size().columns - 1  # some terminals wrap at the last column
        reporter.write(f"\r{line(progress, columns, reporter.hasmarkup)}\r", flush=True)  # later output replaces it
    elif not campaign.done or next(reversed(campaign.done)).process_key != case.process_key:
        if reporter.verbosity > 0:
            reporter.ensure_newline()  # pytest names each case
        remaining = f", about {duration(progress.remaining_s)} left" if progress.remaining_s >= 0 else ""
        reporter.write(f"[{counted(progress)}] {case.name} on {case.device}, {block(progress)}{remaining}\n")


def show_look(reporter: pytest.TerminalReporter, blocks: int, state: str, fastest: list[str], following: str) -> None:
    """Show a state after some blocks, and the fastest framework by problem.

    state: of the machine, and the decided comparisons. following: what the next block has; "" if none follows.
    """
    after = f"next: {following}" if following else "the end"
    reporter.write_line(f"after {blocks} block{'s' * (blocks > 1)}: {state}; {after}")
    if fastest:
        text = f"fastest so far: {'; '.join(fastest)}"
        reporter.write_line(textwrap.shorten(text, BLOCK_LINE_COLUMNS, placeholder=" ..."))


def clear(reporter: pytest.TerminalReporter) -> None:
    """Clear the bar, so that later output, also after Ctrl-C, begins on an empty line."""
    if has_bar(reporter):
        reporter.write(f"\r{' ' * (shutil.get_terminal_size().columns - 1)}\r", flush=True)


def has_bar(reporter: pytest.TerminalReporter) -> bool:
    """Return whether to draw a bar: on a terminal, without -v, and with rich installed."""
    return bool(reporter.isatty) and reporter.verbosity <= 0 and importlib.util.find_spec("rich") is not None


def line(progress: CampaignProgress, columns: int, colours: bool) -> str:
    """Render the bar, the remaining time and the case in exactly `columns` columns, shortening the text to fit."""
    from rich.console import Console  # imported here: most runs have no terminal
    from rich.progress_bar import ProgressBar
    from rich.text import Text

    system: Literal["standard"] | None = "standard" if colours else None
    console = Console(file=sys.__stdout__, width=columns, height=1, force_terminal=True, color_system=system)
    width = min(max(columns // 5, MIN_BAR_COLUMNS), MAX_BAR_COLUMNS)
    segments = console.render(ProgressBar(total=1, completed=progress.share, width=width, complete_style="cyan"))
    bar = Text.assemble(*[(piece.text, piece.style or "") for piece in segments])
    bar.truncate(width, pad=True)
    case = progress.case
    case_name = Text(printable(f"{case.name} {case.title} {case.dtype} {case.device}"))
    room = columns - width - 1
    texts = remaining_texts(progress, case_name.cell_len)
    status = next((text for text, reserve in texts if len(text) + reserve <= room), "")
    case_name.truncate(max(room - len(status), 0), overflow="ellipsis")
    row = Text.assemble(bar, " ", status, case_name)
    row.truncate(columns, overflow="crop", pad=True)
    with console.capture() as capture:
        console.print(row, end="", soft_wrap=True)
    return capture.get().encode(console.encoding, "replace").decode(console.encoding)


def remaining_texts(progress: CampaignProgress, name_width: int) -> list[tuple[str, int]]:
    """Return ever shorter texts of the progress, each with the columns it must leave for the case's name."""
    remaining = duration(progress.remaining_s)
    place, short_place = block(progress), block(progress).replace(" of ", "/")
    candidates = [
        ([counted(progress), place, remaining and f"about {remaining} left"], name_width),
        ([counted(progress), short_place, remaining and f"~{remaining} left"], 24),
        ([short_place, remaining and f"~{remaining}"], 6),
        ([remaining and f"~{remaining}"], 4),
    ]
    return [(f"{', '.join(filter(None, words))}: ", reserve) for words, reserve in candidates if any(words)]


def counted(progress: CampaignProgress) -> str:
    """`3/40`, or `3` if the total is unknown."""
    return f"{progress.number}" + (f"/{progress.total}" if progress.total else "")


def block(progress: CampaignProgress) -> str:
    """`block 2 of 12`, or `block 2`."""
    return f"block {progress.case.block + 1}" + (f" of {progress.blocks}" if progress.blocks else "")


def duration(seconds: float) -> str:
    """`4 min`, `40 s`, at least 10 s, or "" for NaN."""
    if math.isnan(seconds):
        return ""
    return f"{round(seconds / 60)} min" if seconds >= 90 else f"{max(round(seconds, -1), 10):.0f} s"
