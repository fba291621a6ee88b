"""One page of findings as a terminal's tables, JSON, CSV or Markdown; values with their units."""

import csv
import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TextIO

import numpy as np
import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table

FORMATS = ["table", "json", "csv", "md"]
SIGNS = re.compile(r"[\\`|*\[\]~#_&<]")  # what Markdown may take for more than it is
WIDE = 10_000  # columns of a terminal that cuts nothing
LONG = 1_000  # characters of a cell that are shown
FORMULA = tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")  # what a spreadsheet would compute; the last four are wide


@dataclass(frozen=True)
class Section:
    """A heading, a paragraph, a table (a row is heading -> cell) and notes under it; each may be empty."""

    title: str = ""
    text: str = ""
    table: list[dict[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    level: int = 2


@dataclass(frozen=True, eq=False)
class Page:
    """The same findings twice: `data` for JSON and CSV, `sections` for reading; `code` is the exit status they mean."""

    data: pd.DataFrame
    sections: list[Section]
    code: int = 0


def with_rows(*sections: Section) -> list[Section]:
    """Those of the sections whose tables have rows."""
    return [section for section in sections if section.table]


def write(page: Page, form: str, stream: TextIO) -> None:
    """Write the page in one of FORMATS."""
    if form == "table":
        _print(page, stream)
    else:
        stream.write({"json": _json, "csv": _csv, "md": _markdown}[form](page))


def seconds(value: float) -> str:
    """`1.23 us`: three digits; `-` for what was not measured."""
    if not math.isfinite(value):
        return "-"
    for unit, scale in (("ns", 1e-9), ("us", 1e-6), ("ms", 1e-3)):
        if abs(value) < 999.5 * scale:
            return f"{digits(value / scale)} {unit}"
    return f"{digits(value)} s"


def digits(value: float) -> str:
    """Three digits that count, written out; `-` for NaN."""
    if not math.isfinite(value):
        return "-" if math.isnan(value) else str(value)
    return f"{value:.0f}" if abs(value) >= 999.5 else f"{value:#.3g}".rstrip(".")


def times(ratio: float) -> str:
    """`4.10x`, or `-`."""
    return "-" if math.isnan(ratio) else f"{digits(ratio)}x"


def speedup(ratio: float) -> str:
    """`10.5x` where it is faster, `400x slower` where it takes 400 times as long."""
    return times(ratio) if not ratio < 0.9995 else f"{digits(1 / ratio)}x slower"


def size(count: float) -> str:
    """Bytes as `123 MiB`, or `-`."""
    return "-" if math.isnan(count) else f"{count / 2**20:.0f} MiB"


def words(value: object) -> str:
    """Any cell as text that prints on one line; `-` if there is nothing."""
    if value is None or value == "" or (isinstance(value, float) and math.isnan(value)):
        return "-"
    return _plain(shortened(str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)))


def shortened(text: str, most: int = LONG) -> str:
    """Its first characters, and how many there are: files come from strangers."""
    return text if len(text) <= most else f"{text[:most]}... ({len(text):,} characters)"


def rows_of(frame: pd.DataFrame, show: Mapping[str, Callable[[Any], str]] | None = None) -> list[dict[str, str]]:
    """A frame as a section's table: each cell by the function of its column, else as words."""
    how = show or {}
    return [{name: how.get(name, words)(cell) for name, cell in row.items()} for row in records(frame)]


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows as plain Python values."""
    columns = [column.tolist() for _, column in frame.items()]  # a third of the time of to_dict("records")
    cells = [[cell.item() if isinstance(cell, np.generic) else cell for cell in column] for column in columns]
    names = [str(name) for name in frame]
    return [dict(zip(names, row, strict=True)) for row in zip(*cells, strict=True)]


def json_cell(cell: object) -> object:
    """A cell that strict JSON can hold: null for what is not a finite number."""
    return None if cell is pd.NaT or (isinstance(cell, float) and not math.isfinite(cell)) else cell


def _json(page: Page) -> str:
    """Strict JSON: what is not a finite number is null."""
    rows = [{name: json_cell(cell) for name, cell in row.items()} for row in records(page.data)]
    return json.dumps(rows, indent=1, allow_nan=False) + "\n"


def _csv(page: Page) -> str:
    frame = page.data.map(_defused).rename(columns=lambda name: _defused(str(name)))
    # every string in quotes: the minimal quoting leaves a carriage return bare, which ends the row for most readers
    return frame.to_csv(index=False, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)


def _defused(cell: object) -> object:
    """A string that a spreadsheet would take for a formula gets an apostrophe in front."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULA) else cell


def _markdown(page: Page) -> str:
    return markdown(page.sections)


def markdown(sections: list[Section]) -> str:
    """The sections as Markdown."""
    blocks: list[str] = []
    for section in sections:
        blocks += [f"{'#' * section.level} {escaped(section.title)}"] if section.title else []
        blocks += [_line(section.text)] if section.text else []
        blocks += [_markdown_table(section.table)] if section.table else []
        blocks += ["\n".join(f"- {_line(note)}" for note in section.notes)] if section.notes else []
    return "\n\n".join(blocks) + "\n"


def _markdown_table(table: list[dict[str, str]]) -> str:
    rule = ["---:" if _is_numeric(name, table) else "---" for name in table[0]]
    lines = [[escaped(name) for name in table[0]], rule, *[[escaped(cell) for cell in row.values()] for row in table]]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def escaped(text: str) -> str:
    """Text that Markdown shows as it is: files come from strangers. An underscore inside a word needs no escape."""
    text = _plain(text)
    if not SIGNS.search(text):  # as most cells of a table: quick
        return text
    marked = re.sub(r"([\\`|*\[\]~#]|(?<![^\W_])_|_(?![^\W_]))", r"\\\1", text)
    return marked.replace("&", "&amp;").replace("<", "&lt;")


def _line(text: str) -> str:
    """The same for a line of its own, where a sign, or a number and a dot, would begin a list or a quotation."""
    return re.sub(r"^(\d*)(?=[-+>.)])", r"\1\\", escaped(text).strip())


def _plain(text: str) -> str:
    """One line without control characters: no newline and no terminal's escape sequence passes."""
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else " " for letter in text)


def _is_numeric(name: str, table: list[dict[str, str]]) -> bool:
    return all(re.match(r"[-\d]|none$|invalid$", row[name]) for row in table)


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Leave it to the command: rich would exit with 1, which is what `gate` says of a slower run."""
        raise BrokenPipeError


def _print(page: Page, stream: TextIO) -> None:
    """Rich tables: at the width of a terminal, where cells wrap, or as wide as they are, without colours."""
    console = _Console(file=stream, width=None if stream.isatty() else WIDE, markup=False, emoji=False, highlight=False)
    for section in page.sections:
        if section.title:
            console.print(_plain(section.title), style="bold")
        if section.text:
            console.print(_plain(section.text))
        if section.table:
            console.print(_rich(section.table))
        for note in section.notes:
            console.print(f"- {_plain(note)}")
        console.print()


def _rich(table: list[dict[str, str]]) -> Table:
    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in table[0]:
        drawn.add_column(_plain(name), justify="right" if _is_numeric(name, table) else "left", overflow="fold")
    for row in table:
        drawn.add_row(*[_plain(cell) for cell in row.values()])
    return drawn
