"""The bar while measuring: one line at any width, in a real pseudo-terminal, which Ctrl-C leaves clean."""

import dataclasses
import fcntl
import math
import os
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from helpers import ROOT, bench, command, environment, saved

from benchmarks.campaign.plan import Case
from benchmarks.campaign.progress import CampaignProgress, line

CASE = Case("torch_dataloader", "cpu", "medium@256", "float32", 1)
AT = CampaignProgress(CASE, 13, 120, 12, 0.1, 250.0)
NAMES = ["torch_dataloader", "数値", "e\u0301\u0301", "😀" * 9, "a\x1b[2Jb\rc\nd", "x" * 300]


@pytest.mark.parametrize("columns", [*range(1, 60), 79, 199, 999])
def test_the_line_has_just_so_many_columns(columns: int) -> None:
    from rich.cells import cell_len

    for name in NAMES:
        for left, total in ((250.0, 120), (math.nan, None)):
            at = dataclasses.replace(AT, case=dataclasses.replace(CASE, impl=name), remaining_s=left, total=total)
            said = line(at, columns, colours=False)
            assert cell_len(said) == columns
            assert "".join(said.split("\u0301")).isprintable()
            assert re.sub(r"\x1b\[[\d;]*m", "", line(at, columns, colours=True)).count("\x1b") == 0


LATE = dataclasses.replace(AT, case=dataclasses.replace(CASE, block=99), blocks=100, remaining_s=2400.0)


@pytest.mark.parametrize(
    ("columns", "at", "told"),
    [
        (199, AT, " 13/120, block 2 of 12, about 4 min left: torch_dataloader medium@256 float32 cpu"),
        (79, AT, " 13/120, block 2/12, ~4 min left: torch_dataloader medium@256 f…"),
        (39, AT, " block 2/12, ~4 min: torch_data…"),
        (39, LATE, " block 100/100, ~40 min: torch_…"),
        (19, AT, " ~4 min: torc…"),
    ],
)
def test_what_finds_no_room_is_said_in_fewer_words(columns: int, at: CampaignProgress, told: str) -> None:
    said = line(at, columns, colours=True)
    assert re.sub(r"\x1b\[[\d;]*m", "", said).lstrip("━╸╺").rstrip() == told
    assert "\x1b[" in said


def test_half_done_is_half_a_bar() -> None:
    for share, full in ((0.0, 0), (0.5, 4), (1.0, 8)):
        assert line(dataclasses.replace(AT, share=share), 40, colours=False).count("━") == full


def screens(data: str, columns: int) -> Iterator[list[str]]:
    """What a terminal of so many columns shows: its lines, each time that something has been written and at the end."""
    rows, x = [""], 0
    for letter in re.sub(r"\x1b\[[\d;]*m", "", data):
        if letter in "\r\n":
            x = 0
            yield [row.rstrip() for row in rows]
            rows += [""] * (letter == "\n")
            continue
        if x == columns:
            rows, x = [*rows, ""], 0
        rows[-1], x = rows[-1][:x].ljust(x) + letter + rows[-1][x + 1 :], x + 1
    yield [row.rstrip() for row in rows]


AT_HOME = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # so that Ctrl-C on this terminal is for this process
os.execv(sys.argv[1], sys.argv[1:])
"""


@contextmanager
def terminal(columns: int) -> Iterator[tuple[int, int]]:
    """A pseudo-terminal: its own end, and the one for a process."""
    own, its = os.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    try:
        yield own, its
    finally:
        os.close(own)


def watched(tmp_path: Path, columns: int, *options: str, until: str = "") -> tuple[int, str]:
    """Run `pytest benchmarks` on a terminal, press Ctrl-C when it says `until`: its exit code, what it has written."""
    with terminal(columns) as (own, its):
        env = environment(TERM="xterm-256color") | {"COLUMNS": "", "LINES": ""}
        words = [sys.executable, "-c", AT_HOME, *command(tmp_path, *options), "-p", "tests.support.quicker"]
        process = subprocess.Popen(words, cwd=ROOT, env=env, stdin=its, stdout=its, stderr=its, start_new_session=True)
        os.close(its)
        said, pressed = b"", not until
        try:
            while some := read(own):
                said += some
                if not pressed and until in said.decode(errors="ignore"):
                    pressed = os.write(own, b"\x03") == 1
            code = process.wait(600)
        finally:
            process.kill()
            process.wait()
    assert pressed
    return code, said.decode()


def read(own: int) -> bytes:
    try:
        return os.read(own, 4096)
    except OSError:  # how Linux says that nobody is at the other end
        return b""


@pytest.mark.parametrize(
    ("columns", "problems", "blocks"), [(20, "scalar,crops", 1), (80, "scalar,line,crops,crops@2,crops@5", 2)]
)
def test_on_a_terminal_a_bar_is_rewritten_in_place_and_goes(
    tmp_path: Path, columns: int, problems: str, blocks: int
) -> None:
    code, said = watched(tmp_path, columns, "--problem", problems, "--blocks", str(blocks))
    assert code == 0, said
    shown = [[row for row in rows if re.search("[━╸╺]", row)] for rows in screens(said, columns)]
    bars = list(dict.fromkeys(row for rows in shown for row in rows))
    assert {len(rows) for rows in shown} == {0, 1}, "never two, so never torn"
    assert len(bars) >= len(problems.split(",")) * blocks
    assert all(len(bar) < columns for bar in bars)
    if columns == 80:
        assert " 1/10, block 1 of 2: numpy_manual scalar float32 cpu" in bars[0]
        assert re.search(r" 10/10, block 2/2, ~\d+ (s|min) left: numpy_manual crops@5 float32 cpu", bars[-1])
    assert shown[-1] == []


def test_ctrl_c_leaves_a_clean_terminal_and_what_is_complete(tmp_path: Path) -> None:
    code, said = watched(tmp_path, 40, "--problem", "scalar,line", "--blocks", "100", until="block 2/100")
    assert code == 2, said
    *_, last = screens(said, 40)
    assert not [row for row in last if re.search(r"[━╸╺]|\^C|block ", row)]
    assert "KeyboardInterrupt" in "".join(last)
    assert said.count("\x1b[?25l") == 0, "the cursor is never hidden"
    assert saved(tmp_path / "out.json")["campaign"]["interrupted"] is True


def test_elsewhere_it_is_a_line_a_process(tmp_path: Path) -> None:
    done = bench(tmp_path, "--problem", "scalar,crops", "--blocks", "2")
    told = [line for line in done.out.splitlines() if " block " in line]
    assert told == ["[1/4] numpy_manual on cpu, block 1 of 2", "[3/4] numpy_manual on cpu, block 2 of 2"]
    assert not re.search("[━╸╺\r\x1b]", done.out)
