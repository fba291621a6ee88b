"""Write a page as terminal tables, JSON, CSV or Markdown. Format values with their units."""

import csv
import json
import math
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TextIO

import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table

FORMATS = ["table", "json", "csv", "md"]
MARKDOWN_SYNTAX = re.compile(r"[\\`|*\[\]~#_&<]")
MAX_COLUMNS = 10_000  # if the output is no terminal
MIN_TERMINAL_COLUMNS = 20
PROSE_COLUMNS, GAP_COLUMNS = 28, 3  # of a cell that wraps between words; between two cells
MAX_CELL_CHARACTERS = 1_000
MAX_ROWS = 1_000  # of a table in the terminal
FORMULA_STARTS = tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")  # of a spreadsheet formula, also full-width


@dataclass(frozen=True)
class Section:
    """A title, a paragraph, a table (each row maps column names to cells) and notes. Each may be empty.

    machine: whether the machine was QUIET or BUSY: it comes before the paragraph. keep: the columns that a narrow
    terminal shows first.
    """

    title: str = ""
    text: str = ""
    table: list[dict[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    level: int = 2
    machine: str = ""
    keep: Sequence[str] = ()


@dataclass(frozen=True, eq=False)
class Page:
    """The answer of a command: `data` for JSON and CSV, `sections` for people, `code` for the exit status.

    raw: text in a format of the command, which replaces the others; "" for none.
    """

    data: pd.DataFrame
    sections: list[Section]
    code: int = 0
    raw: str = ""


def with_rows(*sections: Section) -> list[Section]:
    """Return the sections whose tables have rows."""
    return [section for section in sections if section.table]


def write(page: Page, form: str, stream: TextIO, columns: int | None = None, wide: bool = False) -> None:
    """Write the page in one of FORMATS. `columns`: width of a table if the stream is no terminal.

    wide: show all columns of a table, whatever the width.
    """
    if page.raw:
        stream.write(page.raw)
    elif form == "table":
        of_stream = None if stream.isatty() else columns or _columns_asked_for() or MAX_COLUMNS
        _print(page, stream, MAX_COLUMNS if wide else of_stream)
    elif form == "json":
        stream.write(json_text(page.data))
    else:
        stream.write(_csv(page.data) if form == "csv" else markdown(page.sections))


def seconds(value: float) -> str:
    """Return seconds with three digits and a unit, `1.23 µs`, or `-` if not finite."""
    if not math.isfinite(value):
        return "-"
    for unit, scale in (("ns", 1e-9), ("µs", 1e-6), ("ms", 1e-3)):
        if abs(value) < 999.5 * scale:
            return f"{digits(value / scale)} {unit}"
    return f"{digits(value)} s"


def digits(value: float) -> str:
    """Return a number with three significant digits and no exponent, or `-` for NaN."""
    if not math.isfinite(value):
        return "-" if math.isnan(value) else str(value)
    return f"{value:.0f}" if abs(value) >= 999.5 else f"{value:#.3g}".rstrip(".")


def times(ratio: float) -> str:
    """Return a ratio as `4.10x`, or `-` for NaN."""
    return "-" if math.isnan(ratio) else f"{digits(ratio)}x"


def speedup(ratio: float) -> str:
    """Return a speed-up as `10.5x`, or as `400x slower` below 1."""
    return times(ratio) if not ratio < 0.9995 else f"{digits(1 / ratio)}x slower"


def short_percent(fraction: float) -> str:
    """Return a fraction as a percentage with two digits and no exponent, `1.7 %` or `170 %`."""
    return f"{float(f'{100 * fraction:.2g}'):.9f}".rstrip("0").rstrip(".") + " %"


def counted(count: int, noun: str) -> str:
    """Return `1 run` or `2,000 runs`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def size(count: float) -> str:
    """Return bytes as `123 MiB`, or `-` for NaN."""
    return "-" if math.isnan(count) else f"{count / 2**20:.0f} MiB"


def words(value: object) -> str:
    """Return any value as one printable line, or `-` for None, NaN and empty text."""
    if value is None or value == "" or (isinstance(value, float) and math.isnan(value)):
        return "-"
    return _printable(shortened(str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)))


def shortened(text: str, limit: int = MAX_CELL_CHARACTERS) -> str:
    """Return at most the first `limit` characters, with the total: files are untrusted input."""
    return text if len(text) <= limit else f"{text[:limit]}... ({len(text):,} characters)"


def rows_of(frame: pd.DataFrame, formats: Mapping[str, Callable[[Any], str]] | None = None) -> list[dict[str, str]]:
    """Return a frame as the table of a section. `formats` maps column names to functions; the default is `words`."""
    functions = formats or {}
    return [{name: functions.get(name, words)(cell) for name, cell in row.items()} for row in records(frame)]


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows as plain Python values."""
    return [{str(name): cell for name, cell in row.items()} for row in frame.to_dict("records")]


def json_text(frame: pd.DataFrame) -> str:
    """Return the rows as strict JSON, one value a line."""
    return json.dumps(json_rows(frame), indent=1, allow_nan=False) + "\n"


def json_rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows as strict JSON can represent them: None for numbers that are not finite."""

    def is_unknown(cell: object) -> bool:
        return cell is pd.NaT or (isinstance(cell, float) and not math.isfinite(cell))

    return [{name: None if is_unknown(cell) else cell for name, cell in row.items()} for row in records(frame)]


def _csv(frame: pd.DataFrame) -> str:
    frame = frame.map(_escape_formula).rename(columns=lambda name: _escape_formula(str(name)))
    # quote every string: minimal quoting leaves a carriage return unquoted, which ends the row for most readers
    return frame.to_csv(index=False, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)


def _escape_formula(cell: object) -> object:
    """Put an apostrophe before a string that a spreadsheet would evaluate as a formula."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULA_STARTS) else cell


def markdown(sections: list[Section]) -> str:
    """Return the sections as Markdown."""
    blocks: list[str] = []
    for section in sections:
        blocks += [f"{'#' * section.level} {escaped(section.title)}"] if section.title else []
        blocks += [_escape_line(text) for text in (section.machine, section.text) if text]
        blocks += [_markdown_table(section.table)] if section.table else []
        blocks += ["\n".join(f"- {_escape_line(note)}" for note in section.notes)] if section.notes else []
    return "\n\n".join(blocks) + "\n"


def _markdown_table(table: list[dict[str, str]]) -> str:
    alignment = ["---:" if _is_numeric(name, table) else "---" for name in table[0]]
    lines = [map(escaped, table[0]), alignment, *[map(escaped, row.values()) for row in table]]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def escaped(text: str) -> str:
    """Escape Markdown in text from files, which are untrusted input. An underscore inside a word needs no escape."""
    text = _printable(text)
    if not MARKDOWN_SYNTAX.search(text):
        return text
    text = re.sub(r"([\\`|*\[\]~#]|(?<![^\W_])_|_(?![^\W_]))", r"\\\1", text)
    return text.replace("&", "&amp;").replace("<", "&lt;")


def _escape_line(text: str) -> str:
    """Escape a whole line, which must not start a list or a quotation either."""
    return re.sub(r"^(\d*)(?=[-+>.)])", r"\1\\", escaped(text).strip())


def _printable(text: str) -> str:
    """Replace control characters by blanks: newlines and the escape sequences of terminals."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def _is_numeric(name: str, table: list[dict[str, str]]) -> bool:
    return all(re.match(r"[-\d]|none$|invalid$", row[name]) for row in table)


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Raise BrokenPipeError. Rich would exit with 1, which means a slower run in `gate`."""
        raise BrokenPipeError


def _print(page: Page, stream: TextIO, width: int | None) -> None:
    """Print Rich tables without colours. Cells wrap at `width`; None is the terminal's."""
    console = _Console(file=stream, width=width, markup=False, emoji=False, highlight=False)
    can_write_mu = "µ".encode(stream.encoding or "utf-8", "ignore") != b""
    for section in page.sections if can_write_mu else map(_without_mu, page.sections):
        if section.title:
            console.print(_printable(section.title), style="bold")
        for text in filter(None, (section.machine, section.text)):
            console.print(_printable(text))
        if section.table:
            table, left_out = fitting(section.table[:MAX_ROWS], console.width, section.keep)
            console.print(_rich_table(table, console.width))
            if (more := len(section.table) - MAX_ROWS) > 0:
                left_out.append(f"Not shown: {more:,} more rows (--format csv).")
            for line in left_out:
                console.print(_printable(line))
        for note in section.notes:
            console.print(f"- {_printable(note)}")
        console.print()


def _without_mu(section: Section) -> Section:
    """Return a section with `us` in place of `µs`."""
    table = [{name.replace("µ", "u"): cell.replace("µ", "u") for name, cell in row.items()} for row in section.table]
    notes = [note.replace("µ", "u") for note in section.notes]
    return replace(section, text=section.text.replace("µ", "u"), table=table, notes=notes)


def _columns_asked_for() -> int:
    """Return the width in COLUMNS, 0 if it is not set: for `less` and other programs behind a pipe."""
    columns = os.environ.get("COLUMNS", "")
    return int(columns) if columns.isdecimal() and int(columns) >= MIN_TERMINAL_COLUMNS else 0


def fitting(
    table: list[dict[str, str]], width: int, keep: Sequence[str] = ()
) -> tuple[list[dict[str, str]], list[str]]:
    """Return the columns of a table that fit into `width` without a wrapped cell, and lines on the omitted columns.

    If they do not fit, columns that are equal in all rows become a line. If the others do not fit with wrapped cells
    either, the first column, those of `keep` and then the first of the others are shown; a line names the rest.
    """
    if _total(_longest(table).values()) <= width:
        return table, []
    widths, (varying, same) = _widths(table), factored(table)
    names = [*varying[0]]
    visible = names[:1]
    for name in sorted(names[1:], key=lambda name: [*keep, name].index(name)):
        visible += [name] if _total(widths[column] for column in [*visible, name]) <= width else []
    empty = [name for name in widths if name not in names and table[0][name] in ("", "-")]
    omitted = ", ".join([name for name in names if name not in visible] + empty)
    lines = [same] * bool(same) + [f"Not shown: {omitted} (--wide)."] * bool(omitted)
    return [{name: row[name] for name in names if name in visible} for row in table], lines


def factored(table: list[dict[str, str]]) -> tuple[list[dict[str, str]], str]:
    """Return a table of several rows without the columns that are equal in all rows, and a line with their values.

    The line is "" if there is nothing to say. Empty columns are not in it. If all columns are equal, all remain.
    """
    varying = [name for name in table[0] if len({row[name] for row in table}) > 1 or len(table) == 1] or [*table[0]]
    constant = [name for name in table[0] if name not in varying and table[0][name] not in ("", "-")]
    same = ", ".join(f"{name} {table[0][name]}" for name in constant)
    return [{name: row[name] for name in varying} for row in table], f"In every row: {same}." if same else ""


def _widths(table: list[dict[str, str]]) -> dict[str, int]:
    """Return the width that each column needs: at most PROSE_COLUMNS for prose, which wraps between words."""
    longest = _longest(table)
    prose = {name for name in longest if not _is_numeric(name, table) and any(" " in row[name] for row in table)}
    return {name: min(width, PROSE_COLUMNS) if name in prose else width for name, width in longest.items()}


def _longest(table: list[dict[str, str]]) -> dict[str, int]:
    """Return the width of each column without a wrapped cell."""
    return {name: max(map(len, [name, *(row[name] for row in table)])) for name in table[0]}


def _total(widths: Iterable[int]) -> int:
    """Return the width of a table with columns of these widths."""
    return sum(width + GAP_COLUMNS for width in widths) - GAP_COLUMNS


def _rich_table(table: list[dict[str, str]], width: int) -> Table:
    rich_table, widths = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False), _widths(table)
    fits = _total(widths.values()) <= width
    for name in table[0]:
        rich_table.add_column(
            _printable(name),
            justify="right" if _is_numeric(name, table) else "left",
            overflow="fold",
            no_wrap=fits and widths[name] != PROSE_COLUMNS,
        )
    for row in table:
        rich_table.add_row(*map(_printable, row.values()))
    return rich_table
